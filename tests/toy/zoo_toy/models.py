"""Models whose every number can be worked out by hand."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor, nn

from zoo_core import Field, Loss, Model, Objective, Optimizer, Record


class PixelsConfig(Record, kw_only=True):
    """Sizes, in pixels."""

    channels: Annotated[int, Meta(ge=1)] = 1
    height: Annotated[int, Meta(ge=1, le=64)] = 4  # pixels
    width: Annotated[int, Meta(ge=1, le=64)] = 4  # pixels
    start: float = 0.5  # standard deviation of the first logits


class IndependentPixels(Model):
    """log p(x) = sum over pixels of x log sigmoid(l) + (1 - x) log sigmoid(-l)."""

    Config = PixelsConfig
    select_by = "nll"

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(torch.empty(config.channels, config.height, config.width))
        self.register_buffer("rows", torch.arange(config.height).float(), persistent=False)
        nn.init.normal_(self.logit, std=config.start)

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        channels, height, width = features["image"].shape
        return {"channels": channels, "height": height, "width": width}

    def signature(self) -> dict[str, Field]:
        c = self.config
        return {"image": Field(kind="image", shape=(c.channels, c.height, c.width), range=(0, 1), levels=2)}

    def log_prob(self, x: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logit.expand_as(x), x, reduction="none").flatten(1).sum(1)

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Exact negative log-likelihood of an image, in nats."""
        return Loss(-self.log_prob(batch["image"]).sum(), len(batch["image"]))

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        uniforms = torch.rand(n, *self.logit.shape, generator=generator)
        return (uniforms < self.logit.float().sigmoid()).float()

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        return torch.where(known, x, self.sample(len(x), generator=generator))


class ClassifierConfig(Record, kw_only=True):
    """Sizes."""

    inputs: Annotated[int, Meta(ge=1)] = 16  # values of an image
    classes: Annotated[int, Meta(ge=2)] = 3


class TiedClassifier(Model):
    """Two layers that share one weight, and a head."""

    Config = ClassifierConfig
    head_module = "classify"

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config)
        self.first = nn.Linear(config.inputs, config.inputs)
        self.second = nn.Linear(config.inputs, config.inputs)
        self.second.weight = self.first.weight
        self.classify = nn.Linear(config.inputs, config.classes)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        return {"inputs": torch.Size(features["image"].shape).numel(), "classes": len(features["label"].classes)}

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 4, 4)), "label": Field(kind="label", dtype="int64")}

    def reset_head(self, n: int) -> None:
        self.classify = nn.Linear(self.config.inputs, n)

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(self.second(self.first(x.flatten(1)).tanh()).tanh())

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])


class Gan(Model):
    """A generator and a discriminator, each with its optimizer."""

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.generator, self.discriminator = nn.Linear(2, 16), nn.Linear(16, 1)

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 4, 4))}

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        return {"z": torch.randn(n, 2, generator=generator)}

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "d": Optimizer(modules=("discriminator",), kind="sgd", lr=0.1),
            "g": Optimizer(modules=("generator",), kind="sgd", lr=0.1),
        }

    def objectives(self) -> list[Objective]:
        def judge(batches: Mapping[str, Mapping[str, Tensor]], shared: dict[str, Any]) -> Tensor:
            real = batches["x"]["image"].flatten(1)
            shared["fake"] = self.generator(batches["x"]["z"])
            return F.softplus(-self.discriminator(real)).mean() + F.softplus(self.discriminator(shared["fake"])).mean()

        def fool(batches: Mapping[str, Mapping[str, Tensor]], shared: dict[str, Any]) -> Tensor:
            return F.softplus(-self.discriminator(shared["fake"])).mean()

        return [
            Objective(name="d", optimizer="d", loss=judge),
            Objective(name="g", optimizer="g", loss=fool, every=2),
        ]

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.generator(torch.randn(n, 2, generator=generator)).sigmoid().view(n, 1, 4, 4)
