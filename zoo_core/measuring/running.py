"""Metrics while they measure. If one stops with an error, only its own number is lost."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from zoo_core.errors import MetricFailed, ZooError
from zoo_core.interfaces.metric import Metric


class Running:
    """The metrics of a measurement; for those that were left out, the reason."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = dict(metrics)
        self.failed: dict[str, ZooError] = {}

    def each(self) -> list[tuple[str, Metric]]:
        """The metrics that were not left out, with their names."""
        return list(self.metrics.items())

    @contextmanager
    def noting(self, name: str, *, beginning: bool = False) -> Iterator[None]:
        """In this context a metric that raises an error is left out. It may do so on purpose only in its `beginning`,
        by a ZooError."""
        try:
            yield
        except Exception as error:
            if beginning and isinstance(error, ZooError):
                self.leave_out(name, error)
            else:
                package, _, _ = self.metrics[name].__module__.partition(".")
                self.leave_out(name, failure(name, package, error))

    def leave_out(self, name: str, why: ZooError) -> None:
        del self.metrics[name]
        self.failed[name] = why

    def join(self, all_processes: Sequence["Running"]) -> None:
        """Merge what all processes have seen, for the metrics that failed in none of them."""
        first, *others = all_processes
        self.metrics, self.failed = dict(first.metrics), dict(first.failed)
        for other in others:
            for name, metric in self.each():
                if name in other.failed:
                    self.leave_out(name, other.failed[name])
                else:
                    with self.noting(name):
                        metric.merge(other.metrics[name])


def failure(name: str, package: str, error: Exception) -> MetricFailed:
    """The error of a metric, in one line that names the metric and its package."""
    if isinstance(error, ZooError):
        what, hint = error.message, error.hint
    else:
        what, hint = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}", None
    failure = MetricFailed(f"metric '{name}' of {package} failed: {what}", hint)
    failure.__cause__ = error  # which --debug shows
    return failure
