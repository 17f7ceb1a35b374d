"""Assignments: what students hand in to a team, until when, and who may see it before it is released.

An assignment `class/hw1` is handed in by pushing to `class/hw1-NAME`, each student to the one with their own name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from zoo_core import UsageError
from zoo_hub_server.database import Database
from zoo_hub_server.names import RepoId, is_name, is_owner_name


@dataclass(frozen=True)
class Assignment:
    """What is to be handed in.

    Attributes:
        team: whose.
        name: the first part of the repositories' names.
        deadline: afterwards only owners of the team may push; None is none.
        released: whether hand-ins are as visible as any repository; before, the author and the owners see them.
    """

    team: str
    name: str
    deadline: datetime | None = None
    released: bool = False

    def __str__(self) -> str:
        return f"{self.team}/{self.name}"

    def author(self, repo: RepoId) -> str | None:
        """The student, in lower case, whose hand-in a repository is; None if it is no hand-in of this assignment."""
        prefix = f"{self.name}-".lower()
        if repo.namespace.lower() != self.team.lower() or not repo.name.lower().startswith(prefix):
            return None
        return repo.name.lower().removeprefix(prefix)

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and datetime.now(UTC) >= self.deadline

    def due(self) -> str:
        """`2026-12-04 18:00 UTC`."""
        return "no deadline" if self.deadline is None else shown_time(self.deadline)


class Assignments:
    """The assignments in hub.sqlite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Assignment]:
        """All assignments, by team and name."""
        with self._database.open() as db:
            rows = db.execute("SELECT team, name, deadline, released FROM assignments ORDER BY team, name").fetchall()
        return [
            Assignment(team, name, datetime.fromisoformat(deadline) if deadline else None, bool(released))
            for team, name, deadline, released in rows
        ]

    def named(self, name: str) -> Assignment | None:
        """The assignment TEAM/NAME."""
        return next((one for one in self.all() if str(one).lower() == name.lower()), None)

    def set(self, assignment: Assignment) -> None:
        """Add an assignment, or change the one of that name.

        Raises:
            UsageError: not a name; nobody is in that team; a hand-in of another one could have the same name.
        """
        if not (is_owner_name(assignment.team) and is_name(f"{assignment.name}-x")):
            raise UsageError(f"'{assignment}' is not an assignment", "Name it TEAM/NAME, such as class/hw1.")
        for other in self.all():
            one, two = sorted((f"{assignment}-".lower(), f"{other}-".lower()), key=len)
            if one != two and two.startswith(one):
                hint = "A hand-in could belong to both. Choose a name that does not begin with the other's and '-'."
                raise UsageError(f"'{assignment}' and '{other}' cannot be told apart", hint)
        with self._database.open() as db:
            row = db.execute("SELECT team FROM members WHERE team = ?", (assignment.team,)).fetchone()
            if row is None:
                raise UsageError(
                    f"no team '{assignment.team}'", f"Put somebody in: zoo hub add-member DIR {assignment.team} NAME"
                )
            deadline = None if assignment.deadline is None else assignment.deadline.astimezone(UTC).isoformat()
            db.execute(
                "INSERT OR REPLACE INTO assignments (team, name, deadline, released) VALUES (?, ?, ?, ?)",
                (row[0], assignment.name, deadline, assignment.released),
            )


def assignment_of(repo: RepoId, assignments: Iterable[Assignment]) -> Assignment | None:
    """The assignment that a repository is a hand-in of."""
    return next((one for one in assignments if one.author(repo) is not None), None)


def parse_time(text: str) -> datetime:
    """A time as people write it: `2026-12-04 18:00`, of this machine's zone unless one is given.

    Raises:
        UsageError: it is none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"'{text}' is not a time", "Such as '2026-12-04 18:00', or 2026-12-04T18:00+01:00.") from None


def shown_time(moment: datetime) -> str:
    """`2026-12-04 18:00 UTC`; with seconds only where there are any."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S UTC}" if moment.second else f"{moment:%Y-%m-%d %H:%M UTC}"
