"""zoo interpolate"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import device_option, talk


@click.command()
@click.argument("reference")
@click.argument("first", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("last", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A PNG.")
@click.option("--steps", type=click.IntRange(2, 1000), default=10, show_default=True, help="Images, ends included.")
@device_option
@hub_options
def interpolate(reference: str, first: Path, last: Path, output: Path, steps: int, device: str) -> None:
    """Decode points on the straight line from the code of image FIRST to that of image LAST, into one labelled PNG.

    The two images stand at the ends, next to their reconstructions.
    """
    import torch

    from zoo_core.cli.loading import load_for
    from zoo_core.interfaces.reading import open_images
    from zoo_core.pictures.grids import check_output, save_grid

    check_output(output)
    model, name = load_for("Encoder", reference, device, "Decoder")
    with torch.no_grad():
        ends = open_images([first, last], model)
        a, b = model.encode(ends)  # [Z] each
        parts = torch.linspace(0, 1, steps)
        between = model.decode(torch.stack([torch.lerp(a, b, part) for part in parts.tolist()]))  # [steps, C, H, W]
    save_grid(
        torch.cat([ends[:1], between, ends[1:]]).cpu(),
        output,
        title=f"{name}: from {first.name} to {last.name}",
        labels=["first", *(f"{part:.2f}" for part in parts.tolist()), "last"],
        columns=steps + 2,
    )
    talk(f"Wrote {output}: {steps} images from {first.name} to {last.name}.")
