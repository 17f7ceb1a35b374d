"""HTML that cannot be broken by its content: text is escaped unless it was made here."""

from collections.abc import Sequence
from html import escape
from typing import Union

Child = Union[str, "Html", None, Sequence["Child"]]

_EMPTY = {"img", "input", "link", "meta", "br", "hr"}


class Html(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """An element. Children and attributes are escaped; `class_` is class, None and False leave an attribute out."""
    words = ""
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            words += f" {key}" if value is True else f' {key}="{escape(value)}"'
    if name in _EMPTY:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children one after another."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        elif child is not None:
            parts.append(join(*child))
    return Html("".join(parts))


def table(
    head: list[str], rows: list[list[Child]], *, numbers: tuple[int, ...] = (), class_: str | None = None
) -> Html:
    """A table; the columns `numbers` are aligned to the right."""

    def kind(column: int) -> str | None:
        return "number" if column in numbers else None

    top = tag("tr", [tag("th", name, scope="col", class_=kind(i)) for i, name in enumerate(head)])
    body = [tag("tr", [tag("td", cell, class_=kind(i)) for i, cell in enumerate(row)]) for row in rows]
    return tag("div", tag("table", tag("thead", top), tag("tbody", body), class_=class_), class_="scroll")
