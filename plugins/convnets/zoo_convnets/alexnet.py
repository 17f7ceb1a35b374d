"""AlexNet: five convolutions and three linear layers.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    alexnet-small.cifar10-jpeg75: accuracy 0.8451 ± 0.0036 fraction (cifar10-jpeg75 test), n = 10,000, top-1, after
        normalize; 1 run, 1.7 h

Follows Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012
[1]: ReLUs ([1], 3.1), overlapping max pooling (3.4), dropout before the linear layers (4.2).

Variants:
    one-column  for one processor, after Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
                2014 (arXiv:1404.5997) [2], with the 64-192-384-256-256 filters of its author's code and of torchvision,
                where the text of [2] has 64-192-384-384-256; 61,100,840 parameters, torchvision's names.
    2012        as in [1]: convolutions 2, 4 and 5 see one half of the channels (there, the half on their own
                processor), and responses are normalised locally (3.3); 60,965,224 parameters. Images of 227 x 227,
                which [1] calls 224 x 224, become 55 x 55, 27 x 27, 13 x 13 and 6 x 6.
    small       the same plan for images of 32 x 32.

Departs from [1]:
    * adaptive average pooling makes the maps 6 x 6 for every size, and changes nothing where they are that already
    * weights start at He's, but for a last layer so small that all classes are alike at first; [1], and "2012" here,
      start all weights at N(0, 0.01)

Axes: B batch, C channels, H height, W width, K classes.
"""

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig


class Convolution(NamedTuple):
    """One of the five, with what follows it."""

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    padding: int | None = None  # None: as many places come out as go in
    normalise: bool = False
    pool: bool = False


CONVOLUTIONS = {
    "one-column": (
        Convolution(64, 11, stride=4, padding=2, pool=True),
        Convolution(192, 5, pool=True),
        Convolution(384, 3),
        Convolution(256, 3),
        Convolution(256, 3, pool=True),
    ),
    "2012": (
        Convolution(96, 11, stride=4, padding=0, normalise=True, pool=True),
        Convolution(256, 5, groups=2, normalise=True, pool=True),
        Convolution(384, 3),
        Convolution(384, 3, groups=2),
        Convolution(256, 3, groups=2, pool=True),
    ),
    "small": (
        Convolution(64, 3, pool=True),
        Convolution(128, 3, pool=True),
        Convolution(256, 3),
        Convolution(192, 3),
        Convolution(128, 3, pool=True),
    ),
}
HIDDEN = {"one-column": 4096, "2012": 4096, "small": 512}  # features of the two hidden linear layers
PLACES = {"one-column": 6, "2012": 6, "small": 3}  # a side, of what the first of them sees
SMALLEST = {"one-column": 63, "2012": 67, "small": 15}  # pixels a side that leave one place after the last pooling


class AlexNetConfig(ImageClassifierConfig, kw_only=True):
    """Which of the networks."""

    variant: Literal["one-column", "2012", "small"] = "one-column"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5


class AlexNet(ImageClassifier):
    """Layers by the paper's names, for features: conv1 … conv5, fc6, fc7."""

    Config = AlexNetConfig
    config: AlexNetConfig
    key_maps = {"torchvision": {}}
    head_module = "classifier.6"

    def __init__(self, config: AlexNetConfig) -> None:
        super().__init__(config, smallest=SMALLEST[config.variant])
        self.sgd_lr = 0.02 if config.variant == "small" else 0.01  # [1], 5
        layers: list[nn.Module] = []
        self.aliases = {"fc6": "classifier.2", "fc7": "classifier.5"}
        channels = config.channels
        for number, convolution in enumerate(CONVOLUTIONS[config.variant], start=1):
            self.aliases[f"conv{number}"] = f"features.{len(layers) + 1}"
            layers += stage(channels, convolution)
            channels = convolution.channels
        hidden, places = HIDDEN[config.variant], PLACES[config.variant]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(places)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(channels * places**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, config.classes),
        )
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        maps = self.avgpool(self.features(x))  # [B, 256, 6, 6]
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits

    def _initialise(self) -> None:
        paper = self.config.variant == "2012"
        convolutions = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        linears = [layer for layer in self.classifier if isinstance(layer, nn.Linear)]
        weighted: list[nn.Conv2d | nn.Linear] = [*convolutions, *linears]
        for module in weighted:
            if paper:
                nn.init.normal_(module.weight, std=0.01)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.get_parameter("bias"))
        nn.init.normal_(linears[-1].weight, std=0.01 if paper else 0.001)
        if paper:  # ones feed the ReLUs with positive inputs from the start ([1], 5)
            for layer in (convolutions[1], *convolutions[3:], *linears[:2]):
                nn.init.ones_(layer.get_parameter("bias"))


def stage(c_in: int, convolution: Convolution) -> list[nn.Module]:
    """A convolution, its ReLU, and the normalisation and pooling that follow some of them."""
    c, kernel = convolution.channels, convolution.kernel
    padding = kernel // 2 if convolution.padding is None else convolution.padding
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c, kernel, convolution.stride, padding, groups=convolution.groups),
        nn.ReLU(inplace=True),
    ]
    if convolution.normalise:
        # torch divides alpha by the number of channels it sums over, [1] does not (3.3: k 2, n 5, alpha 1e-4, beta .75)
        layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2))
    if convolution.pool:
        layers.append(nn.MaxPool2d(3, stride=2))
    return layers
