"""mnist: 70,000 handwritten digits, 28x28, 256 grey levels.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998; CC BY-SA 3.0. Read from the hub's
`ylecun/mnist`. Test is the published one; validation is the head of a seed-0 permutation of the published train.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core import Field, find_data_file
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset

REPO = "ylecun/mnist"
FEATURES = {
    "image": Field(kind="image", shape=(1, 28, 28), range=(0.0, 1.0), levels=256),
    "label": Field(kind="label", dtype="int64", classes=tuple("0123456789")),
}
PUBLISHED_TRAIN = 60_000
VALIDATION = 10_000


class Mnist(PinnedDataset):
    """50,000 / 10,000 / 10,000 examples of "image" [B, 1, 28, 28] in [0, 1] (256 levels) and "label" [B] int64."""

    name = "mnist"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "df1e1a19af5df25da207a638bd4250c64a98e3e4948d7bb5a207c51b3636a256",
        "validation": "1433ed84288b773a7c0f91e483c57394f2a966d147d94496c0d6ce99bac332c4",
        "test": "e1a39c37ec1f1867aa957d6e2f147465e74cdf22de0b0951ca8897486c37e8f0",
    }

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        published = "test" if split == "test" else "train"
        file = find_data_file(REPO, f"mnist/{published}-00000-of-00001.parquet")
        return read_images(file, rows=_rows(split), label="label")


def _rows(split: str) -> Tensor | None:
    """The rows of the published file that make the split, [N] int64; None: all."""
    if split == "test":
        return None
    shuffled = torch.randperm(PUBLISHED_TRAIN, generator=torch.Generator().manual_seed(0))
    return shuffled[:VALIDATION] if split == "validation" else shuffled[VALIDATION:]
