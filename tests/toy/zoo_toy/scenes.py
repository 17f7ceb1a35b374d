"""Systems that are trained as people train who start from something: pixels with a class, a backbone that is held
frozen, a sampler that is told what to draw. And metrics of what segments and detects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo_core import (
    Condition,
    Field,
    Group,
    Loss,
    Measurement,
    Metric,
    Model,
    Optimizer,
    Record,
    TensorDataset,
)
from zoo_toy.data import SIZES

VOID = 255
PIXEL_CLASSES = ("dark", "light")
CLASSES = ("a", "b", "c")
LABEL = Field(kind="label", dtype="int64", classes=CLASSES)


class Scenes(TensorDataset):
    """Grey noise, and which pixels are light; of every fifth pixel nobody knows."""

    name = "system-scenes"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(7)
        splits = {}
        for split, n in SIZES.items():
            image = torch.randint(0, 5, (n, 1, 4, 4), generator=generator, dtype=torch.uint8)
            unknown = torch.rand(n, 4, 4, generator=generator) < 0.2
            splits[split] = {"image": image, "mask": (image[:, 0] > 2).long().masked_fill(unknown, VOID)}
        features = {
            "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5),
            "mask": Field(kind="mask", shape=(4, 4), dtype="int64", classes=PIXEL_CLASSES, ignore=VOID),
        }
        super().__init__(features, splits)


class PixelClassifier(Model):
    """The class of a pixel by its grey level, in images of any size."""

    optimizer = Optimizer(lr=0.1)

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.classify = nn.Conv2d(1, len(PIXEL_CLASSES), 1)

    def signature(self) -> dict[str, Field]:
        return {
            "image": Field(kind="image", shape=(1, None, None), range=(0, 1)),
            "mask": Field(kind="mask", shape=(None, None), dtype="int64", classes=PIXEL_CLASSES, ignore=VOID),
        }

    def segment(self, x: Tensor) -> Tensor:
        return self.classify(x).argmax(1)  # [B, H, W]

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of a pixel."""
        counted = self.signature()["mask"].counted(batch["mask"])  # [B, H, W] bool
        logits = self.classify(batch["image"]).movedim(1, 3)[counted]  # [pixels, 2]
        return Loss(F.cross_entropy(logits, batch["mask"][counted], reduction="sum"), counted.sum())


class Frozen(Model):
    """A first layer that stays as it is, a second one that moves slowly, a new last one; and weights decay, but no
    biases."""

    optimizer = Optimizer(
        kind="adamw",
        lr=0.01,
        options={"weight_decay": 0.1},
        groups=(Group(vectors=True, options={"weight_decay": 0.0}), Group(names=("second.*",), lr_factor=0.1)),
    )

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.first, self.second, self.classify = nn.Linear(16, 8), nn.Linear(8, 8), nn.Linear(8, len(CLASSES))
        self.first.requires_grad_(False)

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 4, 4)), "label": LABEL}

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(self.second(self.first(x.flatten(1)).tanh()).tanh())

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])


class ByClass(Model):
    """Independent black and white pixels, other ones for each class; which class to draw can be said."""

    optimizer = Optimizer(lr=0.1)
    select_by = "nll"

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(torch.zeros(len(CLASSES), 1, 4, 4))

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=2), "label": LABEL}

    def conditions(self) -> dict[str, Condition]:
        return {"letter": Condition(kind="class", values=CLASSES, help="the class; else any")}

    def by_class(self, x: Tensor) -> Tensor:
        """log p(x | class), [B, 3]"""
        logit, x = (values.expand(x.shape[0], -1, -1, -1, -1) for values in (self.logit, x[:, None]))
        pixels = F.binary_cross_entropy_with_logits(logit, x.expand_as(logit), reduction="none")  # [B, 3, 1, 4, 4]
        return -pixels.flatten(2).sum(2)

    def log_prob(self, x: Tensor) -> Tensor:
        return (self.by_class(x) - torch.tensor(len(CLASSES)).log()).logsumexp(1)

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        letter = self.check_conditions(conditions)["letter"]
        drawn = torch.randint(len(CLASSES), (n,), generator=generator)
        chance = self.logit[drawn if letter is None else torch.full((n,), letter)].sigmoid()
        return (torch.rand(n, 1, 4, 4, generator=generator) < chance.cpu()).float()

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Negative log-likelihood of an image, given its class."""
        return -self.by_class(batch["image"]).gather(1, batch["label"][:, None]).mean()


class MeanOf(Metric):
    """The mean of what `values` gives."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def values(self, model: Any, batch: Mapping[str, Any]) -> Tensor:
        raise NotImplementedError

    def update(self, model: Any, batch: Mapping[str, Any]) -> None:
        self.seen.append(self.values(model, batch).cpu().double())

    def merge(self, other: "MeanOf") -> None:
        self.seen += other.seen

    def compute(self) -> Measurement:
        return Measurement.mean_of(torch.cat(self.seen))


class PixelAccuracy(MeanOf):
    """The fraction of pixels that get their class; those that nobody knows do not count."""

    requires = "Segmenter"

    def values(self, model: Any, batch: Mapping[str, Any]) -> Tensor:
        counted = model.signature()["mask"].counted(batch["mask"])
        return (model.segment(model.subject_of(batch)) == batch["mask"])[counted]


class BoxDistance(MeanOf):
    """How far a box is from the nearest that was found in its image: the squared distance of the corners."""

    requires = "Detector"

    def values(self, model: Any, batch: Mapping[str, Any]) -> Tensor:
        found = model.detect(list(model.subject_of(batch)))
        owner = batch[model.signature()["boxes"].index].tolist()
        nearest = [
            (found[image].boxes - box).square().sum(1).min() for image, box in zip(owner, batch["boxes"], strict=True)
        ]
        return torch.stack(nearest)
