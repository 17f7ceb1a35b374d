"""Progress bars and messages for the user: in a terminal, in a notebook, or nowhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zoo_core.notebook import NotebookBar, in_notebook

Show = Callable[[float, str], None]  # the part done, in [0, 1], and a short text


def is_main() -> bool:
    """Whether this process writes the messages, if torchrun or `accelerate launch` started several."""
    return os.environ.get("RANK", "0") == "0"


def is_watched() -> bool:
    """Whether somebody can see a progress bar, in a terminal or in a notebook."""
    return sys.stderr.isatty() or in_notebook()


def talk(message: str) -> None:
    """A line for the person at the terminal, or below the cell of a notebook."""
    if is_main():
        print(message, file=sys.stdout if in_notebook() else sys.stderr)  # which a bar replaces, to stay below it


@contextmanager
def progress_bar(label: str) -> Iterator[Show]:
    """A bar where somebody sees it; call with the part done and a short text."""
    if not (is_watched() and is_main()):
        yield lambda done, text: None
    elif in_notebook():
        bar = NotebookBar(label)
        try:
            yield bar.show
        finally:
            bar.remove()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")]
        columns += [TimeRemainingColumn(), TextColumn("{task.fields[text]}")]
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(label, total=1.0, text="")
            yield lambda done, text: progress.update(task, completed=done, text=text)
