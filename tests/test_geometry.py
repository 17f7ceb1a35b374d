"""Steps that move pixels: masks and boxes move as the pixels under them do, and what cannot move is refused.

Boxes are proved by painting: each box is painted into a mask of its own, the mask is moved pixel by pixel, and the
moved box must be the bounding box of what is left of the paint.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.batches import micro_batches
from zoo_core.interfaces.fields import Field, Kind
from zoo_core.interfaces.step import Step, fields_after
from zoo_core.steps.augmentation import Cutout, Flip, RandomCrop
from zoo_core.steps.preprocessing import Binarize, Crop, Invert, Normalize, Quantize, Resize, Rotate

H, W, IGNORE = 6, 9, 255
FIELDS = {
    "image": Field(kind="image", shape=(1, H, W), range=(0, 1)),
    "mask": Field(kind="mask", shape=(H, W), dtype="int64", ignore=IGNORE),
    "label": Field(kind="label", dtype="int64"),
    "boxes": Field(kind="boxes", shape=(4,), index="image_index"),
    "kind": Field(kind="label", dtype="int64", index="image_index"),  # of each box, packed with it
    "paint": Field(kind="mask", shape=(H, W), dtype="int64", ignore=IGNORE, index="paint_index"),
}
COUNTS = [3, 0, 5, 1, 0, 4]  # boxes of each image

# Steps that move whole pixels.
EXACT: dict[str, Step] = {
    "flip": Flip(),
    "flip all": Flip(p=1.0),
    "random crop": RandomCrop(padding=3),
    "random crop far": RandomCrop(padding=20),
    "crop": Crop(size=5),
    "crop wide": Crop(size=(2, 8)),
    "crop to the same": Crop(size=(H, W)),
    **{f"rotate {degrees}": Rotate(degrees=degrees) for degrees in (0, 90, 180, 270, -90, 450)},
}
exact = pytest.mark.parametrize("step", EXACT.values(), ids=EXACT)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def painted(boxes: Tensor) -> Tensor:
    """A mask for each box of whole numbers, 1 inside, [N, H, W] int64."""
    masks = torch.zeros(len(boxes), H, W, dtype=torch.int64)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    return masks


def batch_of(counts: list[int] = COUNTS, seed: int = 0) -> dict[str, Any]:
    """Images of noise, masks of the same pixels, and boxes of whole numbers, some along the border."""
    generator = seeded(seed)
    n, index = sum(counts), torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    sides = []
    for size in (W, H):
        first = torch.randint(0, size, (n,), generator=generator)
        sides.append((first, first + 1 + (torch.rand(n, generator=generator) * (size - first)).long()))
    (left, right), (top, bottom) = sides
    boxes = torch.stack([left, top, right, bottom], 1).float()
    mask = torch.randint(0, 7, (len(counts), H, W), generator=generator)
    return {
        "image": mask[:, None].float(),
        "mask": mask,
        "label": torch.arange(len(counts)),
        "boxes": boxes,
        "kind": torch.arange(n),
        "image_index": index,
        "paint": painted(boxes),
        "paint_index": index.clone(),
    }


def bounds(mask: Tensor) -> list[float] | None:
    """The box around the 1s of a mask [H, W]; None where there is none."""
    rows, columns = (mask == 1).nonzero(as_tuple=True)
    if not len(rows):
        return None
    return [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


# Whole pixels.


@exact
def test_a_mask_moves_as_the_pixels_of_its_image_do(step: Step) -> None:
    """The mask holds what the image holds; pixels that come in are black there, and ignored here."""
    batch = batch_of()
    after = step.apply(batch, FIELDS, seeded(1))
    shown = after["image"][:, 0]
    assert after["mask"].dtype == torch.int64 and after["mask"].shape == shown.shape
    outside = after["mask"] == IGNORE
    assert torch.equal(torch.where(outside, 0, after["mask"]), shown.long())
    inside = step.apply(batch | {"image": torch.ones(6, 1, H, W)}, FIELDS, seeded(1))["image"][:, 0]
    assert torch.equal(outside, inside == 0), "and no pixel of the image itself is"
    assert after["label"] is batch["label"]


@exact
@pytest.mark.parametrize("seed", range(5))
def test_a_box_is_the_bounding_box_of_what_is_left_of_it(step: Step, seed: int) -> None:
    batch = batch_of(seed=seed)
    after = step.apply(batch, FIELDS, seeded(seed))
    expected = {row: box for row, mask in enumerate(after["paint"]) if (box := bounds(mask)) is not None}
    assert after["kind"].tolist() == list(expected), "what is packed with a box goes with it"
    assert after["boxes"].tolist() == list(expected.values())
    assert torch.equal(after["image_index"], batch["image_index"][list(expected)])
    assert torch.equal(after["paint_index"], batch["paint_index"]), "another index keeps its rows"


def test_the_classic_cases_of_a_cut() -> None:
    """One inside, one cut, one outside, and one that touches the border from outside."""
    boxes = torch.tensor([[3.0, 2.0, 5.0, 4.0], [0.0, 0.0, 4.5, 3.0], [0.0, 0.0, 1.0, 6.0], [0.0, 1.0, 2.0, 5.0]])
    batch = {
        "image": torch.rand(1, 1, 6, 8),
        "boxes": boxes,
        "kind": torch.arange(4),
        "image_index": torch.zeros(4).long(),
    }
    after = Crop(size=4).apply(batch, FIELDS, None)  # rows 1 to 5, columns 2 to 6
    assert after["kind"].tolist() == [0, 1]
    assert after["boxes"].tolist() == [[1, 1, 3, 3], [0, 0, 2.5, 2]]
    assert torch.equal(boxes[1], torch.tensor([0, 0, 4.5, 3])), "what came in is as it was"


@pytest.mark.parametrize("step", [*EXACT.values(), Resize(size=4)], ids=repr)
def test_images_without_a_box_are_no_special_case(step: Step) -> None:
    for counts in ([0, 0, 0], [0, 2, 0]):
        after = step.apply(batch_of(counts), FIELDS, seeded())
        assert after["boxes"].shape == (len(after["image_index"]), 4) and len(after["image"]) == 3
    assert step.apply(batch_of([0, 0]), FIELDS, seeded())["boxes"].shape == (0, 4)


def test_four_quarter_turns_are_none() -> None:
    batch = batch_of()
    after: Mapping[str, Any] = batch
    for _ in range(4):
        after = Rotate(degrees=90).apply(after, FIELDS, None)
    assert all(torch.equal(after[name], batch[name]) for name in batch)
    other = Rotate(degrees=-90).apply(Rotate(degrees=90).apply(batch, FIELDS, None), FIELDS, None)
    assert all(torch.equal(other[name], batch[name]) for name in batch)


def test_two_flips_are_none() -> None:
    batch, flip = batch_of(), Flip(p=1.0)
    after = flip.apply(flip.apply(batch, FIELDS, seeded()), FIELDS, seeded())
    assert all(torch.equal(after[name], batch[name]) for name in batch)


def test_a_border_that_reflects_shows_a_mask_as_it_shows_the_image() -> None:
    fields = {name: FIELDS[name] for name in ("image", "mask")}
    batch = {name: batch_of()[name] for name in fields}
    after = RandomCrop(padding=5, mode="reflect").apply(batch, fields, seeded(4))
    assert torch.equal(after["mask"], after["image"][:, 0].long()) and not torch.equal(after["mask"], batch["mask"])


def test_what_is_left_after_a_cut_can_be_cut_into_micro_batches() -> None:
    after = RandomCrop(padding=20).apply(batch_of(), FIELDS, seeded(3))
    packed = {"boxes": "image_index", "kind": "image_index", "paint": "paint_index"}
    parts = [part["x"] for part in micro_batches({"x": after}, 3, {"x": packed})]
    assert 0 < len(after["boxes"]) < sum(COUNTS)
    assert torch.equal(torch.cat([part["boxes"] for part in parts]), after["boxes"])
    owners = torch.cat([part["label"][part["image_index"]] for part in parts])
    assert torch.equal(owners, after["image_index"])


# Other sizes and angles.


def nearest(new: int, old: int, i: int) -> int:
    """The old pixel whose centre is nearest to the centre of new pixel i; of two, the later one."""
    place = Fraction(2 * i + 1, 2) * old / new
    return max(range(old), key=lambda j: (-abs(Fraction(2 * j + 1, 2) - place), j))


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 4), (12, 18), (7, 5), (H, W), (13, 2)])
def test_a_resized_mask_takes_the_nearest_pixel(size: tuple[int, int]) -> None:
    """Half of the size puts centres between two pixels."""
    batch = batch_of()
    found = Resize(size=size).apply(batch, FIELDS, None)["mask"]
    for i in range(size[0]):
        for j in range(size[1]):
            assert torch.equal(found[:, i, j], batch["mask"][:, nearest(size[0], H, i), nearest(size[1], W, j)])
    half = torch.nn.functional.interpolate(batch["mask"][:, None].double(), size, mode="nearest-exact")[:, 0]
    assert torch.equal(found, half.long())


def test_resized_boxes_are_scaled_by_both_factors_and_the_whole_image_stays_whole() -> None:
    batch = batch_of()
    batch["boxes"][0] = torch.tensor([0.0, 0.0, W, H])
    after = Resize(size=7).apply(batch, FIELDS, None)
    expected = [[a * 7 / W, b * 7 / H, c * 7 / W, d * 7 / H] for a, b, c, d in batch["boxes"].tolist()]
    torch.testing.assert_close(after["boxes"], torch.tensor(expected), rtol=1e-6, atol=0)
    assert after["boxes"][0].tolist() == [0, 0, 7, 7]
    assert torch.equal(after["kind"], batch["kind"]) and torch.equal(after["image_index"], batch["image_index"])
    assert after["image"].shape == (6, 1, 7, 7) and after["mask"].shape == (6, 7, 7)


@pytest.mark.parametrize("step", [Rotate(degrees=30), Rotate(degrees=-100.5), Rotate(range=80, seed=3)], ids=repr)
def test_a_turned_mask_takes_the_nearest_pixel_and_ignores_what_comes_in(step: Rotate) -> None:
    fields = {name: FIELDS[name] for name in ("image", "mask")}
    mask = torch.arange(1, 6 * H * W + 1).view(6, H, W)  # each pixel another number
    after = step.apply({"image": torch.rand(6, 1, H, W), "mask": mask}, fields, None)["mask"]
    compared = 0
    for k, degrees in enumerate(step.random_parameters(6, None).tolist()):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        for row in range(H):
            for column in range(W):
                x, y = column - (W - 1) / 2, (H - 1) / 2 - row
                u, v = cos * x + sin * y + (W - 1) / 2, (H - 1) / 2 + sin * x - cos * y
                if max(abs(u % 1 - 0.5), abs(v % 1 - 0.5)) > 0.499 or min(abs(u % 1 - 0.5), abs(v % 1 - 0.5)) < 1e-3:
                    continue  # between two pixels, float32 decides
                i, j = round(v), round(u)
                expected = int(mask[k, i, j]) if 0 <= i < H and 0 <= j < W else IGNORE
                assert after[k, row, column] == expected
                compared += 1
    assert compared > 0.9 * 6 * H * W and (after == IGNORE).any()


# Fields.


@pytest.mark.parametrize("step", [*EXACT.values(), Resize(size=4), Resize(size=(3, 11))], ids=repr)
def test_the_fields_say_what_the_batch_holds_after_a_step(step: Step) -> None:
    fields, after = fields_after([step], FIELDS), step.apply(batch_of(), FIELDS, seeded())
    for name in ("image", "mask", "paint"):
        assert tuple(after[name].shape[1:]) == fields[name].shape
    assert fields["boxes"] == FIELDS["boxes"] and fields["mask"].ignore == IGNORE


def fields(**changed: Field | None) -> dict[str, Field]:
    return {name: field for name, field in {**FIELDS, **changed}.items() if field is not None}


BOX = Field(kind="boxes", shape=(4,))
MASK = Field(kind="mask", shape=(H, W), dtype="int64")


@pytest.mark.parametrize(
    ("step", "data", "message"),
    [
        (Rotate(degrees=30), FIELDS, "step 'rotate' moves pixels, and 'boxes' would stay behind"),
        (Rotate(range=30), FIELDS, "'boxes' would stay behind"),
        (RandomCrop(padding=2, mode="reflect"), FIELDS, "step 'crop' moves pixels, and 'boxes' would stay behind"),
        (RandomCrop(), fields(mask=MASK), "'crop' lets pixels in from outside, and 'mask' has no value to ignore"),
        (Rotate(degrees=3), fields(mask=MASK, boxes=None), "'rotate' lets pixels in from outside, and 'mask' has no"),
        (Crop(size=2), fields(boxes=BOX), "may cut a box off, and 'boxes', one box an image, has no place for no box"),
        (Flip(), fields(boxes=Field(kind="boxes", shape=(5,))), r"boxes of 4 numbers, and 'boxes' is \(5,\)"),
        (Flip(), fields(mask=Field(kind="mask", shape=(3, W))), r"'mask' like the image, .* two sizes: \(3, 9\) and"),
    ],
)
def test_what_cannot_move_along_is_refused_in_one_line(step: Step, data: dict[str, Field], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        fields_after([step], data)
    assert "\n" not in str(error.value)


def test_a_single_box_an_image_moves_where_nothing_is_cut() -> None:
    data = fields(boxes=BOX, paint=None, kind=None)
    batch = {"image": torch.rand(2, 1, H, W), "boxes": torch.tensor([[1.0, 2, 3, 4], [0, 0, 2, 1]])}
    assert fields_after([Flip(p=1.0)], data)["boxes"] == BOX
    after = Flip(p=1.0).apply(batch, data, seeded())
    assert after["boxes"].tolist() == [[W - 3, 2, W - 1, 4], [W - 2, 0, W, 1]]


def test_a_mask_of_any_size_is_resized_to_one() -> None:
    data = {"image": Field(kind="image", shape=(3, None, None)), "mask": Field(kind="mask", shape=(None, None))}
    after = fields_after([Resize(size=8)], data)
    assert (after["image"].shape, after["mask"].shape) == ((3, 8, 8), (8, 8))
    assert fields_after([Flip()], data)["mask"].shape == (None, None)


@pytest.mark.parametrize(
    "step", [Binarize(), Invert(), Quantize(), Normalize(mean=0.5, std=0.5), Cutout(size=2)], ids=repr
)
def test_steps_that_leave_pixels_in_their_place_leave_masks_and_boxes_too(step: Step) -> None:
    batch = batch_of()
    assert fields_after([step], FIELDS).keys() == FIELDS.keys()
    after = step.apply(batch, FIELDS, seeded())
    assert all(after[name] is batch[name] for name in batch if name != "image")


def test_a_second_image_of_an_example_moves_like_the_first() -> None:
    """The two halves of a pair: a map and its photograph, an image and its depth."""
    data = {"image": FIELDS["image"], "depth": Field(kind="image", shape=(2, H, W), range=(0, 9))}
    image = torch.rand(8, 1, H, W)
    batch = {"image": image, "depth": image.repeat(1, 2, 1, 1)}
    for step in (Flip(), RandomCrop(padding=2), Resize(size=5), Rotate(range=50)):
        after = step.apply(batch, data, seeded(2))
        assert torch.equal(after["depth"], after["image"].repeat(1, 2, 1, 1))
        assert fields_after([step], data)["depth"].shape == (2, *after["image"].shape[2:])


class Shuffled(Step, kw_only=True, tag="shuffled"):
    """A step of a plugin that moves pixels and knows nothing of masks."""

    @property
    def moves(self) -> tuple[Kind, ...]:
        return ("image",)


def test_a_step_that_moves_the_image_alone_is_refused_where_there_is_more() -> None:
    assert fields_after([Shuffled()], {"image": FIELDS["image"]}) == {"image": FIELDS["image"]}
    with pytest.raises(UsageError, match="step 'shuffled' moves pixels, and 'mask' would stay behind"):
        fields_after([Shuffled()], {"image": FIELDS["image"], "mask": MASK})
