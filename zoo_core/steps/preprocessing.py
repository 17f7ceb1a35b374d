"""Preprocessing as data: named steps with arguments, which travel with the weights.

    input = [{"step": "binarize", "mode": "sample", "seed": 0}]

A step changes a batch, and says how it changes the fields, so that a model can be configured for what it will see. What
moves pixels moves masks and boxes too (see `zoo_core.steps.geometry`).
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.fields import Field, Kind
from zoo_core.interfaces.step import Step
from zoo_core.steps.geometry import GeometricStep, Size

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are: ITU-R BT.601, as pillow has it

Side = Annotated[int, Meta(ge=1)]  # pixels
# msgspec 0.22 crashes on a bounded number beside a tuple of fixed length, so its length is a bound too.
HeightAndWidth = Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)]


class Binarize(Step, kw_only=True, tag="binarize"):
    """Grey images to black and white.

    Attributes:
        mode: "sample" takes the value of a pixel as the probability of a 1; "threshold" compares it with `at`.
        seed: the seed of the random numbers in evaluation; training uses new ones each time.
        at: with "threshold", pixels above this value become 1.
    """

    mode: Literal["sample", "threshold"] = "sample"
    seed: int = 0
    at: float = 0.5

    @property
    def evaluation_seed(self) -> int | None:
        return self.seed if self.mode == "sample" else None

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        return {**fields, "image": msgspec.structs.replace(self.image_of(fields), levels=2)}

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        image = batch["image"]
        if self.mode == "threshold":
            bits = image > self.at
        else:
            generator = generator or torch.Generator().manual_seed(self.seed)
            bits = torch.rand(image.shape, generator=generator).to(image.device) < image
        return {**batch, "image": bits.float()}


class Resize(GeometricStep, kw_only=True, tag="resize"):
    """Images to another size, bilinear, with antialiasing where they become smaller.

    Boxes are scaled along, and masks take the nearest pixel.

    Attributes:
        size: the side of a square, or height and width, in pixels.
    """

    size: Side | HeightAndWidth

    @property
    def blends(self) -> bool:
        return True

    def size_after(self, size: Size) -> tuple[int, int]:
        return _height_and_width(self.size)

    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        size = _height_and_width(self.size)
        if not nearest:
            return F.interpolate(x, size, mode="bilinear", antialias=True)
        # The centre of new pixel i is at (i + 1/2) old / new; between two old pixels, the later one counts.
        rows, columns = (
            (2 * torch.arange(new, device=x.device) + 1) * old // (2 * new)
            for old, new in zip(x.shape[2:], size, strict=True)
        )
        return x[:, :, rows[:, None], columns]

    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        (old_height, old_width), (height, width) = size, _height_and_width(self.size)
        new, old = (boxes.new_tensor([w, h, w, h]) for h, w in ((height, width), (old_height, old_width)))
        return boxes * new / old


class Crop(GeometricStep, kw_only=True, tag="crop"):
    """The middle of each image.

    Attributes:
        size: the side of a square, or height and width, in pixels.
    """

    size: Side | HeightAndWidth

    @property
    def cuts(self) -> bool:
        return True

    def size_after(self, size: Size) -> tuple[int, int]:
        wanted = _height_and_width(self.size)
        if any(old is not None and old < new for old, new in zip(size, wanted, strict=True)):
            raise UsageError(f"step 'crop' cannot cut {' x '.join(map(str, wanted))} pixels out of an image of {size}")
        return wanted

    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        (height, width), (top, left) = _height_and_width(self.size), self._corner(x.shape[2:])
        return x[:, :, top : top + height, left : left + width]

    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        top, left = self._corner(size)
        return boxes - boxes.new_tensor([left, top, left, top])

    def _corner(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Row and column of the upper left pixel that stays."""
        (old_height, old_width), (height, width) = size, _height_and_width(self.size)
        return (old_height - height) // 2, (old_width - width) // 2


class Invert(Step, kw_only=True, tag="invert"):
    """Black to white and white to black: dark ink on paper becomes bright ink, as in MNIST."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        self.image_of(fields)
        return dict(fields)

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        return {**batch, "image": 1 - batch["image"]}


class Grey(Step, kw_only=True, tag="grey"):
    """Images in colour to grey ones, with one channel: 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        image = self.image_of(fields)
        if image.shape[0] == 1:
            return dict(fields)
        if image.shape[0] != 3 or image.range != (0, 1):
            raise UsageError(f"step 'grey' is for images in red, green and blue, and not for {image.shape}")
        grey = msgspec.structs.replace(image, shape=(1, *image.shape[1:]), levels=None)
        return {**fields, "image": grey}

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        image = batch["image"]
        if image.shape[1] == 1:
            return dict(batch)
        return {**batch, "image": (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)}


