"""zoo score"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import device_option, json_option, print_json, print_table, progress_bar, say_which, talk

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces.model import Model
    from zoo_core.measuring.scoring import ReferenceSample, Scores

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("reference")
@click.argument("images", metavar="IMAGE…", nargs=-1, type=FILE)
@click.option("--data", help="What to compare with; by default the data set that the model was trained on.")
@click.option("--data-file", type=click.Path(exists=True, path_type=Path), help="Where a data set takes a file.")
@click.option(
    "--split", default="validation", show_default=True, help="Of it. A model knows its train images too well."
)
@click.option("-n", "--number", type=click.IntRange(min=1), default=1000, show_default=True, help="Drawn from it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones are drawn.")
@click.option("--histogram", type=FILE, help="A PNG: where the images stand among those of the data set.")
@click.option("--map", "map_output", type=FILE, help="A PNG: how improbable each pixel is, given those before it.")
@device_option
@hub_options
@json_option
def score(
    reference: str,
    images: tuple[Path, ...],
    histogram: Path | None,
    map_output: Path | None,
    device: str,
    as_json: bool,
    **against: Any,
) -> None:
    """How likely each IMAGE is to the model REFERENCE, and how strange beside the images it was made for.

    The outlier score is larger for what is stranger; that of a density is -log p(x). A low one does not prove that an
    image is of the model's kind: to a density, simple images are likely. Pixels are rounded to the model's levels.
    """
    from zoo_core.errors import UsageError
    from zoo_core.measuring.scoring import open_scorer, surprise
    from zoo_core.measuring.scoring import score as score_images
    from zoo_core.pictures.grids import check_output
    from zoo_core.pictures.plots import save_histogram, save_maps
    from zoo_core.torch_state import use_threads_of

    if not images:
        raise UsageError("name an image to score", f"For example: zoo score {reference} digit.png")
    for output in filter(None, (histogram, map_output)):
        check_output(output)
    say_which(reference)
    scorer = open_scorer(reference, device=device)
    use_threads_of(scorer.model)
    x = _open(images, scorer.model)
    scores = score_images(scorer.model, x)
    labels = [path.name for path in images]
    if map_output:
        maps = surprise(scorer.model, x)
        save_maps(
            x,
            maps,
            map_output,
            title=f"{scorer.name}: every pixel's surprise",
            labels=[f"{label}\n{nats:.4g} nats" for label, nats in zip(labels, maps.sum((1, 2)), strict=True)],
            value_name="-log p(pixel | all before it), in nats",
        )
        talk(f"Wrote {map_output}.")
    sample, why = _reference_sample(scorer.model, reference, scorer.trained_on, needed=bool(histogram), **against)
    if histogram and sample:
        save_histogram(
            sample.scores,
            list(zip(labels, scores.outlier_score.tolist(), strict=True)),
            histogram,
            title=f"{scorer.name}: {sample}",
            value_name=f"outlier score: {scorer.meaning}",
        )
        talk(f"Wrote {histogram}.")

    rows = _rows(images, x, scores, sample)
    if as_json:
        described = ("dataset", "split", "size", "seed")
        compared = sample and {"n": len(sample.scores)} | {name: getattr(sample, name) for name in described}
        print_json({"reference": scorer.name, "outlier_score": scorer.meaning, "against": compared, "images": rows})
        return
    print_table(["image", "log p(x), nats", "bits/dim", "outlier score", "stranger than"], _cells(rows, sample))
    compared_with = f"compared with {sample}" if sample else f"no rank: {why}"
    talk(f"The outlier score is {scorer.meaning}; larger is stranger; {compared_with}.")


def _open(images: Sequence[Path], model: "Model") -> "Tensor":
    """The files as the model's kind of image, [n, C, H, W]."""
    import torch

    from zoo_core.errors import UsageError
    from zoo_core.interfaces.reading import open_image

    opened = []
    for path in images:
        values, opaque = open_image(path, model.signature()["image"])
        if not opaque.all():
            raise UsageError(f"'{path}' has transparent pixels, which have no value to score", "Flatten it first.")
        opened.append(values)
    return torch.stack(opened)


def _reference_sample(
    model: "Model", reference: str, trained_on: str | None, *, needed: bool, data: str | None, number: int, **drawn: Any
) -> "tuple[ReferenceSample | None, str]":
    """What to compare with, or why there is nothing; an error where it was asked for."""
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


def _rows(
    images: Sequence[Path], x: "Tensor", scores: "Scores", sample: "ReferenceSample | None"
) -> list[dict[str, Any]]:
    """One a file, for programs."""
    nats = [None] * len(images) if scores.log_prob is None else scores.log_prob.tolist()
    ranks = [None] * len(images) if sample is None else sample.share_below(scores.outlier_score).tolist()
    bits = x[0].numel() * math.log(2)  # nats of one bit a value
    return [
        {
            "image": str(path),
            "log_prob": log_prob,
            "bits_per_dim": None if log_prob is None else -log_prob / bits,
            "outlier_score": strangeness,
            "stranger_than": rank,
        }
        for path, log_prob, strangeness, rank in zip(images, nats, scores.outlier_score.tolist(), ranks, strict=True)
    ]


def _cells(rows: Sequence[dict[str, Any]], sample: "ReferenceSample | None") -> list[list[str]]:
    """The same for people."""
    numbers = [[row[name] for name in ("log_prob", "bits_per_dim", "outlier_score")] for row in rows]
    return [
        [
            row["image"],
            *("-" if number is None else f"{number:.5g}" for number in of_row),
            f"{row['stranger_than']:.1%} of {sample.dataset} {sample.split}" if sample else "-",
        ]
        for row, of_row in zip(rows, numbers, strict=True)
    ]
