"""VGG: nothing but 3x3 convolutions, in blocks that end with max pooling.

Follows Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014
(arXiv:1409.1556) [1]; its table 1 is `convolutions`. The names of the tensors are torchvision's.

Departs from [1]:
    * with `batch_norm` every convolution is followed by batch normalisation (Ioffe and Szegedy, 2015)
    * with `hidden = 0` the three linear layers become the mean over all places and one linear layer, which small images
      need
    * weights start at He's (2015), where [1] trained shallow networks first to start the deep ones

Axes: B batch, C channels, H height, W width, K classes.
"""

from typing import Annotated

from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo_core import RecordError

WIDTHS = (64, 128, 256, 512, 512)  # channels of each block
PLACES = 7  # a side, of what the first linear layer sees: 224 / 2^5


class VGGConfig(ImageClassifierConfig, kw_only=True):
    """How many convolutions each block has ([1], table 1), and what comes after them."""

    convolutions: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=5)] = (2, 2, 3, 3, 3)
    batch_norm: bool = False
    hidden: Annotated[int, Meta(ge=0)] = 4096  # features of two hidden linear layers; 0: none
    dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None  # after each hidden layer; null: 0.5 ([1], 3.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout and not self.hidden:
            raise RecordError("dropout is for hidden layers, and there are none: hidden = 0")


class VGG(ImageClassifier):
    """Layers by the papers' names, for features and styles: conv1_1, relu1_1, … pool5."""

    Config = VGGConfig
    config: VGGConfig
    key_maps = {
        "torchvision": {},
        "timm": {
            f"{ours}.{kind}": f"{theirs}.{kind}"
            for ours, theirs in {
                "classifier.0": "pre_logits.fc1",  # there 7x7 and 1x1 convolutions: the same numbers in the same order
                "classifier.3": "pre_logits.fc2",
                "classifier.6": "head.fc",
            }.items()
            for kind in ("weight", "bias")
        },
    }

    def __init__(self, config: VGGConfig) -> None:
        super().__init__(config, smallest=2 ** len(config.convolutions))
        self.sgd_lr = 0.1 if config.batch_norm else 0.01  # [1], 3.1
        layers: list[nn.Module] = []
        self.aliases = {}
        channels = config.channels
        for block, (width, count) in enumerate(zip(WIDTHS, config.convolutions, strict=False), start=1):
            for number in range(1, count + 1):
                self.aliases[f"conv{block}_{number}"] = f"features.{len(layers)}"
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                if config.batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                self.aliases[f"relu{block}_{number}"] = f"features.{len(layers)}"
                layers.append(nn.ReLU(inplace=True))
                channels = width
            self.aliases[f"pool{block}"] = f"features.{len(layers)}"
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        if config.hidden:
            dropout = 0.5 if config.dropout is None else config.dropout
            self.avgpool = nn.AdaptiveAvgPool2d(PLACES)
            self.head_module = "classifier.6"
            self.classifier: nn.Module = nn.Sequential(
                nn.Linear(channels * PLACES**2, config.hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(config.hidden, config.hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(config.hidden, config.classes),
            )
        else:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.head_module = "classifier"
            self.classifier = nn.Linear(channels, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.get_parameter("bias"))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.avgpool(self.features(x))  # [B, 512, 7, 7], or [B, 512, 1, 1]
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits
