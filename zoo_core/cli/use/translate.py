"""zoo translate"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.assignments import read_conditions, with_option
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for, with_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import device_option, examples, json_option, print_json, talk

if TYPE_CHECKING:
    from zoo_core.interfaces.any_model import AnyModel
    from zoo_core.interfaces.step import Step


@click.command(
    epilog=examples(
        'zoo translate ./my-model "good morning" lines.txt --beam 4',
        "zoo translate ./my-model photo.png --with to=night -o night.png",
    )
)
@reference_argument()
@click.argument("examples", metavar="TEXT…|IMAGE…", nargs=-1, required=True)
@click.option(
    "--beam",
    type=click.IntRange(min=1),
    help="How many hypotheses the beam search keeps; 1 takes the likeliest word each time.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The PNG file to write, for images."
)
@input_option
@with_option
@json_option
@device_option
@hub_options
def translate(
    reference: str,
    examples: tuple[str, ...],
    beam: int | None,
    output: Path | None,
    steps: tuple[str, ...],
    told: tuple[str, ...],
    as_json: bool,
    device: str,
) -> None:
    """Translate each TEXT with the model REFERENCE, and print a line for each; or show each IMAGE in another domain, in
    one PNG.

    A TEXT may also be a file with one text in each line, or "-" for the standard input.
    """
    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import read_texts

    if output is not None:
        check_output(output, ".png")
    model, name = load_for(("Translator", "ImageTranslator"), reference, device, takes=None)
    conditions = read_conditions(told, model, reference)
    if "Translator" in model.capabilities:
        if output is not None or steps:
            raise UsageError("-o and --input are for images, and this is a translator of texts")
        texts = read_texts(examples)
        translated = with_options(model.translate, texts, told=conditions, beam=beam)
        if as_json:
            print_json([{"text": a, "translation": b} for a, b in zip(texts, translated, strict=True)])
        else:
            click.echo("\n".join(translated))
    else:
        if output is None or beam is not None or as_json:
            raise UsageError("images are translated into a PNG", "Give -o FILE.png, and neither --beam nor --json.")
        _translate_images(model, name, examples, input_steps(steps), output, conditions)


def _translate_images(
    model: "AnyModel",
    name: str,
    examples: tuple[str, ...],
    steps: "tuple[Step, ...]",
    output: Path,
    conditions: dict[str, Any],
) -> None:
    import torch

    from zoo_core.inputs import open_inputs
    from zoo_core.pictures.grids import save_grid

    inputs = open_inputs(model, examples, steps)
    with torch.no_grad():
        translated = model.translate_image(inputs.x, **conditions).cpu()
    said = "".join(f", {condition} {value}" for condition, value in conditions.items())
    title = f"{name}: images and translations{said}"
    labels = inputs.labels + [""] * len(translated)
    save_grid(torch.cat([inputs.x.cpu(), translated]), output, title=title, labels=labels, columns=len(examples))
    talk(f"Wrote {output}: {len(examples)} translation{'s' if len(examples) > 1 else ''}{said}.")
