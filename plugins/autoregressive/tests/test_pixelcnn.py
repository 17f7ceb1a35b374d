"""PixelCNN: the equations, the checks of every density, and the pixels it is blind to."""

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.masks import MaskedConv2d, MaskedLinear
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_core import RecordError
from zoo_core.testing import (
    check_calibration,
    check_completeness,
    check_density,
    check_normalisation,
    randomise,
)


def small(channels: int = 1, **sizes: int) -> PixelCNN:
    """A small model with random weights and biases."""
    hidden = 3 if channels == 3 else 4
    sizes = {"height": 3, "width": 4, "layers": 2, "hidden": hidden, "head": 2 * hidden} | sizes
    return randomise(PixelCNN(PixelCNNConfig(channels=channels, **sizes)))


def colour(feature: int, features: int, channels: int) -> int:
    """Of a feature: the first third may know what is known when R is drawn, and so on."""
    return feature // (features // channels)


def convolution(maps: dict, weight: Tensor, bias: Tensor, channels: int, itself: bool) -> dict:
    """A masked convolution as a loop over pairs of pixels; a map is a dict (row, column) -> features [n]."""
    n_out, n_in, kernel, _ = weight.shape
    reach, out = kernel // 2, {}
    for i, j in maps:
        total = bias.clone()
        for a, b in maps:
            if max(abs(a - i), abs(b - j)) > reach or (a, b) > (i, j):
                continue
            tap = weight[:, :, reach + a - i, reach + b - j].clone()
            if (a, b) == (i, j):
                for to in range(n_out):
                    for source in range(n_in):
                        after = colour(source, n_in, channels) - colour(to, n_out, channels)
                        if after > 0 or (after == 0 and not itself):
                            tap[to, source] = 0
            total = total + tap @ maps[a, b]
        out[i, j] = total
    return out


def reference(model: PixelCNN, image: Tensor) -> Tensor:
    """The whole network as loops over pixels: [C, H, W] -> [1 or levels, C, H, W]."""
    c = model.config
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def conv(name: str, maps: dict, itself: bool = True) -> dict:
        return convolution(maps, weights[f"{name}.weight"], weights[f"{name}.bias"], c.channels, itself)

    def relu(maps: dict) -> dict:
        return {at: x.clamp(min=0) for at, x in maps.items()}

    maps = {(i, j): image[:, i, j] for i in range(c.height) for j in range(c.width)}
    maps = conv("input_conv", maps, itself=False)
    for k in range(c.layers):
        inner = maps
        for name in ("down", "conv", "up"):
            inner = conv(f"layers.{k}.{name}", relu(inner))
        maps = {at: maps[at] + inner[at] for at in maps}
    for name in ("head1", "head2", "output"):
        maps = conv(name, relu(maps))
    logits = torch.stack([maps[i, j] for i in range(c.height) for j in range(c.width)], -1)
    return logits.view(c.channels, -1, c.height, c.width).transpose(0, 1)


@pytest.mark.parametrize(
    "sizes",
    [
        {"height": 3, "width": 4},
        {"height": 5, "width": 3, "levels": 5},
        {"height": 1, "width": 1},
        {"height": 1, "width": 5},
        {"height": 5, "width": 1},
        {"channels": 3, "height": 2, "width": 3, "hidden": 6, "levels": 4},
    ],
    ids=str,
)
def test_the_network_equals_a_loop_over_pixels(sizes):
    model = small(**sizes).double()
    c = model.config
    x = torch.rand(2, c.channels, c.height, c.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([reference(model, image) for image in x])
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)


def test_the_model_is_a_density_and_its_sampler_exact():
    def build(**sizes: int) -> PixelCNN:
        hidden = 3 if sizes["channels"] == 3 else 4
        return PixelCNN(PixelCNNConfig(hidden=hidden, layers=2, head=2 * hidden, **sizes))

    check_density(build, complete=False)


def test_the_blind_spot_is_the_wedge_on_the_right():
    """One block more than one row: the row above is seen 3 pixels to the right, and 1 more for each block, which the
    3x3 convolutions buy with a row each. On 3x12 with one block, a row above reaches 3 pixels, two rows above 4."""
    model = small(height=3, width=12, layers=1)
    seen = 0
    for row in range(3):
        for column in range(12):
            for a in range(row + 1):
                for b in range(12):
                    if (a, b) < (row, column):
                        reach = {0: 0, 1: 3, 2: 4}[row - a]
                        seen += b - column <= reach and column - b <= 4
    check_completeness(model, expected=seen)


@pytest.mark.parametrize("std", [0.3, 1])
def test_the_probabilities_of_all_images_sum_to_one(std):
    model = small(height=3, width=3)
    for seed in range(3):
        check_normalisation(randomise(model, std=std, seed=seed))


def test_an_image_of_mnist_size_has_the_nll_of_a_coin_at_zero_weights():
    check_calibration(PixelCNN(PixelCNNConfig()))


def test_half_precision_changes_the_likelihood_little():
    """It trains in bf16: the loss is computed in single precision from its logits."""
    model = PixelCNN(PixelCNNConfig(height=8, width=8, layers=3))
    x = torch.randint(2, (4, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    exact = model.log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.log_prob(x)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)


def test_parameter_count():
    assert sum(parameter.numel() for parameter in PixelCNN(PixelCNNConfig()).parameters()) == 207_969


def test_a_bad_config_is_refused():
    with pytest.raises(RecordError, match="hidden must be a multiple of the 3 channels, got 32"):
        PixelCNNConfig(channels=3, head=33)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fresh_network_is_neither_dead_nor_exploding(channels):
    """All blocks together multiply the mean square by (1 + 1/L)^L, about e; by 1.01 with torch's own initialisation."""
    torch.manual_seed(0)
    model = PixelCNN(PixelCNNConfig(channels=channels, hidden=48, layers=8, head=48))
    with torch.no_grad():
        before = after = model.input_conv(torch.randn(8, channels, 28, 28))
        for layer in model.layers:
            after = layer(after)
    for group_before, group_after in zip(before.chunk(channels, 1), after.chunk(channels, 1), strict=True):
        assert 1.8 < group_after.square().mean() / group_before.square().mean() < 4


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("mask", ["A", "B"])
def test_a_start_counts_only_the_weights_that_the_mask_leaves(groups, mask):
    torch.manual_seed(0)
    layer = MaskedConv2d(96, 96, 3, groups=groups, mask=mask)
    layer.init_weights(2)
    with torch.no_grad():
        inner = layer(torch.randn(16, 96, 12, 12))[..., 1:-1, 1:-1]  # beyond the border is zero
    for group in inner.chunk(groups, 1):
        assert group.square().mean().item() == pytest.approx(2, rel=0.1)


def test_a_linear_layer_starts_alike():
    torch.manual_seed(0)
    layer = MaskedLinear(96, 96, groups=3)
    layer.init_weights(1)
    with torch.no_grad():
        out = layer(torch.randn(96, 2000))
    for group in out.chunk(3, 0):
        assert group.square().mean().item() == pytest.approx(1, rel=0.2)
