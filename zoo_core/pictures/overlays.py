"""Pictures that show what was found in them: the class of every pixel, or boxes around objects."""

import colorsys
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo_core.pictures.grids import Colour
from zoo_core.pictures.lettering import LINE_HEIGHT, font_for
from zoo_core.pictures.reading import to_pil

READABLE = 224  # pixels: a small picture is enlarged to this many before something is written into it


def class_colour(number: int) -> Colour:
    """The colour of a class, RGB: hues that differ, whichever few classes there are."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 1.0)  # the golden ratio of the circle
    return round(red * 255), round(green * 255), round(blue * 255)


def with_classes(picture: Tensor, mask: Tensor) -> Tensor:
    """A picture [1 or 3, H, W] in [0, 1] in the colours of the classes of its pixels, mask [H, W] int64: [3, H, W]."""
    colours = torch.tensor([class_colour(k) for k in range(int(mask.max()) + 1)]) / 255  # [K, 3]
    return 0.35 * picture.expand(3, -1, -1) + 0.65 * colours[mask].permute(2, 0, 1)


def with_boxes(picture: Tensor, boxes: Tensor, labels: Sequence[int], marks: Sequence[str]) -> Tensor:
    """A picture [1 or 3, H, W] in [0, 1] with boxes [N, 4] in its pixels, each in the colour of its class and with a
    mark: [3, H', W'], where a small picture is enlarged, so that marks can be read."""
    scale = max(1, math.ceil(READABLE / max(picture.shape[1:])))
    canvas = to_pil(picture).convert("RGB")
    canvas = canvas.resize((canvas.width * scale, canvas.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    thick = max(2, max(canvas.size) // 200)
    for (left, top, right, bottom), label, mark in zip((boxes * scale).tolist(), labels, marks, strict=True):
        colour = class_colour(label)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=thick)
        font = font_for(mark)
        widest = canvas.width - int(font.getlength(mark)) - 1
        at = (max(min(left, widest), 0), max(top - LINE_HEIGHT, 0))  # not cut at the edges
        draw.rectangle((*at, *draw.textbbox(at, mark, font=font)[2:]), fill=colour)
        draw.text(at, mark, fill="black", font=font)
    return _tensor(canvas)


def _tensor(canvas: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1) / 255
