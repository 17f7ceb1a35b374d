"""folder:PATH: what becomes of a user's own images, and what is said of a folder that cannot be used."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core import DataError, Registry, UsageError, default_registry
from zoo_data.folder import Folder

RED, BLUE = (255, 0, 0), (0, 0, 255)
Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves an image below `pets`: an Image, an array, or a grey level for 6 x 4 pixels of it."""

    def write(place: str, content: object = 0, **options: object) -> Path:
        file = tmp_path / "pets" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            content = np.full((4, 6), content, np.uint8)
        image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
        image.save(file, **options)
        return file

    return write


def opened(tmp_path: Path, options: str = "") -> Folder:
    return Folder(data_file=tmp_path / f"pets{options}")


def level(data: Folder, split: str) -> list[int]:
    """The first pixel of each image of a split: which it is, where `save` was given its number."""
    images = data.batch(split, torch.arange(data.size(split)))["image"]
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


def test_eighty_ten_ten_of_a_permutation(save: Save, tmp_path: Path) -> None:
    for i in range(40):
        save(f"{i:03}.png", i)
    data = opened(tmp_path)
    assert data.splits == ("train", "validation", "test")
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    assert level(data, "validation") == order[:4] and level(data, "test") == order[4:8]
    assert level(data, "train") == order[8:]
    assert set(data.features) == {"image"} and data.features["image"].shape == (1, 4, 6)
    assert data.name == "folder:pets"


def test_a_subfolder_is_a_class_by_its_name(save: Save, tmp_path: Path) -> None:
    for i in range(10):
        save(f"cat/{i}.png", 2 * i)
        save(f"Ant/deep/er/{i}.png", 2 * i + 1)
    save("dog/only.png", 101)
    (tmp_path / "pets" / "empty").mkdir()
    (tmp_path / "pets" / ".git").mkdir()
    (tmp_path / "pets" / "notes.txt").write_text("no image")
    (tmp_path / "pets" / "cat" / "._0.png").write_bytes(b"what other systems leave behind")
    data = opened(tmp_path)
    assert data.features["label"].classes == ("Ant", "cat", "dog")
    seen = []
    for split in data.splits:
        labels = data.batch(split, torch.arange(data.size(split)))["label"]
        assert labels.dtype == torch.int64
        for pixel, label in zip(level(data, split), labels.tolist(), strict=True):
            assert label == (2 if pixel == 101 else (pixel + 1) % 2)
            seen.append(pixel)
    assert sorted(seen) == [*range(20), 101], "each image once, over all splits"


@pytest.mark.parametrize("name", ["validation", "val"])
def test_subfolders_may_be_the_splits(name: str, save: Save, tmp_path: Path) -> None:
    for i in range(20):
        save(f"train/{'ab'[i % 2]}/{i}.png", i)
    for i in range(3):
        save(f"{name}/a/{i}.png", 50 + i)
    data = opened(tmp_path)
    assert sorted(level(data, "validation")) == [50, 51, 52]
    assert (data.size("train"), data.size("test")) == (18, 2), "what is missing is a tenth of train"
    assert sorted(level(data, "train") + level(data, "test")) == list(range(20))
    assert data.features["label"].classes == ("a", "b")
    save(f"{name}/c/0.png", 99)
    with pytest.raises(UsageError, match="a class that train has not"):
        opened(tmp_path)


def test_grey_stays_grey_and_one_colour_makes_all_rgb(save: Save, tmp_path: Path) -> None:
    for i in range(4):
        save(f"{i}.png", 10 * i)
    assert opened(tmp_path).features["image"].shape == (1, 4, 6)
    save("4.png", Image.new("RGB", (6, 4), RED))
    data = opened(tmp_path)
    assert data.features["image"].shape == (3, 4, 6)
    images = torch.cat([data.batch(split, torch.arange(data.size(split)))["image"] for split in data.splits])
    colours = sorted((images[:, :, 0, 0] * 255).round().int().tolist())
    assert colours == [[0, 0, 0], [10, 10, 10], [20, 20, 20], [30, 30, 30], [255, 0, 0]]
    grey = opened(tmp_path, ",channels=1")
    assert grey.features["image"].shape == (1, 4, 6) and grey.name == "folder:pets,channels=1"
    assert 76 in [pixel for split in grey.splits for pixel in level(grey, split)], "red is as bright as 0.299 of white"
    assert opened(tmp_path, ",channels=3,size=2").features["image"].shape == (3, 2, 2)


