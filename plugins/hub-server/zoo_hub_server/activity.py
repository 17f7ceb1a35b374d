"""What a request did, for the log."""

import logging
from typing import Any

import msgspec
from starlette.responses import Response

from zoo_hub_server.hub import Call
from zoo_hub_server.log import TEXT_UP_TO, Event, now

# What a request does, by the function that answers it. Uploads of content are not here: a commit follows them.
_VERBS = {
    "protocol.repositories.create": "create",
    "protocol.repositories.delete": "delete",
    "protocol.repositories.move": "move",
    "protocol.repositories.settings": "settings",
    "protocol.commits.commit": "commit",
    "protocol.commits.preupload": "push",
    "protocol.large_files.batch_of_model": "push",
    "protocol.large_files.batch_of_dataset": "push",
    "protocol.refs.create_branch": "create branch",
    "protocol.refs.delete_branch": "delete branch",
    "protocol.refs.create_tag": "create tag",
    "protocol.refs.delete_tag": "delete tag",
    "protocol.refs.squash": "squash",
    "protocol.gate.ask_for_model": "ask for access",
    "protocol.gate.ask_for_dataset": "ask for access",
    "protocol.gate.grant_access": "grant access",
    "protocol.gate.answer_request": "answer for access",
}
_TOLD = ("tag", "private", "visibility", "gated", "user", "status")  # of a request's body
_ONLY_IF_REFUSED = ("push",)


def note(handler: Any, call: Call, response: Response | None, refused: str = "") -> None:
    """Write down what a request did, or why it was refused, if it is one that changes something."""
    log = call.hub.log
    name = f"{handler.__module__.removeprefix('zoo_hub_server.')}.{handler.__name__}"
    verb = _VERBS.get(name)
    if verb is None or (verb in _ONLY_IF_REFUSED and not refused) or (call.user is None and refused):
        return  # who has no token changes nothing, and could fill the disk with refusals
    what, more = _of_request(call)
    if verb == "commit" and response is not None:
        more = f"{_body(response.body).get('commitOid', '')[:10]} {more}".strip()
    client = call.request.client
    who = "" if call.user is None else call.user.name
    address = "" if client is None else client.host
    try:
        log.add(Event(now(), who, verb, what, more[:TEXT_UP_TO], refused[:TEXT_UP_TO], address))
    except OSError as error:  # what was done is done: the answer says so
        logging.getLogger("zoo.hub").error("%s cannot be written: %s", log.path, error.strerror)


def _of_request(call: Call) -> tuple[str, str]:
    """The repository that a request is about, and what else it names."""
    params, body = call.params, _body(call.body)
    if "namespace" in params:
        kind = "datasets/" if params.get("kind") == "datasets" else ""
        words = [params[key] for key in ("branch", "revision") if params.get(key, "main") != "main"]
        words += [f"{key} {body[key]}" for key in _TOLD if body.get(key) is not None]
        return f"{kind}{params['namespace']}/{params['name']}", " ".join([*words, call.note]).strip()
    kind = "datasets/" if body.get("type") == "dataset" else ""
    if "fromRepo" in body:
        return f"{kind}{body['fromRepo']}", f"to {body.get('toRepo', '')}"
    owner = body.get("organization") or ("" if call.user is None else call.user.name)
    return f"{kind}{owner}/{body.get('name', '')}", ""


def _body(data: bytes | memoryview) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
