"""`Dataset`: splits of named tensors, served a whole batch at a time."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field


class Dataset(ABC):
    """Named splits with the same fields.

    Attributes:
        name: as declared by the plugin, and as protocols record it.
        features: what a batch holds, by name.
        splits: the names of the splits; "train" and "test", and "validation" where there is one.
    """

    name: str
    features: Mapping[str, Field]
    splits: tuple[str, ...]

    @abstractmethod
    def size(self, split: str) -> int:
        """How many examples the split holds."""

    @abstractmethod
    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        """The examples at `indices` [B] int64, by field name: tensors, images float in [0, 1], [B, C, H, W]; texts as a
        list; of ragged fields the rows of all examples, and their index [N]."""

    @abstractmethod
    def data_sha256(self, split: str) -> str:
        """Digest of the decoded split, the same whichever source it came from (see `digest`)."""


class TensorDataset(Dataset):
    """A data set that is held in memory: one tensor per field and split, images as uint8 levels; texts as a list.

    `batch` is one indexing operation per field; an image level k of `levels` becomes k / (levels - 1).
    """

    def __init__(self, features: Mapping[str, Field], tensors: Mapping[str, Mapping[str, Any]]) -> None:
        self.features = features
        self.tensors = tensors  # split -> field -> [N, …], or N texts
        self.splits = tuple(tensors)

    def size(self, split: str) -> int:
        return len(next(iter(self._split(split).values())))

    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        return {name: self._chosen(name, values, indices) for name, values in self._split(split).items()}

    def data_sha256(self, split: str) -> str:
        return digest(self._split(split))

    def _split(self, split: str) -> Mapping[str, Any]:
        if split not in self.tensors:
            raise UsageError(f"data set '{self.name}' has no split '{split}'", f"It has: {', '.join(self.splits)}.")
        return self.tensors[split]

    def _chosen(self, name: str, values: Any, indices: Tensor) -> Any:
        if not isinstance(values, Tensor):
            return [values[index] for index in indices.tolist()]
        chosen, levels = values.index_select(0, indices), self.features[name].levels
        return chosen if levels is None else chosen.float().div_(levels - 1)


class Episodes(TensorDataset):
    """What stands for a data set where there is none: the seeds of the episodes that a policy is measured over.

    Metrics that play (`Metric.episodes`) get "seed" [B] int64 of 100 episodes for validation, and of 100 others for
    test. A run that needs no data set says `data = "none"`.
    """

    name = "episodes"

    def __init__(self) -> None:
        seeds = {"validation": torch.arange(100), "test": torch.arange(100, 200)}
        super().__init__(
            {"seed": Field(kind="label", dtype="int64")}, {split: {"seed": values} for split, values in seeds.items()}
        )


def digest(fields: Mapping[str, Any]) -> str:
    """sha256 over a decoded split, field by field in the order of their names.

    Of a tensor: a line with name, dtype and shape, then its bytes. Of a list of texts: a line with name, "text" and how
    many they are, then for each a line with its number of bytes, and its bytes in UTF-8.
    """
    sha = hashlib.sha256()
    for name in sorted(fields):
        if not isinstance(fields[name], Tensor):
            sha.update(f"{name} text {len(fields[name])}\n".encode())
            for text in fields[name]:
                encoded = text.encode()
                sha.update(b"%d\n" % len(encoded) + encoded)
            continue
        tensor = fields[name].contiguous()
        sha.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