def test_what_files_hold_is_read_as_people_see_it(save: Save, tmp_path: Path) -> None:
    def pixels(image: Image.Image | np.ndarray, name: str = "0.png", **options: object) -> torch.Tensor:
        for i in range(3):
            save(f"{i}/{name}", image, **options)
        data = opened(tmp_path)
        for i in range(3):
            (tmp_path / "pets" / str(i) / name).unlink()
        return (data.batch("train", torch.arange(1))["image"][0] * 255).round().int()

    deep = np.array([[0, 255, 256, 65535]], np.uint16)
    assert pixels(deep).tolist() == [[[0, 0, 1, 255]]], "the upper 8 of 16 bits"
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 0, 255))
    assert pixels(clear).tolist() == [[[255, 0]]] * 3, "transparent is white, though its colour is black"
    assert pixels(clear.convert("LA")).tolist() == [[[255, 0]]]
    palette = Image.new("RGB", (2, 1), BLUE).quantize(2)
    assert pixels(palette)[:, 0, 0].tolist() == list(BLUE)
    assert pixels(Image.new("1", (2, 1), 1)).tolist() == [[[255, 255]]]
    photo = Image.new("RGB", (16, 8), RED)
    photo.paste(BLUE, (0, 0, 16, 4))  # the sky
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise to see it
    seen = pixels(photo, "0.jpg", exif=exif, quality=100, subsampling=0)
    assert seen.shape == (3, 16, 8)
    assert seen[2, 8, 6] > 200 and seen[0, 8, 1] > 200, "the sky is to the right"


def test_size_is_the_square_in_the_middle(save: Save, tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200
    for i, image in enumerate((wide, wide.T, wide[:, 8:16], np.tile(wide, (1, 1)))):
        save(f"{i}.png", np.ascontiguousarray(image))
    with pytest.raises(
        UsageError, match=r"several sizes: '.*0.png' has 24 x 8 and '.*1.png' has 8 x 24 pixels"
    ) as error:
        opened(tmp_path)
    assert "--size N" in str(error.value)
    data = opened(tmp_path, ",size=4")
    assert data.name == "folder:pets,size=4"
    for split in data.splits:
        for image in data.batch(split, torch.arange(data.size(split)))["image"]:
            assert image.shape == (1, 4, 4)
            assert (image[:, :, 1:3] * 255 > 150).all() or (image[:, 1:3, :] * 255 > 150).all()


@pytest.mark.parametrize("damage", ["text", "truncated", "empty"])
def test_a_file_that_cannot_be_read_is_named(damage: str, save: Save, tmp_path: Path) -> None:
    for i in range(12):
        save(f"{i:02}.jpg", Image.effect_noise((64, 64), 50))
    bad = tmp_path / "pets" / "05.jpg"
    content = bad.read_bytes()
    bad.write_bytes({"text": b"<html>Not found</html>", "truncated": content[:300], "empty": b""}[damage])
    with pytest.raises(DataError) as error:
        opened(tmp_path)
    assert str(bad) in error.value.message and "\n" not in error.value.message
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (",size=0", "size"),
        (",size=big", "size"),
        (",channels=2", "channels"),
        (",colour=1", "colour"),
        (",size=", "size"),
        (",size=3,size=4", "twice"),
    ],
)
def test_wrong_options_are_named(options: str, message: str, save: Save, tmp_path: Path) -> None:
    save("0.png")
    with pytest.raises(UsageError, match=message) as error:
        opened(tmp_path, options)
    assert "\n" not in error.value.message and error.value.hint


def test_folders_that_cannot_be_used_are_one_clear_line(save: Save, tmp_path: Path) -> None:
    def refused(path: str, *words: str) -> None:
        with pytest.raises(UsageError) as error:
            Folder(data_file=tmp_path / path)
        assert "\n" not in error.value.message and all(word in error.value.message for word in words), error.value

    save("a/0.png")
    refused("pest", "does not exist", f"Did you mean '{tmp_path / 'pets'}'?")
    refused("pest,size=4", "does not exist")
    refused("pets/a/0.png", "is not a folder")
    refused("pets", "1 images are too few", "validation and test")
    save("beside.png")
    refused("pets", "beside.png' lies beside folders of classes")
    (tmp_path / "pets" / "beside.png").unlink()
    save("train/a/0.png")
    refused("pets", "beside them 'a'")
    (tmp_path / "none" / "x").mkdir(parents=True)
    refused("none", "no images are found")
    with pytest.raises(UsageError, match="needs the path"):
        Folder()


def test_an_existing_folder_wins_over_options(tmp_path: Path) -> None:
    folder = tmp_path / "a,size=3"
    folder.mkdir()
    for i in range(3):
        Image.new("L", (5, 5), i).save(folder / f"{i}.png")
    assert Folder(data_file=folder).features["image"].shape == (1, 5, 5)


