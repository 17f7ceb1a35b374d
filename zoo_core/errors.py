"""The errors that a user may cause, each with its exit code on the command line, and warnings."""


class ZooError(Exception):
    """Base of all errors that a user can correct. Commands print it in one line, and exit with `exit_code`.

    Attributes:
        message: what is wrong and where, in one line.
        hint: what to do about it; None if there is nothing to say."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  {hint}")
        self.message = message
        self.hint = hint


class UsageError(ZooError):
    """A wrong name, option or value."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no installed plugin and no manifest has."""


class RecordError(UsageError, ValueError):
    """A value that does not fit the field of a `Record`; the message names the path to it."""


class DataError(ZooError):
    """A data set is missing, or its data are not the expected ones."""


class WeightsError(ZooError):
    """A release or manifest is missing or damaged, or does not fit its model."""


class MetricFailed(ZooError):
    """A metric stopped with an error of its own or of the model; the message names the metric and its package."""


class UnfinishedRun(UserWarning):
    """A model was loaded from a run whose training has not ended."""


class OddInput(UserWarning):
    """What a user gave, a picture or a folder of data, is probably not what it is taken for."""


class Unmeasured(UserWarning):
    """A number could not be measured; the run goes on, or ends with a release, without it."""


class NotComparable(ZooError):
    """Two numbers were measured on different data, or by different protocols."""

    exit_code = 3