class Quantize(Step, kw_only=True, tag="quantize"):
    """Each value to the nearest of some levels, evenly spaced over [0, 1].

    Use it after `resize`, which gives values between the levels: a likelihood of discrete images needs discrete values.

    Attributes:
        levels: how many levels.
    """

    levels: Annotated[int, Meta(ge=2)] = 256

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        return {**fields, "image": msgspec.structs.replace(self.image_of(fields), levels=self.levels)}

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        highest = self.levels - 1
        return {**batch, "image": (batch["image"] * highest).round_().div_(highest)}


class Normalize(Step, kw_only=True, tag="normalize"):
    """(image - mean) / std.

    Attributes:
        mean: one number, or one for each channel.
        std: one number, or one for each channel.
    """

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

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        image = batch["image"]
        mean, std = (image.new_tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return {**batch, "image": (image - mean) / std}


class Rotate(GeometricStep, kw_only=True, tag="rotate"):
    """Turns images counterclockwise about their centre.

    Multiples of 90 degrees are exact, and turn a wide image into a high one. Other angles are bilinear and keep the
    size: corners that leave the image are lost, and the new pixels are 0, or in masks the value of `Field.ignore`. Data
    with boxes are refused then.

    Attributes:
        degrees: the angle for all images. Either this or `range` is given.
        range: each image has its own random angle between -range and range, in degrees.
        seed: the seed of the random angles in evaluation; training uses new ones each time.
    """

    degrees: float | None = None
    range: Annotated[float, Meta(gt=0, le=180)] | None = None
    seed: int = 0

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

    @property
    def moves(self) -> tuple[Kind, ...]:
        return ("image", "mask") if self._quarters is None else super().moves  # a box that is turned is no box

    @property
    def fills(self) -> bool:
        return self._quarters is None

    @property
    def blends(self) -> bool:
        return self._quarters is None

    def size_after(self, size: Size) -> Size:
        return size[::-1] if (self._quarters or 0) % 2 else size

    def random_parameters(self, n: int, generator: Generator | None) -> Tensor:
        """Degrees [n]."""
        if self.range is None:
            return torch.tensor([self.degrees]).expand(n)
        generator = generator or torch.Generator().manual_seed(self.seed)
        return (2 * torch.rand(n, generator=generator) - 1) * self.range

    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        if self._quarters is not None:
            return x.rot90(self._quarters, (2, 3))
        return rotated(x, drawn) if not nearest else rotated(x, drawn, mode="nearest", fill=fill)

    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = size
        for _ in range((self._quarters or 0) % 4):  # (x, y) goes to (y, width - x)
            left, top, right, bottom = boxes.unbind(1)
            boxes = torch.stack([top, width - right, bottom, width - left], 1)
            height, width = width, height
        return boxes


def rotated(image: Tensor, degrees: Tensor, *, mode: str = "bilinear", fill: float = 0) -> Tensor:
    """Each image [B, C, H, W] turned counterclockwise about its centre by its own angle [B]; outside it is `fill`.

    Args:
        mode: "bilinear", or "nearest", which gives back the dtype of the image.
    """
    height, width = image.shape[2:]
    values = image if image.is_floating_point() else image.float()
    cos, sin = (angle := degrees * (math.pi / 180)).cos(), angle.sin()
    # Where a pixel comes from, in coordinates that run from -1 to 1 along each side; y points down.
    x = torch.stack([cos, -sin * (height / width), torch.zeros_like(cos)], 1)  # [B, 3]
    y = torch.stack([sin * (width / height), cos, torch.zeros_like(cos)], 1)
    theta = torch.stack([x, y], 1).to(values.dtype)  # [B, 2, 3]
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)  # [B, H, W, 2]
    turned = F.grid_sample(values - fill, grid, mode=mode, padding_mode="zeros", align_corners=False) + fill
    return turned.to(image.dtype)


def _height_and_width(size: int | tuple[int, ...]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
