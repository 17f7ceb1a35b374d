"""Densities as detectors of outliers: does what they were not trained on get a lower likelihood?

An outlier is the positive class, and the score, larger for what is more anomalous, is -log p(x). AUROC is the
probability that a random outlier has a larger score than a random inlier: 1/2 is chance, and below it outliers look
MORE normal than the model's own kind. Densities are known for that (Nalisnick et al., "Do deep generative models know
what they don't know?", 2019, arXiv:1810.09136): a likelihood is high for what is simple too.

Axes: B batch, m inliers, n outliers.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core import AnyModel, Dataset, Field, Measurement, Metric, UsageError, default_registry

BATCH = 100  # outliers at a time; no result depends on it


def auroc(inliers: Tensor, outliers: Tensor, *, paired: bool = False) -> tuple[float, float | None]:
    """The area under the ROC curve of scores [m] and [n], and its standard error; ties count half.

    The standard error is that of DeLong et al., "Comparing the areas under two or more correlated receiver operating
    characteristic curves", 1988: the area is the mean over the outliers of the share of inliers below each, and the
    mean over the inliers of the share of outliers above each, and both spread. `paired` says that outlier i was made of
    inlier i, so that the two spread together. One example has no standard error.

    Raises:
        UsageError: a side is empty, or a score is not a number.
    """
    if not len(inliers) or not len(outliers):
        raise UsageError("an AUROC needs inliers and outliers")
    if inliers.isnan().any() or outliers.isnan().any():
        raise UsageError("a score is not a number")
    inliers, outliers = inliers.double(), outliers.double()
    below = share_below(inliers, outliers)  # [n]
    above = 1 - share_below(outliers, inliers)  # [m]
    if min(len(inliers), len(outliers)) < 2:
        variance = math.nan
    elif paired:
        variance = (below + above).var().item() / len(inliers)
    else:
        variance = above.var().item() / len(inliers) + below.var().item() / len(outliers)
    return below.mean().item(), None if math.isnan(variance) else math.sqrt(variance)


def share_below(scores: Tensor, at: Tensor) -> Tensor:
    """The share of `scores` [m] below each of `at` [n], equal ones counted half, [n]."""
    scores = scores.sort().values
    twice = torch.searchsorted(scores, at) + torch.searchsorted(scores, at, right=True)
    return twice.double() / (2 * len(scores))


class OutlierAuroc(Metric):
    """AUROC of -log p(x) between the examples of a split and some kind of outliers."""

    requires = "Density"
    on_request = True  # a second kind of images to score
    paired: ClassVar[bool] = False
    outlier_kind: ClassVar[str]

    def __init__(self) -> None:
        self.inliers: list[Tensor] = []  # [B] float64, one a batch
        self.outliers: list[Tensor] = []

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        self.inliers.append(strangeness(model, model.subject_of(batch)))

    def merge(self, other: Self) -> None:
        self.inliers += other.inliers

    def compute(self) -> Measurement:
        empty = torch.empty(0)
        inliers, outliers = torch.cat([empty, *self.inliers]), torch.cat([empty, *self.outliers])
        value, stderr = auroc(inliers, outliers, paired=self.paired)
        estimator = f"-log p(x); {len(outliers):,} outliers: {self.outlier_kind}; standard error by DeLong"
        return Measurement(value=value, stderr=stderr, n=len(inliers), estimator=estimator)


class RotatedAuroc(OutlierAuroc):
    """Outliers are the examples themselves, turned by 90 degrees: as many pixels of every value, another kind."""

    paired = True
    outlier_kind = "the same images turned by 90 degrees, counter-clockwise"

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        shape = _image_field(model).shape
        if shape[1] != shape[2]:
            raise UsageError(f"images of {shape[2]}x{shape[1]} pixels cannot be turned by 90 degrees")

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        super().update(model, batch)
        self.outliers.append(strangeness(model, torch.rot90(model.subject_of(batch), 1, (2, 3))))

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.outliers += other.outliers


class OmniglotAuroc(OutlierAuroc):
    """Outliers are characters: Omniglot's test split as the model's kind of images, see `as_digits`."""

    outlier_kind = "Omniglot test, ink made bright, resized, rounded to the levels"

    @torch.no_grad()
    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        characters = default_registry().open_dataset("omniglot")
        images = characters.batch("test", torch.arange(characters.size("test")))["image"]
        for part in as_digits(images, _image_field(model)).to(model.device).split(BATCH):
            self.outliers.append(strangeness(model, part))


def as_digits(characters: Tensor, field: Field) -> Tensor:
    """Characters [n, 1, 105, 105], dark ink on white, as images of digits are: ink bright; size, channels and levels
    those of `field`, values rounded to the nearest level.

    NOTE: drawing the bits with grey levels as probabilities, as was done for the static MNIST, would be a worse test.
    At this size all strokes are grey, and break: models would be praised for telling noise from strokes.
    """
    channels, height, width = cast(tuple[int, int, int], field.shape)
    ink = F.interpolate(1 - characters, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    if field.levels:
        ink = (ink * (field.levels - 1)).round() / (field.levels - 1)
    return ink.expand(-1, channels, -1, -1)


def strangeness(model: AnyModel, x: Tensor) -> Tensor:
    """-log p(x), [B] float64."""
    return -model.log_prob(x).detach().cpu().double()


def _image_field(model: AnyModel) -> Field:
    field = model.signature().get("image")
    if field is None:
        raise UsageError("only images can be told from other images, and this model takes none")
    return field
