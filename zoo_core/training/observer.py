"""Observers of a training run."""

import warnings
from collections.abc import Mapping
from typing import Any

from zoo_core.errors import Unmeasured


class Observer:
    """Is told what happens in a run; the command line shows it. By default only warnings are shown."""

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        """Called after every step, with the part of the run that is done, the seconds so far, and the mean of each
        objective over the epoch so far."""

    def on_validation(self, done: int, total: int) -> None:
        """Called during a validation."""

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        """Called after an epoch and its validation, with the new row of the curve."""

    def on_unmeasured(self, why: str) -> None:
        """Called if a metric fails. The run, or its release, goes on without that number."""
        warnings.warn(why, Unmeasured, stacklevel=2)


class Observers(Observer):
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        for observer in self.observers:
            observer.on_step(progress, seconds, report)

    def on_validation(self, done: int, total: int) -> None:
        for observer in self.observers:
            observer.on_validation(done, total)

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        for observer in self.observers:
            observer.on_epoch(row, is_best)

    def on_unmeasured(self, why: str) -> None:
        for observer in self.observers:
            observer.on_unmeasured(why)


class Means:
    """The mean of each objective over the steps of an epoch in which it had its turn."""

    def __init__(self, state: Mapping[str, tuple[float, int]] | None = None) -> None:
        self.sums = dict(state or {})  # name -> (sum, count)

    def add(self, report: Mapping[str, float]) -> None:
        for name, value in report.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def values(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self.sums.items()}
