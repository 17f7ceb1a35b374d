"""zoo interpolate"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import device_option, examples, talk


@click.command(
    epilog=examples(
        "zoo interpolate vae three.png eight.png -o between.png",
        "zoo interpolate vae three.png eight.png --steps 20 -o between.png",
    )
)
@reference_argument()
@click.argument("first")
@click.argument("last")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write."
)
@click.option(
    "--steps",
    "number",
    type=click.IntRange(2, 1000),
    default=10,
    show_default=True,
    help="How many images, with the two ends.",
)
@input_option
@device_option
@hub_options
def interpolate(
    reference: str, first: str, last: str, output: Path, number: int, steps: tuple[str, ...], device: str
) -> None:
    """Decode points on the straight line from the latent of image FIRST to that of image LAST, into one PNG.

    The two images themselves stand at the ends, next to their reconstructions.
    """
    import torch

    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import open_inputs
    from zoo_core.pictures.grids import save_grid

    check_output(output, ".png")
    model, name = load_for("Encoder", reference, device, "Decoder")
    with torch.no_grad():
        inputs = open_inputs(model, [first, last], input_steps(steps))
        ends = inputs.x
        a, b = model.encode(ends)  # [Z] each
        parts = torch.linspace(0, 1, number)
        between = model.decode(torch.stack([torch.lerp(a, b, part) for part in parts.tolist()]))  # [steps, C, H, W]
    names = inputs.labels
    save_grid(
        torch.cat([ends[:1], between, ends[1:]]).cpu(),
        output,
        title=f"{name}: from {names[0]} to {names[1]}",
        labels=[names[0], *(f"{part:.2f}" for part in parts.tolist()), names[1]],
        columns=number + 2,
    )
    talk(f"Wrote {output}: {number} images from {names[0]} to {names[1]}.")
