"""hub.sqlite: its tables, and opening it. A connection a call, so that commands work while the server runs."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core import ZooError

_TABLES = """
CREATE TABLE users (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    role TEXT NOT NULL CHECK (role IN ('read', 'write')),
    token_sha256 TEXT NOT NULL UNIQUE,  -- tokens have 240 random bits: a plain hash cannot be guessed backwards
    created TEXT NOT NULL
);
CREATE TABLE members (
    team TEXT NOT NULL COLLATE NOCASE,
    user TEXT NOT NULL COLLATE NOCASE REFERENCES users(name) ON DELETE CASCADE,
    PRIMARY KEY (team, user)
);
CREATE TABLE moved (  -- where a repository went that had this name
    kind TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (kind, source)
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL)
"""

# What later versions of the hub added: step n brings a file whose user_version is n to n + 1.
_STEPS = [
    """
    ALTER TABLE members ADD COLUMN role TEXT NOT NULL DEFAULT 'owner'
        CHECK (role IN ('reader', 'contributor', 'owner'));
    ALTER TABLE users ADD COLUMN quota INTEGER;  -- bytes; NULL is the hub's own, and -1 is none
    CREATE TABLE assignments (
        team TEXT NOT NULL COLLATE NOCASE,
        name TEXT NOT NULL COLLATE NOCASE,
        deadline TEXT,  -- ISO 8601 in UTC; NULL is none
        released INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (team, name)
    )
    """,
]


class Database:
    """The sqlite file. One of an earlier version of the hub is brought up to date when it is first opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._current = False

    @classmethod
    def create(cls, path: Path) -> "Database":
        """A new file, readable by its owner only, whole or not at all."""
        beside = path.with_suffix(".part")
        beside.unlink(missing_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with cls(beside)._connected() as db:
            _run(db, _TABLES)
            db.execute("INSERT INTO settings VALUES ('secret', ?)", (secrets.token_bytes(32),))
            _bring_up_to_date(db)
        os.replace(beside, path)
        return cls(path)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done in it is kept, or, if it raises, none.

        Raises:
            ZooError: the file is damaged.
        """
        if not self._current:
            with self._connected() as db:
                _bring_up_to_date(db)
            self._current = True
        with self._connected() as db:
            yield db

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise ZooError(f"'{self.path}': {error}") from error
        finally:
            connection.close()


def _bring_up_to_date(db: sqlite3.Connection) -> None:
    if _version(db) >= len(_STEPS):
        return
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    for step in _STEPS[_version(db) :]:  # asked again, for another process may have been first
        _run(db, step)
    db.execute(f"PRAGMA user_version = {len(_STEPS)}")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _run(db: sqlite3.Connection, statements: str) -> None:
    """Several statements inside the transaction; `executescript` would end it."""
    plain = "\n".join(line.partition("--")[0] for line in statements.splitlines())
    for statement in plain.split(";"):
        db.execute(statement)
