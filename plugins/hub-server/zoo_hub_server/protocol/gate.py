"""Gated repositories: asking for access, and what the owner does with it."""

import msgspec
from starlette.responses import Response

from zoo_hub_server.access import Status, all_asked, answer, ask, grant
from zoo_hub_server.errors import Refusal
from zoo_hub_server.hub import Call, Json


class _Grant(msgspec.Struct):
    user: str


class _Answer(msgspec.Struct):
    status: Status
    user: str = ""
    requestId: str = ""
    rejectionReason: str = ""


def ask_for_model(call: Call) -> Response:
    return _ask(call, "models")


def ask_for_dataset(call: Call) -> Response:
    return _ask(call, "datasets")


def _ask(call: Call, kind: str) -> Response:
    call.params["kind"] = kind
    if call.user is None:
        raise Refusal(401, "Log in to ask for access: a token is needed.")
    return Json({"status": ask(call.repository(), call.user).status})


def list_asked(call: Call) -> Json:
    """Who has access, waits for it, or was refused."""
    repository = call.repository(write=True)
    return Json(
        [
            {
                "requestId": one.id,
                "status": one.status,
                "timestamp": one.timestamp,
                "user": {"user": one.user, "fullname": one.user},
            }
            for one in all_asked(repository)
            if one.status == call.params["status"]
        ]
    )


def grant_access(call: Call) -> Json:
    """Let somebody in who did not ask."""
    repository = call.repository(write=True)
    wanted = call.json(_Grant).user.lower()
    found = [user.name for user in call.hub.users.all() if user.name.lower() == wanted]
    if not found:
        raise Refusal(404, "There is no such user.")
    grant(repository, found[0])
    return Json({})


def answer_request(call: Call) -> Json:
    """Accept, reject, or put back what somebody asked."""
    repository = call.repository(write=True)
    asked: _Answer = call.json(_Answer)
    answer(repository, asked.status, user=asked.user, id_=asked.requestId)
    return Json({})
