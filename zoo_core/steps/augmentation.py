"""Augmentation: random changes of the images that training sees, as data like the preprocessing.

    zoo train resnet20 --data cifar10 --augment crop:padding=4 --augment flip

Each step works on the whole batch at once, before the `input` steps, and draws from the generator that it is given: for
the batch of all processes together, so a result does not depend on how it is split. Evaluation never augments, and a
release only records what was done. Labels stay; steps that move pixels refuse fields that would have to move along.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.step import Step
from zoo_core.steps.notation import read_steps


class _Moving(Step, kw_only=True):
    """A step that moves pixels."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        self.image_of(fields)
        for name, field in fields.items():
            if field.kind in ("mask", "boxes"):
                raise UsageError(f"--augment {self.__struct_config__.tag} moves pixels, and '{name}' would stay behind")
        return dict(fields)


class RandomCrop(_Moving, kw_only=True, tag="crop"):
    """Each image with a border of `padding` pixels, then a window of its old size at a random place.

    K. He et al., "Deep residual learning for image recognition", 2016, section 4.2.
    """

    padding: Annotated[int, Meta(ge=1)] = 4  # pixels on every side
    mode: Literal["zero", "reflect"] = "zero"  # what the border shows

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        smallest = min((side for side in self.image_of(fields).shape[1:] if side is not None), default=0)
        if self.mode == "reflect" and smallest <= self.padding:
            raise UsageError(f"--augment crop cannot reflect {self.padding} of {smallest} pixels")
        return super().fields(fields)

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        b, _, h, w = image.shape
        top, left = torch.randint(2 * self.padding + 1, (2, b), generator=generator)  # [B] each
        mode = "constant" if self.mode == "zero" else "reflect"
        padded = F.pad(image, [self.padding] * 4, mode)  # [B, C, H + 2p, W + 2p]
        # All windows of all images, as a view [B, 2p + 1, 2p + 1, C, H, W], of which one each is copied.
        windows = padded.unfold(2, h, 1).unfold(3, w, 1).permute(0, 2, 3, 1, 4, 5)
        return {**batch, "image": windows[torch.arange(b), top, left]}


class Flip(_Moving, kw_only=True, tag="flip"):
    """Left and right exchanged, in each image with probability `p`."""

    p: Annotated[float, Meta(gt=0, le=1)] = 0.5

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        image = batch["image"]
        flipped = torch.rand(len(image), generator=generator) < self.p  # [B]
        return {**batch, "image": torch.where(flipped[:, None, None, None], image.flip(3), image)}


class Cutout(Step, kw_only=True, tag="cutout"):
    """A black square of `size` pixels a side in each image, centred on a random pixel and cut off at the borders.

    T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    NOTE: the paper fills with 0 after normalisation, the mean; here it is 0 before, black.
    """

    size: Annotated[int, Meta(ge=1)] = 16  # pixels

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        self.image_of(fields)
        return dict(fields)

    def apply(self, batch: Mapping[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
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


AnyAugmentation = RandomCrop | Flip | Cutout


def read_augmentation(data: Sequence[Mapping[str, object]], where: str) -> tuple[Step, ...]:
    """Augmentation steps from their plain form."""
    return read_steps(data, where, kinds=AnyAugmentation, what="augment")
