"""Models that count: against counting in plain Python, and the checks of every density."""

import itertools
import math
from collections import Counter
from fractions import Fraction
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.counting import CountedDensity
from zoo_autoregressive.independent import Independent, IndependentConfig
from zoo_autoregressive.joint_table import JointTable, JointTableConfig
from zoo_autoregressive.markov import Markov, MarkovConfig
from zoo_core import Field, RecordError, TensorDataset, UsageError, default_registry
from zoo_core.testing import (
    check_batch_independence,
    check_calibration,
    check_noise,
    check_normalisation,
    check_sampler,
    randomise,
)
from zoo_core.training.loop import Loop

SIZES = [
    {"height": 2, "width": 3},
    {"height": 3, "width": 2, "levels": 3},
    {"channels": 3, "height": 1, "width": 2},
    {"channels": 3, "height": 2, "width": 1, "levels": 3},
    {"height": 1, "width": 1, "levels": 2},
]


def independent(**sizes: int) -> Independent:
    return Independent(IndependentConfig(**sizes))


def markov(order: int = 2, **sizes: int) -> Markov:
    return Markov(MarkovConfig(order=order, **sizes))


def joint_table(**sizes: int) -> JointTable:
    return JointTable(JointTableConfig(**sizes))


BUILDERS = [independent, markov, joint_table]


class Images(TensorDataset):
    """Random images in which neighbours are alike, so that there is something to count."""

    name: ClassVar[str] = "random-images"

    def __init__(self, n: int, channels: int, height: int, width: int, levels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(levels, (n, channels, height, width), generator=generator)
        image[..., 1:] = torch.where(torch.rand(image[..., 1:].shape, generator=generator) < 0.7, image[..., :-1], 0)
        self.image = image
        field = Field(kind="image", shape=(channels, height, width), range=(0.0, 1.0), levels=levels)
        super().__init__({"image": field}, {"train": {"image": image.to(torch.uint8)}})


def fitted(model: CountedDensity, n: int = 2500) -> tuple[CountedDensity, list[list[int]]]:
    """The model after training, and the sequences it has seen, in plain Python."""
    c = model.config
    data = Images(n, c.channels, c.height, c.width, c.levels)
    loop = Loop(model, data, seed=0, steps=1)
    loop.step()
    return model, data.image.permute(0, 2, 3, 1).flatten(1).tolist()


def as_image(model: CountedDensity, sequence: list[int]) -> Tensor:
    c = model.config
    x = torch.empty(1, c.channels, c.height, c.width, dtype=torch.float64)
    places = itertools.product(range(c.height), range(c.width), range(c.channels))
    for value, (i, j, k) in zip(sequence, places, strict=True):
        x[0, k, i, j] = value / (c.levels - 1)
    return x


# --- by counting in plain Python ------------------------------------------------------------------------------------


def expected_log_prob(rows: list[list[int]], x: list[int], order: int, levels: int) -> float:
    """Of a Markov chain, from how often each value followed its context."""
    total = 0.0
    for i, value in enumerate(x):
        context = x[max(0, i - order) : i]
        followers = Counter(row[i] for row in rows if row[max(0, i - order) : i] == context)
        half = Fraction(1, 2)
        total += math.log((followers[value] + half) / (sum(followers.values()) + half * levels))
    return total


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2, 5, 9])
def test_a_chain_is_what_counting_gives(order, sizes):
    model, rows = fitted(markov(order, **sizes) if order else independent(**sizes), n=300)
    generator = torch.Generator().manual_seed(1)
    never_seen = [torch.randint(model.config.levels, (len(rows[0]),), generator=generator).tolist() for _ in range(5)]
    for x in rows[:5] + never_seen:
        expected = expected_log_prob(rows, x, order, model.config.levels)
        assert model.double().log_prob(as_image(model, x)).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_shared_distributions_are_one_count_of_all_pixels(sizes):
    model, rows = fitted(independent(shared=True, **sizes), n=300)
    channels, levels = model.config.channels, model.config.levels
    counts = [Counter(value for row in rows for value in row[k::channels]) for k in range(channels)]
    expected = sum(
        math.log((counts[i % channels][value] + 0.5) / (counts[i % channels].total() + 0.5 * levels))
        for i, value in enumerate(rows[0])
    )
    assert model.double().log_prob(as_image(model, rows[0])).item() == pytest.approx(expected, abs=1e-5)
    check_sampler(model)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_table_is_what_counting_gives(sizes):
    model, rows = fitted(joint_table(**sizes))
    cells = model.config.levels ** len(rows[0])
    seen = Counter(map(tuple, rows))
    for x in [*rows[:5], [0] * len(rows[0]), [1] * len(rows[0])]:
        expected = math.log((seen[tuple(x)] + 0.5) / (len(rows) + 0.5 * cells))
        assert model.double().log_prob(as_image(model, x)).item() == pytest.approx(expected, abs=1e-5)
    assert model.occupied == len(seen)


def test_a_chain_that_sees_everything_tells_apart_what_the_table_does():
    chain, rows = fitted(markov(order=5, height=2, width=3), n=100_000)
    table, _ = fitted(joint_table(height=2, width=3), n=100_000)
    x = torch.cat([as_image(chain, row) for row in rows[:50]]).float()
    torch.testing.assert_close(chain.log_prob(x), table.log_prob(x), rtol=0, atol=0.02)


