"""PixelRNN: training against the usual PyTorch design, sampling against one full forward pass for each pixel.

    python benchmarks/pixelrnn.py

Prints ratios of CPU seconds, both sides in this process on one thread, in turns. Ratios carry over to other machines;
seconds do not.
"""

import argparse
from collections.abc import Callable
from time import process_time

import torch
from straightforward_pixelrnn import StraightforwardPixelRNN
from torch import Tensor, nn

from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNNConfig
from zoo_core.testing import randomise
from zoo_core.training.memory import keep_freed_memory


def seconds(action: Callable[[], object]) -> float:
    start = process_time()
    action()
    return process_time() - start


def training_step(model: nn.Module, x: Tensor) -> Callable[[], object]:
    def step() -> None:
        model.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], x, reduction="sum") / len(x)
        loss.backward()

    return step


def assert_equal(ours: DiagonalPixelRNN, peer: nn.Module, x: Tensor, tolerance: float) -> None:
    """Same logits, and same gradient of the first layer's weight; relative to the largest."""
    for model in (ours, peer):
        training_step(model, x)()
    with torch.no_grad():
        pairs = {"logits": (ours(x), peer(x)), "gradients": (ours.input_conv.weight.grad, peer.input_conv.weight.grad)}
    for name, (a, b) in pairs.items():
        error = float((a - b).abs().max() / a.abs().max())
        print(f"  largest difference of {name:9s} {error:.1e} ({str(x.dtype).removeprefix('torch.')})")
        # Gradients are sums over all pixels, and lose a digit or two in float32.
        assert error < tolerance * (100 if name == "gradients" else 1), f"{name} differ by {error}"


def bits(n: int) -> Tensor:
    return torch.randint(2, (n, 1, 28, 28), generator=torch.Generator().manual_seed(0)).float()


def training(config: PixelRNNConfig, batch: int, repeats: int) -> None:
    print(f"Training, {config.layers} layers, h = {config.hidden}, 28x28, batch {batch}, forward and backward:")
    ours = randomise(DiagonalPixelRNN(config), std=0.1)
    assert_equal(ours, StraightforwardPixelRNN(ours), bits(2), 1e-6)
    exact = randomise(DiagonalPixelRNN(config).double(), std=0.1)
    assert_equal(exact, StraightforwardPixelRNN(exact), bits(2).double(), 1e-10)

    x = bits(batch)
    ours_step, peer_step = training_step(ours, x), training_step(StraightforwardPixelRNN(ours), x)
    for step in (ours_step, peer_step):  # warm-up
        step()
    ours_best = peer_best = float("inf")
    for _ in range(repeats):
        ours_best = min(ours_best, seconds(ours_step))
        peer_best = min(peer_best, seconds(peer_step))
    print(f"  ours              {batch / ours_best:8.1f} images/s")
    print(f"  straightforward   {batch / peer_best:8.1f} images/s")
    print(f"  ratio             {peer_best / ours_best:8.1f}   (target >= 10)")


@torch.no_grad()
def sampling(config: PixelRNNConfig, n: int, repeats: int) -> None:
    model = randomise(DiagonalPixelRNN(config), std=0.1).eval()
    pixels = config.height * config.width
    print(f"Sampling {n} images of {pixels} pixels:")
    x = bits(n)
    model.sample(1)  # warm-up
    draw = forward = float("inf")
    for _ in range(repeats):
        draw = min(draw, seconds(lambda: model.sample(n, generator=torch.Generator().manual_seed(0))))
        forward = min(forward, seconds(lambda: model(x)))
    print(f"  pixel by pixel from cached state   {draw:9.2f} s")
    print(f"  {pixels} forward passes               {pixels * forward:9.2f} s   (one measured: {forward:.3f} s)")
    print(f"  ratio                              {pixels * forward / draw:9.0f}     (target >= 400)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as zoo train does; for both sides
    config = PixelRNNConfig(hidden=16, layers=7)
    training(config, arguments.batch, arguments.repeats)
    sampling(config, arguments.samples, arguments.repeats)


if __name__ == "__main__":
    main()
