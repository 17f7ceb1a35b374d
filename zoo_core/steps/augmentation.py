"""Augmentation: random changes of the images that training sees, as data like the preprocessing.

    zoo train resnet20 --data cifar10 --augment crop:padding=4 --augment flip

Each step works on the whole batch at once, before the `input` steps, and draws from the generator that it is given: for
the batch of all processes together, so a result does not depend on how it is split. Evaluation never augments, and a
release only records what was done. Labels stay; steps that move pixels refuse fields that would have to move along.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field, Kind
from zoo_core.interfaces.step import Step
from zoo_core.steps.geometry import GeometricStep, Size


class RandomCrop(GeometricStep, kw_only=True, tag="crop"):
    """Adds a border of `padding` pixels to each image, and cuts a window of the old size out of it at a random place.

    K. He et al., "Deep residual learning for image recognition", 2016, section 4.2.

    Attributes:
        padding: the width of the border on every side, in pixels.
        mode: what the border shows: "zero" (black), or "reflect" (the image mirrored).
    """

    padding: Annotated[int, Meta(ge=1)] = 4
    mode: Literal["zero", "reflect"] = "zero"

    @property
    def moves(self) -> tuple[Kind, ...]:
        return super().moves if self.mode == "zero" else ("image", "mask")  # a border may show an object again

    @property
    def cuts(self) -> bool:
        return True

    @property
    def fills(self) -> bool:
        return self.mode == "zero"

    def size_after(self, size: Size) -> Size:
        smallest = min((side for side in size if side is not None), default=0)
        if self.mode == "reflect" and smallest <= self.padding:
            raise UsageError(f"--augment crop cannot reflect {self.padding} of {smallest} pixels")
        return size

    def random_parameters(self, n: int, generator: Generator | None) -> Tensor:
        """Row and column of the window, in the image with its border, [n, 2]."""
        return torch.randint(2 * self.padding + 1, (2, n), generator=generator).T

    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        b, _, h, w = x.shape
        top, left = drawn.unbind(1)  # [B] each
        zero = self.mode == "zero"  # padded: [B, C, H + 2p, W + 2p]
        padded = F.pad(x, [self.padding] * 4, value=fill) if zero else reflected(x, self.padding)
        # All windows of all images, as a view [B, 2p + 1, 2p + 1, C, H, W], of which one each is copied.
        windows = padded.unfold(2, h, 1).unfold(3, w, 1).permute(0, 2, 3, 1, 4, 5)
        return windows[torch.arange(b, device=x.device), top, left]

    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        top, left = (drawn - self.padding).unbind(1)  # [N] each
        return boxes - torch.stack([left, top, left, top], 1)


def reflected(x: Tensor, padding: int) -> Tensor:
    """Images or masks with a border that reflects them, [B, C, H + 2p, W + 2p]."""
    rows, columns = (torch.arange(-padding, side + padding, device=x.device).abs() for side in x.shape[2:])
    rows, columns = (
        torch.where(place < side, place, 2 * (side - 1) - place)
        for place, side in zip((rows, columns), x.shape[2:], strict=True)
    )
    return x[:, :, rows[:, None], columns]


class Flip(GeometricStep, kw_only=True, tag="flip"):
    """Exchanges left and right in some images.

    Attributes:
        p: the probability that an image is flipped.
    """

    p: Annotated[float, Meta(gt=0, le=1)] = 0.5

    def random_parameters(self, n: int, generator: Generator | None) -> Tensor:
        """Which are flipped, bool [n]."""
        return torch.rand(n, generator=generator) < self.p

    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        return torch.where(drawn[:, None, None, None], x.flip(3), x)

    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        _, width = size
        left, top, right, bottom = boxes.unbind(1)
        return torch.where(drawn[:, None], torch.stack([width - right, top, width - left, bottom], 1), boxes)


class Cutout(Step, kw_only=True, tag="cutout"):
    """Puts a black square on each image, centred on a random pixel and cut off at the borders.

    T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    NOTE: the paper fills with 0 after normalisation, the mean; here it is 0 before, black.

    Attributes:
        size: the side of the square, in pixels.
    """

    size: Annotated[int, Meta(ge=1)] = 16

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        self.image_of(fields)
        return dict(fields)

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        image = batch["image"]
        b, _, h, w = image.shape
        inside = []
        for side in (h, w):
            first = torch.randint(side, (b, 1), generator=generator) - self.size // 2
            place = torch.arange(side)
            inside.append((place >= first) & (place < first + self.size))  # [B, H], then [B, W]
        rows, columns = inside
        outside = ~(rows[:, None, :, None] & columns[:, None, None, :])  # [B, 1, H, W]
        return {**batch, "image": image * outside}  # faster than filling by a mask
