"""The studies, each made whole with small values."""

import json
import os
from pathlib import Path

import pytest
import torch

from zoo_convnets.stn import STN, STNConfig
from zoo_convnets.studies.depth import Depth
from zoo_convnets.studies.unrotation import ANGLES, Unrotation, angle_of, share_undone, turned
from zoo_core import Report

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
    assert len({row[2] for row in table["rows"]}) == 4


@pytest.mark.slow
def test_the_unrotation_is_shown_with_its_errors(tmp_path):
    (table,) = tables(Unrotation(data="digits", epochs=1, filters=2), tmp_path)
    assert [row[0] for row in table["rows"]] == ["without", "with"]
    assert (tmp_path / "unrotation.png").exists()


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
