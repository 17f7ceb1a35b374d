"""Images as PNG files: one, or many in a grid with a title."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import check_output, replacing
from zoo_core.pictures.lettering import LETTERS, LINE_HEIGHT, font_for, lines_within, text_width
from zoo_core.pictures.reading import Pictures, batch_of_pictures, to_pil

Colour = tuple[int, int, int]  # RGB, 0 to 255

GAP = 6  # pixels between two images of a grid

FRAME = "#909090"  # a line around each image, so that white ones end somewhere

SMALLEST = 84  # small images are enlarged to at least this many pixels

LARGEST = 1024  # and large ones reduced to at most this many

WIDEST_LABEL, WIDEST_TITLE = 160, 480  # pixels: longer ones are broken, unless the images are wider

MOST_LINES = 6  # of a label


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
        labels: what to write below each image; a line break begins a new line.
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
    legend: Sequence[tuple[Colour, str]] = (),
) -> None:
    """Write such a grid as a PNG."""
    save_png(grid(images, title=title, labels=labels, columns=columns, legend=legend), path)


def grid(
    images: Tensor | Sequence[Tensor],
    *,
    title: str = "",
    labels: Sequence[str] = (),
    columns: int | None = None,
    legend: Sequence[tuple[Colour, str]] = (),
) -> Image.Image:
    """Images [C, H, W] in [0, 1], of one size or of several, side by side, with a title and a label for each where
    there are any. Long titles and labels are broken into lines. What the colours of a legend mean stands below all."""
    n, height, width = len(images), *(max(image.shape[side] for image in images) for side in (1, 2))
    columns = columns or math.ceil(math.sqrt(n))
    largest = max(height, width)
    scale = max(1, math.ceil(SMALLEST / largest)) if largest <= LARGEST else LARGEST / largest
    widest = max((text_width(line) for label in labels for line in label.split("\n")), default=0)
    cell_width = max(round(width * scale), min(widest, WIDEST_LABEL))
    cell_height = round(height * scale)
    texts = [_lines(label, cell_width) for label in labels] or [[]] * n
    rows = [max(map(len, texts[k : k + columns])) * LINE_HEIGHT + cell_height + GAP for k in range(0, n, columns)]
    across = max(
        columns * (cell_width + GAP) - GAP,
        min(text_width(title), WIDEST_TITLE),
        *(LETTERS + GAP + text_width(meaning) for _, meaning in legend),
    )
    heading = lines_within(title, across) if title else []
    above = len(heading) * LINE_HEIGHT + GAP
    size = (across + 2 * GAP, above + sum(rows) + len(legend) * LINE_HEIGHT)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    _write(draw, (GAP, GAP // 2), heading)
    for k, image in enumerate(images):
        left, top = GAP + k % columns * (cell_width + GAP), above + sum(rows[: k // columns])
        size = (max(1, round(image.shape[2] * scale)), max(1, round(image.shape[1] * scale)))
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
        draw.rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=FRAME)
        canvas.paste(to_pil(image).resize(size, how), (left, top))
        _write(draw, (left, top + size[1] + 2), texts[k])
    for k, (colour, meaning) in enumerate(legend):
        top = above + sum(rows) + k * LINE_HEIGHT
        draw.rectangle((GAP, top + 2, GAP + LETTERS, top + 2 + LETTERS), fill=colour, outline=FRAME)
        _write(draw, (2 * GAP + LETTERS, top), [meaning])
    return canvas


def _lines(label: str, width: int) -> list[str]:
    """A label in lines, not too many."""
    lines = lines_within(label, width)
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str]) -> None:
    """Lines of text, one below the other."""
    for k, line in enumerate(lines):
        draw.text((at[0], at[1] + k * LINE_HEIGHT), line, fill="black", font=font_for(line))


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all."""
    check_output(path, ".png")
    with replacing(path) as beside:
        picture.save(beside, format="PNG")
