"""Plots: curves, histograms, maps and latent spaces."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zoo_core.hub.atomic import check_output, replacing
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.metric import Metric
from zoo_core.pictures.reading import to_pil

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 20  # marks in the legend of a histogram

MAPS_IN_A_ROW = 8


def save_curve(curve: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write the training curve: each number over the epochs, or over the steps where there are no epochs."""
    unit = "step" if curve[0]["epoch"] is None else "epoch"
    places = [row[unit] for row in curve]
    with _figure(path, figsize=(7, 4), layout="tight") as figure:
        axes = figure.add_subplot()
        for part in ("train", "validation"):
            for name in curve[0].get(part, {}):
                axes.plot(places, [row[part].get(name, math.nan) for row in curve], marker=".", label=f"{part} {name}")
        axes.set(xlabel=unit, title=title)
        axes.legend()
        axes.grid(alpha=0.3)


def save_histogram(
    values: Tensor, marks: Sequence[tuple[str, float]], path: Path, *, title: str, value_name: str
) -> None:
    """Write how `values` [n] are spread, with a labelled line at each of `marks`; one far away stands at the edge."""
    finite = values[values.isfinite()]
    low, high = finite.min().item(), finite.max().item()
    margin = 0.3 * (high - low) or 1.0
    low, high = low - margin, high + margin
    with _figure(path, figsize=(9, 4), layout="constrained") as figure:
        axes = figure.add_subplot()
        axes.hist(finite.numpy(), bins="auto", color="0.75")
        for number, (label, value) in enumerate(marks):
            beyond = "" if low <= value <= high else ", beyond the edge"
            axes.axvline(
                min(max(value, low), high),
                color=f"C{number % 10}",  # of the ten that matplotlib has
                linestyle=("-", "--", ":")[number // 10 % 3],
                label=f"{label}: {value:.4g}{beyond}",
                zorder=3,  # before the frame
            )
        axes.set(xlim=(low, high), xlabel=value_name, ylabel="number", title=title)
        if len(marks) <= MOST_NAMED:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def save_maps(images: Tensor, maps: Tensor, path: Path, *, title: str, labels: Sequence[str], value_name: str) -> None:
    """Write images [N, C, H, W] in [0, 1], each with its map [N, H, W] >= 0 below, on one scale of colours."""
    from matplotlib.colors import PowerNorm

    columns = min(len(images), MAPS_IN_A_ROW)
    bands = math.ceil(len(images) / columns)
    with _figure(path, figsize=(1.8 * columns + 1.2, 3.9 * bands + 0.4), layout="constrained") as figure:
        figure.suptitle(title, fontsize="medium", wrap=True)
        scale = PowerNorm(0.5, vmin=0, vmax=maps.max().item())  # what is small shows beside what is large
        grid = figure.subplots(2 * bands, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for k, (image, values) in enumerate(zip(images, maps, strict=True)):
            above, below = grid[k // columns * 2 : k // columns * 2 + 2, k % columns]
            above.imshow(to_pil(image), cmap="gray", vmin=0, vmax=255)
            above.set_title(labels[k], fontsize=9)
            drawn = below.imshow(values.numpy(), cmap="viridis", norm=scale)
        figure.colorbar(drawn, ax=grid, label=value_name, shrink=0.7)


def save_plot(metric: Metric, model: AnyModel, path: Path, *, title: str) -> None:
    """Write the plot of a metric that has one."""
    with _figure(path, figsize=(6, 5.5), layout="constrained") as figure:
        axes = figure.add_subplot()
        axes.set_title(title)
        metric.plot(axes, model)


@contextmanager
def _figure(path: Path, **options: Any) -> "Iterator[Figure]":
    """An empty figure, which is written when it is drawn: whole or not at all."""
    from matplotlib.figure import Figure

    check_output(path, ".png")
    figure = Figure(**options)
    yield figure
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def save_latent_map(
    latents: Tensor,
    path: Path,
    *,
    title: str,
    axes: tuple[str, str],
    labels: Tensor | None = None,
    classes: Sequence[str] = (),
    decoded: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Write a scatter plot of latents [n, 2], coloured by their labels [n] where there are any.

    `decoded` are the corners [2, 2] of a region and images [K, K, C, H, W] of it, shown beside: the first index goes up
    the second axis, the second along the first.
    """
    from matplotlib import colormaps

    size = (7.5 if decoded is None else 13.5, 6.5)
    with _figure(path, figsize=size, layout="tight") as figure:
        panels = figure.subplots(1, 1 if decoded is None else 2, squeeze=False)
        plot = panels[0, 0]
        if labels is None:
            plot.scatter(*latents.T.numpy(), s=4, linewidths=0, color="black", alpha=0.5)
        else:
            colours = colormaps["tab10" if len(classes) <= 10 else "gist_ncar"].resampled(max(len(classes), 10))
            plot.scatter(*latents.T.numpy(), s=4, linewidths=0, color=colours(labels.numpy()))
            for k, name in enumerate(classes):
                plot.scatter([], [], s=4, linewidths=0, color=colours(k), label=name)
            plot.legend(markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
        plot.set(xlabel=axes[0], ylabel=axes[1])
        if decoded is not None:
            corners, images = decoded
            side = len(images)
            mosaic = images.flip(0).permute(0, 3, 1, 4, 2)  # the top row first: [K, H, K, W, C]
            mosaic = mosaic.reshape(side * mosaic.shape[1], side * mosaic.shape[3], -1).clamp(0, 1)
            (left, bottom), (right, top) = corners.tolist()
            panels[0, 1].imshow(
                mosaic.squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top), aspect="auto"
            )
            panels[0, 1].set(xlabel=axes[0], ylabel=axes[1], title="decoded")
        figure.suptitle(title, fontsize="medium")
