"""All convolutional classifiers: sizes, names of tensors, features, heads, training.

What each family adds is in test_families.py.
"""

import hashlib
import math
import re
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_convnets.alexnet import AlexNet, AlexNetConfig
from zoo_convnets.densenet import DenseNet, DenseNetConfig
from zoo_convnets.digit_classifier import DigitClassifier, DigitClassifierConfig
from zoo_convnets.googlenet import GoogLeNet, GoogLeNetConfig
from zoo_convnets.image_classifier import PENULTIMATE, ImageClassifier
from zoo_convnets.plugin import zoo_models
from zoo_convnets.resnet import ResNet, ResNetConfig
from zoo_convnets.resnet9 import ResNet9, ResNet9Config
from zoo_convnets.stn import STN, STNConfig
from zoo_convnets.vgg import VGG, VGGConfig
from zoo_core import Field, RecordError, UnknownName, UsageError, create, default_registry
from zoo_core.interfaces.capabilities import Classifier, FeatureExtractor
from zoo_core.training.optimizers import LiveOptimizer

SPECS = {spec.name: spec for spec in zoo_models()}

# As published, or counted by hand from the papers' tables.
COUNTS = {
    "alexnet": 61_100_840, "vgg11": 132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544, "vgg19": 143_667_240,
    "vgg11-bn": 132_868_840, "vgg13-bn": 133_053_736, "vgg16-bn": 138_365_992, "vgg19-bn": 143_678_248,
    "googlenet": 13_004_888, "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
    "resnet101": 44_549_160, "resnet152": 60_192_808, "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586,
    "resnet56": 853_018, "resnet110": 1_727_962, "plain20": 269_722, "densenet121": 7_978_856,
    "densenet161": 28_681_000, "densenet169": 14_149_480, "densenet201": 20_013_928, "densenet-bc-100": 769_162,
}  # fmt: skip
# sha256 over the names and shapes of all tensors of torchvision 0.28's network, sorted; its first 16 digits.
KEYS = {
    "alexnet": "935c1ea73a7869ee",
    "vgg11": "b11acd4f90d9643f",
    "vgg13": "79ca8fd7a1480aa7",
    "vgg16": "ba63c2556d912509",
    "vgg19": "393fac8b08b63fbe",
    "vgg11-bn": "56ed5816909a8132",
    "vgg13-bn": "e4f52ce016e5e82f",
    "vgg16-bn": "86bad13b66635552",
    "vgg19-bn": "faf0fdbb92f698c6",
    "googlenet": "de3745733576b3b1",
    "resnet18": "5191d63ec3989592",
    "resnet34": "f8de2a1812ef85e4",
    "resnet50": "a87e91cd6bd1f939",
    "resnet101": "dbc3ca74fffafc72",
    "resnet152": "7d486dbdc941506e",
    "densenet121": "9c659ec278435e95",
    "densenet161": "96e788964c2c431f",
    "densenet169": "03a0accd6e99d8d0",
    "densenet201": "ebf13d018b02ad9d",
}
SMALL = [
    "alexnet-small",
    "googlenet-small",
    "resnet20",
    "plain20",
    "resnet9",
    "densenet-bc-40",
    "digit-classifier",
    "stn",
]


@cache
def outline(name: str, **config: object) -> ImageClassifier:
    """The model without memory for its tensors."""
    with torch.device("meta"):
        return create(name, config=config)


