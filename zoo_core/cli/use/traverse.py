"""zoo traverse"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for
from zoo_core.cli.names import reference_argument
from zoo_core.cli.numbers import Finite
from zoo_core.cli.printing import device_option, examples, talk

if TYPE_CHECKING:
    from torch import Tensor

MOST = 8  # rows where no unit is named


@click.command(
    epilog=examples(
        "zoo traverse vae digit.png -o units.png", "zoo traverse vae digit.png --unit 3 --span 2 -o unit.png"
    )
)
@reference_argument()
@click.argument("image")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write."
)
@click.option(
    "--unit",
    "units",
    multiple=True,
    type=click.IntRange(0),
    help=f"A unit to show; by default the {MOST} that change the image most.",
)
@click.option(
    "--steps", "number", type=click.IntRange(2, 100), default=9, show_default=True, help="How many images in each row."
)
@click.option(
    "--span",
    type=Finite(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="How far to move in either direction.",
)
@input_option
@device_option
@hub_options
def traverse(
    reference: str,
    image: str,
    output: Path,
    units: tuple[int, ...],
    number: int,
    span: float,
    steps: tuple[str, ...],
    device: str,
) -> None:
    """Change one number of the latent of IMAGE at a time, from -SPAN to SPAN, and decode: a row of images for each.

    All other numbers stay as they are. The units that change the image most are shown first.
    """
    import torch

    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import open_inputs
    from zoo_core.pictures.grids import save_grid

    check_output(output, ".png")
    model, name = load_for("Encoder", reference, device, "Decoder")
    values = torch.linspace(-span, span, number)
    with torch.no_grad():
        inputs = open_inputs(model, [image], input_steps(steps))
        (latent,) = model.encode(inputs.x)  # [Z]
        if wrong := [unit for unit in units if unit >= len(latent)]:
            raise UsageError(f"there is no unit {wrong[0]}: the latents have {len(latent)} numbers, from 0")
        moved = torch.stack([_moved(latent, unit, values) for unit in units or range(len(latent))])  # [units, steps, Z]
        rows = torch.stack([model.decode(latents) for latents in moved])  # [units, steps, C, H, W]
    change = rows.var(1).flatten(1).mean(1)  # [units]
    chosen = change.argsort(descending=True)[: len(units) or MOST]
    shown = [(units or range(len(latent)))[k] for k in chosen.tolist()]
    save_grid(
        rows[chosen].flatten(0, 1).cpu(),
        output,
        title=f"{name}: one number of the latent of {inputs.labels[0]} moved",
        labels=[f"z{unit}={round(value, 2) + 0:g}" for unit in shown for value in values.tolist()],
        columns=number,
    )
    talk(f"Wrote {output}: {number} images for each of {len(chosen)} of {len(latent)} numbers.")


def _moved(latent: "Tensor", unit: int, values: "Tensor") -> "Tensor":
    """The latent [Z] once for each of the values [steps], which takes the place of one number: [steps, Z]."""
    moved = latent.repeat(len(values), 1)
    moved[:, unit] = values.to(moved)
    return moved
