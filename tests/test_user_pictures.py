"""Pictures as people have them: photographs, drawings on nothing, floats, animations; and a word where a model cannot
know them."""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

import zoo_core
from zoo_core.cli.main import SECTIONS, _import
from zoo_core.errors import OddInput, UsageError
from zoo_core.interfaces.dataset import TensorDataset
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import to_plain
from zoo_core.pictures.looks import image_statistics, looks_of, oddities, said_of
from zoo_core.pictures.reading import on_ground, open_picture
from zoo_core.steps.notation import read_steps
from zoo_core.weights.sources import locate

Zoo = Callable[..., Any]

MNIST = ImageStatistics(
    n=1000, brightness=0.13, brightness_std=0.042, contrast=0.30, constant=0, dark_ground=1, coloured=0
)
PHOTOS = ImageStatistics(
    n=1000, brightness=0.48, brightness_std=0.12, contrast=0.20, constant=0, dark_ground=0.56, coloured=0.97
)


def seven(mode: str, size: tuple[int, int], ground: Any, ink: Any) -> Image.Image:
    """A handwritten 7, as high as two thirds of the picture."""
    picture = Image.new(mode, size, ground)
    (w, h), s = size, min(size)
    points = [
        (w / 2 - 0.2 * s, h / 2 - 0.31 * s),
        (w / 2 + 0.2 * s, h / 2 - 0.31 * s),
        (w / 2 - 0.07 * s, h / 2 + 0.31 * s),
    ]
    ImageDraw.Draw(picture).line(points, fill=ink, width=round(0.08 * s), joint="curve")
    return picture


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures of a 7, in which the commands are run, and of the classifier with statistics."""
    monkeypatch.chdir(tmp_path)
    grain = np.random.default_rng(0).normal(0, 6, (900, 1200))
    paper = np.asarray(seven("L", (1200, 900), 235, 40).filter(ImageFilter.GaussianBlur(4)), dtype=np.float64)
    Image.fromarray((paper + grain).clip(0, 255).astype(np.uint8)).convert("RGB").save("photo.jpg")
    seven("RGBA", (300, 300), (255, 255, 255, 0), (255, 255, 255, 255)).save("strokes.png")
    bright = np.asarray(seven("L", (200, 300), 0, 255), dtype=np.float32) / 255
    Image.fromarray(bright).save("float.tiff")
    frames = [seven("L", (60, 60), 0, 255), Image.new("L", (60, 60), 7)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    Image.new("L", (1, 1), 200).save("dot.png")
    folder = locate("digit-classifier", zoo_core.default_registry()).folder
    shutil.copytree(folder, "classifier")
    tell(Path("classifier"), MNIST)
    return tmp_path


def tell(release: Path, images: ImageStatistics | None) -> None:
    """Let a release say what its training images look like."""
    config = json.loads((release / "config.json").read_text(encoding="utf-8"))
    config.pop("images", None)
    (release / "config.json").write_text(json.dumps(config | ({"images": to_plain(images)} if images else {})))


def best(zoo: Zoo, *arguments: str) -> tuple[str, str]:
    """The class that is predicted, and what is said."""
    code, out, err = zoo("predict", "./classifier", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)[0]["classes"][0]["class"], err


# What commands say.


def test_a_photographed_digit_is_warned_of_and_inverting_it_helps(zoo: Zoo, pictures: Path) -> None:
    _, said = best(zoo, "photo.jpg")
    (warning,) = [line for line in said.splitlines() if line.startswith("Warning")]
    assert "'photo.jpg' is dark on bright" in warning and "--input invert" in warning
    digit, said = best(zoo, "photo.jpg", "--input", "invert")
    assert digit == "7" and "Warning" not in said
    assert "'photo.jpg' was fitted: the middle 900x900 of 1200x900 pixels became 28x28." in said


@pytest.mark.parametrize("name", ["strokes.png", "float.tiff", "moving.gif"])
def test_what_can_be_read_is_read_right(name: str, zoo: Zoo, pictures: Path) -> None:
    digit, said = best(zoo, name)
    assert digit == "7" and "Warning" not in said
    assert ("has several frames: the first of 2 is taken" in said) == (name == "moving.gif")


def test_a_constant_picture_is_warned_of(zoo: Zoo, pictures: Path) -> None:
    assert "'dot.png' has one value everywhere" in best(zoo, "dot.png")[1]


def test_each_warning_is_said_once(zoo: Zoo, pictures: Path) -> None:
    _, said = best(zoo, "photo.jpg", "dot.png", "photo.jpg", "strokes.png", "photo.jpg")
    assert said.count("Warning") == 2
    assert "'photo.jpg', like 2 others, is dark on bright" in said


def test_a_release_that_says_nothing_of_its_images_is_used_without_a_word(zoo: Zoo, pictures: Path) -> None:
    tell(Path("classifier"), None)
    assert "Warning" not in best(zoo, "photo.jpg")[1]


def test_python_warns_too(pictures: Path) -> None:
    model = zoo_core.load("./classifier")
    with pytest.warns(OddInput, match=r"'photo.jpg' is dark on bright"):
        model.prepare("photo.jpg")
    with pytest.warns(OddInput, match=r"the picture is dark on bright"):
        model.prepare(seven("L", (100, 100), 255, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.logits(model.prepare("strokes.png")).argmax() == 7


def test_files_and_frames_stand_under_the_pictures(zoo: Zoo, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def save_grid(images: Any, path: Path, *, labels: list[str], **more: Any) -> None:
        seen.extend(labels)

    monkeypatch.setattr("zoo_core.pictures.grids.save_grid", save_grid)
    assert zoo("predict", "./classifier", "strokes.png", "moving.gif", "-o", "seen.png").code == 0
    assert [label.split("\n")[0] for label in seen] == ["strokes.png", "moving.gif, frame 1 of 2"]
    assert seen[0].split("\n")[1].startswith("7 ")


def commands() -> Mapping[str, click.Command]:
    return {
        name: _import(f"zoo_core.cli.{target}")
        for of_section in SECTIONS.values()
        for name, (target, _) in of_section.items()
    }


def test_every_command_that_takes_images_has_input_steps() -> None:
    taking = {
        name
        for name, command in commands().items()
        if any(
            word in (p.make_metavar(click.Context(command)) or "").upper()
            for p in command.params
            if isinstance(p, click.Argument)
            for word in ("IMAGE", "EXAMPLE", "FIRST")
        )
    }
    assert {"predict", "complete", "score", "features", "reconstruct", "interpolate", "traverse", "translate"} <= taking
    assert [name for name in taking if "--input" not in {o for p in commands()[name].params for o in p.opts}] == []


# How pictures are read.


class Seen(Model):
    """A model of images of any size."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__(zoo_core.Record())
        self.channels = channels

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(self.channels, None, None), range=(0, 1))}


