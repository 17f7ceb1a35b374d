"""The errors that a user may cause, each with the exit code of the command line (see `zoo_core.cli`), and a warning."""


class ZooError(Exception):
    """Something a user can mend: one line of what and where, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  {hint}")
        self.message = message
        self.hint = hint


class UsageError(ZooError):
    """A wrong name, option or value."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing here provides."""


class RecordError(UsageError, ValueError):
    """A declared value that does not fit its record; the message names the path to it."""


class DataError(ZooError):
    """A data set that is missing, or is not the data it claims to be."""


class WeightsError(ZooError):
    """A release or manifest that is damaged, or does not fit the model it is for."""


class MetricFailed(ZooError):
    """A metric broke off, by whatever error of its own or of the model; the message has its name and its package."""


class UnfinishedRun(UserWarning):
    """A model was loaded from a run whose training has not ended."""


class Unmeasured(UserWarning):
    """A run goes on, or ends with a release, without a number that it was to have."""


class NotComparable(ZooError):
    """Two numbers that were measured on different data, or by different protocols."""

    exit_code = 3
