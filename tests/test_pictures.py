"""Pictures: grids, curves, and images that people bring along."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

import zoo_core
from zoo_core.discovery.registry import default_registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import Record
from zoo_core.measuring.evaluation import fitting_metrics, measure
from zoo_core.pictures.grids import GAP, MOST_LINES, SMALLEST, WIDEST_LABEL, grid, save_grid
from zoo_core.pictures.lettering import LETTERS, LINE_HEIGHT, font_for, lines_within, text_width
from zoo_core.pictures.plots import save_curve
from zoo_core.pictures.reading import OpenPicture, open_picture, to_pil
from zoo_core.steps.notation import read_steps

GREY = Field(kind="image", shape=(1, 3, 5), range=(0, 1), levels=256)
RGB = Field(kind="image", shape=(3, 3, 5), range=(0, 1), levels=256)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(picture: Image.Image, name: str = "in.png", **options: Any) -> Path:
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def ramp(mode: str = "L") -> Image.Image:
    return Image.fromarray((np.arange(15).reshape(3, 5) * 17).astype(np.uint8)).convert(mode)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        file.load()
        return file.copy()


# Grids.


@pytest.mark.parametrize(
    ("n", "columns", "expected"),
    [(1, None, (1, 1)), (5, None, (3, 2)), (64, None, (8, 8)), (5, 5, (5, 1)), (3, 1, (1, 3))],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_a_grid_has_a_cell_for_each_image(
    n: int, columns: int | None, expected: tuple[int, int], labelled: bool, tmp_path: Path
) -> None:
    labels = [str(k) for k in range(n)] if labelled else []
    save_grid(torch.zeros(n, 1, 90, 120), tmp_path / "g.png", title="t", labels=labels, columns=columns)
    picture = opened(tmp_path / "g.png")
    across, down = expected
    height = 90 + GAP + (LINE_HEIGHT if labelled else 0)
    assert picture.size == (across * (120 + GAP) + GAP, down * height + GAP + LINE_HEIGHT)


def test_images_stand_in_reading_order_below_the_title() -> None:
    images = (torch.arange(6.0) / 10).view(6, 1, 1, 1).expand(6, 1, 90, 90)
    pixels = np.array(grid(images, title="t", columns=3).convert("L"))
    for k in range(6):
        middle = LINE_HEIGHT + GAP + k // 3 * (90 + GAP) + 45, GAP + k % 3 * (90 + GAP) + 45
        assert pixels[middle] == round(k / 10 * 255)


def test_small_images_are_enlarged_without_blur() -> None:
    pixels = np.array(grid(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).convert("L"))
    cell = pixels[GAP:, GAP:][: SMALLEST // 2, :SMALLEST]
    assert (cell[:, : SMALLEST // 2] == 0).all() and (cell[:, SMALLEST // 2 :] == 255).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_images_are_told_apart_whatever_their_colour(level: float) -> None:
    """White ones have a frame, and black ones a gap."""
    row = np.array(grid(torch.full((2, 1, 90, 90), level)).convert("L"))[GAP + 45]
    between = row[GAP + 90 : 2 * GAP + 90 - 1]
    assert between.min() < 200 and between.max() == 255


TITLE = "pixelrnn.binarized-mnist: 64 samples, seed 0, of a very long title that no picture of one digit can hold"


def dark_rows(picture: Image.Image) -> list[slice]:
    """The bands of rows in which something dark is written."""
    dark = (np.array(picture.convert("L")) < 128).any(1)
    edges = np.flatnonzero(np.diff(np.pad(dark, 1).astype(int))).tolist()
    return [slice(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]


def test_a_long_title_is_not_cut() -> None:
    picture = grid(torch.ones(1, 1, 1, 1), title=TITLE)
    dark = np.array(picture.convert("L")) < 128
    assert not dark[:, -GAP:].any() and picture.width < text_width(TITLE)
    room = picture.width - 2 * GAP
    assert " ".join(lines_within(TITLE, room)) == TITLE and all(
        text_width(line) <= room for line in lines_within(TITLE, room)
    )


def test_letters_can_be_read() -> None:
    """Those of pillow's bitmap font are 10 pixels high, and a colon vanishes before its neighbour."""
    band = dark_rows(grid(torch.ones(1, 1, 1, 1), title="Hp"))[0]
    assert band.stop - band.start >= 12 and LETTERS >= 13
    with_colon, without = (np.array(grid(torch.ones(1, 1, 1, 1), title=t).convert("L")) for t in ("64:s", "64 s"))
    assert (with_colon != without).sum() >= 4


