"""The studies, each made whole with small values."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_convnets.resnet import Block
from zoo_convnets.stn import STN, STNConfig
from zoo_convnets.studies.depth import Depth
from zoo_convnets.studies.transfer import RATES, WAYS, Transfer
from zoo_convnets.studies.unrotation import ANGLES, Unrotation, angle_of, share_undone, turned
from zoo_core import Report, info, load, train

needs_data = pytest.mark.skipif("ZOO_MIRROR" not in os.environ, reason="ZOO_MIRROR is not set: no MNIST here")


def tables(study, folder: Path) -> list[dict]:
    Report(folder).write("a study", study)
    text = (folder / "README.md").read_text()
    assert all(f"({picture.name})" in text for picture in folder.glob("*.png"))
    return json.loads((folder / "numbers.json").read_text())["tables"]


@pytest.mark.slow
def test_depth_compares_four_networks(tmp_path):
    (table,) = tables(Depth(data="digits", epochs=1, filters=2), tmp_path)
    assert [row[:2] for row in table["rows"]] == [["plain20", 20], ["plain56", 56], ["resnet20", 20], ["resnet56", 56]]
    for name, depth, *_ in table["rows"]:
        model = load(str(tmp_path / "runs" / name))
        model.train()  # statistics of the batch: what is no longer told apart is 0
        blocks = [module for module in model.modules() if isinstance(module, Block)]
        assert 2 * len(blocks) + 2 == depth and model.config.filters == 2
        for block in blocks:
            torch.nn.init.zeros_(block.bn2.weight)  # each branch gives the same for all images
        logits = model.logits(torch.rand(4, 1, 8, 8))
        assert torch.allclose(logits, logits[:1]) == name.startswith("plain"), name


def test_the_transfer_compares_what_is_trained_with_the_same_examples(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo_convnets.studies.transfer.RATES", RATES[1:2])
    train("digit-classifier", data="digits", config={"filters": 2}, epochs=1, output=tmp_path / "parent")
    study = Transfer(start=f"folder:{tmp_path / 'parent'}", data="digits", per_class=3, epochs=2, seeds=2)
    (table,) = tables(study, tmp_path / "report")
    assert [row[0] for row in table["rows"]] == list(WAYS)
    runs = {folder.name: info(str(folder)) for folder in (tmp_path / "report" / "runs").iterdir()}
    assert len(runs) == 2 * len(WAYS)
    for name, release in runs.items():
        assert release["training"]["epochs"] == 2 and "--per-class 3" in release["recipe"]
        assert [ancestor["new_head"] for ancestor in release["ancestors"]] == [True] * ("scratch" not in name)
    learned = {(name[-1], release["training"]["data_sha256"]["train"]) for name, release in runs.items()}
    assert len(learned) == 2  # each seed has its examples, whatever is trained
    assert {row[1] for row in table["rows"]} == {RATES[1]} and all(0 <= row[4] <= 1 for row in table["rows"])


@pytest.mark.slow
def test_the_unrotation_is_shown_with_its_errors(tmp_path):
    (table,) = tables(Unrotation(data="digits", epochs=1, filters=2), tmp_path)
    assert [row[0] for row in table["rows"]] == ["without", "with"]
    with Image.open(tmp_path / "unrotation.png") as picture:
        for half in np.array_split(np.asarray(picture.convert("L")), 2, axis=1):  # input, transformed
            assert (half < 40).mean() > 0.1 and len(np.unique(half)) > 100  # grey digits on black


def test_a_fresh_transformer_undoes_nothing():
    assert share_undone(STN(STNConfig()), torch.rand(2, 1, 28, 28), ANGLES) == pytest.approx(0, abs=1e-6)


def test_turning_turns():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 0, 2] = 1  # above the centre
    quarter = turned(x, torch.tensor(90.0))
    assert quarter.sum().item() == pytest.approx(1, abs=1e-5) and quarter[0, 0, 2].max() == quarter.max()
    assert torch.allclose(turned(quarter, torch.tensor(-90.0)), x, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_of_a_turn_that_is_undone_the_share_is_known(share):
    """A transformer that knows by how much its input was turned."""

    class Knowing(STN):
        def theta(self, x):
            angle = torch.deg2rad(-share * next(given))
            row = torch.stack([angle.cos(), -angle.sin(), torch.tensor(0.1), angle.sin(), angle.cos(), torch.zeros(())])
            return (1.3 * row).view(1, 1, 2, 3).expand(len(x), -1, -1, -1)

    given = iter(ANGLES)
    model = Knowing(STNConfig())
    assert share_undone(model, torch.rand(2, 1, 28, 28), ANGLES) == pytest.approx(share, abs=1e-4)
    assert angle_of(torch.tensor([[[0.0, -2, 5], [2, 0, 5]]])).item() == pytest.approx(90)
