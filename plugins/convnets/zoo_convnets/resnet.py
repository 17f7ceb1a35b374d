"""ResNet: layers that add to their input.

Published weights, and what each measures; hours of training on CPUs:

    resnet20.cifar10-jpeg75: accuracy 0.8709 ± 0.0034 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after
        normalize; 1 run, 1.4 h
    plain20.cifar10-jpeg75: accuracy 0.8552 ± 0.0035 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after normalize;
        1 run, 1 h

Follows He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385) [1]: 18 to 152
layers of its table 1 for photographs, and the narrow networks of 6n + 2 layers of its section 4.2 for 32 x 32 pixels,
with the plain ones beside them that have no shortcuts. The names of the tensors are torchvision's.

Departs from [1]:
    * the rate follows one cycle, which is made for few epochs; [1] divides it by 10 where the error stops falling (3.4)
      or after fixed numbers of steps (4.2)
    * momentum is Nesterov's, and weight decay goes with the optimizer, 5e-4 with SGD (`optimizers.py`); 1e-4 in [1]
    * a bottleneck that halves the size does so in its 3x3 convolution, as for all published weights of torchvision and
      timm; [1] does so in its first 1x1: `stride_in=1x1` has the same tensors, and is another function

Axes: B batch, C channels, H height, W width, K classes.
"""

from typing import Annotated, Literal

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo_core import RecordError

Blocks = Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]
EXPANSION = 4  # of a bottleneck: channels of its result, in filters


class ResNetConfig(ImageClassifierConfig, kw_only=True):
    """Depth, number of filters, and what the residual branches look like."""

    blocks: Blocks = (3, 4, 6, 3)  # of each stage; each has twice the filters of the last
    bottleneck: bool = True  # 1x1, 3x3, 1x1 convolutions in a block; else 3x3, 3x3
    filters: Annotated[int, Meta(ge=1)] = 64  # channels of the first stage's 3x3 convolutions
    stride_in: Literal["3x3", "1x1"] = "3x3"  # of a bottleneck that halves the size
    small_images: bool = False  # starts with one 3x3 convolution, else with 7x7 and pooling, which divide by 4
    shortcut: Literal["projection", "padding", "none"] = "projection"  # where sizes change: B, A of [1], 3.3; or plain
    zero_start: bool = False  # whether each residual branch starts as zero

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride_in == "1x1" and not self.bottleneck:
            raise RecordError("stride_in = 1x1 is for bottleneck = true; other blocks have no 1x1 convolution")
        if self.zero_start and self.shortcut == "none":
            raise RecordError(
                "zero_start needs shortcuts: without them every block would give 0, and nothing would learn"
            )


class ResNet(ImageClassifier):
    """Layers for features: layer1 … layer4, and each block: layer3.5."""

    Config = ResNetConfig
    config: ResNetConfig
    key_maps = {"torchvision": {}, "timm": {}}
    head_module = "fc"

    def __init__(self, config: ResNetConfig) -> None:
        halvings = len(config.blocks) - 1 + (0 if config.small_images else 2)
        super().__init__(config, smallest=2**halvings // 2 + 1)  # the last one has more than a pixel to halve
        channels = filters = config.filters
        kernel, stride = (3, 1) if config.small_images else (7, 2)
        self.conv1 = nn.Conv2d(config.channels, channels, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for number, count in enumerate(config.blocks, start=1):
            stage = nn.Sequential()
            for position in range(count):
                halves = position == 0 and number > 1
                block = (Bottleneck if config.bottleneck else Basic)(channels, filters, 2 if halves else 1, config)
                stage.append(block)
                channels = block.channels
            self.add_module(f"layer{number}", stage)
            filters *= 2
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, config.classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        # The sum of many blocks is large (Goyal et al., 2017, arXiv:1706.02677, 5.1).
        nn.init.normal_(self.fc.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if not self.config.small_images:
            x = F.max_pool2d(x, 3, 2, 1)  # [B, 64, H/4, W/4]
        for number in range(1, len(self.config.blocks) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class Block(nn.Module):
    """relu(x + residual(x)), [B, C_in, H, W] -> [B, channels, H/stride, W/stride] ([1], figure 2)."""

    def __init__(self, c_in: int, channels: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        self.plain = config.shortcut == "none"
        self.downsample: nn.Module | None = None
        if config.shortcut == "projection" and (stride > 1 or c_in != channels):
            self.downsample = nn.Sequential(nn.Conv2d(c_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        return F.relu(out if self.plain else out.add_(self.shortcut(x)), inplace=True)

    def residual(self, x: Tensor) -> Tensor:
        """What is added to the input."""
        raise NotImplementedError

    def shortcut(self, x: Tensor) -> Tensor:
        """The input in the shape of the result."""
        if self.downsample is not None:
            projected: Tensor = self.downsample(x)
            return projected
        if self.stride == 1 and x.shape[1] == self.channels:
            return x
        x = F.avg_pool2d(x, 1, self.stride)  # every second pixel; slicing would give up channels last going back
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))  # option A: new channels are zero


class Basic(Block):
    """3x3, 3x3 ([1], figure 5, left)."""

    def __init__(self, c_in: int, filters: int, stride: int, config: ResNetConfig) -> None:
        super().__init__(c_in, filters, stride, config)
        self.conv1 = nn.Conv2d(c_in, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        if config.zero_start:
            nn.init.zeros_(self.bn2.weight)

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.bn2(self.conv2(x))
        return x


class Bottleneck(Block):
    """1x1 to fewer channels, 3x3, 1x1 to more ([1], figure 5, right)."""

    def __init__(self, c_in: int, filters: int, stride: int, config: ResNetConfig) -> None:
        channels = EXPANSION * filters
        super().__init__(c_in, channels, stride, config)
        first, second = (stride, 1) if config.stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(c_in, filters, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.conv3 = nn.Conv2d(filters, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        if config.zero_start:
            nn.init.zeros_(self.bn3.weight)

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.bn3(self.conv3(x))
        return x
