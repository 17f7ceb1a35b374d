"""Who there is: users with a role, a hashed token and a quota; the teams they are in, and the role they have there."""

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from zoo_core import UsageError
from zoo_hub_server.database import Database
from zoo_hub_server.names import RepoId, is_owner_name

Role = Literal["read", "write"]
TeamRole = Literal["reader", "contributor", "owner"]
TEAM_ROLES: tuple[TeamRole, ...] = ("reader", "contributor", "owner")

NAMES = "Letters, digits, '-', '_' and '.', beginning with a letter or digit; not the name of an address of the hub."
NO_QUOTA = -1
_COLUMNS = "name, role, created, quota"


@dataclass(frozen=True)
class User:
    """A user.

    Attributes:
        name: and their own namespace.
        role: what the token may do: read, or write as well.
        memberships: the teams, with the role in each.
        created: when, ISO 8601 in UTC.
        quota: bytes that their repositories may hold; None is what the hub gives to everybody, NO_QUOTA is no limit.
    """

    name: str
    role: Role
    memberships: Mapping[str, TeamRole]
    created: str
    quota: int | None = None

    @property
    def teams(self) -> tuple[str, ...]:
        """The names of the teams."""
        return tuple(self.memberships)

    def role_in(self, namespace: str) -> TeamRole | None:
        """What this user is in a namespace; in their own the owner."""
        return "owner" if namespace == self.name else self.memberships.get(namespace)


@dataclass(frozen=True)
class Joining:
    """A user to be added, or one who is there already and is to be put into teams."""

    name: str
    role: Role = "write"
    teams: tuple[str, ...] = ()
    team_role: TeamRole = "owner"
    quota: int | None = None


