"""Noise with a pattern, from a seed."""

from pathlib import Path

import torch

from zoo_core import Field, TensorDataset

SIZES = {"train": 60, "validation": 25, "test": 130}


class Bits(TensorDataset):
    """Black and white, mostly white in the upper rows."""

    name = "toy-bits"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        chance = torch.linspace(0.9, 0.1, 16).view(1, 4, 4)
        splits = {
            split: {"image": (torch.rand(n, 1, 4, 4, generator=generator) < chance).to(torch.uint8)}
            for split, n in SIZES.items()
        }
        super().__init__({"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=2)}, splits)


class Grey(TensorDataset):
    """Five grey levels, and a label."""

    name = "toy-grey"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(1)
        splits = {
            split: {
                "image": torch.randint(0, 5, (n, 1, 4, 4), generator=generator, dtype=torch.uint8),
                "label": torch.randint(0, 3, (n,), generator=generator),
            }
            for split, n in SIZES.items()
        }
        features = {
            "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5),
            "label": Field(kind="label", dtype="int64", classes=("a", "b", "c")),
        }
        super().__init__(features, splits)
