"""Pictures of what models make, and of how training went."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import replacing
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.metric import Metric
from zoo_core.interfaces.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2  # pixels between two images of a grid
LABEL_HEIGHT = 16
ANY_SIZE = 224  # pixels a side of an image that is shown, where the model takes any size
SMALLEST = 56  # small images are enlarged to at least so many pixels
MOST_NAMED = 20  # marks in the legend of a histogram
MAPS_IN_A_ROW = 8


def save_grid(
    images: Tensor, path: Path, *, title: str, labels: Sequence[str] = (), columns: int | None = None
) -> None:
    """Write images [N, C, H, W] in [0, 1] as one PNG with a title, each with its label where there are any."""
    n, _, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    scale = max(1, math.ceil(SMALLEST / max(height, width)))
    label_height = LABEL_HEIGHT if labels else 0
    font = ImageFont.load_default()
    widest = max((math.ceil(font.getlength(label)) for label in labels), default=0)
    cell_width, cell_height = max(width * scale, widest) + GAP, height * scale + GAP + label_height
    title_width = int(font.getlength(title)) + 2 * GAP
    canvas = Image.new(
        "RGB", (max(columns * cell_width + GAP, title_width), rows * cell_height + GAP + LABEL_HEIGHT), "white"
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 2), title, fill="black", font=font)
    for k, image in enumerate(images):
        left, top = GAP + k % columns * cell_width, LABEL_HEIGHT + GAP + k // columns * cell_height
        enlarged = to_pil(image).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        canvas.paste(enlarged, (left, top))
        if labels:
            draw.text((left, top + height * scale), labels[k], fill="black", font=font)
    save_png(canvas, path)


def to_pil(image: Tensor) -> Image.Image:
    """One image [1 or 3, H, W] in [0, 1]."""
    levels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))


def check_output(path: Path) -> None:
    """Raise early where a PNG could not be written, before the work whose result it would hold."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"'{path}' must end in .png, for that is what is written")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Raise early where a file or folder could not be made, because the one that it would be in does not exist."""
    if not path.parent.is_dir():
        raise UsageError(f"the folder '{path.parent}' does not exist", "Make it first, or choose another output.")


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all."""
    check_output(path)
    with replacing(path) as beside:
        picture.save(beside, format="PNG")


def open_image(path: Path, field: Field) -> tuple[Tensor, Tensor]:
    """An image file as the model's kind of image: values [C, H, W] rounded to its levels, and what is opaque [1, H, W].

    Raises:
        UsageError: it is no image, or of another size than the model's.
    """
    channels, height, width = field.shape
    assert channels is not None
    picture = _read(path)
    if picture.size != (width, height):
        raise UsageError(
            f"'{path}' is {picture.width}x{picture.height} pixels, and the model is for {width}x{height}",
            "Resize it first (width x height).",
        )
    opaque = torch.from_numpy(np.array(picture.getchannel("A"))) > 127
    values = _values(picture, channels)
    if field.levels:
        values = (values * (field.levels - 1)).round() / (field.levels - 1)
    return values, opaque[None]


def open_any(path: Path, model: Model) -> tuple[Tensor, Tensor]:
    """An image file of any size: fitted to the model to be shown, [C, H, W] in [0, 1], and as the model takes it,
    [1, C, H, W].

    Fitted: the short side is resized, and the middle cut out. Before the model's own preprocessing this is done where
    that would not bring the image to the model's size. Steps that disturb are left out. Transparent parts are white.

    Raises:
        UsageError: it is no image, or the model takes none.
    """
    field = model.signature().get("image")
    if field is None:
        raise UsageError("this model does not take images")
    channels, height, width = field.shape
    assert channels is not None
    picture = _read(path)
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    fields = {"image": Field(kind="image", shape=(channels, picture.height, picture.width), range=(0, 1))}
    steps = [step for step in model.input if not step.disturbs]
    for step in steps:
        fields = step.fields(fields)
    fitted = ImageOps.fit(picture, (width or ANY_SIZE, height or ANY_SIZE), Image.Resampling.BILINEAR)
    fits = all(side in (None, size) for side, size in zip((height, width), fields["image"].shape[1:], strict=True))
    values = _values(picture if fits else fitted, channels)
    batch = {"image": values[None].to(model.device)}
    for step in steps:
        batch = step.apply(batch, None)
    return _values(fitted, channels), batch["image"]


def _read(path: Path) -> Image.Image:
    """An image file, upright, in RGBA with 8 bits each."""
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(_eight_bits(file)).convert("RGBA")
    except FileNotFoundError:
        raise UsageError(f"'{path}' does not exist") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"'{path}' is not an image that can be read: {error}") from None


def _values(picture: Image.Image, channels: int) -> Tensor:
    """[C, H, W] in [0, 1]."""
    values = torch.from_numpy(np.array(picture.convert("L" if channels == 1 else "RGB"))).float() / 255
    return values[None] if channels == 1 else values.permute(2, 0, 1)


def open_images(paths: Sequence[Path], model: Model) -> Tensor:
    """Image files as the model takes them, [N, C, H, W] on its device; transparency is ignored.

    Raises:
        UsageError: the model takes no images, or as `open_image`.
    """
    field = model.signature().get("image")
    if field is None:
        raise UsageError("this model does not take images")
    return torch.stack([open_image(path, field)[0] for path in paths]).to(model.device)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow would clip grey values of 16 bits, not scale them."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture, dtype=np.float64) / 257).round().clip(0, 255).astype(np.uint8))


def open_mask(path: Path, height: int, width: int) -> Tensor:
    """A mask file as the places that are known (white), bool [1, H, W]."""
    values, opaque = open_image(path, Field(kind="image", shape=(1, height, width), levels=2))
    return (values > 0.5) & opaque


def save_curve(curve: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write the training curve, one panel for each number."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = [row["epoch"] for row in curve]
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for part in ("train", "validation"):
        for name in curve[0].get(part, {}):
            axes.plot(epochs, [row[part].get(name, math.nan) for row in curve], marker=".", label=f"{part} {name}")
    axes.set(xlabel="epoch", title=title)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    try:
        with replacing(path) as beside:
            figure.savefig(beside, format="png", dpi=120)
    finally:
        pyplot.close(figure)


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
        figure.suptitle(title)
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


def save_drawing(metric: Metric, model: Model, path: Path, *, title: str) -> None:
    """Write what a metric with a `drawing` draws."""
    with _figure(path, figsize=(6, 5.5), layout="constrained") as figure:
        axes = figure.add_subplot()
        axes.set_title(title)
        metric.draw(axes, model)


@contextmanager
def _figure(path: Path, **options: Any) -> "Iterator[Figure]":
    """An empty figure, which is written when it is drawn: whole or not at all."""
    from matplotlib.figure import Figure

    check_output(path)
    figure = Figure(**options)
    yield figure
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def save_code_map(
    codes: Tensor,
    path: Path,
    *,
    title: str,
    axes: tuple[str, str],
    labels: Tensor | None = None,
    classes: Sequence[str] = (),
    decoded: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Write a scatter plot of codes [n, 2], coloured by their labels [n] where there are any.

    `decoded` are the corners [2, 2] of a region and images [K, K, C, H, W] of it, shown beside: the first index goes up
    the second axis, the second along the first.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, 1 if decoded is None else 2, figsize=(7.5 if decoded is None else 13.5, 6.5), squeeze=False
    )
    try:
        plot = panels[0, 0]
        if labels is None:
            plot.scatter(*codes.T.numpy(), s=4, linewidths=0, color="black", alpha=0.5)
        else:
            colours = pyplot.get_cmap("tab10" if len(classes) <= 10 else "gist_ncar", max(len(classes), 10))
            plot.scatter(*codes.T.numpy(), s=4, linewidths=0, color=colours(labels.numpy()))
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
        figure.tight_layout()
        with replacing(path) as beside:
            figure.savefig(beside, format="png", dpi=120)
    finally:
        pyplot.close(figure)
