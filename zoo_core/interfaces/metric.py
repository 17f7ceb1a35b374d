"""`Metric`: one number about a model on a data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import Record


class Measurement(Record, kw_only=True):
    """What a metric says: a mean over n examples with its standard error, and how it was computed."""

    value: float
    stderr: Annotated[float, Meta(ge=0)] | None
    n: int
    estimator: str = "exact"


class Metric(ABC):
    """Fed batch by batch; `merge` joins what several processes saw."""

    requires: ClassVar[str]  # the capability a model must have

    @abstractmethod
    def update(self, model: Model, batch: Mapping[str, Tensor]) -> None:
        """Take in one preprocessed batch."""

    @abstractmethod
    def merge(self, other: "Metric") -> None:
        """Take in all that `other` has taken in."""

    @abstractmethod
    def compute(self) -> Measurement:
        """The number so far."""
