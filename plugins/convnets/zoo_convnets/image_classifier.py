"""`ImageClassifier`: what every network of this family shares: the data that it fits, the loss, features, the head.

A model writes `forward` (images [B, C, H, W] to logits [B, K]), and names its last layer as `head`.
"""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_convnets.optimizers import OPTIMIZERS
from zoo_core import (
    Field,
    Loss,
    Model,
    Optimizer,
    Record,
    RecordError,
    UnknownName,
    UsageError,
    labelled_images,
)

PENULTIMATE = "penultimate"  # what the head sees, as a name of `extract_features`


class ImageClassifierConfig(Record, kw_only=True):
    """What the data decides, the loss, and the optimizer."""

    channels: Annotated[int, Meta(ge=1, le=1024)] = 3  # 1 grey, 3 RGB
    height: Annotated[int, Meta(ge=1, le=4096)] = 224  # pixels
    width: Annotated[int, Meta(ge=1, le=4096)] = 224  # pixels
    classes: Annotated[int, Meta(ge=1)] = 1000  # K
    class_names: tuple[str, ...] = ()  # in the order of their numbers, where they are known
    label_smoothing: Annotated[float, Meta(ge=0, le=1)] = 0.0  # share of the target that all classes get alike
    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_names and len(self.class_names) != self.classes:
            raise RecordError(f"class_names: {len(self.class_names)} names for {self.classes} classes")


class ImageClassifier(Model):
    """Base of the convolutional networks; a Classifier and a FeatureExtractor."""

    Config = ImageClassifierConfig
    config: ImageClassifierConfig
    batch = 128
    head_module: str
    augmentation: ClassVar[tuple[str, ...]] = (
        "crop:padding=4",
        "flip",
    )  # for small photographs, as in He et al., 2015, section 4.2
    select_by = "accuracy"
    precision = "bf16"
    channels_last = True
    sgd_lr = OPTIMIZERS["sgd"].lr  # the highest of the cycle; some networks have a lower one

    aliases: Mapping[str, str] = {}  # the paper's names of layers -> ours

    def __init__(self, config: ImageClassifierConfig, *, smallest: int = 1) -> None:
        """`smallest` is the number of pixels a side below which nothing would be left for a later layer.

        A convolution must not stride over a map that is narrower than its stride: only padding is left for most of its
        weights, and in bfloat16 on CPUs (torch 2.13) their gradients are then whatever was in memory, NaN too.
        """
        super().__init__(config)
        if min(config.height, config.width) < smallest:
            raise UsageError(
                f"this {type(self).__name__} needs images of at least {smallest} x {smallest} pixels, "
                f"and these have {config.height} x {config.width}",
                f"Enlarge them (--size {smallest}), or take a network for small images.",
            )

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        return labelled_images(features, cls.__name__)

    def signature(self) -> dict[str, Field]:
        c = self.config
        return {
            "image": Field(kind="image", shape=(c.channels, c.height, c.width)),
            "label": Field(kind="label", dtype="int64", classes=c.class_names),
        }

    def logits(self, x: Tensor) -> Tensor:
        """Class scores before the softmax: [B, C, H, W] -> [B, K]."""
        logits: Tensor = self(x)
        return logits

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the softmax of the logits, in nats."""
        return self.cross_entropy(self(batch["image"]), batch["label"])

    def cross_entropy(self, logits: Tensor, label: Tensor) -> Loss:
        """The loss of logits [B, K], with the accuracy as a part."""
        value = F.cross_entropy(logits.float(), label, reduction="sum", label_smoothing=self.config.label_smoothing)
        return Loss(value, len(label), {"accuracy": (logits.argmax(1) == label).sum()})

    # Features and the head.

    def extract_features(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of the named submodules for x [B, C, H, W], by name; what comes after the last one is not run.

        A name is that of a submodule ("layer3", "features.12"), one of the paper's ("conv4_2" of VGG), or
        "penultimate": what the head sees, [B, D].

        Raises:
            UnknownName: the model has no such layer, or its forward pass does not come through it.
        """
        found: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> None:
            found.setdefault(name, value.clone())  # a later layer may work in place
            if len(found) == len(set(names)):
                raise _AllFound

        with ExitStack() as hooks:
            for name in set(names):
                if name == PENULTIMATE:
                    head = self.get_submodule(self.head_module)
                    handle = head.register_forward_pre_hook(lambda module, inputs, name=name: keep(name, inputs[0]))
                else:
                    module = self._layer(name)
                    handle = module.register_forward_hook(lambda module, inputs, out, name=name: keep(name, out))
                hooks.callback(handle.remove)
            if names:
                try:
                    self(x)
                except _AllFound:
                    pass
                else:
                    missed = ", ".join(repr(name) for name in names if name not in found)
                    raise UnknownName(f"the forward pass does not come through {missed}")
        return {name: found[name] for name in names}

    def _layer(self, name: str) -> nn.Module:
        layers: dict[str, nn.Module] = dict(self.named_modules())
        layer = layers.get(self.aliases.get(name, name))
        if layer is None or not name:
            known = [PENULTIMATE, *self.aliases, *filter(None, layers)]
            close = difflib.get_close_matches(name, known, 3) or known[:8]
            raise UnknownName(f"{type(self).__name__} has no layer '{name}'", f"Try: {', '.join(close)}.")
        return layer

    def reset_head(self, n: int) -> None:
        """Replace the last layer by a fresh one with n outputs; all else keeps its weights."""
        self.set_submodule(self.head_module, fresh(self.get_submodule(self.head_module), n))
        self.config = msgspec.structs.replace(self.config, classes=n, class_names=())

    # Training.

    def optimizers(self) -> dict[str, Optimizer]:
        chosen = OPTIMIZERS[self.config.optimizer]
        return {"main": replace(chosen, lr=self.sgd_lr) if chosen.kind == "sgd" else chosen}


def fresh(linear: nn.Module, n: int) -> nn.Linear:
    """A layer of the same kind with fresh weights and n outputs, on the same device."""
    assert isinstance(linear, nn.Linear)
    weight, bias = linear.weight, linear.bias is not None
    return nn.Linear(linear.in_features, n, bias=bias, device=weight.device, dtype=weight.dtype)


class _AllFound(Exception):
    """Ends a forward pass: nothing more is wanted of it."""
