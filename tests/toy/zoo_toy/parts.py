"""Models that are more than their tensors: one with an artifact, and one that holds another release."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Field, Model, Record

FIELDS = {
    "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1)),
    "label": Field(kind="label", dtype="int64", classes=("a", "b", "c")),
}


class VocabularyConfig(Record, kw_only=True):
    """Sizes."""

    size: Annotated[int, Meta(ge=1)] = 8  # grey levels at most


class Vocabulary(Model):
    """A bag of grey levels. Which row of the table is whose is an artifact: the levels, in the order in which the
    train split shows them."""

    Config = VocabularyConfig

    def __init__(self, config: VocabularyConfig) -> None:
        super().__init__(config)
        self.levels: list[str] = []
        self.rows, self.classify = nn.Embedding(config.size, 4), nn.Linear(4, 3)

    def signature(self) -> dict[str, Field]:
        return {**FIELDS, "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5)}

    def begin_stage(self, stage: str, data: Any) -> None:
        pixels = torch.cat([batch["image"].flatten() for batch in self.train_batches(data)]).tolist()
        self.levels = [f"{level:g}" for level in dict.fromkeys(pixels)]

    def artifacts(self) -> dict[str, Any]:
        return {"levels": self.levels}

    def load_artifacts(self, artifacts: Mapping[str, Any]) -> None:
        self.levels = list(artifacts["levels"])

    def logits(self, x: Tensor) -> Tensor:
        row_of = {float(level): row for row, level in enumerate(self.levels)}
        rows = torch.tensor([row_of[pixel] for pixel in x.flatten().tolist()])
        return self.classify(self.rows(rows.view(len(x), -1)).mean(1))  # [B, 3]

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])


class ProbeConfig(Record, kw_only=True):
    """What it looks through."""

    backbone: str = "system-averaged"  # a reference


class Probe(Model):
    """A linear layer on what another release says of an image."""

    Config = ProbeConfig

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__(config)
        self.classify = nn.Linear(3, 3)

    def dependencies(self) -> dict[str, str]:
        return {"backbone": self.config.backbone}

    def signature(self) -> dict[str, Field]:
        return FIELDS

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(self.backbone.logits(x))

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])
