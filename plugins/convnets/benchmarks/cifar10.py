"""Training on CIFAR-10: batches from one uint8 tensor, against images that go through PIL one by one.

    python plugins/convnets/benchmarks/cifar10.py [resnet9] [resnet20] [...]

The same network is trained by the training loop, as `zoo train NAME --data cifar10-jpeg75` does, and by steps written
by hand that a `DataLoader` feeds with images in memory, each cropped and flipped by PIL, made a tensor, and normalised.
Once with the loop's precision and memory layout, so that only the feeding differs; once in single precision, as such
code is usually written. In turns, one thread, no worker processes. Prints ratios of CPU seconds, the median over
rounds; they carry over to processors of the same kind.

What feeding can win is bounded by the network: nothing is faster than steps on a batch that lies ready. That limit
stands beside each ratio, and how fast a network must be for feeding alone to make training twice as fast. Workers would
take no fewer CPU seconds; where cores have nothing else to do they hide the feeding behind the network.

Images are those of cifar10-jpeg75 (train), from ZOO_MIRROR.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from sides import in_turns, line, peak_megabytes, ratio

from zoo_core import Dataset, Model, ZooError, create, default_registry
from zoo_core.interfaces.batches import Batch
from zoo_core.steps.notation import parse_step, read_steps
from zoo_core.training.loop import Loop
from zoo_core.training.memory import keep_freed_memory
from zoo_core.training.optimizers import KINDS

BATCH = 128
PADDING = 4  # pixels
AUGMENTATION = (f"crop:padding={PADDING}", "flip")  # on both sides
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)


class PILImages(TorchDataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets and transforms give them, with the same operations."""

    def __init__(self, images: Tensor, labels: Tensor, *, augment: bool = True) -> None:
        """`images` [N, 3, H, W] uint8, `labels` [N]."""
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()  # [N, H, W, 3]
        self.labels = labels.tolist()
        self.augment = augment
        self.mean, self.std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index])
        if self.augment:
            width, height = image.size
            image = ImageOps.expand(image, PADDING)
            left, top = torch.randint(2 * PADDING + 1, (2,)).tolist()
            image = image.crop((left, top, left + width, top + height))
            if torch.rand(()) < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)  # [3, H, W]
        return x.sub_(self.mean).div_(self.std), self.labels[index]


def endless(images: PILImages) -> Iterator[Batch]:
    """Shuffled batches, epoch after epoch."""
    loader = DataLoader(images, BATCH, shuffle=True, drop_last=True)
    while True:
        for image, label in loader:
            yield {"image": image, "label": label}


def hand_written_steps(model: Model, batches: Iterator[Batch], *, bf16: bool, channels_last: bool) -> Iterator[Tensor]:
    """Endless steps on these batches, and the loss of each."""
    (declared,) = model.optimizers().values()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout).train()
    optimizer = KINDS[declared.kind](model.parameters(), lr=1e-3, **declared.options)
    for batch in batches:
        image = batch["image"].contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model.loss({"image": image, "label": batch["label"]})
        optimizer.zero_grad()
        (loss.value / loss.weight).backward()
        optimizer.step()
        yield loss.value.detach()


def our_loop(model: Model, data: Dataset) -> Loop:
    augmentation = read_steps([parse_step(text) for text in AUGMENTATION], "the benchmark", option="augment")
    return Loop(model, data, seed=0, steps=10**9, batch=BATCH, augmentation=augmentation)


def next_batch(loop: Loop) -> Batch:
    """What a step of the loop begins with."""
    (name,) = loop.model.streams(0.0)
    batch = loop.next_batch(name, BATCH, loop.progress)
    return loop._own_part({name: loop._prepared(name, batch)})[name]


def decoded(data: Dataset) -> tuple[Tensor, Tensor]:
    """All images of the train split, [N, 3, H, W] uint8, and their labels [N]."""
    parts = [data.batch("train", indices) for indices in torch.arange(data.size("train")).split(5000)]
    images = torch.cat([part["image"].mul(255).round().to(torch.uint8) for part in parts])
    return images, torch.cat([part["label"] for part in parts])


