"""Steps that move pixels, and with them all that lies at places of the image: its masks, and boxes around its objects.

A step says where a pixel goes; what that means for each kind of field stands here, once. Boxes are xmin, ymin, xmax,
ymax in pixels: an image of H x W pixels reaches from (0, 0), its upper left corner, to (W, H).

Axes: B images, C channels, H height, W width, N rows of a packed field.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field, Kind
from zoo_core.interfaces.step import PLACED, Step

Size = tuple[int | None, int | None]  # height and width in pixels; None: any


class GeometricStep(Step, kw_only=True):
    """Base of steps that move pixels. A subclass defines `move_pixels` and `move_boxes`, and `draw` if it is random.

    "image", all other images and masks of the same size, and all boxes are moved in the same way. Masks take the
    nearest pixel. If a step cuts, boxes are cut at the border; a box of which nothing is left is removed, together with
    its row of all fields that have the same index.
    """

    @property
    def moves(self) -> tuple[Kind, ...]:
        return PLACED

    @property
    def cuts(self) -> bool:
        """Whether parts of the image may be lost."""
        return False

    @property
    def fills(self) -> bool:
        """Whether pixels from outside the image come in: black ones, and in masks the value of `Field.ignore`."""
        return False

    @property
    def blends(self) -> bool:
        """Whether it makes values between the levels of the image."""
        return False

    def size_after(self, size: Size) -> Size:
        """Height and width after the step.

        Raises:
            UsageError: it cannot be applied to images of that size.
        """
        return size

    def random_parameters(self, n: int, generator: Generator | None) -> Tensor:
        """The random numbers of the step for each of n images, [n, …]; by default none."""
        return torch.empty(n, 0)

    @abstractmethod
    def move_pixels(self, x: Tensor, drawn: Tensor, *, nearest: bool, fill: float) -> Tensor:
        """Images or masks after the step, [B, C, H, W] -> [B, C, H', W'].

        Args:
            x: images or masks, [B, C, H, W].
            drawn: their rows of the result of `draw`, [B, …].
            nearest: whether each pixel takes the value of the nearest old pixel, never one between two.
            fill: the value of pixels that come from outside the image.
        """

    @abstractmethod
    def move_boxes(self, boxes: Tensor, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        """Boxes after the step, [N, 4] -> [N, 4]; they may lie outside the image.

        Args:
            boxes: xmin, ymin, xmax, ymax in pixels, [N, 4].
            drawn: their rows of the result of `draw`, [N, …].
            size: height and width of the image before the step.
        """

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        size = self.image_of(fields).shape[-2:]
        after = dict(fields)
        for name, field in fields.items():
            if field.kind == "boxes":
                self._check_boxes(name, field)
            elif field.kind in ("image", "mask"):
                if any(None not in pair and pair[0] != pair[1] for pair in zip(field.shape[-2:], size, strict=True)):
                    raise UsageError(
                        f"step '{self.tag}' moves '{name}' like the image, and they are of two sizes: "
                        f"{field.shape[-2:]} and {size}"
                    )
                if self.fills and field.kind == "mask" and field.ignore is None:
                    raise UsageError(
                        f"step '{self.tag}' lets pixels in from outside, and '{name}' has no value to ignore them by"
                    )
                height, width = size
                shape = (*field.shape[:-2], *self.size_after((height, width)))
                levels = None if self.blends and field.kind == "image" else field.levels
                after[name] = msgspec.structs.replace(field, shape=shape, levels=levels)
        return after

    def _check_boxes(self, name: str, field: Field) -> None:
        if field.shape != (4,):
            raise UsageError(f"step '{self.tag}' moves boxes of 4 numbers, and '{name}' is {field.shape}")
        if self.cuts and field.index is None:
            raise UsageError(
                f"step '{self.tag}' may cut a box off, and '{name}', one box an image, has no place for no box"
            )

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        image = batch["image"]
        height, width = image.shape[-2:]
        drawn = self.random_parameters(len(image), generator).to(image.device)
        after = dict(batch)
        after["image"] = self.move_pixels(image, drawn, nearest=False, fill=0)
        stays: dict[str, Tensor] = {}  # by index, which rows: bool [N]
        for name, field in fields.items():
            if name not in batch or name == "image" or field.kind not in self.moves:
                continue
            values, rows = batch[name], drawn if field.index is None else drawn[batch[field.index]]
            if field.kind == "image":
                after[name] = self.move_pixels(values, rows, nearest=False, fill=0)
            elif field.kind == "mask":
                after[name] = self.move_pixels(values[:, None], rows, nearest=True, fill=field.ignore or 0)[:, 0]
            else:
                after[name] = self.move_boxes(values, rows, (height, width))
                if self.cuts and field.index is not None:
                    after[name], inside = cut_boxes(after[name], after["image"].shape[-2:])
                    stays[field.index] = inside & stays.get(field.index, inside)
        return without_rows(after, fields, stays)


def cut_boxes(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes [N, 4] cut at the border of an image of height and width `size`, and which of them are inside at all, bool
    [N]: one that only touches the border is not."""
    limit = boxes.new_tensor([size[1], size[0]])  # [2], x and y
    first, last = boxes[:, :2], boxes[:, 2:]  # the upper left and lower right corner, [N, 2] each
    inside = ((first < limit) & (last > 0)).all(1)
    return torch.cat([first.clamp(min=0), last.minimum(limit)], 1), inside


def without_rows(batch: Mapping[str, Any], fields: Mapping[str, Field], stays: Mapping[str, Tensor]) -> dict[str, Any]:
    """The batch with those rows of its packed fields that stay: for the name of an index, bool [N]."""
    after = dict(batch)
    for index, rows in stays.items():
        for name in (index, *(name for name, field in fields.items() if field.index == index and name in batch)):
            after[name] = batch[name][rows]
    return after
