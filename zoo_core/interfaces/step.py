"""`Step`: one change of a batch before a model sees it, as data that travels with the weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import Record


class Step(Record, kw_only=True, tag_field="step"):
    """One step; subclasses carry their arguments."""

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
        """The fields of a batch after this step.

        Raises:
            UsageError: the step cannot be applied to such fields.
        """
        return dict(fields)

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        """The batch after this step; without a generator, a random step draws from its own seed."""
        raise NotImplementedError

    def image_of(self, fields: Mapping[str, Field]) -> Field:
        """The field "image", which a step of images needs."""
        if "image" not in fields:
            name = self.__struct_config__.tag
            raise UsageError(f"step '{name}' needs a field 'image', and the data have: {', '.join(fields)}")
        return fields["image"]


Steps = Sequence[Step]


def evaluation_generator(steps: Steps) -> Generator:
    """The source of the one draw with a recorded seed that evaluation makes, batch after batch."""
    seeds = [seed for step in steps if (seed := step.evaluation_seed) is not None]
    return torch.Generator().manual_seed(seeds[0] if seeds else 0)
