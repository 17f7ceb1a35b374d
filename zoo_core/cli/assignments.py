"""NAME=VALUE on the command line: Config values, whose types the Config declares, and conditions of a model."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo_core.interfaces.model import Model
    from zoo_core.interfaces.record import Record

with_option = click.option(
    "--with",
    "told",
    multiple=True,
    metavar="NAME=VALUE",
    help="A condition of the model; 'zoo load REFERENCE' lists them. May be repeated.",
)
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a Config value; may be repeated."
)


def read_assignments(texts: Sequence[str], kind: "type[Record]") -> dict[str, Any]:
    """The values of `--set`, converted to the types and checked against the bounds that the Config declares.

    Raises:
        UsageError: a text is not NAME=VALUE, there is no such field, or a value does not fit.
    """
    import msgspec

    from zoo_core.discovery.registry import unknown
    from zoo_core.errors import UsageError

    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: it must be NAME=VALUE")
        if name not in types:
            raise unknown("value", name, list(types))
        try:
            read: Any = json.loads(value)
        except ValueError:
            read = value
        try:
            values[name] = msgspec.convert(read, types[name])
        except msgspec.ValidationError as error:
            try:
                values[name] = msgspec.convert(value, types[name], strict=False)  # a text that looks like a number
            except msgspec.ValidationError:
                what = str(error)
                raise UsageError(
                    f"--set {text}: {what[:1].lower()}{what[1:]}",
                    f"{name} is {_type_text(msgspec.inspect.type_info(types[name]))}; "
                    "the --help-config of zoo train, or of zoo study, lists all.",
                ) from None
    return values


def read_conditions(texts: tuple[str, ...], model: "Model", reference: str) -> dict[str, str]:
    """The values of `--with` as they were written, for the model's method, which checks them again.

    Raises:
        UsageError: a text is not NAME=VALUE, or the model declares no such condition or value.
    """
    from zoo_core.interfaces.conditions import check_conditions, parse_conditions

    given = parse_conditions(texts)
    check_conditions(model.conditions(), given, f"'{reference}'")
    return given


def show_fields(kind: "type[Record]", preset: Mapping[str, Any] | None = None) -> None:
    """Print what `--set` takes: the name, type, bounds and default of each field (`preset` goes before the field's own
    default), and what its class says about it.
    """
    import msgspec

    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith(("msgspec", "builtins", "zoo_core.interfaces.record")):
            comments |= _comments(base)
    rows = []
    for field in msgspec.structs.fields(kind):
        value = (preset or {}).get(field.name, field.default)
        default = "required" if value is msgspec.NODEFAULT else f"default {_text(value)}"
        rows.append((field.name, f"{_type_text(msgspec.inspect.type_info(field.type))}; {default}"))
    name_width, width = (max((len(row[k]) for row in rows), default=0) for k in (0, 1))
    for name, what in rows:
        click.echo(f"{name:<{name_width}}  {what:<{width}}  {comments.get(name, '')}".rstrip())


def _comments(kind: type) -> dict[str, str]:
    """What a class says about its fields, by their names: in the docstring's "Attributes:", or else in a comment."""
    import ast
    import inspect
    import textwrap

    section = inspect.cleandoc(vars(kind)["__doc__"] or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    documented = {name: " ".join(text.split()) for name, text in entries}
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.encode().splitlines()  # ast counts bytes
    (parsed,) = ast.parse(source).body
    assert isinstance(parsed, ast.ClassDef)
    found = {}
    for node in parsed.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert node.end_lineno is not None and node.end_col_offset is not None
            rest = lines[node.end_lineno - 1][node.end_col_offset :].decode()
            if "#" in rest:
                found[node.target.id] = rest.partition("#")[2].strip()
    return documented | found


def _type_text(info: Any) -> str:
    """A type as a person writes it: "int from 1 to 64", "raster | reverse", "list of int from 1"."""
    kind = type(info).__name__.removesuffix("Type").lower()
    if kind == "literal":
        return " | ".join(map(_text, info.values))
    if kind == "none":
        return _text(None)
    if kind == "union":
        return " or ".join(_type_text(part) for part in info.types)
    if kind in ("vartuple", "list"):
        return f"list of {_type_text(info.item_type)}"
    bounds = {"from": "ge", "above": "gt", "to": "le", "below": "lt"}
    limits = [f"{word} {value}" for word, name in bounds.items() if (value := getattr(info, name, None)) is not None]
    return " ".join([kind, *limits])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
