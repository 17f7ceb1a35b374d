"""zoo predict and zoo features: images of any size, classes by name, tensors in a file."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open

import zoo_core
from zoo_core.interfaces.fields import Field
from zoo_core.pictures.reading import open_picture
from zoo_core.steps.notation import read_steps


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures: of the classifier's size, larger, and wide and coloured."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = Image.effect_noise((60, 40), 80)
    sizes = {"small.png": (28, 28), "large.png": (56, 56), "wide.jpg": (60, 40)}
    for name, size in sizes.items():
        noise.resize(size).convert("RGB" if name == "wide.jpg" else "L").save(folder / name)
    return [folder / name for name in sizes]


def test_classes_come_with_their_probabilities(zoo: Any, digits: list[Path]) -> None:
    found = zoo("predict", "digit-classifier", *map(str, digits), "--top", "3", "--json")
    assert found.code == 0, found.err
    answers = json.loads(found.out)
    assert [answer["image"] for answer in answers] == [str(path) for path in digits]
    for answer in answers:
        probabilities = [row["probability"] for row in answer["classes"]]
        assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
        assert {row["class"] for row in answer["classes"]} <= set("0123456789")
    everything = json.loads(zoo("predict", "digit-classifier", str(digits[0]), "--top", "99", "--json").out)
    assert sum(row["probability"] for row in everything[0]["classes"]) == pytest.approx(1, abs=1e-5)
    plain = zoo("predict", "digit-classifier", str(digits[0]), "--top", "1", "--no-header").out
    best = answers[0]["classes"][0]
    assert plain == f"{digits[0]}\t{best['class']} {best['probability']:.3f}\n"


def test_a_picture_shows_the_images_with_their_classes(zoo: Any, digits: list[Path], tmp_path: Path) -> None:
    assert zoo("predict", "digit-classifier", *map(str, digits), "-o", str(tmp_path / "out.png")).code == 0
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size[0] > 2 * 28


def test_features_are_those_of_the_model(zoo: Any, digits: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    made = zoo("features", "digit-classifier", *map(str, digits), "--layer", "features", "-o", str(path))
    assert (made.code, "features [3, 64]" in made.err) == (0, True)
    model: Any = zoo_core.load("digit-classifier")
    with safe_open(path, "pt") as file, torch.no_grad():
        assert json.loads(file.metadata()["files"]) == [str(path) for path in digits]
        for found, image in zip(file.get_tensor("features"), digits, strict=True):
            expected = model.extract_features(open_picture(image, model).x, ["features"])["features"][0]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("predict pixelrnn {0}", "'pixelrnn' is no Classifier"),
        ("predict digit-classifier nowhere.png", "'nowhere.png' does not exist"),
        ("predict digit-classifier {0} -o out.jpg", "must end in .png"),
        ("features digit-classifier {0} -o out.pt", "must end in .safetensors"),
        ("features digit-classifier {0} --layer featurs -o out.safetensors", "no layer 'featurs'"),
    ],
)
def test_mistakes_are_one_clear_line(zoo: Any, digits: list[Path], arguments: str, words: str) -> None:
    failed = zoo(*arguments.format(digits[0]).split())
    assert failed.code == 2
    assert words in failed.err and "Traceback" not in failed.err


class Shrinks(zoo_core.Model):
    """Takes 8x8, and may make images that small itself."""

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(3, 8, 8))}


def test_the_models_own_preprocessing_sees_the_whole_image(digits: list[Path]) -> None:
    model = Shrinks(zoo_core.Record())
    middle = open_picture(digits[2], model)  # of 60x40
    assert middle.shown.shape == (3, 8, 8) and torch.equal(middle.shown[None], middle.x)
    model.input = read_steps([{"step": "resize", "size": 8}], "model")
    squeezed = open_picture(digits[2], model)  # all of it
    assert squeezed.x.shape == (1, 3, 8, 8) and not torch.equal(middle.x, squeezed.x)
    assert torch.equal(squeezed.shown[None], squeezed.x)


def test_a_step_that_disturbs_the_data_leaves_a_users_image_as_it_is(digits: list[Path]) -> None:
    model = Shrinks(zoo_core.Record())
    plain = open_picture(digits[2], model).x
    model.input = read_steps([{"step": "rotate", "range": 90, "seed": 1}], "model")
    assert torch.equal(open_picture(digits[2], model).x, plain)
    model.input = read_steps([{"step": "rotate", "degrees": 90}], "model")
    assert torch.equal(open_picture(digits[2], model).x, plain.rot90(1, (2, 3)))
