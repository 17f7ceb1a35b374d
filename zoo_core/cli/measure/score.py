"""zoo score"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import check_takes, input_option, input_steps, say_unused
from zoo_core.cli.names import data_file_option, data_option, reference_argument
from zoo_core.cli.numbers import seed_option
from zoo_core.cli.printing import device_option, examples, print_json, progress_bar, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from zoo_core.inputs import Inputs
    from zoo_core.interfaces.model import Model
    from zoo_core.measuring.scoring import ReferenceSample, Scorer, Scores

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog=examples("zoo score nade digit.png --histogram where.png", "zoo score gaussian rows.csv -o scores.csv")
)
@reference_argument()
@click.argument("examples", metavar="EXAMPLE…", nargs=-1)
@data_option("The data set to compare with; by default the one of training.")
@data_file_option()
@click.option(
    "--split",
    default="validation",
    show_default=True,
    help="The split of that data set. A model knows its train split too well.",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many examples of it are scored.",
)
@seed_option("Decides which ones.")
@click.option("-o", "--output", type=FILE, help="Write the scores to a .csv or .jsonl file.")
@click.option(
    "--histogram", type=FILE, help="Write a PNG that shows where the examples stand among those of the data set."
)
@click.option(
    "--map", "map_output", type=FILE, help="Write a PNG that shows how improbable each pixel is, given those before it."
)
@input_option
@device_option
@hub_options
@table_options
def score(
    reference: str,
    examples: tuple[str, ...],
    output: Path | None,
    histogram: Path | None,
    map_output: Path | None,
    steps: tuple[str, ...],
    device: str,
    as_json: bool,
    **against: Any,
) -> None:
    """Score each EXAMPLE by the model REFERENCE: how likely it is, and how anomalous beside the model's own data.

    An EXAMPLE is an image, which is fitted to the model as in zoo predict; a file with rows of numbers, CSV or JSON
    lines; a text; or a file with one text in each line.

    A larger outlier score means more anomalous; for a density or a language model it is -log p(x). A low score does
    not prove that an image belongs to the model's data: a density finds simple images likely. Pixels are rounded to
    the model's levels.
    """
    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import open_inputs
    from zoo_core.measuring.scoring import open_scorer
    from zoo_core.measuring.scoring import score as score_examples
    from zoo_core.row_files import SUFFIXES
    from zoo_core.torch_state import use_threads_of

    if not examples:
        raise UsageError("name an example to score", f"For example: zoo score {reference} digit.png")
    for picture_output in filter(None, (histogram, map_output)):
        check_output(picture_output, ".png")
    if output is not None:
        check_output(output, *SUFFIXES)
    scorer = open_scorer(reference, device=device)
    check_takes(scorer.model, reference, ("image", "row", "text"))
    use_threads_of(scorer.model)
    inputs = open_inputs(scorer.model, examples, input_steps(steps))
    say_unused(inputs)
    for name, picture in zip(inputs.names, inputs.pictures, strict=False):
        if not picture.opaque.all():
            raise UsageError(f"'{name}' has transparent pixels, which have no value to score", "Flatten it first.")
    scores = score_examples(scorer.model, inputs.x)
    if map_output:
        _save_map(scorer, inputs, map_output)
    sample, why = _reference_sample(scorer.model, reference, scorer.trained_on, needed=bool(histogram), **against)
    if histogram and sample:
        _save_histogram(scorer, inputs, scores, sample, histogram)

    rows = _rows(inputs, scores, sample)
    if output is not None:
        _write(output, rows)
    if as_json:
        print_json(
            {
                "reference": scorer.name,
                "outlier_score": scorer.meaning,
                "against": _described(sample),
                f"{inputs.kind}s": rows,
            }
        )
        return
    print_table(
        [inputs.kind, "log p(x), nats", "bits/dim", "outlier score", "more anomalous than"], _cells(rows, sample)
    )
    compared_with = f"compared with {sample}" if sample else f"no rank: {why}"
    talk(f"The outlier score is {scorer.meaning}; larger is more anomalous; {compared_with}.")


def _described(sample: "ReferenceSample | None") -> dict[str, Any] | None:
    """What was compared with, for programs."""
    if sample is None:
        return None
    return {
        "n": len(sample.scores),
        "dataset": sample.dataset,
        "split": sample.split,
        "size": sample.size,
        "seed": sample.seed,
    }


def _write(output: Path, rows: list[dict[str, Any]]) -> None:
    """Write the scores to a file, a row or a line for each example. A missing number is empty, or null."""
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.row_files import table_text

    if output.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = table_text([["" if cell is None else cell for cell in row.values()] for row in rows], list(rows[0]))
    write_atomically(output, text)
    talk(f"Wrote {output}.")


def _save_histogram(
    scorer: "Scorer", inputs: "Inputs", scores: "Scores", sample: "ReferenceSample", output: Path
) -> None:
    """Plot where the examples stand among those of the data set."""
    from zoo_core.pictures.plots import save_histogram

    save_histogram(
        sample.scores,
        list(zip(inputs.labels, scores.outlier_score.tolist(), strict=True)),
        output,
        title=f"{scorer.name}: {sample}",
        value_name=f"outlier score: {scorer.meaning}",
    )
    talk(f"Wrote {output}.")


def _save_map(scorer: "Scorer", inputs: "Inputs", output: Path) -> None:
    """Write a picture that shows, below each image, how improbable every pixel is given those before it."""
    from zoo_core.errors import UsageError
    from zoo_core.measuring.scoring import surprisal
    from zoo_core.pictures.plots import save_maps

    if inputs.kind != "image":
        raise UsageError("--map is for images, and this model takes none")
    maps = surprisal(scorer.model, inputs.x)
    save_maps(
        inputs.x.cpu(),
        maps,
        output,
        title=f"{scorer.name}: every pixel's surprisal",
        labels=[f"{label}\n{nats:.4g} nats" for label, nats in zip(inputs.labels, maps.sum((1, 2)), strict=True)],
        value_name="-log p(pixel | all before it), in nats",
    )
    talk(f"Wrote {output}.")


def _reference_sample(
    model: "Model", reference: str, trained_on: str | None, *, needed: bool, data: str | None, number: int, **drawn: Any
) -> "tuple[ReferenceSample | None, str]":
    """What to compare with, or the reason why there is nothing; if the user asked for it, that is an error."""
    from zoo_core.errors import DataError, UnknownName, UsageError
    from zoo_core.measuring.scoring import score_sample

    name = data or trained_on
    if name is None:
        why = f"'{reference}' does not say what it was trained on"
        if needed:
            raise UsageError(why, "Give --data NAME.")
        return None, why
    try:
        with progress_bar("scoring") as show:
            sample = score_sample(
                model, name, n=number, on_batch=lambda done, total: show(done / total, f"{done} of {total}"), **drawn
            )
        return sample, ""
    except (DataError, UnknownName) as error:
        if needed or data or drawn["data_file"]:
            raise
        return None, error.message


def _rows(inputs: "Inputs", scores: "Scores", sample: "ReferenceSample | None") -> list[dict[str, Any]]:
    """A row for each example, for programs. Bits are per value of an image."""
    count = len(inputs.names)
    nats = [None] * count if scores.log_prob is None else scores.log_prob.tolist()
    ranks = [None] * count if sample is None else sample.share_below(scores.outlier_score).tolist()
    bits = inputs.x[0].numel() * math.log(2) if inputs.kind == "image" else None  # nats of one bit a value
    return [
        {
            inputs.kind: name,
            "log_prob": log_prob,
            "bits_per_dim": None if log_prob is None or bits is None else -log_prob / bits,
            "outlier_score": strangeness,
            "more_anomalous_than": rank,
        }
        for name, log_prob, strangeness, rank in zip(
            inputs.names, nats, scores.outlier_score.tolist(), ranks, strict=True
        )
    ]


def _cells(rows: Sequence[dict[str, Any]], sample: "ReferenceSample | None") -> list[list[str]]:
    """The cells of a row as people read them."""
    numbers = [[row[name] for name in ("log_prob", "bits_per_dim", "outlier_score")] for row in rows]
    return [
        [
            next(iter(row.values())),
            *("-" if number is None else f"{number:.5g}" for number in of_row),
            f"{row['more_anomalous_than']:.1%} of {sample.dataset} {sample.split}" if sample else "-",
        ]
        for row, of_row in zip(rows, numbers, strict=True)
    ]
