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
    """What a metric says: a number over n examples with its standard error, and how it was computed.

    `beside` are named numbers that help to read it, such as what it would be for perfect samples. They are shown, and
    are no part of the result.
    """

    value: float
    stderr: Annotated[float, Meta(ge=0)] | None
    n: int
    estimator: str = "exact"
    beside: dict[str, float] = {}

    @classmethod
    def mean_of(cls, values: Tensor, estimator: str = "exact") -> "Measurement":
        """The mean of the values [n] with its standard error, s / sqrt(n), in float64: a float32 sum of 10,000
        likelihoods is off in the digit that tables print.

        One example, or an infinite one, gives no standard error.

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
    """Fed batch by batch; `merge` joins what several processes saw."""

    requires: ClassVar[str]  # the capability a model must have
    plotted: ClassVar[str | None] = None  # what `plot` shows, if there is something to show: "confusion matrix"
    episodes: ClassVar[bool] = False  # about episodes, played from a "seed" [B] int64, not about examples
    on_request: ClassVar[bool] = False  # measured only where it is asked for by name, or recorded: it is slow

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:  # noqa: B027  most need nothing
        """Called once, before `n` examples of the split come batch by batch: what else the number needs.

        Of many processes each calls it, and must come to the same.

        Raises:
            ZooError: the number cannot be had here: no labels, no such weights.
        """

    @abstractmethod
    def update(self, model: AnyModel, batch: Mapping[str, Any]) -> None:
        """Take in one preprocessed batch. Its "index" [B] int64 are the places of the examples in the split: random
        draws that are seeded by them do not depend on which process makes them."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all that `other` has taken in."""

    @abstractmethod
    def compute(self) -> Measurement:
        """The number so far."""

    def plot(self, axes: "Axes", model: AnyModel) -> None:
        """Plot what stands behind the number on matplotlib's axes; only asked of a metric with a `plotted`."""
        raise NotImplementedError

    def examples(self) -> Tensor | None:
        """The summand of each example, [n] float64, in the order seen, where the number is their mean; None where it
        is not."""
        return None
