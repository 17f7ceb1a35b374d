"""What `help()` shows: fields of records, arguments of functions, and examples that run."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
import pluggy
import pytest
import torch
from torch.nn.functional import cross_entropy

import zoo_core
from zoo_core.discovery import hookspecs
from zoo_core.discovery.loader import HOOKS
from zoo_core.interfaces.capabilities import PROTOCOLS

CORE = Path(zoo_core.__file__).parent
PUBLIC = {name: getattr(zoo_core, name) for name in zoo_core.__all__} | PROTOCOLS


def modules() -> list[Any]:
    paths = sorted(path.relative_to(CORE.parent).with_suffix("") for path in CORE.rglob("*.py"))
    return [import_module(".".join(path.parts)) for path in paths if path.name not in ("__init__", "__main__")]


def classes() -> Iterator[type]:
    """Every public class that the core defines."""
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield value


def own_fields(kind: type) -> list[str]:
    """The fields that a record, a dataclass or a named tuple adds to those of its base."""
    if issubclass(kind, msgspec.Struct):
        return [field.name for field in msgspec.structs.fields(kind) if field.name in kind.__annotations__]
    if is_dataclass(kind):
        return [field.name for field in dataclass_fields(kind) if field.name in kind.__annotations__]
    return [*getattr(kind, "_fields", ())]


def unnamed(names: list[str], text: str) -> list[str]:
    return [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


def callables() -> Iterator[tuple[str, Any, str]]:
    """The public functions, and the methods of public classes: name, function, and the docstring that help() shows."""
    for name, value in PUBLIC.items():
        if not isinstance(value, type):
            if callable(value) and value.__module__.startswith("zoo_core"):
                yield name, value, inspect.getdoc(value) or ""
            continue
        for attribute, function in inspect.getmembers(value):
            is_ours = (getattr(function, "__module__", None) or "").startswith("zoo_core")
            if inspect.isroutine(function) and is_ours and not attribute.startswith("_"):
                yield f"{name}.{attribute}", function, inspect.getdoc(getattr(value, attribute)) or ""


CALLABLES = {name: (function, text) for name, function, text in callables()}


@pytest.mark.parametrize("kind", [kind for kind in classes() if own_fields(kind)], ids=lambda kind: kind.__name__)
def test_help_of_a_record_names_each_of_its_fields(kind: type) -> None:
    assert unnamed(own_fields(kind), vars(kind)["__doc__"] or "") == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_help(name: str) -> None:
    value = PUBLIC[name]
    if isinstance(value, type) or callable(value):
        text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
        assert text and not text.startswith(f"{name}("), "a docstring of its own, not the generated one"


@pytest.mark.parametrize("name", CALLABLES)
def test_help_of_a_function_says_what_its_arguments_are(name: str) -> None:
    function, text = CALLABLES[name]
    assert text
    arguments = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "cls") and parameter.kind is not parameter.VAR_KEYWORD
    ]
    assert len(arguments) <= 2 or unnamed(arguments, text) == []


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_is_a_plugin(hook: str) -> None:
    """The code in a hook's docstring runs after the beginning that the module's docstring shows, and declares one."""
    beginning = re.findall(r"(?m)^    (from .*|\).*|zoo_api.*|    .*|)$", inspect.getdoc(hookspecs) or "")
    example = inspect.cleandoc(vars(hookspecs)[hook].__doc__.partition("Example:\n")[2])
    names: dict[str, Any] = {"__file__": "plugin.py"}
    exec("\n".join(beginning), names)
    exec(example, names)
    plugin = ModuleType("zoo_coins.plugin")
    vars(plugin).update(names)
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    ((declared,),) = getattr(manager.hook, hook)()
    assert isinstance(declared, HOOKS[hook]) and plugin.zoo_api == hookspecs.API


def code_in(text: str) -> list[str]:
    """The code in a docstring: lines that are indented after an empty one, and are no section such as "Args:"."""
    blocks = re.findall(
        r"(?m)^\n((?: {4}.*\n(?:\n(?= {4}))?)+)", re.sub(r"(?m)^\w+:\n(?: {4,}.*\n|\n(?= {8}))*", "", text + "\n")
    )
    return [inspect.cleandoc("\n" + block) for block in blocks]


EXAMPLES = {
    name: code
    for name, kind in PUBLIC.items()
    if isinstance(kind, type)
    for code in code_in(inspect.getdoc(kind) or "")
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_class_runs(name: str) -> None:
    names: dict[str, Any] = {
        **PUBLIC, "torch": torch, "Annotated": Annotated, "Meta": msgspec.Meta, "cross_entropy": cross_entropy,
        "logits": torch.zeros(3, 2), "label": torch.tensor([0, 1, 1]), "known": torch.tensor([True, False, True]),
        "images": torch.zeros(3, 1, 8, 8, dtype=torch.uint8),
    }  # fmt: skip
    exec(EXAMPLES[name], names)


@pytest.mark.parametrize("name", [name for name in CALLABLES if code_in(CALLABLES[name][1])])
def test_the_example_of_a_function_is_python(name: str) -> None:
    for code in code_in(CALLABLES[name][1]):
        compile("def example():\n" + textwrap.indent(code, "    "), name, "exec")