def test_labels_are_drawn_under_their_image() -> None:
    dark = np.array(grid(torch.ones(2, 1, 90, 90), labels=["", "label"], columns=2).convert("L")) < 128
    below = dark[GAP + 90 + 1 :]
    assert not below[:, : GAP + 90].any() and below[:, GAP + 90 :].any()


@pytest.mark.parametrize(
    "label",
    ["a label longer than its image, and longer than any image has room for", "한글_파일_이름.png", "x" * 500],
)
def test_long_labels_stand_beside_each_other(label: str) -> None:
    picture = grid(torch.ones(2, 1, 28, 28), labels=[label] * 2)
    width = (picture.width - 3 * GAP) // 2
    assert width <= WIDEST_LABEL and picture.height <= SMALLEST + MOST_LINES * LINE_HEIGHT + 2 * GAP
    dark = np.array(picture.convert("L"))[GAP + SMALLEST + 1 :] < 128
    first, second = dark[:, GAP:][:, :width], dark[:, 2 * GAP + width :][:, :width]
    assert dark.any() and not dark[:, GAP + width : 2 * GAP + width].any()
    np.testing.assert_array_equal(first, second)


def test_a_line_break_in_a_label_begins_a_line() -> None:
    one, two = (grid(torch.ones(1, 1, 28, 28), labels=[label]) for label in ("a b", "a\nb"))
    assert two.height == one.height + LINE_HEIGHT


def test_names_of_files_are_the_same_however_they_are_encoded() -> None:
    assert lines_within("Cafe\u0301", 200) == lines_within("Caf\u00e9", 200) == ["Caf\u00e9"]


def test_every_letter_of_a_text_is_kept_in_lines() -> None:
    for text in (TITLE, "x" * 99, "", " a  b\n\nc "):
        lines = lines_within(text, 60)
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(text_width(line) <= 60 for line in lines)


def test_what_colours_mean_stands_below_the_images() -> None:
    picture = grid(torch.ones(1, 1, 28, 28), legend=[((255, 0, 0), "rail"), ((0, 255, 0), "a class of a long name")])
    assert picture.width >= text_width("a class of a long name") and picture.getpixel((GAP + 5, 110)) == (255, 0, 0)
    assert picture.getpixel((GAP + 5, 110 + LINE_HEIGHT)) == (0, 255, 0)


def test_the_font_is_one_that_comes_with_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    assert font_for("é → κ").getname() == ("DejaVu Sans", "Book")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ZooError, match="matplotlib, which is not installed") as error:
        grid(torch.ones(1, 1, 2, 2), title="t")
    assert error.value.hint is not None and "pip install matplotlib" in error.value.hint


def test_values_become_the_nearest_level() -> None:
    assert np.array(to_pil(torch.tensor([[[-1.0, 0.0, 0.5, 1.0, 2.0]]]))).tolist() == [[0, 0, 128, 255, 255]]
    assert to_pil(torch.zeros(3, 2, 4)).mode == "RGB" and to_pil(torch.zeros(3, 2, 4)).size == (4, 2)


def test_a_missing_folder_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folder '.*absent' does not exist"):
        save_grid(torch.zeros(1, 1, 2, 2), tmp_path / "absent" / "g.png", title="")
    assert not list(tmp_path.iterdir())


def test_images_of_several_sizes_stand_side_by_side_and_large_ones_are_reduced(tmp_path: Path) -> None:
    save_grid([torch.zeros(1, 90, 120), torch.zeros(3, 100, 90)], tmp_path / "g.png", title="t")
    assert opened(tmp_path / "g.png").size == (2 * (120 + GAP) + GAP, 100 + GAP + GAP + LINE_HEIGHT)
    large = [torch.zeros(1, 2048, 1000), torch.zeros(1, 1, 1)]
    save_grid(large, tmp_path / "h.png", title="t")
    assert opened(tmp_path / "h.png").size == (2 * (500 + GAP) + GAP, 1024 + GAP + GAP + LINE_HEIGHT)


# Images that are given.


class Seen(Model):
    """A model of images that takes what it is told."""

    def __init__(self, field: Field, *steps: dict[str, Any]) -> None:
        super().__init__(Record())
        self.field, self.input = field, read_steps(steps, "seen")

    def signature(self) -> dict[str, Field]:
        return {"image": self.field}


TURN = {"step": "rotate", "degrees": 90}


def read_for(path: Path, field: Field) -> tuple[Tensor, Tensor]:
    """The values [C, H, W] and what is opaque [1, H, W], as a model of such images takes them."""
    picture = open_picture(path, Seen(field))
    return picture.x[0], picture.opaque


