"""Scoring: how likely an example is to a model, and how strange beside others that the model knows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo_core.discovery.registry import Registry, default_registry, normalise
from zoo_core.errors import UsageError
from zoo_core.interfaces.batches import batches
from zoo_core.interfaces.capabilities import Conditionals, Density, LanguageModel, OutlierScorer, able
from zoo_core.interfaces.model import Model
from zoo_core.measuring.batches import BATCH
from zoo_core.measuring.evaluation import check_fields, recorded_metrics
from zoo_core.weights.loading import load_located
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import locate


class Scorer(NamedTuple):
    """A pretrained model that can score examples.

    Attributes:
        model: the model, in eval mode.
        name: what it is called in tables.
        trained_on: the data set that it was trained on; None if the release does not say.
    """

    model: Model
    name: str
    trained_on: str | None

    @property
    def meaning(self) -> str:
        """What its outlier score is."""
        return "the model's own" if able(self.model, OutlierScorer) else "-log p(x), in nats"


class Scores(NamedTuple):
    """The scores of n examples, float64, on the CPU.

    Attributes:
        log_prob: log-likelihoods [n] in nats; None if the model has no exact likelihood.
        outlier_score: [n]; larger means more anomalous.
    """

    log_prob: Tensor | None
    outlier_score: Tensor


class ReferenceSample(NamedTuple):
    """Outlier scores of examples of a known kind, with which other scores are compared.

    Attributes:
        dataset: the name of the data set that the examples are from.
        split: the name of its split.
        size: how many examples the split holds.
        seed: the seed with which the n examples were chosen.
        scores: their outlier scores, [n] float64, ascending.
    """

    dataset: str
    split: str
    size: int
    seed: int
    scores: Tensor

    def share_below(self, scores: Tensor) -> Tensor:
        """The share of the sample that is less strange than each of `scores` [B]; an equal one is not."""
        return torch.searchsorted(self.scores, scores.double()).double() / len(self.scores)

    def __str__(self) -> str:
        n = len(self.scores)
        drawn = f"{n:,} of {self.size:,}, seed {self.seed}" if n < self.size else f"all {n:,}"
        return f"{self.dataset} {self.split} ({drawn})"


def open_scorer(
    reference: str, *, device: str = "cpu", registry: Registry | None = None, manifest: Manifest | None = None
) -> Scorer:
    """The pretrained model of `reference`, as for `load`.

    Raises:
        UsageError: it gives no score.
    """
    registry = registry or default_registry()
    located = locate(reference, registry, manifest, unfinished=True)
    model = load_located(located, reference, device=device, registry=registry, manifest=manifest)
    if not {"Density", "LanguageModel", "OutlierScorer"} & set(model.capabilities):
        raise UsageError(
            f"'{reference}' is no Density, no LanguageModel and no OutlierScorer",
            "Run 'zoo list --capability Density' to see which are.",
        )
    measured_on = next((entry.protocol.dataset for entry in recorded_metrics(located)), None)
    return Scorer(model, located.name, located.release.training.get("data", measured_on))


@torch.no_grad()
def score(model: Model, x: Any) -> Scores:
    """Score preprocessed examples x: what `Model.subject_of` gives, such as images [n, C, H, W].

    The outlier score is the model's own where it has one, else -log p(x): to a density, what is improbable is strange.
    A text is as likely as all its tokens together.
    """
    log_prob, own = [], []
    for part in _batches(x.to(model.device) if isinstance(x, Tensor) else x):
        if density := able(model, Density):
            log_prob.append(density.log_prob(part).cpu().double())
        elif language := able(model, LanguageModel):
            log_prob.append(language.token_log_prob(part, _not_padded(model, part)).cpu().double().sum(1))
        if scorer := able(model, OutlierScorer):
            own.append(scorer.outlier_score(part).cpu().double())
    likelihood = torch.cat(log_prob) if log_prob else None
    return Scores(likelihood, -likelihood if likelihood is not None and not own else torch.cat(own))


def _not_padded(model: Model, tokens: Tensor) -> Tensor | None:
    """Where tokens [B, T] are those of a text, and do not fill it up to the length of another; None: everywhere."""
    pad = model.signature()[model.subject].pad
    return None if pad is None else tokens != pad


def score_sample(
    model: Model,
    data: str,
    split: str,
    *,
    n: int = 1000,
    seed: int = 0,
    data_file: Path | None = None,
    registry: Registry | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> ReferenceSample:
    """The scores of `n` examples of a split, drawn without replacement; of all, if it has fewer.

    Raises:
        UnknownName: no data set has that name. DataError: it is missing here.
        UsageError: it has no such split, or does not fit the model.
    """
    dataset = (registry or default_registry()).open_dataset(normalise(data), data_file)
    check_fields(model, dataset)
    size = dataset.size(split)
    chosen = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:n]
    found: list[Tensor] = []
    for batch in batches(model, dataset, split, chosen, size=BATCH):
        found.append(score(model, model.subject_of(batch)).outlier_score)
        on_batch(sum(map(len, found)), len(chosen))
    return ReferenceSample(dataset.name, split, size, seed, torch.cat(found).sort().values)


@torch.no_grad()
def surprisal(model: Model, x: Tensor) -> Tensor:
    """Negative log-probability of every pixel given those before it: x [n, C, H, W] -> [n, H, W] float64, nats.

    The sum over an image is -log p(x).

    Raises:
        UsageError: the model knows no likelihood of single pixels.
    """
    if not isinstance(model, Conditionals):
        raise UsageError(f"{type(model).__name__} does not tell how likely a single pixel is")
    parts = [model.conditional_log_prob(part).cpu().double() for part in _batches(x.to(model.device))]
    return -torch.cat(parts).sum(1)


def _batches(x: Any) -> list[Any]:
    if isinstance(x, Mapping):  # a whole batch, of which only the model knows how it could be cut
        return [x]
    return [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