def test_of_a_pixel_colours_are_one_table_or_three_distributions():
    """An RGB pixel: the table sees that the colours agree, three distributions do not."""
    rgb = {"channels": 3, "height": 1, "width": 1, "levels": 16}
    grey = torch.randint(16, (5000,), generator=torch.Generator().manual_seed(0))
    x = (grey / 15).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    table, colours = joint_table(pseudocount=0.01, **rgb), independent(**rgb)
    with torch.no_grad():
        for model in (table, colours):
            model.fit([model.to_levels(model.to_sequence(x))])
            model.fitted.fill_(True)
    assert table.occupied == 16 and len(table.logit) == 16**3
    assert -table.log_prob(x).mean().item() == pytest.approx(math.log(16), abs=0.02)
    assert -colours.log_prob(x).mean().item() == pytest.approx(3 * math.log(16), abs=0.02)


def test_a_whole_rgb_pixel_fits_into_a_table():
    model = joint_table(channels=3, height=1, width=1, levels=256)
    assert len(model.logit) == 256**3
    model.fitted.fill_(True)
    assert model.sample(2).shape == (2, 3, 1, 1)
    assert independent(channels=3, height=1, width=1, levels=256).logit.shape == (256, 3)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (independent(), 784),
        (independent(levels=17, height=8, width=8), 64 * 17),
        (markov(1), 2 * 784 - 1),
        (markov(4), 1 + 2 + 4 + 8 + 780 * 16),
        (markov(2, height=1, width=3, levels=3), 3 * (1 + 3 + 9)),
        (joint_table(), 2**16),
        (joint_table(height=4, width=5), 2**20),
    ],
    ids=str,
)
def test_parameter_count(model, count):
    assert sum(parameter.numel() for parameter in model.parameters()) == count


# --- the checks of every density ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("build", BUILDERS)
def test_the_model_is_a_density_and_its_sampler_exact(build, sizes):
    model = randomise(build(**sizes))
    model.fitted.fill_(True)
    check_calibration(model)
    check_batch_independence(model)
    check_normalisation(model)
    check_sampler(model, n=40 if sizes["height"] == 1 else 5)  # a single bit is soon the same with another seed


def test_an_order_beyond_the_image_is_drawn_from_too():
    model = randomise(markov(order=24, channels=3, height=1, width=1, levels=16))
    model.fitted.fill_(True)
    check_sampler(model, n=20)


@pytest.mark.parametrize(("build", "size"), [(independent, 6), (markov, 6), (joint_table, 3)])
def test_noise_is_not_predicted(build, size):
    model = build(height=size, width=size)
    model.fitted.fill_(True)
    check_noise(model)


REACH = [(independent, 0), *((partial(markov, order), order) for order in (1, 2, 3)), (joint_table, math.inf)]


@pytest.mark.parametrize(("build", "reach"), REACH, ids=["independent", "order 1", "order 2", "order 3", "table"])
@pytest.mark.parametrize("sizes", SIZES[:4], ids=str)
def test_a_value_depends_on_the_last_ones_and_on_no_other(build, reach, sizes):
    """These logits have no derivative with respect to the values, so every value is changed in turn."""
    model = randomise(build(**sizes)).double()
    d = len(model.order)
    x = torch.randint(model.config.levels, (1, d), generator=torch.Generator().manual_seed(0))
    top = model.config.levels - 1
    for j in range(d):
        changed = x.clone()
        changed[0, j] = (x[0, j] + 1) % (top + 1)
        difference = model.sequence_logits(x / top) - model.sequence_logits(changed / top)
        seen = difference[0].abs().amax(0) > 0
        assert seen.tolist() == [0 < i - j <= reach for i in range(d)]


@pytest.mark.parametrize("build", BUILDERS)
def test_samples_have_the_frequencies_that_were_counted(build):
    model, _ = fitted(build(height=2, width=2), n=4000)
    x = model.sample(4000, generator=torch.Generator().manual_seed(0))
    p = model.log_prob(x).exp().detach()
    for cell in x.unique(dim=0):
        found = (x == cell).all(3).all(2).all(1)
        expected = float(p[found][0])
        assert float(found.float().mean()) == pytest.approx(expected, abs=5 * math.sqrt(expected / 4000))


# --- unfitted, and bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", BUILDERS)
def test_a_model_that_has_not_counted_says_so(build):
    model = build(height=2, width=2)
    for use in (lambda: model.log_prob(torch.zeros(1, 1, 2, 2)), lambda: model.sample(1)):
        with pytest.raises(UsageError, match="has not counted anything yet"):
            use()


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (JointTableConfig, {"height": 3, "width": 7}, r"a table of 2\^21 cells does not fit"),
        (JointTableConfig, {"channels": 3, "height": 1, "width": 2, "levels": 256}, r"256\^6 cells"),
        (JointTableConfig, {"pseudocount": 0}, "pseudocount"),
        (MarkovConfig, {"order": 0}, "order"),
        (MarkovConfig, {"order": 20}, "choose a smaller order"),
        (MarkovConfig, {"order": 3, "levels": 256}, "choose a smaller order"),
    ],
)
def test_a_bad_config_is_refused(config, values, message):
    with pytest.raises(RecordError, match=message):
        config(**values)


# --- on real data ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist():
    data = default_registry().open_dataset("binarized-mnist")
    try:
        data.size("train")
    except Exception as error:
        pytest.skip(f"data: {error}")
    return data


@pytest.mark.parametrize(("order", "nats"), [(0, 205.79), (1, 145.35), (2, 143.32), (4, 140.62), (8, 138.33)])
def test_nats_on_static_binarised_mnist(mnist, order, nats):
    """A closed form has one value; these were computed by other code."""
    model = markov(order) if order else independent()
    Loop(model, mnist, seed=0, steps=1).step()
    with torch.no_grad():
        parts = [model.log_prob(mnist.batch("test", rows)["image"]) for rows in torch.arange(10_000).split(1000)]
    assert -torch.cat(parts).double().mean().item() == pytest.approx(nats, abs=0.005)
