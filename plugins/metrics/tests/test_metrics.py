"""The metrics: against closed forms, slow references and torchmetrics."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from zoo_core import Field, Metric, Model, Record, UsageError
from zoo_metrics.classification import (
    BINS,
    Accuracy,
    BrierScore,
    CalibrationError,
    LogLoss,
    bin_of,
    calibration_error,
)
from zoo_metrics.likelihood import BitsPerDim, NegativeLogLikelihood
from zoo_metrics.plugin import zoo_metrics


class Known(Model):
    """A model that says what the batch tells it to: the image is the logits [B, K], or the log-likelihood [B, 1]."""

    def __init__(self) -> None:
        super().__init__(Record())

    def logits(self, x: Tensor) -> Tensor:
        return x

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image")}

    def log_prob(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


Batch = Mapping[str, Tensor]


def examples(n: int = 200, classes: int = 4, seed: int = 0) -> Batch:
    """Logits, and labels that are right more often than not."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    logits = torch.randn(n, classes, generator=generator)
    logits[torch.arange(n), labels] += 1.5
    return {"image": logits, "label": labels}


def measured(kind: Callable[[], Metric], batch: Batch, sizes: list[int] | None = None) -> Any:
    """The metric after it has seen the batch, cut into parts of these sizes."""
    metric: Any = kind()
    sizes = sizes or [len(batch["image"])]
    parts = {name: tensor.split(sizes) for name, tensor in batch.items()}
    for i in range(len(sizes)):
        metric.update(Known(), {name: part[i] for name, part in parts.items()})
    return metric


def with_confidence(confidence: list[float], correct: list[int]) -> Batch:
    """Two classes; class 0 is believed with this confidence, and is the label where it is correct."""
    p = torch.tensor(confidence, dtype=torch.float64)
    return {"image": torch.stack([p.log(), (1 - p).log()], 1), "label": 1 - torch.tensor(correct)}


MEANS = [NegativeLogLikelihood, BitsPerDim, Accuracy, LogLoss, BrierScore]
ALL = [*MEANS, CalibrationError]


# Closed forms.


def test_a_likelihood_is_the_mean_of_its_examples() -> None:
    batch = {"image": torch.tensor([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -9.0]])}
    nll = measured(NegativeLogLikelihood, batch)
    assert nll.examples().tolist() == [3, 7, 14] and nll.examples().dtype == torch.float64
    found = nll.compute()
    assert (found.value, found.n, found.estimator) == (8, 3, "exact")
    assert found.stderr == pytest.approx(math.sqrt((25 + 1 + 36) / 2 / 3))
    assert measured(BitsPerDim, batch).compute().value == pytest.approx(8 / (2 * math.log(2)))


def test_accuracy_and_its_standard_error() -> None:
    batch = examples()
    accuracy = measured(Accuracy, batch)
    found, n = accuracy.compute(), 200
    p = found.value
    assert 0.5 < p < 0.9 and (found.n, found.estimator) == (n, "top-1")
    assert p == pytest.approx(multiclass_accuracy(batch["image"], batch["label"], 4, average="micro").item())
    assert found.stderr == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)))
    assert set(accuracy.examples().tolist()) == {0, 1}


def test_confusions_have_the_true_class_in_rows_whatever_the_batches() -> None:
    batch = examples()
    one, other = (measured(Accuracy, {name: part[half] for name, part in batch.items()}, [30, 70])
                  for half in (slice(0, 100), slice(100, 200)))  # fmt: skip
    one.merge(other)
    expected = multiclass_confusion_matrix(batch["image"], batch["label"], num_classes=4)
    assert torch.equal(one.confusion(), expected) and not torch.equal(expected, expected.T)


def test_log_loss_is_what_a_loop_over_the_definition_gives() -> None:
    batch = examples(n=20)
    loop = [
        math.log(sum(math.exp(v) for v in row)) - row[label]
        for row, label in zip(batch["image"].tolist(), batch["label"].tolist(), strict=True)
    ]
    metric = measured(LogLoss, batch)
    assert metric.examples().tolist() == pytest.approx(loop)
    assert metric.compute().value == pytest.approx(sum(loop) / 20)
    uniform = measured(LogLoss, {"image": torch.zeros(5, 7), "label": torch.arange(5)}).compute()
    assert uniform.value == pytest.approx(math.log(7)) and uniform.stderr == pytest.approx(0, abs=1e-12)


