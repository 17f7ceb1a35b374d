"""CIFAR-10: 60,000 photographs of ten kinds of things, 32x32 RGB.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. Test is the published one; validation is
the head of a seed-0 permutation of the published train.

Two data sets, whose numbers never stand in one table: `cifar10` is the hub's `uoft-cs/cifar10`, the published pixels as
PNG. `cifar10-jpeg75` is a copy that was JPEG-compressed at quality 75: fine for accuracy, but JPEG smooths away the
noise that makes photographs hard to predict, so bits per dimension at full size mean nothing.

NOTE: the digest of `cifar10` could not be computed where this was written. Instead each published file is checked by
what is published: its classes' sizes, and the sum of all levels of each channel (see `LEVEL_SUMS`), which another copy,
such as the JPEGs, does not meet. The order of the rows is taken as it comes, and shows in the digests of a run. The
digest of `cifar10-jpeg75` holds for the JPEG decoder that pillow's own packages bring along (libjpeg-turbo).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core import DataError, Field, find_data_file, find_in_mirror, missing_data
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FEATURES = {
    "image": Field(kind="image", shape=(3, 32, 32), range=(0.0, 1.0), levels=256),
    "label": Field(kind="label", dtype="int64", classes=CLASSES),
}
PUBLISHED = {"train": 50_000, "test": 10_000}
VALIDATION = 5_000
# From the widely published channel means, which have enough digits to give whole numbers: 0.49139967861519607,
# 0.48215840839460783, 0.44653091444546567 on train and 0.4942142800245098, 0.4851313890165441, 0.4504090927542892 on
# test, each times 255 levels x 1,024 pixels x images.
LEVEL_SUMS = {
    "train": [6_415_714_204, 6_295_060_180, 5_829_907_619],
    "test": [1_290_492_328, 1_266_775_083, 1_176_108_223],
}


class Cifar10(PinnedDataset):
    """45,000 / 5,000 / 10,000 examples of "image" [B, 3, 32, 32] in [0, 1] (256 levels) and "label" [B] int64."""

    name = "cifar10"
    sha256: ClassVar[Mapping[str, str | None]] = {"train": None, "validation": None, "test": None}

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        try:
            file = find_data_file("uoft-cs/cifar10", _path(split))
        except DataError as error:
            if find_in_mirror(Cifar10Jpeg75.name, _path(split)) is None:
                raise
            raise DataError(error.message, f"{error.hint} Here is its JPEG copy: {Cifar10Jpeg75.name}.") from error
        found = read_images(file, column="img", label="label")  # all rows: the sums are over all
        published = "test" if split == "test" else "train"
        sums, sizes = found["image"].sum(dim=(0, 2, 3)).tolist(), found["label"].bincount().tolist()
        if sums != LEVEL_SUMS[published] or sizes != [PUBLISHED[published] // len(CLASSES)] * len(CLASSES):
            raise DataError(
                f"'{file}' is not CIFAR-10's {published} as published: its channels sum to {sums}, not "
                f"{LEVEL_SUMS[published]}, or its classes differ in size ({sizes})",
                "Fetch uoft-cs/cifar10 again. A JPEG-compressed copy is another data set: cifar10-jpeg75.",
            )
        rows = _rows(split)
        return found if rows is None else {name: tensor[rows] for name, tensor in found.items()}


class Cifar10Jpeg75(PinnedDataset):
    """As `Cifar10`, with each image JPEG-compressed."""

    name = "cifar10-jpeg75"
    sha256: ClassVar[Mapping[str, str | None]] = {
        "train": "f080e05e378104f36d58848c939a0e86695b653ea6888c7c94fb2f72c996fa95",
        "validation": "c88d33ae1ac1b15e3bf2dbfbaf18888acff6ca7b7da6563ee1b48b3a924ccbe0",
        "test": "6a551c4fb4cb01a73e3eb2dd99e0613d44ac03aab837c1ad2e4e10be6f5b8eb7",
    }

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        file = find_in_mirror(self.name, _path(split))
        if file is None:
            what = f"{self.name}/{_path(split)}"
            raise missing_data(what, "and no hub has it", published=False, also="The hub's CIFAR-10 is 'cifar10'.")
        return read_images(file, rows=_rows(split), column="img", label="label")


def _path(split: str) -> str:
    """The published file that holds the split."""
    return f"plain_text/{'test' if split == 'test' else 'train'}-00000-of-00001.parquet"


def _rows(split: str) -> Tensor | None:
    """The rows of the published file that make the split, [N] int64; None: all."""
    if split == "test":
        return None
    shuffled = torch.randperm(PUBLISHED["train"], generator=torch.Generator().manual_seed(0))
    return shuffled[:VALIDATION] if split == "validation" else shuffled[VALIDATION:]
