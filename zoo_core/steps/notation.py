"""Steps as files hold them, and as the command line writes them: `binarize:mode=threshold,at=0.4`. Imports no torch."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from zoo_core.errors import RecordError
from zoo_core.interfaces.record import to_plain

if TYPE_CHECKING:
    from zoo_core.interfaces.step import Step


def read_steps(
    data: Sequence[Mapping[str, object]], where: str, *, kinds: Any = None, what: str = "input"
) -> "tuple[Step, ...]":
    """Steps from their plain form, as in config.json; `kinds` is the union of those that may be there, by default those
    of preprocessing."""
    if kinds is None:
        from zoo_core.steps.preprocessing import AnyStep as kinds
    known = [kind.__struct_config__.tag for kind in get_args(kinds)]
    for step in data:
        if (name := step.get("step")) not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            guess = f". Did you mean '{near[0]}'?" if near else ""
            raise RecordError(f"{where}: {what}: no step named '{name}'{guess}", f"There are: {', '.join(known)}.")
    try:
        return msgspec.convert(list(data), tuple[kinds, ...])
    except (msgspec.ValidationError, RecordError) as error:
        raise RecordError(f"{where}: {what}: {error}") from None


def parse_step(text: str) -> dict[str, object]:
    """The plain form of a step written as `binarize:mode=threshold,at=0.4`."""
    name, _, arguments = text.partition(":")
    step: dict[str, object] = {"step": name}
    for argument in filter(None, re.split(r",(?![^\[]*\])", arguments)):  # not at the commas of a list
        key, equals, value = argument.partition("=")
        if not equals:
            raise RecordError(f"step '{text}': '{argument}' is not KEY=VALUE")
        try:
            step[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            step[key] = value
    return step


def plain_step(step: "Step") -> dict[str, Any]:
    """The step as files hold it: without arguments that are None, their default, which TOML, and so a manifest, cannot
    say."""
    return {key: value for key, value in to_plain(step).items() if value is not None}


def step_text(step: Mapping[str, object]) -> str:
    """What `parse_step` reads as this plain form."""
    arguments = ",".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in step.items()
        if key != "step"
    )
    return f"{step['step']}{':' if arguments else ''}{arguments}"
