"""zoo reproduce"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_file_option, reference_argument
from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from zoo_core.releases.release import ReleaseConfig
    from zoo_core.training.reproduce import Reproduced
    from zoo_core.training.run import Run


@click.command(
    "reproduce",
    epilog=examples("zoo reproduce pixelrnn.digits --estimate", "zoo reproduce pixelrnn.digits --seeds 3 -o again"),
)
@reference_argument()
@click.option(
    "--estimate", "only_estimate", is_flag=True, help="Only say how long it took, and how long it would take here."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many runs, each with the next seed."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Keep the runs in this folder. If the command is repeated, it goes on there.",
)
@data_file_option()
@click.option(
    "--device", default="auto", help="Where to compute: cpu, cuda, cuda:1, …; by default a GPU if there is one."
)
@hub_options
@table_options
def reproduce_command(
    reference: str,
    only_estimate: bool,
    seeds: int,
    output: Path | None,
    data_file: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Train again by the recipe that REFERENCE records, on the same data, and compare the numbers.

    The exit code is 0 if the numbers are the same, or agree within the spread between seeds; 1 if they differ; and 3
    if that spread is unknown, or the data are not the same.
    """
    from zoo_core.interfaces.record import to_plain
    from zoo_core.training.memory import keep_freed_memory
    from zoo_core.training.progress import duration
    from zoo_core.training.reproduce import estimate, reproduce

    if only_estimate:
        found = estimate(reference, data_file=data_file, device=device)
        if as_json:
            print_json(to_plain(found))
            return
        took = "not recorded" if found.recorded is None else f"{duration(found.recorded)} on {found.recorded_device}"
        rows = [["recipe", found.recipe], ["steps", str(found.steps)], ["took", took]]
        here = f"about {duration(found.here)} on {found.device}" + (f", {seeds} times" if seeds > 1 else "")
        print_table(["estimate", "value"], [*rows, ["here", here]])
        return
    keep_freed_memory()
    results = reproduce(
        reference, seeds=seeds, output=output, data_file=data_file, device=device, run_one=_watched(reference, seeds)
    )
    if as_json:
        print_json([to_plain(result) for result in results])
    else:
        header = ["reference", "metric", "recorded", "again", "unit", "seeds", "verdict"]
        print_table(header, [_row(reference, result) for result in results], drop=["seeds", "unit"])
    for result in results:
        if result.std is not None:
            spread = f"{{seeds = {len(result.seeds)}, mean = {result.mean:.6g}, std = {result.std:.2g}}}"
            talk(f"For the manifest: {result.recorded.metric}: reproduce = {spread}")
    verdicts = {result.verdict for result in results}
    if "differs" in verdicts:
        talk(f"Error: the recipe of '{reference}' gives other numbers than it records")
        sys.exit(1)
    if "spread unknown" in verdicts:
        talk("Error: not the same number, and one run does not tell how much seeds differ\n  Try --seeds 3.")
        sys.exit(3)


def _watched(reference: str, seeds: int) -> "Callable[[Run], ReleaseConfig]":
    from zoo_core.releases.release import read_release
    from zoo_core.training.progress import train_and_watch

    def run_one(run: "Run") -> "ReleaseConfig":
        if run.released:
            return read_release(run.folder)
        talk(f"{reference}, seed {run.arguments.seed}: {run.arguments.command()}")
        return train_and_watch(run)

    return run_one


def _row(reference: str, result: "Reproduced") -> list[str]:
    recorded = f"{result.recorded.value:.6g}"
    if (spread := result.recorded.reproduce) is not None:
        recorded += f" ({spread.mean:.6g} ± {spread.std:.2g} over {spread.seeds} seeds)"
    again = f"{result.mean:.6g}" + (f" ± {result.std:.2g}" if result.std is not None else "")
    seeds = ", ".join(map(str, result.seeds))
    return [reference, result.recorded.metric, recorded, again, result.recorded.unit, seeds, result.verdict]
