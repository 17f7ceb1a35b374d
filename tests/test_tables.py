"""Rows of numbers as CSV and JSON lines: what is written is read again; mistakes are told by file, line and column."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import check_output
from zoo_core.row_files import SUFFIXES, read_rows, table_text

NAMES = ("a", "b", "c")
ROWS = [[1.0, -2.5, 1e-12], [0.1, 3e20, 4.0]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("columns", [NAMES, ()])
def test_what_is_written_is_read_again(suffix: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_text(table_text(ROWS, columns, suffix=suffix))
    found = read_rows(str(path), width=3, columns=columns)
    assert found.values == ROWS and found.unused == ()


def test_nine_digits_give_back_every_float32(tmp_path: Path) -> None:
    import torch

    values = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) ** 9
    path = tmp_path / "rows.csv"
    path.write_text(table_text(values.tolist(), ()))
    assert torch.equal(torch.tensor(read_rows(str(path), width=3).values), values)


def test_the_form_is_that_of_the_suffix() -> None:
    assert table_text([[1.0, "x, y"]], ("n", "t")) == 'n,t\n1,"x, y"\n'
    assert table_text([[1.0, "é"]], ("n", "t"), suffix=".jsonl") == '{"n": 1.0, "t": "é"}\n'
    assert table_text([[1.0, 2.0]], (), suffix=".jsonl") == "[1.0, 2.0]\n"
    assert json.loads(table_text([[math.nan, math.inf]], (), suffix=".jsonl")) == [None, None]


def test_columns_are_found_by_name_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("c,extra,a,b\n3,x,1,2\n6,y,4,5\n")
    assert read_rows(str(path), width=3, columns=NAMES) == ([[1, 2, 3], [4, 5, 6]], [2, 3], ("extra",))
    path = tmp_path / "rows.jsonl"
    path.write_text('{"c": 3, "b": 2, "a": 1, "extra": "x"}\n\n{"extra": "y", "a": 4, "b": 5, "c": 6}\n')
    assert read_rows(str(path), width=3, columns=NAMES) == ([[1, 2, 3], [4, 5, 6]], [1, 3], ("extra",))


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("plain.csv", "1,2,3\n4,5,6\n", [[1, 2, 3], [4, 5, 6]]),  # no header, although the columns have names
        ("blank.csv", "\n1,2,3\n\n   \n4,5,6", [[1, 2, 3], [4, 5, 6]]),
        ("windows.csv", "a,b,c\r\n1,2,3\r\n", [[1, 2, 3]]),
        ("excel.csv", "\ufeffa,b,c\n1,2,3\n", [[1, 2, 3]]),
        ("spaces.csv", "a, b ,c\n 1 ,2, 3e0\n", [[1, 2, 3]]),
        ("quoted.csv", '"a","b","c"\n"1","2","3"\n', [[1, 2, 3]]),
        ("lists.jsonl", "[1, 2, 3]\n[4, 5, 6.5]\n", [[1, 2, 3], [4, 5, 6.5]]),
    ],
)
def test_a_file_that_a_person_made_is_read(name: str, text: str, values: list[Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, newline="")
    assert read_rows(str(tmp_path / name), width=3, columns=NAMES).values == values


def test_without_names_and_width_the_first_row_says_how_many(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("x,y\n1,2\n3,4\n")
    assert read_rows(str(tmp_path / "r.csv"), width=None).values == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.csv", "a,b,c\n1,2,3\n4,five,6\n", "line 3, column 'b': 'five' is not a number"),
        ("r.csv", "1,2,3\n4,five,6\n", "line 2, column 2: 'five' is not a number"),
        ("r.csv", "a,b,c\n1,,3\n", "line 2, column 'b': an empty cell is not a number"),
        ("r.csv", "a,b,c\n1,nan,3\n", "'nan' is not a number"),
        ("r.csv", "a,b,c\n1,inf,3\n", "'inf' is not a number"),
        ("r.csv", "a,b,c\n1,2\n", "line 2: 2 cells, and the header has 3"),
        ("r.csv", "1,2\n", "line 1: 2 numbers, and 3 are needed"),
        ("r.csv", "a,d,bb\n1,2,3\n", "no column 'b'; is it 'bb'?"),
        ("r.csv", "a,b,c,b\n1,2,3,4\n", "two columns 'b'"),
        ("r.csv", "a;b;c\n1;2;3\n", "line 1: cells are separated by commas"),
        ("r.csv", 'a,b,c\n1,"2,3\n', "line 2"),
        ("r.csv", "", "holds no rows"),
        ("r.csv", "a,b,c\n", "holds no rows"),
        ("r.csv", "a,b,c\n1,2,ü\n".encode("cp1252"), "line 2: this is not UTF-8"),
        ("r.csv", "a,b,c\n1,2,3\n".encode("utf-16"), "line 1: this is not UTF-8"),
        ("r.csv", "1,nan,3\n4,5,6\n", "line 1, column 2: 'nan' is not a number"),  # and no name of a column
        ("r.csv", "1,,3\n4,5,6\n", "line 1, column 2: an empty cell is not a number"),
        ("r.jsonl", '{"a": 1, "b": 2, "c": 3}\n{"a": 1, "b": 2}\n', "line 2: the name 'c' is not in every row"),
        ("r.jsonl", '{"a": 1, "b": 2, "c": 3}\n[1, 2, 3]\n', "line 2: the name 'a' is not in every row"),
        ("r.jsonl", '{"a": 1, "b": true, "c": 3}\n', "line 1, column 'b': true is not a number"),
        ("r.jsonl", '{"a": 1, "b": null, "c": 3}\n', "line 1, column 'b': null is not a number"),
        ("r.jsonl", '{"a": 1, "b": [2], "c": 3}\n', "is not a number"),
        ("r.jsonl", "[1, 2, 3]\n[1, 2\n", "line 2: this is no JSON"),
        ("r.jsonl", "[1, 2, 3]\n7\n", "line 2: a row is an object or a list"),
        ("r.jsonl", "[" * 100_000, "line 1: this is no JSON"),
        ("r.jsonl", "\n", "holds no rows"),
    ],
)
def test_a_mistake_is_told_by_file_line_and_column(name: str, text: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        read_rows(str(path), width=3, columns=NAMES)
    assert words in caught.value.message and str(path) in caught.value.message


def test_a_file_that_is_not_there_or_cannot_be_made_is_told(tmp_path: Path) -> None:
    for missing in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UsageError, match=f"'{missing}'"):
            read_rows(str(missing), width=3)
    check_output(tmp_path / "r.JSONL", *SUFFIXES)
    for wrong in (tmp_path / "r.txt", tmp_path / "absent" / "r.csv"):
        with pytest.raises(UsageError):
            check_output(wrong, *SUFFIXES)
