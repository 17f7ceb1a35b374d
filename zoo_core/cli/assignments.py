"""NAME=VALUE on the command line: Config values, typed by the Config."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo_core.interfaces.record import Record

set_option = click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A Config value; may be repeated."
)


def read_assignments(texts: Sequence[str], kind: "type[Record]") -> dict[str, Any]:
    """The values of `--set`, each of the type and within the bounds that its field in the Config says.

    Raises:
        UsageError: not NAME=VALUE, no such field, or a value that does not fit.
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
            raise unknown("config value", name, list(types))
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
                raise UsageError(f"--set {text}: {what[:1].lower()}{what[1:]}", "--help-config lists them.") from None
    return values
