"""`Metric`: one number about a model on a data set."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from msgspec import Meta
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Measurement(Record, kw_only=True):
    """The result of a metric: a number over n examples.

    Attributes:
        value: the number, in the unit that the metric's spec states.
        stderr: its standard error, in the same unit; None where there is none, as for a single example.
        n: how many examples (or episodes) it was computed from.
        estimator: how it was computed, in a few words that become part of the protocol; "exact" by default. Numbers
            of different estimators are never compared.
        beside: further numbers by name that help to read this one, such as the value for perfect samples. They are
            shown, and are not part of the result.
    """

    value: float
    stderr: Annotated[float, Meta(ge=0)] | None
    n: int
    estimator: str = "exact"
    beside: dict[str, float] = {}

    @classmethod
    def mean_of(cls, values: Tensor, estimator: str = "exact") -> "Measurement":
        """The mean of some values, with its standard error s / sqrt(n).

        Both are computed in float64: a float32 sum of 10,000 likelihoods is wrong in a digit that tables print. Where
        there is only one value, or one of them is infinite, there is no standard error.

        Args:
            values: a number for each example, [n].
            estimator: how these numbers were computed.

        Raises:
            UsageError: there is no example.
        """
        n = len(values)
        if n == 0:
            raise UsageError("no example was measured")
        values = values.double()
        stderr = values.std().item() / math.sqrt(n) if n > 1 else math.nan
        return cls(
            value=values.mean().item(), stderr=stderr if math.isfinite(stderr) else None, n=n, estimator=estimator
        )


class Metric(ABC):
    """Base of metrics. A metric is given the batches of a split one by one, and then computes one number.

        class Brightness(Metric):
            requires = "Sampler"

            def __init__(self):
                self.values = []

            def update(self, model, batch):
                self.values.append(batch["image"].flatten(1).mean(1))

            def merge(self, other):
                self.values += other.values

            def compute(self):
                return Measurement.mean_of(torch.cat(self.values))

    Order of the calls: `begin` once, `update` for each batch, `merge` where several processes shared the batches, then
    `compute`.

    Attributes:
        requires: the capability that a model must have, such as "Density".
        drawing: what `plot` shows, such as "confusion matrix"; None, the default, where there is nothing to show.
        episodes: True for a metric over episodes that the model plays. Its batches then hold "seed" [B] int64, the
            seeds of the episodes, in place of examples.
        on_request: True for a slow metric: it is computed only where somebody names it, or a release records it.
    """

    requires: ClassVar[str]
    plotted: ClassVar[str | None] = None
    episodes: ClassVar[bool] = False
    on_request: ClassVar[bool] = False

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:  # noqa: B027  most need nothing
        """Called once before the first batch, to compute or load whatever else the number needs.

        Where several processes measure together, each of them calls it, and each must get the same result.

        Args:
            model: the model, in eval mode, on its device.
            data: the data set; its other splits may be used too.
            split: the name of the split that is measured.
            n: how many examples will come.

        Raises:
            ZooError: the number cannot be computed here, for example because the data have no labels.
        """

    @abstractmethod
    def update(self, model: AnyModel, batch: Mapping[str, Any]) -> None:
        """Called for each batch.

        Args:
            model: the model, in eval mode.
            batch: preprocessed, on the model's device. Its "index" [B] int64 holds the places of the examples in the
                split. Seed random numbers by these places: then they do not depend on how many processes there are.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add everything that `other`, a metric of the same class, has seen in another process."""

    @abstractmethod
    def compute(self) -> Measurement:
        """The number over all batches so far."""

    def plot(self, axes: "Axes", model: AnyModel) -> None:
        """Plot on matplotlib's axes what the number summarises; called only if `drawing` is set."""
        raise NotImplementedError

    def examples(self) -> Tensor | None:
        """The number of each example, [n] float64, in the order in which they came, if the result is their mean;
        otherwise None. With them two models are compared example by example."""
        return None
