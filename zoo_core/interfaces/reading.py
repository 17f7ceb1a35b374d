"""What people have, as a model takes it: image files, pictures, arrays, texts, numbers."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import Step, fields_after

Pictures = Tensor | np.ndarray[Any, Any]  # one or several, as numbers

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
    return _rounded(_values(picture, channels), field), opaque[None]


def open_any(path: Path, model: Model) -> tuple[Tensor, Tensor]:
    """An image file of any size: fitted to the model to be shown, [C, H, W] in [0, 1], and as the model takes it,
    [1, C, H, W].

    Fitted: the short side is resized, and the middle cut out. Before the model's own preprocessing this is done where
    that would not bring the image to the model's size. Steps that disturb are left out. Transparent parts are white.

    Raises:
        UsageError: it is no image, or the model takes none.
    """
    field = image_field(model)
    channels, picture = _channels(field), _on_white(_read(path))
    fitted = _fitted(picture, field)
    fits = _preprocessing_fits(model, field, (channels, picture.height, picture.width))
    values = _values(picture if fits else fitted, channels)
    return _values(fitted, channels), _through_steps(values[None], model, field)


def image_field(model: Model) -> Field:
    """What the model's images are like.

    Raises:
        UsageError: it takes none.
    """
    field = model.signature()[model.subject]
    if field.kind != "image":
        raise UsageError("this model does not take images")
    return field


def prepare(model: Model, x: Any) -> Any:
    """See `Model.prepare`."""
    field = model.signature()[model.subject]
    if field.kind == "image":
        prepared = _images(model, field, x)
    elif field.kind in ("text", "tokens") and not isinstance(x, (Tensor, np.ndarray)):
        prepared = model.preprocess({"text": [x] if isinstance(x, str) else list(x)})
    else:
        prepared = model.preprocess({model.subject: _numbers(field, x)})
    if model.subject not in prepared:
        raise UsageError(f"this model takes {field.kind}, and its preprocessing makes none of {', '.join(prepared)}")
    moved = {name: _like(model, value) if isinstance(value, Tensor) else value for name, value in prepared.items()}
    return model.subject_of(moved)


def _like(model: Model, values: Tensor) -> Tensor:
    """On the model's device, and floats with as many bits as it computes with."""
    floats = (tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
    return values.to(model.device, next(floats, values.dtype) if values.is_floating_point() else None)


def _numbers(field: Field, x: Any) -> Tensor:
    """Numbers of any kind as a batch of the field, [B, *shape]; a single example becomes a batch of one."""
    try:
        values = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x)).to(getattr(torch, field.dtype))
    except (TypeError, ValueError) as error:
        raise UsageError(f"these are no numbers that a model could take: {error}") from None
    batch = values[None] if values.ndim == len(field.shape) else values
    if not field.fits(Field(kind=field.kind, shape=tuple(batch.shape[1:]))):
        raise UsageError(f"the model takes {_sizes(field.shape)} for an example, and this is {_sizes(values.shape)}")
    return batch


def _images(model: Model, field: Field, x: Any) -> dict[str, Any]:
    """A preprocessed batch of images, of whatever `Model.prepare` takes."""
    if isinstance(x, (list, tuple)):
        if not x:
            raise UsageError("there is no picture to prepare")
        parts = [_images(model, field, one) for one in x]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if isinstance(x, (str, os.PathLike)):
        return {model.subject: open_any(Path(x), model)[1]}
    channels = _channels(field)
    if isinstance(x, Image.Image):
        picture = _on_white(_upright(x))
    elif isinstance(x, (Tensor, np.ndarray)):
        values = batch_of_pictures(x)
        if values.numel() and not (values.amin() >= 0 and values.amax() <= 1):  # also where it is NaN
            raise UsageError("pictures hold floats from 0 to 1, or integers from 0 to 255, and these lie outside")
        if values.shape[1] == channels and _preprocessing_fits(model, field, tuple(values.shape[1:])):
            return {model.subject: _through_steps(values, model, field)}
        if len(values) != 1:
            return _images(model, field, list(values))
        picture = _on_white(to_pil(values[0]))
    else:
        raise UsageError(f"a picture is a path, a PIL picture, an array or a tensor, and no {type(x).__name__}")
    fits = _preprocessing_fits(model, field, (channels, picture.height, picture.width))
    values = _values(picture if fits else _fitted(picture, field), channels)
    return {model.subject: _through_steps(values[None], model, field)}


