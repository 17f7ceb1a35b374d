"""The user's pictures as a model takes them: image files, Pillow images, arrays."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import OddInput, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import Step, fields_after
from zoo_core.pictures.looks import oddities

Pictures = Tensor | np.ndarray[Any, Any]  # one or several, as numbers

VISIBLE = 0.25  # how much brighter or darker than its ground something is that can be seen

WHITES = {"I": (255, 65535), "F": (1, 255)}  # by mode of pillow, the values that may be white: the first that is enough

ANY_SIZE = 224  # pixels a side of an image that is shown, where the model takes any size


class OpenPicture(NamedTuple):
    """A picture of the user, as a model takes it.

    Attributes:
        x: [1, C, H, W], preprocessed and rounded to the model's levels, on its device.
        shown: what the model sees of it, [C, H, W] in [0, 1]: every pixel where it is in x.
        opaque: where it is not transparent, bool [1, H, W].
        scale, offset: the point (a, b) of x, in pixels, is scale * (a, b) + offset in the picture, [2] float64 each.
        fitted: how it was brought to the model's size, such as "the middle 900x900 of 1200x900 pixels became 28x28";
            "" where it has that size.
        frames: how many the file has; the first one is taken.
        oddity: in what it differs from the images that the model was trained on; see `zoo_core.pictures.looks`.
    """

    x: Tensor
    shown: Tensor
    opaque: Tensor
    scale: Tensor
    offset: Tensor
    fitted: str = ""
    frames: int = 1
    oddity: str = ""

    @property
    def notes(self) -> list[str]:
        """What was done to it, each as the rest of a sentence that begins with its name."""
        fitted = [f"was fitted: {self.fitted}"] if self.fitted else []
        return fitted + ([f"has several frames: the first of {self.frames} is taken"] if self.frames > 1 else [])


def open_picture(
    source: Path | Image.Image, model: Model, steps: Sequence[Step] = (), *, known: Path | None = None
) -> OpenPicture:
    """A picture of any size, fitted to the model and preprocessed.

    If the picture would not have the model's size after preprocessing, its short side is resized first, and the middle
    is cut out. Steps of the preprocessing that only make data harder are left out. Transparent parts are shown on
    white or on black, see `on_ground`.

    Args:
        source: a file, or a picture of pillow.
        steps: what the user wants done to the picture before everything else.
        known: a file of the picture's size: what is not white there counts as transparent.

    Raises:
        UsageError: it is not a picture, a step turns it into something else, or the model takes no pictures.
    """
    field = image_field(model)
    picture, frames = _read(source) if isinstance(source, Path) else (_upright(source), 1)
    alpha = picture.getchannel("A")
    known_images = None if model.load_report is None else model.load_report.images
    if known is not None:
        alpha = ImageChops.darker(alpha, _known(known, picture, source))
    picture, alpha = _changed(on_ground(picture, known_images), alpha, steps, _channels(field))
    window, fitted = (0.0, 0.0, float(picture.width), float(picture.height)), ""
    if not _preprocessing_fits(model, field, (_channels(field), picture.height, picture.width)):
        size = (field.shape[2] or ANY_SIZE, field.shape[1] or ANY_SIZE)
        window = _middle(picture.size, size)
        fitted = _fitted_text(picture.size, window, size)
        picture, alpha = (part.resize(size, Image.Resampling.BILINEAR, box=window) for part in (picture, alpha))
    oddity = "" if known_images is None else _oddity(picture, known_images)
    batch, fields = _batch_of(picture, alpha, _channels(field), model.subject)
    x = to_model(model, _through_steps(batch[model.subject], model, field))
    shown, _ = _through(batch, fields, [step for step in _steps(model) if step.moves])
    before, after = (values["frame"].view(2, 2) for values in (batch, shown))  # two corners of a box
    scale = (before[1] - before[0]) / (after[1] - after[0])
    left, top, right, bottom = window
    smaller = before.new_tensor([(right - left) / picture.width, (bottom - top) / picture.height])
    offset = (before[0] - after[0] * scale) * smaller + before.new_tensor([left, top])
    opaque = shown["opaque"] > 0
    return OpenPicture(x, shown[model.subject][0], opaque, scale * smaller, offset, fitted, frames, oddity)


def _known(path: Path, picture: Image.Image, source: object) -> Image.Image:
    """A mask file, white where something is known and black elsewhere."""
    mask, _ = _read(path)
    if mask.size != picture.size:
        raise UsageError(
            f"'{path}' is {mask.width}x{mask.height} pixels, and '{source}' is {picture.width}x{picture.height}"
        )
    white = mask.convert("L").point(lambda level: 255 if level > 127 else 0)
    return ImageChops.darker(white, mask.getchannel("A"))


def _changed(
    picture: Image.Image, alpha: Image.Image, steps: Sequence[Step], channels: int
) -> tuple[Image.Image, Image.Image]:
    """A picture and its transparency after steps that the user wants."""
    if not steps:
        return picture, alpha
    batch, fields = _through(*_batch_of(picture, alpha, channels, "image"), steps)
    if fields["image"].range != (0, 1) or fields["image"].shape[0] not in (1, 3):
        raise UsageError(f"after {', '.join(step.tag for step in steps)} it is not a picture any more")
    return to_pil(batch["image"][0]), to_pil(batch["opaque"].float())


def _batch_of(
    picture: Image.Image, alpha: Image.Image, channels: int, name: str
) -> tuple[dict[str, Tensor], dict[str, Field]]:
    """A batch of one picture, what is opaque of it, and a box in its middle, by which one sees where pixels go; and its
    fields."""
    size = (picture.height, picture.width)
    middle = torch.tensor([[picture.width, picture.height] * 2], dtype=torch.float64) / 2
    batch = {
        name: _values(picture, channels)[None],
        "opaque": torch.from_numpy(np.array(alpha))[None].gt(127).long(),
        "frame": middle + torch.tensor([-1, -1, 1, 1]),
        "frame_index": torch.zeros(1, dtype=torch.int64),
    }
    return batch, {
        name: Field(kind="image", shape=(channels, *size), range=(0, 1)),
        "opaque": Field(kind="mask", shape=size, dtype="int64", ignore=1),
        "frame": Field(kind="boxes", shape=(4,), index="frame_index"),
    }


def _through(
    batch: dict[str, Tensor], fields: Mapping[str, Field], steps: Sequence[Step]
) -> tuple[dict[str, Tensor], dict[str, Field]]:
    """A batch and its fields after steps."""
    fields = dict(fields)
    for step in steps:
        batch, fields = step.apply(batch, fields, None), step.fields(fields)
    return batch, fields


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest part of a picture that has the wanted proportions, in its middle: left, top, right, bottom."""
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    left, top = (max(0.0, (side - scale * new) / 2) for side, new in zip(size, wanted, strict=True))  # -1e-14 is no box
    return left, top, min(left + scale * wanted[0], size[0]), min(top + scale * wanted[1], size[1])