def test_the_brier_score_of_sure_wrong_and_undecided_models() -> None:
    def score(*logits: float) -> float:
        return measured(BrierScore, {"image": torch.tensor([logits]), "label": torch.tensor([0])}).compute().value

    assert score(1e4, 0.0) == 0
    assert score(0.0, 1e4) == pytest.approx(2)
    assert score(0.0, 0.0, 0.0, 0.0) == pytest.approx((3 / 4) ** 2 + 3 / 16)


def test_a_logit_far_away_gives_no_infinity() -> None:
    batch = {"image": torch.tensor([[1e4, 0.0], [0.0, 1e4]]), "label": torch.tensor([0, 0])}
    assert measured(LogLoss, batch).compute().value == pytest.approx(5e3)
    assert measured(CalibrationError, batch).compute().value == pytest.approx(0.5)  # sure, and half of it right


def test_examples_whose_label_is_to_be_ignored_are_left_out_of_every_number() -> None:
    """Wherever they stand, and where a whole batch is to be ignored."""
    VOID = -100

    class Ignoring(Known):
        def signature(self) -> dict[str, Field]:
            return {**super().signature(), "label": Field(kind="label", dtype="int64", ignore=VOID)}

    batch = examples()
    void = torch.arange(200) % 7 == 0
    void[:20] = True
    kept = {name: values[~void] for name, values in batch.items()}
    batch = batch | {"label": batch["label"].masked_fill(void, VOID)}
    for kind in (Accuracy, LogLoss, BrierScore, CalibrationError):
        metric = kind()
        for part in range(0, 200, 20):
            metric.update(Ignoring(), {name: values[part : part + 20] for name, values in batch.items()})
        assert metric.compute() == measured(kind, kept).compute(), kind
        with pytest.raises(UsageError, match=r"label -100 is outside 0\.\.3"):
            kind().update(Known(), batch)


# Calibration.


def slow_ece(confidence: list[float], correct: list[int], bins: int = BINS) -> float:
    """Equations 2 and 3 of Guo et al., 2017, bin by bin and example by example: I_m = ((m - 1) / M, m / M]."""
    n, total = len(confidence), 0.0
    for m in range(1, bins + 1):
        members = [i for i in range(n) if (m - 1) / bins < confidence[i] <= m / bins]
        if members:
            acc = sum(correct[i] for i in members) / len(members)
            conf = sum(confidence[i] for i in members) / len(members)
            total += len(members) / n * abs(acc - conf)
    return total


def of_bins(confidence: list[float], correct: list[int], bins: int = BINS) -> float:
    p = torch.tensor(confidence, dtype=torch.float64)
    return calibration_error(torch.tensor(correct).double() - p, bin_of(p, bins)).item()


@pytest.mark.parametrize("seed", range(5))
def test_ece_is_what_the_definition_and_torchmetrics_give(seed: int) -> None:
    batch = examples(seed=seed)
    p, guess = batch["image"].double().softmax(1).max(1)
    found = measured(CalibrationError, batch).compute()
    assert found.value == pytest.approx(slow_ece(p.tolist(), (guess == batch["label"]).int().tolist()), rel=1e-9)
    theirs = multiclass_calibration_error(batch["image"].double().softmax(1), batch["label"], 4, n_bins=15)
    assert found.value == pytest.approx(theirs.item(), rel=1e-6)
    assert found.n == 200 and "15 bins, l1" in found.estimator and "1000 resamples, seed 0" in found.estimator


def test_ece_of_an_example_worked_by_hand() -> None:
    assert of_bins([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], bins=10) == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4)
    # 0.97 and 0.95 share the last bin, where a miss and a hit cancel in part
    found = measured(CalibrationError, with_confidence([0.97, 0.95], [1, 0])).compute()
    assert found.value == pytest.approx(abs(1 - 0.97 - 0.95) / 2)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    edges = [m / BINS for m in range(1, BINS + 1)]
    assert bin_of(torch.tensor(edges, dtype=torch.float64)).tolist() == list(range(BINS))
    above = [math.nextafter(edge, 2) for edge in edges[:-1]]
    assert bin_of(torch.tensor(above, dtype=torch.float64)).tolist() == list(range(1, BINS))
    confidence, correct = [*edges, 0.63, 0.65, 0.97, 0.99], [1, 0] * 9 + [0]
    assert of_bins(confidence, correct) == pytest.approx(slow_ece(confidence, correct), rel=1e-9)
    uniform = {"image": torch.zeros(4, 3), "label": torch.tensor([0, 0, 1, 2])}  # 1/3 = 5/15
    assert measured(CalibrationError, uniform).compute().value == pytest.approx(0.5 - 1 / 3)


