"""NADE (h = 500, 784 bits, batch 64): blocks of values against one value at a time.

    python plugins/autoregressive/benchmarks/nade.py [REFERENCE]

The peer is the design of pytorch-generative's NADE, restated: one pass in Python over the values, which gives
probabilities under autograd and, where a value is not known, draws it. It is measured with sigmoid units, as in ours
and in the paper, where both compute the same (compared before), and with ReLUs, as it has them, which cost
less. All run in turns; what is printed is the median ratio of CPU seconds over rounds, and for training the most memory
that tensors hold at once. Images are those of the static binarised MNIST (train), from ZOO_MIRROR or the network.

Weights: REFERENCE, say nade, where there is a release; else fresh ones that know how often each pixel is 1. Sampling
costs more the more ones are drawn.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from sides import in_turns, line, peak_megabytes, ratio

from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_core import default_registry, load

BATCH = 64


class ValueByValue(nn.Module):
    """The same NADE as `model`, with bits only: [B, D] -> probabilities [B, D] and the values."""

    def __init__(self, model: NADE, nonlinearity: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity
        self.in_weight = nn.Parameter(model.W.detach().T.clone())  # [h, D]
        self.in_bias = nn.Parameter(model.b.detach().clone())
        self.out_weight = nn.Parameter(model.V.detach()[:, 0].clone())  # [D, h]
        self.out_bias = nn.Parameter(model.c.detach()[:, 0].clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values below 0 are not known, and drawn."""
        probabilities, values = [], []
        a = self.in_bias.expand(len(x), -1)
        for i in range(x.shape[1]):
            hidden = self.nonlinearity(a)
            p = torch.sigmoid(hidden @ self.out_weight[i : i + 1].T + self.out_bias[i : i + 1])
            value = x[:, i : i + 1]
            value = torch.where(value < 0, Bernoulli(p).sample(), value)
            a = a + value @ self.in_weight[:, i : i + 1].T
            probabilities.append(p)
            values.append(value)
        return torch.cat(probabilities, 1), torch.cat(values, 1)


def fresh(images: Tensor) -> NADE:
    model = NADE(NADEConfig())
    with torch.no_grad():
        model.V.mul_(0.3)
        model.c.copy_(images.flatten(1).mean(0).clamp(0.001, 0.999).logit()[:, None])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="NADE: blocks of values against one value at a time.")
    parser.add_argument("reference", nargs="?", help="a NADE with 784 bits and h = 500")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = default_registry().open_dataset("binarized-mnist")
    images = data.batch("train", torch.randperm(data.size("train"))[:BATCH])["image"]
    rows = images.flatten(1)
    ours = fresh(images) if arguments.reference is None else load(arguments.reference)
    peers = {name: ValueByValue(ours, getattr(torch, name)) for name in ("sigmoid", "relu")}

    def our_step() -> None:
        torch.autograd.grad(-ours.log_prob(images).mean(), list(ours.parameters()))

    def peer_step(peer: ValueByValue) -> None:
        torch.autograd.grad(F.binary_cross_entropy(peer(rows)[0], rows) * rows.shape[1], list(peer.parameters()))

    def our_samples() -> None:
        ours.sample(BATCH)

    @torch.no_grad()
    def peer_samples(peer: ValueByValue) -> None:
        peer(-torch.ones_like(rows))

    with torch.no_grad():
        difference = (torch.sigmoid(ours(images)).flatten(1) - peers["sigmoid"](rows)[0]).abs().max().item()
    print(f"largest difference of a probability: {difference:.1e}")
    for what, our_way, peer_way, goal in (
        ("training, forward and backward", our_step, peer_step, "(target >= 10)"),
        (f"{BATCH} samples", our_samples, peer_samples, "(target >= 5)"),
    ):
        print(f"{what}; CPU ms:")
        sides = {"ours": our_way} | {f"value by value, {name}": partial(peer_way, peers[name]) for name in peers}
        found = in_turns(sides, rounds, calls=1)
        for name, call in sides.items():
            memory = f"peak memory {peak_megabytes(call):,.0f} MiB" if what.startswith("training") else ""
            line(name, 1000 * median(found[name]), 0, memory)
        for name in list(sides)[1:]:
            line(f"ratio, {name.split()[-1]}", ratio(found[name], found["ours"]), 1, goal)


if __name__ == "__main__":
    main()
