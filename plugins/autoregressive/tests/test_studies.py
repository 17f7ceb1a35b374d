"""The studies, each made whole with small values."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from zoo_autoregressive.pixelrnn import RowPixelRNN
from zoo_autoregressive.studies import depth, outliers
from zoo_autoregressive.studies.colours import Colours, gaussian_bits
from zoo_autoregressive.studies.depth import Depth
from zoo_autoregressive.studies.masks import Masks
from zoo_autoregressive.studies.orderings import ORDERINGS, Orderings
from zoo_autoregressive.studies.orders import Orders
from zoo_autoregressive.studies.outliers import Outliers, Simpler
from zoo_autoregressive.studies.parameters import Parameters
from zoo_autoregressive.studies.receptive_fields import ReceptiveFields
from zoo_core import Report, UsageError, default_registry, info, load

needs_data = pytest.mark.skipif("ZOO_MIRROR" not in os.environ, reason="ZOO_MIRROR is not set: no MNIST here")


def made(study, folder: Path) -> list[dict]:
    report = Report(folder)
    report.write("a study", study)
    text = (folder / "README.md").read_text()
    for picture in folder.glob("*.png"):
        assert f"({picture.name})" in text
    return json.loads((folder / "numbers.json").read_text())["tables"]


def test_receptive_fields_are_those_of_the_paper(tmp_path):
    (table,) = made(ReceptiveFields(size=15, samples=2), tmp_path)
    seen = {(name, layers): count for name, layers, count, _ in table["rows"]}
    before = 10 * 15 + 7
    assert seen["pixelrnn", 1] == before - 1  # the last pixel of the row above
    assert seen["pixelcnn", 1] < seen["pixelrnn-row", 1] < before - 1
    assert seen["pixelcnn", 7] == seen["pixelrnn-row", 7] < before - 1  # both are blind to the wedge on the right


def test_only_the_wrong_mask_beats_the_entropy_of_noise(tmp_path):
    (table,) = made(Masks(steps=60), tmp_path)
    nats = {mask: value for mask, value, _ in table["rows"]}
    entropy = table["rows"][0][2]
    assert nats["B"] < entropy / 2
    assert abs(nats["A"] - entropy) < 1


def test_parameters_and_nats_are_those_of_the_releases(tmp_path):
    (table,) = made(Parameters(), tmp_path)
    rows = {name: (count, nats) for name, count, nats, _ in table["rows"]}
    assert rows["independent.binarized-mnist"] == (784, pytest.approx(205.79, abs=0.01))
    assert "joint-table.binarized-mnist-4x4" not in rows  # smaller images


@pytest.mark.slow
def test_depth_trains_every_network_once(tmp_path):
    study = Depth(epochs=0.1, hidden=2)
    (table,) = made(study, tmp_path)
    assert [row[:2] for row in table["rows"]] == [[n, r] for r in ("yes", "no") for n in (1, 4, 7)]
    stamps = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("runs/*/config.json"))]
    assert made(study, tmp_path) == [table]  # again: the finished runs are taken
    assert stamps == [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("runs/*/config.json"))]


@pytest.mark.slow
def test_depth_is_of_the_model_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(depth, "LAYERS", (1,))
    (table,) = made(Depth(model="pixelrnn-row", epochs=0.05, hidden=2), tmp_path)
    assert [row[:2] for row in table["rows"]] == [[1, "yes"], [1, "no"]]
    for label, residual in (("residual", True), ("plain", False)):
        model = load(str(tmp_path / "runs" / f"1-{label}"))
        assert isinstance(model, RowPixelRNN) and model.config.residual == residual


def test_the_gaussian_bound_is_that_of_drawn_noise():
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    train, other = (
        (torch.randn(n, 3, generator=generator, dtype=torch.float64) @ mix * 9).round() for n in (4000, 500)
    )
    noisy = train + torch.rand(train.shape, generator=generator, dtype=torch.float64) - 0.5
    normal = torch.distributions.MultivariateNormal(train.mean(0), noisy.T.cov())
    draws = other + torch.rand(400, *other.shape, generator=generator, dtype=torch.float64) - 0.5
    expected = -normal.log_prob(draws).mean().item() / 3 / math.log(2)
    assert gaussian_bits(train, other) == pytest.approx(expected, abs=3e-3)


@pytest.mark.slow
@needs_data
def test_what_knows_more_of_colours_needs_fewer_bits(tmp_path):
    study = Colours(epochs=0.3, hidden=12, head=12, pixelcnn_layers=1, pixelrnn_layers=1, size=4)
    (table,) = made(study, tmp_path)
    assert [row[0] for row in table["rows"]][:4] == [
        "all values equally likely", "one histogram a channel", "one histogram a value", "Gaussian",
    ]  # fmt: skip
    bits = {row[0]: row[2] for row in table["rows"]}
    assert bits["Gaussian"] < bits["one histogram a value"] < bits["one histogram a channel"] < 8
    assert max(bits["PixelCNN"], bits["Diagonal BiLSTM"]) < bits["one histogram a value"]


@pytest.mark.slow
@needs_data
def test_orderings_are_trained_on_the_same_batches(tmp_path):
    (table,) = made(Orderings(epochs=0.02), tmp_path)
    assert [row[0] for row in table["rows"]] == list(ORDERINGS)
    assert len({row[1] for row in table["rows"]}) == len(ORDERINGS)


@needs_data
def test_images_are_shown_to_a_model_as_it_takes_them():
    """joint-table sees 4x4 pixels."""
    data = default_registry().open_dataset("binarized-mnist")
    found = outliers.simpler(load("joint-table"), data)
    assert 0 < found.blank_wins < 1 < found.blank_nll < found.thinner_nll


@pytest.mark.parametrize("data", ["digits", "wine"])
def test_colours_are_refused_where_there_are_none(tmp_path, data):
    with pytest.raises(UsageError, match=f"which '{data}' does not have"):
        made(Colours(data=data), tmp_path)


@pytest.mark.slow
@needs_data
def test_a_blank_image_is_the_likeliest_of_all_to_a_model_of_single_pixels(tmp_path):
    auroc, simple = made(Outliers(releases=("independent",)), tmp_path)
    assert float(auroc["rows"][0][2].split()[0]) == pytest.approx(0.511, abs=0.002)
    assert simple["rows"][0][-1] == "100.0%"


def test_outliers_are_shown_to_every_density_of_the_data_the_best_first(tmp_path, monkeypatch):
    """Without measuring: the releases are taken from the manifests, by the numbers that stand there."""
    monkeypatch.setattr(Outliers, "measured", lambda study, name: ["1", "2", "3"])
    monkeypatch.setattr(outliers, "load", lambda name: name)
    monkeypatch.setattr(outliers, "simpler", lambda model, data: Simpler(1, 0.2, 3, 0.4))
    for table in made(Outliers(), tmp_path):
        names = [row[0].strip("`") for row in table["rows"]]
        assert {"independent.binarized-mnist", "nade.binarized-mnist", "pixelrnn.binarized-mnist"} <= set(names)
        assert "joint-table.binarized-mnist-4x4" not in names and "pixelrnn.digits" not in names  # other data
        assert all("Density" in info(name)["capabilities"] for name in names)
        nats = [next(m["value"] for m in info(name)["metrics"] if m["metric"] == "nll") for name in names]
        assert nats == sorted(nats)


@pytest.mark.slow
@needs_data
def test_orders_compares_tables_and_regressions(tmp_path):
    (table,) = made(Orders(tables=(1, 2), regressions=(2, 40), epochs=0.02), tmp_path)
    assert [row[0] for row in table["rows"]] == [1, 2, 40]
    (_, first, none), (_, second, short), (_, no_table, long) = table["rows"]
    assert none == no_table == "-" and first == pytest.approx(146.03, abs=0.01)
    assert second < first and short != long