def small(name: str, **config: object) -> ImageClassifier:
    """A small model of each family with random weights, statistics of batches included, for evaluation."""
    torch.manual_seed(0)
    model = create(name, config=config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def images(model: ImageClassifier, n: int = 2) -> Tensor:
    c = model.config
    return torch.rand(n, c.channels, c.height, c.width, generator=torch.Generator().manual_seed(0))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_the_number_of_parameters_is_the_published_one_and_the_declared_one(name):
    count = parameters(outline(name))
    assert count == COUNTS.get(name, count)
    assert SPECS[name].parameter_count.startswith(f"{count:,}")


@pytest.mark.parametrize("name", KEYS)
def test_the_tensors_have_the_names_and_shapes_of_torchvision(name):
    lines = sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in outline(name).state_dict().items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == KEYS[name]


def test_timm_names_the_last_layers_of_vgg_otherwise():
    model = outline("vgg16")
    keys = model.state_dict().keys()
    assert model.key_maps["timm"].keys() == {key for key in keys if key.startswith("classifier")}
    assert model.key_maps["timm"]["classifier.6.bias"] == "head.fc.bias"


def test_the_networks_of_the_papers_have_the_numbers_of_parameters_that_follow_from_their_tables():
    assert parameters(outline("alexnet", variant="2012")) == 60_965_224
    assert parameters(outline("googlenet", auxiliary=False)) == 6_624_904
    assert parameters(outline("googlenet", variant="2014", auxiliary=False)) == 6_998_552
    assert parameters(outline("googlenet", variant="2014")) == 13_378_280
    assert parameters(outline("resnet50", stride_in="1x1")) == COUNTS["resnet50"]


@pytest.mark.parametrize("name", SPECS)
def test_the_class_has_the_capabilities_that_the_plugin_declares(name):
    model = outline(name)
    assert isinstance(model, Classifier) and isinstance(model, FeatureExtractor)
    assert SPECS[name].capabilities == ("Classifier", "FeatureExtractor")


# --- the data -------------------------------------------------------------------------------------------------------


def features(channels: int = 3, size: int = 32, names: tuple[str, ...] = ("cat", "dog", "frog")) -> dict[str, Field]:
    return {
        "image": Field(kind="image", shape=(channels, size, size), range=(0, 1), levels=256),
        "label": Field(kind="label", dtype="int64", classes=names),
    }


@pytest.mark.parametrize("name", SMALL)
def test_the_data_decide_channels_size_and_classes(name):
    model = create(name, features=features(channels=1, size=36)).eval()
    assert model.logits(torch.rand(2, 1, 36, 36)).shape == (2, 3)
    signature = model.signature()
    assert signature["image"].shape == (1, 36, 36)
    assert signature["label"].classes == ("cat", "dog", "frog")


def test_data_without_labels_and_images_that_are_too_small_are_refused():
    with pytest.raises(UsageError, match="needs labels with named classes"):
        create("resnet20", features={"image": features()["image"]})
    with pytest.raises(UsageError, match=r"at least 63 x 63 pixels, and these have 32 x 32"):
        create("alexnet", features=features())
    with pytest.raises(RecordError, match="class_names: 3 names for 5 classes"):
        create("resnet20", features=features(), config={"classes": 5})


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (AlexNet(AlexNetConfig(variant="small", classes=2, height=15, width=15)), 15),
        (GoogLeNet(GoogLeNetConfig(variant="small", classes=2, height=8, width=8)), 8),
        (DenseNet(DenseNetConfig(blocks=(1, 1), growth=4, classes=2, height=8, width=8)), 8),
        (VGG(VGGConfig(convolutions=(1, 1, 1), hidden=8, classes=2, height=8, width=8)), 8),
        (ResNet(ResNetConfig(blocks=(1, 1, 1, 1), filters=2, classes=2, height=17, width=17)), 17),
        (ResNet(ResNetConfig(blocks=(1, 1, 1), small_images=True, filters=2, classes=2, height=3, width=3)), 3),
        (ResNet9(ResNet9Config(filters=2, classes=2, height=8, width=8)), 8),
        (STN(STNConfig(channels=3, filters=2, classes=2, height=8, width=8)), 8),
        (STN(STNConfig(channels=3, filters=2, classes=2, height=16, width=16, placement="inner")), 16),
        (DigitClassifier(DigitClassifierConfig(channels=3, filters=2, classes=2, height=8, width=8)), 8),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_smallest_images_work_and_smaller_ones_are_refused(model, size):
    assert model.eval()(torch.rand(1, 3, size, size)).shape == (1, 2)
    with pytest.raises(UsageError, match=f"at least {size} x {size}"):
        type(model)(type(model.config)(**{**_plain(model.config), "height": size - 1}))


@pytest.mark.parametrize(
    "name", sorted(SPECS.keys() - {"stn"})
)  # which cannot be run as an outline, and has no strides
def test_no_convolution_strides_over_a_map_that_is_narrower_than_its_stride(name):
    """The gradients of its weights would be memory that nobody has written, in bfloat16 on CPUs."""
    try:
        smallest = 1
        model = outline(name, height=1, width=1)
    except UsageError as error:
        smallest = int(re.search(r"at least (\d+) x", str(error))[1])
        model = outline(name, height=smallest, width=smallest)
    strides = []

    def look(layer: nn.Conv2d, inputs: tuple[Tensor], out: Tensor) -> None:
        strides.append(layer.stride[0])
        assert min(inputs[0].shape[2:]) >= layer.stride[0], layer

    for module in model.eval().modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(look)
    model(torch.empty(1, model.config.channels, smallest, smallest, device="meta"))
    assert strides


@pytest.mark.parametrize(("variant", "smallest"), [("one-column", 63), ("2012", 67), ("small", 15)])
def test_one_pixel_less_would_leave_nothing_of_alexnets_maps(variant, smallest):
    model = outline("alexnet", variant=variant, height=smallest, width=smallest)
    assert model.features(torch.empty(1, 3, smallest, smallest, device="meta")).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="too small"):
        model.features(torch.empty(1, 3, smallest - 1, smallest - 1, device="meta"))
    with pytest.raises(UsageError, match=f"at least {smallest} x {smallest}"):
        outline("alexnet", variant=variant, height=smallest - 1, width=300)