def assert_equal(model: Model, data: Dataset, images: Tensor, labels: Tensor) -> None:
    """Without crops and flips both sides feed the same."""
    ours = model.preprocess(data.batch("train", torch.arange(8)))
    theirs = PILImages(images, labels, augment=False)
    for k in range(8):
        image, label = theirs[k]
        assert torch.allclose(ours["image"][k], image, atol=1e-5), "the two sides do not feed the same images"
        assert ours["label"][k] == label


def feeding(loop: Loop, images: PILImages, rounds: int) -> None:
    batches = endless(images)
    print(f"Feeding alone, batch {BATCH}; images per CPU second:")
    ways: dict[str, Callable[[], object]] = {
        "one tensor, batched": lambda: next_batch(loop),
        "DataLoader, PIL": lambda: next(batches)["image"].contiguous(memory_format=torch.channels_last),
    }
    found = in_turns(ways, rounds, calls={"one tensor, batched": 40, "DataLoader, PIL": 10})
    for name, seconds in found.items():
        line(name, BATCH / median(seconds), 0, f"{1e6 * median(seconds) / BATCH:.0f} us an image")
    ours, theirs = found.values()
    line("ratio", ratio(theirs, ours), 1)
    enough = 1e6 * (median(theirs) - 2 * median(ours)) / BATCH
    line("us an image, of a network", enough, 0, "with which training would be twice as fast by feeding alone")


def training(name: str, model: Model, data: Dataset, images: PILImages, rounds: int) -> None:
    loop = our_loop(model, data)
    bf16, channels_last = loop.precision == "bf16", model.channels_last
    same = f"{'bf16' if bf16 else 'fp32'}{', channels last' if channels_last else ''}"
    ready = next_batch(loop)
    steps = {
        f"DataLoader, PIL, {same}": (endless(images), bf16, channels_last),
        "DataLoader, PIL, fp32": (endless(images), False, False),
        f"no feeding, {same}": (repeat(ready), bf16, channels_last),
    }
    ways: dict[str, Callable[[], object]] = {f"ours, {same}": loop.step}
    for side, (batches, half, last) in steps.items():
        ways[side] = hand_written_steps(deepcopy(model), batches, bf16=half, channels_last=last).__next__
    found = in_turns(ways, rounds, calls=1)
    print(f"Training {name}, batch {BATCH}; images per CPU second:")
    for side, seconds in found.items():
        line(side, BATCH / median(seconds), 0, f"a step's tensors {peak_megabytes(ways[side]):.0f} MiB at most")
    ours, fed, usual, alone = found.values()
    for side, seconds in {"only feeding differs": fed, "as usually written": usual}.items():
        low, _, high = quantiles((a / b for a, b in zip(seconds, ours, strict=True)), n=4)
        said = f"half of the rounds from {low:.2f} to {high:.2f}; no feeding at all {ratio(seconds, alone):.2f}"
        line(f"ratio, {side}", ratio(seconds, ours), 2, f"(target >= 2; {said})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="of this family (default: resnet9 resnet20)")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be at least 2, for ratios with a spread")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()  # as zoo train does
    data = default_registry().open_dataset("cifar10-jpeg75")
    normalise = {"step": "normalize", "mean": MEAN, "std": STD}
    names = arguments.networks or ["resnet9", "resnet20"]
    try:
        models = {
            name: create(name, features=data.features, input=[normalise], config={"optimizer": "sgd"}) for name in names
        }
    except ZooError as error:
        parser.error(error.message)
    decoded_images, labels = decoded(data)
    images = PILImages(decoded_images, labels)
    first = next(iter(models.values()))
    assert_equal(first, data, decoded_images, labels)
    feeding(our_loop(first, data), images, arguments.rounds)
    for name, model in models.items():
        training(name, model, data, images, arguments.rounds)


if __name__ == "__main__":
    main()