@pytest.mark.parametrize(("size", "wanted"), [((1200, 900), 28), ((1000, 7), 28), ((333, 1024), 32), ((10, 10), 10)])
def test_every_size_can_be_fitted(size: tuple[int, int], wanted: int) -> None:
    class Small(Seen):
        def signature(self) -> dict[str, Field]:
            return {"image": Field(kind="image", shape=(1, wanted, wanted), range=(0, 1))}

    assert open_picture(Image.new("L", size), Small()).x.shape == (1, 1, wanted, wanted)


@pytest.mark.parametrize(
    ("ink", "known", "ground"),
    [
        (255, None, 0), (0, None, 255), (255, MNIST, 0), (0, MNIST, 255),
        (128, MNIST, 0), (128, None, 0), (127, None, 255),
        (190, PHOTOS, 0), (190, bright := ImageStatistics(**to_plain(MNIST) | {"brightness": 0.9}), 255),
        (250, bright, 0),
    ],
)  # fmt: skip
def test_transparent_parts_have_a_ground_on_which_the_rest_is_seen(
    ink: int, known: ImageStatistics | None, ground: int
) -> None:
    picture = Image.new("RGBA", (4, 4), (99, 99, 99, 0))
    picture.putpixel((1, 1), (ink, ink, ink, 255))
    shown = on_ground(picture, known).convert("L")
    assert shown.getpixel((0, 0)) == ground and shown.getpixel((1, 1)) == ink


def test_an_opaque_picture_stays_and_one_of_nothing_is_white() -> None:
    opaque = seven("RGBA", (9, 9), (1, 2, 3, 255), (200, 100, 50, 255))
    assert on_ground(opaque) == opaque
    assert on_ground(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    ("dtype", "highest", "expected"),
    [("float32", 1.0, 1.0), ("float32", 0.5, 0.5), ("float32", 255.0, 1.0), ("int32", 255, 1.0), ("int32", 65535, 1.0)],
)
def test_numbers_of_many_bits_keep_their_meaning(dtype: str, highest: float, expected: float, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, highest]], dtype=dtype)).save(tmp_path / "deep.tiff")
    x = open_picture(tmp_path / "deep.tiff", Seen()).x
    torch.testing.assert_close(x[0, 0, 0], torch.tensor([0, expected]), rtol=0, atol=1 / 255)


