"""zoo push"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import reference_argument, say_which
from zoo_core.cli.printing import examples, talk

if TYPE_CHECKING:
    from zoo_core.publishing.push import Plan


@click.command(
    epilog=examples("zoo push runs/mine me/my-model --create", "zoo push runs/mine file:///share/zoo/mine --dry-run")
)
@reference_argument()
@click.argument("target", metavar="REPO")
@click.option("--create", is_flag=True, help="Create the repository if it does not exist.")
@click.option("--private", is_flag=True, help="With --create: make the repository private.")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", help="The message of the commit.")
@click.option("--dry-run", is_flag=True, help="Only check everything, and show what would be sent.")
@click.option(
    "--unmeasured", is_flag=True, help="Publish although the numbers cannot be measured here. The card says so."
)
@click.option("--licence", help="The licence of the weights, SPDX, if the release states none: Apache-2.0.")
@click.option("--data-licence", help="The licence of the training data, SPDX, if the release states none.")
@click.option(
    "--update-manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="TOML",
    help="Add the entry to this manifest, or update it there.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@hub_options
def push(
    reference: str,
    target: str,
    create: bool,
    private: bool,
    branch: str,
    message: str | None,
    dry_run: bool,
    unmeasured: bool,
    licence: str | None,
    data_licence: str | None,
    update_manifest: Path | None,
    yes: bool,
) -> None:
    """Publish REFERENCE in REPO: org/name on the hub, or the URL of a folder (file:///share/zoo/name).

    First the release is checked in a new process: it is loaded, verified and measured again. Then all files are sent in
    one commit, and what has arrived is compared. The entry for a manifest, with the commit, is printed on stdout.
    """
    from zoo_core.publishing.manifest_entry import put_entry
    from zoo_core.publishing.push import push as push_release

    def confirm(plan: "Plan") -> bool:
        talk(f"{'New: ' if plan.creates else ''}{plan.target}")
        for change in plan.changes:
            talk(f"  {change.what:<8} {change.name}  {change.bytes:,} bytes")
        if dry_run:
            return False
        if plan.sends and not yes and sys.stdin.isatty() and sys.stderr.isatty():
            return click.confirm("Publish this?", err=True)
        return True

    say_which(target)
    talk(f"Checking '{reference}' in a fresh process …")
    done = push_release(
        reference,
        target,
        branch=branch,
        private=private,
        create=create,
        message=message,
        unmeasured=unmeasured,
        licence=licence,
        data_licence=data_licence,
        confirm=confirm,
    )
    if not done.done or done.entry is None:
        talk("Nothing was sent.")
        return
    talk(f"{'Published' if done.plan.sends else 'Already there'}: {done.source}")
    click.echo(done.entry, nl=False)
    if update_manifest is not None:
        put_entry(update_manifest, done.entry)
        talk(f"Written into {update_manifest}.")
