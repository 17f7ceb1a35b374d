"""Classifiers: how often they are right, and whether they know it.

Guo et al., "On Calibration of Modern Neural Networks", 2017 (arXiv:1706.04599) [1].
Axes: B batch, K classes, n examples, M bins.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core import AnyModel, Measurement, Metric, UsageError
from zoo_metrics.per_example import MeanOverExamples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_WRITTEN = 25  # classes whose names and numbers are written into a confusion matrix


def logits_and_labels(model: AnyModel, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the model says of a batch, [B, K] float64, and what is true, [B] int64; without the examples whose label is
    the value that the model's field ignores.

    Raises:
        UsageError: there are no labels, or one that is none of the model's K classes.
    """
    if "label" not in batch:
        raise UsageError("the data set has no field 'label', which a metric of classifiers needs")
    logits, labels = model.logits(model.subject_of(batch)).detach().cpu().double(), batch["label"].cpu()
    if (field := model.signature().get("label")) is not None:
        counted = field.counted(labels)
        logits, labels = logits[counted], labels[counted]
    classes = logits.shape[1]
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise UsageError(f"label {wrong[0].item()} is outside 0..{classes - 1}: the model has {classes} classes")
    return logits, labels


class Accuracy(MeanOverExamples):
    """The fraction of examples whose largest logit is that of the label."""

    requires = "Classifier"
    estimator = "top-1"
    plotted = "confusion matrix"

    def __init__(self) -> None:
        super().__init__()
        self.classes = 0  # K
        self.labels: list[Tensor] = []  # [B] int64, one a batch
        self.guesses: list[Tensor] = []  # the same

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        logits, labels = logits_and_labels(model, batch)
        self.classes = logits.shape[1]
        self.labels.append(labels)
        self.guesses.append(logits.argmax(1))
        return self.guesses[-1] == labels

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.labels += other.labels
        self.guesses += other.guesses

    def confusion(self) -> Tensor:
        """How many examples of each class, in rows, were taken for which, [K, K] int64."""
        cell = torch.cat(self.labels) * self.classes + torch.cat(self.guesses)
        return torch.bincount(cell, minlength=self.classes**2).view(self.classes, self.classes)

    def plot(self, axes: "Axes", model: AnyModel) -> None:
        """Rows are the true classes, columns what they were taken for, in percent of the row. The diagonal is left
        white, so that colour shows mistakes."""
        confusion, classes = self.confusion(), self.classes
        share = 100 * confusion / confusion.sum(1, keepdim=True).clamp(min=1)
        mistakes = share.clone().fill_diagonal_(0)
        axes.imshow(mistakes.numpy(), cmap="Reds")
        axes.set(xlabel="predicted", ylabel="true")
        if classes <= MOST_WRITTEN:
            names = model.signature()["label"].classes or [str(k) for k in range(classes)]
            axes.set_xticks(range(classes), names, rotation=90)
            axes.set_yticks(range(classes), names)
            for i, j in confusion.nonzero().tolist():
                dark = mistakes[i, j] > mistakes.max() / 2
                text = f"{share[i, j]:.1f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


class LogLoss(MeanOverExamples):
    """Mean of -log p(label | x) over the examples, in nats, where p is the softmax of the logits."""

    requires = "Classifier"
    estimator = "cross-entropy of the softmax of the logits"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        logits, labels = logits_and_labels(model, batch)
        return F.cross_entropy(logits, labels, reduction="none")


class BrierScore(MeanOverExamples):
    """Mean over the examples of sum_k (p_k - [k is the label])^2, from 0 to 2 (Brier, 1950, "Verification of forecasts
    expressed in terms of probability", equation 2). Lowest in expectation for the true probabilities."""

    requires = "Classifier"
    estimator = "all classes"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        logits, labels = logits_and_labels(model, batch)
        return (logits.softmax(1) - F.one_hot(labels, logits.shape[1])).square().sum(1)


