"""PixelCNN and PixelRNN: training against the usual PyTorch design, sampling against one forward pass for each pixel.

    python plugins/autoregressive/benchmarks/pixels.py [pixelcnn] [pixelrnn-row] [pixelrnn]

Prints ratios of CPU seconds, both sides in this process on one thread, in turns, and the most memory that tensors hold
at once. Ratios carry over to other machines; seconds do not. Each side trains as it does in practice: our PixelCNN in
bf16 with channels last, all else in single precision. Before, both are shown to compute the same.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from straightforward_pixels import Straightforward
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from sides import in_turns, line, peak_megabytes, ratio

from zoo_autoregressive.pixel_density import PixelDensity
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNNConfig, RowPixelRNN
from zoo_core.interfaces.batches import as_channels_last
from zoo_core.testing import randomise
from zoo_core.training.memory import keep_freed_memory


class Case(NamedTuple):
    """A network, and what its ratios should be."""

    build: Callable[[], PixelDensity]
    training: int
    sampling: int


CASES = {
    "pixelcnn": Case(lambda: PixelCNN(PixelCNNConfig()), 1, 250),
    "pixelrnn-row": Case(lambda: RowPixelRNN(PixelRNNConfig()), 10, 400),
    "pixelrnn": Case(lambda: DiagonalPixelRNN(PixelRNNConfig()), 10, 400),
}


def bits(n: int) -> Tensor:
    return torch.randint(2, (n, 1, 28, 28), generator=torch.Generator().manual_seed(0)).float()


def training_step(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward and backward, in the model's own precision and memory format."""
    half = getattr(model, "precision", "fp32") == "bf16"
    if getattr(model, "channels_last", False):
        model.to(memory_format=torch.channels_last)
        x = as_channels_last(x)

    def step() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(x)[:, 0]
        nn.functional.binary_cross_entropy_with_logits(logits.float(), x, reduction="sum").div(len(x)).backward()

    return step


def assert_equal(ours: PixelDensity, peer: nn.Module, x: Tensor, tolerance: float) -> None:
    """Same logits, and same gradient of the first layer's weight; relative to the largest."""
    for model in (ours, peer):
        model.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], x, reduction="sum").backward()
    with torch.no_grad():
        pairs = {"logits": (ours(x), peer(x)), "gradients": (ours.input_conv.weight.grad, peer.input_conv.weight.grad)}
    for name, (a, b) in pairs.items():
        error = float((a - b).abs().max() / a.abs().max())
        print(f"  largest difference of {name:9s} {error:.1e} ({str(x.dtype).removeprefix('torch.')})")
        # Gradients are sums over all pixels, and lose a digit or two in float32.
        assert error < tolerance * (100 if name == "gradients" else 1), f"{name} differ by {error}"


def training(case: Case, batch: int, rounds: int) -> None:
    exact = randomise(case.build().double(), std=0.1)
    assert_equal(exact, Straightforward(exact), bits(2).double(), 1e-10)
    ours = randomise(case.build(), std=0.1)
    assert_equal(ours, Straightforward(ours), bits(2), 1e-5)
    x = bits(batch)
    sides = {"ours": training_step(ours, x), "straightforward": training_step(Straightforward(ours), x)}
    found = in_turns(sides, rounds, calls=1)
    for name, step in sides.items():
        line(
            f"training, images/s, {name}",
            batch / median(found[name]),
            1,
            f"peak memory {peak_megabytes(step):,.0f} MiB",
        )
    line("ratio", ratio(found["straightforward"], found["ours"]), 1, f"(target >= {case.training})")


@torch.no_grad()
def sampling(case: Case, n: int, rounds: int) -> None:
    model = randomise(case.build(), std=0.1).eval()
    pixels, x = model.config.height * model.config.width, bits(n)
    sides = {
        "from cached state": lambda: model.sample(n, generator=torch.Generator().manual_seed(0)),
        "one forward pass": lambda: model(x),
    }
    found = in_turns(sides, rounds, calls=1)
    for name, side in sides.items():
        line(f"{n} images, CPU s, {name}", median(found[name]), 3, f"peak memory {peak_megabytes(side):,.0f} MiB")
    naive = [pixels * seconds for seconds in found["one forward pass"]]
    line(f"ratio of {pixels} passes", ratio(naive, found["from cached state"]), 0, f"(target >= {case.sampling})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(CASES)}; by default all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(CASES):
        parser.error(f"no network named {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    keep_freed_memory()  # as zoo train does; for both sides
    for name in arguments.networks or CASES:
        print(f"{name}, 28x28, batch {arguments.batch}:")
        training(CASES[name], arguments.batch, arguments.rounds)
        sampling(CASES[name], arguments.samples, arguments.rounds)


if __name__ == "__main__":
    main()
