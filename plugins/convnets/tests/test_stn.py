"""The spatial transformer: its sampler against torch's, its grid, its start, and what gradients reach."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_convnets.stn import STN, SpatialTransformer, STNConfig, affine_grid, sample
from zoo_core import UsageError


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rotation(degrees: float) -> Tensor:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=torch.float64)


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_sampler_equals_that_of_torch_with_its_gradients(align_corners):
    x, grid = noise(2, 3, 5, 7).requires_grad_(), (noise(2, 4, 6, 2) * 0.8).requires_grad_()  # some places are outside
    ours = sample(x, grid, align_corners=align_corners)
    theirs = F.grid_sample(x, grid, align_corners=align_corners)
    torch.testing.assert_close(ours, theirs)
    weights = noise(*ours.shape)
    for own, other in zip(
        torch.autograd.grad((ours * weights).sum(), [x, grid]),
        torch.autograd.grad((theirs * weights).sum(), [x, grid]),
        strict=True,
    ):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_grid_equals_that_of_torch_and_the_identity_changes_nothing(align_corners):
    theta = noise(2, 2, 3)
    torch.testing.assert_close(
        affine_grid(theta, 5, 4, align_corners=align_corners),
        F.affine_grid(theta, [2, 1, 5, 4], align_corners=align_corners),
    )
    x = noise(2, 3, 5, 4)
    identity = torch.eye(2, 3, dtype=torch.float64).expand(2, -1, -1)
    grid = affine_grid(identity, 5, 4, align_corners=align_corners)
    torch.testing.assert_close(sample(x, grid, align_corners=align_corners), x, rtol=0, atol=1e-12)


def test_gradients_go_through_theta():
    x = noise(1, 1, 4, 4)
    theta = torch.tensor([[[0.83, 0.11, 0.061], [-0.13, 0.91, 0.047]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda theta: sample(x, affine_grid(theta, 4, 4)), theta)


def test_a_quarter_turn_moves_every_pixel_exactly_and_turning_back_undoes_any_turn_in_the_middle():
    x = noise(1, 1, 8, 8)
    turned = sample(x, affine_grid(rotation(90), 8, 8))
    torch.testing.assert_close(turned, torch.rot90(x, 1, (2, 3)), rtol=0, atol=1e-12)
    y, x = torch.meshgrid(torch.linspace(-2, 2, 33), torch.linspace(-2, 2, 33), indexing="ij")
    smooth = torch.exp(-(x**2) - 2 * (y - 0.3) ** 2)[None, None].double()
    there = sample(smooth, affine_grid(rotation(30), 33, 33))
    back = sample(there, affine_grid(rotation(-30), 33, 33))
    middle = (..., slice(10, -10), slice(10, -10))
    assert (there - smooth)[middle].abs().max() > 0.1
    torch.testing.assert_close(back[middle], smooth[middle], rtol=0, atol=0.02)


@pytest.mark.parametrize("transform", ["affine", "attention"])
@pytest.mark.parametrize("placement", ["input", "inner", "parallel"])
def test_a_fresh_model_begins_with_the_identity(placement, transform):
    torch.manual_seed(0)
    model = STN(STNConfig(placement=placement, transform=transform, filters=4)).eval()
    x = torch.rand(3, 1, 28, 28)
    count = 2 if placement == "parallel" else 1
    theta = model.theta(x)
    assert torch.equal(theta, torch.eye(2, 3).expand(3, count, -1, -1))
    torch.testing.assert_close(model.transform(x), x.expand(-1, count, -1, -1), rtol=0, atol=1e-5)
    assert model.logits(x).shape == (3, 10)
    before = STN(STNConfig(placement="none", filters=4))
    if count == 1:  # and is the same classifier as without a transformer
        before.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("transformer")})
        torch.testing.assert_close(model.logits(x), before.logits(x), rtol=1e-4, atol=1e-4)


def test_attention_scales_both_axes_alike_and_shifts():
    transformer = SpatialTransformer(1, STNConfig(transform="attention"))
    with torch.no_grad():
        transformer.localise[-1].bias.copy_(torch.tensor([0.5, 0.2, -0.1]))
    expected = torch.tensor([[[0.5, 0, 0.2], [0, 0.5, -0.1]]])
    torch.testing.assert_close(transformer.theta(torch.rand(1, 1, 28, 28)), expected)


@pytest.mark.parametrize("placement", ["input", "inner", "parallel"])
def test_the_loss_moves_the_localisation_network(placement):
    torch.manual_seed(0)
    model = STN(STNConfig(placement=placement, filters=4))
    found = model.loss({"image": torch.rand(4, 1, 28, 28), "label": torch.arange(4)})
    found.value.backward()
    assert all(t.localise[-1].weight.grad.abs().sum() > 0 for t in model.transformer)


def test_places_are_computed_in_full_precision_under_autocast():
    torch.manual_seed(0)
    model, x = STN(STNConfig(filters=4)), torch.rand(2, 1, 28, 28)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model.transformer(x), x, rtol=0, atol=1e-5)


def test_a_model_without_a_transformer_says_so():
    with pytest.raises(UsageError, match="no spatial transformer"):
        STN(STNConfig(placement="none")).transform(torch.rand(1, 1, 28, 28))
