"""ResNet-9: a small residual network that trains fast.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    resnet9.cifar10-jpeg75: accuracy 0.8957 ± 0.0031 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after normalize;
        1 run, 1.1 h

Follows the network of D. Page, "How to train your ResNet", 2018-2019 (myrtle.ai), which won the DAWNBench of that time
for CIFAR-10 [1]: four convolutions, two residual pairs, and one linear layer whose logits are scaled down.

As in its later parts, label smoothing is 0.2, and crops mirror the border.

Departs from [1]:
    * trained with Muon instead of SGD
    * no half-precision weights
    * half of the filters

Axes: B batch, C channels, H height, W width, K classes.
"""

from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig


class ResNet9Config(ImageClassifierConfig, kw_only=True):
    """Number of filters, and the scale of the logits."""

    filters: Annotated[int, Meta(ge=1)] = 32  # channels of the first convolution; [1] has 64
    logit_scale: Annotated[float, Meta(gt=0)] = 0.125  # without it the high learning rate makes the loss explode
    label_smoothing: Annotated[float, Meta(ge=0, le=1)] = 0.2
    optimizer: Literal["sgd", "adamw", "muon"] = "muon"


class ResNet9(ImageClassifier):
    """Layers for features: prep, layer1, layer2, layer3."""

    Config = ResNet9Config
    config: ResNet9Config
    head_module = "linear"
    augmentation = ("crop:padding=4,mode=reflect", "flip", "cutout:size=8")

    def __init__(self, config: ResNet9Config) -> None:
        super().__init__(config, smallest=8)
        f = config.filters
        self.prep = convolution(config.channels, f)
        self.layer1 = nn.Sequential(convolution(f, 2 * f), nn.MaxPool2d(2), Residual(2 * f))  # [B, 2f, H/2, W/2]
        self.layer2 = nn.Sequential(convolution(2 * f, 4 * f), nn.MaxPool2d(2))
        self.layer3 = nn.Sequential(convolution(4 * f, 8 * f), nn.MaxPool2d(2), Residual(8 * f))  # [B, 8f, H/8, W/8]
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(8 * f, config.classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.prep(x))))
        logits: Tensor = self.config.logit_scale * self.linear(self.pool(x).flatten(1))
        return logits


class Residual(nn.Module):
    """x + two convolutions of x, [B, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(convolution(channels, channels), convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.convolutions(x)
        return x + residual


def convolution(c_in: int, c_out: int) -> nn.Sequential:
    """3x3, batch normalisation, ReLU: [B, C_in, H, W] -> [B, C_out, H, W]."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))
