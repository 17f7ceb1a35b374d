"""`Condition`: what a sampler, a translator or a policy can be told, declared once.

    def conditions(self):
        return {"digit": Condition(kind="class", values=("0", "1", "2"), help="which digit is drawn")}

    def sample(self, n, *, generator=None, **conditions):
        digit = self.check_conditions(conditions)["digit"]  # 0, 1, 2, or None

From it follow `zoo sample REF --with digit=3`, the lines of `zoo info`, and the checks of Python calls.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.record import Record


class Condition(Record, kw_only=True):
    """One argument of `sample`, `translate_image` or `act`, which decides what is made.

        Condition(kind="class", values=("0", "1", "2"), help="which digit is sampled")

    Attributes:
        kind: which values can be given, and what the model receives.

            - "class": one of `values`, by name or by number; the model receives the number;
            - "choice": one of `values`; the model receives the text;
            - "integer" and "number": a number from `low` to `high`;
            - "text": any text.
        help: what it decides, in one line.
        values: the names of a class or choice, in the order of their numbers; empty for all other kinds.
        low: the smallest integer or number that can be given; None for no bound.
        high: the largest one; None for no bound.
        default: the value that holds where none is given, written as a user would write it. With None, the default,
            the model receives None and chooses by itself.
    """

    kind: Literal["class", "choice", "integer", "number", "text"]
    help: str
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    default: int | float | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.kind in ("class", "choice")) != bool(self.values):
            raise RecordError(f"condition of kind '{self.kind}': {'no ' * (not self.values)}values are given")
        if self.default is not None:
            try:
                self.check("the default", self.default)
            except UsageError as error:
                raise RecordError(f"condition of kind '{self.kind}': {error.message}", error.hint) from None

    @property
    def values_text(self) -> str:
        """What can be given, as help and errors say it."""
        if self.values:
            shown = self.values if len(self.values) <= 12 else (*self.values[:10], "…", self.values[-1])
            return ", ".join(shown)
        if self.kind == "text":
            return "any text"
        if self.low is None and self.high is None:
            return f"any {self.kind}"
        if self.low is None or self.high is None:
            bound = f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"
            return f"{'an' if self.kind == 'integer' else 'a'} {self.kind} of {bound}"
        return f"{'an' if self.kind == 'integer' else 'a'} {self.kind} from {self.low:g} to {self.high:g}"

    def text(self, name: str) -> str:
        """Everything that is declared of the condition `name`, in one line, as `zoo info` shows it:
        "mode: which part of the prior; an integer from 0 to 9; by default the model chooses"."""
        values = f"one of {self.values_text}" if self.values else self.values_text
        default = "the model chooses" if self.default is None else "none" if self.default == "" else self.default
        return f"{name}: {self.help}; {values}; by default {default}"

    def check(self, name: str, value: Any) -> int | float | str:
        """The value that the model receives for what a user gave.

        Args:
            name: what the error calls the condition.
            value: what was given, as text or as a number.

        Raises:
            UsageError: this value cannot be given; the hint says which can.
        """
        if self.kind == "text":
            return str(value)
        if self.values:
            text = str(value)
            if text in self.values:
                return self.values.index(text) if self.kind == "class" else text
            if self.kind == "class" and text.isdecimal() and int(text) < len(self.values):
                return int(text)
            near = difflib.get_close_matches(text, self.values, n=3, cutoff=0.4)
            guess = f". Did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"{name} cannot be '{value}'{guess}", f"It can be: {self.values_text}.")
        try:
            number = int(str(value)) if self.kind == "integer" else float(value)
        except (TypeError, ValueError):
            number = float("nan")
        low = -float("inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        if not low <= number <= high or number in (float("inf"), -float("inf")):
            raise UsageError(f"{name} cannot be '{value}'", f"It can be: {self.values_text}.")
        return number


def check_conditions(declared: Mapping[str, Condition], given: Mapping[str, Any], who: str) -> dict[str, Any]:
    """What `given` says, checked, by name; with the defaults of what it does not say.

    Raises:
        UsageError: there is no such condition, or no such value.
    """
    for name in given:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            guess = f". Did you mean '{near[0]}'?" if near else ""
            known = ", ".join(declared) or "nothing"
            raise UsageError(f"{who} has no condition '{name}'{guess}", f"It can be told: {known}.")
    checked: dict[str, Any] = {}
    for name, condition in declared.items():
        value = condition.default if given.get(name) is None else given[name]
        checked[name] = None if value is None else condition.check(name, value)
    return checked


def parse_conditions(texts: tuple[str, ...]) -> dict[str, str]:
    """The values of `--with NAME=VALUE`, given as often as `texts` has entries.

    Raises:
        UsageError: a text is not NAME=VALUE, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--with '{text}' is not NAME=VALUE")
        if name in found:
            raise UsageError(f"--with {name} is given twice")
        found[name.replace("-", "_")] = value
    return found
