"""zoo predict"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for, say_unused
from zoo_core.cli.names import reference_argument
from zoo_core.cli.numbers import Finite, seed_option
from zoo_core.cli.printing import device_option, examples, print_json, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from torch import Tensor


PNG = ".png"
BOX = ("xmin", "ymin", "xmax", "ymax")
Answer = dict[str, Any]  # what a model says of an example, as --json prints it


@click.command(
    epilog=examples(
        "zoo predict resnet9 cat.png dog.png", "zoo predict linear-regression patients.csv -o predicted.csv"
    )
)
@reference_argument()
@click.argument("examples", metavar="EXAMPLE…", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), help="How many classes are shown for an example; by default 5.")
@click.option("--threshold", type=Finite(), help="The lowest score of an object that is shown; by default 0.5.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="How many functions are sampled from a model with uncertainty; by default 1.",
)
@seed_option("Decides which functions are sampled.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the answers to a .csv or .jsonl file; for images also to a .png, which shows them.",
)
@table_options
@input_option
@device_option
@hub_options
def predict(
    reference: str,
    examples: tuple[str, ...],
    top: int | None,
    threshold: float | None,
    samples: int | None,
    seed: int,
    output: Path | None,
    steps: tuple[str, ...],
    as_json: bool,
    device: str,
) -> None:
    """Predict with the model REFERENCE for each EXAMPLE: classes with their probabilities, numbers, the class of every
    pixel, or objects with boxes in pixels of the image; and how uncertain that is, if the model knows it.

    It depends on the model what an EXAMPLE is: an image; a file with rows of numbers, CSV or JSON lines; a text; or a
    file with one text in each line. "-" reads rows or texts from the standard input.

    Images may have any size. If an image does not fit after the model's preprocessing, its short side is resized and
    the middle is cut out. Transparent parts are shown on white or on black, whichever lets the rest be seen. A warning
    says if an image is unlike those that the model was trained on.
    """
    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import input_batches, input_kind
    from zoo_core.measuring.prediction import PREDICTORS, legend_of, options_for
    from zoo_core.measuring.prediction import predict as ask
    from zoo_core.pictures.grids import save_grid
    from zoo_core.row_files import SUFFIXES

    if output is not None:
        check_output(output, PNG, *SUFFIXES)
    model, name = load_for(PREDICTORS, reference, device, takes=("image", "row", "text"))
    if output is not None and input_kind(model) != "image":
        check_output(output, *SUFFIXES)
    pictures_too = output is not None and output.suffix.lower() == PNG
    options = options_for(model, seed=seed, pictures=pictures_too, top=top, threshold=threshold, samples=samples)
    answers: list[Answer] = []
    pictures: list[Tensor] = []
    labels: list[str] = []
    for inputs in input_batches(model, examples, input_steps(steps)):
        parts = ask(model, inputs, options)
        answers += parts[0]
        pictures += parts[1]
        labels += [f"{name}\n{_label(answer)}" for name, answer in zip(inputs.labels, parts[0], strict=True)]
    say_unused(inputs)
    if as_json:
        print_json(answers)
    else:
        lines = [line for answer in answers for line in _lines(answer)]
        columns = list(dict.fromkeys(name for line in lines for name in line))
        print_table(columns, [[line.get(name, "") for name in columns] for line in lines])
        if "unit" in answers[0]:
            talk(f"The uncertainty is in {answers[0]['unit']}.")
    if output is not None:
        if pictures_too:
            save_grid(pictures, output, title=name, labels=labels, legend=legend_of(model, answers))
        else:
            _write(output, answers)
        talk(f"Wrote {output}.")


def _rows(answer: Answer) -> list[dict[str, float | str]]:
    """An answer as rows of a table: one row, or one for each object."""
    kind, example = next(iter(answer.items()))
    if "objects" in answer:
        return [
            {kind: example, "class": one["class"], "score": one["score"], **dict(zip(BOX, one["box"], strict=True))}
            for one in answer["objects"]
        ]
    row: dict[str, float | str] = {}
    for key, value in answer.items():
        if key == "classes":
            row |= {f"{what}_{k}": said for k, one in enumerate(value, 1) for what, said in one.items()}
        elif isinstance(value, dict):
            row |= {name if key == "prediction" else f"{name}_{key}": number for name, number in value.items()}
        elif key != "unit":
            row[key] = value
    return [row]


def _lines(answer: Answer) -> list[dict[str, str]]:
    """An answer as people read it: one line, or one for each object."""
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
    (row,) = _rows({key: value for key, value in answer.items() if key != "classes"})
    rest = list(row.items())[1:]
    others = {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in rest}
    return [{kind: example, **best, **others}]


def _write(output: Path, answers: list[Answer]) -> None:
    """Write the answers, one in each line (JSON lines, as --json prints it) or row (CSV)."""
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.row_files import table_text

    if output.suffix.lower() == ".jsonl":
        write_atomically(output, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    else:
        rows = [row for answer in answers for row in _rows(answer)]
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["image", "class", "score", *BOX]
        write_atomically(output, table_text([[row.get(column, "") for column in columns] for row in rows], columns))


def _label(answer: Answer) -> str:
    """The answer in a few characters, to write below an image."""
    if "objects" in answer:
        count = len(answer["objects"])
        return f"{count} object{'' if count == 1 else 's'}"
    if "classes" in answer:
        return "{} {:.2f}".format(*answer["classes"][0].values())
    return " ".join(f"{value:.4g}" for value in answer["prediction"].values())
