"""Preprocessing as data: named steps with arguments, which travel with the weights.

    input = [{"step": "binarize", "mode": "sample", "seed": 0}]

A step changes a batch, and says how it changes the fields, so that a model can be configured for what it will see.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core.errors import RecordError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import Record


class Step(Record, kw_only=True, tag_field="step"):
    """One step; subclasses carry their arguments."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        """The fields of a batch after this step."""
        return dict(fields)

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        """The batch after this step; without a generator, a random step draws from its own seed."""
        raise NotImplementedError


class Binarize(Step, kw_only=True, tag="binarize"):
    """Grey to black and white. "sample" reads a pixel as the probability of a 1; "threshold" cuts at `at`."""

    mode: Literal["sample", "threshold"] = "sample"
    seed: int = 0  # of the one draw that evaluation uses; training draws anew each time
    at: float = 0.5

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        return {**fields, "image": msgspec.structs.replace(fields["image"], levels=2)}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        if self.mode == "threshold":
            bits = image > self.at
        else:
            generator = generator or torch.Generator().manual_seed(self.seed)
            bits = torch.rand(image.shape, generator=generator).to(image.device) < image
        return {**batch, "image": bits.float()}


class Resize(Step, kw_only=True, tag="resize"):
    """Images to a square of `size` pixels a side, bilinear, with antialiasing where they become smaller."""

    size: Annotated[int, Meta(ge=1)]  # pixels

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        channels = fields["image"].shape[0]
        resized = msgspec.structs.replace(fields["image"], shape=(channels, self.size, self.size), levels=None)
        return {**fields, "image": resized}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        size = (self.size, self.size)
        return {**batch, "image": F.interpolate(batch["image"], size, mode="bilinear", antialias=True)}


AnyStep = Binarize | Resize
Steps = Sequence[Step]


def read_steps(data: Sequence[Mapping[str, object]], where: str) -> tuple[Step, ...]:
    """Steps from their plain form, as in config.json."""
    try:
        return msgspec.convert(list(data), tuple[AnyStep, ...])
    except (msgspec.ValidationError, RecordError) as error:
        raise RecordError(f"{where}: input: {error}") from None


def parse_step(text: str) -> dict[str, object]:
    """The plain form of a step written as `binarize:mode=threshold,at=0.4`."""
    name, _, arguments = text.partition(":")
    step: dict[str, object] = {"step": name}
    for argument in filter(None, arguments.split(",")):
        key, equals, value = argument.partition("=")
        if not equals:
            raise RecordError(f"step '{text}': '{argument}' is not KEY=VALUE")
        try:
            step[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            step[key] = value
    return step


def step_text(step: Mapping[str, object]) -> str:
    """What `parse_step` reads as this plain form."""
    arguments = ",".join(f"{key}={value}" for key, value in step.items() if key != "step")
    return f"{step['step']}{':' if arguments else ''}{arguments}"


def evaluation_generator(steps: Steps) -> Generator:
    """The source of the one draw with a recorded seed that evaluation makes, batch after batch."""
    seeds = [seed for step in steps if (seed := getattr(step, "seed", None)) is not None]
    return torch.Generator().manual_seed(seeds[0] if seeds else 0)