def batch_of_pictures(x: Pictures) -> Tensor:
    """Pictures as numbers: [B, C, H, W] float in [0, 1]. Tensors have their channels first, and arrays last."""
    if isinstance(x, np.ndarray):
        if x.ndim == 2:
            x = x[..., None]
        if x.ndim not in (3, 4) or x.shape[-1] not in (1, 3, 4):
            raise UsageError(
                f"an array is [H, W], [H, W, C] or [N, H, W, C], with 1, 3 or 4 channels: not {_sizes(x.shape)}",
                "Of N grey pictures take x[..., None]; of channels first, a tensor.",
            )
        x = torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, -3)
    elif x.ndim == 2:
        x = x[None]
    batch = x[None] if x.ndim == 3 else x
    if batch.ndim != 4 or batch.shape[1] not in (1, 3, 4):
        raise UsageError(
            f"a tensor of pictures is [H, W], [C, H, W] or [B, C, H, W] with 1, 3 or 4 channels, not {_sizes(x.shape)}"
        )
    return batch.float() if batch.is_floating_point() or batch.dtype == torch.bool else batch.float() / 255


def to_pil(image: Tensor) -> Image.Image:
    """One image [1, 3 or 4, H, W] in [0, 1]."""
    levels = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))


def _sizes(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _channels(field: Field) -> int:
    channels = field.shape[0]
    assert channels is not None
    return channels


def _steps(model: Model) -> list[Step]:
    """The preprocessing of single pictures."""
    return [step for step in model.input if not step.disturbs]


def _preprocessing_fits(model: Model, field: Field, shape: tuple[int, ...]) -> bool:
    """Whether preprocessing brings images of this shape to the model's size."""
    fields = {model.subject: Field(kind="image", shape=shape, range=(0, 1))}
    return fields_after(_steps(model), fields)[model.subject].fits(field)


def _through_steps(x: Tensor, model: Model, field: Field) -> Tensor:
    """Images [B, C, H, W] in [0, 1] after preprocessing, rounded to the model's levels, on its device."""
    batch = {model.subject: x.to(model.device)}
    fields = {model.subject: Field(kind="image", shape=tuple(x.shape[1:]), range=(0, 1))}
    for step in _steps(model):
        batch, fields = step.apply(batch, fields, None), step.fields(fields)
    return _rounded(batch[model.subject], field)


def _rounded(values: Tensor, field: Field) -> Tensor:
    return values if field.levels is None else (values * (field.levels - 1)).round() / (field.levels - 1)


def _fitted(picture: Image.Image, field: Field) -> Image.Image:
    """The short side resized, and the middle cut out."""
    _, height, width = field.shape
    return ImageOps.fit(picture, (width or ANY_SIZE, height or ANY_SIZE), Image.Resampling.BILINEAR)


def _on_white(picture: Image.Image) -> Image.Image:
    """Transparent parts are white; RGBA."""
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


def _upright(picture: Image.Image) -> Image.Image:
    """As it was meant to be seen, in RGBA with 8 bits each."""
    return ImageOps.exif_transpose(_eight_bits(picture)).convert("RGBA")


def _read(path: Path) -> Image.Image:
    """An image file, upright, in RGBA with 8 bits each."""
    try:
        with Image.open(path) as file:
            return _upright(file)
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
    field = image_field(model)
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
