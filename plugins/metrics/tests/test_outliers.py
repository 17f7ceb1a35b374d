"""AUROC of likelihoods: against the definition, torchmetrics and simulation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from zoo_core import Field, Model, Record, UsageError
from zoo_metrics import outliers as module
from zoo_metrics.outliers import OmniglotAuroc, OutlierAuroc, RotatedAuroc, as_digits, auroc

MIRROR = os.environ.get("ZOO_MIRROR")
OMNIGLOT = MIRROR and (Path(MIRROR) / "datasets/omniglot").is_dir()


def by_pairs(inliers: Tensor, outliers: Tensor) -> float:
    """The definition: the share of pairs in which the outlier has the larger score, equal ones counted half."""
    wins = sum(1.0 if b > a else 0.5 if b == a else 0.0 for a in inliers.tolist() for b in outliers.tolist())
    return wins / (len(inliers) * len(outliers))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("values", [3, 1000], ids=["ties", "hardly a tie"])
def test_auroc_is_the_share_of_pairs_that_are_ordered_rightly(seed: int, values: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inliers = torch.randint(values, (23,), generator=generator).double()
    outliers = torch.randint(values, (17,), generator=generator).double() + values // 4
    value, _ = auroc(inliers, outliers)
    assert value == pytest.approx(by_pairs(inliers, outliers), abs=1e-12)
    labels = torch.cat([torch.zeros(23), torch.ones(17)]).long()
    scores = torch.cat([inliers, outliers]) / (2 * values)  # torchmetrics takes what is outside [0, 1] for logits
    assert value == pytest.approx(binary_auroc(scores, labels).item(), abs=1e-6)


def test_an_outlier_is_what_has_the_larger_score() -> None:
    low, high = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0])
    assert auroc(low, high) == (1.0, 0.0) and auroc(high, low) == (0.0, 0.0)
    assert auroc(low, low)[0] == 0.5 and auroc(torch.zeros(5), torch.zeros(7)) == (0.5, 0.0)
    assert auroc(low, torch.tensor([float("inf"), 0.0]))[0] == 0.5


@pytest.mark.parametrize("paired", [False, True])
def test_the_standard_error_is_the_spread_over_fresh_data(paired: bool) -> None:
    """Outliers made of the inliers spread with them: what is right for one kind is wrong for the other."""
    generator = torch.Generator().manual_seed(0)
    found, said, other = [], [], []
    for _ in range(600):
        inliers = torch.randn(80, generator=generator)
        noise = torch.randn(80, generator=generator)
        outliers = (0.8 * inliers + 0.6 * noise if paired else noise) + 0.7
        value, stderr = auroc(inliers, outliers, paired=paired)
        found.append(value)
        said.append(stderr)
        other.append(auroc(inliers, outliers, paired=not paired)[1])
    spread, mean = torch.tensor(found).std().item(), torch.tensor(said).mean().item()
    assert mean == pytest.approx(spread, rel=0.08)
    if paired:
        assert torch.tensor(other).mean().item() > 1.5 * spread


def test_what_has_no_auroc() -> None:
    with pytest.raises(UsageError, match="inliers and outliers"):
        auroc(torch.ones(3), torch.ones(0))
    with pytest.raises(UsageError, match="not a number"):
        auroc(torch.tensor([1.0, float("nan")]), torch.ones(2))
    assert auroc(torch.zeros(1), torch.ones(3)) == (1.0, None)


# The metrics.


class Rows(Model):
    """A density of images that likes ink at the top, and the weights of the rows apart nothing."""

    def __init__(self, size: int = 4, **field: Any) -> None:
        super().__init__(Record())
        self.field = Field(kind="image", shape=(1, size, size), **field)
        self.seen: list[Tensor] = []

    def signature(self) -> dict[str, Field]:
        return {"image": self.field}

    def log_prob(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return (x.sum((1, 3)) * -torch.arange(x.shape[2])).sum(1)


def measured(metric: OutlierAuroc, model: Any, images: Tensor, sizes: list[int]) -> Any:
    """As the evaluator does it, the batches dealt in turns to two metrics."""
    parts = [metric, type(metric)()]
    for part in parts:
        part.begin(model, None, "test", len(images))
    for number, image in enumerate(images.split(sizes)):
        batch: Mapping[str, Tensor] = {"image": image}
        parts[number % 2].update(model, batch)
    parts[0].merge(parts[1])
    return parts[0].compute()


def slanted(n: int, seed: int = 0) -> Tensor:
    """Bits with more ink at the top, and as much on the left as on the right."""
    p = torch.tensor([0.7, 0.5, 0.3, 0.2])[:, None].expand(n, 1, 4, 4)
    return torch.bernoulli(p, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [[60], [7, 53], [1, 58, 1]])
def test_turned_images_are_those_turned_counter_clockwise(sizes: list[int]) -> None:
    images = slanted(60)
    found = measured(RotatedAuroc(), Rows(), images, sizes)
    model = Rows()
    strange, turned = -model.log_prob(images).double(), -model.log_prob(images.transpose(2, 3).flip(2)).double()
    value, stderr = auroc(strange, turned, paired=True)
    assert found.n == 60 and found.value == pytest.approx(value) and found.stderr == pytest.approx(stderr)
    assert found.value > 0.6 and "60 outliers" in found.estimator


def test_only_square_images_can_be_turned() -> None:
    model = Rows()
    model.field = Field(kind="image", shape=(1, 3, 5))
    with pytest.raises(UsageError, match="5x3 pixels"):
        RotatedAuroc().begin(model, None, "test", 1)  # type: ignore[arg-type]
    model.signature = lambda: {"vector": Field(kind="vector", shape=(3,))}  # type: ignore[method-assign]
    for metric in (RotatedAuroc(), OmniglotAuroc()):
        with pytest.raises(UsageError, match="takes none"):
            metric.begin(model, None, "test", 1)  # type: ignore[arg-type]


def characters() -> Tensor:
    """Dark ink on white: a square, a bar."""
    images = torch.ones(130, 1, 8, 8)
    images[0::2, :, 2:4, 2:4] = 0
    images[1::2, :, :, 4:6] = 0
    return images


class FakeOmniglot:
    def size(self, split: str) -> int:
        assert split == "test"
        return 130

    def batch(self, split: str, indices: Tensor) -> dict[str, Tensor]:
        return {"image": characters()[indices]}


def test_characters_become_images_like_those_of_the_model() -> None:
    shrunk = as_digits(characters()[:2], Field(kind="image", shape=(3, 4, 4), levels=2))
    assert shrunk.shape == (2, 3, 4, 4)
    expected = torch.zeros(2, 4, 4)
    expected[0, 1, 1] = 1  # ink is bright
    expected[1, :, 2] = 1
    for channel in range(3):
        assert torch.equal(shrunk[:, channel], expected)
    grey = as_digits(torch.rand(4, 1, 9, 9), Field(kind="image", shape=(1, 4, 4), levels=17)) * 16
    assert torch.equal(grey, grey.round()) and len(grey.unique()) > 5
    free = as_digits(torch.rand(4, 1, 9, 9), Field(kind="image", shape=(1, 4, 4)))
    assert free.min() >= 0 and free.max() <= 1


def test_characters_are_scored_once_and_stay_as_many_when_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeRegistry:
        def open_dataset(self, name: str) -> FakeOmniglot:
            assert name == "omniglot"
            return FakeOmniglot()

    monkeypatch.setattr(module, "default_registry", FakeRegistry)
    images, model = slanted(60), Rows(levels=2)
    found = measured(OmniglotAuroc(), model, images, [40, 20])
    outliers = -model.log_prob(as_digits(characters(), model.field)).double()
    value, stderr = auroc(-model.log_prob(images).double(), outliers)
    assert "130 outliers: Omniglot test" in found.estimator
    assert found.n == 60 and found.value == pytest.approx(value) and found.stderr == pytest.approx(stderr)


def test_they_are_slow_so_they_are_measured_on_request() -> None:
    assert RotatedAuroc.on_request and OmniglotAuroc.on_request


@pytest.mark.skipif(not OMNIGLOT, reason="needs ZOO_MIRROR with omniglot")
def test_real_characters_are_bright_on_black_and_thinner_than_digits() -> None:
    from zoo_core import default_registry

    data = default_registry().open_dataset("omniglot")
    images = data.batch("test", torch.arange(0, data.size("test"), 10))["image"]
    bits = as_digits(images, Field(kind="image", shape=(1, 28, 28), levels=2))
    assert sorted(bits.unique().tolist()) == [0, 1]
    assert 0.05 < bits.mean() < 0.12  # digits have 0.13
    assert bits[:, :, [0, -1]].mean() < 0.02  # the border is empty
