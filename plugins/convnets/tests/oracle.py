"""Compares our networks with those of torchvision and timm, in an environment that has both: the same random weights
must give the same logits. Run by test_oracle.py; prints one JSON object, network -> largest difference of a logit.

torchvision's wheels beside a CPU-only torch lack their compiled operators, and cannot be imported unless two of them
are declared first; nothing here calls these.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402
import torchvision.models as tv  # noqa: E402

import zoo_core  # noqa: E402
from zoo_core.publishing.foreign import load_foreign  # noqa: E402

SIZE, CLASSES = 64, 5


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    """Statistics of batches included, so that no layer is the identity."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def foreign(name: str) -> dict[str, torch.nn.Module]:
    """The peers of our network of that name."""
    plain = name.replace("-", "_")
    options = {"aux_logits": True, "init_weights": False, "transform_input": False} if name == "googlenet" else {}
    found = {"torchvision": getattr(tv, plain)(weights=None, num_classes=CLASSES, **options)}
    if name not in ("alexnet", "googlenet"):
        found["timm"] = timm.create_model(plain, pretrained=False, num_classes=CLASSES)
    return found


def compare(name: str) -> dict[str, float]:
    found = {}
    for library_name, peer in foreign(name).items():
        randomise(peer)
        ours = zoo_core.create(name, config={"classes": CLASSES, "height": SIZE, "width": SIZE}).eval()
        size = 224 if library_name == "timm" and name.startswith("vgg") else SIZE  # its first linear layer is a 7x7
        with tempfile.TemporaryDirectory() as folder:
            save_file(peer.state_dict(), Path(folder) / "peer.safetensors")
            load_foreign(ours, Path(folder) / "peer.safetensors", library_name)  # as `zoo import` does
        x = torch.rand(2, 3, size, size)
        with torch.no_grad():
            logits, expected = ours(x), peer(x)
        assert expected.std() > 1e-4, (name, library_name)
        found[f"{name} {library_name}"] = ((logits - expected).abs().max() / expected.abs().max()).item()
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    results: dict[str, float] = {}
    for each in sys.argv[1:]:
        results |= compare(each)
    print(json.dumps(results))
