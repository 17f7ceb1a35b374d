"""50 GB of black and white noise that lie nowhere: a chunk is drawn from a seed when it is read (32 images and their
copies)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoo_core import Field, LargeDataset

SIDE, IN_CHUNK = 64, 2048  # pixels; examples
CHUNKS = {"train": 6000, "validation": 1, "test": 1}


class Huge(LargeDataset):
    """Images [1, 64, 64], mostly white in the upper rows; of each, the label is the number of its chunk."""

    name = "system-huge"
    splits = tuple(CHUNKS)

    def __init__(self, *, data_file: Path | None = None) -> None:
        self.features = {
            "image": Field(kind="image", shape=(1, SIDE, SIDE), range=(0, 1), levels=2),
            "label": Field(kind="label", dtype="int64"),
        }

    def chunk_sizes(self, split: str) -> Sequence[int]:
        return [IN_CHUNK] * CHUNKS[split]

    def read_chunk(self, split: str, number: int) -> dict[str, Tensor]:
        seed = int.from_bytes(hashlib.sha256(f"{split} {number}".encode()).digest()[:7])
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.randint(256, (32, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        above = torch.linspace(230, 25, SIDE).to(torch.uint8).view(SIDE, 1)
        images = (uniform < above).to(torch.uint8).repeat(IN_CHUNK // 32, 1, 1, 1)
        return {"image": images, "label": torch.full((IN_CHUNK,), number)}

    def data_sha256(self, split: str) -> str:
        return hashlib.sha256(f"{self.name} {split} {SIDE} {IN_CHUNK} {CHUNKS[split]}".encode()).hexdigest()