def _plain(config: object) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


# --- features and heads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_head_leaves_the_backbone_bit_identical(name):
    model = small(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    penultimate = model.extract_features(images(model), [PENULTIMATE])[PENULTIMATE]
    model.reset_head(7)
    after = model.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert before.keys() == after.keys()
    allowed = (f"{model.head_module}.", "aux1.fc2.")
    assert changed and all(key.startswith(allowed) for key in changed)
    assert model.logits(images(model)).shape == (2, 7)
    assert torch.equal(model.extract_features(images(model), [PENULTIMATE])[PENULTIMATE], penultimate)
    assert model.config.classes == 7 and model.signature()["label"].classes == ()


@pytest.mark.parametrize("name", SMALL)
def test_the_head_makes_the_logits_of_the_penultimate_features(name):
    model = small(name)
    x = images(model)
    before = model.extract_features(x, [PENULTIMATE])[PENULTIMATE]
    torch.testing.assert_close(
        model.get_submodule(model.head_module)(before) * getattr(model.config, "logit_scale", 1), model.logits(x)
    )


def modules_run(model: nn.Module, work: object) -> list[str]:
    """The leaves of the model that `work` calls, in order."""
    names = {module: name for name, module in model.named_modules()}
    seen: list[str] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_pre_hook(lambda module, _: seen.append(names[module])) for leaf in leaves]
    work()
    for handle in handles:
        handle.remove()
    return seen


def test_features_stop_at_the_last_layer_that_is_asked_for():
    model = small("vgg-small")
    x = images(model, 1)
    whole = modules_run(model, lambda: model.logits(x))
    part = modules_run(model, lambda: model.extract_features(x, ["pool1", "conv2_1"]))
    assert part == whole[: whole.index("features.7") + 1]
    assert len(part) == 8 and len(whole) > 30
    assert modules_run(model, lambda: model.extract_features(x, [])) == []


