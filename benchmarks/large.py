"""Data larger than memory: row groups of Parquet, against the same data in memory and against torch's DataLoader.

    python benchmarks/large.py [--rounds 5]

Random images 3x32x32 as PNG, 500 a row group. Prints ratios, all sides in this run and in turns, each with two workers:
the median over rounds, of wall time. Ratios carry over to other machines; seconds do not.
"""

import argparse
import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pyarrow as arrow
import torch
from PIL import Image
from pyarrow import parquet
from sides import in_turns, line, ratio
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from training import BATCH, Classifier, endless, resnet20

from zoo_core import TensorDataset, dataset

GROUPS, ROWS, WORKERS = 40, 500, 2


def write(folder: Path) -> Path:
    """The files: noise that is smooth enough for PNG to have something to do."""
    rng = np.random.default_rng(0)
    images = []
    for image in rng.integers(0, 32, (GROUPS * ROWS, 32, 32, 3), dtype=np.uint8):
        encoded = io.BytesIO()
        Image.fromarray(image.cumsum(0, dtype=np.uint8)).save(encoded, "PNG")
        images.append(encoded.getvalue())
    table = arrow.table({"image": images, "label": rng.integers(0, 10, GROUPS * ROWS)})
    parquet.write_table(table, folder / "train.parquet", row_group_size=ROWS)
    return folder


class RowGroups(IterableDataset[tuple[Tensor, int]]):
    """As one writes it by hand: each worker reads its row groups in a random order, and mixes eight of them."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        worker = get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rng = np.random.default_rng(number)
        file = parquet.ParquetFile(self.file)
        while True:
            groups = rng.permutation(np.arange(number, GROUPS, count))
            for start in range(0, len(groups), 8):
                table = file.read_row_groups([int(group) for group in groups[start : start + 8]], use_threads=False)
                images, labels = table["image"].to_pylist(), table["label"].to_pylist()
                for row in rng.permutation(len(images)):
                    pixels = np.asarray(Image.open(io.BytesIO(images[row])))
                    yield torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255), labels[row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        large = dataset(f"parquet:{write(Path(folder))}")
        held = large.tensors("train")
        stored = {"image": held["image"].mul(255).round().to(torch.uint8), "label": held["label"]}
        in_memory = TensorDataset(large.features, {"train": stored})

        print(f"Feeding: batches of {BATCH} a second, from Parquet ({GROUPS} row groups of {ROWS} PNG images):")
        ours = (
            batch for epoch in itertools.count() for batch in large.batches("train", BATCH, shuffle=True, seed=epoch)
        )
        theirs = iter(DataLoader(RowGroups(Path(folder, "train.parquet")), BATCH, num_workers=WORKERS))
        calls = 2 * GROUPS * ROWS // BATCH  # long enough that full queues at the start do not matter
        ways = {"ours, two threads": lambda: next(ours), "DataLoader, PIL, two workers": lambda: next(theirs)}
        found = in_turns(ways, rounds, calls, perf_counter)
        for side, seconds in found.items():
            line(side, 1 / median(seconds), 0)
        line(
            "ratio",
            ratio(*reversed(found.values())),
            2,
            "(reported: small images are decoded by threads one at a time)",
        )

        print("Training: ResNet-20, ms of wall time a step:")
        steps = {
            "from Parquet": endless(Classifier(resnet20()), large).step,
            "from memory": endless(Classifier(resnet20()), in_memory).step,
        }
        found = in_turns(steps, rounds, calls=5, clock=perf_counter)
        for side, seconds in found.items():
            line(side, 1000 * median(seconds), 0)
        line("ratio", ratio(*found.values()), 2, "(limit <= 1.1 where a core is free to decode)")


if __name__ == "__main__":
    main()
