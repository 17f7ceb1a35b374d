"""Training as it is usually written by hand in PyTorch: the peers that `training.py` measures against."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset


def hand_written_steps(model: nn.Module, images: Tensor, labels: Tensor, batch: int) -> Iterator[Tensor]:
    """Endless steps of a classifier, and the loss of each. `images` [N, …] uint8 and `labels` [N] are in memory.

    No Python for single images, and nothing that waits for the loss or looks whether it is finite.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for indices in torch.randperm(len(images)).split(batch):
            loss = F.cross_entropy(model(images[indices].float().div_(255)), labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.detach()


class PILImages(Dataset[tuple[Tensor, int]]):
    """Compressed images in memory, each decoded when it is asked for, as torchvision's data sets and ToTensor do."""

    def __init__(self, encoded: Sequence[bytes], labels: Sequence[int]) -> None:
        self.encoded, self.labels = encoded, labels

    @classmethod
    def of_parquet(cls, file: Path) -> "PILImages":
        table = parquet.read_table(file)
        encoded = table.column("image").combine_chunks().field("bytes")
        return cls(encoded.to_pylist(), table.column("label").to_pylist())

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = np.array(Image.open(io.BytesIO(self.encoded[index])))  # [H, W] uint8
        return torch.from_numpy(image)[None].float().div_(255), self.labels[index]
