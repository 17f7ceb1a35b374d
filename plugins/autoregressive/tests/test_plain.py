"""The recurrence in each model's file, as the paper writes it, and what runs instead: one density, one sampler."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo_autoregressive import eonade, nade, pixelrnn
from zoo_autoregressive.ar import AR, ARConfig
from zoo_autoregressive.eonade import EoNADE, EoNADEConfig
from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_autoregressive.pixel_density import PixelDensity
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNNConfig, RowPixelRNN
from zoo_core.testing import randomise

SIZES = [
    {"height": 5, "width": 7},  # for both NADEs more than one block
    {"height": 4, "width": 3, "levels": 5},
    {"height": 1, "width": 1},
    {"height": 1, "width": 4},
    {"height": 4, "width": 1},
    {"channels": 3, "height": 2, "width": 3, "levels": 4},
]
OF_LAYERS = {"hidden": 6, "layers": 2, "head": 6}
BUILDERS: dict[str, Callable[..., PixelDensity]] = {
    "ar": lambda **sizes: AR(ARConfig(past=3, **sizes)),
    "nade": lambda **sizes: NADE(NADEConfig(hidden=4, ordering="random", **sizes)),
    "eonade": lambda **sizes: EoNADE(EoNADEConfig(hidden=4, orderings=2, **sizes)),
    "pixelcnn": lambda **sizes: PixelCNN(PixelCNNConfig(**OF_LAYERS, **sizes)),
    "pixelrnn": lambda **sizes: DiagonalPixelRNN(PixelRNNConfig(**OF_LAYERS, **sizes)),
    "pixelrnn-row": lambda **sizes: RowPixelRNN(PixelRNNConfig(**OF_LAYERS, **sizes)),
}
# What is called unless `plain` is set.
FAST = {
    "nade": (nade, "nade_logits"),
    "eonade": (eonade, "eonade_logits"),
    "pixelrnn": (pixelrnn, "sweep_lstm"),
    "pixelrnn-row": (pixelrnn, "sweep_lstm"),
}
CASES = list(itertools.product(BUILDERS, SIZES))


def build(name: str, **sizes: int) -> PixelDensity:
    return randomise(BUILDERS[name](**sizes)).double()


def images(model: PixelDensity, n: int = 3) -> Tensor:
    c = model.config
    levels = torch.randint(c.levels, (n, c.channels, c.height, c.width), generator=torch.Generator().manual_seed(0))
    return levels.double() / (c.levels - 1)


@pytest.mark.parametrize(("name", "sizes"), [case for case in CASES if case[0] in FAST], ids=str)
def test_the_plain_recurrence_gives_the_same_logits_and_gradients(name, sizes):
    model = build(name, **sizes)
    x = images(model)
    found = []
    for model.plain in (False, True):
        logits = model(x)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        found.append((logits, torch.autograd.grad(logits, list(model.parameters()), weights, allow_unused=True)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-10, atol=1e-10)
    for (parameter, _), fast, plain in zip(model.named_parameters(), found[0][1], found[1][1], strict=True):
        pair = (torch.zeros(()).double() if gradient is None else gradient for gradient in (fast, plain))
        fast, plain = torch.broadcast_tensors(*pair)
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-10, msg=lambda m, parameter=parameter: parameter + m)


@pytest.mark.parametrize(("name", "sizes"), CASES, ids=str)
def test_sampling_with_one_forward_pass_a_value_gives_the_same_images(name, sizes):
    model = build(name, **sizes)
    given = images(model)
    uniforms = torch.rand(given.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    known = torch.rand(given.shape, generator=torch.Generator().manual_seed(2)) < 0.5
    found = []
    for model.plain in (False, True):
        drawn = model.sample_from(uniforms, temperature=0.7)
        found.append(torch.stack([drawn, model.sample_from(uniforms, x=given, known=known)]))
    assert torch.equal(*found)
    if given[0].numel() > 1:
        assert len(found[0].unique()) > 1


@pytest.mark.parametrize("name", FAST)
def test_a_plain_model_runs_nothing_but_its_own_file(name, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise AssertionError("the fast way was taken")

    module, function = FAST[name]
    monkeypatch.setattr(module, function, refuse)
    model = build(name, height=3, width=2)
    with pytest.raises(AssertionError, match="the fast way was taken"):
        model.log_prob(images(model))
    model.plain = True
    assert model.log_prob(images(model)).isfinite().all()
    assert model.sample(2).shape == (2, 1, 3, 2)


def test_plain_is_no_part_of_what_a_release_records():
    model = build("nade", height=3, width=2)
    before = model.config, list(model.state_dict())
    model.plain = True
    assert (model.config, list(model.state_dict())) == before