def test_a_grey_image_keeps_its_values(saved: Callable[..., Path]) -> None:
    values, opaque = read_for(saved(ramp()), GREY)
    assert torch.equal(values, torch.arange(15.0).view(1, 3, 5) * 17 / 255)
    assert opaque.shape == (1, 3, 5) and opaque.all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_other_modes_are_converted(mode: str, saved: Callable[..., Path]) -> None:
    values, opaque = read_for(saved(ramp(mode)), GREY)
    expected = (ramp().convert("1") if mode == "1" else ramp()).convert("L")
    assert (values[0] * 255 - torch.from_numpy(np.array(expected)).float()).abs().max() <= 1
    assert opaque.all()


def test_an_image_of_sixteen_bits_is_scaled(saved: Callable[..., Path]) -> None:
    deep = Image.fromarray(np.full((3, 5), 128 * 257, dtype=np.uint16))
    values, _ = read_for(saved(deep), GREY)
    assert (values - 128 / 255).abs().max() < 1 / 255


def test_a_colour_image_has_three_channels(saved: Callable[..., Path]) -> None:
    picture = Image.new("RGB", (5, 3), (255, 0, 51))
    values, _ = read_for(saved(picture), RGB)
    assert values.shape == (3, 3, 5)
    assert torch.equal(values[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    grey, _ = read_for(saved(picture), GREY)
    assert grey.shape == (1, 3, 5) and 0.2 < grey[0, 0, 0] < 0.4
    assert read_for(saved(ramp()), RGB)[0].shape == (3, 3, 5)


def test_transparent_pixels_are_unknown(saved: Callable[..., Path]) -> None:
    picture = ramp("RGBA")
    picture.putpixel((4, 0), (9, 9, 9, 0))
    picture.putpixel((0, 2), (9, 9, 9, 127))
    picture.putpixel((1, 2), (9, 9, 9, 128))
    _, opaque = read_for(saved(picture), GREY)
    assert (~opaque).nonzero().tolist() == [[0, 0, 4], [0, 2, 0]]


@pytest.mark.parametrize("levels", [2, 17])
def test_values_are_rounded_to_the_levels_of_the_model(levels: int, saved: Callable[..., Path]) -> None:
    values, _ = read_for(saved(ramp()), Field(kind="image", shape=(1, 3, 5), levels=levels))
    scaled = values * (levels - 1)
    assert torch.equal(scaled, scaled.round()) and len(values.unique()) <= levels


def fit(path: Path, size: tuple[int, int]) -> Tensor:
    """The grey picture as pillow fits it: the short side resized, and the middle cut out."""
    with Image.open(path) as picture:
        fitted = ImageOps.fit(picture.convert("L"), size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted))[None] / 255


@pytest.mark.parametrize("size", [(3, 5), (5, 4), (1, 1), (50, 31), (12, 90)])
def test_an_image_of_another_size_is_fitted(size: tuple[int, int], saved: Callable[..., Path]) -> None:
    path = saved(Image.effect_noise(size, 90))
    values, opaque = read_for(path, GREY)
    torch.testing.assert_close(values, fit(path, (5, 3)), rtol=0, atol=1.01 / 255)
    assert opaque.shape == (1, 3, 5) and opaque.all()


def where(picture: OpenPicture, x: float, y: float) -> list[float]:
    """Where a point that the model sees is in the picture."""
    return (picture.scale * torch.tensor([x, y]) + picture.offset).tolist()


def test_every_point_that_the_model_sees_is_known_in_the_picture(saved: Callable[..., Path]) -> None:
    path, square = saved(Image.new("L", (60, 40))), Field(kind="image", shape=(1, 8, 8))
    fitted = open_picture(path, Seen(square))  # the middle, 40x40, made five times as small
    assert where(fitted, 0, 0) == pytest.approx([10, 0], abs=1e-9) and where(fitted, 8, 8) == pytest.approx([50, 40])
    squeezed = open_picture(path, Seen(square, {"step": "resize", "size": 8}))
    assert where(squeezed, 0, 0) == pytest.approx([0, 0], abs=1e-4) and where(squeezed, 8, 8) == pytest.approx([60, 40])
    steps: list[dict[str, Any]] = [{"step": "resize", "size": 20}, {"step": "crop", "size": 8}]
    cut = open_picture(path, Seen(square, *steps))
    assert where(cut, 0, 0) == pytest.approx([18, 12]) and where(cut, 8, 8) == pytest.approx([42, 28])
    whole = open_picture(path, Seen(Field(kind="image", shape=(1, None, None))))
    assert whole.x.shape == (1, 1, 40, 60) and where(whole, 7, 9) == pytest.approx([7, 9])


def test_what_is_shown_is_what_the_model_sees_before_numbers_change(saved: Callable[..., Path]) -> None:
    path = saved(Image.effect_noise((60, 40), 90))
    steps: list[dict[str, Any]] = [{"step": "rotate", "degrees": 90}, {"step": "normalize", "mean": 0.5, "std": 0.1}]
    picture = open_picture(path, Seen(Field(kind="image", shape=(1, None, None)), *steps))
    torch.testing.assert_close((picture.shown[None] - 0.5) / 0.1, picture.x)
    with Image.open(path) as file:
        turned = np.rot90(np.array(file)).copy()
    assert torch.equal(picture.shown[0], torch.from_numpy(turned) / 255)


def test_transparency_moves_with_the_pixels(saved: Callable[..., Path]) -> None:
    picture = Image.new("RGBA", (40, 20), "black")
    picture.paste((0, 0, 0, 0), (0, 0, 20, 20))  # the left half
    turn: dict[str, Any] = {"step": "rotate", "degrees": 90}
    opened = open_picture(saved(picture), Seen(Field(kind="image", shape=(1, None, None)), turn))
    assert opened.opaque[0, :20].all() and not opened.opaque[0, 20:].any()  # it is below
    fitted = open_picture(saved(picture), Seen(Field(kind="image", shape=(1, 10, 10))))
    assert fitted.opaque[0, :, 5:].all() and not fitted.opaque[0, :, :5].any()
    assert fitted.x[0, 0, :, 0].eq(1).all()  # shown on white


def test_a_users_steps_come_first(saved: Callable[..., Path]) -> None:
    path = saved(ramp())
    model = Seen(Field(kind="image", shape=(1, 3, 5)), {"step": "binarize", "mode": "threshold", "at": 0.3})
    inverted = open_picture(path, model, read_steps([{"step": "invert"}], "test"))
    values, _ = read_for(path, GREY)
    assert torch.equal(inverted.x[0], (1 - values > 0.3).float())
    turned = open_picture(path, Seen(Field(kind="image", shape=(1, 5, 3))), read_steps([TURN], "test"))
    assert torch.equal(turned.x[0], values.rot90(1, (1, 2)))
    with pytest.raises(UsageError, match="after normalize it is not a picture any more"):
        open_picture(path, model, read_steps([{"step": "normalize", "mean": 0, "std": 1}], "test"))


@pytest.mark.parametrize("damage", ["text", "empty", "truncated", "cut header", "folder", "absent"])
def test_what_is_no_image_is_one_clear_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        Image.new("L", (5, 3)).save(path)
        whole = path.read_bytes()
        path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-25], "cut header": whole[:20]}[damage])
    with pytest.raises(UsageError) as error:
        read_for(path, GREY)
    assert str(path) in error.value.message and "\n" not in error.value.message


