"""Weights of other libraries: files with the names and shapes of timm's VGG and torchvision's ResNet."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo_core
from zoo_core.errors import UsageError, WeightsError
from zoo_core.publishing.foreign import import_weights

SMALL = {"convolutions": [1, 1], "hidden": 16, "classes": 3, "height": 32, "width": 32}


@pytest.fixture
def vgg() -> torch.nn.Module:
    torch.manual_seed(0)
    return zoo_core.create("vgg11", config=SMALL).eval()


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


def test_torchvisions_names_are_ours(tmp_path):
    torch.manual_seed(0)
    resnet = zoo_core.create("resnet18", config={"classes": 3, "height": 32, "width": 32}).eval()
    save_file(resnet.state_dict(), tmp_path / "tv.safetensors")
    import_weights(
        "resnet18", tmp_path / "tv.safetensors", tmp_path / "r", config={"classes": 3, "height": 32, "width": 32}
    )
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(zoo_core.load(str(tmp_path / "r")).logits(x), resnet.logits(x))


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
