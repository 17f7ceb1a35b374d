"""STN: a classifier that learns to turn, shift and scale what it looks at.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    stn.mnist-rotated: accuracy 0.99 ± 0.001 fraction (mnist test), n = 10,000, top-1, after rotate; 1 run, 0.17 h
    stn.mnist-rotated-none: accuracy 0.9824 ± 0.0013 fraction (mnist test), n = 10,000, top-1, after rotate; 1 run,
        0.063 h

Follows Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", 2015 (arXiv:1506.02025) [1]. A
spatial transformer ([1], figure 2) is a localisation network, which looks at x and says theta, a grid of places of x
for theta, and a sampler, which reads x at the grid. All of it is differentiable, so that the classifier's loss alone
teaches where to look.

`placement=none` is the same classifier without a transformer, to compare with.

Departs from [1]:
    * the sizes are ours; [1] searched over many

Axes: B batch, C channels, H height, W width, K classes. Coordinates are (x, y), from -1 to 1 over the image.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo_convnets.optimizers import one_cycle
from zoo_core import Optimizer, RecordError, UsageError


class STNConfig(ImageClassifierConfig, kw_only=True):
    """Which transformation, and where."""

    channels: Annotated[int, Meta(ge=1, le=1024)] = 1  # 1 grey, 3 RGB
    height: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    width: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    classes: Annotated[int, Meta(ge=1)] = 10  # K
    optimizer: Literal["sgd", "adamw", "muon"] = "adamw"
    transform: Literal["affine", "attention"] = "affine"  # six numbers; or scale and shift, three
    placement: Literal["input", "inner", "parallel", "none"] = "input"  # parallel: several, all on the input
    transformers: Annotated[int, Meta(ge=1)] | None = None  # how many of them are parallel; null: two
    filters: Annotated[int, Meta(ge=1)] = 32  # channels of the classifier's first convolution

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transformers is not None and self.placement != "parallel":
            raise RecordError(f"transformers is for placement = parallel, and this is {self.placement}")
        if self.transform == "attention" and self.placement == "none":
            raise RecordError("transform = attention needs a transformer, and placement is none")


class STN(ImageClassifier):
    """Layers for features: transformer (the transformed images, or maps), first, second, hidden."""

    Config = STNConfig
    config: STNConfig
    augmentation = ()
    head_module = "fc"

    def __init__(self, config: STNConfig) -> None:
        super().__init__(config, smallest=16 if config.placement == "inner" else 8)
        channels, f = config.channels, config.filters
        if config.placement in ("input", "parallel"):
            count = (config.transformers or 2) if config.placement == "parallel" else 1
            self.transformer = Parallel(count, channels, config)
            channels *= count
        self.first = nn.Sequential(nn.Conv2d(channels, f, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        if config.placement == "inner":
            self.transformer = Parallel(1, f, config)
        self.second = nn.Sequential(nn.Conv2d(f, 2 * f, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        places = (config.height // 4) * (config.width // 4)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(2 * f * places, 128), nn.ReLU())
        self.fc = nn.Linear(128, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        placement = self.config.placement
        if placement in ("input", "parallel"):
            x = self.transformer(x)
        x = self.first(x)  # [B, f, H/2, W/2]
        if placement == "inner":
            x = self.transformer(x)
        logits: Tensor = self.fc(self.hidden(self.second(x)))
        return logits

    def theta(self, x: Tensor) -> Tensor:
        """The transformations of x [B, C, H, W]: [B, transformers, 2, 3], from places of the result to places of x.

        Raises:
            UsageError: the model has no transformer.
        """
        if self.config.placement == "none":
            raise UsageError("this model has no spatial transformer: its placement is none")
        x = self.first(x) if self.config.placement == "inner" else x
        transformers = cast(Iterable[SpatialTransformer], self.transformer)
        return torch.stack([transformer.theta(x) for transformer in transformers], 1)

    def transform(self, x: Tensor) -> Tensor:
        """What the classifier sees in place of x, [B, C, H, W]; of parallel transformers the results side by side,
        [B, transformers C, H, W]. An inner transformer's is applied to the image, to show it.

        Raises:
            UsageError: the model has no transformer.
        """
        thetas = self.theta(x).unbind(1)
        return torch.cat([sample(x, affine_grid(theta, *x.shape[2:])) for theta in thetas], 1)

    def optimizers(self) -> dict[str, Optimizer]:
        adamw = Optimizer(kind="adamw", lr=2e-3, options={"weight_decay": 0.01}, decay=one_cycle)
        return {"main": adamw} if self.config.optimizer == "adamw" else super().optimizers()


class SpatialTransformer(nn.Module):
    """x [B, C, H, W] -> x read at the places that the localisation network chose, the same shape."""

    def __init__(self, channels: int, config: STNConfig) -> None:
        super().__init__()
        affine = config.transform == "affine"
        self.localise = nn.Sequential(
            nn.AvgPool2d(2),  # where to look can be seen at half the size
            nn.Conv2d(channels, 20, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 20, 5, padding=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(7),
            nn.Flatten(),
            nn.Linear(20 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, 6 if affine else 3),
        )
        last = self.localise[-1]
        nn.init.zeros_(last.get_parameter("weight"))  # it begins with the identity
        identity = torch.tensor([1.0, 0, 0, 0, 1, 0] if affine else [1.0, 0, 0])
        with torch.no_grad():
            last.get_parameter("bias").copy_(identity)

    def theta(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 2, 3]."""
        numbers: Tensor = self.localise(x).float()
        if numbers.shape[1] == 6:
            return numbers.view(-1, 2, 3)
        scale, shift = numbers[:, :1, None], numbers[:, 1:, None]
        return torch.cat([scale * torch.eye(2, device=x.device), shift], 2)  # attention ([1], equation 2)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(x)
        with torch.autocast(x.device.type, enabled=False):  # a place in bf16 may be pixels away
            return sample(x, affine_grid(theta, *x.shape[2:]))


