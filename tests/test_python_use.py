"""The library as people use it from Python: data in, a model, pictures out."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

import zoo_core
from zoo_core import Dataset, Field, Loss, Model, Record, TensorDataset, UsageError
from zoo_core.discovery.registry import Registry
from zoo_core.notebook import html_table
from zoo_core.pictures.grids import GAP, SMALLEST
from zoo_core.pictures.reading import open_picture
from zoo_core.releases.release import read_release
from zoo_core.steps.notation import read_steps
from zoo_core.training.train import Trained

# Data.


@pytest.fixture(scope="module")
def bits(registry: Registry) -> Dataset:
    return zoo_core.dataset("Toy_Bits", registry=registry)


def test_a_split_comes_as_tensors(bits: Dataset) -> None:
    train = bits.tensors("train")
    assert set(train) == set(bits.features)
    assert {len(values) for values in train.values()} == {bits.size("train")}
    some = bits.batch("train", torch.tensor([5, 0]))
    assert all(torch.equal(train[name][[5, 0]], some[name]) for name in train)
    with pytest.raises(UsageError, match="no split 'tain'"):
        bits.tensors("tain")


def test_batches_hold_every_example_once_in_an_order_of_their_seed(bits: Dataset) -> None:
    every = bits.tensors("train")["image"]

    def images(**options: Any) -> Tensor:
        return torch.cat([batch["image"] for batch in bits.batches("train", 7, **options)])

    assert [len(batch["image"]) for batch in bits.batches("test", 100)] == [100, 30]
    assert torch.equal(images(), every)
    shuffled = images(shuffle=True)
    assert not torch.equal(shuffled, every)
    assert torch.equal(shuffled.sum(0), every.sum(0)) and shuffled.shape == every.shape
    assert torch.equal(images(shuffle=True, seed=0), shuffled) and not torch.equal(
        images(shuffle=True, seed=1), shuffled
    )
    with pytest.raises(UsageError, match="one example at least, and not 0"):
        bits.batches("train", 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_examples_go_through_a_data_loader(bits: Dataset, workers: int) -> None:
    loader = DataLoader(bits.examples("test"), batch_size=64, num_workers=workers)
    for found, expected in zip(loader, bits.batches("test", 64), strict=True):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_example_is_a_dict_without_the_batch_axis(bits: Dataset) -> None:
    examples = bits.examples("test")
    assert len(examples) == bits.size("test")
    image = bits.tensors("test")["image"]
    assert torch.equal(examples[3]["image"], image[3]) and torch.equal(examples[-1]["image"], image[-1])
    assert len(list(examples)) == len(examples)  # which ends by an IndexError
    with pytest.raises(IndexError):
        examples[len(examples)]


def test_an_example_has_its_rows_of_a_ragged_field() -> None:
    class Boxes(TensorDataset):
        name = "boxes"

        def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
            rows = [torch.full((int(k), 4), float(k)) for k in indices]  # example k has k boxes
            index = torch.repeat_interleave(torch.arange(len(indices)), indices)
            return {"image": indices.float().view(-1, 1, 1, 1), "boxes": torch.cat(rows), "image_index": index}

    features = {
        "image": Field(kind="image", shape=(1, 1, 1)),
        "boxes": Field(kind="boxes", shape=(4,), index="image_index"),
    }
    examples = Boxes(features, {"train": {"image": torch.zeros(4)}}).examples("train")
    assert [len(example["boxes"]) for example in examples.__getitems__([2, 0, 3])] == [2, 0, 3]
    assert set(examples[2]) == {"image", "boxes"} and (examples[2]["boxes"] == 2).all()


def test_a_data_set_says_what_it_is_in_one_line(bits: Dataset) -> None:
    assert repr(bits) == "<toy-bits: train 60, validation 25, test 130; image [1, 4, 4]>"


def test_unknown_data_are_a_clear_error(registry: Registry) -> None:
    with pytest.raises(zoo_core.UnknownName, match="Did you mean 'toy-bits'"):
        zoo_core.dataset("toy-bit", registry=registry)


# Preparing what people have.


class Seen(Model):
    """Only says what it takes."""

    def __init__(self, field: Field, *steps: dict[str, Any]) -> None:
        super().__init__(Record())
        self.field = field
        self.input = read_steps(steps, "test")
        self.scale = torch.nn.Parameter(torch.ones(()))

    def signature(self) -> dict[str, Field]:
        return {"label": Field(kind="label"), "x": self.field} if self.field.kind != "image" else {"image": self.field}


GREY = Field(kind="image", shape=(1, 8, 8), range=(0, 1))
COLOUR = Field(kind="image", shape=(3, 8, 8), range=(0, 1))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """8 x 8 grey levels, all different."""
    path = tmp_path / "levels.png"
    Image.fromarray((np.arange(64, dtype=np.uint8) * 4).reshape(8, 8)).save(path)
    return path


def test_all_ways_to_give_a_picture_give_the_same(picture: Path) -> None:
    model = Seen(GREY, {"step": "normalize", "mean": 0.5, "std": 0.25})
    with Image.open(picture) as opened:
        array = np.array(opened)
        found = [
            model.prepare(given)
            for given in (
                picture, str(picture), opened, array, array[..., None], array[None, ..., None], array / 255,
                torch.from_numpy(array), torch.from_numpy(array / 255)[None], torch.from_numpy(array)[None, None],
                [picture], (opened,),
            )
        ]  # fmt: skip
    expected = (torch.from_numpy(array)[None, None] / 255 - 0.5) / 0.25
    for x in found:
        torch.testing.assert_close(x, expected)


def test_several_pictures_make_a_batch(picture: Path) -> None:
    model = Seen(COLOUR)
    array = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    batch = model.prepare(array)
    assert batch.shape == (5, 3, 8, 8)
    torch.testing.assert_close(batch[2, 1], torch.from_numpy(array[2, :, :, 1]) / 255)
    torch.testing.assert_close(model.prepare([array[0], torch.from_numpy(array[1]).movedim(-1, 0)]), batch[:2])
    assert model.prepare([picture, array]).shape == (6, 3, 8, 8)
    assert torch.equal(model.prepare(picture)[0, 0], model.prepare(picture)[0, 2])  # grey becomes colour


def test_pictures_of_another_size_are_fitted_as_predict_does(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.effect_noise((60, 40), 80).convert("RGB").save(path)
    for model in (Seen(GREY), Seen(COLOUR), Seen(GREY, {"step": "resize", "size": 8}, {"step": "invert"})):
        expected = open_picture(path, model).x
        assert expected.shape[2:] == (8, 8)
        assert torch.equal(model.prepare(path), expected)
        with Image.open(path) as opened:
            assert torch.equal(model.prepare(np.array(opened)), expected)
            assert torch.equal(model.prepare(torch.from_numpy(np.array(opened)).movedim(-1, 0)), expected)


def test_pixels_take_the_levels_of_the_model() -> None:
    binary = Seen(Field(kind="image", shape=(1, 8, 8), range=(0, 1), levels=2))
    assert set(binary.prepare(torch.rand(4, 1, 8, 8)).unique().tolist()) == {0.0, 1.0}


def test_random_turns_are_left_out_and_the_dtype_is_the_models(picture: Path) -> None:
    model = Seen(GREY, {"step": "rotate", "range": 90}).bfloat16()
    assert torch.equal(model.prepare(picture), Seen(GREY).prepare(picture).bfloat16())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "no int"),
        ([], "no picture to prepare"),
        (np.zeros((8, 8, 8)), "not \\[8, 8, 8\\]"),
        (torch.zeros(2, 3, 1, 8, 8), "not \\[2, 3, 1, 8, 8\\]"),
        (torch.full((1, 8, 8), 2.0), "lie outside"),
        (torch.full((1, 8, 8), torch.nan), "lie outside"),
        ("no-such.png", "does not exist"),
    ],
)
def test_what_is_no_picture_is_refused(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Seen(GREY).prepare(given)


def test_numbers_become_a_batch() -> None:
    model = Seen(Field(kind="vector", shape=(3,)))
    expected = torch.tensor([[1.0, 2.0, 3.0]])
    for given in ([1, 2, 3], (1.0, 2, 3), np.array([1, 2, 3]), torch.tensor([[1, 2, 3]])):
        found = model.prepare(given)
        assert torch.equal(found, expected) and found.dtype == torch.float32
    assert model.prepare(np.ones((7, 3))).shape == (7, 3)
    with pytest.raises(UsageError, match=r"takes \[3\] for an example, and this is \[4\]"):
        model.prepare([1, 2, 3, 4])
    with pytest.raises(UsageError, match="no numbers"):
        model.prepare("three")


# Showing.


def test_show_gives_a_picture_of_a_grid() -> None:
    images = torch.rand(4, 1, 28, 28)
    picture = zoo_core.show(images)
    assert isinstance(picture, Image.Image)
    assert picture.size == (2 * (SMALLEST + GAP) + GAP,) * 2
    assert np.array(picture)[GAP, GAP, 0] == round(images[0, 0, 0, 0].item() * 255)
    labelled = zoo_core.show(images, labels=[0, 1, 2, 3], title="four", columns=4)
    assert labelled.height < picture.height and labelled.width > picture.width


def test_show_takes_what_holds_images() -> None:
    image = torch.rand(3, 28, 28)
    expected = zoo_core.show(image[None]).tobytes()
    for given in (image, [image], image.movedim(0, -1).numpy(), image.requires_grad_()):
        assert zoo_core.show(given).tobytes() == expected
    with pytest.raises(UsageError, match="no image to show"):
        zoo_core.show([])
    with pytest.raises(UsageError, match="2 images and 1 labels"):
        zoo_core.show([image, image], labels=["a"])
    with pytest.raises(UsageError, match="differ in size"):
        zoo_core.show([image, torch.rand(1, 28, 28)])


# Models.


def test_names_of_models_are_texts_that_load_takes(registry: Registry, toy_release: Path) -> None:
    names = zoo_core.list_models("toy*", registry=registry)
    assert "toy.bits" in names and all(type(name) is str for name in names)
    assert zoo_core.load(names[names.index("toy.bits")], registry=registry)


def test_a_dtype_is_one_of_torch_or_its_name(registry: Registry, toy_release: Path) -> None:
    for dtype in ("bfloat16", torch.bfloat16):
        model = zoo_core.load("toy", dtype=dtype, registry=registry)
        assert next(model.parameters()).dtype == torch.bfloat16
        assert model.load_report is not None and model.load_report.dtype == "bfloat16"
    with pytest.raises(UsageError, match="no dtype 'int8'"):
        zoo_core.load("toy", dtype=torch.int8, registry=registry)


def test_a_reference_that_is_no_text_is_refused(registry: Registry) -> None:
    with pytest.raises(UsageError, match="not by 3"):
        zoo_core.load(3, registry=registry)


def test_a_config_value_outside_config_says_where_it_goes(registry: Registry) -> None:
    with pytest.raises(UsageError, match="no argument 'height'") as error:
        zoo_core.create("toy", height=5, registry=registry)
    assert "config={'height': 5}" in str(error.value)


def test_a_loss_of_a_sum_is_differentiated_as_a_mean() -> None:
    weight = torch.ones(3, requires_grad=True)
    Loss((weight * torch.arange(3.0)).sum(), 4).backward()
    assert weight.grad is not None and weight.grad.tolist() == [0.0, 0.25, 0.5]


# Training, and what is shown.


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return zoo_core.train("toy", data="toy-bits", epochs=2, output=folder, registry=registry)


def test_training_gives_the_model_and_its_release(trained: Trained) -> None:
    assert trained.folder.name == "mine" and trained.release == read_release(trained.folder)
    assert not trained.model.training and trained.model.load_report is not None
    assert [row["epoch"] for row in trained.curve] == [1, 2]
    assert trained.best == min((row["validation"] for row in trained.curve), key=lambda numbers: numbers["nll"])
    assert trained.metrics == trained.release.metrics and trained.metrics[0].metric == "nll"


def test_training_into_a_folder_without_a_slash_gives_its_model(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert zoo_core.train("toy", data="toy-bits", steps=1, output="toy", registry=registry).model.log_prob is not None


def test_a_wrong_argument_of_training_is_a_clear_error(registry: Registry, tmp_path: Path) -> None:
    def train(**more: Any) -> None:
        zoo_core.train("toy", data="toy-bits", output=tmp_path / "run", registry=registry, **more)

    with pytest.raises(UsageError, match="Did you mean 'epochs'"):
        train(epoch=3)
    with pytest.raises(UsageError, match="config value of toy") as error:
        train(epochs=1, height=5)
    assert "config={'height': …}" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_comes_back_prints_short(trained: Trained, registry: Registry, toy_release: Path) -> None:
    evaluation = zoo_core.evaluate("toy", limit=20, registry=registry)
    comparison = zoo_core.compare(["toy", "toy"], limit=20, registry=registry)
    for found in (trained, trained.release, evaluation, *evaluation.metrics, comparison, comparison.rows[0]):
        assert len(repr(found)) < 1000
    assert repr(trained).startswith(f"<toy in {trained.folder}: nll ")
    assert repr(evaluation).startswith("<toy.bits: nll ") and "other data" in repr(evaluation)
    assert repr(comparison).splitlines()[0] == "model\tparameters\tnll\tbits_per_dim"


def test_a_notebook_shows_tables_and_the_curve(trained: Trained, registry: Registry, toy_release: Path) -> None:
    shown = zoo_core.evaluate("toy", limit=20, registry=registry)._repr_html_()
    assert shown.count("<tr>") == 1 + 2 and "<td>other data</td>" in shown
    assert zoo_core.compare(["toy", "toy"], limit=20, registry=registry)._repr_html_().count("<tr>") == 3
    assert "data:image/png;base64,iVBOR" in trained._repr_html_()
    assert html_table(["<a>"], [["b & c"]]).count("&lt;a&gt;") == 1


def test_training_is_silent_where_nobody_watches(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo_core.train("toy", data="toy-bits", epochs=1, output=tmp_path / "silent", registry=registry)
    assert capsys.readouterr() == ("", "")
    zoo_core.train("toy", data="toy-bits", epochs=1, output=tmp_path / "told", registry=registry, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 1: " in err and "test: nll" in err


class Kernel:
    """What `IPython` is in a notebook: keeps what is shown."""

    kernel = object()

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, html: str, *, display_id: bool) -> "Kernel":
        assert display_id
        self.update(html)
        return self

    def update(self, html: str) -> None:
        self.shown.append(html)


def test_a_notebook_shows_how_far_training_is(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Kernel()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.__dict__.update(get_ipython=lambda: notebook, display=display)
    display.__dict__.update(HTML=str, display=notebook.display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("zoo_core.notebook.BETWEEN_UPDATES", 0.0)
    zoo_core.train("toy", data="toy-bits", epochs=2, output=tmp_path / "run", registry=registry)
    bars = [html for html in notebook.shown if "<progress" in html]
    assert len(bars) > 2 and "loss" in bars[0]
    assert notebook.shown[-1] == ""  # nothing is left of it
    out, err = capsys.readouterr()
    assert err == "" and "epoch 2: " in out  # red is for errors
