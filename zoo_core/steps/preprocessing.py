"""Preprocessing as data: named steps with arguments, which travel with the weights.

    input = [{"step": "binarize", "mode": "sample", "seed": 0}]

A step changes a batch, and says how it changes the fields, so that a model can be configured for what it will see.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.step import Step


class Binarize(Step, kw_only=True, tag="binarize"):
    """Grey to black and white. "sample" reads a pixel as the probability of a 1; "threshold" cuts at `at`."""

    mode: Literal["sample", "threshold"] = "sample"
    seed: int = 0  # of the one draw that evaluation uses; training draws anew each time
    at: float = 0.5

    @property
    def evaluation_seed(self) -> int | None:
        return self.seed if self.mode == "sample" else None

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        return {**fields, "image": msgspec.structs.replace(self.image_of(fields), levels=2)}

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
        image = self.image_of(fields)
        resized = msgspec.structs.replace(image, shape=(image.shape[0], self.size, self.size), levels=None)
        return {**fields, "image": resized}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        size = (self.size, self.size)
        return {**batch, "image": F.interpolate(batch["image"], size, mode="bilinear", antialias=True)}


class Crop(Step, kw_only=True, tag="crop"):
    """The square of `size` pixels a side at the centre of each image."""

    size: Annotated[int, Meta(ge=1)]  # pixels

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        image = self.image_of(fields)
        channels, *sides = image.shape
        if any(side is not None and side < self.size for side in sides):
            raise UsageError(f"step 'crop' cannot cut {self.size} x {self.size} pixels out of an image of {sides}")
        return {**fields, "image": msgspec.structs.replace(image, shape=(channels, self.size, self.size))}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        top, left = ((side - self.size) // 2 for side in image.shape[2:])
        return {**batch, "image": image[:, :, top : top + self.size, left : left + self.size]}


class Invert(Step, kw_only=True, tag="invert"):
    """Black to white and white to black: dark ink on paper becomes bright ink, as in MNIST."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        self.image_of(fields)
        return dict(fields)

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        return {**batch, "image": 1 - batch["image"]}


class Quantize(Step, kw_only=True, tag="quantize"):
    """Each channel to the nearest of `levels` values, evenly spaced over [0, 1].

    After `resize`, which gives values between the levels: a likelihood of discrete images needs them discrete.
    """

    levels: Annotated[int, Meta(ge=2)] = 256

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        return {**fields, "image": msgspec.structs.replace(self.image_of(fields), levels=self.levels)}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        highest = self.levels - 1
        return {**batch, "image": (batch["image"] * highest).round_().div_(highest)}


class Normalize(Step, kw_only=True, tag="normalize"):
    """(image - mean) / std; one number, or one for each channel."""

    mean: float | tuple[float, ...]
    std: Annotated[float, Meta(gt=0)] | tuple[Annotated[float, Meta(gt=0)], ...]

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        image = self.image_of(fields)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if isinstance(values, tuple) and len(values) != image.shape[0]:
                raise UsageError(
                    f"step 'normalize' has {len(values)} values of {name}, and images have {image.shape[0]} channels"
                )
        return {**fields, "image": msgspec.structs.replace(image, range=None, levels=None)}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        mean, std = (image.new_tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return {**batch, "image": (image - mean) / std}


class Rotate(Step, kw_only=True, tag="rotate"):
    """Counterclockwise about the centre: all images by `degrees`, or each by its own angle, uniform in [-range, range].

    Multiples of 90 degrees are exact, and turn a wide image into a high one. Other angles are bilinear and keep the
    size: what leaves the frame is lost, and 0 comes in.
    """

    degrees: float | None = None
    range: Annotated[float, Meta(gt=0, le=180)] | None = None  # degrees
    seed: int = 0  # of the angles that evaluation uses; training draws anew each time

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.degrees is None) == (self.range is None):
            raise RecordError("rotate: either degrees or range")

    @property
    def evaluation_seed(self) -> int | None:
        return None if self.range is None else self.seed

    @property
    def disturbs(self) -> bool:
        return self.range is not None

    @property
    def _quarters(self) -> int | None:
        """How many quarter turns this is, if it is that."""
        return None if self.degrees is None or self.degrees % 90 else int(self.degrees // 90)

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        image = self.image_of(fields)
        if self._quarters is None:
            return {**fields, "image": msgspec.structs.replace(image, levels=None)}
        channels, height, width = image.shape
        shape = (channels, width, height) if self._quarters % 2 else (channels, height, width)
        return {**fields, "image": msgspec.structs.replace(image, shape=shape)}

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        if self._quarters is not None:
            return {**batch, "image": image.rot90(self._quarters, (2, 3))}
        if self.range is None:
            degrees = torch.tensor([self.degrees]).expand(image.shape[0])
        else:
            generator = generator or torch.Generator().manual_seed(self.seed)
            degrees = (2 * torch.rand(len(image), generator=generator) - 1) * self.range
        return {**batch, "image": rotated(image, degrees.to(image.device))}


def rotated(image: Tensor, degrees: Tensor) -> Tensor:
    """Each image [B, C, H, W] turned counterclockwise about its centre by its own angle [B]; bilinear, 0 outside."""
    height, width = image.shape[2:]
    cos, sin = (angle := degrees * (math.pi / 180)).cos(), angle.sin()
    # Where a pixel comes from, in coordinates that run from -1 to 1 along each side; y points down.
    x = torch.stack([cos, -sin * (height / width), torch.zeros_like(cos)], 1)  # [B, 3]
    y = torch.stack([sin * (width / height), cos, torch.zeros_like(cos)], 1)
    grid = F.affine_grid(torch.stack([x, y], 1).to(image.dtype), list(image.shape), align_corners=False)  # [B, H, W, 2]
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


AnyStep = Binarize | Resize | Crop | Invert | Quantize | Normalize | Rotate