def test_features_are_what_the_layers_gave_before_later_ones_worked_in_place():
    model = small("vgg-small")
    x = images(model)
    found = model.extract_features(x, ["conv1_1", "features.1", "relu1_1", "conv1_1"])
    assert list(found) == ["conv1_1", "features.1", "relu1_1"]
    convolution = F.conv2d(x, model.features[0].weight, model.features[0].bias, padding=1)
    torch.testing.assert_close(found["conv1_1"], convolution)
    torch.testing.assert_close(found["relu1_1"], model.features[1](convolution).relu())
    assert (found["features.1"] < 0).any()


def test_features_carry_gradients_and_leave_no_hook_behind():
    model = small("resnet20")
    x = images(model).requires_grad_()
    model.extract_features(x, ["layer1"])["layer1"].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_unknown_layer_is_named_with_those_that_are_near():
    model = small("resnet20")
    with pytest.raises(UnknownName, match=r"ResNet has no layer 'layr3'\n  Try: .*layer3"):
        model.extract_features(images(model), ["layer1", "layr3"])
    googlenet = small("googlenet-small")
    with pytest.raises(UnknownName, match="does not come through 'aux1'"):
        googlenet.extract_features(images(googlenet), ["inception3a", "aux1"])
    assert not any(module._forward_hooks for module in googlenet.modules())


def test_the_digit_classifier_has_64_features():
    model = small("digit-classifier")
    found = model.extract_features(images(model, 5), ["features"])["features"]
    assert found.shape == (5, 64) and (found >= 0).all()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "vgg16",
            {"conv1_1": "features.0", "relu3_3": "features.15", "conv5_3": "features.28", "pool5": "features.30"},
        ),
        ("vgg19", {"conv4_2": "features.21", "relu5_1": "features.29", "pool4": "features.27"}),
        ("vgg16-bn", {"conv1_2": "features.3", "relu1_2": "features.5"}),
        ("alexnet", {"conv5": "features.11", "fc7": "classifier.5"}),
    ],
)
def test_the_papers_names_of_layers(name, layers):
    model = outline(name)
    assert {alias: model.aliases[alias] for alias in layers} == layers
    assert all(isinstance(model.get_submodule(target), nn.Module) for target in model.aliases.values())


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config", "rate"),
    [
        ("alexnet", {}, 0.01),
        ("alexnet-small", {}, 0.02),
        ("vgg16", {}, 0.01),
        ("vgg16-bn", {}, 0.1),
        ("googlenet", {}, 0.1),
        ("googlenet", {"variant": "2014"}, 0.01),
        ("resnet20", {}, 0.1),
        ("stn", {"optimizer": "sgd"}, 0.1),
        ("stn", {}, 0.002),
        ("alexnet", {"optimizer": "muon"}, 0.03),
    ],
)
def test_gradient_descent_is_slower_without_batch_normalisation(name, config, rate):
    (declared,) = outline(name, **config).optimizers().values()
    assert declared.lr == rate


