"""digits: 1,797 handwritten digits, 8x8, 17 grey levels; comes with scikit-learn, so it needs no network.

The test part of the "Optical Recognition of Handwritten Digits" data set (E. Alpaydin, C. Kaynak, UCI machine learning
repository, 1998, CC BY 4.0): 32x32 scans, of which each 4x4 block was counted, so a level is the number of ink
pixels, 0 to 16. No split is published for this part: ours is one seed-0 permutation of all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core import Field
from zoo_data._pinned import PinnedDataset

FEATURES = {
    "image": Field(kind="image", shape=(1, 8, 8), range=(0.0, 1.0), levels=17),
    "label": Field(kind="label", dtype="int64", classes=tuple("0123456789")),
}
ROWS = {"train": slice(0, 1197), "validation": slice(1197, 1497), "test": slice(1497, 1797)}  # of the permutation


class Digits(PinnedDataset):
    """1,197 / 300 / 300 examples of "image" [B, 1, 8, 8] in [0, 1] (17 levels) and "label" [B] int64."""

    name = "digits"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "02b32986b86eca8125b1dc9646450cfd38ead7b900042a8bdeb440664039da79",
        "validation": "f945158287851d7d3c238e1228ac0893ebc65f189d09652110cc72fdb257d301",
        "test": "14b65a88d884ced0b925b53bad33f16c9886f5fa45e5f77c32b961280495b5b0",
    }

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        from sklearn.datasets import load_digits

        scans = load_digits()
        images = torch.from_numpy(scans.images).to(torch.uint8)[:, None]  # [1797, 1, 8, 8], levels 0..16
        labels = torch.from_numpy(scans.target).to(torch.int64)  # [1797]
        rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[ROWS[split]]
        return {"image": images[rows], "label": labels[rows]}
