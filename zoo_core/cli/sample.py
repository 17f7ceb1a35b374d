"""zoo sample"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.output import device_option, progress_bar, talk


@click.command()
@click.argument("reference")
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A PNG.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), help="Below 1: safer, above: wilder.")
@device_option
@hub_options
def sample(reference: str, number: int, output: Path, seed: int, temperature: float | None, device: str) -> None:
    """Draw new examples from the pretrained model REFERENCE into one labelled PNG."""
    import torch

    from zoo_core.cli.models import load_for, with_options
    from zoo_core.pictures import check_output, save_grid

    check_output(output)
    model, name = load_for("Sampler", reference, device)
    with progress_bar("sampling") as show:
        images = with_options(
            model.sample,
            number,
            generator=torch.Generator().manual_seed(seed),
            temperature=temperature,
            progress=lambda done: show(done, ""),
        )
    settings = f"{number} samples, seed {seed}" + (f", temperature {temperature:g}" if temperature else "")
    save_grid(images, output, title=f"{name}: {settings}")
    talk(f"Wrote {output}: {settings}.")
