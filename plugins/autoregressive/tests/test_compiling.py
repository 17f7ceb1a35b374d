"""Where a program is made of a model, as by torch.export, its recurrence is computed in another way, and equal."""

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.eonade import EoNADE, EoNADEConfig
from zoo_autoregressive.gaussian import Gaussian, GaussianConfig
from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNN, PixelRNNConfig, RowPixelRNN
from zoo_core.testing import randomise


def nade(**config: object) -> NADE:
    return randomise(NADE(NADEConfig(height=3, width=4, hidden=5, **config))).double()


def eonade(**config: int) -> EoNADE:
    return randomise(EoNADE(EoNADEConfig(height=5, width=4, hidden=5, orderings=2, **config))).double()


def gaussian() -> Gaussian:
    model = randomise(Gaussian(GaussianConfig(dims=7))).double()
    model.fitted.fill_(True)
    return model


def pixelrnn(kind: type[PixelRNN], **sizes: int) -> PixelRNN:
    sizes = {"height": 3, "width": 5, "layers": 2, "hidden": 6, "head": 6} | sizes
    return randomise(kind(PixelRNNConfig(**sizes))).double()


MODELS = {
    "nade": lambda: nade(),
    "nade of levels and colours, in another order": lambda: nade(levels=3, channels=3, ordering="random"),
    "eonade": lambda: eonade(),
    "eonade of levels and colours": lambda: eonade(levels=3, channels=3),
    "gaussian": gaussian,
    "diagonal": lambda: pixelrnn(DiagonalPixelRNN),
    "diagonal, high and in colour": lambda: pixelrnn(DiagonalPixelRNN, channels=3, height=5, width=2, levels=4),
    "row": lambda: pixelrnn(RowPixelRNN),
    "one row": lambda: pixelrnn(RowPixelRNN, height=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_likelihoods_and_gradients_are_those_of_the_fast_recurrence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[name]()
    (field,) = model.signature().values()
    generator = torch.Generator().manual_seed(0)
    levels = field.levels or 10
    x = torch.randint(levels, (4, *field.shape), generator=generator).double() / (levels - 1)

    def computed() -> tuple[Tensor, ...]:
        found = model.log_prob(x)
        return (found, *torch.autograd.grad(found.sum(), list(model.parameters()), materialize_grads=True))

    fast = computed()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for expected, found in zip(fast, computed(), strict=True):
        torch.testing.assert_close(found, expected)
