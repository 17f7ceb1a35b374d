"""Tables: for people at a terminal, and as tab-separated lines for programs."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from zoo_core.cli.printing import json_option, talk
from zoo_core.progress import is_main

Command = TypeVar("Command", bound=Callable[..., object])

NO_HEADER = "zoo_core.no_header"  # in click's context
GAP = 2  # spaces between columns


def table_options(command: Command) -> Command:
    """--json and --no-header, for a command that prints a table."""
    no_header = click.option(
        "--no-header",
        is_flag=True,
        expose_value=False,
        callback=_keep_no_header,
        help="In a pipe or file, leave out the line with the names of the columns.",
    )
    return no_header(json_option(command))


def _keep_no_header(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[NO_HEADER] = value


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    group_by: str | None = None,
    one_line: bool = False,
    drop: Sequence[str] = (),
) -> None:
    """A table at a terminal; elsewhere tab-separated lines, of which the first has the names of the columns.

    A terminal may be too narrow. Cells then wrap between words, and where a word would break, columns are left out.

    Args:
        group_by: the column whose values become headings at a terminal; rows with the same value are neighbours.
        one_line: cut long cells instead of wrapping them.
        drop: the columns that can be missed most easily, in this order; then those on the right.
    """
    if not is_main():
        return
    if not sys.stdout.isatty():
        for row in rows if click.get_current_context().meta.get(NO_HEADER) else [header, *rows]:
            click.echo("\t".join(row).rstrip())
        return
    from rich.console import Console
    from rich.table import Table

    width, height = shutil.get_terminal_size((120, 24))
    shown = [k for k, name in enumerate(header) if name != group_by]
    cells = {k: [header[k], *(row[k] for row in rows)] for k in shown}
    order = [*(header.index(name) for name in drop), *reversed(shown[1:])]
    widths = _fitting(cells, width, order, whole=40 if one_line else 24)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for k, wide in widths.items():
        table.add_column(header[k], width=wide, no_wrap=one_line, overflow="ellipsis" if one_line else "fold")
    group = None
    for row in rows:
        if group_by is not None and row[header.index(group_by)] != group:
            group = row[header.index(group_by)]
            table.add_row(group, style="bold cyan")
        table.add_row(*(row[k] for k in widths))
    Console(width=width, height=height, highlight=False, markup=False).print(table)
    if left_out := [header[k] for k in shown if k not in widths]:
        talk(f"Left out at this width: {', '.join(left_out)}. --json has all.")


def _fitting(cells: Mapping[int, Sequence[str]], width: int, drop: Sequence[int], *, whole: int) -> dict[int, int]:
    """The columns that fit into the width, and how wide each is. A cell of at most `whole` characters stays whole, a
    longer one may wrap between its words; columns are dropped in order until that is possible."""
    from rich.cells import cell_len

    def least(text: str) -> int:
        return cell_len(text) if cell_len(text) <= whole else max(whole, *map(cell_len, text.split()))

    def rest() -> int:
        return width - sum(widths.values()) - GAP * len(widths)

    widths = {k: max(map(least, [*head.split(), *column])) for k, (head, *column) in cells.items()}
    for k in drop:
        if rest() < 0:
            widths.pop(k, None)
    for k in widths:  # what is left goes to the columns that can use it, from the left
        widths[k] += max(0, min(rest(), max(map(cell_len, cells[k])) - widths[k]))
    return widths
