"""The recipe of a release: everything that decides the result of a training run, and the command that repeats it."""

import json
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo_core.discovery.registry import NO_DATA
from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.record import Record, to_plain
from zoo_core.releases.licence import UNKNOWN, check_licence
from zoo_core.steps.notation import parse_step, step_text

NO_AUGMENTATION = "none"  # on the command line
NO_TEST = "--no-test"

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class RunArguments(Record, kw_only=True):
    """Everything that decides the result of a run. The run folder keeps it, and the release has it as its recipe.

    Attributes:
        model: the name of the model.
        start: the release whose weights training starts from (--from); None for fresh weights.
        head: whether the head is replaced by a fresh one, for the classes of the data.
        freeze: glob patterns of the parameters that keep the values of `start`.
        data: the name of the data set; "none" for a model that needs no data.
        per_class: learn from this many examples of each class, chosen with the seed; None: from all.
        epochs: passes over the train split. Either this or `steps` is given.
        steps: how many steps.
        until: stop after this many epochs; the schedules are those of `epochs` or `steps`. None: do not stop early.
        patience: stop after this many validations in a row without improvement; None: do not stop early.
        seed: decides all random numbers.
        config: Config values, which replace the preset and what the data decide (--set).
        input: preprocessing steps.
        augment: steps of augmentation in place of the model's own; empty: none. None: the model's own.
        batch: examples in a batch; None: as the model says.
        lr: the learning rate; None: as the model says.
        accumulate: into how many micro-batches a batch is cut.
        precision: "fp32" or "bf16"; None: chosen and recorded when the run starts.
        storage: the dtype in the file of the release, "float32" or "bfloat16"; None: as in the model.
        select: the validation metric that chooses the best epoch; None: as the model says.
        eval_batch: how many examples are measured at a time; None: 100.
        metrics: further metrics to measure at the end (--metric).
        test: whether the release is measured on the test split.
        summary: what the release is, in one line; None: made from the arguments.
        licence: the licence of the weights, SPDX.
    """

    model: str
    start: str | None = None
    head: bool = False
    freeze: list[str] = []
    data: str = NO_DATA
    per_class: Count | None = None
    epochs: Positive | None = None
    steps: Count | None = None
    until: Positive | None = None
    patience: Count | None = None
    seed: int = 0
    config: dict[str, Any] = {}
    input: list[dict[str, Any]] = []
    augment: list[dict[str, Any]] | None = None
    batch: Count | None = None
    lr: Positive | None = None
    accumulate: Count = 1
    precision: Literal["fp32", "bf16"] | None = None
    storage: Literal["float32", "bfloat16"] | None = None
    select: str | None = None
    eval_batch: Count | None = None
    metrics: list[str] = []
    test: bool = True
    summary: str | None = None
    licence: str = UNKNOWN

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.epochs is None) == (self.steps is None):
            raise RecordError("a run has either epochs or steps")
        if self.start is None and (self.head or self.freeze):
            raise RecordError("a new head and frozen parameters need weights to start from: --from REFERENCE")
        check_licence(self.licence)

    def command(self) -> str:
        """The command that does the same again, without the output folder and the summary."""
        words = ["zoo", "train", self.model]
        for name, value in to_plain(self).items():
            if name == "config":
                words += [word for key, item in value.items() for word in ("--set", f"{key}={json.dumps(item)}")]
            elif name == "input":
                words += [word for step in value for word in ("--input", step_text(step))]
            elif name == "metrics":
                words += [word for metric in value for word in ("--metric", metric)]
            elif name == "start":
                words += [] if value is None else ["--from", value]
            elif name == "head":
                words += ["--head"] if value else []
            elif name == "freeze":
                words += [word for pattern in value for word in ("--freeze", pattern)]
            elif name == "augment":
                steps = None if value is None else [step_text(step) for step in value] or [NO_AUGMENTATION]
                words += [word for step in steps or () for word in ("--augment", step)]
            elif name == "test":
                words += [] if value else [NO_TEST]
            elif name not in ("model", "summary") and (name == "seed" or value != _DEFAULTS[name]):
                text = _number_text(value) if isinstance(value, float) else str(value)
                words += [f"--{name.replace('_', '-')}", text]
        return shlex.join(words)


def _number_text(value: float) -> str:
    """With all digits that it needs, and no more: 40, 0.008."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


_DEFAULTS = to_plain(RunArguments(model="", epochs=1.0)) | {"epochs": None}


def read_command(command: str) -> RunArguments:
    """The arguments that `command` was made from. Older releases have no other record of them.

    Raises:
        UsageError: it is not a command of `zoo train`.
    """
    try:
        program, verb, model, *words = shlex.split(command)
        test = NO_TEST not in words
        words = [word for word in words if word != NO_TEST]
        options = list(zip(words[::2], words[1::2], strict=True))
        if (program, verb) != ("zoo", "train") or not all(name.startswith("--") for name, _ in options):
            raise ValueError
        values: dict[str, Any] = {"model": model, "config": {}, "input": [], "metrics": []}
        steps: list[str] = []
        for name, text in options:
            if name == "--set":
                key, _, value = text.partition("=")
                values["config"][key] = json_or_text(value)
            elif name == "--input":
                values["input"].append(parse_step(text))
            elif name == "--metric":
                values["metrics"].append(text)
            elif name == "--augment":
                steps.append(text)
            else:
                values[name.removeprefix("--")] = text if name in _TEXTS else json.loads(text)
        return RunArguments(**values, test=test, augment=parse_augmentation(steps))
    except (ValueError, RecordError) as error:
        reason = f": {error}" if isinstance(error, RecordError) else ""
        raise UsageError(f"'{command}' is not a command of zoo train that can be run again{reason}") from None


def parse_augmentation(texts: Sequence[str]) -> list[dict[str, Any]] | None:
    """The plain steps of `--augment`, given as often as `texts` has entries; None: not given."""
    if NO_AUGMENTATION in texts and len(texts) > 1:
        raise RecordError(f"--augment {NO_AUGMENTATION} excludes other steps")
    return [parse_step(text) for text in texts if text != NO_AUGMENTATION] if texts else None


_TEXTS = ("--data", "--precision", "--storage", "--select", "--licence", "--summary")


def json_or_text(value: str) -> Any:
    """A value of the command line: as JSON if possible, or else the text."""
    try:
        return json.loads(value)
    except ValueError:
        return value
