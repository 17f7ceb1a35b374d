"""Preprocessing steps: what they do to images, and what they say of the fields."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.discovery.core_steps import CORE_STEPS
from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import to_plain
from zoo_core.interfaces.step import Step, evaluation_generator
from zoo_core.steps.notation import parse_step, read_steps, step_text
from zoo_core.steps.preprocessing import Crop, Invert, Normalize, Quantize, Resize, Rotate

RGB = {"image": Field(kind="image", shape=(3, 6, 8), range=(0, 1), levels=256)}
EXAMPLES: dict[str, tuple[str, tuple[int, ...], int | None]] = {  # text -> shape and levels of the field after it
    "binarize:mode=threshold,at=0.4": ("binarize", (3, 6, 8), 2),
    "resize:size=4": ("resize", (3, 4, 4), None),
    "resize:size=[4,9]": ("resize", (3, 4, 9), None),
    "crop:size=5": ("crop", (3, 5, 5), 256),
    "crop:size=[3,8]": ("crop", (3, 3, 8), 256),
    "invert": ("invert", (3, 6, 8), 256),
    "grey": ("grey", (1, 6, 8), None),
    "quantize:levels=32": ("quantize", (3, 6, 8), 32),
    "normalize:mean=[0.5,0.4,0.3],std=0.2": ("normalize", (3, 6, 8), None),
    "rotate:degrees=90": ("rotate", (3, 8, 6), 256),
    "rotate:degrees=-180": ("rotate", (3, 6, 8), 256),
    "rotate:degrees=30": ("rotate", (3, 6, 8), None),
    "rotate:range=90,seed=4": ("rotate", (3, 6, 8), None),
}


def step(text: str) -> Step:
    (read,) = read_steps([parse_step(text)], "here")
    return read


def apply(made: Step, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
    return made.apply({"image": image}, RGB, generator)["image"]


def test_every_step_has_an_example() -> None:
    assert {name for name, _, _ in EXAMPLES.values()} == {spec.name for spec in CORE_STEPS if spec.option == "input"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_step_makes_what_its_fields_say(text: str) -> None:
    made = step(text)
    field = made.fields(RGB)["image"]
    assert (field.shape, field.levels) == EXAMPLES[text][1:]
    images = torch.randint(256, (5, 3, 6, 8)).float() / 255
    after = apply(made, images)
    assert after.shape == (5, *field.shape)
    if field.levels is not None:
        steps = after * (field.levels - 1)
        assert (steps - steps.round()).abs().max() < 1e-4
        assert field.range is not None and after.min() >= 0 and after.max() <= 1
    assert step(step_text(parse_step(text))) == made
    assert step(step_text(to_plain(made))) == made, "with all its defaults"


def test_quantized_images_take_the_levels_exactly() -> None:
    """As data of so many levels come: k / (levels - 1), to the last bit, so that nothing is left between levels."""
    small = apply(Resize(size=5), torch.rand(40, 3, 16, 16))
    for levels in (2, 32, 256):
        after = apply(Quantize(levels=levels), small)
        k = torch.arange(levels).float().div_(levels - 1)
        assert torch.isin(after, k).all()
        assert (after - small).abs().max() <= 0.5 / (levels - 1) + 1e-6
        assert torch.equal(apply(Quantize(levels=levels), after), after)
    assert not torch.isin(small, torch.arange(256) / 255).all(), "resizing leaves the levels"


def test_a_crop_is_the_middle_and_fits() -> None:
    image = torch.arange(48.0).view(1, 1, 6, 8)
    assert torch.equal(apply(Crop(size=4), image), image[:, :, 1:5, 2:6])
    with pytest.raises(UsageError, match="cannot cut 7 x 7 pixels out of an image of"):
        Crop(size=7).fields(RGB)


def test_normalize_is_per_channel() -> None:
    image = torch.rand(2, 3, 4, 4)
    found = apply(Normalize(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0)), image)
    for c, (mean, std) in enumerate(((0.1, 1), (0.2, 2), (0.3, 4))):
        assert torch.allclose(found[:, c], (image[:, c] - mean) / std)
    assert torch.allclose(apply(Normalize(mean=0.5, std=0.5), image), 2 * image - 1)
    with pytest.raises(UsageError, match="2 values of mean, and images have 3 channels"):
        Normalize(mean=(0.1, 0.2), std=1.0).fields(RGB)
    with pytest.raises(RecordError):
        Normalize(mean=0.0, std=0.0)


def test_invert_twice_is_nothing() -> None:
    ink = torch.tensor([[[[0.0, 1.0]]]])
    assert apply(Invert(), ink).flatten().tolist() == [1, 0]


# Rotation.


def slowly_rotated(image: Tensor, degrees: float) -> Tensor:
    """One image [C, H, W], pixel by pixel: where it comes from is the place turned back; x to the right, y up."""
    _, h, w = image.shape
    turned = torch.zeros_like(image)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for row in range(h):
        for column in range(w):
            x, y = column - (w - 1) / 2, (h - 1) / 2 - row
            u, v = cos * x + sin * y + (w - 1) / 2, (h - 1) / 2 - (-sin * x + cos * y)
            for i in (math.floor(v), math.floor(v) + 1):
                for j in (math.floor(u), math.floor(u) + 1):
                    if 0 <= i < h and 0 <= j < w:
                        turned[:, row, column] += (1 - abs(v - i)) * (1 - abs(u - j)) * image[:, i, j]
    return turned


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 450])
def test_quarter_turns_are_exact_and_counterclockwise(degrees: int) -> None:
    image = torch.rand(3, 2, 6, 6)
    turned = apply(Rotate(degrees=degrees), image)
    assert torch.equal(turned, image.rot90(degrees // 90, (2, 3)))
    assert torch.allclose(turned[0], slowly_rotated(image[0], degrees), atol=1e-5)
    if degrees == 90:
        corner = torch.zeros(1, 1, 3, 5)
        corner[0, 0, 0, 4] = 1  # top right
        assert apply(Rotate(degrees=90), corner)[0, 0].nonzero().tolist() == [[0, 0]], "now top left"


@pytest.mark.parametrize("degrees", [30.0, -45.0, 200.0])
@pytest.mark.parametrize("shape", [(2, 1, 7, 7), (2, 3, 5, 9)])
def test_other_angles_are_bilinear(degrees: float, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    turned = apply(Rotate(degrees=degrees), image)
    for one, whole in zip(turned, image, strict=True):
        assert torch.allclose(one, slowly_rotated(whole, degrees), atol=1e-4)


def test_each_image_has_its_own_angle_within_the_range() -> None:
    """A point on the right edge, and where it goes: uniform angles, both ways, in training's draws."""
    image = torch.zeros(4000, 1, 33, 33)
    image[:, :, 16, 28:31] = 1
    turned = apply(Rotate(range=60), image, torch.Generator().manual_seed(1))
    y, x = torch.meshgrid(16 - torch.arange(33.0), torch.arange(33.0) - 16, indexing="ij")
    mass = turned[:, 0].sum((1, 2))
    angle = torch.atan2((turned[:, 0] * y).sum((1, 2)) / mass, (turned[:, 0] * x).sum((1, 2)) / mass).rad2deg()
    assert angle.abs().max() < 61 and angle.max() > 58 and angle.min() < -58
    assert abs(angle.mean()) < 4 * 120 / 12**0.5 / 4000**0.5
    assert abs(angle.std() - 120 / 12**0.5) < 1.5


