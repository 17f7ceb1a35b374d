"""zoo sample"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.assignments import read_conditions, with_option
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import load_for, with_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.numbers import seed_option, temperature_option
from zoo_core.cli.printing import device_option, examples, progress_bar, talk

if TYPE_CHECKING:
    from torch import Tensor


@click.command(
    epilog=examples(
        "zoo sample pixelcnn -n 16 -o samples.png",
        "zoo sample aae.mnist-ring --with mode=3 -o threes.png",
        "zoo sample gaussian -n 1000 -o rows.csv",
    )
)
@reference_argument()
@click.option(
    "-n", "--number", type=click.IntRange(1, 10_000), default=64, show_default=True, help="How many examples."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one PNG with all images; or rows of numbers to a .csv or .jsonl file, by default as CSV on stdout.",
)
@click.option(
    "--each",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a PNG for each image into a new folder: 0.png, …",
)
@seed_option()
@temperature_option
@with_option
@device_option
@hub_options
def sample(
    reference: str,
    number: int,
    output: Path | None,
    each: Path | None,
    seed: int,
    temperature: float | None,
    told: tuple[str, ...],
    device: str,
) -> None:
    """Draw new examples from the pretrained model REFERENCE: images into one labelled PNG, or each into its own; or
    rows of numbers."""
    import torch

    _check_outputs(output, each)
    model, name = load_for("Sampler", reference, device, takes=("image", "row"))
    field = model.signature()[model.subject]
    _check_kind(field.kind == "image", output, each)
    conditions = read_conditions(told, model, reference)
    with progress_bar("sampling") as show:
        drawn = with_options(
            model.sample,
            number,
            told=conditions,
            generator=torch.Generator().manual_seed(seed),
            temperature=temperature,
            progress=lambda done: show(done, ""),
        )
    settings = f"{number} samples, seed {seed}" + (f", temperature {temperature:g}" if temperature else "")
    settings += "".join(f", {condition} {value}" for condition, value in conditions.items())
    if field.kind == "image":
        _write_images(drawn, output, each, f"{name}: {settings}")
    else:
        _write_rows(drawn, output, field.columns)
    written = " and ".join(str(path) for path in (output, each) if path is not None)
    talk(f"Wrote {written}: {settings}." if written else f"{name}: {settings}")


def _check_outputs(output: Path | None, each: Path | None) -> None:
    """Check of the outputs what can be checked before the model is loaded."""
    from zoo_core.hub.atomic import check_new_folder, check_output, check_parent
    from zoo_core.row_files import SUFFIXES

    if output is not None:
        check_output(output, ".png", *SUFFIXES)
    if each is not None:
        check_new_folder(each)
        check_parent(each)


def _check_kind(images: bool, output: Path | None, each: Path | None) -> None:
    """Whether the outputs can hold what the model draws."""
    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.row_files import SUFFIXES

    if images and output is None and each is None:
        raise UsageError("nowhere to write to", "Give -o FILE.png, or --each FOLDER.")
    if not images and each is not None:
        raise UsageError("--each is for images, and this model draws rows of numbers", "Give -o FILE.csv.")
    if output is not None:
        check_output(output, *([".png"] if images else SUFFIXES))


def _write_images(images: "Tensor", output: Path | None, each: Path | None, title: str) -> None:
    from zoo_core.pictures.grids import save_grid, save_png
    from zoo_core.pictures.reading import to_pil

    if output is not None:
        save_grid(images, output, title=title)
    if each is not None:
        each.mkdir(exist_ok=True)
        for k, image in enumerate(images):
            save_png(to_pil(image), each / f"{k}.png")


def _write_rows(rows: "Tensor", output: Path | None, columns: tuple[str, ...]) -> None:
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.row_files import table_text

    text = table_text(rows.flatten(1).tolist(), columns, suffix=output.suffix if output else ".csv")
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
