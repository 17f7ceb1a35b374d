"""zoo import"""

from pathlib import Path

import click

from zoo_core.cli.assignments import read_assignments, set_option
from zoo_core.cli.names import model_argument
from zoo_core.cli.printing import as_reference, examples, talk


@click.command(
    "import",
    epilog=examples(
        "zoo import vgg16 vgg16.safetensors --names timm -o releases/vgg16",
        "zoo import resnet50 model.safetensors --names torchvision -o releases/resnet50",
    ),
)
@model_argument()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder of the new release; it must not exist.",
)
@click.option(
    "--names",
    default="same",
    show_default=True,
    help="The library whose tensor names FILE has, such as torchvision or timm; 'same' for our own names.",
)
@set_option
@click.option(
    "--input",
    "input_steps",
    multiple=True,
    metavar="STEP",
    help="A step of the preprocessing that belongs to the weights.",
)
@click.option("--summary", help="What the release is, in one line.")
@click.option("--licence", default="NOASSERTION", help="The licence of the weights, SPDX: BSD-3-Clause.")
def import_command(
    model: str,
    file: Path,
    output: Path,
    names: str,
    assignments: tuple[str, ...],
    input_steps: tuple[str, ...],
    summary: str | None,
    licence: str,
) -> None:
    """Make a release of MODEL from FILE, a safetensors file of another library. Each tensor must match one of MODEL."""
    from zoo_core.discovery.registry import default_registry
    from zoo_core.publishing.foreign import import_weights
    from zoo_core.steps.notation import parse_step

    registry = default_registry()
    kind = registry.model_class(registry.model(model)).Config
    release = import_weights(
        model,
        file,
        output,
        names=names,
        config=read_assignments(assignments, kind),
        input=[parse_step(text) for text in input_steps],
        summary=summary,
        licence=licence,
        registry=registry,
    )
    talk(f"'{output}' is a release: {release.summary}. Measure it: zoo eval {as_reference(output)} --data NAME")
