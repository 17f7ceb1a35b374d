"""Pictures of what models make, and of how training went."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import replacing
from zoo_core.interfaces.fields import Field

GAP = 2  # pixels between two images of a grid
LABEL_HEIGHT = 16
SMALLEST = 56  # small images are enlarged to at least so many pixels


def save_grid(
    images: Tensor, path: Path, *, title: str, labels: Sequence[str] = (), columns: int | None = None
) -> None:
    """Write images [N, C, H, W] in [0, 1] as one PNG with a title, each with its label where there are any."""
    n, _, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    scale = max(1, math.ceil(SMALLEST / max(height, width)))
    label_height = LABEL_HEIGHT if labels else 0
    cell_width, cell_height = width * scale + GAP, height * scale + GAP + label_height
    font = ImageFont.load_default()
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
    try:
        with Image.open(path) as file:
            picture = _eight_bits(file).convert("RGBA")
    except FileNotFoundError:
        raise UsageError(f"'{path}' does not exist") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"'{path}' is not an image that can be read: {error}") from None
    if picture.size != (width, height):
        raise UsageError(
            f"'{path}' is {picture.width}x{picture.height} pixels, and the model is for {width}x{height}",
            "Resize it first (width x height).",
        )
    opaque = torch.from_numpy(np.array(picture.getchannel("A"))) > 127
    values = torch.from_numpy(np.array(picture.convert("L" if channels == 1 else "RGB"))).float() / 255
    values = values[None] if channels == 1 else values.permute(2, 0, 1)
    if field.levels:
        values = (values * (field.levels - 1)).round() / (field.levels - 1)
    return values, opaque[None]


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