class Users:
    """The users in hub.sqlite, and what else the hub keeps there for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def secret(self) -> bytes:
        """The key that upload addresses are signed with."""
        with self._database.open() as db:
            (value,) = db.execute("SELECT value FROM settings WHERE name = 'secret'").fetchone()
            return bytes(value)

    # -- users ------------------------------------------------------------------------------------------------------

    def add(self, joining: Joining) -> str:
        """A new user; returns the token, which is kept nowhere.

        Raises:
            UsageError: not a name, or taken.
        """
        with self._database.open() as db:
            if _exists(db, joining.name):
                raise UsageError(
                    f"user '{joining.name}' exists already", f"For a new token: new-token DIR {joining.name}"
                )
            return _add(db, joining)

    def add_all(self, list_: Iterable[Joining]) -> dict[str, str]:
        """Several users, all or none; returns the tokens of those that are new. Who exists keeps the token, and joins.

        Raises:
            UsageError: names that are none, or are taken by a team; it names them all.
        """
        tokens: dict[str, str] = {}
        faults: list[str] = []
        with self._database.open() as db:
            for joining in list_:
                try:
                    if _exists(db, joining.name):
                        for team in joining.teams:
                            _join(db, team, joining.name, joining.team_role, keep=True)
                    else:
                        tokens[joining.name] = _add(db, joining)
                except UsageError as error:
                    faults.append(error.message)
            if faults:
                raise UsageError(f"nobody was added: {'; '.join(faults)}", NAMES)
        return tokens

    def new_token(self, name: str) -> str:
        """A new token in place of the old one; teams, role, quota and repositories stay.

        Raises:
            UsageError: there is no such user.
        """
        token = _new_token()
        with self._database.open() as db:
            if db.execute("UPDATE users SET token_sha256 = ? WHERE name = ?", (_hash(token), name)).rowcount == 0:
                raise _no_user(name)
        return token

    def remove(self, name: str) -> None:
        """Take a user's token away. Their repositories stay.

        Raises:
            UsageError: there is no such user.
        """
        with self._database.open() as db:
            if db.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount == 0:
                raise _no_user(name)

    def all(self) -> list[User]:
        """All users, by name."""
        with self._database.open() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM users ORDER BY name").fetchall()
            teams: dict[str, dict[str, TeamRole]] = {}
            for team, user, role in db.execute("SELECT team, user, role FROM members ORDER BY team"):
                teams.setdefault(user.lower(), {})[team] = role
            return [_user(row, teams.get(row[0].lower(), {})) for row in rows]

    def of_token(self, token: str) -> User | None:
        """Whose token this is."""
        return self._one("token_sha256 = ?", _hash(token))

    def named(self, name: str) -> User | None:
        """The user of that name, however its capitals are written."""
        return self._one("name = ?", name)

    def _one(self, where: str, value: str) -> User | None:
        with self._database.open() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM users WHERE {where}", (value,)).fetchone()
            if row is None:
                return None
            found = db.execute("SELECT team, role FROM members WHERE user = ? ORDER BY team", (row[0],))
            return _user(row, dict(found.fetchall()))

    # -- teams ------------------------------------------------------------------------------------------------------

    def join(self, team: str, names: Iterable[str], role: TeamRole) -> None:
        """Put users into a team, which begins to exist with its first member; who is in it gets the new role.

        Raises:
            UsageError: there is no such user; the team is called as a user is. Then nobody is put in.
        """
        with self._database.open() as db:
            for name in names:
                if not _exists(db, name):
                    raise _no_user(name)
                _join(db, team, name, role)

    def leave(self, team: str, names: Iterable[str]) -> None:
        """Take users out of a team; what they pushed to it stays.

        Raises:
            UsageError: one is not in it. Then nobody is taken out.
        """
        with self._database.open() as db:
            for name in names:
                if db.execute("DELETE FROM members WHERE team = ? AND user = ?", (team, name)).rowcount == 0:
                    raise UsageError(f"'{name}' is not in team '{team}'", "See zoo hub list-users DIR.")

    # -- quotas -----------------------------------------------------------------------------------------------------

    def set_quota(self, quota: int | None, names: Iterable[str] = ()) -> None:
        """Bytes for these users; without names, for everybody who has none of their own.

        Raises:
            UsageError: there is no such user. Then nothing is changed.
        """
        names = list(names)
        with self._database.open() as db:
            for name in names:
                if db.execute("UPDATE users SET quota = ? WHERE name = ?", (quota, name)).rowcount == 0:
                    raise _no_user(name)
            if not names:
                value = NO_QUOTA if quota is None else quota
                db.execute("INSERT OR REPLACE INTO settings VALUES ('quota', ?)", (value,))

    def quota_of(self, user: User) -> int | None:
        """Bytes that the repositories of a user may hold; None is no limit."""
        quota = user.quota
        if quota is None:
            with self._database.open() as db:
                row = db.execute("SELECT value FROM settings WHERE name = 'quota'").fetchone()
            quota = NO_QUOTA if row is None else int(row[0])
        return None if quota == NO_QUOTA else quota

    # -- moved repositories -----------------------------------------------------------------------------------------

    def remember_move(self, source: RepoId, target: RepoId) -> None:
        """From now on `source` leads to `target`."""
        with self._database.open() as db:
            db.execute(
                "UPDATE moved SET target = ? WHERE kind = ? AND target = ?", (str(target), source.kind, str(source))
            )
            db.execute("INSERT OR REPLACE INTO moved VALUES (?, ?, ?)", (source.kind, str(source), str(target)))

    def forget_move(self, source: RepoId) -> None:
        """`source` is the name of a repository again."""
        with self._database.open() as db:
            db.execute("DELETE FROM moved WHERE kind = ? AND source = ?", (source.kind, str(source)))

    def moved(self, source: RepoId) -> RepoId | None:
        """Where the repository went that was called `source`."""
        with self._database.open() as db:
            query = "SELECT target FROM moved WHERE kind = ? AND source = ?"
            row = db.execute(query, (source.kind, str(source))).fetchone()
            return None if row is None else RepoId(source.kind, *row[0].split("/"))


def _add(db: sqlite3.Connection, joining: Joining) -> str:
    """A new user in an open transaction."""
    _check_name(joining.name)
    if db.execute("SELECT 1 FROM members WHERE team = ?", (joining.name,)).fetchone():
        raise UsageError(f"'{joining.name}' is the name of a team", "Choose another name.")
    for team in joining.teams:
        _check_team(db, team, joining.name)
    token = _new_token()
    row = (joining.name, joining.role, _hash(token), _now(), joining.quota)
    db.execute("INSERT INTO users (name, role, token_sha256, created, quota) VALUES (?, ?, ?, ?, ?)", row)
    for team in joining.teams:
        _join(db, team, joining.name, joining.team_role)
    return token


def _join(db: sqlite3.Connection, team: str, name: str, role: TeamRole, *, keep: bool = False) -> None:
    """Put a user into a team; `keep` leaves the role of who is in it."""
    _check_team(db, team, name)
    written = db.execute("SELECT team FROM members WHERE team = ?", (team,)).fetchone()
    db.execute(
        f"INSERT INTO members (team, user, role) VALUES (?, ?, ?) ON CONFLICT (team, user) "
        f"DO {'NOTHING' if keep else 'UPDATE SET role = excluded.role'}",
        (team if written is None else written[0], name, role),
    )


def _check_team(db: sqlite3.Connection, team: str, member: str) -> None:
    _check_name(team)
    if team.lower() == member.lower() or _exists(db, team):
        raise UsageError(f"team '{team}' has the name of a user", "Choose another name for the team.")


def _check_name(name: str) -> None:
    if not is_owner_name(name):
        raise UsageError(f"'{name[:100]}' is not a name", NAMES)


def _exists(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is not None


def _no_user(name: str) -> UsageError:
    return UsageError(f"no user '{name}'", "See zoo hub list-users DIR.")


def _user(row: tuple[str, Role, str, int | None], memberships: Mapping[str, TeamRole]) -> User:
    name, role, created, quota = row
    return User(name, role, memberships, created, quota)


def _new_token() -> str:
    return "zoo_" + secrets.token_urlsafe(30)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
