"""One small model for each way of training: adversaries, two streams, stages, L-BFGS, fits after training, …"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo_core import (
    Detections,
    Field,
    Loss,
    Model,
    Objective,
    Optimizer,
    Record,
    Stage,
    Stream,
    UsageError,
    linear_to_zero,
)

Batches = Mapping[str, Mapping[str, Tensor]]
Shared = dict[str, Any]
IMAGE = Field(kind="image", shape=(1, 4, 4))
PIXELS = 16


def real(logits: Tensor) -> Tensor:
    """The loss of a critic's logits that should say "real"."""
    return F.softplus(-logits).mean()


def fake(logits: Tensor) -> Tensor:
    """The loss of a critic's logits that should say "fake"."""
    return F.softplus(logits).mean()


class AdversarialAutoencoder(Model):
    """Codes that a critic cannot tell from a normal prior (Makhzani et al. 2015): the encoder is in two optimizers."""

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.encoder, self.decoder, self.critic = nn.Linear(PIXELS, 2), nn.Linear(2, PIXELS), nn.Linear(2, 1)

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        return {"prior": torch.randn(n, 2, generator=generator)}

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "reconstruct": Optimizer(modules=("encoder", "decoder")),
            "tell": Optimizer(modules=("critic",), kind="sgd", lr=0.1, options={"momentum": 0.5}),
            "hide": Optimizer(modules=("encoder",), kind="rmsprop"),
        }

    def objectives(self) -> list[Objective]:
        def reconstruct(batches: Batches, shared: Shared) -> Tensor:
            x = batches["x"]["image"].flatten(1)
            return F.mse_loss(self.decoder(self.encoder(x)), x)

        def tell(batches: Batches, shared: Shared) -> Tensor:
            shared["code"] = self.encoder(batches["x"]["image"].flatten(1))  # by the encoder as it is now
            return real(self.critic(batches["x"]["prior"])) + fake(self.critic(shared["code"]))

        def hide(batches: Batches, shared: Shared) -> Tensor:
            return real(self.critic(shared["code"]))

        return [
            Objective(name="reconstruct", optimizer="reconstruct", loss=reconstruct),
            Objective(name="tell", optimizer="tell", loss=tell),
            Objective(name="hide", optimizer="hide", loss=hide),
        ]


