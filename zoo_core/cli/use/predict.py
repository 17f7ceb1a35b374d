"""zoo predict"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for, say_unused
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import device_option, print_json, print_table, table_options, talk

if TYPE_CHECKING:
    from torch import Tensor

Answer = dict[str, Any]  # what a model says of an example, as --json prints it


@click.command()
@reference_argument()
@click.argument("examples", metavar="EXAMPLE…", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="So many classes an example.")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="The lowest score of an object.")
@click.option("--samples", type=click.IntRange(min=1), default=1, help="So many functions of an uncertain model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of these functions.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A PNG of the images, labelled; for rows and texts, a .csv or .jsonl.",
)
@table_options
@input_option
@device_option
@hub_options
def predict(
    reference: str,
    examples: tuple[str, ...],
    top: int,
    threshold: float,
    samples: int,
    seed: int,
    output: Path | None,
    steps: tuple[str, ...],
    as_json: bool,
    device: str,
) -> None:
    """Say what the model REFERENCE predicts for each EXAMPLE: classes with their probabilities, numbers, the class of
    every pixel, or objects with boxes in pixels of the image; and how uncertain it is, if it can tell.

    An EXAMPLE is an image; a file of rows of numbers, CSV or JSON lines; or a text, or a file with one text a line: as
    the model takes it. "-" reads rows or texts from the standard input.

    Images may have any size: where the model's own preprocessing does not make it fit, the short side is resized, and
    the middle is cut out.
    """
    from zoo_core.inputs import input_batches, input_kind
    from zoo_core.measuring.prediction import PREDICTORS, Options, legend_of
    from zoo_core.measuring.prediction import predict as ask

    if output is not None:
        _check_output(output)
    model, name = load_for(PREDICTORS, reference, device, takes=("image", "row", "text"))
    if output is not None:
        _check_output(output, input_kind(model))
    options = Options(top, threshold, samples, seed, pictures=output is not None)
    answers: list[Answer] = []
    pictures: list[Tensor] = []
    for inputs in input_batches(model, examples, input_steps(steps)):
        parts = ask(model, inputs, options)
        answers += parts[0]
        pictures += parts[1]
    say_unused(inputs)
    if as_json:
        print_json(answers)
    else:
        lines = [line for answer in answers for line in _lines(answer)]
        widest = max(lines, key=lambda line: len(line))
        print_table(list(widest), [list(line.values()) for line in lines])
        if "unit" in answers[0]:
            talk(f"The uncertainty is in {answers[0]['unit']}.")
    if output is not None:
        _write(output, answers, pictures + legend_of(model, answers) if pictures else [], name)
        talk(f"Wrote {output}.")


def _flat(answer: Answer) -> dict[str, float | str]:
    """An answer as the row of a table."""
    row: dict[str, float | str] = {}
    for key, value in answer.items():
        if key == "classes":
            for k, one in enumerate(value, 1):
                row |= {f"{what}_{k}": one[what] for what in ("class", "probability")}
        elif isinstance(value, dict):
            row |= {name if key == "prediction" else f"{name}_{key}": number for name, number in value.items()}
        elif key != "unit":
            row[key] = value
    return row


def _lines(answer: Answer) -> list[dict[str, str]]:
    """An answer for people: a line, or of objects a line each."""
    kind, example = next(iter(answer.items()))
    if "objects" in answer:
        found = [
            {
                "class": one["class"],
                "score": f"{one['score']:.3f}",
                "box": " ".join(f"{side:.1f}" for side in one["box"]),
            }
            for one in answer["objects"]
        ]
        return [{kind: example} | line for line in found or [{"class": "-", "score": "-", "box": "-"}]]
    best = {f"#{k}": "{} {:.3f}".format(*one.values()) for k, one in enumerate(answer.get("classes", ()), 1)}
    rest = list(_flat({key: value for key, value in answer.items() if key != "classes"}).items())[1:]
    others = {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in rest}
    return [{kind: example, **best, **others}]


def _check_output(output: Path, kind: str | None = None) -> None:
    """Raise where the answers could not be written; before the model is loaded its kind of examples is not known."""
    from zoo_core.pictures.grids import check_output
    from zoo_core.tables import SUFFIXES, check_table_output

    is_table = output.suffix.lower() in SUFFIXES if kind is None else kind != "image"
    (check_table_output if is_table else check_output)(output)


def _write(output: Path, answers: list[Answer], pictures: "list[Tensor]", name: str) -> None:
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.pictures.grids import save_grid
    from zoo_core.tables import table_text

    if pictures:
        save_grid(pictures, output, title=name, labels=[*map(_label, answers), ""][: len(pictures)])
    else:
        rows = [_flat(answer) for answer in answers]
        text = table_text([list(row.values()) for row in rows], list(rows[0]), suffix=output.suffix)
        write_atomically(output, text)


def _label(answer: Answer) -> str:
    """The answer in a few letters, for below an image."""
    if "objects" in answer:
        count = len(answer["objects"])
        return f"{count} object{'' if count == 1 else 's'}"
    if "classes" in answer:
        return "{} {:.2f}".format(*answer["classes"][0].values())
    return " ".join(f"{value:.4g}" for value in answer["prediction"].values())
