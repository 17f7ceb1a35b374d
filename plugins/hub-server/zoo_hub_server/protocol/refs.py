"""Branches and tags."""

import msgspec

from zoo_hub_server.errors import bad_request
from zoo_hub_server.hub import Call, Json
from zoo_hub_server.repository import MAIN


class _Branch(msgspec.Struct):
    startingPoint: str = MAIN


class _Tag(msgspec.Struct):
    tag: str
    message: str | None = None


class _Squash(msgspec.Struct):
    message: str = "Super-squash"


def list_refs(call: Call) -> Json:
    branches, tags = call.repository().refs()
    answer = {
        "branches": [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in branches.items()],
        "tags": [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in tags.items()],
        "converts": [],
    }
    return Json(answer | ({"pullRequests": []} if "include_prs" in call.query else {}))


def create_branch(call: Call) -> Json:
    repository = call.repository(write=True)
    repository.create_branch(call.params["branch"], call.json(_Branch).startingPoint)
    return Json({})


def delete_branch(call: Call) -> Json:
    call.repository(write=True).delete_branch(call.params["branch"])
    return Json({})


def create_tag(call: Call) -> Json:
    repository = call.repository(write=True)
    asked: _Tag = call.json(_Tag)
    assert call.user is not None  # or it could not write
    repository.create_tag(asked.tag, call.params["revision"], asked.message or "", call.user.name)
    return Json({})


def delete_tag(call: Call) -> Json:
    call.repository(write=True).delete_tag(call.params["revision"])
    return Json({})


def squash(call: Call) -> Json:
    repository = call.repository(write=True)
    message = call.json(_Squash).message
    if len(message) > 64 << 10:
        raise bad_request("The message is too long.")
    assert call.user is not None
    return Json({"commitOid": repository.squash(call.params["branch"], message, call.user.name)})
