"""Data sets whose every split is pinned by the digest of its decoded content."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo_core import DataError, Field, TensorDataset, UsageError, cached_tensors, digest


class PinnedDataset(TensorDataset):
    """Splits that are decoded on first use, checked against a pinned digest, then cached and memory-mapped.

    Attributes:
        sha256: the digest of each split, as `zoo_core.interfaces.dataset.digest` computes it; None where none is known,
            and `decode` checks what is.
        data_file: the user's own copy of the data, where the data set takes one.
    """

    sha256: ClassVar[Mapping[str, str | None]]
    takes_data_file: ClassVar[bool] = False

    def __init__(self, features: Mapping[str, Field], data_file: Path | None = None) -> None:
        if data_file is not None and not self.takes_data_file:
            raise UsageError(f"data set '{self.name}' takes no data file, and '{data_file}' is given")
        if data_file is not None and not data_file.exists():
            raise UsageError(f"data file '{data_file}' does not exist")
        super().__init__(features, {})
        self.splits = tuple(self.sha256)
        self.data_file = data_file
        self._loaded: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def decode(self, split: str) -> dict[str, Any]:
        """The split from its source, by field name; images uint8 levels [N, C, H, W], labels int64 [N], texts."""

    def decode_data_file(self, split: str, data_file: Path) -> dict[str, Tensor] | None:
        """As `decode`, from the user's own copy; None where that copy holds other splits only."""
        return None

    def data_sha256(self, split: str) -> str:
        """The pinned digest: what is not that data is refused when it is decoded."""
        tensors = self._split(split)
        return self.sha256[split] or digest(tensors)

    def verified(self, split: str, decoded: dict[str, Any], source: str = "its source") -> dict[str, Any]:
        """`decoded` itself; DataError where it is not the split that is pinned."""
        pinned = self.sha256[split]
        if pinned is not None and (found := digest(decoded)) != pinned:
            raise DataError(
                f"the {split} split of '{self.name}' from {source} has digest {found}, not {pinned}",
                "It is other data, or a damaged copy: delete it and fetch it again.",
            )
        return decoded

    def _split(self, split: str) -> Mapping[str, Any]:
        if split not in self.splits:
            raise UsageError(f"data set '{self.name}' has no split '{split}'", f"It has: {', '.join(self.splits)}.")
        if split not in self._loaded:
            self._loaded[split] = self._load(split)
        return self._loaded[split]

    def _load(self, split: str) -> dict[str, Any]:
        content = self.sha256[split] or "checked"
        key = f"{self.name}.{split}.{content[:16]}"  # names the content: other data is another file
        if self.data_file is not None:  # read and checked even where the cache could answer
            given = self.decode_data_file(split, self.data_file)
            if given is not None:
                self.verified(split, given, f"'{self.data_file}'")
                return cached_tensors(key, lambda: given)
        return _unpacked(cached_tensors(key, lambda: _packed(self.verified(split, self.decode(split)))))


_TEXTS = ":texts"  # at the end of a name in the cache: the bytes of all texts in UTF-8, each with a 0 behind it


def _packed(fields: Mapping[str, Any]) -> dict[str, Tensor]:
    """Fields as tensors, as the cache takes them."""
    packed = {}
    for name, values in fields.items():
        if isinstance(values, Tensor):
            packed[name] = values
        else:
            content = "".join(f"{text}\0" for text in values).encode()
            packed[name + _TEXTS] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return packed


def _unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields as they were before `_packed`."""
    return {
        name.removesuffix(_TEXTS): values.numpy().tobytes().decode().split("\0")[:-1]
        if name.endswith(_TEXTS)
        else values
        for name, values in tensors.items()
    }
