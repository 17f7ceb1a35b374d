"""One small model for each kind of data and of answer; what each says can be worked out by hand."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from zoo_core import Condition, Field, Model, Record

IMAGE = Field(kind="image", shape=(1, 4, 4), range=(0, 1))


class Toy(Model):
    """A model that learns nothing; a release holds at least one tensor."""

    optimizer = None

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.register_buffer("one", torch.ones(()))


class Told(Toy):
    """Images 4x4 that show what the sampler was told: the row of a name is bright, and the last row measures a word."""

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def conditions(self) -> dict[str, Condition]:
        return {
            "row": Condition(kind="class", values=("first", "second", "third"), help="which row is bright"),
            "brightness": Condition(kind="number", low=0, high=1, default=0.5, help="of that row"),
            "word": Condition(kind="text", default="", help="a pixel of the last row for each of its letters"),
        }

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        told = self.check_conditions(conditions)
        row = torch.randint(3, (n,), generator=generator) if told["row"] is None else torch.full((n,), told["row"])
        images = torch.zeros(n, 1, 4, 4)
        images[torch.arange(n), 0, row] = told["brightness"]
        images[:, 0, 3, : len(told["word"])] = 1
        return images


# A raw batch for each model's release, of which its golden output is made.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "told": {},
}
