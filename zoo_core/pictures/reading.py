"""Image files of users, as a model takes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import fields_after

ANY_SIZE = 224  # pixels a side of an image that is shown, where the model takes any size


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
    sizes = fields_after(steps, fields)["image"].shape[1:]
    fitted = ImageOps.fit(picture, (width or ANY_SIZE, height or ANY_SIZE), Image.Resampling.BILINEAR)
    fits = all(side in (None, size) for side, size in zip((height, width), sizes, strict=True))
    values = _values(picture if fits else fitted, channels)
    batch = {"image": values[None].to(model.device)}
    for step in steps:
        batch = step.apply(batch, fields, None)
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