def test_a_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    """Where torchmetrics gives it a bin of its own, so that a sure miss and a doubted hit no longer cancel."""
    confidence, correct = [1.0, 0.95], [0, 1]
    batch = with_confidence(confidence, correct)
    ours = measured(CalibrationError, batch).compute().value
    assert ours == pytest.approx(slow_ece(confidence, correct)) == pytest.approx((1.0 - 0.05) / 2)
    theirs = multiclass_calibration_error(batch["image"].softmax(1), batch["label"], 2, n_bins=15).item()
    assert theirs == pytest.approx((1.0 + 0.05) / 2)


def test_the_bootstrap_gives_the_spread_over_fresh_data() -> None:
    fresh = [measured(CalibrationError, examples(n=2000, seed=seed)).compute() for seed in range(40)]
    spread = torch.tensor([found.value for found in fresh]).std().item()
    assert sum(found.stderr for found in fresh) / 40 == pytest.approx(spread, rel=0.35)


def test_the_bootstrap_is_reproducible_and_does_not_depend_on_the_order() -> None:
    batch = examples()
    state = torch.get_rng_state()
    found = [measured(CalibrationError, batch).compute() for _ in range(2)]
    assert found[0] == found[1] and torch.equal(torch.get_rng_state(), state)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    shuffled = measured(CalibrationError, {name: tensor[order] for name, tensor in batch.items()}).compute()
    assert shuffled.value == pytest.approx(found[0].value, rel=1e-9)
    assert shuffled.stderr == pytest.approx(found[0].stderr, rel=1e-9)


# All of them.


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("sizes", [[1] * 200, [7, 93, 0, 100], [199, 1]], ids=["ones", "uneven", "last of one"])
def test_neither_batches_nor_merging_change_the_number(kind: type[Metric], sizes: list[int]) -> None:
    batch = examples()
    whole, cut = measured(kind, batch), measured(kind, batch, sizes)
    first = measured(kind, {name: tensor[:31] for name, tensor in batch.items()})
    first.merge(measured(kind, {name: tensor[31:] for name, tensor in batch.items()}))
    first.merge(kind())  # a process that saw nothing
    for other in (cut, first):
        assert other.compute().n == 200
        assert other.compute().value == pytest.approx(whole.compute().value, rel=1e-12)
        assert other.compute().stderr == pytest.approx(whole.compute().stderr, rel=1e-9)
        if kind is CalibrationError:
            assert other.examples() is None
        else:
            assert torch.equal(other.examples(), whole.examples())


@pytest.mark.parametrize("kind", ALL)
def test_no_example_is_told(kind: type[Metric]) -> None:
    with pytest.raises(UsageError, match="no example was measured"):
        kind().compute()


@pytest.mark.parametrize("kind", ALL)
def test_one_example_has_no_standard_error(kind: type[Metric]) -> None:
    found = measured(kind, examples(n=1)).compute()
    assert found.n == 1 and found.stderr is None


def test_an_impossible_example_is_infinitely_unlikely() -> None:
    found = measured(NegativeLogLikelihood, {"image": torch.tensor([[-1.0], [-math.inf]])}).compute()
    assert found.value == math.inf and found.stderr is None


@pytest.mark.parametrize("kind", [Accuracy, LogLoss, CalibrationError])
def test_labels_must_be_classes_of_the_model(kind: type[Metric]) -> None:
    for label in (-1, 4):
        with pytest.raises(UsageError, match=rf"label {label} is outside 0\.\.3: the model has 4 classes"):
            measured(kind, {"image": torch.zeros(2, 4), "label": torch.tensor([0, label])})
    with pytest.raises(UsageError, match="no field 'label'"):
        measured(kind, {"image": torch.zeros(2, 4)})


@pytest.mark.parametrize("kind", [Accuracy, LogLoss, CalibrationError])
def test_low_precision_is_raised_before_anything_is_summed(kind: type[Metric]) -> None:
    batch = examples()
    rounded = {"image": batch["image"].bfloat16(), "label": batch["label"]}
    exact = {"image": rounded["image"].double(), "label": batch["label"]}
    assert measured(kind, rounded).compute() == measured(kind, exact).compute()


def test_every_class_needs_what_its_declaration_says() -> None:
    from importlib import import_module

    for spec in zoo_metrics():
        module, _, name = spec.target.partition(":")
        assert getattr(import_module(module), name).requires == spec.requires
