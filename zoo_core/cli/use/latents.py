"""zoo latents"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_file_option, data_option, reference_argument
from zoo_core.cli.numbers import seed_option
from zoo_core.cli.printing import device_option, examples, progress_bar, talk

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces.dataset import Dataset

SIDE = 20  # decoded images along each axis
BATCH = 500


@click.command(
    epilog=examples(
        "zoo latents aae.mnist-ring --data mnist -o map.png",
        "zoo latents vae --data binarized-mnist --split test -o map.png",
    )
)
@reference_argument()
@data_option("The data set whose latents are shown.", "data_name", required=True)
@data_file_option()
@click.option("--split", default="validation", show_default=True)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(2, 100_000),
    default=5000,
    show_default=True,
    help="The largest number of examples.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG file to write."
)
@seed_option("Decides which examples are shown.")
@device_option
@hub_options
def latents(
    reference: str,
    data_name: str,
    data_file: Path | None,
    split: str,
    number: int,
    output: Path,
    seed: int,
    device: str,
) -> None:
    """Plot the latents that REFERENCE gives to examples of a data set, coloured by their label.

    If a latent has more than two numbers, the plot shows the first two principal components. If it has two, a second
    plot shows what the model decodes on a grid over the prior.
    """
    import torch

    from zoo_core.cli.loading import load_for
    from zoo_core.discovery.registry import default_registry, normalise
    from zoo_core.errors import UsageError
    from zoo_core.hub.atomic import check_output
    from zoo_core.interfaces.capabilities import Decoder
    from zoo_core.measuring.evaluation import check_fields
    from zoo_core.pictures.plots import save_latent_map

    check_output(output, ".png")
    data = default_registry().open_dataset(normalise(data_name), data_file)
    shown = torch.randperm(data.size(split), generator=torch.Generator().manual_seed(seed))[:number]
    model, name = load_for("Encoder", reference, device)
    check_fields(model, data)
    with torch.no_grad():
        latents, labels = encode(model, data, split, shown)
        width = latents.shape[1]
        if width < 2:
            raise UsageError(f"the latents of '{reference}' have one number, and a map needs two")
        decoded = decode_region(model, latents) if width == 2 and isinstance(model, Decoder) else None
    title = f"{name}: latents of {len(latents)} examples of {data.name} {split}"
    axes = ("latent 1", "latent 2")
    if width > 2:
        title += f"\nfirst two principal components of {width} numbers"
        latents, axes = principal_components(latents)
    classes: tuple[str, ...] = ()
    if labels is not None:
        classes = data.features["label"].classes or tuple(map(str, range(int(labels.max()) + 1)))
    save_latent_map(latents, output, title=title, axes=axes, labels=labels, classes=classes, decoded=decoded)
    talk(f"Wrote {output}: {len(latents)} latents of {width} numbers.")


def encode(model: Any, data: "Dataset", split: str, chosen: "Tensor") -> "tuple[Tensor, Tensor | None]":
    """Latents [n, Z] float64 of the examples at the places `chosen` [n], and their labels [n] if the data has some."""
    import torch

    from zoo_core.interfaces.batches import batches

    latents, labels = [], []
    with progress_bar("encoding") as show:
        for batch in batches(model, data, split, chosen, size=BATCH):
            latents.append(model.encode(model.subject_of(batch)).flatten(1).cpu().double())
            if "label" in batch:
                labels.append(batch["label"].cpu())
            show(len(latents) * BATCH / len(chosen), "")
    return torch.cat(latents), torch.cat(labels) if labels else None


def principal_components(latents: "Tensor") -> "tuple[Tensor, tuple[str, str]]":
    """The first two principal components of latents [n, Z], [n, 2], and what to call them. Signs are chosen so that the
    largest part of each direction is positive."""
    import torch

    values, vectors = torch.linalg.eigh(torch.cov(latents.T))  # ascending
    directions = vectors[:, [-1, -2]]  # [Z, 2]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    part = (values / values.sum()).flip(0).tolist()
    points = (latents - latents.mean(0)) @ (directions * largest.sign())
    return points, tuple(f"component {k + 1} ({part[k]:.0%} of the variance)" for k in range(2))  # type: ignore[return-value]


def decode_region(model: Any, latents: "Tensor") -> "tuple[Tensor, Tensor]":
    """Where the prior has most of its mass, or the latents [n, 2] where there is none: its corners [2, 2], and what is
    decoded on a grid over it, [K, K, C, H, W]."""
    import torch

    from zoo_core.errors import ZooError

    try:
        spread = model.sample_prior(10_000, generator=torch.Generator().manual_seed(0)).cpu().double()
    except (AttributeError, ZooError):  # no prior, or one that was not fitted
        spread = latents
    corners = spread.quantile(torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0)  # [2, 2]
    steps = (torch.arange(SIDE) + 0.5) / SIDE  # the middle of each cell
    across, up = (corners[0, k] + steps * (corners[1, k] - corners[0, k]) for k in range(2))
    grid = torch.cartesian_prod(up, across).flip(1)  # [K * K, 2]; the first index goes up
    images = model.decode(grid.to(model.device, torch.float32)).cpu()
    return corners, images.unflatten(0, (SIDE, SIDE))
