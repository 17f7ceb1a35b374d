"""Which epoch of a training run is the best, and when to stop waiting for a better one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.interfaces.dataset import Dataset, Episodes
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Loss
from zoo_core.measuring.evaluation import check_measurable, fitting_metrics, is_measurable
from zoo_core.releases.artifacts import artifacts_of


class MeanLoss(Metric):
    """The model's own loss, per item. It chooses the best epoch unless the model names a metric."""

    requires = "loss"

    def __init__(self) -> None:
        self.total = self.weight = 0.0
        self.n = 0

    def update(self, model: Model, batch: Mapping[str, Any]) -> None:
        loss, n = model.loss(batch), len(batch["index"])
        loss = Loss(loss * n, n) if isinstance(loss, Tensor) else loss
        self.total += loss.value.item()
        self.weight += float(loss.weight)
        self.n += n

    def merge(self, other: "MeanLoss") -> None:
        self.total, self.weight, self.n = self.total + other.total, self.weight + other.weight, self.n + other.n

    def compute(self) -> Measurement:
        return Measurement(value=self.total / self.weight, stderr=None, n=self.n)


class Selection:
    """Compares epochs by one number on the validation split, and keeps the weights of the best one so far.

    Attributes:
        metric: the number's name; None where nothing tells what is better, and the last epoch is taken.
        row: the best epoch's row of the curve; None before the first.
        weights: the model's state at the best epoch, by tensor name; empty before the first.
        artifacts: the model's, at the best epoch.
    """

    def __init__(
        self, model: Model, data: Dataset, registry: Registry, *, asked: str | None = None, patience: int | None = None
    ) -> None:
        """`asked` is a metric's name instead of the model's own; `patience` a number of epochs.

        Raises:
            UsageError: patience was asked for, and nothing tells what is better; or `asked` cannot be had of such data.
        """
        self.model, self.data, self.registry, self.patience = model, data, registry, patience
        if asked not in (None, "loss"):
            check_measurable(asked, registry.new_metric(asked), data)
        self.metric = self._chosen(asked or model.select_by)
        self.lower_is_better = self.metric in (None, "loss") or not registry.metric(self.metric).spec.higher_is_better
        self.row: dict[str, Any] | None = None
        self.weights: dict[str, Tensor] = {}
        self.artifacts: dict[str, Any] = {}

    def _chosen(self, metric: str) -> str | None:
        if metric == "loss":
            measurable = type(self.model).loss is not Model.loss and not isinstance(self.data, Episodes)
        else:
            measurable = is_measurable(self.registry.new_metric(metric), self.data)
        if "validation" not in self.data.splits or not measurable:
            if self.patience is not None:
                raise UsageError("--patience needs a validation split and a metric on it", "Name one: --select METRIC")
            return None
        return metric

    def measured_by(self) -> Mapping[str, Metric]:
        """The metric that tells what is better, by its name, ready to begin."""
        assert self.metric is not None
        if self.metric == "loss":
            return {"loss": MeanLoss()}
        return fitting_metrics(self.model, self.registry, (self.metric,), data=self.data)

    def consider(self, row: dict[str, Any]) -> bool:
        """Whether the epoch of `row`, whose weights the model has now, is the best so far; if so it is kept."""
        if not self._is_best(row):
            return False
        self.row = row
        self.weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.artifacts = artifacts_of(self.model)
        return True

    def _is_best(self, row: dict[str, Any]) -> bool:
        if self.row is None:
            return True
        new, old = row["validation"][self.metric], self.row["validation"][self.metric]
        return not math.isfinite(old) or bool(new < old if self.lower_is_better else new > old)

    def out_of_patience(self, curve: Sequence[Mapping[str, Any]]) -> bool:
        """Whether nothing became better in the last `patience` epochs of the curve."""
        if self.patience is None or self.row is None:
            return False
        best = self.row["step"]
        return len([row for row in curve if row["step"] > best]) >= self.patience
