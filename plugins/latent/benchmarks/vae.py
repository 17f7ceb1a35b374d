"""The VAE against pythae: training, and the importance-weighted likelihood.

    python -m venv PLACE && PLACE/bin/pip install torch==2.13.0 pythae
    python plugins/latent/benchmarks/vae.py --pythae PLACE/bin/python        (or ZOO_PYTHAE_PYTHON)

Both sides have the same network (784-500-500-50 and back, ReLU, Bernoulli decoder), weights, images and batch, one
thread each, and run in turns, pythae in a process of its own environment. First they must give the same ELBO for the
same noise, and afterwards the same likelihood within the error of their draws. Prints ratios of CPU seconds, the median
over rounds; ratios carry over to processors of the same kind.

Training: pythae's BaseTrainer with its defaults, an epoch over its DataLoader, against the steps of the training loop,
which averages weights besides; in single precision, and in bf16. What follows an epoch is left out on both sides.
Likelihood: pythae's `get_nll` with the batch that is fastest for it, without a graph, against `elbo(samples=1000)`.
Beside them, the matrix products that either takes and nothing else: no ratio can be better than theirs.

Images are those of the static binarised MNIST (train), from ZOO_MIRROR or the network.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import mean, median, variance
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from sides import in_turns, line, ratio

from zoo_core import Dataset, TensorDataset, default_registry
from zoo_core.training.loop import Loop
from zoo_core.training.memory import keep_freed_memory
from zoo_latent.vae import VAE, VAEConfig

HOW = (
    "pythae needs an environment of its own: python -m venv PLACE && PLACE/bin/pip install torch=={} pythae, "
    "then --pythae PLACE/bin/python, or ZOO_PYTHAE_PYTHON"
)
SAMPLES = 1000
BATCHES = (100, 250, 500, 1000)  # of draws, for get_nll; 100 is its default
LR = 1e-3
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Pythae:
    """pythae in its own process.

    Attributes:
        seconds: CPU seconds that it has spent on what it was asked.
    """

    def __init__(self, interpreter: str, folder: Path) -> None:
        self.interpreter, self.folder, self.errors = interpreter, folder, folder / "errors"
        self.seconds = 0.0
        try:
            self.process = subprocess.Popen(
                [interpreter, str(Path(__file__).with_name("pythae_side.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors.open("w"),
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise SystemExit(f"'{interpreter}' cannot be run: {error.strerror}\n{HOW.format(version())}") from None
        if (found := self._answer()["value"].partition("+")[0]) != version():
            raise SystemExit(f"'{interpreter}' has torch {found}, and here is {version()}: compare the same one")

    def ask(self, order: str, **arguments: object) -> Any:
        """What the method `order` of `pythae_side.Side` answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([order, arguments]) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.seconds += answer["seconds"]
        return answer["value"]

    def take(self, model: VAE, images: Tensor) -> None:
        """Our weights become its own."""
        sizes = [images[0].numel(), *model.config.hidden, model.config.latent]
        self.ask("take", file=self.file(images=images, sizes=sizes, weights=weights_of_pythae(model)))

    def file(self, **content: object) -> str:
        """A file for it to read."""
        torch.save(content, self.folder / "given.pt")
        return str(self.folder / "given.pt")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (answer := self.process.stdout.readline()):
            why = self.errors.read_text().strip().splitlines()[-1:] or ["it ended"]
            raise SystemExit(f"'{self.interpreter}' gave no answer: {why[0]}\n{HOW.format(version())}")
        return json.loads(answer)


def version() -> str:
    return torch.__version__.partition("+")[0]


class Images(TensorDataset):
    """The first n of another data set's train split, in an order of their own."""

    def __init__(self, data: Dataset, n: int) -> None:
        self.name = data.name
        indices = torch.randperm(data.size("train"), generator=torch.Generator().manual_seed(0))[:n]
        image = data.batch("train", indices)["image"]
        super().__init__(data.features, {"train": {"image": image.to(torch.uint8)}})


def weights_of_pythae(model: VAE) -> dict[str, Tensor]:
    """Our weights by pythae's names; means and log variances are two layers there."""
    *hidden, last = linear_layers(model.encoder)
    *back, output = linear_layers(model.decoder)
    weights: dict[str, Tensor] = {}
    for part in ("weight", "bias"):
        named = dict(zip(("encoder.embedding", "encoder.log_var"), getattr(last, part).chunk(2), strict=True))
        named |= {f"encoder.layers.{2 * k}": getattr(layer, part) for k, layer in enumerate(hidden)}
        named |= {f"decoder.layers.{2 * k}": getattr(layer, part) for k, layer in enumerate(back)}
        named["decoder.output.0"] = getattr(output, part)
        weights |= {f"{name}.{part}": tensor.detach().clone() for name, tensor in named.items()}
    return weights


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def products(layers: Sequence[nn.Linear], rows: int, dtype: torch.dtype, gradients: bool) -> Callable[[], None]:
    """The matrix products of these layers for `rows` inputs; with those of all gradients but the first input's."""
    operands = [
        (
            torch.randn(rows, layer.in_features).to(dtype),
            layer.weight.to(dtype),
            torch.randn(rows, layer.out_features).to(dtype),
        )
        for layer in layers
    ]

    @torch.no_grad()
    def call() -> None:
        for k, (x, weight, gradient) in enumerate(operands):
            x @ weight.T
            if gradients:
                gradient.T @ x
            if gradients and k > 0:
                gradient @ weight

    return call


