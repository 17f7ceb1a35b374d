"""What zoo-hub-server offers: the command `zoo hub`; imports neither starlette nor git."""

from zoo_core import CommandSpec, hookimpl

zoo_api = 1


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="hub",
            target="zoo_hub_server.commands:hub",
            help="Run a hub of one's own: serve, users, teams, a class, gc, verify.",
        )
    ]
