"""zoo predict"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import load_for, say_unused
from zoo_core.cli.printing import device_option, json_option, print_json, print_table, talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from zoo_core.inputs import Inputs
    from zoo_core.interfaces.any_model import AnyModel

Answer = dict[str, Any]  # what a model says of an example, as --json prints it


@click.command()
@click.argument("reference")
@click.argument("examples", metavar="EXAMPLE…", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="So many classes an example.")
@click.option("--samples", type=click.IntRange(min=1), default=1, help="So many functions of an uncertain model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of these functions.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A PNG of the images, labelled; for rows and texts, a .csv or .jsonl.",
)
@json_option
@device_option
@hub_options
def predict(
    reference: str,
    examples: tuple[str, ...],
    top: int,
    samples: int,
    seed: int,
    output: Path | None,
    as_json: bool,
    device: str,
) -> None:
    """Say what the model REFERENCE predicts for each EXAMPLE: classes with their probabilities, or numbers; and how
    uncertain it is, if it can tell.

    An EXAMPLE is an image; a file of rows of numbers, CSV or JSON lines; or a text, or a file with one text a line: as
    the model takes it. "-" reads rows or texts from the standard input.

    Images may have any size: where the model's own preprocessing does not make it fit, the short side is resized, and
    the middle is cut out.
    """
    import torch

    from zoo_core.inputs import input_batches, input_kind

    if output is not None:
        _check_output(output)
    model, name = load_for(("Classifier", "Regressor"), reference, device, takes=("image", "row", "text"))
    if output is not None:
        _check_output(output, input_kind(model))
    answers: list[Answer] = []
    shown: list[Tensor] = []
    with torch.no_grad():
        for inputs in input_batches(model, examples):
            found = classes(model, inputs, top) if "Classifier" in model.capabilities else numbers(model, inputs)
            if "Uncertain" in model.capabilities:
                add_uncertainty(found, model, inputs, samples, seed)
            answers += [{inputs.kind: example} | answer for example, answer in zip(inputs.names, found, strict=True)]
            shown += [] if output is None or inputs.shown is None else [inputs.shown]
    say_unused(inputs)
    if as_json:
        print_json(answers)
    else:
        lines = [_cells(answer) for answer in answers]
        print_table(list(lines[0]), [list(line.values()) for line in lines])
        if "unit" in answers[0]:
            talk(f"The uncertainty is in {answers[0]['unit']}.")
    if output is not None:
        _write(output, answers, torch.cat(shown) if shown else None, name)
        talk(f"Wrote {output}.")


def classes(model: "AnyModel", inputs: "Inputs", top: int) -> list[Answer]:
    """The `top` likeliest classes of each example."""
    probabilities = model.logits(inputs.x).softmax(1).cpu()  # [N, K]
    best = probabilities.topk(min(top, probabilities.shape[1]))
    names = class_names(model)
    return [
        {"classes": [{"class": names(k), "probability": p} for k, p in zip(numbers, values, strict=True)]}
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def numbers(model: "AnyModel", inputs: "Inputs") -> list[Answer]:
    """The predicted numbers of each example, by the names of the targets."""
    predicted = model.predict(inputs.x).flatten(1).cpu()  # [N, D]
    names = _target_names(model, predicted.shape[1])
    return [{"prediction": dict(zip(names, row, strict=True))} for row in predicted.tolist()]


def add_uncertainty(answers: list[Answer], model: "AnyModel", inputs: "Inputs", samples: int, seed: int) -> None:
    """Adds what is uncertain about each answer: in all, and the two parts of it; of several numbers, of each."""
    _, uncertainty = model.predict_with_uncertainty(inputs.x, samples=samples, seed=seed)
    for what in ("total", "aleatoric", "epistemic"):
        values = getattr(uncertainty, what).cpu()
        for answer, value in zip(answers, values.tolist(), strict=True):
            several = isinstance(value, list)
            answer[what] = dict(zip(answer["prediction"], value, strict=True)) if several else value
    for answer in answers:
        answer["unit"] = uncertainty.unit


def class_names(model: "AnyModel") -> "Callable[[int], str]":
    """What the model calls the class of a number: its name, or the number where there is none."""
    names = next((field.classes for field in model.signature().values() if field.is_target and field.classes), ())
    return lambda number: names[number] if number < len(names) else str(number)


def _target_names(model: "AnyModel", count: int) -> list[str]:
    """What the predicted numbers are called: as the model's field names them, else target1, target2, …"""
    fields = {name: field for name, field in model.signature().items() if name != model.subject}
    name, field = next(iter(fields.items()), ("prediction", None))
    if field is not None and len(field.columns) == count:
        return list(field.columns)
    return [name] if count == 1 else [f"{name}{k + 1}" for k in range(count)]


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


def _cells(answer: Answer) -> dict[str, str]:
    """An answer as a line for people."""
    best = {f"#{k}": f"{one['class']} {one['probability']:.3f}" for k, one in enumerate(answer.get("classes", ()), 1)}
    (kind, example), *rest = _flat({key: value for key, value in answer.items() if key != "classes"}).items()
    others = {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in rest}
    return {kind: str(example), **best, **others}


def _check_output(output: Path, kind: str | None = None) -> None:
    """Raise where the answers could not be written; before the model is loaded its kind of examples is not known."""
    from zoo_core.pictures.grids import check_output
    from zoo_core.tables import SUFFIXES, check_table_output

    is_table = output.suffix.lower() in SUFFIXES if kind is None else kind != "image"
    (check_table_output if is_table else check_output)(output)


def _write(output: Path, answers: list[Answer], shown: "Tensor | None", name: str) -> None:
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.pictures.grids import save_grid
    from zoo_core.tables import table_text

    if shown is not None:
        save_grid(shown, output, title=name, labels=[_label(answer) for answer in answers])
    else:
        rows = [_flat(answer) for answer in answers]
        text = table_text([list(row.values()) for row in rows], list(rows[0]), suffix=output.suffix)
        write_atomically(output, text)


def _label(answer: Answer) -> str:
    """The answer in a few letters, for below an image."""
    if "classes" in answer:
        return "{class} {probability:.2f}".format(**answer["classes"][0])
    return " ".join(f"{value:.4g}" for value in answer["prediction"].values())
