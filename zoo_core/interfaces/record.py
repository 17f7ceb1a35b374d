"""`Record`: immutable declared data, checked however it is made."""

import re
from functools import cache
from typing import Any, TypeVar, dataclass_transform

import msgspec

from zoo_core.errors import RecordError


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _CheckedConstruction(msgspec.StructMeta):
    """Turns msgspec's bare TypeError (an unknown or a missing argument) into a RecordError."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except TypeError as error:
            raise RecordError(f"{cls.__name__}: {_lower_first(str(error))}") from None


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, metaclass=_CheckedConstruction):
    """Base of every spec, Config and file entry: immutable, with typed fields.

        class CoinConfig(Record, kw_only=True):
            height: Annotated[int, Meta(ge=1)] = 8
            bias: float = 0.0

    Subclasses are declared with `kw_only=True`. Values are converted and checked against the annotations, both when a
    record is built in Python and when it is read from JSON or TOML. `Annotated[int, Meta(ge=1)]` (from msgspec) sets
    bounds. A record that is the type of a field must be defined at module level.

    Raises:
        RecordError: a value has the wrong type or is out of bounds, or there is no such field. The message names the
            path to it.
    """

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            try:
                converted = msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                raise RecordError(f"{type(self).__name__}.{_path_first(str(error), field.name)}") from None
            if converted is not value:
                msgspec.structs.force_setattr(self, field.name, converted)


_fields = cache(msgspec.structs.fields)
R = TypeVar("R", bound=Record)


def read_record(kind: type[R], data: object, where: str) -> R:
    """`data` (decoded JSON or TOML) as a `kind`; errors begin with `where`, the file or place it came from."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecordError) as error:
        raise RecordError(f"{where}: {_path_first(str(error), '')}") from None


def to_plain(value: object) -> Any:
    """`value` as plain dicts, lists and scalars, ready for JSON."""
    return _with_lists(msgspec.to_builtins(value))


def _with_lists(value: Any) -> Any:
    """Lists for tuples, which JSON does not know: what was written and read again is equal."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _path_first(message: str, field: str) -> str:
    """msgspec's "Expected `int` - at `$.a.x`" as "field.a.x: expected `int`"."""
    text, _, path = message.partition(" - at `$")
    path = re.sub(r"^\.", "" if not field else ".", path.removesuffix("`"))
    place = f"{field}{path}"
    return f"{place}: {_lower_first(text)}" if place else _lower_first(text)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