def test_an_image_that_would_fill_the_memory_is_refused(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Image.new("L", (50, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ZooError):
        read_for(path, GREY)


def test_white_is_known_in_a_mask(saved: Callable[..., Path], tmp_path: Path) -> None:
    mask = Image.new("L", (5, 3), 255)
    mask.putpixel((2, 1), 0)
    mask.save(tmp_path / "mask.png")
    opaque = open_picture(saved(ramp()), Seen(GREY), known=tmp_path / "mask.png").opaque
    assert (~opaque).nonzero().tolist() == [[0, 1, 2]]
    path = saved(Image.new("L", (50, 30)))
    with pytest.raises(UsageError, match=rf"mask.png' is 5x3 pixels, and '{path}' is 50x30"):
        open_picture(path, Seen(GREY), known=tmp_path / "mask.png")


def test_a_curve_is_drawn_whatever_was_measured(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "train": {"loss": 2.0}, "validation": {"nll": 3.0}}, {"epoch": 1.5, "train": {"loss": 1.0}}]
    for k, curve in enumerate((rows[:1], [{**row, "validation": row.get("validation", {})} for row in rows])):
        save_curve(curve, tmp_path / f"{k}.png", title="a run")
        assert opened(tmp_path / f"{k}.png").size == (840, 480)


def test_metrics_draw_what_stands_behind_their_numbers(tmp_path: Path) -> None:
    registry = default_registry()
    data = registry.open_dataset("digits")
    model = zoo_core.create("mlp", config={"height": 8, "width": 8})
    metrics = fitting_metrics(model, registry, ["accuracy", "ece", "log_loss"])
    measure(model, data, "test", metrics, limit=50, pictures=tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"accuracy.png", "ece.png"}
    for path in (tmp_path / "new").iterdir():
        with Image.open(path) as picture:
            assert (
                np.asarray(picture.convert("HSV"))[..., 1].max() > 100
            )  # frame and text are grey; what is drawn is not
