"""`zoo score`: how likely images are, how strange beside others, and where."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import DataError, UsageError
from zoo_core.interfaces.model import Model
from zoo_core.measuring import scoring
from zoo_core.measuring.scoring import ReferenceSample, open_scorer, score, score_sample, surprisal
from zoo_core.pictures.plots import save_histogram, save_maps

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)


@pytest.fixture(scope="module")
def model(registry: Registry) -> Model:
    torch.manual_seed(0)
    return zoo_core.create("toy", registry=registry, config={"start": 1.5})


def closed_form(model: Any, bits: Tensor) -> Tensor:
    """log p of independent bits, written out, [n] float64."""
    p, bits = model.logit.detach().double().sigmoid(), bits.double()
    return (bits * p.log() + (1 - bits) * (1 - p).log()).flatten(1).sum(1)


def bits(n: int, seed: int = 0) -> Tensor:
    return torch.randint(2, (n, 1, 4, 4), generator=torch.Generator().manual_seed(seed)).float()


# Scores.


def test_a_density_finds_strange_what_is_improbable(model: Model) -> None:
    x = bits(230)  # more than one batch
    found = score(model, x)
    assert found.log_prob is not None and found.log_prob.dtype == torch.float64
    torch.testing.assert_close(found.log_prob, closed_form(model, x), rtol=1e-6, atol=0)
    assert torch.equal(found.outlier_score, -found.log_prob)


class Ink(Model):
    """Finds strange whatever has much ink."""

    def outlier_score(self, x: Tensor, score: str | None = None) -> Tensor:
        return x.flatten(1).sum(1)


class InkDensity(Ink):
    def log_prob(self, x: Tensor) -> Tensor:
        return -2 * x.flatten(1).sum(1)


def test_a_model_with_a_score_of_its_own_is_asked_for_that() -> None:
    x = bits(5)
    own = score(Ink(zoo_core.Record()), x)
    assert own.log_prob is None and own.outlier_score.tolist() == x.flatten(1).sum(1).tolist()
    both = score(InkDensity(zoo_core.Record()), x)
    assert both.log_prob is not None and torch.equal(both.log_prob, -2 * both.outlier_score)
    assert torch.equal(both.outlier_score, own.outlier_score)


# Beside other images.


def test_an_equal_one_is_not_less_strange() -> None:
    sample = ReferenceSample("d", "test", 4, 0, torch.tensor([1.0, 2.0, 2.0, 3.0], dtype=torch.float64))
    assert sample.share_below(torch.tensor([0.0, 1.0, 2.0, 2.5, 3.0, math.inf])).tolist() == [0, 0, 0.25, 0.75, 0.75, 1]


def test_the_sample_is_drawn_from_all_of_the_split(registry: Registry, model: Model) -> None:
    """Not its first images: a split may be sorted by class."""
    data = registry.open_dataset("toy-bits")
    every = closed_form(model, data.batch("test", torch.arange(130))["image"])
    whole = score_sample(model, "toy-bits", "test", n=1000, registry=registry)
    torch.testing.assert_close(whole.scores, (-every).sort().values, rtol=1e-6, atol=0)
    assert str(whole) == "toy-bits test (all 130)"
    few = score_sample(model, "Toy_Bits", "test", n=40, registry=registry)
    assert len(few.scores) == 40 and few.size == 130 and str(few) == "toy-bits test (40 of 130, seed 0)"
    assert len(few.scores.unique()) > 30  # without replacement, and toy images rarely tie
    assert not torch.allclose(few.scores, (-every[:40]).sort().values)
    again, other = (score_sample(model, "toy-bits", "test", n=40, seed=seed, registry=registry) for seed in (0, 1))
    assert torch.equal(few.scores, again.scores) and not torch.equal(few.scores, other.scores)


def test_the_sample_is_preprocessed_as_the_model_says(registry: Registry, model: Model) -> None:
    other = zoo_core.create("toy", registry=registry, input=[{"step": "binarize", "mode": "threshold", "at": 0.3}])
    other.load_state_dict(model.state_dict())
    grey = registry.open_dataset("toy-grey").batch("test", torch.arange(130))["image"]
    found = score_sample(other, "toy-grey", "test", registry=registry)
    expected = -closed_form(model, grey > 0.3)
    torch.testing.assert_close(found.scores, expected.sort().values[: len(found.scores)], rtol=1e-6, atol=0)
    with pytest.raises(UsageError, match="does not fit"):
        score_sample(model, "toy-grey", "test", registry=registry)


def test_no_score_depends_on_the_batch_size(registry: Registry, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = score_sample(model, "toy-bits", "test", n=40, registry=registry).scores
    monkeypatch.setattr(scoring, "BATCH", 7)
    torch.testing.assert_close(score_sample(model, "toy-bits", "test", n=40, registry=registry).scores, reference)


# Pixel by pixel.

AUTOREGRESSIVE = {
    "independent": {},
    "markov": {"order": 2},
    "ar": {},
    "nade": {"hidden": 5},
    "pixelcnn": {"hidden": 6, "layers": 1, "head": 6},
    "pixelrnn": {"hidden": 6, "layers": 1, "head": 6},
    "pixelrnn-row": {"hidden": 6, "layers": 1, "head": 6},
}


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_the_map_of_surprise_sums_to_the_likelihood_and_looks_only_back(name: str, registry: Registry) -> None:
    torch.manual_seed(0)
    sizes = {"channels": 2, "height": 3, "width": 4, "levels": 3}
    model = zoo_core.create(name, registry=registry, config=sizes | AUTOREGRESSIVE[name]).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    if hasattr(model, "fitted"):
        model.fitted.fill_(True)
    x = torch.randint(3, (3, 2, 3, 4)).double() / 2
    maps = surprisal(model, x)
    assert maps.shape == (3, 3, 4) and (maps > 0).all()
    log_prob = score(model, x).log_prob
    assert log_prob is not None
    torch.testing.assert_close(maps.sum((1, 2)), -log_prob, rtol=1e-12, atol=0)
    changed = x.clone()
    changed[:, :, 1, 2] = 1 - changed[:, :, 1, 2].round()
    same = (surprisal(model, changed) == maps).all(0).flatten()
    assert same[:6].all() and not same[6]  # pixel (1, 2) is the seventh


def test_a_model_that_knows_no_pixels_says_so(model: Model) -> None:
    with pytest.raises(UsageError, match="single pixel"):
        surprisal(model, bits(1))


# Pictures.


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")).astype(int)


def test_a_mark_far_away_stands_at_the_edge_of_the_histogram(tmp_path: Path) -> None:
    values = torch.linspace(0, 1, 100)
    wide = {}
    for name, mark in {"near": 0.5, "far": 1e6, "endless": math.inf}.items():
        save_histogram(values, [("it", mark)], tmp_path / f"{name}.png", title="t", value_name="v")
        wide[name] = pixels(tmp_path / f"{name}.png")
    blue = {name: np.argwhere(abs(picture - [31, 119, 180]).sum(2) < 30)[:, 1] for name, picture in wide.items()}
    assert np.bincount(blue["near"]).argmax() < 0.7 * np.bincount(blue["far"]).argmax()
    grey = {name: (abs(picture - 191).sum(2) < 6).sum() for name, picture in wide.items()}
    assert grey["far"] > 0.5 * grey["near"] and grey["endless"] > 0.5 * grey["near"]  # the others are not squeezed


@pytest.mark.parametrize("n", [1, 3])
def test_a_map_stands_below_its_image(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.pictures.plots.MAPS_IN_A_ROW", 2)
    maps = torch.zeros(n, 4, 4, dtype=torch.float64)
    maps[:, :, 2:] = 1
    save_maps(torch.zeros(n, 1, 4, 4), maps, tmp_path / "m.png", title="t", labels=["a"] * n, value_name="v")
    picture = pixels(tmp_path / "m.png")
    purple, yellow = (np.argwhere(abs(picture - colour).sum(2) < 20) for colour in ([68, 1, 84], [253, 231, 37]))
    black = np.argwhere(picture.sum(2) < 5)
    assert len(purple) > 1000 * n and len(yellow) > 1000 * n
    assert np.median(purple[:, 1]) < np.median(yellow[:, 1])  # left and right
    assert np.median(black[:, 0]) < np.median(purple[:, 0])


# The command.


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with some images."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (6, 5)).save("big.png")
    Image.new("L", (4, 4), 255).save("white.png")
    Image.fromarray((np.arange(16).reshape(4, 4) * 17).astype(np.uint8)).save("ramp.png")
    Image.new("LA", (4, 4), (255, 0)).save("clear.png")
    Path("text.png").write_text("hello")
    return tmp_path


def test_the_command_says_what_the_model_says(zoo: Zoo, desk: Path, registry: Registry) -> None:
    code, out, _ = zoo("score", "toy", "white.png", "ramp.png", "--json", "--split", "test")
    found = json.loads(out)
    assert code == 0 and found["reference"] == "toy.bits" and "log p(x)" in found["outlier_score"]
    assert found["against"] == {"dataset": "toy-bits", "split": "test", "n": 130, "size": 130, "seed": 0}
    scorer = open_scorer("toy", registry=registry)
    ramp = (torch.arange(16).view(1, 4, 4) >= 8).float()  # rounded to the two levels of the model
    x = torch.stack([torch.ones(1, 4, 4), ramp])
    expected = closed_form(scorer.model, x)
    sample = score_sample(scorer.model, "toy-bits", "test", registry=registry)
    for row, name, log_prob in zip(found["images"], ("white.png", "ramp.png"), expected.tolist(), strict=True):
        assert row["image"] == name
        assert row["log_prob"] == pytest.approx(log_prob, rel=1e-6) and row["outlier_score"] == -row["log_prob"]
        assert row["bits_per_dim"] == pytest.approx(-log_prob / (16 * math.log(2)), rel=1e-6)
        assert row["more_anomalous_than"] == pytest.approx((sample.scores < -log_prob - 1e-5).double().mean().item())


def test_a_line_a_file_and_the_talk_apart(zoo: Zoo, desk: Path) -> None:
    code, out, err = zoo("score", "toy", "white.png", "ramp.png", "-n", "20")
    lines = [line.split("\t") for line in out.splitlines()[1:]]
    assert code == 0 and [line[0] for line in lines] == ["white.png", "ramp.png"]
    assert all(len(line) == 5 and line[4].endswith("% of toy-bits validation") for line in lines)
    assert "larger is more anomalous" in err and "toy-bits validation (20 of " in err


def test_a_histogram_is_written(zoo: Zoo, desk: Path) -> None:
    assert zoo("score", "toy", "white.png", "--histogram", "h.png").code == 0
    assert pixels(desk / "h.png").shape[2] == 3


def test_a_map_is_written(zoo: Zoo, desk: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = open_scorer("toy", registry=registry)

    class PixelByPixel(type(scorer.model)):
        def conditional_log_prob(self, x: Tensor) -> Tensor:
            return torch.nn.functional.logsigmoid((2 * x - 1) * self.logit)

    scorer.model.__class__ = PixelByPixel
    monkeypatch.setattr("zoo_core.measuring.scoring.open_scorer", lambda *arguments, **options: scorer)
    assert zoo("score", "toy", "white.png", "ramp.png", "--map", "m.png").code == 0
    assert pixels(desk / "m.png").shape[2] == 3


def test_without_the_data_there_is_a_score_and_no_rank(zoo: Zoo, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: Any, **options: Any) -> None:
        raise DataError("the data went away", "Fetch it.")

    monkeypatch.setattr("zoo_core.measuring.scoring.score_sample", missing)
    code, out, err = zoo("score", "toy", "white.png", "--no-header")
    assert code == 0 and out.rstrip().endswith("\t-") and out.startswith("white.png\t-")
    assert err.strip().endswith("no rank: the data went away.") and err.count("\n") == 2  # and that it is blank
    found = json.loads(zoo("score", "toy", "white.png", "--json").out)
    assert found["against"] is None and found["images"][0]["more_anomalous_than"] is None
    for asked in (["--data", "toy-bits"], ["--histogram", "h.png"]):
        code, out, err = zoo("score", "toy", "white.png", *asked)
        assert (code, out) == (1, "") and "the data went away" in err
    assert not (desk / "h.png").exists()


def test_a_release_that_does_not_say_its_data(zoo: Zoo, desk: Path, model: Model, write: Callable[..., Path]) -> None:
    write(model, "toy", desk / "mute")
    code, _, err = zoo("score", "./mute", "white.png")
    assert code == 0 and "no rank: './mute' does not say what it was trained on" in err
    code, _, err = zoo("score", "./mute", "white.png", "--histogram", "h.png")
    assert code == 2 and "--data NAME" in err
    code, out, _ = zoo("score", "./mute", "white.png", "--data", "toy-bits")
    assert code == 0 and "toy-bits validation" in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("score toy", ("name an example", "zoo score toy digit.png")),
        ("score toyy white.png", ("no model named 'toyy'",)),
        ("score toy absent.png", ("'absent.png' does not exist",)),
        ("score toy text.png", ("'text.png' is not an image",)),
        ("score toy white.png --input inver", ("no step named 'inver'", "'invert'")),
        ("score toy clear.png", ("'clear.png' has transparent pixels",)),
        ("score toy white.png --map m.png", ("single pixel",)),
        ("score toy white.png --map m.jpg", ("'m.jpg' must end in .png",)),
        ("score toy white.png --histogram absent/h.png", ("'absent' does not exist",)),
        ("score toy white.png --data toy-bit", ("no data set named 'toy-bit'", "'toy-bits'")),
        ("score toy white.png --data digits", ("'digits' does not fit the model",)),
        ("score toy white.png --split tests", ("no split 'tests'",)),
        ("score toy white.png -n 0", ("-n", "0")),
    ],
)
def test_a_mistake_is_one_clear_line(command: str, words: tuple[str, ...], zoo: Zoo, desk: Path) -> None:
    before = sorted(desk.iterdir())
    code, out, err = zoo(*command.split())
    assert code == 2 and out == "" and "Traceback" not in err
    assert all(word in err for word in words), err
    assert sorted(desk.iterdir()) == before


def test_a_model_without_a_score_is_refused(
    zoo: Zoo, desk: Path, registry: Registry, write: Callable[..., Path]
) -> None:
    write(zoo_core.create("toy-classifier", registry=registry), "toy-classifier", desk / "classifier")
    code, _, err = zoo("score", "./classifier", "white.png")
    assert code == 2 and "no Density, no LanguageModel and no OutlierScorer" in err