@pytest.mark.parametrize("kind", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_on_one_batch_make_its_loss_fall(name, kind):
    torch.manual_seed(0)
    config = {"resnet9": {"filters": 8}, "alexnet-small": {"dropout": 0.0}}.get(name, {})  # dropout hides so few steps
    model = create(name, features=features(channels=1, size=16), config=config | {"optimizer": kind})
    batch = {"image": torch.rand(6, 1, 16, 16), "label": torch.arange(6) % 3}
    (declared,) = model.optimizers().values()
    assert declared.kind == kind
    optimizer = LiveOptimizer(model, declared)
    model.train()

    def loss() -> float:
        found = model.loss(batch)
        mean = found.value / found.weight
        for parameter, gradient in zip(
            optimizer.parameters.values(),
            torch.autograd.grad(mean, list(optimizer.parameters.values())),  # every parameter takes part
            strict=True,
        ):
            parameter.grad = gradient
        return mean.item()

    losses = []
    for _ in range(8):
        optimizer.step(lambda: losses.append(loss()) or losses[-1], progress=0.05)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, 32) for name in (*SMALL, "vgg-small", "resnet110")), ("alexnet", 63)],
)
def test_at_first_all_classes_are_about_as_likely(name, size):
    torch.manual_seed(0)
    model = create(name, config={"classes": 10, "height": size, "width": size}).train()
    with torch.no_grad():
        logits = model.logits(images(model, 10))
    assert F.cross_entropy(logits, torch.arange(10)).item() == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("alexnet", {}, [0.5, 0.5]),
        ("alexnet-small", {"dropout": 0.25}, [0.25, 0.25]),
        ("vgg11", {}, [0.5, 0.5]),
        ("vgg11", {"dropout": 0.25}, [0.25, 0.25]),
        ("vgg11", {"dropout": 0.0}, [0, 0]),
        ("googlenet", {"auxiliary": False}, [0.2]),
        ("googlenet", {"auxiliary": False, "variant": "2014"}, [0.4]),
        ("googlenet", {"auxiliary": False, "variant": "2014", "dropout": 0.0}, [0]),
    ],
)
def test_dropout_reaches_its_layers(name, config, expected):
    assert [module.p for module in outline(name, **config).modules() if isinstance(module, nn.Dropout)] == expected


def test_dropout_of_a_dense_layer_drops_in_training_only():
    config = DenseNetConfig(blocks=(1,), growth=32, small_images=True, classes=2, height=16, width=16, dropout=0.25)
    layer = DenseNet(config).features.denseblock1.denselayer1
    x = torch.randn(4, 64, 16, 16)
    assert (layer(x) == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not (layer.eval()(x) == 0).any()


def test_values_that_would_have_no_effect_are_refused():
    with pytest.raises(RecordError, match="dropout is for hidden layers, and there are none"):
        create("vgg-small", config={"dropout": 0.3})
    with pytest.raises(RecordError, match="transformers is for placement = parallel, and this is input"):
        STNConfig(transformers=3)
    with pytest.raises(RecordError, match="transform = attention needs a transformer"):
        STNConfig(transform="attention", placement="none")
    with pytest.raises(RecordError, match="stride_in = 1x1 is for bottleneck"):
        create("resnet18", config={"stride_in": "1x1"})
    with pytest.raises(RecordError, match="zero_start needs shortcuts"):
        create("plain20", config={"zero_start": True})
    with pytest.raises(RecordError, match="auxiliary_dropout is for auxiliary"):
        create("googlenet", config={"auxiliary": False, "auxiliary_dropout": 0.5})
    assert len(STN(STNConfig(placement="parallel", filters=2, transformers=3)).transformer) == 3
    with pytest.raises(RecordError, match="blocks"):
        ResNetConfig(blocks=())


def test_the_loss_is_the_cross_entropy_summed_over_the_batch_with_accuracy_as_a_part():
    model = small("resnet20", label_smoothing=0.1)
    x, label = images(model, 4), torch.tensor([0, 1, 2, 3])
    found = model.loss({"image": x, "label": label})
    logits = model.logits(x)
    torch.testing.assert_close(found.value, 4 * F.cross_entropy(logits, label, label_smoothing=0.1))
    assert found.weight == 4 and found.parts == {"accuracy": (logits.argmax(1) == label).sum()}


def test_the_place_of_the_stride_changes_the_function_and_not_the_tensors():
    first, second = (small("resnet50", stride_in=where, height=32, width=32, classes=3) for where in ("3x3", "1x1"))
    second.load_state_dict(first.state_dict())
    x = images(first)
    assert not torch.allclose(first(x), second(x), atol=1e-3)


def test_every_name_is_in_the_registry_with_its_aliases():
    registry = default_registry()
    assert registry.model("inception-v1").spec.name == "googlenet"
    assert registry.model("ResNet-50").spec.name == "resnet50"
