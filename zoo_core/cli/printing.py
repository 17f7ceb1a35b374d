"""How commands print: results on stdout, messages on stderr, bars, JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from zoo_core.progress import is_main, progress_bar, talk

__all__ = [
    "as_reference",
    "bytes_bar",
    "device_option",
    "examples",
    "is_main",
    "json_option",
    "print_json",
    "progress_bar",
    "talk",
]


def examples(*commands: str) -> str:
    """The end of a command's help: commands to try."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


device_option = click.option(
    "--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, …"
)


def print_json(data: object) -> None:
    """Print a value on stdout as JSON."""
    if is_main():
        click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def as_reference(folder: Path) -> str:
    """A folder as a user must write it on the command line, where a bare name would mean a model."""
    text = str(folder)
    return text if "/" in text or text.startswith((".", "~")) else f"./{text}"


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