class CycleGan(Model):
    """Translation without pairs (Zhu et al. 2017): two streams, and critics that also see fakes of earlier steps."""

    POOL = 16  # at least a batch, so that each fake has a slot of its own

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.to_b, self.to_a = nn.Linear(PIXELS, PIXELS), nn.Linear(PIXELS, PIXELS)
        self.critic_a, self.critic_b = nn.Linear(PIXELS, 1), nn.Linear(PIXELS, 1)
        self.pools = {domain: torch.zeros(self.POOL, PIXELS) for domain in "ab"}

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def streams(self, progress: float) -> dict[str, Stream]:
        return {"a": Stream(batch=8), "b": Stream(batch=8, dataset="system-domain")}

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        return {
            "slot": torch.randperm(self.POOL, generator=generator)[:n],
            "swap": torch.rand(n, 1, generator=generator) < 0.5,
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "translate": Optimizer(modules=("to_a", "to_b"), decay=linear_to_zero),
            "a": Optimizer(modules=("critic_a",), kind="sgd", lr=0.1),
            "b": Optimizer(modules=("critic_b",), kind="sgd", lr=0.1),
        }

    def objectives(self) -> list[Objective]:
        def translate(batches: Batches, shared: Shared) -> Tensor:
            a, b = (batches[domain]["image"].flatten(1) for domain in "ab")
            as_b, as_a = self.to_b(a), self.to_a(b)
            shared["a"], shared["b"] = as_a.detach(), as_b.detach()
            cycle = F.l1_loss(self.to_a(as_b), a) + F.l1_loss(self.to_b(as_a), b)
            return real(self.critic_a(as_a)) + real(self.critic_b(as_b)) + cycle

        def tell_a(batches: Batches, shared: Shared) -> Tensor:
            fakes = self.earlier("a", shared["a"], batches["b"])
            return real(self.critic_a(batches["a"]["image"].flatten(1))) + fake(self.critic_a(fakes))

        def tell_b(batches: Batches, shared: Shared) -> Tensor:
            fakes = self.earlier("b", shared["b"], batches["a"])
            return real(self.critic_b(batches["b"]["image"].flatten(1))) + fake(self.critic_b(fakes))

        return [
            Objective(name="translate", optimizer="translate", loss=translate),
            Objective(name="tell_a", optimizer="a", loss=tell_a),
            Objective(name="tell_b", optimizer="b", loss=tell_b),
        ]

    def earlier(self, domain: str, fakes: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        """Some of the fakes swapped for ones of earlier steps."""
        pool, slot, swap = self.pools[domain], drawn["slot"], drawn["swap"]
        shown = torch.where(swap, pool[slot], fakes)
        pool[slot] = torch.where(swap, fakes, pool[slot])
        return shown

    def training_state(self) -> dict[str, Tensor]:
        return dict(self.pools)

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self.pools = {domain: state[domain].clone() for domain in "ab"}


class Staged(Model):
    """Radial basis functions: whitening, then a rest, then centres, each without a gradient; then a linear layer."""

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.register_buffer("centres", torch.zeros(5, PIXELS))
        self.classify = nn.Linear(5, 3)

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE, "label": Field(kind="label", dtype="int64")}

    def stages(self) -> list[Stage]:
        return [Stage(name="whiten", share=0), Stage(name="rest", share=1), Stage(name="learn", share=3)]

    def begin_stage(self, stage: str, data: Any) -> None:
        x = self.preprocess(data.batch("train", torch.arange(data.size("train"))))["image"].flatten(1)
        if stage == "whiten":
            self.mean.copy_(x.mean(0))
        if stage == "learn":
            self.centres.copy_((x - self.mean)[torch.randperm(len(x))[:5]])

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer(modules=("classify",), lr=0.01)}

    def objectives(self) -> list[Objective]:
        return [
            Objective(name="loss", optimizer="main", stage="learn", loss=lambda batches, _: self.loss(batches["x"]))
        ]

    def logits(self, x: Tensor) -> Tensor:
        distance = torch.cdist(x.flatten(1) - self.mean, self.centres)  # [B, 5]
        return self.classify((-distance).exp())

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])


class Wgan(Model):
    """A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017): three steps of the critic to one."""

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.generator = nn.Linear(2, PIXELS)
        self.critic = nn.Sequential(nn.Linear(PIXELS, 8), nn.Tanh(), nn.Linear(8, 1))

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        return {"z": torch.randn(n, 2, generator=generator), "between": torch.rand(n, 1, generator=generator)}

    def optimizers(self) -> dict[str, Optimizer]:
        betas = {"betas": (0.0, 0.9)}
        return {
            "critic": Optimizer(modules=("critic",), options=betas, clip=1.0),
            "generator": Optimizer(modules=("generator",), options=betas),
        }

    def objectives(self) -> list[Objective]:
        def judge(batches: Batches, shared: Shared) -> Loss:
            x, between = batches["x"]["image"].flatten(1), batches["x"]["between"]
            shared["fake"] = self.generator(batches["x"]["z"])
            mixed = (between * x + (1 - between) * shared["fake"].detach()).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(mixed).sum(), mixed, create_graph=True)  # [B, 16]
            penalty = (slope.norm(dim=1) - 1).square().sum()
            distance = (self.critic(x) - self.critic(shared["fake"])).sum()
            return Loss(10 * penalty - distance, len(x), {"penalty": penalty})

        def generate(batches: Batches, shared: Shared) -> Tensor:
            return -self.critic(shared["fake"]).mean()

        return [
            Objective(name="critic", optimizer="critic", loss=judge),
            Objective(name="generator", optimizer="generator", loss=generate, every=3),
        ]


class LbfgsConfig(Record, kw_only=True):
    """What is random in the loss."""

    dropout: float = 0.5


