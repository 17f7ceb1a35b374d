"""Images as PNG files: one, or many in a grid with a title."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import check_output, replacing
from zoo_core.pictures.reading import Pictures, batch_of_pictures, to_pil

GAP = 2  # pixels between two images of a grid

LABEL_HEIGHT = 16

SMALLEST = 56  # small images are enlarged to at least this many pixels

LARGEST = 1024  # and large ones reduced to at most this many


def show(
    images: Pictures | Sequence[Pictures],
    *,
    labels: Sequence[object] = (),
    title: str = "",
    columns: int | None = None,
) -> Image.Image:
    """Images in a grid, as a Pillow image: a notebook shows it, and `.save("x.png")` writes it.

        zoo_core.show(model.sample(16))

    Args:
        images: a tensor [N, C, H, W], [C, H, W] or [H, W] in [0, 1], or an array with its channels last, or a list.
        labels: what to write below each image, in one line or several.
        title: what to write above the grid.
        columns: how many images stand in a row; by default the grid is about square.

    Raises:
        UsageError: these are not images, or there is another number of labels.
    """
    given = [images] if isinstance(images, (Tensor, np.ndarray)) else images
    parts = [batch_of_pictures(part) for part in given]
    if len({part.shape[1:] for part in parts}) != 1 or not sum(map(len, parts)):
        raise UsageError("there is no image to show" if not sum(map(len, parts)) else "the images differ in size")
    batch = torch.cat(parts)
    if labels and len(labels) != len(batch):
        raise UsageError(f"there are {len(batch)} images and {len(labels)} labels")
    return grid(batch, title=title, labels=[str(label) for label in labels], columns=columns)


def save_grid(
    images: Tensor | Sequence[Tensor],
    path: Path,
    *,
    title: str,
    labels: Sequence[str] = (),
    columns: int | None = None,
) -> None:
    """Write images [C, H, W] in [0, 1] as one PNG with a title, each with its label where there are any."""
    save_png(grid(images, title=title, labels=labels, columns=columns), path)


def grid(
    images: Tensor | Sequence[Tensor], *, title: str = "", labels: Sequence[str] = (), columns: int | None = None
) -> Image.Image:
    """Images [C, H, W] in [0, 1], of one size or of several, side by side, with a title and a label for each where
    there are any."""
    n, height, width = len(images), *(max(image.shape[side] for image in images) for side in (1, 2))
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    largest = max(height, width)
    scale = max(1, math.ceil(SMALLEST / largest)) if largest <= LARGEST else LARGEST / largest
    lines = [label.split("\n") for label in labels]
    label_height, title_height = LABEL_HEIGHT * max(map(len, lines), default=0), LABEL_HEIGHT if title else 0
    font = ImageFont.load_default()
    widest = max((math.ceil(font.getlength(line)) for of_one in lines for line in of_one), default=0)
    cell_width = max(round(width * scale), widest) + GAP
    cell_height = round(height * scale) + GAP + label_height
    title_width = int(font.getlength(title)) + 2 * GAP
    canvas = Image.new(
        "RGB", (max(columns * cell_width + GAP, title_width), rows * cell_height + GAP + title_height), "white"
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 2), title, fill="black", font=font)
    for k, image in enumerate(images):
        left, top = GAP + k % columns * cell_width, title_height + GAP + k // columns * cell_height
        size = (max(1, round(image.shape[2] * scale)), max(1, round(image.shape[1] * scale)))
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
        canvas.paste(to_pil(image).resize(size, how), (left, top))
        if labels:
            draw.text((left, top + size[1]), labels[k], fill="black", font=font)
    return canvas


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all."""
    check_output(path, ".png")
    with replacing(path) as beside:
        picture.save(beside, format="PNG")
