"""The weights that ship with the package: what they sample is what their likelihood says."""

import pytest
import torch
from torch import Tensor

from zoo_core import info, listings, load

OF_ROWS = ("gaussian", "rnade")  # two uniforms a number: see test_rnade.py
RELEASES = [
    row.reference for row in listings() if row.tag and row.plugin == "zoo-autoregressive" and row.model not in OF_ROWS
]


def interval(logits: Tensor, x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Start and end of each drawn value's share of [0, 1): logits [B, 1 or levels, …], x [B, …] -> [B, …] each."""
    level = (x * (levels - 1)).round().long()
    if levels == 2:  # a 1 is drawn below its probability
        logits, level = torch.cat([logits, torch.zeros_like(logits)], 1), 1 - level
    p = torch.softmax(logits, 1)
    ends, level = p.cumsum(1), level[:, None]
    return (ends - p).gather(1, level)[:, 0], ends.gather(1, level)[:, 0]


def outside(reference: str, temperature: float) -> int:
    """How many of the uniforms that two images are drawn from at a temperature do not lie where one forward pass on
    these images, at temperature 1, says."""
    if not any(source.startswith("package:") for source in info(reference)["sources"]):
        pytest.skip(f"network: {reference} is not in the package")
    model = load(reference)
    c = model.config
    uniforms = torch.rand(2, c.channels, c.height, c.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = model.sample_from(uniforms, temperature=temperature)
        start, end = interval(model(x), x, c.levels)
    return int(((uniforms < start - 1e-4) | (uniforms > end + 1e-4)).sum())


@pytest.mark.parametrize("reference", RELEASES)
def test_a_trained_sampler_is_exact(reference):
    assert outside(reference, temperature=1) == 0


def test_a_sampler_that_is_not_is_found():
    assert outside("markov", temperature=0.9) > 0


def test_no_model_with_weights_is_left_out():
    models = {reference.split(".")[0] for reference in RELEASES}
    assert {"independent", "markov", "joint-table", "ar", "nade", "pixelcnn", "pixelrnn", "pixelrnn-row"} <= models
