"""Rows of numbers as files: CSV, and JSON lines. An example is a row; the first line may name the columns."""

import csv
import difflib
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo_core.errors import UsageError

STDIN = "-"
SUFFIXES = (".csv", ".jsonl")


class Rows(NamedTuple):
    """The rows of a table in a file.

    Attributes:
        values: the numbers of each row, in the order of the columns that were asked for.
        lines: the line of the file in which each row stands, from 1.
        unused: the columns of the file that were not asked for.
    """

    values: list[list[float]]
    lines: list[int]
    unused: tuple[str, ...]


class _Record(NamedTuple):
    """A row as the file has it."""

    line: int
    cells: list[Any]  # texts of CSV, values of JSON


def read_text(source: str) -> str:
    """A text file; "-" is the standard input.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"'{source}' does not exist") from None
    except OSError as error:
        raise UsageError(f"'{source}' cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"'{source}', line {line}: this is not UTF-8", "Save the file as UTF-8.") from None


def read_rows(source: str, *, width: int | None, columns: Sequence[str] = ()) -> Rows:
    """The rows of a file of numbers, CSV or JSON lines; "-" is the standard input.

    Of CSV, the first line is a header if one of its cells can be a name: it is not empty, and no number, not even NaN.
    Of JSON lines, each is an object with a number for each name, or a list of numbers. Names are matched with
    `columns`, in whatever order; without names, cells are taken in their order.

    Args:
        width: how many numbers a row must have; None is any number, the same for all rows.
        columns: their names, if they have some.

    Raises:
        UsageError: it cannot be read, holds no rows, lacks a column, or has a cell that is not a number; file, line and
            column are told.
    """
    text = read_text(source)
    is_json = source.endswith(".jsonl") or (source == STDIN and text.lstrip()[:1] in ("{", "["))
    header, records = (_json_lines if is_json else _csv_lines)(source, text)
    if not records:
        raise UsageError(f"'{source}' holds no rows of numbers")
    places, unused = _places(source, header, columns)
    width = width or len(places or records[0].cells)
    values = []
    for record in records:
        if header is not None and len(record.cells) != len(header):
            found = f"{len(record.cells)} cells, and the header has {len(header)}"
            raise UsageError(f"'{source}', line {record.line}: {found}")
        cells = record.cells if places is None else [record.cells[place] for place in places]
        if len(cells) != width:
            raise UsageError(
                f"'{source}', line {record.line}: {len(cells)} numbers, and {width} are needed",
                f"They are: {', '.join(columns)}." if columns else None,
            )
        names = columns if places is not None else header or ()
        values.append([_number(source, record.line, cell, k, names) for k, cell in enumerate(cells)])
    return Rows(values, [record.line for record in records], unused)


def table_text(rows: Sequence[Sequence[float | str]], columns: Sequence[str], *, suffix: str = ".csv") -> str:
    """Rows as the text of a file with this suffix. Numbers have nine digits, which is all that a float32 has."""
    if suffix.lower() == ".jsonl":
        plain = [[cell if isinstance(cell, str) else _json_number(cell) for cell in row] for row in rows]
        lines = [dict(zip(columns, row, strict=True)) for row in plain] if columns else plain
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows([cell if isinstance(cell, str) else f"{cell:.9g}" for cell in row] for row in rows)
    return out.getvalue()


def _json_number(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


def _csv_lines(source: str, text: str) -> tuple[list[str] | None, list[_Record]]:
    """The header, if there is one, and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    try:
        for cells in reader:
            if any(stripped := [cell.strip() for cell in cells]):
                records.append(_Record(reader.line_num, stripped))
    except csv.Error as error:
        raise UsageError(f"'{source}', line {reader.line_num}: {error}") from None
    if not records or not any(map(_is_name, records[0].cells)):
        return None, records
    header = records[0].cells
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise UsageError(f"'{source}', line {records[0].line}: cells are separated by commas in a CSV file")
    return header, records[1:]


def _json_lines(source: str, text: str) -> tuple[list[str] | None, list[_Record]]:
    """The names of the first row, if it has some, and the rows, in the order of these names."""
    header: list[str] | None = None
    records: list[_Record] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{source}', line {number}: this is no JSON: {error}") from None
        if not isinstance(row, (dict, list)) or not row:
            raise UsageError(f"'{source}', line {number}: a row is an object or a list of numbers")
        if not records and isinstance(row, dict):
            header = list(row)
        names = set(row) if isinstance(row, dict) else set()
        if odd := sorted(names ^ set(header or ())):
            raise UsageError(f"'{source}', line {number}: the name '{odd[0]}' is not in every row")
        records.append(_Record(number, [row[name] for name in header] if header else list(row)))
    return header, records


def _places(source: str, header: list[str] | None, columns: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
    """Where the columns are in the header, and those that are not asked for; None where nothing has a name."""
    if header is None or not columns:
        return None, ()
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UsageError(f"'{source}' has two columns '{twice[0]}'")
    for name in columns:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            guess = f"; is it '{near[0]}'?" if near else ""
            raise UsageError(f"'{source}' has no column '{name}'{guess}", f"These are needed: {', '.join(columns)}.")
    return [header.index(name) for name in columns], tuple(name for name in header if name not in columns)


def _number(source: str, line: int, cell: Any, place: int, names: Sequence[str]) -> float:
    """The number in a cell of a row."""
    if not _is_number(cell):
        column = f"'{names[place]}'" if names else str(place + 1)
        shown = "an empty cell" if cell == "" else f"'{cell}'" if isinstance(cell, str) else json.dumps(cell)
        raise UsageError(f"'{source}', line {line}, column {column}: {shown} is not a number")
    return float(cell)


def _is_name(cell: str) -> bool:
    """Whether a cell of a first line makes it a header; a missing or infinite number does not."""
    try:
        float(cell)
    except ValueError:
        return bool(cell)
    return False


def _is_number(cell: Any) -> bool:
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return False
    try:
        return math.isfinite(float(cell))
    except (ValueError, OverflowError):
        return False
