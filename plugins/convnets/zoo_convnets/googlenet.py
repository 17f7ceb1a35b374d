"""GoogLeNet, or Inception v1: modules that look at each place with filters of several sizes at once.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    googlenet-small.cifar10-jpeg75: accuracy 0.8779 ± 0.0033 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after
        normalize; 1 run, 0.96 h

Follows Szegedy et al., "Going Deeper with Convolutions", 2014 (arXiv:1409.4842) [1]: the nine inception modules of its
table 1, and two auxiliary classifiers that bring gradients to the middle of the network, with weight 0.3. These serve
training only. The names of the tensors are torchvision's.

Variants:
    batch-norm  torchvision's, whose published weights fit: batch normalisation after every convolution (Ioffe and
                Szegedy, 2015), and 3x3 where [1] has 5x5; 6,624,904 parameters, 13,004,888 with the auxiliary ones.
    2014        as in [1]: 5x5, biases, local response normalisation; 6,998,552 and 13,378,280 parameters.
    small       for images of 32 x 32: one 3x3 convolution as the stem, modules 3a to 4e and one auxiliary classifier,
                at half the width, with batch normalisation and 5x5.

Departs from [1]:
    * the auxiliary classifiers see 4 x 4 places by adaptive pooling, where [1] has 5x5 pooling with stride 3
    * the rate follows one cycle (`optimizers.py`)

NOTE: weights of torchvision that came from TensorFlow want images from -1 to 1: a `normalize` step with mean and std
0.5.

Axes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig, fresh
from zoo_core import Loss, RecordError

AUXILIARY_WEIGHT = 0.3  # of the loss of each auxiliary classifier ([1], section 5)


class Widths(NamedTuple):
    """Channels of an inception module, the columns of [1], table 1."""

    one: int  # 1x1
    three_reduced: int  # 1x1 before 3x3
    three: int
    five_reduced: int  # 1x1 before 5x5
    five: int
    pooled: int  # 1x1 after pooling


MODULES = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}
SMALL = {name: Widths(*(width // 2 for width in MODULES[name])) for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e")}


class GoogLeNetConfig(ImageClassifierConfig, kw_only=True):
    """Which of the networks."""

    variant: Literal["batch-norm", "2014", "small"] = "batch-norm"
    auxiliary: bool = True  # whether the auxiliary classifiers are there
    dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None  # null: 0.4 in variant 2014, as in [1], else 0.2
    auxiliary_dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None  # null: 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auxiliary_dropout is not None and not self.auxiliary:
            raise RecordError("auxiliary_dropout is for auxiliary = true")


class GoogLeNet(ImageClassifier):
    """Layers for features: conv1, conv3, inception3a … inception5b."""

    Config = GoogLeNetConfig
    config: GoogLeNetConfig
    key_maps = {"torchvision": {}}
    head_module = "fc"

    def __init__(self, config: GoogLeNetConfig) -> None:
        small, paper = config.variant == "small", config.variant == "2014"
        super().__init__(config, smallest=8 if small else 32)
        self.sgd_lr = 0.01 if paper else 0.1
        conv = partial(Convolution, batch_norm=not paper)
        self.conv1 = conv(config.channels, 64, 3) if small else conv(config.channels, 64, 7, stride=2)
        if not small:
            self.conv2 = conv(64, 64, 1)
            self.conv3 = conv(64, 192, 3)
        self.widths = SMALL if small else MODULES
        self.taps = {"4a": "aux1"} if small else {"4a": "aux1", "4d": "aux2"}  # module -> who looks at its result
        channels = 64 if small else 192
        for name, widths in self.widths.items():
            module = Inception(channels, widths, large=3 if config.variant == "batch-norm" else 5, batch_norm=not paper)
            self.add_module(f"inception{name}", module)
            channels = module.channels
            if config.auxiliary and name in self.taps:
                dropout = 0.7 if config.auxiliary_dropout is None else config.auxiliary_dropout
                width = 512 if small else 1024
                auxiliary = AuxiliaryClassifier(channels, width, config.classes, dropout, batch_norm=not paper)
                self.add_module(self.taps[name], auxiliary)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout((0.4 if paper else 0.2) if config.dropout is None else config.dropout)
        self.fc = nn.Linear(channels, config.classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._all_logits(x, auxiliary=False)[0]

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the softmax of the logits, in nats; while training, with 0.3 of the auxiliary ones."""
        logits, *auxiliary = self._all_logits(batch["image"], auxiliary=self.config.auxiliary and self.training)
        loss = self.cross_entropy(logits, batch["label"])
        for others in auxiliary:
            value = loss.value + AUXILIARY_WEIGHT * self.cross_entropy(others, batch["label"]).value
            loss = loss._replace(value=value)
        return loss

    def _all_logits(self, x: Tensor, *, auxiliary: bool) -> list[Tensor]:
        """The logits, and those of the auxiliary classifiers if asked for, [B, K] each."""
        others = []
        x = self._stem(x)
        for name in self.widths:
            if name in ("4a", "5a"):
                # torchvision's pooling before 5a is 2x2, that of [1] is 3x3
                kernel = 2 if name == "5a" and self.config.variant == "batch-norm" else 3
                x = halve(x, kernel)
            x = self.get_submodule(f"inception{name}")(x)
            if auxiliary and name in self.taps:
                others.append(self.get_submodule(self.taps[name])(x))
        x = self.avgpool(x).flatten(1)  # [B, 1024]
        return [self.fc(self.dropout(x)), *others]

    def _stem(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 192, H/8, W/8]; for small images [B, 64, H/2, W/2]."""
        x = halve(self.conv1(x))
        if self.config.variant == "small":
            return x
        x = self.conv3(self.conv2(self._normalise(x)))
        return halve(self._normalise(x))

    def _normalise(self, x: Tensor) -> Tensor:
        """Local response normalisation, where the variant has it."""
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75) if self.config.variant == "2014" else x

    def reset_head(self, n: int) -> None:
        """Fresh last layers with n outputs, those of the auxiliary classifiers included."""
        super().reset_head(n)
        if self.config.auxiliary:
            for name in self.taps.values():
                auxiliary = self.get_submodule(name)
                auxiliary.fc2 = fresh(auxiliary.get_submodule("fc2"), n)


class Inception(nn.Module):
    """Four branches side by side, [B, C, H, W] -> [B, channels, H, W] ([1], figure 2b)."""

    def __init__(self, c_in: int, widths: Widths, *, large: int, batch_norm: bool) -> None:
        super().__init__()
        w, conv = widths, partial(Convolution, batch_norm=batch_norm)
        self.channels = w.one + w.three + w.five + w.pooled
        self.branch1 = conv(c_in, w.one, 1)
        self.branch2 = nn.Sequential(conv(c_in, w.three_reduced, 1), conv(w.three_reduced, w.three, 3))
        self.branch3 = nn.Sequential(conv(c_in, w.five_reduced, 1), conv(w.five_reduced, w.five, large))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(c_in, w.pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryClassifier(nn.Module):
    """[B, C, H, W] -> [B, K] ([1], section 5, where the width is 1024)."""

    def __init__(self, c_in: int, width: int, classes: int, dropout: float, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = Convolution(c_in, width // 8, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)  # [B, 2 width]
        logits: Tensor = self.fc2(self.dropout(F.relu(self.fc1(x))))
        return logits


class Convolution(nn.Module):
    """Convolution and ReLU, with batch normalisation between them or a bias; keeps the size at stride 1."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=not batch_norm)
        if batch_norm:
            self.bn = nn.BatchNorm2d(c_out, eps=1e-3)
        self.batch_norm = batch_norm

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu(self.bn(x) if self.batch_norm else x, inplace=True)


def halve(x: Tensor, kernel: int = 3) -> Tensor:
    """Max pooling with stride 2, rounding sizes up: [B, C, H, W] -> [B, C, H/2, W/2]."""
    return F.max_pool2d(x, kernel, 2, ceil_mode=True)