def _oddity(picture: Image.Image, known: ImageStatistics) -> str:
    """In what a picture differs from those that a model knows; of a large one, some pixels are enough."""
    size = (min(picture.width, ANY_SIZE), min(picture.height, ANY_SIZE))
    some = picture if size == picture.size else picture.resize(size, Image.Resampling.NEAREST)
    return oddities(_values(some, 3)[None], known)[0]


def _fitted_text(size: tuple[int, int], window: tuple[float, float, float, float], new: tuple[int, int]) -> str:
    """What was done to a picture of `size` pixels."""
    left, top, right, bottom = window
    cut = (round(right - left), round(bottom - top))
    what = f"the middle {cut[0]}x{cut[1]} of {size[0]}x{size[1]}" if cut != size else f"{size[0]}x{size[1]}"
    return f"{what} pixels became {new[0]}x{new[1]}"


def to_model(model: Model, values: Tensor) -> Tensor:
    """Values on the model's device, and floats with as many bits as it computes with."""
    floats = (tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
    return values.to(model.device, next(floats, values.dtype) if values.is_floating_point() else None)


def image_field(model: Model) -> Field:
    """The field of the model's images.

    Raises:
        UsageError: it takes none.
    """
    field = model.signature()[model.subject]
    if field.kind != "image":
        raise UsageError("this model does not take images")
    return field


def prepare_pictures(model: Model, x: Any) -> Tensor:
    """A preprocessed batch of images, [B, C, H, W], of whatever `Model.prepare` takes."""
    field = image_field(model)
    if isinstance(x, (list, tuple)):
        if not x:
            raise UsageError("there is no picture to prepare")
        parts = [prepare_pictures(model, one) for one in x]
        if len({part.shape[1:] for part in parts}) > 1:
            raise UsageError("the pictures differ in size", "Prepare them one at a time.")
        return torch.cat(parts)
    if isinstance(x, (str, os.PathLike)):
        return _prepared(open_picture(Path(x), model), f"'{x}'")
    channels = _channels(field)
    if isinstance(x, Image.Image):
        picture = x
    elif isinstance(x, (Tensor, np.ndarray)):
        values = batch_of_pictures(x)
        if values.numel() and not (values.amin() >= 0 and values.amax() <= 1):  # also where it is NaN
            raise UsageError("pictures hold floats from 0 to 1, or integers from 0 to 255, and these lie outside")
        if values.shape[1] == channels and _preprocessing_fits(model, field, tuple(values.shape[1:])):
            return to_model(model, _through_steps(values, model, field))
        if len(values) != 1:
            return prepare_pictures(model, list(values))
        picture = to_pil(values[0])
    else:
        raise UsageError(f"a picture is a path, a PIL picture, an array or a tensor, and no {type(x).__name__}")
    return _prepared(open_picture(picture, model), "the picture")


def _prepared(picture: OpenPicture, name: str) -> Tensor:
    """What a model takes of a picture; warns if it is unlike what the model was trained on."""
    if picture.oddity:
        warnings.warn(f"{name} {picture.oddity}.", OddInput, stacklevel=5)
    return picture.x


def batch_of_pictures(x: Pictures) -> Tensor:
    """Pictures as numbers: [B, C, H, W] float in [0, 1]. Tensors have their channels first, and arrays last."""
    if isinstance(x, np.ndarray):
        if x.ndim == 2:
            x = x[..., None]
        if x.ndim not in (3, 4) or x.shape[-1] not in (1, 3, 4):
            raise UsageError(
                f"an array is [H, W], [H, W, C] or [N, H, W, C], with 1, 3 or 4 channels: not {sizes_text(x.shape)}",
                "Of N grey pictures take x[..., None]; of channels first, a tensor.",
            )
        x = torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, -3)
    elif x.ndim == 2:
        x = x[None]
    batch = x[None] if x.ndim == 3 else x
    if batch.ndim != 4 or batch.shape[1] not in (1, 3, 4):
        raise UsageError(
            "a tensor of pictures is [H, W], [C, H, W] or [B, C, H, W], with 1, 3 or 4 channels: "
            f"not {sizes_text(x.shape)}"
        )
    return batch.float() if batch.is_floating_point() or batch.dtype == torch.bool else batch.float() / 255


