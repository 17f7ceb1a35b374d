"""zoo reconstruct"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import device_option, examples, talk


@click.command(
    epilog=examples(
        "zoo reconstruct vae digit.png -o back.png", "zoo reconstruct vae photo.png --input invert -o back.png"
    )
)
@reference_argument()
@click.argument("images", metavar="IMAGE…", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write."
)
@input_option
@device_option
@hub_options
def reconstruct(reference: str, images: tuple[str, ...], output: Path, steps: tuple[str, ...], device: str) -> None:
    """Show IMAGES above their reconstructions by REFERENCE, with the squared error per pixel, in one PNG."""
    import torch

    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import open_inputs
    from zoo_core.pictures.grids import save_grid

    check_output(output, ".png")
    model, name = load_for("Reconstructor", reference, device)
    with torch.no_grad():
        inputs = open_inputs(model, images, input_steps(steps))
        x = inputs.x
        back = model.reconstruct(x)
    errors = (back - x).square().flatten(1).mean(1).tolist()
    save_grid(
        torch.cat([x, back]).cpu(),
        output,
        title=f"{name}: images, reconstructions, squared error per pixel",
        labels=inputs.labels + [f"{error:.4f}" for error in errors],
        columns=len(images),
    )
    count = f"{len(images)} reconstruction{'s' if len(images) > 1 else ''}"
    talk(f"Wrote {output}: {count}, squared error per pixel {sum(errors) / len(errors):.4g}.")
