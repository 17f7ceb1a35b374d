"""The squared error and what of the variance it explains."""

import pytest
import torch
from torch import Tensor

from zoo_core import Field, Model, Record, TensorDataset, UsageError
from zoo_metrics.regression import MeanSquaredError


class Says(Model):
    """A model that predicts what the batch tells it to."""

    def __init__(self) -> None:
        super().__init__(Record())

    def signature(self) -> dict[str, Field]:
        return {"vector": Field(kind="vector", shape=(None,)), "target": Field(kind="vector", shape=(None,))}

    def predict(self, x: Tensor) -> Tensor:
        return x


def measured(guess: Tensor, target: Tensor, sizes: list[int] | None = None) -> MeanSquaredError:
    parts = [MeanSquaredError() for _ in sizes or [1]]
    for metric, x, y in zip(parts, guess.split(sizes or len(guess)), target.split(sizes or len(guess)), strict=True):
        metric.update(Says(), {"vector": x, "target": y})
    first, *rest = parts
    for metric in rest:
        first.merge(metric)
    return first


def test_the_error_is_the_mean_over_targets_and_examples() -> None:
    guess, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    metric = measured(guess, target)
    assert metric.examples().tolist() == [2, 5]
    assert metric.compute().value == 3.5


def test_r2_is_one_for_the_truth_and_zero_for_the_mean() -> None:
    target = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0]) + 10
    assert measured(target, target).compute().beside["r2"] == 1
    mean = target.mean(0).expand_as(target)
    assert measured(mean, target, [20, 30]).compute().beside["r2"] == pytest.approx(0, abs=1e-6)
    assert measured(target[:1], target[:1]).compute().beside == {}


def test_data_without_targets_are_refused() -> None:
    data = TensorDataset({"vector": Field(kind="vector", shape=(3,))}, {"test": {"vector": torch.zeros(2, 3)}})
    with pytest.raises(UsageError, match="'target'"):
        MeanSquaredError().begin(Says(), data, "test", 2)