BINS = 15  # as in [1], table 1
RESAMPLES, SEED = 1000, 0  # of the bootstrap


class CalibrationError(Metric):
    """Expected calibration error ([1], equations 2 and 3): the mean over the examples of the distance between accuracy
    and confidence in the example's bin. Confidence is the largest softmax value, in M = 15 bins of equal width.

    It is biased upwards where bins hold few examples. Its standard error is that of a bootstrap over the examples.

    NOTE: torchmetrics closes its bins on the left, and so puts a confidence of exactly 1 into a bin of its own. Here
    they are ((m - 1) / M, m / M], as in [1]. The two agree where no confidence lies on the edge of a bin.
    """

    requires = "Classifier"
    plotted = "reliability diagram"

    def __init__(self) -> None:
        self.confidence: list[Tensor] = []  # [B] float64 in [1 / K, 1], one a batch
        self.correct: list[Tensor] = []  # [B] bool

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        logits, labels = logits_and_labels(model, batch)
        confidence, guess = logits.softmax(1).max(1)
        self.confidence.append(confidence)
        self.correct.append(guess == labels)

    def merge(self, other: Self) -> None:
        self.confidence += other.confidence
        self.correct += other.correct

    def compute(self) -> Measurement:
        if not self.confidence:
            raise UsageError("no example was measured")
        confidence, correct = torch.cat(self.confidence), torch.cat(self.correct)
        # The gap tells one example from another; sorted by it, the bootstrap does not depend on the order seen.
        gap, order = (correct.double() - confidence).sort()
        bins = bin_of(confidence[order])
        return Measurement(
            value=calibration_error(gap, bins).item(),
            stderr=bootstrap_stderr(gap, bins) if len(gap) > 1 else None,
            n=len(gap),
            estimator=f"{BINS} bins, l1; standard error by bootstrap, {RESAMPLES} resamples, seed {SEED}",
        )

    def plot(self, axes: "Axes", model: AnyModel) -> None:
        """How often the model is right where it is so sure ([1], figure 1), and how many examples there are."""
        confidence, correct = torch.cat(self.confidence), torch.cat(self.correct).double()
        bins = bin_of(confidence)
        count = torch.bincount(bins, minlength=BINS)
        accuracy = torch.bincount(bins, correct, minlength=BINS) / count.clamp(min=1)
        left = torch.arange(BINS) / BINS
        some = count > 0
        share = count / count.sum()
        bars = partial(axes.bar, left[some].numpy(), width=1 / BINS, align="edge")
        bars(accuracy[some].numpy(), color="C0", edgecolor="white", label="accuracy")
        bars(share[some].numpy(), facecolor="none", edgecolor="black", label="share of the examples")
        axes.plot([0, 1], [0, 1], color="C3", linestyle="--", label="perfect calibration")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence")
        axes.legend(loc="upper left")


def bin_of(confidence: Tensor, bins: int = BINS) -> Tensor:
    """The bin of each confidence, 0 to M - 1, [n]; bin m - 1 is ((m - 1) / M, m / M]."""
    edges = torch.arange(1, bins, dtype=torch.float64) / bins  # the inner ones, [M - 1]
    return torch.bucketize(confidence, edges)


def calibration_error(gap: Tensor, bins: Tensor) -> Tensor:
    """Sum over the bins of |B_m| / n |acc(B_m) - conf(B_m)|, from each example's correctness minus its confidence [n].

    The size of a bin cancels, and what remains is the absolute sum of its gaps, over n.
    """
    return torch.bincount(bins, gap).abs().sum() / len(gap)


def bootstrap_stderr(gap: Tensor, bins: Tensor) -> float:
    """The standard deviation of the calibration error over resamples of the examples, drawn with replacement."""
    n, generator = len(gap), torch.Generator().manual_seed(SEED)
    drawn = (torch.randint(n, (n,), generator=generator) for _ in range(RESAMPLES))  # [n] each
    return torch.stack([calibration_error(gap[i], bins[i]) for i in drawn]).std().item()
