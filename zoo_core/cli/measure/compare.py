"""zoo compare"""

import json
import math
import re
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_option, metric_option, references_argument
from zoo_core.cli.printing import device_option, examples, print_json, progress_bar, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from zoo_core.measuring.comparison import Comparison, Difference, Row


@click.command(
    "compare", epilog=examples("zoo compare pixelrnn pixelrnn-row", "zoo compare nade pixelcnn --limit 500 --latex")
)
@references_argument()
@data_option("The data set; by default the one on which all were measured.")
@click.option("--split", default="test", show_default=True)
@metric_option("A metric; by default all that fit. May be repeated.")
@click.option("--limit", type=click.IntRange(min=2), help="Use only this many examples, chosen with seed 0.")
@click.option("--latex", is_flag=True, help="Print a LaTeX table (package booktabs).")
@device_option
@hub_options
@table_options
def compare_command(
    references: tuple[str, ...],
    data: str | None,
    split: str,
    metrics: tuple[str, ...],
    limit: int | None,
    latex: bool,
    device: str,
    as_json: bool,
) -> None:
    """Measure REFERENCES on the same examples, and test each against the best.

    FLOPs and speed are those of the first metric that all models have. FLOPs are for one example, without elementwise
    operations. The speed can be compared only within one table.
    """
    if latex and as_json:
        raise click.UsageError("--latex and --json exclude each other")
    from zoo_core.interfaces.record import to_plain
    from zoo_core.measuring.comparison import compare

    with progress_bar("measuring") as show:
        found = compare(
            references,
            data=data,
            split=split,
            metrics=metrics,
            limit=limit,
            device=device,
            on_batch=lambda done, total: show(done / total, f"{done} of {total}"),
        )
    if as_json:
        print_json(to_plain(found))
    elif latex:
        click.echo(latex_table(found))
    else:
        header, rows = plain_table(found)
        print_table(header, rows, drop=["examples/s", "FLOPs", "parameters"])
        talk("\n".join([*_protocol(found), _about_tests(found)]))


def plain_table(found: "Comparison") -> tuple[list[str], list[list[str]]]:
    """A header, and a row for each model: its sizes, and for each metric the number and the paired test."""
    tested = {metric for row in found.rows for metric in row.differences}
    header = ["reference", "parameters", "FLOPs", "examples/s"]
    for metric in found.metrics:
        header += [_title(found, metric), "minus the best"] if metric in tested else [_title(found, metric)]
    rows = []
    for number, row in enumerate(found.rows):
        cells = [row.reference, *_sizes(row)]
        for metric in found.metrics:
            entry = row.numbers.get(metric)
            cells.append(with_error(entry.value, entry.stderr) if entry else "-")
            if metric in tested:
                cells.append("best" if found.best[metric] == number else _test(row.differences.get(metric)))
        rows.append(cells)
    return header, rows


def latex_table(found: "Comparison") -> str:
    """A tabular with the rules of booktabs, the best numbers in bold, and the protocol in a comment."""
    titles = ["model", "parameters", "FLOPs", "examples/s", *(_title(found, metric) for metric in found.metrics)]
    best = {metric: found.rows[number].numbers[metric].value for metric, number in found.best.items()}
    rows = []
    for row in found.rows:
        cells = [escape(cell) for cell in (row.reference, *_sizes(row))]
        for metric in found.metrics:
            entry = row.numbers.get(metric)
            if entry is None:
                cells.append("-")
            else:
                text = with_error(entry.value, entry.stderr, r"\pm")
                cells.append(rf"$\mathbf{{{text}}}$" if entry.value == best.get(metric) else f"${text}$")
        rows.append(" & ".join(cells) + r" \\")
    return "\n".join(
        [
            *(f"% {line}" for line in _protocol(found)),
            rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape, titles)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def with_error(value: float, stderr: float | None, plus_minus: str = "±", sign: str = "") -> str:
    """`82.55 ± 0.20`: the standard error to two digits, and the value to as many places."""
    if not stderr:
        return f"{value:{sign}.6g}"
    places = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:{sign}.{places}f} {plus_minus} {stderr:.{places}f}"


def escape(text: str) -> str:
    """Text with the special characters of LaTeX escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda match: special.get(match[0], "\\" + match[0]), text)


def _title(found: "Comparison", metric: str) -> str:
    unit = next(row.numbers[metric].unit for row in found.rows if metric in row.numbers)
    return f"{metric} [{unit}]"


def _sizes(row: "Row") -> list[str]:
    speed = row.examples_per_second
    said = "-" if speed is None else f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return [f"{row.parameters:,}", f"{row.flops:,}", said]


def _test(difference: "Difference | None") -> str:
    if difference is None:
        return "-"
    if difference.identical:
        return "same"
    p = difference.p
    chance = "p unknown" if p is None else "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return f"{with_error(difference.mean, difference.stderr, sign='+')}, {chance}"


def _protocol(found: "Comparison") -> list[str]:
    """The data and the protocol of the numbers, line by line."""
    entries = {metric: entry for row in found.rows for metric, entry in row.numbers.items()}
    protocol = entries[found.metrics[0]].protocol
    return [
        f"{protocol.dataset} {protocol.split}, n = {protocol.n}, data sha256 {protocol.data_sha256}",
        f"input: {json.dumps(protocol.input) if protocol.input else 'the data as it is'}",
        *(f"{metric}: {entries[metric].protocol.estimator}" for metric in found.metrics),
    ]


def _about_tests(found: "Comparison") -> str:
    sizes = {difference.n for row in found.rows for difference in row.differences.values()}
    small = ", which is too small for so few" if min(sizes, default=30) < 30 else ""
    return f"minus the best: over the same examples, one by one; p is two-sided, by the normal approximation{small}"
