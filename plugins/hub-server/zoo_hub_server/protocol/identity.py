"""Who am I, and is my model card well-formed."""

import msgspec

from zoo_hub_server.cards import CardError, front_matter, model_index_faults
from zoo_hub_server.errors import Refusal
from zoo_hub_server.hub import Call, Json

_ROLES = {"reader": "read", "contributor": "contributor", "owner": "admin"}  # as huggingface.co calls them


class _Card(msgspec.Struct):
    content: str = ""
    repoType: str = "model"


def whoami(call: Call) -> Json:
    """The caller's name, teams and role."""
    user = call.user
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    token = {"displayName": "token", "role": user.role}
    teams = [
        {"type": "org", "name": team, "fullname": team, "roleInOrg": _ROLES[role]}
        for team, role in user.memberships.items()
    ]
    return Json(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "isPro": False,
            "orgs": teams,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def overview(call: Call) -> Json:
    """A user, to other users."""
    wanted = call.params["user"].lower()
    found = [user for user in call.hub.users.all() if user.name.lower() == wanted]
    if call.user is None or not found:
        raise Refusal(404, "There is no such user.")
    return Json({"user": found[0].name, "fullname": found[0].name, "type": "user", "isPro": False})


def validate_yaml(call: Call) -> Json:
    """Whether the front matter of a README is what lists and pages can use; asked before each push that holds one."""
    asked: _Card = call.json(_Card)
    try:
        data, _ = front_matter(asked.content)
    except CardError as error:
        return Json({"errors": [{"message": str(error)}], "warnings": []}, 400)
    errors = model_index_faults(data.get("model-index")) if asked.repoType == "model" else []
    warnings = [] if data else ["empty or missing yaml metadata in repo card"]
    answer = {"errors": [{"message": one} for one in errors], "warnings": [{"message": one} for one in warnings]}
    return Json(answer, 400 if errors else 200)
