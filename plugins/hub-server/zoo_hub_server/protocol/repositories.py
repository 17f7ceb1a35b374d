"""Creating, deleting, moving repositories; their settings; who may what."""

from typing import Literal

import msgspec

from zoo_hub_server.errors import Refusal, bad_request, repository_not_found
from zoo_hub_server.hub import Call, Json
from zoo_hub_server.names import KINDS, RepoId, repo_id
from zoo_hub_server.repository import About, Repository


class _Name(msgspec.Struct):
    name: str
    organization: str | None = None
    type: str | None = None
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None  # as clients before 1.0 say it


class _Move(msgspec.Struct):
    fromRepo: str
    toRepo: str
    type: str = "model"


class _Settings(msgspec.Struct):
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None
    gated: Literal["auto", "manual", False] | None = None


def create(call: Call) -> Json:
    """A new repository. One that exists is 409, with its address all the same: that is what `exist_ok` reads."""
    asked: _Name = call.json(_Name)
    repo = _asked(call, asked)
    user = call.check_may_write(repo)
    answer = {"url": f"{call.base}{repo.page}", "name": str(repo), "id": str(repo)}
    private = asked.private if asked.visibility is None else asked.visibility == "private"
    try:
        call.hub.folder.create(repo, About(private=bool(private), owner=user.name), user.name)
    except Refusal as refusal:
        if refusal.status != 409:
            raise
        return Json(
            {"error": refusal.message, **answer, "url": f"{call.base}{call.hub.folder.written(repo).page}"}, 409
        )
    call.hub.users.forget_move(repo)
    return Json(answer)


def delete(call: Call) -> Json:
    """Remove a repository for good."""
    repo = call.hub.folder.written(_asked(call, call.json(_Name)))
    _open(call, repo)
    call.hub.folder.delete(repo)
    return Json({})


def move(call: Call) -> Json:
    """Rename a repository; the old name leads to the new one until somebody takes it."""
    asked: _Move = call.json(_Move)
    source, target = (_parsed(call, asked.type, text) for text in (asked.fromRepo, asked.toRepo))
    source = call.hub.folder.written(source)
    _open(call, source)
    call.check_may_write(target)
    if source != target:
        call.hub.folder.move(source, target)
        call.hub.users.forget_move(target)
        call.hub.users.remember_move(source, target)
    return Json({"url": f"{call.base}{target.page}"})


def settings(call: Call) -> Json:
    """Who may see a repository, and who may load it."""
    asked: _Settings = call.json(_Settings)
    repository = call.repository(write=True)
    changes: dict[str, object] = {}
    if asked.visibility is not None:
        changes["private"] = asked.visibility == "private"
    elif asked.private is not None:
        changes["private"] = asked.private
    if asked.gated is not None:
        changes["gated"] = asked.gated
    repository.change(**changes)
    about = repository.about()
    return Json({"private": about.private, "gated": about.gated})


def auth_check(call: Call) -> Json:
    """Whether the caller may load."""
    call.repository(read_files=True)
    return Json({})


def auth_check_write(call: Call) -> Json:
    """Whether the caller may push."""
    call.repository(write=True)
    return Json({})


def _asked(call: Call, asked: _Name) -> RepoId:
    if call.user is None:
        raise Refusal(401, "Log in to write: a token is needed.")
    return repo_id(_kind(asked.type or "model"), asked.organization or call.user.name, asked.name)


def _parsed(call: Call, kind: str, text: str) -> RepoId:
    namespace, slash, name = text.partition("/")
    if not slash:
        raise bad_request("A repository is named NAMESPACE/NAME.")
    return repo_id(_kind(kind), namespace, name)


def _kind(singular: str) -> str:
    return singular + "s" if singular + "s" in KINDS else singular


def _open(call: Call, repo: RepoId) -> Repository:
    """A repository that the body names, to be written to."""
    named = Call(call.hub, call.request, {"kind": repo.kind, "namespace": repo.namespace, "name": repo.name}, call.user)
    if call.hub.folder.find(repo) is None:
        raise repository_not_found(known_user=call.user is not None)
    return named.repository(write=True)
