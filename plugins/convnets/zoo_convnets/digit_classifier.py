"""A small classifier of handwritten digits, for distances between sets of digits.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    digit-classifier.mnist: accuracy 0.9931 ± 0.00083 fraction (mnist test), n = 10,000, top-1; 1 run, 0.21 h

Three convolutions, each halved by max pooling, then 64 features after a ReLU and the logits. Its 64 features play for
digits the part that the last pooling layer of Inception plays for photographs in the Frechet distance of Heusel et al.,
2017 (arXiv:1706.08500): a space in which what matters of a digit is near and what does not is far.

NOTE: distances and scores hold for one classifier only: name its release and hash beside them.
"""

from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.image_classifier import ImageClassifier, ImageClassifierConfig

FEATURES = 64


class DigitClassifierConfig(ImageClassifierConfig, kw_only=True):
    """Sizes."""

    channels: Annotated[int, Meta(ge=1, le=1024)] = 1  # grey
    height: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    width: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    classes: Annotated[int, Meta(ge=1)] = 10
    optimizer: Literal["sgd", "adamw", "muon"] = "adamw"
    filters: Annotated[int, Meta(ge=1)] = 32  # channels of the first convolution; the others have twice as many


class DigitClassifier(ImageClassifier):
    """Images in [0, 1]; the layer named "features" gives [B, 64]."""

    Config = DigitClassifierConfig
    config: DigitClassifierConfig
    augmentation = ()
    head_module = "classifier"

    def __init__(self, config: DigitClassifierConfig) -> None:
        super().__init__(config, smallest=8)
        f = config.filters
        self.convolutions = nn.Sequential(
            *halving(config.channels, f),
            *halving(f, 2 * f),
            *halving(2 * f, 2 * f),
        )
        places = (config.height // 8) * (config.width // 8)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(2 * f * places, FEATURES), nn.ReLU())
        self.classifier = nn.Linear(FEATURES, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x)  # [B, 2f, H/8, W/8]
        logits: Tensor = self.classifier(self.features(maps))
        return logits


def halving(c_in: int, c_out: int) -> list[nn.Module]:
    """[B, C_in, H, W] -> [B, C_out, H/2, W/2]."""
    return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
