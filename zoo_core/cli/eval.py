"""zoo eval"""

import sys
from pathlib import Path

import click

from zoo_core.cli.output import device_option, json_option, print_json, print_table, progress_bar, say_which, talk


@click.command("eval")
@click.argument("reference")
@click.option("--data", help="By default the data set that the release was measured on.")
@click.option("--data-file", type=click.Path(exists=True, path_type=Path), help="Where a data set takes a file.")
@click.option("--split", default="test", show_default=True)
@click.option("--metric", "metrics", multiple=True, help="By default all that fit; may be repeated.")
@click.option("--limit", type=click.IntRange(min=2), help="Only the first so many examples: not comparable.")
@click.option(
    "--check", is_flag=True, help="Exit 1 if a number differs from the recorded one, 3 if none is comparable."
)
@device_option
@json_option
def eval_command(
    reference: str,
    data: str | None,
    data_file: Path | None,
    split: str,
    metrics: tuple[str, ...],
    limit: int | None,
    check: bool,
    device: str,
    as_json: bool,
) -> None:
    """Measure REFERENCE, and compare with the numbers that its release records."""
    from zoo_core.evaluation import evaluate
    from zoo_core.interfaces.record import to_plain

    say_which(reference)
    with progress_bar("measuring") as show:
        found = evaluate(
            reference,
            data=data,
            split=split,
            metrics=metrics,
            limit=limit,
            data_file=data_file,
            device=device,
            on_batch=lambda done, total: show(done / total, f"{done} of {total}"),
        )
    if as_json:
        print_json([to_plain(comparison._asdict()) for comparison in found.comparisons])
    else:
        rows = []
        for measured, recorded, verdict in found.comparisons:
            protocol = measured.protocol
            rows.append(
                [
                    measured.metric,
                    f"{measured.value:.6g}" + (f" ± {measured.stderr:.2g}" if measured.stderr is not None else ""),
                    measured.unit,
                    f"{protocol.dataset} {protocol.split}, n = {protocol.n}, {protocol.estimator}",
                    f"{recorded.value:.6g}" if recorded else "-",
                    verdict,
                ]
            )
        print_table(["metric", "measured", "unit", "protocol", "recorded", "verdict"], rows)
    if check:
        verdicts = {comparison.verdict for comparison in found.comparisons}
        if "different" in verdicts:
            talk(f"Error: '{reference}' does not give the number that is recorded for it")
            sys.exit(1)
        if "same" not in verdicts:
            talk(f"Error: nothing recorded for '{reference}' was measured in this way: {', '.join(sorted(verdicts))}")
            sys.exit(3)
