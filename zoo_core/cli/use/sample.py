"""zoo sample"""

from pathlib import Path

import click

from zoo_core.cli.assignments import read_conditions, with_option
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import device_option, progress_bar, talk


@click.command()
@click.argument("reference")
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A PNG of all.")
@click.option("--each", type=click.Path(file_okay=False, path_type=Path), help="A new folder, a PNG of each: 0.png, …")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), help="Below 1: safer, above: wilder.")
@with_option
@device_option
@hub_options
def sample(
    reference: str,
    number: int,
    output: Path | None,
    each: Path | None,
    seed: int,
    temperature: float | None,
    told: tuple[str, ...],
    device: str,
) -> None:
    """Draw new examples from the pretrained model REFERENCE into one labelled PNG, or each into its own."""
    import torch

    from zoo_core.cli.loading import load_for, with_options
    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_new_folder
    from zoo_core.interfaces.reading import to_pil
    from zoo_core.pictures.grids import check_output, check_parent, save_grid, save_png

    if output is None and each is None:
        raise UsageError("nowhere to write to", "Give -o FILE.png, or --each FOLDER.")
    if output is not None:
        check_output(output)
    if each is not None:
        check_new_folder(each)
        check_parent(each)
    model, name = load_for("Sampler", reference, device)
    conditions = read_conditions(told, model, reference)
    with progress_bar("sampling") as show:
        images = with_options(
            model.sample,
            number,
            told=conditions,
            generator=torch.Generator().manual_seed(seed),
            temperature=temperature,
            progress=lambda done: show(done, ""),
        )
    settings = f"{number} samples, seed {seed}" + (f", temperature {temperature:g}" if temperature else "")
    settings += "".join(f", {condition} {value}" for condition, value in conditions.items())
    if output is not None:
        save_grid(images, output, title=f"{name}: {settings}")
    if each is not None:
        each.mkdir(exist_ok=True)
        for k, image in enumerate(images):
            save_png(to_pil(image), each / f"{k}.png")
    talk(f"Wrote {' and '.join(str(path) for path in (output, each) if path is not None)}: {settings}.")
