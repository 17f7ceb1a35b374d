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
    """One step; subclasses carry their arguments, and say by `tag=` how users call them."""

    @property
    def tag(self) -> str:
        """Its name, as users write it."""
        return str(self.__struct_config__.tag)

    @property
    def moves(self) -> tuple[Kind, ...]:
        """The kinds of fields whose places in the image it changes, "image" among them; none for a step that leaves
        every pixel where it is. Data with masks or boxes are refused where these would stay behind."""
        return ()

    @property
    def evaluation_seed(self) -> int | None:
        """The seed of the one draw that evaluation makes; None for a step that draws nothing."""
        return None

    @property
    def disturbs(self) -> bool:
        """Whether it makes the data harder, as a random turn does, and prepares nothing: single images of a user go
        without it."""
        return False

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        """The fields of a batch after this step. What it makes another field of, it takes away.

        Raises:
            UsageError: the step cannot be applied to such fields.
        """
        return dict(fields)

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        """The batch after this step.

        Args:
            fields: what the names of the batch mean; of sizes, the tensors themselves tell.
            generator: what a random step draws from; without one, from its own seed.
        """
        raise NotImplementedError

    def image_of(self, fields: Mapping[str, Field]) -> Field:
        """The field "image", which a step of images needs."""
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