class Parallel(nn.ModuleList):
    """Several transformers of the same x, their results side by side: [B, C, H, W] -> [B, count C, H, W]."""

    def __init__(self, count: int, channels: int, config: STNConfig) -> None:
        super().__init__(SpatialTransformer(channels, config) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([transformer(x) for transformer in self], 1)


def affine_grid(theta: Tensor, height: int, width: int, *, align_corners: bool = False) -> Tensor:
    """The places that theta [B, 2, 3] gives each pixel of the result: [B, H, W, 2] ([1], equation 1).

    With `align_corners`, -1 and 1 are the centres of the outermost pixels, else their outer edges.
    """
    y, x = (_places(size, align_corners, theta) for size in (height, width))
    ones = torch.ones(height, width, device=theta.device, dtype=theta.dtype)
    target = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), ones], 2)  # [H, W, 3]
    return torch.einsum("hwk,bik->bhwi", target, theta)


def _places(size: int, align_corners: bool, like: Tensor) -> Tensor:
    """The coordinates of the pixels' centres along one side, [size]."""
    edge = 1.0 if align_corners else 1 - 1 / size
    return torch.linspace(-edge, edge, size, device=like.device, dtype=like.dtype)


def sample(x: Tensor, grid: Tensor, *, align_corners: bool = False) -> Tensor:
    """x [B, C, H, W] read at grid [B, h, w, 2], zero outside: [B, C, h, w]; bilinear ([1], equation 5)."""
    _, channels, height, width = x.shape
    sizes = torch.tensor([width, height], device=x.device, dtype=grid.dtype)
    place = (grid + 1) / 2 * (sizes - 1) if align_corners else ((grid + 1) * sizes - 1) / 2  # in pixels
    corner = place.detach().floor()
    near = 1 - (place - corner)  # how near, in x and y, the upper left of the four neighbours is; [B, h, w, 2]
    pixels = x.flatten(2)  # [B, C, HW]
    result = torch.zeros((), device=x.device, dtype=x.dtype)
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = corner[..., 0] + right, corner[..., 1] + below  # [B, h, w]
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        number = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
        values = pixels.gather(2, number.flatten(1)[:, None].expand(-1, channels, -1)).unflatten(2, number.shape[1:])
        weight = (right + (1 - 2 * right) * near[..., 0]) * (below + (1 - 2 * below) * near[..., 1])
        result = result + values * (weight * inside)[:, None]
    return result
