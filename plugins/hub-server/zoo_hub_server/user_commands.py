"""`zoo hub add-user` and the like: users, their tokens, teams and quotas. All work while the server runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from zoo_core.command_line import examples, print_json, print_table, table_options, talk

if TYPE_CHECKING:
    from zoo_hub_server.folder import HubFolder
    from zoo_hub_server.users import Joining, TeamRole, Users

_Command = TypeVar("_Command", bound=Callable[..., object])

folder_argument = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_role = click.option("--role", type=click.Choice(["read", "write"]), default="write", show_default=True)
_team = click.option("--team", "teams", multiple=True, help="A namespace shared with others. May be repeated.")
_quota = click.option(
    "--quota", metavar="SIZE", help="What their repositories may hold, such as 2GB; 'none' is no limit."
)


def _as(default: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--as",
        "team_role",
        type=click.Choice(["reader", "contributor", "owner"]),
        default=default,
        show_default=True,
        help="In the team: only see it; write what is one's own; or write everything.",
    )


@click.command(
    "add-user",
    epilog=examples("zoo hub add-user ./hub ada", "zoo hub add-user ./hub bob --team class --as contributor"),
)
@folder_argument
@click.argument("name")
@_role
@_team
@_as("owner")
@_quota
def add_user(folder: Path, name: str, role: str, teams: tuple[str, ...], team_role: str, quota: str | None) -> None:
    """Add a user, and print the token, once.

    Only its hash is kept. Works while the server runs.
    """
    place, users = _users(folder)
    token = users.add(_joining(name, role, teams, team_role, quota))
    place.log.kept("add-user", name, _said(role, teams, team_role, quota))
    click.echo(token)
    talk("Keep it: only its hash is stored. Use it as HF_TOKEN, or with hf auth login.")


@click.command(
    "add-users",
    epilog=examples(
        "zoo hub add-users ./hub class.txt --team class --tokens tokens.csv",
        "zoo hub add-users ./hub class.csv --team class --quota 500MB",
    ),
)
@folder_argument
@click.argument("list_", metavar="LIST", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_role
@_team
@_as("contributor")
@_quota
@click.option(
    "--tokens",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the tokens to a new file that only you can read, instead of stdout.",
)
def add_users(
    folder: Path,
    list_: Path,
    role: str,
    teams: tuple[str, ...],
    team_role: str,
    quota: str | None,
    tokens: Path | None,
) -> None:
    """Add the users of a list, all or none, and print a table of their tokens, once.

    LIST has one name a line, or is a CSV file with a column 'name'. Who exists keeps the token, and joins the teams.
    """
    from zoo_hub_server.lists import TokenFile, read_names

    place, users = _users(folder)
    names = read_names(list_)
    joining = [_joining(name, role, teams, team_role, quota) for name in names]
    if tokens is None:
        made = users.add_all(joining)
        print_table(["name", "token"], [[name, token] for name, token in made.items()])
    else:
        with TokenFile(tokens) as file:
            made = users.add_all(joining)
            file.write(made)
    for name in names:
        place.log.kept("add-user" if name in made else "add-member", name, _said(role, teams, team_role, quota))
    where = "" if tokens is None else f" Their tokens are in '{tokens}'."
    there = f" {len(names) - len(made)} were here already, and keep theirs." if len(made) < len(names) else ""
    talk(f"{len(made)} new users.{there}{where} Only hashes of the tokens are stored.")


@click.command("new-token", epilog=examples("zoo hub new-token ./hub ada", "zoo hub new-token /srv/hub bob"))
@folder_argument
@click.argument("name")
def new_token(folder: Path, name: str) -> None:
    """Print a new token for a user, once.

    The old one is void at once. Teams, quota and repositories stay.
    """
    place, users = _users(folder)
    token = users.new_token(name)
    place.log.kept("new-token", name)
    click.echo(token)


@click.command("list-users", epilog=examples("zoo hub list-users ./hub", "zoo hub list-users ./hub --json"))
@folder_argument
@table_options
def list_users(folder: Path, as_json: bool) -> None:
    """List the users: name, role, teams with the role there, bytes used, quota, since when."""
    from zoo_hub_server.quotas import Quotas
    from zoo_hub_server.sizes import size_text

    place, users = _users(folder)
    used = Quotas(place, users).all_used()
    found = [(user, used.get(user.name, 0), users.quota_of(user)) for user in users.all()]
    if as_json:
        print_json(
            [
                {
                    "name": user.name,
                    "role": user.role,
                    "teams": list(user.teams),
                    "roles": dict(user.memberships),
                    "used": size,
                    "quota": quota,
                    "created": user.created,
                }
                for user, size, quota in found
            ]
        )
        return
    rows = [
        [
            user.name,
            user.role,
            " ".join(team if role == "owner" else f"{team}:{role}" for team, role in user.memberships.items()),
            size_text(size),
            "" if quota is None else size_text(quota),
            user.created,
        ]
        for user, size, quota in found
    ]
    print_table(["name", "role", "teams", "used", "quota", "since"], rows)


@click.command("remove-user", epilog=examples("zoo hub remove-user ./hub ada", "zoo hub remove-user /srv/hub bob"))
@folder_argument
@click.argument("name")
def remove_user(folder: Path, name: str) -> None:
    """Remove a user; the repositories stay.

    The token is void at once. For a new token: zoo hub new-token.
    """
    place, users = _users(folder)
    users.remove(name)
    place.log.kept("remove-user", name)
    talk(f"{name} is gone; what is under {name}/ stays, and a new user of that name would own it.")


@click.command(
    "add-member",
    epilog=examples("zoo hub add-member ./hub class ada bob --as contributor", "zoo hub add-member ./hub lab carol"),
)
@folder_argument
@click.argument("team")
@click.argument("names", nargs=-1, required=True)
@_as("owner")
def add_member(folder: Path, team: str, names: tuple[str, ...], team_role: str) -> None:
    """Put users into a team, or change their role in it.

    A reader sees its private repositories. A contributor also creates repositories, and writes to those and, in
    others, to the folder with their name. An owner writes to all.
    """
    place, users = _users(folder)
    users.join(team, names, _team_role(team_role))
    for name in names:
        place.log.kept("add-member", team, f"{name} {team_role}")


@click.command(
    "remove-member", epilog=examples("zoo hub remove-member ./hub class ada", "zoo hub remove-member ./hub lab bob eve")
)
@folder_argument
@click.argument("team")
@click.argument("names", nargs=-1, required=True)
def remove_member(folder: Path, team: str, names: tuple[str, ...]) -> None:
    """Take users out of a team; what they pushed to it stays."""
    place, users = _users(folder)
    users.leave(team, names)
    for name in names:
        place.log.kept("remove-member", team, name)


@click.command("set-quota", epilog=examples("zoo hub set-quota ./hub 2GB", "zoo hub set-quota ./hub none ada"))
@folder_argument
@click.argument("size")
@click.argument("names", nargs=-1)
def set_quota(folder: Path, size: str, names: tuple[str, ...]) -> None:
    """Set what the repositories of users may hold, with all their history.

    Without names it is for everybody who has no quota of their own. SIZE is such as 500MB or 2GB; 'none' is no limit.
    """
    place, users = _users(folder)
    users.set_quota(_bytes(size), names)
    for name in names or ("everybody",):
        place.log.kept("set-quota", name, size)


COMMANDS: Sequence[click.Command] = (
    add_user, add_users, new_token, list_users, remove_user, add_member, remove_member, set_quota
)  # fmt: skip


def _users(folder: Path) -> "tuple[HubFolder, Users]":
    from zoo_hub_server.folder import HubFolder
    from zoo_hub_server.users import Users

    place = HubFolder(folder)
    return place, Users(place.database)


def _joining(name: str, role: str, teams: tuple[str, ...], team_role: str, quota: str | None) -> "Joining":
    from zoo_hub_server.users import Joining

    size = None if quota is None else _bytes(quota)
    return Joining(name, "read" if role == "read" else "write", teams, _team_role(team_role), size)


def _team_role(text: str) -> "TeamRole":
    from zoo_hub_server.users import TEAM_ROLES

    return next(role for role in TEAM_ROLES if role == text)


def _bytes(text: str) -> int:
    from zoo_hub_server.sizes import parse_size
    from zoo_hub_server.users import NO_QUOTA

    return NO_QUOTA if text.lower() == "none" else parse_size(text)


def _said(role: str, teams: tuple[str, ...], team_role: str, quota: str | None) -> str:
    """Options, as the log has them."""
    words = [role, *(f"{team}:{team_role}" for team in teams)]
    return " ".join(words if quota is None else [*words, f"quota {quota}"])
