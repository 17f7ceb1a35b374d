"""What images look like: how bright they are, on what ground, grey or in colour; and how that differs from the images
that a model was trained on."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.steps.preprocessing import LUMA

EXAMPLES = 1000  # images of a data set that are looked at
BATCH = 100

ALIKE = 0.02  # values that differ by less are taken for the same
CLOSE = 0.15  # a difference of brightness that is not worth a word
VIVID = 0.3  # colour that nobody takes for grey
MOST = 0.95  # a share of training images that says what a model knows
FAR = 5.0  # standard deviations


class Looks(NamedTuple):
    """What each of B images looks like, a tensor [B] each; see `ImageStatistics`.

    Attributes:
        brightness: its mean value.
        contrast: the standard deviation between its pixels.
        constant: whether all pixels are alike.
        dark_ground: whether more than half of the pixels are nearer to the darkest one than to the brightest.
        colour: the differences between the largest and the smallest channel of all pixels, as a part of the largest:
            0 is grey, 1 is a pure colour.
    """

    brightness: Tensor
    contrast: Tensor
    constant: Tensor
    dark_ground: Tensor
    colour: Tensor


def looks_of(images: Tensor) -> Looks:
    """What images [B, C, H, W] in [0, 1] look like; C is 1 or 3, or any other number, of which the mean is taken."""
    pixels = images.flatten(2)  # [B, C, H * W]
    weights = pixels.new_tensor(LUMA if images.shape[1] == 3 else [1 / images.shape[1]] * images.shape[1])
    grey = (pixels * weights[:, None]).sum(1)  # [B, H * W]
    darkest, brightest = grey.amin(1), grey.amax(1)
    return Looks(
        brightness=grey.mean(1),
        contrast=grey.std(1, correction=0),
        constant=brightest - darkest < ALIKE,
        dark_ground=(grey < ((darkest + brightest) / 2)[:, None]).float().mean(1) > 0.5,
        colour=(pixels.amax(1) - pixels.amin(1)).sum(1) / pixels.amax(1).sum(1).clamp(min=1e-6),
    )


def image_statistics(data: Dataset, name: str) -> ImageStatistics | None:
    """What the images of a data set look like: of 1,000 from its train split, chosen with seed 0.

    Args:
        data: the data set.
        name: the name of its field.

    Returns:
        The statistics; None if there is no train split, or the field is none of images in [0, 1].
    """
    field = data.features.get(name)
    if "train" not in data.splits or not data.size("train") or field is None or not _is_of_images(field):
        return None
    n = min(EXAMPLES, data.size("train"))
    order = data.shuffled("train", torch.Generator().manual_seed(0))  # of large data, a few chunks
    parts = [
        looks_of(data.batch("train", order[start : min(start + BATCH, n)])[name].float())
        for start in range(0, n, BATCH)
    ]
    looks = Looks(*(torch.cat(values).double() for values in zip(*parts, strict=True)))
    return ImageStatistics(
        n=n,
        brightness=_short(looks.brightness.mean()),
        brightness_std=_short(looks.brightness.std(correction=0)),
        contrast=_short(looks.contrast.mean()),
        constant=_short(looks.constant.mean()),
        dark_ground=_short(looks.dark_ground.mean()),
        coloured=_short((looks.colour >= ALIKE).double().mean()),
    )


def _is_of_images(field: Field) -> bool:
    return field.kind == "image" and field.range == (0, 1) and len(field.shape) == 3


def _short(value: Tensor) -> float:
    """Four digits, so that the last bits of a processor are in no file."""
    return round(min(max(value.item(), 0.0), 1.0), 4)


def oddities(images: Tensor, known: ImageStatistics) -> list[str]:
    """In what each of the images [B, C, H, W] in [0, 1] differs most from those that a model knows, as the rest of a
    sentence that begins with the name of the image; "" where it does not."""
    looks = looks_of(images)
    return [_oddity(Looks(*(values[k] for values in looks)), known) for k in range(len(images))]


def _oddity(look: Looks, known: ImageStatistics) -> str:
    brightness, contrast, colour = look.brightness.item(), look.contrast.item(), look.colour.item()
    if look.constant:
        return "" if known.constant > 1 - MOST else "has one value everywhere: there is nothing to see in it"
    if not look.dark_ground and known.dark_ground >= MOST:
        return "is dark on bright, and the model knows bright on dark: invert it (--input invert)"
    if look.dark_ground and known.dark_ground <= 1 - MOST:
        return "is bright on dark, and the model knows dark on bright: invert it (--input invert)"
    if abs(brightness - known.brightness) > max(FAR * known.brightness_std, CLOSE):
        how = "bright" if brightness > known.brightness else "dark"
        usual = f"{known.brightness:.2f} ± {known.brightness_std:.2f}"
        return f"is unusually {how} for the model: {brightness:.2f} on average, and training images are {usual}"
    if contrast < known.contrast / 5:
        return f"has hardly any contrast for the model: {contrast:.2f}, and training images have {known.contrast:.2f}"
    if colour > VIVID and known.coloured <= 1 - MOST:
        return "is in colour, and the model knows grey images"
    if colour < ALIKE and known.coloured >= MOST:
        return "is grey, and the model knows images in colour"
    return ""


def said_of(named: Iterable[tuple[str, str]]) -> list[str]:
    """What there is to say about images, in one line for each kind, which names the first image that it is said of.

    Args:
        named: the name of an image, and what is said of it: the kind, which may end at a colon, and more.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, said in named:
        kinds.setdefault(said.partition(":")[0], []).append((name, said))
    lines = []
    for (name, said), *others in kinds.values():
        like = f", like {len(others)} other{'s' if len(others) > 1 else ''}," if others else ""
        lines.append(f"'{name}'{like} {said}")
    return lines
