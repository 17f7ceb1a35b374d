"""zoo eval"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_file_option, data_option, metric_option, references_argument
from zoo_core.cli.printing import device_option, examples, print_json, progress_bar, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from zoo_core.measuring.evaluation import Check


class Result(NamedTuple):
    """One row of `zoo eval`: a number of a reference, or the reason why there is none.

    Attributes:
        reference: what was asked for.
        verdict: the verdict of the check; or "no data", "not measurable" or "FAILED".
        check: the measured number beside the recorded one; None where there is none.
        error: why there is no number; None where there is one.
        metric: the metric that cannot be measured or has failed; None for all other rows.
    """

    reference: str
    verdict: str
    check: "Check | None"
    error: str | None
    metric: str | None = None


@click.command("eval", epilog=examples("zoo eval pixelrnn --check", "zoo eval digit-classifier --pictures pictures"))
@references_argument()
@click.option("--all", "everything", is_flag=True, help="Measure every release whose plugin is installed.")
@data_option("The data set; by default the one of the recorded numbers, or of training.")
@data_file_option()
@click.option("--split", help="The split; by default test, or for an unfinished run validation.")
@metric_option("A metric; by default all that fit, slow ones only if recorded.")
@click.option(
    "--limit",
    type=click.IntRange(min=2),
    help="Use only this many examples, chosen with seed 0. Such numbers are not comparable.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), help="How many examples at a time; 100 by default. Fewer need less memory."
)
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 1 if a number differs from the recorded one, and with 3 if one cannot be compared.",
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for plots such as the confusion matrix.",
)
@device_option
@hub_options
@table_options
def eval_command(
    references: tuple[str, ...], everything: bool, check: bool, as_json: bool, limit: int | None, **options: Any
) -> None:
    """Measure each REFERENCE, and compare with the numbers that the release records."""
    from zoo_core.catalogue.listing import releases_here
    from zoo_core.errors import DataError, UsageError, ZooError
    from zoo_core.measuring.evaluation import evaluate, recorded_metrics

    if everything == bool(references):
        raise UsageError("name what to measure, or give --all", "For example: zoo eval pixelrnn --check")
    if options["pictures"] is not None and len(references) != 1:
        raise UsageError("--pictures are of one release", "Name one.")
    results: list[Result] = []
    bare: set[str] = set()  # what records no numbers
    with progress_bar("measuring") as show:
        for reference in releases_here() if everything else references:

            def on_batch(done: int, total: int, name: str = reference) -> None:
                show(done / total, f"{name}: {done} of {total}")

            try:
                found = evaluate(reference, limit=limit, on_batch=on_batch, **options)
                bare |= set() if recorded_metrics(found.located) else {reference}
                results += [Result(reference, one.verdict, one, None) for one in found.checks]
                for verdict, reasons in {"not measurable": found.unmeasurable, "FAILED": found.failed}.items():
                    results += [Result(reference, verdict, None, why, metric) for metric, why in reasons.items()]
            except ZooError as error:
                if not everything and len(references) == 1:
                    raise
                verdict = "no data" if isinstance(error, DataError) else "FAILED"
                results.append(Result(reference, verdict, None, error.message))
    if as_json:
        print_json([_plain(result) for result in results])
    else:
        print_table(
            ["reference", "metric", "measured", "unit", "protocol", "recorded", "verdict"],
            [_row(result) for result in results],
            drop=["protocol", "unit", "recorded"],
        )
    sys.exit(_exit_code(results, check, bare))


def _plain(result: Result) -> dict[str, Any]:
    from zoo_core.interfaces.record import to_plain

    measured, recorded, _, beside = result.check or (None, None, None, {})
    return {
        "reference": result.reference,
        "metric": measured.metric if measured else result.metric,
        "verdict": result.verdict,
        "measured": to_plain(measured),
        "beside": to_plain(beside),
        "recorded": to_plain(recorded),
        "error": result.error,
    }


def _row(result: Result) -> list[str]:
    if result.check is None:
        return [result.reference, result.metric or "-", "-", "-", result.error or "-", "-", result.verdict]
    measured, recorded, verdict, beside = result.check
    protocol = measured.protocol
    return [
        result.reference,
        measured.metric,
        f"{measured.value:.6g}"
        + (f" ± {measured.stderr:.2g}" if measured.stderr is not None else "")
        + (f" ({', '.join(f'{name} {number:.3g}' for name, number in beside.items())})" if beside else ""),
        measured.unit,
        f"{protocol.dataset} {protocol.split}, n = {protocol.n}, {protocol.estimator}",
        f"{recorded.value:.6g}" if recorded else "-",
        verdict,
    ]


def _exit_code(results: list[Result], check: bool, bare: set[str]) -> int:
    """1 if something failed or gives another number, 3 if something cannot be compared, otherwise 0."""
    by_reference: dict[str, set[str]] = {}
    for result in results:
        by_reference.setdefault(result.reference, set()).add(result.verdict)
    code = 0
    if no_data := [reference for reference, verdicts in by_reference.items() if verdicts == {"no data"}]:
        talk(f"{len(no_data)} of {len(by_reference)} releases were not measured, for lack of data: see zoo data.")
    for reference, verdicts in by_reference.items():
        if "FAILED" in verdicts:
            code = 1
        elif check and "different" in verdicts:
            talk(f"Error: '{reference}' does not give the number that is recorded for it")
            code = 1
        elif check and verdicts == {"no data"} and len(by_reference) > 1:
            code = code or 3
        elif check and "same" not in verdicts:
            talk(f"Error: {_incomparable(reference, verdicts, reference in bare)}")
            code = code or 3
    return code


def _incomparable(reference: str, verdicts: set[str], bare: bool) -> str:
    """Why not one number could be compared."""
    if bare:
        return f"'{reference}' records no numbers to compare with"
    others = ", ".join(sorted(verdicts - {"not recorded"}))
    return f"no number that '{reference}' records was measured again{others and f': {others}'}"
