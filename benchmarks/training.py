"""Training: the loop against one written by hand, feeding against a DataLoader, bf16 against fp32, two processes
against one.

    python benchmarks/training.py [loop] [feeding] [bf16] [processes]

Prints ratios, both sides in this run and in turns: the median over rounds. Ratios carry over to other machines; seconds
do not. MNIST comes from ZOO_MIRROR or the hub; where only time matters, images are random.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from sides import in_turns, line, ratio
from straightforward_training import PILImages, hand_written_steps
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo_core import Dataset, Field, Model, Record, Stream, TensorDataset, default_registry, find_data_file
from zoo_core.processes import Processes
from zoo_core.training.loop import Loop

BATCH = 128


class Classifier(Model):
    """A network that maps images [B, C, H, W] to logits [B, 10]; Adam with its defaults."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(Record())
        self.network = network

    def signature(self) -> dict[str, Field]:
        image = Field(kind="image", shape=(None, None, None), range=(0.0, 1.0))
        return {"image": image, "label": Field(kind="label", dtype="int64")}

    def streams(self, progress: float) -> dict[str, Stream]:
        return {"x": Stream(batch=BATCH)}

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.network(batch["image"]), batch["label"])


class ChannelsLastClassifier(Classifier):
    channels_last = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.to(memory_format=torch.channels_last)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: [B, c_in, H, W] -> [B, c_out, H / stride, W / stride]."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convs(x) + self.shortcut(x))


def resnet20() -> nn.Module:
    """ResNet-20 for images of 32x32 (He et al., "Deep residual learning", 2016, 4.2), but its shortcuts are 1x1."""
    blocks = [Block(16, 16, 1) for _ in range(3)]
    blocks += [Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1)]
    blocks += [Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1)]
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def perceptron() -> nn.Module:
    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(nn.Flatten(), *layers)


class RandomImages(TensorDataset):
    """16 batches of random images, 3x32x32 uint8, with random labels."""

    name = "random-images"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(256, (16 * BATCH, 3, 32, 32), dtype=torch.uint8, generator=generator)
        label = torch.randint(10, (16 * BATCH,), generator=generator)
        features = {
            "image": Field(kind="image", shape=(3, 32, 32), range=(0.0, 1.0), levels=256),
            "label": Field(kind="label", dtype="int64", classes=tuple("0123456789")),
        }
        super().__init__(features, {"train": {"image": image, "label": label}})


def endless(
    model: Model, data: Dataset, precision: str = "fp32", batch: int = BATCH, processes: Processes | None = None
) -> Loop:
    return Loop(model, data, seed=0, steps=10**9, precision=precision, batch=batch, processes=processes)


def loop(rounds: int) -> None:
    print(f"Loop: MLP 784-256-256-10 on MNIST, batch {BATCH}, Adam, one thread; CPU us a step:")
    data = default_registry().open_dataset("mnist")
    train = data.batch("train", torch.arange(data.size("train")))
    levels = train["image"].mul(255).round().to(torch.uint8)
    torch.manual_seed(0)
    network = perceptron()
    ours = endless(Classifier(deepcopy(network)), data)
    by_hand = hand_written_steps(network, levels, train["label"], BATCH)
    losses: dict[str, float | Tensor] = {"Loop.step": 0.0, "written by hand": 0.0}

    def our_step() -> None:
        losses["Loop.step"] += ours.step()["loss"]

    def hand_written_step() -> None:
        losses["written by hand"] += next(by_hand)  # a tensor: nobody waits for its value

    found = in_turns({"Loop.step": our_step, "written by hand": hand_written_step}, rounds, calls=200)
    for name, seconds in found.items():
        line(name, 1e6 * median(seconds), 0, f"mean loss {float(losses[name]) / (1 + 200 * rounds):.3f}")
    line("ratio", ratio(*found.values()), 2, "(limit <= 1.25)")


def feeding(rounds: int) -> None:
    print(f"Feeding: MNIST, batch {BATCH}; batches a second of wall time:")
    ours = endless(Classifier(perceptron()), default_registry().open_dataset("mnist"))
    (name,) = ours.model.streams(0.0)
    file = find_data_file("ylecun/mnist", "mnist/train-00000-of-00001.parquet")
    images = PILImages.of_parquet(file)
    batches = len(images) // BATCH // rounds - 1  # one epoch in all
    theirs = iter(DataLoader(images, BATCH, shuffle=True, num_workers=2))  # starts the workers, once
    ways: dict[str, Callable[[], object]] = {
        "ours, in the training process": lambda: ours._prepared(name, ours.next_batch(name, BATCH, 0.0)),
        "DataLoader, PIL, two workers": lambda: next(theirs),
    }
    # Ours goes on for long enough that it does not matter when workers fill their queue in its turn.
    calls = dict(zip(ways, (20 * batches, batches), strict=True))
    found = in_turns(ways, rounds, calls, perf_counter)
    for side, seconds in found.items():
        line(side, 1 / median(seconds), 0)
    line("ratio", ratio(*reversed(found.values())), 1, "(target >= 20)")


def bf16(rounds: int) -> None:
    amx = torch.cpu._is_amx_tile_supported()
    print(f"bf16: ResNet-20, random images 3x32x32, batch {BATCH}, one thread; CPU ms a step:")
    data, network = RandomImages(), resnet20()
    fp32 = endless(Classifier(deepcopy(network)), data)
    fast = endless(ChannelsLastClassifier(network), data, precision="bf16")
    found = in_turns({"fp32": fp32.step, "bf16, channels last": fast.step}, rounds, calls=2)
    for name, seconds in found.items():
        line(name, 1000 * median(seconds), 0)
    line("ratio", ratio(*found.values()), 2, f"(target >= 1.7 where there is AMX; here: {'yes' if amx else 'no'})")


def processes(rounds: int) -> None:
    print(
        f"Processes: ResNet-20, random images 3x32x32, batch {BATCH} in all, one thread each; ms of wall time a step:",
        flush=True,
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, __file__, "--worker", "--rounds", str(rounds)], env=environment, check=True)


def worker(rounds: int) -> None:
    """One of the two processes. They wait for each other before and after all that is measured."""
    together, alone = Processes("cpu"), Processes("cpu")
    alone.rank, alone.count = 0, 1  # as if there was no other
    data, network = RandomImages(), resnet20()
    one, two, half = (
        endless(Classifier(deepcopy(network)), data, batch=batch, processes=who)
        for batch, who in ((BATCH, alone), (BATCH, together), (BATCH // 2, alone))
    )
    ways: dict[str, Callable[[], object]] = {
        "one process": one.step if together.is_main else lambda: None,
        "two processes": two.step,
        "two, half a batch each, not communicating": half.step,
    }

    def clock() -> float:
        together.wait()
        return perf_counter()

    found = in_turns(ways, rounds, calls=2, clock=clock)
    if together.is_main:
        for name, seconds in found.items():
            line(name, 1000 * median(seconds), 0)
        single, shared, apart = found.values()
        line("ratio", ratio(single, shared), 2, "(target >= 1.5)")
        line("ratio without communication", ratio(single, apart), 2, "(what this machine allows)")
    torch.distributed.destroy_process_group()


SECTIONS = {"loop": loop, "feeding": feeding, "bf16": bf16, "processes": processes}


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}")
    torch.set_num_threads(1)
    if arguments.worker:
        return worker(arguments.rounds)
    for name in arguments.sections or SECTIONS:
        SECTIONS[name](arguments.rounds)


if __name__ == "__main__":
    main()
