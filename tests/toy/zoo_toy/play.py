"""Two models without a data set: one learns from its play, one from its own samples."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo_core import AnyModel, Field, Measurement, Metric, Model, Optimizer, Record, Source
from zoo_toy.models import IndependentPixels

PLACES, LEFT, RIGHT = 5, 0, 1
DISCOUNT = 0.9
SMALL, LARGE = 0.1, 1.0  # prizes at the two ends
LONGEST = 12  # moves of an episode


class Chain:
    """Five places in a row; a small prize for a step beyond the left end, a large one beyond the right. Then it is
    over, and so it is after twelve moves."""

    def __init__(self, generator: Generator) -> None:
        self.place = int(torch.randint(PLACES, (), generator=generator))
        self.moves = 0

    def move(self, action: int) -> tuple[float, bool]:
        """The reward, and whether the prize is won."""
        self.place += 1 if action == RIGHT else -1
        self.moves += 1
        if 0 <= self.place < PLACES:
            return 0.0, False
        return (SMALL if self.place < 0 else LARGE), True


def seen(place: int | Tensor) -> Tensor:
    """What is seen of a place, one-hot."""
    return F.one_hot(torch.as_tensor(place).clamp(0, PLACES - 1), PLACES).float()


class ReplayBuffer(Source):
    """Plays the chain, and remembers the last moves; a batch is drawn from memory."""

    MOVES, CAPACITY = 4, 64  # a step; in all

    def __init__(self) -> None:
        self.chain: Chain | None = None
        self.count = 0
        self.memory = {
            "observation": torch.zeros(self.CAPACITY, PLACES),
            "action": torch.zeros(self.CAPACITY, dtype=torch.int64),
            "reward": torch.zeros(self.CAPACITY),
            "following": torch.zeros(self.CAPACITY, PLACES),
            "over": torch.zeros(self.CAPACITY, dtype=torch.bool),
        }

    def next(self, n: int, *, model: AnyModel, progress: float, generator: Generator) -> dict[str, Tensor]:
        for _ in range(self.MOVES):
            self.play(model, 1 - progress, generator)
        chosen = torch.randint(min(self.count, self.CAPACITY), (n,), generator=generator)
        return {name: values[chosen] for name, values in self.memory.items()}

    def play(self, model: AnyModel, chance: float, generator: Generator) -> None:
        """One move: with this chance a random one, else the model's."""
        self.chain = self.chain or Chain(generator)
        place = self.chain.place
        action = int(model.act(seen(place)[None].to(model.device)))
        if torch.rand((), generator=generator) < chance:
            action = int(torch.randint(2, (), generator=generator))
        reward, over = self.chain.move(action)
        move = {
            "observation": seen(place),
            "action": torch.tensor(action),
            "reward": torch.tensor(reward),
            "following": seen(self.chain.place),
            "over": torch.tensor(over),
        }
        for name, value in move.items():
            self.memory[name][self.count % self.CAPACITY] = value
        self.count += 1
        if over or self.chain.moves == LONGEST:
            self.chain = None

    def state(self) -> dict[str, Any]:
        chain = self.chain and [self.chain.place, self.chain.moves]
        return {"count": self.count, "chain": chain, **self.memory}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.count, self.chain = state["count"], None
        if state["chain"]:
            self.chain = Chain(torch.Generator())
            self.chain.place, self.chain.moves = state["chain"]
        self.memory = {name: state[name].clone() for name in self.memory}


class Player(Model):
    """Values of both actions in each place by Q-learning with a slow copy (Mnih et al. 2015)."""

    batch = 16
    optimizer = Optimizer(lr=0.05)
    select_by = "toy_return"

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.values = nn.Linear(PLACES, 2, bias=False)
        self.register_buffer("slow", self.values.weight.detach().clone())

    def signature(self) -> dict[str, Field]:
        place = Field(kind="vector", shape=(PLACES,))
        return {
            "observation": place,
            "action": Field(kind="label", dtype="int64"),
            "reward": Field(kind="vector"),
            "following": place,
            "over": Field(kind="label", dtype="bool"),
        }

    def source(self, stream: str) -> Source:
        return ReplayBuffer()

    def on_progress(self, progress: float) -> None:
        with torch.no_grad():
            self.slow.lerp_(self.values.weight, 0.1)

    def act(self, observation: Tensor, *, generator: Generator | None = None) -> Tensor:
        return self.values(observation).argmax(1)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared distance from the reward and the discounted value of what follows."""
        value = self.values(batch["observation"]).gather(1, batch["action"][:, None]).squeeze(1)
        following = F.linear(batch["following"], self.slow).amax(1)
        return F.mse_loss(value, batch["reward"] + DISCOUNT * following * ~batch["over"])


class Return(Metric):
    """The discounted prize of an episode; the seed decides where it begins."""

    requires = "Policy"
    episodes = True

    def __init__(self) -> None:
        self.returns: list[float] = []

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        for seed in batch["seed"].tolist():
            chain, reward, over = Chain(torch.Generator().manual_seed(seed)), 0.0, False
            while not over and chain.moves < LONGEST:
                reward, over = chain.move(int(model.act(seen(chain.place)[None].to(model.device))))
            self.returns.append(reward * DISCOUNT ** (chain.moves - 1))

    def merge(self, other: "Return") -> None:
        self.returns += other.returns

    def compute(self) -> Measurement:
        return Measurement.mean_of(self.examples(), f"episodes of at most {LONGEST} moves")

    def examples(self) -> Tensor:
        return torch.tensor(self.returns).double()


class OwnSamples(Source):
    """Of what the model draws, the half with the most white pixels."""

    def next(self, n: int, *, model: AnyModel, progress: float, generator: Generator) -> dict[str, Tensor]:
        drawn = model.sample(2 * n, generator=generator).cpu()
        return {"image": drawn[drawn.flatten(1).sum(1).argsort(descending=True)[:n]]}


class Whitening(IndependentPixels):
    """Learns what it draws best, and so becomes white (the cross-entropy method, Rubinstein 1999)."""

    optimizer = Optimizer(lr=0.1)

    def source(self, stream: str) -> Source:
        return OwnSamples()
