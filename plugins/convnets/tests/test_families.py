"""What each family of networks adds to the others."""

from collections.abc import Iterator
from itertools import groupby

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo_convnets.densenet import DenseNet, DenseNetConfig
from zoo_convnets.googlenet import GoogLeNet, GoogLeNetConfig
from zoo_convnets.image_classifier import ImageClassifier
from zoo_convnets.resnet import Block, ResNet, ResNetConfig
from zoo_core import create


def alexnet_2012(**config: object) -> ImageClassifier:
    """Without memory for its tensors."""
    with torch.device("meta"):
        return create("alexnet", config={"variant": "2012", **config})


def test_alexnet_2012_sees_its_images_at_55_27_13_and_6_places_a_side():
    x = torch.empty(1, 3, 227, 227, device="meta")
    sides = []
    for layer in alexnet_2012(height=227, width=227).features:
        x = layer(x)
        sides.append(x.shape[-1])
    assert [side for side, _ in groupby(sides)] == [55, 27, 13, 6]


def test_alexnet_2012_normalises_over_channels_as_the_paper():
    """b = a / (k + alpha sum a^2)^beta over five channels, alpha not divided by their number."""
    model = alexnet_2012()
    layer = next(module for module in model.features if isinstance(module, nn.LocalResponseNorm))
    a = torch.randn(1, 7, 1, 1) * 30
    expected = torch.stack([a[0, i] / (2 + 1e-4 * (a[0, max(0, i - 2) : i + 3] ** 2).sum()) ** 0.75 for i in range(7)])
    torch.testing.assert_close(layer(a)[0], expected)


def test_groups_of_alexnet_2012_see_one_half_of_the_channels():
    model = alexnet_2012()
    convolutions = [module for module in model.features if isinstance(module, nn.Conv2d)]
    assert [module.groups for module in convolutions] == [1, 2, 1, 2, 2]


def test_auxiliary_classifiers_see_4a_and_4d_and_count_in_training_only():
    model = GoogLeNet(GoogLeNetConfig(height=32, width=32, classes=3, auxiliary_dropout=0, dropout=0))
    seen = {}
    for name, module in model.named_modules():
        if name.startswith("inception") and "." not in name:
            module.register_forward_hook(lambda module, inputs, out, name=name: seen.update({name: out}))
        elif name in ("aux1", "aux2"):
            module.register_forward_pre_hook(lambda module, inputs, name=name: seen.update({name: inputs[0]}))
    batch = {"image": torch.rand(2, 3, 32, 32), "label": torch.tensor([0, 2])}
    model.eval()
    model.loss(batch)
    model.logits(batch["image"])
    assert "aux1" not in seen and "aux2" not in seen
    model.train()
    found = model.loss(batch)
    assert torch.equal(seen["aux1"], seen["inception4a"]) and torch.equal(seen["aux2"], seen["inception4d"])
    others = [model.aux1(seen["inception4a"]), model.aux2(seen["inception4d"])]
    main = model.fc(model.avgpool(seen["inception5b"]).flatten(1))
    expected = sum(
        weight * F.cross_entropy(logits, batch["label"], reduction="sum")
        for weight, logits in zip((1, 0.3, 0.3), (main, *others), strict=True)
    )
    torch.testing.assert_close(found.value, expected, rtol=1e-3, atol=1e-3)


def blocks_of(**config: object) -> Iterator[Block]:
    torch.manual_seed(0)
    model = ResNet(ResNetConfig(filters=4, blocks=(2, 1), classes=2, height=32, width=32, **config))
    yield from (module for module in model.modules() if isinstance(module, Block))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_residual_block_that_starts_as_zero_is_its_rectified_shortcut(bottleneck):
    blocks = list(blocks_of(bottleneck=bottleneck, zero_start=True))
    inner = blocks[1]
    x = torch.randn(2, inner.channels, 6, 6)
    assert torch.equal(inner(x.clone()), x.relu())
    halving = blocks[2]
    torch.testing.assert_close(halving(x.clone()), halving.downsample(x).relu())


def test_a_padded_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros():
    block = list(blocks_of(bottleneck=False, shortcut="padding", zero_start=True))[2]
    x = torch.randn(2, 4, 6, 6)
    out = block(x)
    assert torch.equal(out[:, :4], x[:, :, ::2, ::2].relu())
    assert torch.equal(out[:, 4:], torch.zeros(2, 4, 3, 3))


def test_a_plain_block_has_no_shortcut():
    block = list(blocks_of(bottleneck=False, shortcut="none"))[1]
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x.clone()), block.residual(x).relu())


def test_a_dense_block_adds_growth_channels_a_layer_and_keeps_its_input_in_front():
    model = DenseNet(DenseNetConfig(blocks=(3, 2), growth=4, small_images=True, classes=2, height=8, width=8)).eval()
    found = model.extract_features(
        torch.rand(1, 3, 8, 8),
        ["features.conv0", "features.denseblock1", "features.transition1", "features.denseblock2"],
    )
    conv0, block1, transition, block2 = found.values()
    assert conv0.shape[1] == 8 and block1.shape[1] == 8 + 3 * 4
    assert transition.shape[1:] == (10, 4, 4) and block2.shape[1] == 10 + 2 * 4
    assert torch.equal(block1[:, :8], conv0) and torch.equal(block2[:, :10], transition)


def test_a_shortcut_that_pads_leaves_gradients_in_channels_last():
    """Else all layers before it work on mixed layouts, which is slower."""
    model = create("resnet20").to(memory_format=torch.channels_last)
    strays = []

    def note(gradient):
        if not gradient.is_contiguous(memory_format=torch.channels_last):
            strays.append(gradient.stride())

    def watch(out):
        out.register_hook(note)

    for layer in (model.layer1, model.layer2):
        layer.register_forward_hook(lambda module, inputs, out: watch(out))
    model(torch.rand(2, 3, 32, 32).to(memory_format=torch.channels_last)).sum().backward()
    assert not strays
