"""zoo bundle, zoo unbundle"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import references_argument
from zoo_core.cli.printing import examples, talk

if TYPE_CHECKING:
    from zoo_core.publishing.bundle import Contents


@click.command(
    "bundle",
    epilog=examples("zoo bundle 'pixelrnn*' -o lab.tar --data", "zoo bundle vae nade -o lab.tar --data --wheels"),
)
@references_argument(required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The .tar file to write; it must not exist."
)
@click.option("--data", is_flag=True, help="Include the data sets on which they were trained or measured.")
@click.option("--wheels", is_flag=True, help="Include the installed packages as wheels.")
@hub_options
def bundle_command(references: tuple[str, ...], output: Path, data: bool, wheels: bool) -> None:
    """Pack releases, and those that they depend on or were trained from, into one file for a room without network.

    REFERENCE may be a glob: 'pixelrnn*'.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.publishing.bundle import bundle
    from zoo_core.publishing.wheels import packages_of
    from zoo_core.weights.pull import matching

    names = matching(references)
    if wheels:
        talk("Making wheels of the installed packages …")
    contents = bundle(names, output, data=data, wheels=wheels)
    size = sum(entry.bytes for entry in contents.files.values())
    talk(f"'{output}': {len(contents.releases)} releases, {len(contents.files)} files, {size / 1e6:,.1f} MB")
    _tell_orphans(contents)
    if wheels:
        install = "python -m pip install --no-index --find-links wheels"
        talk(f"There, first: tar -xf {output.name} wheels")
        talk(f"              {install} {' '.join(packages_of(default_registry()))}")
        talk(f"Then: zoo unbundle {output.name} FOLDER")
    else:
        talk(f"There: zoo unbundle {output.name} FOLDER")


def _tell_orphans(contents: "Contents") -> None:
    for name, why in contents.orphans.items():
        talk(f"Note: zoo reproduce {name} will not work there: {why}")


@click.command("unbundle", epilog=examples("zoo unbundle lab.tar lab", "zoo unbundle /media/stick/lab.tar ~/lab"))
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def unbundle_command(archive: Path, folder: Path) -> None:
    """Unpack a bundle into FOLDER, and verify each of its files."""
    from zoo_core.publishing.bundle import unbundle

    contents = unbundle(archive, folder)
    for name in contents.releases:
        click.echo(f"{name}\t{folder / name}")
    _tell_orphans(contents)
    talk(f"All {len(contents.files)} files are right. Use them: export ZOO_MIRROR={folder.absolute()}")