def test_the_digest_is_of_what_the_images_show(save: Save, tmp_path: Path, cache: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (5, 5), np.uint8) for i in range(8)]
    for i, image in enumerate(noise):
        save(f"{i}.png", image)
    first = {split: opened(tmp_path).data_sha256(split) for split in ("train", "validation", "test")}
    for i, image in enumerate(noise):
        save(f"{i}.png", image, compress_level=1)  # other bytes
    (tmp_path / "pets").rename(tmp_path / "pets2")
    (tmp_path / "pets2").rename(tmp_path / "pets")
    again = opened(tmp_path)
    assert {split: again.data_sha256(split) for split in first} == first
    save("3.png", 255 - noise[3])
    assert {split: opened(tmp_path).data_sha256(split) for split in first} != first


def test_images_are_decoded_once(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        save(f"{'ab'[i % 2]}/{i}.png", i)
    first = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("zoo_data.folder.decode_image", lambda *_: pytest.fail("decoded again"))
        patch.chdir(tmp_path)
        second = Folder(data_file=Path("pets"))
        assert all(first.data_sha256(split) == second.data_sha256(split) for split in first.splits)
        assert second.splits == first.splits
    os.utime(tmp_path / "pets" / "a" / "0.png", (1, 1))  # touched, so it is looked at
    monkeypatch.setattr("zoo_data.folder.decode_image", lambda *_: np.zeros((2, 2, 1), np.uint8))
    assert opened(tmp_path).features["image"].shape == (1, 2, 2)


# As a reference.


@pytest.fixture
def registry() -> Registry:
    return default_registry()


def test_the_path_in_a_reference_is_as_it_is_written(
    save: Save, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names ignore case and take _ for -, paths do not."""
    for i in range(5):
        save(f"My_Images/{i}.png", i)
    place = tmp_path / "pets" / "My_Images"
    for reference in (f"folder:{place}", f"FOLDER:{place}", "folder:My_Images,size=4"):
        monkeypatch.chdir(tmp_path / "pets")
        assert registry.open_dataset(reference).size("train") == 3
        assert registry.dataset(reference).spec.name == "folder"
    with pytest.raises(UsageError, match="so does the data file"):
        registry.open_dataset(f"folder:{place}", place)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.open_dataset("folder:~/pets/My_Images").size("test") == 1


def test_a_model_trains_resumes_and_is_measured_on_a_folder(
    save: Save, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_core.releases.recipe import RunArguments
    from zoo_core.training.finishing import finish
    from zoo_core.training.opening import resume_run, start_run

    for i in range(20):
        save(f"Some_Pets/{i}.png", np.full((4 + i, 9), 10 * i, np.uint8))
    monkeypatch.chdir(tmp_path / "pets")
    asked = RunArguments(
        model="independent", data="folder:Some_Pets,size=4", epochs=1.0, input=[{"step": "binarize"}], licence="CC0-1.0"
    )
    run = start_run(tmp_path / "run", asked, registry)
    run.close()
    monkeypatch.chdir(tmp_path)
    again = resume_run(tmp_path / "run", registry)  # from another place
    again.train()
    release = finish(again)
    assert release.recipe == msgspec.structs.replace(asked, precision="fp32"), "which it chose"
    assert release.training["data"] == "folder:Some_Pets,size=4"
    assert release.training["data_sha256"]["train"] == run.data.data_sha256("train")
    assert str(tmp_path) not in (tmp_path / "run" / "config.json").read_text(), "nobody's paths are published"
    found = zoo_core.evaluate(str(tmp_path / "run"), data="folder:pets/Some_Pets,size=4", registry=registry)
    assert {check.verdict for check in found.checks} == {"same"}
    with pytest.raises(DataError, match="'Some_Pets' does not exist") as missing:
        zoo_core.evaluate(str(tmp_path / "run"), registry=registry)
    assert missing.value.exit_code == 2


def test_size_on_the_command_line_is_the_folders(save: Save, tmp_path: Path) -> None:
    import json

    from zoo_core.cli.main import main

    for i in range(6):
        save(f"{i}.png", np.full((4 + i, 9), 40 * i, np.uint8))
    words = ["train", "independent", "--data", f"folder:{tmp_path / 'pets'}", "--size", "4", "--input", "binarize"]
    with pytest.raises(SystemExit) as done:
        main([*words, "--epochs", "1", "-o", str(tmp_path / "run")])
    assert not done.value.code
    asked = json.loads((tmp_path / "run" / "run.json").read_text())["arguments"]
    assert asked["data"] == f"folder:{tmp_path / 'pets'},size=4" and asked["input"] == [{"step": "binarize"}]
