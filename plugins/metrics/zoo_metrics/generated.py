"""Generated images, seen through a classifier of the zoo.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017
(arXiv:1706.08500) [1], for the distance; Salimans et al., "Improved techniques for training GANs", 2016
(arXiv:1606.03498) [2], for the score. Both papers look through an Inception network that was trained on photographs;
here it is `digit-classifier`, so the numbers are no FID and no inception score, and cannot be compared with those.

As many images are generated as there are examples. Axes: n images, D features, K classes.
"""

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from zoo_core import AnyModel, Dataset, Measurement, Metric, UsageError, load
from zoo_metrics.per_example import seeded
from zoo_metrics.train_split import train_batches

CLASSIFIER, FEATURES = "digit-classifier", "features"
SEED = 0


class GeneratedAndReal(Metric):
    """What a classifier says of generated images, and of the examples as the model sees them, after its input steps."""

    requires = "Sampler"
    on_request = True

    classifier: AnyModel  # from `begin` on

    def __init__(self) -> None:
        self.judge_name = ""
        self.generated: list[Tensor] = []  # [B, …] float64, one a batch
        self.real: list[Tensor] = []

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        if n < 2:
            raise UsageError("two images or more are needed")
        image = model.signature().get("image")
        self.classifier = load(CLASSIFIER, device=str(model.device))
        wanted = self.classifier.signature()["image"].shape
        if image is None or image.shape != wanted:
            what = "no images" if image is None else f"images of {image.shape}"
            raise UsageError(f"{CLASSIFIER} is for images of {wanted}, and the model makes {what}")
        model.sample(1, generator=torch.Generator())  # a model that cannot says so now
        report = self.classifier.load_report
        assert report is not None  # it was loaded
        with open(Path(report.folder) / "model.safetensors", "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.judge_name = f"{report.name} (sha256 {sha256})"

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        x = batch[model.subject]
        self.real.append(self.classify(x))
        self.generated.append(self.classify(model.sample(len(x), generator=seeded(batch["index"]))))

    def merge(self, other: Self) -> None:
        self.generated += other.generated
        self.real += other.real

    def __getstate__(self) -> dict[str, Any]:
        """What other processes are told: all but the classifier."""
        return {name: value for name, value in self.__dict__.items() if name != "classifier"}

    def classify(self, images: Tensor) -> Tensor:
        """What the classifier says of images [B, C, H, W] in [0, 1], float64."""
        x: Tensor = self.classifier.preprocess({"image": images.to(self.classifier.device)})["image"]
        return self.ask(x).cpu().double()

    @abstractmethod
    def ask(self, x: Tensor) -> Tensor:
        """The classifier's answer to preprocessed images, [B, …]."""


class FrechetClassifier(GeneratedAndReal):
    """The Fréchet distance between two Gaussians: one with the mean and covariance of the classifier's features of
    generated images, the other with those of the examples ([1], equation 6).

    It depends on n, and is positive even for perfect samples. Beside it stands the floor: the same distance between as
    many images of the train split, drawn with a seed, and the examples.
    """

    def __init__(self) -> None:
        super().__init__()
        self.floor: list[Tensor] = []  # features of images of the train split

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        super().begin(model, data, split, n)
        if "train" in data.splits and split != "train":
            order = torch.randperm(data.size("train"), generator=torch.Generator().manual_seed(SEED))
            self.floor = [self.classify(batch[model.subject]) for batch in train_batches(model, data, order[:n])]

    def ask(self, x: Tensor) -> Tensor:
        return self.classifier.extract_features(x, [FEATURES])[FEATURES].flatten(1)

    def compute(self) -> Measurement:
        if not self.real:
            raise UsageError("no example was measured")
        generated, real = torch.cat(self.generated), torch.cat(self.real)
        beside = {}
        if self.floor:
            beside["train against the split"] = frechet_distance(*gaussian(torch.cat(self.floor)), *gaussian(real))
        return Measurement(
            value=frechet_distance(*gaussian(generated), *gaussian(real)),
            stderr=None,
            n=len(generated),
            estimator=f"{real.shape[1]} features of {self.judge_name}, as many generated, seed {SEED}",
            beside=beside,
        )


class ClassifierScore(GeneratedAndReal):
    """exp of the mean over generated images of KL(p(y | x) || p(y)), where p(y) is the mean of p(y | x) ([2], section
    4): large where the classifier is sure of each image and sees all classes equally often, K at most.

    It does not look at the examples; their own score stands beside it. NOTE: one score of all n images, where [2] takes
    the mean over ten parts.
    """

    def ask(self, x: Tensor) -> Tensor:
        return self.classifier.logits(x)

    def compute(self) -> Measurement:
        if not self.real:
            raise UsageError("no example was measured")
        generated, real = torch.cat(self.generated), torch.cat(self.real)
        found = Measurement.mean_of(divergences(generated))
        score = math.exp(found.value)
        return Measurement(
            value=score,
            stderr=None if found.stderr is None else score * found.stderr,  # p(y) is where the mean is stationary
            n=len(generated),
            estimator=f"classes by {self.judge_name}, as many generated, seed {SEED}",
            beside={"of the split": math.exp(divergences(real).mean().item())},
        )


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [n, D] float64."""
    return features.mean(0), torch.cov(features.T).reshape(features.shape[1], -1)


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) between N(m, S) and N(m', S'), float64.

    S S' is not symmetric, but has the eigenvalues of S^(1/2) S' S^(1/2), which is: the trace of its root is the sum of
    their roots.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    distance: Tensor = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared
    return max(distance.item(), 0.0)  # rounding may leave a little less


def divergences(logits: Tensor) -> Tensor:
    """KL(p(y | x) || p(y)) of each image in nats, [n], from logits [n, K]; p(y) is the mean over the images."""
    log_p = logits.log_softmax(1)
    log_marginal = log_p.logsumexp(0) - math.log(len(logits))  # [K]
    return (log_p.exp() * (log_p - log_marginal)).sum(1)
