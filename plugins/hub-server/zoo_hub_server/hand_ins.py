"""Who handed an assignment in, and when."""

from dataclasses import dataclass

from zoo_hub_server.assignments import Assignment
from zoo_hub_server.errors import Refusal
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.repository import MAIN
from zoo_hub_server.users import Users


@dataclass(frozen=True)
class HandIn:
    """What one student handed in.

    Attributes:
        user: the student; or the end of the repository's name, where no such student is in the team.
        repository: where it is, or would be.
        last_push: when main last changed, ISO 8601 in UTC; None if nothing was pushed.
        title: of that commit.
    """

    user: str
    repository: str
    last_push: str | None
    title: str = ""


def hand_ins(folder: HubFolder, assignment: Assignment) -> list[HandIn]:
    """A hand-in of each contributor of the team, pushed or not, and of whoever else has one; by user."""
    found: dict[str, HandIn] = {}
    names = {}
    for user in Users(folder.database).all():
        names[user.name.lower()] = user.name
        if user.role_in(assignment.team) == "contributor":
            found[user.name.lower()] = HandIn(user.name, f"{assignment}-{user.name}", None)
    for repo in folder.all_ids():
        author = assignment.author(repo)
        repository = None if author is None else folder.find(repo)
        if author is None or repository is None:
            continue
        try:
            head = repository.resolve(MAIN)
            last = repository.revision(head)
            empty = repository.listing(head).files.keys() <= {".gitattributes"}  # as the hub makes it
        except Refusal:  # deleted meanwhile
            continue
        shown = f"datasets/{repo}" if repo.kind == "datasets" else str(repo)
        name = names.get(author, author)
        found[author] = HandIn(name, shown, None) if empty else HandIn(name, shown, last.date, last.title)
    return [found[author] for author in sorted(found)]
