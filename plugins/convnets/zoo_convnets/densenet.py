"""DenseNet: each layer sees the results of all layers before it in its block.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    densenet-bc-40.cifar10-jpeg75: accuracy 0.8612 ± 0.0035 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after
        normalize; 1 run, 1.1 h

Follows Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", 2016
(arXiv:1608.06993) [1]: the networks of its table 1 for photographs, and DenseNet-BC for 32 x 32 pixels (section 3.4). A
layer adds `growth` channels (k in [1]); its 1x1 convolution first makes 4k of what is there (B), and a transition
halves the channels between blocks (C). The names of the tensors are torchvision's; the files that it publishes are of
2017 and have older ones.

Departs from [1]:
    * batches of 128, where [1] has 64 for 32 x 32 pixels
    * the rate follows one cycle, which is made for few epochs; [1] divides it by 10 after a half and three quarters of
      300 epochs (4.2)
    * weight decay goes with the optimizer, 5e-4 with SGD (`optimizers.py`); 1e-4 in [1]

Axes: B batch, C channels, H height, W width, K classes.
"""

import re
from collections import OrderedDict
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig

BOTTLENECK = 4  # channels that a 1x1 convolution makes for the 3x3 one, in growths ([1], 3)


class DenseNetConfig(ImageClassifierConfig, kw_only=True):
    """Depth and growth."""

    blocks: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)] = (6, 12, 24, 16)  # layers of each
    growth: Annotated[int, Meta(ge=1)] = 32  # k, channels that a layer adds; the first convolution makes 2k
    small_images: bool = False  # starts with one 3x3 convolution, else with 7x7 and pooling, which divide by 4
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # after each layer; [1] has 0.2 where images are not augmented


class DenseNet(ImageClassifier):
    """Layers for features: features.denseblock1, features.transition1, … features.norm5."""

    Config = DenseNetConfig
    config: DenseNetConfig
    head_module = "classifier"

    def __init__(self, config: DenseNetConfig) -> None:
        halvings = len(config.blocks) - 1 + (0 if config.small_images else 2)
        super().__init__(config, smallest=2**halvings)
        channels = 2 * config.growth
        if config.small_images:
            stem: dict[str, nn.Module] = {"conv0": nn.Conv2d(config.channels, channels, 3, 1, 1, bias=False)}
        else:
            stem = {
                "conv0": nn.Conv2d(config.channels, channels, 7, 2, 3, bias=False),
                "norm0": nn.BatchNorm2d(channels),
                "relu0": nn.ReLU(inplace=True),
                "pool0": nn.MaxPool2d(3, 2, 1),
            }
        self.features = nn.Sequential(OrderedDict(stem))
        for number, count in enumerate(config.blocks, start=1):
            if number > 1:
                self.features.add_module(f"transition{number - 1}", Transition(channels, channels // 2))
                channels //= 2
            self.features.add_module(f"denseblock{number}", DenseBlock(channels, count, config))
            channels += count * config.growth
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, config.classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)
        old = {name: re.sub(r"(norm|conv)([12])", r"\1.\2", name) for name in self.state_dict()}  # in dense layers only
        self.key_maps = {"torchvision": {}, "timm": {}, "torchvision-2017": old}

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x), inplace=True)
        logits: Tensor = self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


class DenseBlock(nn.Module):
    """`count` layers: [B, C, H, W] -> [B, C + count k, H, W]."""

    def __init__(self, c_in: int, count: int, config: DenseNetConfig) -> None:
        super().__init__()
        for number in range(count):
            layer = DenseLayer(c_in + number * config.growth, config.growth, config.dropout)
            self.add_module(f"denselayer{number + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseLayer(nn.Module):
    """The k channels that a layer adds: [B, C, H, W] -> [B, k, H, W]."""

    def __init__(self, c_in: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(self.norm1(x), inplace=True))
        x = self.conv2(F.relu(self.norm2(x), inplace=True))
        return F.dropout(x, self.dropout, self.training)


class Transition(nn.Sequential):
    """Fewer channels, half the size: [B, C, H, W] -> [B, C_out, H/2, W/2]."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(c_in)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.pool = nn.AvgPool2d(2)
