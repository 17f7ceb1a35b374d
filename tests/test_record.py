"""Record: declared data that is checked however it is made."""

import json
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import Record, read_record, to_plain


class Inner(Record, kw_only=True):
    size: Annotated[int, Meta(ge=1, le=8)] = 2


class Outer(Record, kw_only=True):
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    ratio: float = 0.5


WRONG = [
    ({"name": 3}, "name", "expected `str`"),
    ({"name": "a", "inner": {"size": 0}}, "inner.size", ">= 1"),
    ({"name": "a", "inner": {"size": 9}}, "inner.size", "<= 8"),
    ({"name": "a", "inner": {"size": "2"}}, "inner.size", "expected `int`"),
    ({"name": "a", "inner": {"sise": 2}}, "inner", "`sise`"),
    ({"name": "a", "many": [{}, {"size": 0}]}, "many[1].size", ">= 1"),
    ({"name": "a", "by_name": {"x": {"size": True}}}, "by_name", "expected `int`"),
    ({"name": "a", "ratio": "half"}, "ratio", "expected `float`"),
    ({"name": "a", "ratio": None}, "ratio", "got `null`"),
]


@pytest.mark.parametrize(("values", "path", "why"), WRONG)
def test_a_wrong_value_is_refused_when_built_and_when_decoded(values: dict[str, Any], path: str, why: str) -> None:
    with pytest.raises(RecordError) as built:
        Outer(**values)
    with pytest.raises(RecordError) as decoded:
        read_record(Outer, values, "config.json")
    for error in (built.value, decoded.value):
        assert path in error.message and why in error.message
        assert "\n" not in error.message and "$" not in error.message
    assert built.value.message.startswith("Outer.")
    assert decoded.value.message.startswith("config.json: ")


def test_an_unknown_keyword_is_named() -> None:
    with pytest.raises(RecordError, match=r"Outer: .*'nam'"):
        Outer(nam="a")  # type: ignore[call-arg]
    with pytest.raises(RecordError, match="`nam`"):
        read_record(Outer, {"name": "a", "nam": "a"}, "here")


def test_a_missing_value_is_named() -> None:
    with pytest.raises(RecordError, match=r"Outer: .*'name'"):
        Outer()  # type: ignore[call-arg]
    with pytest.raises(RecordError, match=r"here: .*`name`"):
        read_record(Outer, {}, "here")


def test_something_else_than_a_table_is_refused() -> None:
    with pytest.raises(RecordError, match="here: expected `object`"):
        read_record(Outer, [1], "here")


def test_plain_values_become_records() -> None:
    outer = Outer(name="a", inner={"size": 3}, many=[{"size": 4}], ratio=1)  # type: ignore[arg-type]
    assert outer.inner == Inner(size=3)
    assert outer.many == (Inner(size=4),)
    assert type(outer.ratio) is float


def test_plain_form_and_back() -> None:
    outer = Outer(name="a", inner=Inner(size=3), many=(Inner(size=1),), by_name={"x": Inner()})
    assert read_record(Outer, to_plain(outer), "here") == outer
    assert to_plain(outer) == json.loads(json.dumps(to_plain(outer)))  # a run that is resumed compares the two
    assert msgspec.json.decode(msgspec.json.encode(outer), type=Outer) == outer


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Outer(name="a").name = "b"  # type: ignore[misc]


def test_defaults_are_not_shared() -> None:
    one, two = Outer(name="a"), Outer(name="b")
    one.by_name["x"] = Inner()
    assert two.by_name == {}


def test_a_changed_copy_is_checked_too() -> None:
    with pytest.raises(RecordError, match=r"Inner\.size"):
        msgspec.structs.replace(Inner(), size=99)


def test_a_record_error_is_a_usage_error_and_a_value_error() -> None:
    assert issubclass(RecordError, UsageError) and issubclass(RecordError, ValueError)
    with pytest.raises(RecordError, match=r"Field\.kind"):
        Field(kind="picture")  # type: ignore[arg-type]
    with pytest.raises(RecordError, match=r"Field\.levels"):
        Field(kind="image", levels=1)
