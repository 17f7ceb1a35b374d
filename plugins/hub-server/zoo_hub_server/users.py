"""Who there is: users with a role and a hashed token, teams, and the hub's own settings, in one sqlite file."""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from zoo_core import UsageError, ZooError
from zoo_hub_server.names import RepoId, is_owner_name

Role = Literal["read", "write"]

_SCHEMA = """
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
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


@dataclass(frozen=True)
class User:
    """A user, and the namespaces that are theirs: their own and their teams'."""

    name: str
    role: Role
    teams: tuple[str, ...]
    created: str

    def owns(self, namespace: str) -> bool:
        """Whether repositories under `namespace` are this user's to see, private ones too."""
        return namespace in (self.name, *self.teams)


class Users:
    """The sqlite file; a connection a call, so that the command line and the server can use it at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> "Users":
        """A new file, readable by its owner only, whole or not at all."""
        beside = path.with_suffix(".part")
        beside.unlink(missing_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(beside)
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO settings VALUES ('secret', ?)", (secrets.token_bytes(32),))
        connection.commit()
        connection.close()
        os.replace(beside, path)
        return cls(path)

    def secret(self) -> bytes:
        """The key that upload addresses are signed with."""
        with self._open() as db:
            (value,) = db.execute("SELECT value FROM settings WHERE name = 'secret'").fetchone()
            return bytes(value)

    def add(self, name: str, role: Role, teams: tuple[str, ...] = ()) -> str:
        """A new user; returns the token, which is kept nowhere.

        Raises:
            UsageError: not a name, or taken.
        """
        for one in (name, *teams):
            if not is_owner_name(one):
                raise UsageError(
                    f"'{one}' is not a name", "Letters, digits, '-', '_' and '.', beginning with a letter or digit."
                )
        token = "zoo_" + secrets.token_urlsafe(30)
        with self._open() as db:
            for one in teams:
                if db.execute("SELECT 1 FROM users WHERE name = ?", (one,)).fetchone() or one.lower() == name.lower():
                    raise UsageError(f"team '{one}' has the name of a user", "Choose another name for the team.")
            if db.execute("SELECT 1 FROM members WHERE team = ?", (name,)).fetchone():
                raise UsageError(f"'{name}' is the name of a team", "Choose another name.")
            try:
                db.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, role, _hash(token), _now()))
            except sqlite3.IntegrityError:
                raise UsageError(
                    f"user '{name}' exists already", f"For a new token: zoo hub remove-user DIR {name}, then add again."
                ) from None
            known = {team.lower(): team for (team,) in db.execute("SELECT DISTINCT team FROM members")}
            for one in dict.fromkeys(known.get(team.lower(), team) for team in teams):
                db.execute("INSERT INTO members VALUES (?, ?)", (one, name))
        return token

    def remove(self, name: str) -> None:
        """Take a user's token away. Their repositories stay.

        Raises:
            UsageError: there is no such user.
        """
        with self._open() as db:
            if db.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount == 0:
                raise UsageError(f"no user '{name}'", "See zoo hub list-users DIR.")

    def all(self) -> list[User]:
        """All users, by name."""
        with self._open() as db:
            return [_user(db, *row) for row in db.execute("SELECT name, role, created FROM users ORDER BY name")]

    def of_token(self, token: str) -> User | None:
        """Whose token this is."""
        with self._open() as db:
            query = "SELECT name, role, created FROM users WHERE token_sha256 = ?"
            row = db.execute(query, (_hash(token),)).fetchone()
            return None if row is None else _user(db, *row)

    def remember_move(self, source: RepoId, target: RepoId) -> None:
        """From now on `source` leads to `target`."""
        with self._open() as db:
            db.execute(
                "UPDATE moved SET target = ? WHERE kind = ? AND target = ?", (str(target), source.kind, str(source))
            )
            db.execute("INSERT OR REPLACE INTO moved VALUES (?, ?, ?)", (source.kind, str(source), str(target)))

    def forget_move(self, source: RepoId) -> None:
        """`source` is the name of a repository again."""
        with self._open() as db:
            db.execute("DELETE FROM moved WHERE kind = ? AND source = ?", (source.kind, str(source)))

    def moved(self, source: RepoId) -> RepoId | None:
        """Where the repository went that was called `source`."""
        with self._open() as db:
            query = "SELECT target FROM moved WHERE kind = ? AND source = ?"
            row = db.execute(query, (source.kind, str(source))).fetchone()
            return None if row is None else RepoId(source.kind, *row[0].split("/"))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:  # a transaction
                yield connection
        except sqlite3.DatabaseError as error:
            raise ZooError(f"'{self.path}': {error}") from error
        finally:
            connection.close()


def _user(db: sqlite3.Connection, name: str, role: Role, created: str) -> User:
    teams = tuple(team for (team,) in db.execute("SELECT team FROM members WHERE user = ? ORDER BY team", (name,)))
    return User(name, role, teams, created)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