def to_pil(image: Tensor) -> Image.Image:
    """One image [1, 3 or 4, H, W] in [0, 1]."""
    levels = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))


def sizes_text(shape: Sequence[int | None]) -> str:
    """A shape as errors write it: [3, any, any]."""
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
    fields = {model.subject: Field(kind="image", shape=tuple(x.shape[1:]), range=(0, 1))}
    batch, _ = _through({model.subject: x.to(model.device)}, fields, _steps(model))
    return _rounded(batch[model.subject], field)


def _rounded(values: Tensor, field: Field) -> Tensor:
    return values if field.levels is None else (values * (field.levels - 1)).round() / (field.levels - 1)


def on_ground(picture: Image.Image, known: ImageStatistics | None = None) -> Image.Image:
    """A picture in RGBA with its transparent parts on white or on black.

    It is the ground on which what is opaque can be seen: white strokes are put on black, and black ones on white. What
    can be seen on both is put on the one that is more like the images that a model knows; without such a model, on the
    one with more contrast.
    """
    alpha = np.asarray(picture.getchannel("A"), dtype=np.float64)
    if alpha.min() == 255:
        return picture
    grey = np.asarray(picture.convert("RGB").convert("L"), dtype=np.float64) / 255
    bright = float((grey * alpha).sum() / alpha.sum()) if alpha.any() else 0.0  # of what is opaque
    ground = "white" if bright <= 0.5 else "black"
    if known is not None and VISIBLE <= bright <= 1 - VISIBLE:
        ground = "white" if known.brightness > 0.5 else "black"
    return Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture)


def _upright(picture: Image.Image) -> Image.Image:
    """As it was meant to be seen, in RGBA with 8 bits each."""
    return ImageOps.exif_transpose(_eight_bits(picture)).convert("RGBA")


def _read(path: Path) -> tuple[Image.Image, int]:
    """An image file, upright, in RGBA with 8 bits each, and how many frames it has, of which this is the first."""
    try:
        with Image.open(path) as file:
            return _upright(file), getattr(file, "n_frames", 1)
    except FileNotFoundError:
        raise UsageError(f"'{path}' does not exist") from None
    except IsADirectoryError:
        raise UsageError(f"'{path}' is a folder", f"Name the images in it: {path}/*.png") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"'{path}' is not an image that can be read: {error}") from None


def _values(picture: Image.Image, channels: int) -> Tensor:
    """[C, H, W] in [0, 1]."""
    values = torch.from_numpy(np.array(picture.convert("L" if channels == 1 else "RGB"))).float() / 255
    return values[None] if channels == 1 else values.permute(2, 0, 1)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Numbers of more bits as 8 bits, which pillow would clip and not scale: integers of 16 bits, of 32 bits that are
    used like fewer ones, and floats from 0 to 1, or to 255.

    Raises:
        ValueError: the numbers have no range that is known.
    """
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    lowest, highest = values.min(initial=0), values.max(initial=0)
    sixteen = 65535 if picture.mode.startswith("I;16") or picture.format == "PNG" else None
    white = sixteen or next((top for top in WHITES[picture.mode[0]] if highest <= top), None)
    if white is None or not lowest >= 0:  # also where one is NaN
        raise ValueError(f"its values go from {lowest:g} to {highest:g}, and so what is white is not known")
    return Image.fromarray((values / white * 255).round().astype(np.uint8))
