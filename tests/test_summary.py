"""`summarise` and `zoo summary`, against what can be worked out by hand."""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo_core
from zoo_core import Field, Model, Record, UsageError
from zoo_core.discovery.registry import Registry
from zoo_core.interfaces.batches import packed_fields, part_of
from zoo_core.interfaces.random_batch import random_batch
from zoo_core.interfaces.record import to_plain
from zoo_core.measuring.summary import Layer, Summary, summarise

Zoo = Callable[..., Any]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class Net(Model):
    """Any module as a Classifier of images."""

    def __init__(self, net: nn.Module, image: Field) -> None:
        super().__init__(Record())
        self.net = net
        self.image = image

    def signature(self) -> dict[str, Field]:
        return {"label": Field(kind="label", dtype="int64"), "image": self.image}

    def logits(self, x: Tensor) -> Tensor:
        return self.net(x)


def net(*layers: nn.Module, shape: tuple[int | None, ...] = (1, 33, 33), levels: int | None = None) -> Net:
    return Net(nn.Sequential(*layers), Field(kind="image", shape=shape, levels=levels))


def layer(summary: Summary, name: str) -> Layer:
    (found,) = (layer for layer in summary.layers if layer.name == name)
    return found


def conv(n_in: int, n_out: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, **{"padding": kernel // 2, **options})


# Parameters and shapes.


def test_parameters_of_every_layer_include_those_inside_it() -> None:
    model = net(
        nn.Sequential(conv(1, 4), nn.ReLU()), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 81, 2), shape=(1, 9, 9)
    )
    summary = summarise(model)
    assert [found.name for found in summary.layers] == [name for name, _ in model.named_modules()]
    expected = {"net.0": 40, "net.0.0": 40, "net.0.1": 0, "net.1": 8, "net.2": 0, "net.3": 650, "net": 698, "": 698}
    assert {found.name: found.parameters for found in summary.layers} == expected
    assert summary.parameters == 698 == sum(parameter.numel() for parameter in model.parameters())
    assert summary.buffer_bytes == 4 * (4 + 4) + 8  # mean and variance in float32, the int64 number of batches
    assert layer(summary, "net.1").type == "BatchNorm2d"


def test_only_what_is_trained_is_trainable() -> None:
    model = net(conv(1, 2), conv(2, 3))
    model.net[0].requires_grad_(False)
    summary = summarise(model)
    assert (summary.parameters, summary.trainable) == (20 + 57, 57)


def test_tied_weights_count_once_and_are_marked(toy_models: ModuleType) -> None:
    model = toy_models.TiedClassifier(toy_models.ClassifierConfig())
    summary = summarise(model)
    assert summary.parameters == 16 * 16 + 16 + 16 + 3 * 16 + 3 == sum(p.numel() for p in model.parameters())
    shared = {found.name: (found.parameters, found.shared) for found in summary.layers}
    assert shared == {"": (339, 0), "first": (272, 0), "second": (272, 256), "classify": (51, 0)}


def test_weights_tied_inside_a_layer_are_its_own() -> None:
    inner = nn.Sequential(conv(2, 2), conv(2, 2))
    inner[1].weight = inner[0].weight
    summary = summarise(net(inner, shape=(2, 5, 5)))
    assert (layer(summary, "net.0").parameters, layer(summary, "net.0").shared) == (40, 0)
    assert layer(summary, "net.0.1").shared == 36


def test_a_layer_that_two_hold_counts_once() -> None:
    embed = conv(1, 1)
    summary = summarise(net(nn.Sequential(embed), nn.Sequential(embed, conv(1, 2))))
    assert {found.name: (found.parameters, found.shared) for found in summary.layers} == {
        "": (30, 0), "net": (30, 0), "net.0": (10, 0), "net.0.0": (10, 0), "net.1": (30, 10), "net.1.1": (20, 0),
    }  # fmt: skip
    assert layer(summary, "net.0.0").calls == 2


def test_shapes_are_of_the_batch() -> None:
    summary = summarise(net(conv(1, 4, stride=2), nn.Flatten(), shape=(1, 9, 9)), batch=3)
    assert (summary.batch, summary.input) == (3, {"label": (3,), "image": (3, 1, 9, 9)})
    assert [found.output for found in summary.layers] == [(3, 100), (3, 100), (3, 4, 5, 5), (3, 100)]


class Bypassed(nn.Module):
    """Uses the parameters of a layer that it never calls; one layer is of no use at all."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(9, 2), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.used.weight)


def test_layers_that_are_never_called_are_there() -> None:
    summary = summarise(net(Bypassed(), shape=(1, 3, 3)))
    used = layer(summary, "net.0.used")
    assert (used.calls, used.output, used.flops, used.receptive_field, used.parameters) == (0, None, None, None, 20)
    assert layer(summary, "net.0.idle").parameters == 12
    assert layer(summary, "net.0").flops == summary.flops == 2 * 9 * 2


def test_a_layer_with_several_outputs_has_the_shape_of_the_first() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 7, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x[:, 0])[0]

    summary = summarise(net(Recurrent(), shape=(1, 6, 5)), batch=2)
    assert layer(summary, "net.0.lstm").output == (2, 6, 7)
    assert summary.flops == 2 * 2 * 6 * (5 + 7) * (4 * 7)  # a fused kernel that the counter does not know


# FLOPs.


@pytest.mark.parametrize(
    ("module", "shape", "flops"),
    [
        (nn.Conv2d(3, 8, 3), (3, 10, 10), 2 * 8 * 8 * 8 * 27),
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10), 2 * 8 * 10 * 10 * 27),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 10, 10), 2 * 8 * 5 * 5 * 27),
        (nn.Conv2d(4, 8, 3, groups=2, padding=1), (4, 10, 10), 2 * 8 * 10 * 10 * 2 * 9),
        (nn.Conv2d(4, 4, 5, groups=4), (4, 10, 10), 2 * 4 * 6 * 6 * 25),
        (nn.Conv2d(2, 4, 3, dilation=2), (2, 10, 10), 2 * 4 * 6 * 6 * 18),
        (nn.ConvTranspose2d(3, 4, 3, stride=2), (3, 8, 8), 2 * 3 * 4 * 9 * 8 * 8),
        (nn.Linear(10, 7), (3, 10, 10), 2 * 3 * 10 * 10 * 7),
        (nn.Linear(10, 7, bias=False), (3, 10, 10), 2 * 3 * 10 * 10 * 7),
    ],
    ids=str,
)
def test_flops_are_the_closed_form(module: nn.Module, shape: tuple[int, ...], flops: int) -> None:
    for batch in (1, 3):
        summary = summarise(net(nn.Sequential(module), nn.ReLU(), shape=shape), batch=batch)
        assert summary.flops == flops * batch and summary.flops_per_example == flops
        for name in ("", "net", "net.0", "net.0.0"):
            assert layer(summary, name).flops == flops * batch
        assert layer(summary, "net.1").flops == 0


def test_two_layers_of_one_class_have_their_own_flops() -> None:
    class Bare(Net):
        def logits(self, x: Tensor) -> Tensor:  # calls the layers with no module around them
            return self.net[1](self.net[0](x))

    summary = summarise(Bare(nn.ModuleList([conv(1, 2), conv(2, 3)]), Field(kind="image", shape=(1, 4, 4))))
    assert layer(summary, "net.0").flops == 2 * 16 * 2 * 9
    assert layer(summary, "net.1").flops == 2 * 16 * 3 * 18
    assert layer(summary, "net").flops == summary.flops == 2 * 16 * (18 + 54)
    assert layer(summary, "net").calls == 0


def test_a_layer_that_is_called_twice_is_one_layer_and_costs_twice() -> None:
    twice = conv(2, 2)
    summary = summarise(net(twice, nn.ReLU(), twice, shape=(2, 9, 9)))
    assert [found.name for found in summary.layers] == ["", "net", "net.0", "net.1"]
    found = layer(summary, "net.0")
    assert (found.calls, found.flops, found.parameters) == (2, 2 * 2 * 81 * 2 * 18, 38)
    assert found.receptive_field == (5, 5)  # of the last call


def test_attention_has_flops() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x[:, 0], x[:, 0], x[:, 0], need_weights=False)[0]

    projections, products = 4 * 2 * 6 * 8 * 8, 2 * 2 * 6 * 6 * 8
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    assert summarise(net(Attend(), shape=(1, 6, 8))).flops == projections + products
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before


# Receptive fields.


@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU, lambda: nn.ReLU(inplace=True), nn.Tanh])
def test_a_stack_of_convolutions_sees_one_pixel_more_on_each_side(activation: Callable[[], nn.Module]) -> None:
    summary = summarise(net(*(layer for n in range(6) for layer in (conv(4 if n else 1, 4), activation()))))
    for n in range(6):
        for place in (2 * n, 2 * n + 1):
            assert layer(summary, f"net.{place}").receptive_field == (3 + 2 * n, 3 + 2 * n)
    assert layer(summary, "").receptive_field == layer(summary, "net").receptive_field == (13, 13)


def closed_form(steps: list[tuple[int, int, int]]) -> int:
    """The receptive field of layers of (kernel, stride, dilation): 1 + sum of (k - 1) d and the strides before."""
    field, jump = 1, 1
    for kernel, stride, dilation in steps:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


@pytest.mark.parametrize(
    "steps",
    [
        [(3, 2, 1), (3, 1, 1)],
        [(3, 2, 1), (3, 2, 1), (3, 2, 1)],
        [(3, 1, 2)],
        [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        [(1, 1, 1), (5, 2, 1), (3, 1, 2)],
        [(7, 3, 1)],
    ],
    ids=str,
)
def test_strides_and_dilations_give_the_closed_form(steps: list[tuple[int, int, int]]) -> None:
    channels = [1, *(3 for _ in steps)]
    layers = [
        nn.Conv2d(n_in, n_out, kernel, stride=stride, dilation=dilation, padding=dilation * (kernel // 2))
        for (n_in, n_out), (kernel, stride, dilation) in zip(pairwise(channels), steps, strict=True)
    ]
    summary = summarise(net(*layers, shape=(1, 41, 41)))
    for n in range(len(steps)):
        size = closed_form(steps[: n + 1])
        assert layer(summary, f"net.{n}").receptive_field == (size, size)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("size", [2, 3])
def test_a_maximum_sees_its_whole_window(size: int, levels: int | None) -> None:
    maximum, blur = (size, size, 1), (3, 1, 1)
    model = net(conv(1, 2), nn.MaxPool2d(size), conv(2, 2), nn.MaxPool2d(size), shape=(1, 45, 45), levels=levels)
    summary = summarise(model)
    for n in range(4):
        field = closed_form([blur, maximum, blur, maximum][: n + 1])
        assert layer(summary, f"net.{n}").receptive_field == (field, field)
    assert layer(summarise(net(nn.MaxPool2d(size))), "net.0").receptive_field == (size, size)


@pytest.mark.parametrize("seed", range(10))
def test_units_that_are_dead_for_these_weights_hide_nothing(seed: int) -> None:
    torch.manual_seed(seed)
    model = net(conv(1, 3), nn.ReLU(), conv(3, 3), nn.ReLU(), conv(3, 3), nn.ReLU())
    assert layer(summarise(model), "net.5").receptive_field == (7, 7)


class Skip(nn.Module):
    """x + branch(x), in place: what the branch made is changed after it was seen."""

    def __init__(self, branch: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.branch, self.skip = branch, skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        y += self.skip(x)
        return y


def test_a_sum_sees_what_any_of_its_paths_sees() -> None:
    summary = summarise(net(Skip(conv(1, 2), conv(1, 2, kernel=7)), conv(2, 2)))
    assert layer(summary, "net.0.branch").receptive_field == (3, 3)
    assert layer(summary, "net.0.skip").receptive_field == (7, 7)
    assert layer(summary, "net.0").receptive_field == (7, 7)
    assert layer(summary, "net.1").receptive_field == (9, 9)


def test_a_branch_that_begins_at_zero_is_seen() -> None:
    branch = nn.Sequential(conv(1, 2), nn.BatchNorm2d(2))
    nn.init.zeros_(branch[1].weight)
    model = net(Skip(branch, nn.Conv2d(1, 2, 1)))
    assert layer(summarise(model), "net.0").receptive_field == (3, 3)
    assert not model.net[0].branch[1].weight.any()


def test_height_and_width_are_told_apart() -> None:
    summary = summarise(net(nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), shape=(1, 20, 31)))
    assert layer(summary, "net.0").receptive_field == (3, 5)


def test_a_field_ends_at_the_border() -> None:
    summary = summarise(net(*(conv(1, 1) for _ in range(4)), shape=(1, 5, 7)))
    assert layer(summary, "net.3").receptive_field == (5, 7)


def test_whole_image_layers_see_it_all() -> None:
    summary = summarise(net(conv(1, 4), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), shape=(1, 12, 10)))
    fields = [layer(summary, f"net.{n}").receptive_field for n in range(4)]
    assert fields == [(3, 3), (12, 10), (12, 10), None]  # the last is no map


def test_batch_norm_does_not_mix_examples_or_places() -> None:
    summary = summarise(net(conv(1, 4), nn.BatchNorm2d(4)).train())
    assert layer(summary, "net.1").receptive_field == (3, 3)


class Causal(nn.Conv2d):
    """Sees the rows above and the pixels to the left: half of its window."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones_like(self.weight)
        centre = self.kernel_size[0] // 2
        mask[:, :, centre, centre:] = 0
        mask[:, :, centre + 1 :] = 0
        return self._conv_forward(x, self.weight * mask, self.bias)


def test_a_causal_layer_has_the_box_of_what_it_sees() -> None:
    summary = summarise(net(Causal(1, 3, 5, padding=2), Causal(3, 3, 5, padding=2), shape=(1, 21, 21)))
    # One layer: two rows of five pixels above, and two pixels on the left. Two: 4 rows above; 4 pixels on each side.
    assert layer(summary, "net.0").receptive_field == (3, 5)
    # The last row is seen only from its left: from -4 to -2. Above it the box is 9 wide.
    assert layer(summary, "net.1").receptive_field == (5, 9)


def test_no_field_where_no_gradient_goes() -> None:
    class Round(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.round()

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones_like(x)

    class Detach(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    for blind in (Round(), Constant(), Detach()):
        summary = summarise(net(conv(1, 2), blind, conv(2, 2)))
        assert [layer(summary, f"net.{n}").receptive_field for n in range(3)] == [(3, 3), None, None]
        assert summary.no_receptive_fields is None


def test_an_operation_without_a_gradient_costs_only_the_fields() -> None:
    class NoGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return NoGradient.apply(x)

    summary = summarise(net(conv(1, 2), Odd()))
    assert layer(summary, "net.0").flops and layer(summary, "net.0").receptive_field is None
    assert summary.no_receptive_fields


def test_what_would_take_too_long_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    large = summarise(net(conv(1, 1), shape=(1, 4, 600)))
    assert layer(large, "net.0").receptive_field is None and "600" in str(large.no_receptive_fields)
    monkeypatch.setattr("zoo_core.measuring.summary.MAX_FLOPS", 1000)
    dear = summarise(net(conv(1, 1)))
    assert layer(dear, "net.0").receptive_field is None and "FLOPs" in str(dear.no_receptive_fields)


# What is measured, and on what.


def test_the_model_and_the_random_state_are_left_alone() -> None:
    model = net(conv(1, 2), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    model.net[1].eval()  # frozen: a flag of its own
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    first = summarise(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.training, model.net[0].training, model.net[1].training) == (True, True, False)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    torch.rand(7)
    assert summarise(model) == first


class Elements(Model):
    """A Density, or what a subclass makes of it."""

    def __init__(self) -> None:
        super().__init__(Record())
        self.linear = nn.Linear(4, 2)

    def signature(self) -> dict[str, Field]:
        return {"tokens": Field(kind="tokens", shape=(4,), classes=("a", "b", "c"))}

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.float())


def test_the_first_capability_is_measured() -> None:
    class Both(Elements):
        def reconstruct(self, x: Tensor) -> Tensor:
            raise AssertionError("not this one")

        def log_prob(self, x: Tensor) -> Tensor:
            return self(x).sum(1)

    class Trained(Elements):
        def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self(batch["tokens"]).mean()

    assert (summarise(Both()).measured, summarise(Trained()).measured) == ("log_prob", "loss")
    plain = summarise(Elements())
    assert (plain.measured, plain.flops, plain.layers[0].output) == ("forward", 16, (1, 2))


def test_a_model_with_nothing_to_run_still_has_its_parameters(toy_models: ModuleType) -> None:
    summary = summarise(toy_models.Gan(Record()))
    assert (summary.measured, summary.flops, summary.input) == (None, None, {})
    assert {found.name: found.parameters for found in summary.layers} == {"": 65, "generator": 48, "discriminator": 17}
    assert all(found.output is None and found.flops is None and found.calls == 0 for found in summary.layers)


def test_random_batches_fit_their_fields() -> None:
    signature = {
        "image": Field(kind="image", shape=(3, None, 5), range=(-1, 1), levels=3),
        "grey": Field(kind="image", shape=(1, 8, 8), range=(2, 4)),
        "label": Field(kind="label", dtype="int64", classes=("a", "b", "c")),
        "mask": Field(kind="mask", shape=(8, 8), dtype="bool"),
        "tokens": Field(kind="tokens", shape=(6,), range=(0, 9)),
        "vector": Field(kind="vector", shape=(50,)),
    }
    batch = random_batch(signature, 7)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "image": (7, 3, 64, 5), "grey": (7, 1, 8, 8), "label": (7,), "mask": (7, 8, 8), "tokens": (7, 6),
        "vector": (7, 50),
    }  # fmt: skip
    assert batch["image"].unique().tolist() == [-1, 0, 1]
    assert 2 <= batch["grey"].min() < 2.2 and 3.8 < batch["grey"].max() <= 4
    assert batch["label"].dtype == batch["tokens"].dtype == torch.int64 and batch["mask"].dtype == torch.bool
    assert set(batch["label"].tolist()) <= {0, 1, 2} and set(batch["tokens"].flatten().tolist()) <= set(range(10))
    assert batch["vector"].min() < -1 and batch["vector"].max() > 1


def test_random_batches_hold_texts_boxes_and_packed_rows_with_their_index() -> None:
    signature = {
        "image": Field(kind="image", shape=(1, 8, 20)),
        "boxes": Field(kind="boxes", shape=(4,), index="owner"),
        "label": Field(kind="label", dtype="int64", classes=("a", "b", "c"), index="owner"),
        "words": Field(kind="tokens", dtype="int64", levels=9, index="sentence"),
        "crop": Field(kind="boxes", shape=(4,)),
        "text": Field(kind="text"),
    }
    batch = random_batch(signature, 50)
    for index in ("owner", "sentence"):
        owner = batch[index]
        assert owner.tolist() == sorted(owner.tolist()) and set(owner.tolist()) == set(range(50)) and len(owner) < 151
    assert len(batch["boxes"]) == len(batch["label"]) == len(batch["owner"]) != len(batch["sentence"])
    assert len(batch["words"]) == len(batch["sentence"]) and set(batch["words"].tolist()) == set(range(9))
    for boxes in (batch["boxes"], batch["crop"]):
        left, top, right, bottom = boxes.unbind(1)
        assert (left >= 0).all() and (left <= right).all() and (right <= 20).all() and right.max() > 10
        assert (top >= 0).all() and (top <= bottom).all() and (bottom <= 8).all()
    assert len(set(batch["text"])) == 50 and all(len(text.split()) == 8 for text in batch["text"])
    assert part_of(batch, slice(3, 4), packed_fields(signature))["boxes"].tolist() == [
        box for box, owner in zip(batch["boxes"].tolist(), batch["owner"].tolist(), strict=True) if owner == 3
    ]
    with pytest.raises(UsageError, match="boxes are of four numbers, and 'odd' is of shape"):
        random_batch({"odd": Field(kind="boxes")}, 2)


@pytest.mark.parametrize("name", ["mood", "spot", "threshold", "shout", "letters", "line"])
def test_a_model_of_texts_boxes_or_masks_has_a_summary(name: str, registry: Registry) -> None:
    model = zoo_core.create(f"kind-{name}", registry=registry)
    found = summarise(model, batch=3)
    method = {"mood": "logits", "spot": "detect", "threshold": "segment", "shout": "translate",
              "letters": "token_log_prob", "line": "predict"}  # fmt: skip
    assert found.measured == method[name] and found.input[model.subject][0] == 3


def test_a_model_of_packed_sequences_has_a_summary(registry: Registry) -> None:
    found = summarise(zoo_core.create("system-bags", registry=registry), batch=2)
    rows = found.input["bag"][0]
    assert found.measured == "logits" and found.input["numbers"] == (rows,) and found.input["size"] == (2, 1)
    outputs = {layer.name: layer.output for layer in found.layers}
    assert outputs["vectors"] == (rows, 4) and outputs["classify"] == (2, 2)


def test_a_batch_has_an_example(toy_models: ModuleType) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        summarise(toy_models.Gan(Record()), batch=0)


# The models that are here.


@pytest.mark.parametrize("name", ["pixelrnn", "pixelrnn-row"])
def test_pixelrnn(name: str, registry: Registry) -> None:
    config = {"height": 9, "width": 11, "hidden": 4, "layers": 2, "head": 6}
    model = zoo_core.create(name, registry=registry, config=config)
    summary = summarise(model)
    assert summary.measured == "log_prob" and summary.input == {"image": (1, 1, 9, 11)}
    assert summary.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert sum(p.numel() for p in model.input_conv.parameters()) == layer(summary, "input_conv").parameters
    assert layer(summary, "input_conv").flops == 2 * 49 * 8 * 99
    assert layer(summary, "input_conv").receptive_field == (4, 7)  # mask A: three rows above, and its own from the left
    assert layer(summary, "head1").flops == 2 * 8 * 6 * 99
    assert layer(summary, "layers").flops == sum(layer(summary, f"layers.{n}").flops or 0 for n in range(2))
    assert (summary.flops or 0) > (layer(summary, "layers").flops or 0) > 0


def test_half_precision_is_no_obstacle() -> None:
    assert layer(summarise(net(conv(1, 2)).to(torch.bfloat16)), "net.0").receptive_field == (3, 3)


# The command.


def test_json_is_the_python_result(zoo: Zoo, toy_models: ModuleType) -> None:
    code, out, err = zoo("summary", "toy-classifier", "--json", "--batch", 2)
    assert (code, err) == (0, "")
    expected = summarise(toy_models.TiedClassifier(toy_models.ClassifierConfig()), batch=2)
    assert json.loads(out) == json.loads(json.dumps(to_plain(expected)))


def test_the_table_is_a_line_a_layer_and_then_exact_totals(zoo: Zoo) -> None:
    code, out, err = zoo("summary", "toy-classifier")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows.pop(0)[0] == "layer" and rows.pop(-5) == ["total", "exactly", "about"]
    assert [row[0] for row in rows[:-4]] == ["TiedClassifier", "first", "second", "classify"]
    assert rows[2] == ["second", "Linear", "1", "1x16", "272*", "512", "-"]
    assert [row[:2] for row in rows[-4:]] == [
        ["parameters", "339"], ["trainable", "339"], ["buffer_bytes", "8"], ["flops_per_example", "1120"],
    ]  # fmt: skip
    assert "logits" in err and "2 for a multiply-add" in err and "*:" in err


def test_a_name_is_the_architecture_and_a_tag_or_folder_the_release(zoo: Zoo, toy_release: Any) -> None:
    for model in ("toy", "TOY_pixels", "toy:toy", "toy.bits", toy_release):
        code, out, _ = zoo("summary", model, "--no-header")
        assert code == 0 and out.startswith("IndependentPixels\tIndependentPixels\t1\t1\t16\t0\t-\n")
    assert zoo("summary", "toy-gan").code == 0
    assert "parameters\t12\t" in zoo("summary", "toy-wide").out


def test_depth_hides_layers_and_no_numbers(zoo: Zoo) -> None:
    def lines(*options: object) -> list[str]:
        return zoo(
            "summary", "pixelrnn-row", "--set", "layers=1", "--set", "hidden=2", "--no-header", *options
        ).out.splitlines()

    shallow, deep = lines("--depth", 1), lines()
    assert set(shallow) < set(deep) and not any(line.startswith("layers.") for line in shallow)
    assert shallow[-4:] == deep[-4:]
    assert [line.split("\t")[0] for line in lines("--depth", 0)[:-4]] == ["RowPixelRNN"]


def test_the_data_set_decides_the_config(zoo: Zoo) -> None:
    code, out, err = zoo("summary", "toy-classifier", "--data", "toy-grey", "--set", "classes=5", "--json")
    assert code == 0, err
    (head,) = (found for found in json.loads(out)["layers"] if found["name"] == "classify")
    assert head["parameters"] == 5 * 17
    (conv,) = (
        found
        for found in json.loads(zoo("summary", "pixelrnn-row", "--data", "toy-bits", "--json").out)["layers"]
        if found["name"] == "input_conv"
    )
    assert conv["output"][2:] == [4, 4]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("toyy", ("no model named 'toyy'", "'toy'")),
        ("toy.bit", ("'toy.bits'",)),
        ("toy --data toy-bit", ("no data set named 'toy-bit'",)),
        ("toy --set widht=3", ("'widht'", "width")),
        ("toy --set width=0", ("width", ">= 1")),
        ("toy --set width", ("NAME=VALUE",)),
        ("toy.bits --set width=3", ("'toy.bits' has its Config",)),
        ("toy.bits --data toy-bits", ("'toy.bits' has its Config",)),
        ("toy --batch 0", ("--batch",)),
        ("toy --depth -1", ("--depth",)),
    ],
)
def test_a_mistake_is_one_clear_line(command: str, words: tuple[str, ...], zoo: Zoo) -> None:
    code, out, err = zoo("summary", *command.split())
    assert (code, out) == (2, "") and "Traceback" not in err
    assert all(word in err for word in words), err
    assert sum(line.startswith("Error: ") for line in err.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (1234567, "1.23 M"), (999_600, "1 M"), (3.4e9, "3.4 G"), (5e15, "5 P")],
)
def test_numbers_for_people(number: float, text: str) -> None:
    from zoo_core.cli.measure.summary import _short

    assert _short(number) == text
