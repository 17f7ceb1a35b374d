"""Steps as files hold them, and as the command line writes them: `binarize:mode=threshold,at=0.4`. Imports no torch."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.discovery.registry import CORE, Registry, default_registry
from zoo_core.errors import RecordError, UnknownName
from zoo_core.interfaces.record import read_record, to_plain

if TYPE_CHECKING:
    from zoo_core.interfaces.step import Step


def read_steps(
    data: Sequence[Mapping[str, object]], where: str, registry: Registry | None = None, *, option: str = "input"
) -> "tuple[Step, ...]":
    """Steps from their plain form, as in config.json.

    Args:
        where: the file or place they come from; errors begin with it.
        option: what they are for: "input" or "augment".

    Raises:
        RecordError: no plugin here has such a step, or it has no such arguments.
    """
    registry = registry or default_registry()
    steps = []
    for plain in data:
        try:
            step_class = registry.step_class(registry.step(str(plain.get("step")), option))
        except UnknownName as error:
            raise RecordError(f"{where}: {option}: {error.message}", error.hint) from None
        steps.append(read_record(step_class, plain, f"{where}: {option}: {plain['step']}"))
    return tuple(steps)


def step_plugins(steps: "Iterable[Step]", registry: Registry | None = None) -> dict[str, str]:
    """The distribution that each step comes from, without those of the core."""
    registry = registry or default_registry()
    plugins = {step.tag: registry.step(step.tag).plugin for step in steps}
    return {tag: plugin.distribution for tag, plugin in plugins.items() if plugin.name != CORE}


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
