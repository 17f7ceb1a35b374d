"""`Dataset`: splits of named tensors, served a whole batch at a time."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.utils.data
from torch import Generator, Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.fields import Field


class Order(Protocol):
    """An order of the examples of a split, of which slices can be asked for: a tensor of indices is one."""

    def __getitem__(self, places: slice, /) -> Tensor: ...


class Dataset(ABC):
    """Named splits whose examples have the same fields; `zoo_core.dataset("mnist")` opens one.

    A subclass that a plugin declares is created as `Class(data_file=...)`: with the path that the user named, or None.
    It defines `size`, `batch` and `data_sha256`, and these attributes. A `TensorDataset` has the methods already.

    Attributes:
        name: its name, as the plugin declares it and as measured numbers record it.
        features: the field of each name in a batch.
        splits: the names of the splits: "train", "test", and "validation" where there is one.
    """

    name: str
    features: Mapping[str, Field]
    splits: tuple[str, ...]

    @abstractmethod
    def size(self, split: str) -> int:
        """How many examples the split holds."""

    @abstractmethod
    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        """Some examples of a split.

        Args:
            split: the name of the split.
            indices: which examples, [B] int64, in any order.

        Returns:
            Values by field name: a tensor [B, *shape], for images float in [0, 1]; a list of B texts; for a ragged
            field, the rows of all examples [N, *shape], and beside it, by the name of its index, a tensor [N] int64.
        """

    @abstractmethod
    def data_sha256(self, split: str) -> str:
        """The sha256 of the split's decoded content, 64 hex digits, from whatever source it came; see `digest`."""

    def tensors(self, split: str) -> dict[str, Any]:
        """A whole split at once, by field name: {"image": [N, C, H, W], "label": [N]}. It must fit into memory."""
        return self.batch(split, torch.arange(self.size(split)))

    def batches(self, split: str, size: int, *, shuffle: bool = False, seed: int = 0) -> Iterator[dict[str, Any]]:
        """All examples of a split once, in batches; the last batch holds those that are left.

        Args:
            split: the name of the split.
            size: how many examples a batch holds, at least 1.
            shuffle: whether the order is random; by default it is the stored order.
            seed: decides the random order; take another one for each epoch.

        Raises:
            UsageError: `size` is less than 1.
        """
        if size < 1:
            raise UsageError(f"a batch holds one example at least, and not {size}")
        n = self.size(split)
        if not shuffle:
            return self.walk(split, torch.arange(n), size)
        order = self.shuffled(split, torch.Generator().manual_seed(seed))
        return (self.batch(split, order[start : start + size]) for start in range(0, n, size))

    def walk(self, split: str, indices: Tensor, size: int) -> Iterator[dict[str, Any]]:
        """Batches of `size` examples: those of the split at the ascending `indices` [N] int64. A `LargeDataset` reads
        the next ones ahead."""
        return (self.batch(split, part) for part in torch.split(indices, size))

    def shuffled(self, split: str, generator: Generator) -> Order:
        """The order in which training takes the examples of a split in one epoch. It holds every example once, and
        depends on the generator alone."""
        return torch.randperm(self.size(split), generator=generator)

    def examples(self, split: str) -> "Examples":
        """A split as a data set of torch, for `torch.utils.data.DataLoader(data.examples("train"), batch_size=32)`."""
        return Examples(self, split)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {self.size(split):,}" for split in self.splits)
        fields = ", ".join(f"{name} {list(field.shape) or field.dtype}" for name, field in self.features.items())
        return f"<{self.name}: {sizes}; {fields}>"


class Examples(torch.utils.data.Dataset[dict[str, Any]]):
    """One split, example by example: a dict of fields without their batch axis; of ragged ones, the example's rows."""

    def __init__(self, data: Dataset, split: str) -> None:
        self.data, self.split = data, split
        self.size = data.size(split)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not -self.size <= number < self.size:
            raise IndexError(f"example {number} of {self.size}")
        return self.__getitems__([number % self.size])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Several at once, as a DataLoader asks for them: decoded together."""
        batch = self.data.batch(self.split, torch.tensor(numbers))
        return [self._example(batch, place) for place in range(len(numbers))]

    def _example(self, batch: Mapping[str, Any], place: int) -> dict[str, Any]:
        return {
            name: batch[name][place] if field.index is None else batch[name][batch[field.index] == place]
            for name, field in self.data.features.items()
        }


class TensorDataset(Dataset):
    """A data set that is held in memory.

        TensorDataset({"image": Field(kind="image", shape=(1, 8, 8), levels=256)}, {"train": {"image": images}})

    A batch is made by one indexing operation for each field. In a field that has `levels`, level k of the stored tensor
    becomes k / (levels - 1) in a batch.
    """

    def __init__(self, features: Mapping[str, Field], tensors: Mapping[str, Mapping[str, Any]]) -> None:
        """The data set of these tensors.

        Args:
            features: the field of each name in a batch.
            tensors: by split and field name, a tensor [N, *shape] (for images, uint8 levels) or a list of N texts.
        """
        self.features = features
        self.stored = tensors  # split -> field -> [N, …], or N texts
        self.splits = tuple(tensors)

    def size(self, split: str) -> int:
        return len(next(iter(self._split(split).values())))

    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        return {name: self._chosen(name, values, indices) for name, values in self._split(split).items()}

    def data_sha256(self, split: str) -> str:
        return digest(self._split(split))

    def _split(self, split: str) -> Mapping[str, Any]:
        if split not in self.stored:
            raise UsageError(f"data set '{self.name}' has no split '{split}'", f"It has: {', '.join(self.splits)}.")
        return self.stored[split]

    def _chosen(self, name: str, values: Any, indices: Tensor) -> Any:
        if not isinstance(values, Tensor):
            return [values[index] for index in indices.tolist()]
        return as_fractions(values.index_select(0, indices), self.features[name])


def as_fractions(values: Any, field: Field | None) -> Any:
    """Values of a field as a batch holds them: of one that has `levels`, level k becomes k / (levels - 1)."""
    levels = None if field is None else field.levels
    return values if levels is None else values.float().div_(levels - 1)


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
    """The sha256 of a split that is in memory, 64 hex digits: `Dataset.data_sha256` of small data sets.

    It is computed field by field in the order of their names. A tensor adds a line with name, dtype and shape, and then
    its bytes. A list of texts adds a line with name, "text" and the number of texts, and then for each text a line with
    its number of bytes, and these bytes in UTF-8.

    Args:
        fields: tensors and lists of texts, by name.
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
