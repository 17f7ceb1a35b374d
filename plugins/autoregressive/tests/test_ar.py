"""AR(n): the equations, the checks of every density, and that its likelihood is concave."""

import pytest
import torch

from zoo_autoregressive.ar import AR, ARConfig
from zoo_core import RecordError
from zoo_core.testing import check_completeness, check_density, randomise


def small(past: int = 3, **sizes: int) -> AR:
    return randomise(AR(ARConfig(past=past, **sizes))).double()


SIZES = [{"height": 3, "width": 4}, {"height": 2, "width": 2, "levels": 5}, {"channels": 3, "height": 2, "width": 1}]


@pytest.mark.parametrize("past", [1, 3, 100])
@pytest.mark.parametrize("sizes", [*SIZES, {"height": 1, "width": 1}], ids=str)
def test_logits_equal_a_loop_over_values(past, sizes):
    model = small(past, **sizes)
    c = model.config
    x = torch.rand(2, c.channels, c.height, c.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    places = [(k, i, j) for i in range(c.height) for j in range(c.width) for k in range(c.channels)]
    n = model.weight.shape[2]
    for b in range(2):
        for number, (k, i, j) in enumerate(places):
            for level in range(logits.shape[1]):
                expected = model.bias[level, number].item()
                for back in range(1, min(n, number) + 1):
                    weight = model.weight[level, number, n - back].item()
                    expected += weight * x[(b, *places[number - back])].item()
                assert logits[b, level, k, i, j].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("past", [100, 3])
def test_the_model_is_a_density_and_its_sampler_exact(past):
    check_density(lambda **sizes: AR(ARConfig(past=past, **sizes)), complete=past == 100)


def test_a_value_sees_the_last_n():
    check_completeness(small(3, height=3, width=4), expected=1 + 2 + 9 * 3)


def test_parameter_count():
    assert sum(p.numel() for p in AR(ARConfig(past=32)).parameters()) == 784 * 33
    assert sum(p.numel() for p in AR(ARConfig(past=9999, height=2, width=2, levels=3)).parameters()) == 3 * 4 * 4


def test_the_log_likelihood_is_concave():
    """On the line between two settings of the weights it is nowhere below the chord."""
    x = torch.rand(20, 1, 3, 4, generator=torch.Generator().manual_seed(0)).round().double()
    models = [randomise(small(3, height=3, width=4), std=2, seed=seed) for seed in (0, 1)]
    ends = [model.log_prob(x).mean().item() for model in models]
    between = small(3, height=3, width=4)
    for t in (0.25, 0.5, 0.75):
        with torch.no_grad():
            for p, first, last in zip(between.parameters(), *(model.parameters() for model in models), strict=True):
                p.copy_((1 - t) * first + t * last)
        assert between.log_prob(x).mean().item() > (1 - t) * ends[0] + t * ends[1]


def test_a_bad_config_is_refused():
    with pytest.raises(RecordError, match="past"):
        ARConfig(past=0)
