"""`Step`: one change of a batch before a model sees it, as data that travels with the weights."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field, Kind
from zoo_core.interfaces.record import Record

PLACED: tuple[Kind, ...] = ("image", "mask", "boxes")  # kinds whose values lie at places of the image


class Step(Record, kw_only=True, tag_field="step"):
    """One change of a batch before the model sees it. Its fields are what the user can set.

        class Invert(Step, kw_only=True, tag="invert"):
            def apply(self, batch, fields, generator):
                return {**batch, "image": 1 - batch["image"]}

    A plugin declares such a class by the hook `zoo_steps`. `tag` is the name that users write: `--input invert`. The
    steps of `input` are saved with the weights, and `Model.preprocess` applies them.
    """

    @property
    def tag(self) -> str:
        """Its name, as users write it."""
        return str(self.__struct_config__.tag)

    @property
    def moves(self) -> tuple[Kind, ...]:
        """The kinds of fields whose positions it changes, among them "image"; empty, the default, for a step that
        leaves every pixel in its place. Data with masks or boxes that the step would not move along are refused."""
        return ()

    @property
    def evaluation_seed(self) -> int | None:
        """The seed of the random numbers in evaluation; None, the default, for a step that uses none."""
        return None

    @property
    def disturbs(self) -> bool:
        """True for a step that only makes the data harder, such as a random rotation. It is not applied to images that
        a user gives to `zoo predict` and its like."""
        return False

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        """The fields of a batch after this step, by name; by default, as before.

        A step that makes one field from another, such as tokens from a text, leaves the old one out.

        Args:
            fields: the fields before this step.

        Raises:
            UsageError: the step cannot be applied to such fields.
        """
        return dict(fields)

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        """The batch after this step; the batch that is given must not be changed.

        Args:
            batch: tensors and lists of texts by field name.
            fields: the field of each name. For sizes look at the tensors: these may be the fields before all steps.
            generator: the source of random numbers; without it a random step uses its own seed.
        """
        raise NotImplementedError

    def image_of(self, fields: Mapping[str, Field]) -> Field:
        """The field "image", for a step that works on images.

        Raises:
            UsageError: there is no field of that name.
        """
        if "image" not in fields:
            raise UsageError(f"step '{self.tag}' needs a field 'image', and the data have: {', '.join(fields)}")
        return fields["image"]


Steps = Sequence[Step]


def fields_after(steps: Iterable[Step], fields: Mapping[str, Field]) -> dict[str, Field]:
    """The fields of a batch after all steps.

    Raises:
        UsageError: a step cannot be applied to such fields, or would leave masks or boxes behind.
    """
    fields = dict(fields)
    for step in steps:
        left = [name for name, field in fields.items() if field.kind in PLACED and field.kind not in step.moves]
        if step.moves and left:
            raise UsageError(f"step '{step.tag}' moves pixels, and '{left[0]}' would stay behind")
        fields = step.fields(fields)
    return fields


def evaluation_generator(steps: Steps) -> Generator:
    """The source of the one draw with a recorded seed that evaluation makes, batch after batch."""
    seeds = [seed for step in steps if (seed := step.evaluation_seed) is not None]
    return torch.Generator().manual_seed(seeds[0] if seeds else 0)