def test_evaluation_turns_each_image_the_same_way_every_time() -> None:
    image = torch.rand(6, 1, 8, 8)
    made = Rotate(range=90, seed=3)
    assert torch.equal(apply(made, image), apply(made, image, evaluation_generator([made])))
    assert not torch.equal(apply(made, image), apply(Rotate(range=90, seed=4), image))


def test_the_seed_of_evaluation_is_that_of_the_step_that_draws() -> None:
    def first(*texts: str) -> float:
        return float(torch.rand((), generator=evaluation_generator([step(text) for text in texts])))

    assert first("rotate:degrees=90", "binarize:seed=5") == first("binarize:seed=5") != first("binarize:seed=0")
    assert first("binarize:mode=threshold,seed=7", "rotate:range=9,seed=5") == first("binarize:seed=5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rotat:degrees=90", r"here: input: no step named 'rotat'. Did you mean 'rotate'\?"),
        ("rotate", "either degrees or range"),
        ("rotate:degrees=90,range=4", "either degrees or range"),
        ("rotate:range=200", "range"),
        ("quantize:levels=1", "levels"),
        ("crop", "size"),
        ("normalize:mean=0.5", "std"),
        ("flip", "no step named 'flip'"),
    ],
)
def test_a_step_that_cannot_be_is_named(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message) as error:
        step(text)
    assert "\n" not in error.value.message


@pytest.mark.parametrize("text", EXAMPLES)
def test_data_without_images_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="needs a field 'image', and the data have: vector"):
        step(text).fields({"vector": Field(kind="vector", shape=(4,))})


def test_other_fields_pass_through() -> None:
    label: Any = torch.arange(5)
    for text in EXAMPLES:
        after = step(text).apply({"image": torch.rand(5, 3, 6, 8), "label": label}, RGB, None)
        assert after["label"] is label and set(after) == {"image", "label"}
