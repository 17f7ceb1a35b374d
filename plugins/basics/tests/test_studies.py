"""The studies, each made whole with small values."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from zoo_basics.studies.init import Init, extent
from zoo_basics.studies.losses import Losses
from zoo_basics.studies.optimizers import Optimizers
from zoo_core import Report


def tables(study, folder: Path) -> list[dict]:
    Report(folder).write("a study", study)
    return json.loads((folder / "numbers.json").read_text())["tables"]


def test_init_shows_what_vanishes_and_what_stays_symmetric(tmp_path):
    statistics, gradients = tables(Init(rows=300, width=60, depth=5), tmp_path)
    rms = {(row[0], row[1]): row[2:7] for row in statistics["rows"]}
    assert 0.6 < rms["relu", "he"][-1] < 1.6
    assert rms["tanh", "std001"][-1] < 1e-4
    assert {row[0]: row[1] for row in gradients["rows"]} == {"constant": 1, "xavier": 60}
    assert {path.name for path in tmp_path.glob("*.png")} == {"sigmoid.png", "tanh.png", "relu.png"}


def test_init_takes_sizes_at_which_activations_differ_by_rounding_only(tmp_path):
    tables(Init(rows=10, width=20), tmp_path)
    for values in ([0.5, 0.5 + 6e-8], [0.0, 0.0], [1e-9, 1e-9], [-3.0, 2.0]):
        low, high = extent(np.float32(values))
        assert low <= min(values) and max(values) <= high
        assert len(set(np.histogram(np.float32(values), bins=40, range=(low, high))[1])) == 41
    assert extent(np.float32([-3, 2])) == (-3, 2)


def test_losses_show_that_the_median_ignores_outliers(tmp_path):
    errors, nats = tables(Losses(rows=200, steps=400), tmp_path)
    error = dict(errors["rows"])
    assert error["l1"] < error["mse"] / 2
    assert error["mse"] == pytest.approx(error["gaussian, variance 1"], rel=0.1)
    value = dict(nats["rows"])
    assert value["predicted"] < value["1"]


@pytest.mark.slow
@pytest.mark.skipif("ZOO_MIRROR" not in os.environ, reason="ZOO_MIRROR is not set: no MNIST here")
def test_optimizers_start_from_the_same_weights(tmp_path):
    (table,) = tables(Optimizers(epochs=0.05), tmp_path)
    assert [row[0] for row in table["rows"]] == ["sgd", "sgd-decay", "momentum", "adam", "muon"]
    assert all(0.1 < row[2] <= 1 for row in table["rows"])
