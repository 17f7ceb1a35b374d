"""What commands share in how they talk: data on stdout, talk on stderr, tables for people and lines for programs."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from zoo_core.progress import is_main, progress_bar, talk

__all__ = [
    "as_reference",
    "bytes_bar",
    "device_option",
    "is_main",
    "json_option",
    "print_json",
    "print_table",
    "progress_bar",
    "say_which",
    "talk",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, …")


def print_json(data: object) -> None:
    """JSON on stdout."""
    if is_main():
        click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def as_reference(folder: Path) -> str:
    """A folder as a user writes it for a command: a bare name would be that of a model."""
    text = str(folder)
    return text if "/" in text or text.startswith((".", "~")) else f"./{text}"


def say_which(reference: str) -> None:
    """Say that a folder was taken where a repository on the hub could have been meant."""
    from zoo_core.weights.reference import folder_and_repository

    if folder_and_repository(reference):
        talk(f"Taking the folder '{reference}'; the repository of that name is hf:{reference}.")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table at a terminal; elsewhere one tab-separated line a row, beginning with its first cell."""
    if not is_main():
        return
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row).rstrip())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold", no_wrap=name == header[0])
    for row in rows:
        table.add_row(*row)
    Console(width=shutil.get_terminal_size((120, 24)).columns, highlight=False, markup=False).print(table)


@contextmanager
def bytes_bar(label: str) -> Iterator[Callable[[float, float], None]]:
    """A bar of a download; call with the bytes that have come since, and those of all."""
    with progress_bar(label) as show:
        came = 0.0

        def on_bytes(n: float, total: float) -> None:
            nonlocal came
            came += n
            show(min(came / max(total, 1), 1.0), f"{came / 1e6:.1f} of {total / 1e6:.1f} MB")

        yield on_bytes