def peak_rss(process: int) -> float:
    """The most MiB of memory that a process has held, libraries included; Linux only."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def assert_equal(model: VAE, peer: Pythae, images: Tensor) -> None:
    """The same ELBO for the same noise."""
    noise = torch.randn(len(images), model.config.latent)
    with torch.no_grad():
        loss = model.loss({"image": images, "noise": noise})
    ours, theirs = -loss.value.item() / loss.weight, peer.ask("elbo", file=peer.file(noise=noise))
    print(f"  ELBO of {len(images)} images with the same noise: ours {ours:.4f}, pythae {theirs:.4f} nats")
    assert abs(ours - theirs) < 1e-5 * abs(theirs), "the two sides do not compute the same"


def training(model: VAE, peer: Pythae, data: Images, batch: int, rounds: int) -> VAE:
    """Gives the model that single precision has trained."""
    n = data.size("train")
    steps = n // batch
    print(f"Training, batch {batch}; images per CPU second:")
    loops, limits = {}, {}
    layers = linear_layers(model.encoder) + linear_layers(model.decoder)
    for precision, dtype in PRECISIONS.items():
        loops[precision] = Loop(deepcopy(model), data, seed=0, steps=10**9, batch=batch, lr=LR, precision=precision)
        limits[precision] = products(layers, batch, dtype, gradients=True)
    peer.ask("begin_training", folder=str(peer.folder), batch=batch, lr=LR)
    losses: dict[str, float] = {}

    def ours(precision: str) -> None:
        losses[f"ours, {precision}"] = sum(loops[precision].step()["loss"] for _ in range(steps)) / steps

    def limit(precision: str) -> None:
        for _ in range(steps):
            limits[precision]()

    def theirs() -> None:
        losses["pythae"] = peer.ask("train")

    ways: dict[str, Callable[[], None]] = {"pythae": theirs}
    for precision in PRECISIONS:
        ways[f"ours, {precision}"] = partial(ours, precision)
        ways[f"matrix products alone, {precision}"] = partial(limit, precision)
    found = in_turns(ways, rounds, calls=1, clock=lambda: process_time() + peer.seconds)
    for name, seconds in found.items():
        said = f"loss {losses[name]:.2f} in the last of {1 + rounds} epochs" if name in losses else ""
        line(name, n / median(seconds), 0, said)
    for name in list(ways)[1:]:
        said = "(target >= 3)" if name in losses else "(what this machine allows)"
        line(f"ratio, {name}", ratio(found["pythae"], found[name]), 2, said)
    for name, process in {"pythae": peer.process.pid, "ours": os.getpid()}.items():
        line(f"peak memory of the process, MiB, {name}", peak_rss(process), 0)
    return loops["fp32"].model.eval()


def likelihood(model: VAE, peer: Pythae, images: Tensor, rounds: int) -> None:
    n = len(images)
    generator = torch.Generator().manual_seed(1)
    values: dict[str, list[float]] = {"pythae": [], "ours": []}

    def theirs(batch: int) -> float:
        """Seconds."""
        before = peer.seconds
        values["pythae"].append(peer.ask("log_likelihood", images=n, samples=SAMPLES, batch=batch))
        return peer.seconds - before

    @torch.no_grad()
    def ours() -> None:
        values["ours"].append(model.elbo(images, samples=SAMPLES, generator=generator).mean().item())

    fastest = min(BATCHES, key=theirs)
    print(f"Importance-weighted likelihood, k = {SAMPLES}, {n} images; CPU ms an image:")
    limit = products(linear_layers(model.decoder), n * SAMPLES, torch.float32, gradients=False)
    ways = {"pythae": lambda: theirs(fastest), "ours": ours, "matrix products alone": limit}
    found = in_turns(ways, rounds, calls=1, clock=lambda: process_time() + peer.seconds)
    for name, seconds in found.items():
        said = ""
        if name in values:
            error = (variance(values[name]) / len(values[name])) ** 0.5
            said = f"{mean(values[name]):.3f} nats, standard error {error:.3f}"
        line(name, 1000 * median(seconds) / n, 1, said)
    for name, said in {
        "ours": f"(target >= 10; pythae takes {fastest} draws at a time)",
        "matrix products alone": "(what this machine allows)",
    }.items():
        line(f"ratio, {name}", ratio(found["pythae"], found[name]), 2, said)
    difference = mean(values["ours"]) - mean(values["pythae"])
    error = sum(variance(found) / len(found) for found in values.values()) ** 0.5
    assert abs(difference) < 5 * error, f"the two sides differ by {difference:.3f} nats, standard error {error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pythae", default=os.environ.get("ZOO_PYTHAE_PYTHON"), help="a Python that has pythae")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50, help="of training in each turn")
    parser.add_argument("--images", type=int, default=10, help="whose likelihood is measured")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.pythae is None:
        parser.error(HOW.format(version()))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()  # as zoo train does
    mnist, n = default_registry().open_dataset("binarized-mnist"), arguments.batch * arguments.steps
    if not 0 < n <= mnist.size("train"):
        parser.error(f"--batch times --steps must be in 1..{mnist.size('train')}, and is {n}")
    data = Images(mnist, n)
    images = data.batch("train", torch.arange(data.size("train")))["image"]
    model = VAE(VAEConfig())
    with tempfile.TemporaryDirectory() as folder:
        peer = Pythae(arguments.pythae, Path(folder))
        peer.take(model, images)
        assert_equal(model, peer, images[:100])
        trained = training(model, peer, data, arguments.batch, arguments.rounds)
        peer.take(trained, images)
        likelihood(trained, peer, images[: arguments.images], arguments.rounds)


if __name__ == "__main__":
    main()
