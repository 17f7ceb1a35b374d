"""Lists of users that a teacher has, and the table of tokens that comes of one."""

import csv
import io
import os
from pathlib import Path
from types import TracebackType

from zoo_core import UsageError, ZooError

_UP_TO = 1 << 20  # bytes


def read_names(path: Path) -> list[str]:
    """The names of a list: one a line, or the column 'name' of a CSV file. Empty lines and lines of '#' are left out.

    Raises:
        UsageError: it cannot be read, holds nobody, or somebody twice.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_UP_TO + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"'{path}' cannot be read: {reason}", "One name a line, or CSV with a column 'name'."
        ) from None
    if len(text) > _UP_TO:
        raise UsageError(
            f"'{path}' is longer than {_UP_TO} characters", "One name a line, or CSV with a column 'name'."
        )
    names = _column(path, text)
    if not names:
        raise UsageError(f"'{path}' names nobody", "One name a line, or CSV with a column 'name'.")
    twice = sorted({name for name in names if [one.lower() for one in names].count(name.lower()) > 1})
    if twice:
        raise UsageError(f"'{path}' has {', '.join(twice)} more than once", "Capitals do not tell two users apart.")
    return names


class TokenFile:
    """A new file for tokens, readable by its owner only. It is made before the users are, and removed if they are not.

    Raises:
        ZooError: it is there already, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "TokenFile":
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ZooError(f"'{self.path}' exists already", "Name a new file, for it may hold tokens.") from None
        except OSError as error:
            raise ZooError(f"'{self.path}' cannot be made: {error.strerror}") from error
        return self

    def write(self, tokens: dict[str, str]) -> None:
        """name,token a line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("name", "token"), *tokens.items()])
        with open(self._file, "w", encoding="utf-8", closefd=False) as file:
            file.write(text.getvalue())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)
        if error is not None:
            self.path.unlink(missing_ok=True)


def _column(path: Path, text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    delimiter = next((sign for sign in (",", ";", "\t") if lines and sign in lines[0]), None)
    if delimiter is None:
        names = [line.strip() for line in lines]
        return names[1:] if names and names[0].lower() == "name" else names
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    head = [cell.strip().lower() for cell in rows[0]]
    if "name" not in head:
        raise UsageError(f"'{path}' has columns, and none is called 'name'", f"Its columns: {', '.join(rows[0])}")
    at = head.index("name")
    return [row[at].strip() for row in rows[1:] if len(row) > at and row[at].strip()]