@pytest.mark.parametrize("values", [[0.0, 300.0], [-0.5, 0.5], [0.0, float("nan")]])
def test_numbers_without_a_known_range_are_refused(values: list[float], tmp_path: Path) -> None:
    Image.fromarray(np.array([values], dtype="float32")).save(tmp_path / "deep.tiff")
    with pytest.raises(UsageError, match=r"'.*deep\.tiff' is not an image that can be read: its values go from"):
        open_picture(tmp_path / "deep.tiff", Seen())


def test_grey_is_what_pillow_takes_for_grey() -> None:
    picture = Image.effect_noise((6, 5), 90).convert("RGB")
    picture.putpixel((0, 0), (255, 0, 51))
    grey = open_picture(picture, Seen(3), read_steps([{"step": "grey"}], "test")).x
    expected = torch.from_numpy(np.array(picture.convert("L"))) / 255
    torch.testing.assert_close(grey[0], expected.expand(3, 5, 6), rtol=0, atol=1.01 / 255)


# What images look like.


def test_looks_are_those_of_the_definition() -> None:
    images = torch.zeros(3, 3, 2, 2)
    images[0, :, 0, 0] = 1  # a bright point on black
    images[1] = 0.3  # nothing
    images[2, 0] = 1  # red
    looks = looks_of(images)
    torch.testing.assert_close(looks.brightness, torch.tensor([0.25, 0.3, 0.299]))
    torch.testing.assert_close(looks.contrast, torch.tensor([(3 / 16) ** 0.5, 0, 0]), rtol=0, atol=1e-6)
    assert looks.constant.tolist() == [False, True, True]
    assert looks.dark_ground.tolist()[0] and not looks_of(1 - images[:1]).dark_ground
    torch.testing.assert_close(looks.colour, torch.tensor([0.0, 0, 1]))


def test_statistics_are_of_all_images_where_there_are_few() -> None:
    images = torch.tensor([0, 0, 255, 255], dtype=torch.uint8)[:, None, None, None].expand(4, 1, 2, 2).contiguous()
    field = Field(kind="image", shape=(1, 2, 2), range=(0, 1), levels=256)
    found = image_statistics(TensorDataset({"image": field}, {"train": {"image": images}}), "image")
    assert found == ImageStatistics(
        n=4, brightness=0.5, brightness_std=0.5, contrast=0, constant=1, dark_ground=0, coloured=0
    )


def test_there_are_none_of_data_without_images() -> None:
    data = zoo_core.dataset("digits")
    assert image_statistics(data, "label") is None and image_statistics(data, "absent") is None


@pytest.mark.parametrize(
    ("change", "known", "word"),
    [
        (lambda x: x, MNIST, ""),
        (lambda x: 1 - x, MNIST, "dark on bright"),
        (lambda x: 0.4 * (1 - x), MNIST, "dark on bright"),  # in poor light: no brighter than a digit, but inverted
        (lambda x: 0.4 + 0.6 * x, MNIST, "unusually bright"),
        (lambda x: 0.08 + 0.05 * x, MNIST, "hardly any contrast"),
        (lambda x: 0 * x, MNIST, "one value everywhere"),
        (lambda x: x * torch.tensor([1.0, 0, 0])[:, None, None], MNIST, "in colour"),
        (lambda x: 0.2 + 0.6 * x, PHOTOS, "is grey"),
        (lambda x: (0.2 + 0.6 * x) * torch.tensor([1.0, 0.8, 0.6])[:, None, None], PHOTOS, ""),
    ],
)
def test_what_is_unlike_the_training_images_is_named(
    change: Callable[[torch.Tensor], torch.Tensor], known: ImageStatistics, word: str
) -> None:
    digit = torch.from_numpy(np.array(seven("L", (28, 28), 0, 255))).float() / 255
    (said,) = oddities(change(digit.expand(1, 3, 28, 28)), known)
    assert (word in said) and bool(said) == bool(word)


def test_one_line_says_what_is_said_of_many() -> None:
    assert said_of([("a", "was fitted: so"), ("b", "is grey"), ("c", "was fitted: otherwise")]) == [
        "'a', like 1 other, was fitted: so",
        "'b' is grey",
    ]


def test_training_records_what_its_images_look_like(tmp_path: Path) -> None:
    release = zoo_core.train("mlp", data="digits", steps=1, output=tmp_path / "run").release
    assert release.images is not None and release.images.n == 1000
    assert 0.25 < release.images.brightness < 0.35 and release.images.dark_ground > 0.9
    assert release.images.coloured == 0
    model = zoo_core.load(str(tmp_path / "run"))
    assert model.load_report is not None and model.load_report.images == release.images