class Lbfgs(Model):
    """Logistic regression on noisy inputs by L-BFGS, whose line search must see the same loss each time it asks."""

    Config = LbfgsConfig

    def __init__(self, config: LbfgsConfig) -> None:
        super().__init__(config)
        self.classify, self.dropout = nn.Linear(PIXELS, 3), nn.Dropout(config.dropout)

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE, "label": Field(kind="label", dtype="int64")}

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        return {"noise": 0.1 * torch.randn(n, PIXELS, generator=generator)}

    def optimizers(self) -> dict[str, Optimizer]:
        options = {"line_search_fn": "strong_wolfe", "max_iter": 5}
        return {"main": Optimizer(kind="lbfgs", lr=0.5, options=options)}

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy with a little weight decay."""
        logits = self.classify(self.dropout(batch["image"].flatten(1) + batch["noise"]))
        entropy = F.cross_entropy(logits, batch["label"], reduction="sum")
        return Loss(entropy + 0.01 * len(logits) * self.classify.weight.square().sum(), len(logits))


class Averaged(Model):
    """Batch-norm, whose running statistics are buffers, and a moving average of the weights."""

    ema = ("",)
    ema_decay = 0.9

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.hidden, self.norm, self.classify = nn.Linear(PIXELS, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE, "label": Field(kind="label", dtype="int64")}

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(self.norm(self.hidden(x.flatten(1))).relu())

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["image"]), batch["label"])


class Calibrated(Model):
    """A classifier whose temperature is fitted on the validation split when its weights stand (Guo et al. 2017)."""

    posthoc_split = "validation"
    TEMPERATURES = torch.linspace(0.1, 5.0, 50)

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.classify = nn.Linear(PIXELS, 3)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE, "label": Field(kind="label", dtype="int64")}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer(lr=0.1)}  # so large that the last epoch is not the best

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.classify(batch["image"].flatten(1)), batch["label"])

    @torch.no_grad()
    def fit_posthoc(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        pairs = [(self.classify(batch["image"].flatten(1)), batch["label"]) for batch in batches]
        logits, labels = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        losses = [F.cross_entropy(logits / temperature, labels) for temperature in self.TEMPERATURES]
        self.temperature.copy_(self.TEMPERATURES[torch.stack(losses).argmin()])
        self.fitted.fill_(True)

    def logits(self, x: Tensor) -> Tensor:
        if not self.fitted:
            raise UsageError("this model has no temperature yet", "Train it with zoo train.")
        return self.classify(x.flatten(1)) / self.temperature


class Words(Model):
    """The next word from this one; a batch weighs as much as it has words, not sentences."""

    PAD = 0

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.embed, self.next = nn.Embedding(10, 4), nn.Linear(4, 10)

    def signature(self) -> dict[str, Field]:
        return {"tokens": Field(kind="tokens", shape=(6,), dtype="int64", pad=self.PAD)}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer(kind="sgd", lr=1.0)}

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of a word."""
        now, following = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        counted = self.signature()["tokens"].counted(following)  # [B, 5] bool
        logits = self.next(self.embed(now[counted]))  # [words, 10]
        return Loss(F.cross_entropy(logits, following[counted], reduction="sum"), counted.sum())


class Boxes(Model):
    """One box for an image, near all that are in it; any number of boxes an image, packed over the batch."""

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.place = nn.Linear(PIXELS, 4)

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE, "boxes": Field(kind="boxes", shape=(4,), index="image_index")}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer(kind="sgd", lr=0.1)}

    def predict(self, x: Tensor) -> Tensor:
        return self.place(x.flatten(1))

    def detect(self, images: Sequence[Tensor], *, threshold: float = 0.05) -> list[Detections]:
        label, score = torch.zeros(1, dtype=torch.int64), torch.ones(1)
        return [Detections(box[None], label, score) for box in self.predict(torch.stack(list(images)))]

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Squared distance of a box's corners."""
        index = batch[self.signature()["boxes"].index]  # [boxes]
        guess = self.predict(batch["image"])[index]  # [boxes, 4]
        return Loss((guess - batch["boxes"]).square().sum(), len(guess))
