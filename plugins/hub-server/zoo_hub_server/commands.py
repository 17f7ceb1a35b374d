"""`zoo hub`: serve, and looking after the folder. Thin; what each does is in the module it calls.

The commands for users are in `user_commands.py`, those for a class in `class_commands.py`.
"""

import sys
from pathlib import Path

import click

from zoo_core import UsageError, ZooError
from zoo_core.command_line import examples, talk
from zoo_hub_server import class_commands, user_commands

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.group(epilog=examples("zoo hub serve ./hub", "zoo hub add-user ./hub ada"))
def hub() -> None:
    """Run a hub of one's own: the ordinary Hugging Face client pushes to it and loads from it."""


@hub.command(
    epilog=examples(
        "zoo hub serve ./hub",
        "zoo hub serve ./hub --host 0.0.0.0 --read-only --import lab.tar",
        "zoo hub serve ./hub --host 0.0.0.0 --writer teacher",
    )
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for the network.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option("--read-only", is_flag=True, help="Nobody may write.")
@click.option("--writer", "writers", metavar="NAME", multiple=True, help="Only this user may write. May be repeated.")
@click.option(
    "--import",
    "imports",
    metavar="PATH",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A folder or tar to take in first: [NAMESPACE/]NAME/…, datasets/…, wheels/*.whl. May be repeated.",
)
@click.option("--import-as", default="zoo", show_default=True, help="Namespace of what --import finds without one.")
def serve(
    folder: Path,
    host: str,
    port: int,
    read_only: bool,
    writers: tuple[str, ...],
    imports: tuple[Path, ...],
    import_as: str,
) -> None:
    """Serve DIR, which is made if needed."""
    from zoo_hub_server.folder import HubFolder
    from zoo_hub_server.hub import Hub
    from zoo_hub_server.importing import import_into
    from zoo_hub_server.names import is_owner_name
    from zoo_hub_server.permissions import Writing
    from zoo_hub_server.serve import listen, run

    if read_only and writers:
        raise UsageError("--read-only and --writer exclude each other", "--writer NAME: nobody else may write.")
    if not is_owner_name(import_as):
        raise UsageError(f"'{import_as}' is not a namespace", "Letters, digits, '-', '_' and '.'.")
    place = HubFolder(folder, create=True)
    with place.serving(), listen(host, port) as listening:
        for source in imports:
            import_into(place, source, import_as, talk)
        hub = Hub(place, writing=Writing.only(writers) if read_only or writers else Writing())
        for writer in writers:
            if hub.users.named(writer) is None:
                raise UsageError(f"no user '{writer}'", f"Add one: zoo hub add-user {folder} {writer}")
        name, number = listening.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        address = f"http://{shown}:{number}"
        run(hub, listening, lambda: _greet(address, folder, name, read_only=read_only))


def _greet(address: str, folder: Path, host: str, *, read_only: bool) -> None:
    click.echo(address)
    sys.stdout.flush()
    if host in ("0.0.0.0", "::"):
        address = address.replace(host if host != "::" else "[::]", "THIS-MACHINE")
    talk(f"Serving '{folder}'{', read-only' if read_only else ''}. Ctrl-C stops.")
    if not read_only:
        talk(f"  a user:     zoo hub add-user {folder} NAME --role write")
        talk(f"  push:       HF_TOKEN=… zoo push ./runs/mine NAME/my-model --endpoint {address}")
    talk(f"  load:       zoo load hf:NAME/my-model --endpoint {address}")
    talk(f"  hf, Python: export HF_ENDPOINT={address}")
    talk(f"  browse:     {address}")
    if host not in _LOOPBACK:
        talk("  Tokens travel in the clear: on a network you do not trust put a proxy with TLS in front.")


@hub.command(epilog=examples("zoo hub gc ./hub", "zoo hub gc ./hub --older-than 1"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--older-than", default=24.0, show_default=True, type=click.FloatRange(min=0), help="Hours.")
def gc(folder: Path, older_than: float) -> None:
    """Remove uploads that nothing leads to.

    No branch and no tag, that is, and older than a day. Works while the server runs.
    """
    from zoo_hub_server import maintenance
    from zoo_hub_server.folder import HubFolder

    files, size = maintenance.gc(HubFolder(folder), grace=older_than * 3600)
    talk(f"Removed {files} files, {size} bytes.")


@hub.command(epilog=examples("zoo hub verify ./hub", "zoo hub verify /srv/hub"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def verify(folder: Path) -> None:
    """Compare everything with its digests.

    Each fault is a line on stdout, and makes the exit code 1. Works while the server runs.
    """
    from zoo_hub_server import maintenance
    from zoo_hub_server.folder import HubFolder

    faults: list[str] = []

    def complain(fault: str) -> None:
        faults.append(fault)
        click.echo(fault)

    checked = maintenance.verify(HubFolder(folder), complain)
    looked = f"{checked.repositories} repositories, {checked.objects} large files, {checked.bytes} bytes"
    if faults:
        hint = "Push the damaged files again, from a copy whose sha256 is right."
        raise ZooError(f"'{folder}': {len(faults)} faults in {looked}", hint)
    talk(f"All is well: {looked}.")


for _command in (*user_commands.COMMANDS, *class_commands.COMMANDS):
    hub.add_command(_command)
