"""What every model of images takes and refuses: values, sizes, and what is known of an image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.ar import AR, ARConfig
from zoo_autoregressive.eonade import EoNADE, EoNADEConfig
from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_autoregressive.pixel_density import PixelDensity
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_core import Field, UsageError
from zoo_core.testing import randomise

SIZES: dict[str, Any] = {"height": 2, "width": 3, "levels": 3}
BUILDERS = {
    "ar": lambda: AR(ARConfig(**SIZES)),
    "nade": lambda: NADE(NADEConfig(hidden=4, **SIZES)),
    "eonade": lambda: EoNADE(EoNADEConfig(hidden=4, orderings=2, **SIZES)),
    "pixelcnn": lambda: PixelCNN(PixelCNNConfig(hidden=4, layers=1, head=4, **SIZES)),
}
TOP_ROW = torch.tensor([[True], [False]]).expand(2, 3)


@pytest.fixture(params=BUILDERS)
def model(request: pytest.FixtureRequest) -> PixelDensity:
    return randomise(BUILDERS[request.param]())


def images(n: int = 2) -> Tensor:
    return torch.randint(3, (n, 1, 2, 3), generator=torch.Generator().manual_seed(0)) / 2


def with_value(value: float, row: int) -> Tensor:
    x = images()
    x[1, 0, row, 2] = value
    return x


def completed(model: PixelDensity, x: Tensor, known: Tensor) -> Tensor:
    return model.complete(x, known, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [0.3, -0.5, 1.5, torch.nan, torch.inf])
def test_a_value_that_is_none_of_the_levels_is_refused_where_it_is_known(model, value):
    with pytest.raises(UsageError, match="one of 3 even levels"):
        model.log_prob(with_value(value, row=0))
    with pytest.raises(UsageError, match="one of 3 even levels"):
        completed(model, with_value(value, row=0), TOP_ROW)
    assert torch.equal(completed(model, with_value(value, row=1), TOP_ROW), completed(model, images(), TOP_ROW))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), (2, 3), (1, 2, 3), (2, 1, 1, 1)])
def test_what_is_known_is_broadcast(model, shape):
    known = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(completed(model, images(), known), completed(model, images(), known.expand(2, 1, 2, 3)))


@pytest.mark.parametrize("shape", [(4,), (3, 2), (3, 1, 2, 3), (1, 2, 1, 2, 3)])
def test_what_cannot_be_broadcast_is_refused_with_both_shapes(model, shape):
    with pytest.raises(UsageError) as refused:
        completed(model, images(), torch.ones(shape, dtype=torch.bool))
    assert str(refused.value).startswith(f"known must broadcast to [2, 1, 2, 3], got {list(shape)}")


def test_other_arguments_are_refused(model):
    for use in (model.log_prob, lambda x: completed(model, x, torch.tensor(True)), model.sample_from):
        with pytest.raises(UsageError, match=r"images must be \[B, 1, 2, 3\], got \[2, 1, 3, 2\]"):
            use(images().mT)
    with pytest.raises(UsageError, match=r"known must be a bool tensor, got torch.float32"):
        completed(model, images(), TOP_ROW.float())
    with pytest.raises(UsageError, match="x and known go together"):
        model.sample_from(images(), x=images())
    with pytest.raises(UsageError, match="temperature must be greater than 0, got 0"):
        model.sample(1, temperature=0)


@pytest.mark.parametrize("shape", [(8, 8), (1, None, 8)])
def test_images_of_no_one_size_are_refused(shape):
    with pytest.raises(UsageError, match="AR needs images of one size"):
        AR.config_for({"image": Field(kind="image", shape=shape, levels=2)})
