"""coin-bits: biased coins, thrown from a seed."""

from pathlib import Path

import torch

from zoo_core import Field, TensorDataset

CHANCES = torch.tensor([[0.1, 0.3, 0.5], [0.6, 0.8, 0.9]])  # of a 1, [H, W]
SIZES = {"train": 512, "validation": 128, "test": 256}
FEATURES = {"image": Field(kind="image", shape=(1, 2, 3), range=(0.0, 1.0), levels=2)}


class CoinBits(TensorDataset):
    """Batches of "image" [B, 1, 2, 3], each pixel 1 with its own chance."""

    name = "coin-bits"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        throws = {split: torch.rand(n, 1, 2, 3, generator=generator) < CHANCES for split, n in SIZES.items()}
        super().__init__(FEATURES, {split: {"image": bits.to(torch.uint8)} for split, bits in throws.items()})
