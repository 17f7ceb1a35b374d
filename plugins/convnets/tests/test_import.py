"""Weights of other libraries: files with the names and shapes of timm's VGG and torchvision's ResNet."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo_core
from zoo_core.errors import UsageError, WeightsError
from zoo_core.publishing.foreign import import_weights

SMALL = {"convolutions": [1, 1], "hidden": 16, "classes": 3, "height": 32, "width": 32}


def fresh(name: str, config: dict) -> torch.nn.Module:
    """With statistics of batches that show when they are lost."""
    torch.manual_seed(0)
    model = zoo_core.create(name, config=config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(7)
    return model


@pytest.fixture
def vgg() -> torch.nn.Module:
    return fresh("vgg11", SMALL)


def as_timm(vgg: torch.nn.Module, file: Path, change=lambda tensors: None) -> Path:
    """What timm would store: its names, and convolutions where we have linear layers."""
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    tensors = {}
    for key, tensor in vgg.state_dict().items():
        layer, _, kind = key.rpartition(".")
        if key == "classifier.0.weight":
            tensor = tensor.unflatten(1, (-1, 7, 7))
        elif key == "classifier.3.weight":
            tensor = tensor[:, :, None, None]
        tensors[f"{names.get(layer, layer)}.{kind}"] = tensor.contiguous()
    change(tensors)
    save_file(tensors, file)
    return file


def test_timms_vgg_becomes_a_release_that_answers_the_same(vgg, tmp_path):
    file = as_timm(vgg, tmp_path / "timm.safetensors")
    import_weights("vgg11", file, tmp_path / "release", names="timm", config=SMALL, licence="BSD-3-Clause")
    model = zoo_core.load(str(tmp_path / "release"))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(x), vgg.logits(x))
    assert zoo_core.info(str(tmp_path / "release"))["training"]["imported"] == "timm.safetensors"


@pytest.mark.parametrize("names", ["same", "torchvision", "timm"])
def test_the_names_of_torchvisions_resnet_are_timms_and_ours(names, tmp_path):
    config = {"blocks": [1, 1], "filters": 4, "classes": 3, "height": 32, "width": 32}
    resnet = fresh("resnet18", config)
    save_file(resnet.state_dict(), tmp_path / "tv.safetensors")
    import_weights("resnet18", tmp_path / "tv.safetensors", tmp_path / "r", names=names, config=config)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(zoo_core.load(str(tmp_path / "r")).logits(x), resnet.logits(x))


def test_every_network_of_torchvision_takes_its_names_and_timm_has_no_alexnet_and_no_googlenet():
    both = {"torchvision", "timm"}
    expected = {
        "resnet18": both, "vgg11": both, "densenet121": both | {"torchvision-2017"},
        "alexnet": {"torchvision"}, "googlenet": {"torchvision"}, "resnet9": set(), "stn": set(),
    }  # fmt: skip
    with torch.device("meta"):
        assert {name: set(zoo_core.create(name).key_maps) for name in expected} == expected


def test_a_densenet_of_2017_has_other_names_and_counts_no_batches(tmp_path):
    config = {"blocks": [2, 1], "growth": 4, "classes": 3, "height": 32, "width": 32}
    densenet = fresh("densenet121", config)
    file = tmp_path / "densenet.safetensors"
    tensors = {}
    for key, tensor in densenet.state_dict().items():
        *path, layer, kind = key.split(".")
        if any(part.startswith("denselayer") for part in path):
            layer = f"{layer[:-1]}.{layer[-1]}"
        if kind != "num_batches_tracked":
            tensors[".".join([*path, layer, kind])] = tensor
    assert {"features.denseblock1.denselayer2.norm.1.weight", "features.norm0.bias"} < tensors.keys()
    assert "features.transition1.conv.weight" in tensors
    save_file(tensors, file)
    import_weights("densenet121", file, tmp_path / "release", names="torchvision-2017", config=config)
    x = torch.rand(2, 3, 32, 32)
    model = zoo_core.load(str(tmp_path / "release"))
    with torch.no_grad():
        torch.testing.assert_close(model.logits(x), densenet.logits(x))
    assert model.features.norm5.num_batches_tracked == 0
    with pytest.raises(WeightsError, match=r"lacks features.denseblock1.denselayer1.norm1.weight"):
        import_weights("densenet121", file, tmp_path / "other", names="torchvision", config=config)
    del tensors["features.norm5.running_mean"]
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"lacks features.norm5.running_mean"):
        import_weights("densenet121", file, tmp_path / "other", names="torchvision-2017", config=config)


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("BSD-3-Clause", True), ("LicenseRef-mine", True), ("GPL-2.0+", True), ("MIT OR Apache-2.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0 AND MIT", True),
        ("foo bar", False), ("MIT or ISC", False), ("MIT OR", False), ("", False), ("see LICENSE", False),
    ],
)  # fmt: skip
def test_a_licence_has_the_form_of_spdx(licence, good, tmp_path):
    """It is looked at before the file is."""
    with pytest.raises(UsageError, match="does not exist" if good else f"'{licence}' is not an SPDX licence"):
        import_weights("resnet18", tmp_path / "none", tmp_path / "release", licence=licence)


@pytest.mark.parametrize(
    ("change", "names", "words"),
    [
        (lambda t: t.pop("head.fc.bias"), "timm", "lacks head.fc.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "timm", "does not know, extra"),
        (lambda t: t.update({"head.fc.weight": torch.zeros(16, 3)}), "timm", r"head.fc.weight is \[16, 3\]"),
        (lambda t: None, "same", "lacks classifier.0.weight"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_written(vgg, tmp_path, change, names, words):
    file = as_timm(vgg, tmp_path / "timm.safetensors", change)
    with pytest.raises(WeightsError, match=words):
        import_weights("vgg11", file, tmp_path / "release", names=names, config=SMALL)
    assert not (tmp_path / "release").exists()


def test_wrong_names_pickles_and_missing_files_are_told(vgg, tmp_path):
    file = as_timm(vgg, tmp_path / "timm.safetensors")
    with pytest.raises(UsageError, match="knows no names 'tim'"):
        import_weights("vgg11", file, tmp_path / "release", names="tim", config=SMALL)
    with pytest.raises(UsageError, match="does not exist"):
        import_weights("vgg11", tmp_path / "none", tmp_path / "release", config=SMALL)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        import_weights("vgg11", tmp_path / "vgg.pth", tmp_path / "release", config=SMALL)
