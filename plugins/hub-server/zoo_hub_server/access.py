"""Who may load a gated repository: those who asked for it, and were let in. Kept in access.json in its folder.

Gated "auto" lets in everybody who asks, so that the owner knows who has it; "manual" waits for the owner.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from zoo_core import write_atomically
from zoo_hub_server.errors import Refusal, bad_request
from zoo_hub_server.git_objects import iso
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import Repository
from zoo_hub_server.users import User

Status = Literal["pending", "accepted", "rejected"]


class Asked(msgspec.Struct, frozen=True):
    """Somebody who asked for access, or was given it, and how it stands."""

    user: str
    status: Status
    timestamp: str = msgspec.field(default_factory=lambda: iso(datetime.now(UTC)))
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex[:24])


def all_asked(repository: Repository) -> list[Asked]:
    """Everybody who asked, the first first. A damaged file lets nobody in."""
    try:
        return msgspec.json.decode((repository.path / "access.json").read_bytes(), type=list[Asked])
    except (FileNotFoundError, msgspec.MsgspecError):
        return []


def ask(repository: Repository, user: User) -> Asked:
    """A user asks for access; asking again changes nothing, but to be let in where the gate was opened meanwhile.

    Raises:
        Refusal: 400, the repository is not gated.
    """
    with repository.locked():
        gated = repository.about().gated
        if not gated:
            raise _open_to_all()
        everybody = all_asked(repository)
        before = _of(everybody, user.name)
        status: Status = "accepted" if gated == "auto" else "pending"
        if before is not None and (before.status != "pending" or status == "pending"):
            return before
        return _write(repository, everybody, before, user.name, status)


def answer(repository: Repository, status: Status, *, user: str = "", id_: str = "") -> None:
    """The owner accepts or rejects who asked, or puts the question back ("pending").

    Raises:
        Refusal: 400, not gated, or it stands so already; 404, nobody of this name or id asked.
    """
    with repository.locked():
        if not repository.about().gated:
            raise _open_to_all()
        everybody = all_asked(repository)
        before = _of(everybody, user) if user else next((one for one in everybody if one.id == id_), None)
        if before is None:
            raise Refusal(404, "Nobody of this name asked for access.")
        if before.status == status:
            raise bad_request(f"The access of {before.user} is {status} already.")
        _write(repository, everybody, before, before.user, status)


def grant(repository: Repository, user: str) -> None:
    """The owner lets somebody in who need not have asked.

    Raises:
        Refusal: 400, not gated, or the user has access.
    """
    with repository.locked():
        if not repository.about().gated:
            raise _open_to_all()
        everybody = all_asked(repository)
        before = _of(everybody, user)
        if before is not None and before.status == "accepted":
            raise bad_request(f"{before.user} has access already.")
        _write(repository, everybody, before, user, "accepted")


def check_access(repository: Repository, repo: RepoId, user: User | None, base: str) -> None:
    """Raise unless the user was let in. `base` is the address of the hub, for the message.

    Raises:
        Refusal: 401 or 403 GatedRepo; it says how to ask.
    """
    asked = None if user is None else _of(all_asked(repository), user.name)
    if asked is not None and asked.status == "accepted":
        return
    if asked is None:
        request = f"curl -X POST -H 'Authorization: Bearer '$HF_TOKEN {base}{repo.page}/ask-access"
        how = f"{'Log in, and ask' if user is None else 'Ask'} for it once: {request}"
    else:
        how = "Its owner has not answered yet." if asked.status == "pending" else "Its owner has refused it to you."
    where = f"Access to {repo.kind[:-1]} {repo} is restricted and you are not in the authorized list."
    raise Refusal(401 if user is None else 403, f"{where} {how}", "GatedRepo")


def _of(everybody: Iterable[Asked], user: str) -> Asked | None:
    return next((one for one in everybody if one.user.lower() == user.lower()), None)


def _write(repository: Repository, everybody: list[Asked], before: Asked | None, user: str, status: Status) -> Asked:
    new = Asked(user, status) if before is None else msgspec.structs.replace(before, status=status)
    rest = [new if one is before else one for one in everybody]
    write_atomically(repository.path / "access.json", msgspec.json.encode(rest if before else [*everybody, new]))
    return new


def _open_to_all() -> Refusal:
    return bad_request("The repository is not gated: everybody who may see it may load it.")
