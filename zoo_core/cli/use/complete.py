"""zoo complete"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for, with_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.numbers import seed_option, temperature_option
from zoo_core.cli.printing import device_option, examples, progress_bar, talk


@click.command(
    epilog=examples(
        "zoo complete pixelrnn digit.png --keep-rows 14 -o completed.png",
        "zoo complete nade digit.png --mask known.png -n 3 -o completed.png",
    )
)
@reference_argument()
@click.argument("image", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write."
)
@click.option("--keep-rows", type=click.IntRange(min=0), help="Only this many rows at the top are known.")
@click.option(
    "--mask",
    type=click.Path(dir_okay=False, path_type=Path),
    help="An image of the same size in which known pixels are white.",
)
@click.option("-n", "--number", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many results.")
@seed_option()
@temperature_option
@input_option
@device_option
@hub_options
def complete(
    reference: str,
    image: Path,
    output: Path,
    keep_rows: int | None,
    mask: Path | None,
    number: int,
    seed: int,
    temperature: float | None,
    steps: tuple[str, ...],
    device: str,
) -> None:
    """Fill in the unknown part of IMAGE several times, and show the results in one labelled PNG.

    Unknown are transparent pixels, and those that --mask or --keep-rows does not mark as known. If the image does not
    have the size of the model, its short side is resized and the middle is cut out.
    """
    import torch

    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.inputs import say_about
    from zoo_core.pictures.grids import save_grid
    from zoo_core.pictures.reading import open_picture

    check_output(output, ".png")
    if keep_rows is not None and mask is not None:
        raise UsageError("--keep-rows and --mask exclude each other")
    model, name = load_for("Completer", reference, device)
    picture = open_picture(image, model, input_steps(steps), known=mask)
    say_about([(str(image), picture.notes, picture.oddity)])
    (x,), known = picture.x, picture.opaque.to(model.device)  # [C, H, W], bool [1, H, W]
    if keep_rows is not None:
        height = x.shape[1]
        if keep_rows > height:
            raise UsageError(f"--keep-rows {keep_rows}: the model's images have only {height} rows")
        known = known & (torch.arange(height, device=known.device)[:, None] < keep_rows)
    if known.all():
        raise UsageError("every pixel is known", "Give --keep-rows or --mask, or make pixels transparent.")
    with progress_bar("completing") as show:
        drawn = with_options(
            model.complete,
            x.expand(number, -1, -1, -1),
            known.expand(number, -1, -1, -1),
            generator=torch.Generator().manual_seed(seed),
            temperature=temperature,
            progress=lambda done: show(done, ""),
        )
    shown = torch.where(known, x, torch.full_like(x, 0.5))
    labels = ["given", "known", *(f"#{k + 1}" for k in range(number))]
    save_grid(
        torch.cat([x[None], shown[None], drawn]).cpu(),
        output,
        title=f"{name}: {image.name}, seed {seed}",
        labels=labels,
    )
    talk(f"Wrote {output}: {number} completion{'s' if number > 1 else ''}.")
