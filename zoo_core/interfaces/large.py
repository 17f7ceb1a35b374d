"""`LargeDataset`: a data set that need not fit into memory, read a chunk at a time and ahead of its use."""

import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import Generator, Tensor

from zoo_core.errors import DataError, UsageError
from zoo_core.interfaces.batches import Batch, chosen_of, joined, packed_fields
from zoo_core.interfaces.dataset import Dataset, as_fractions

Chunk = tuple[str, int]  # a split, and the number of the chunk in it


class LargeDataset(Dataset):
    """A data set that need not fit into memory. It comes in chunks, such as the row groups of Parquet files.

        class Tosses(LargeDataset):
            name, splits = "tosses", ("train", "test")
            features = {"image": Field(kind="image", shape=(1, 8, 8), levels=2)}

            def chunk_sizes(self, split):
                return [1000] * 100

            def read_chunk(self, split, number):
                return {"image": torch.from_numpy(np.load(f"{split}-{number}.npy"))}  # uint8 [1000, 1, 8, 8]

            def data_sha256(self, split):
                return SHA256_OF_THE_FILES[split]

    A subclass defines these three methods and the attributes of `Dataset`. Threads call `read_chunk` ahead of use, and
    only chunks that are in use are held in memory.

    The training order is made by shuffling the chunks, and then the examples of each `buffer` successive chunks among
    themselves. It depends on the generator alone, so a resumed run continues with exactly the same batches; first it
    reads at most 2 * `buffer` chunks again. Unlike in a full permutation, a batch has examples of at most 2 * `buffer`
    chunks. So the examples should be stored in random order: if they are sorted by class, a batch has only the classes
    of a few chunks.

    Attributes:
        buffer: how many chunks are mixed, 8 by default. At most twice as many are held in memory. With another value
            the order is another one too.
        workers: how many threads read and decode, 2 by default.
    """

    buffer: int = 8
    workers: int = 2

    @abstractmethod
    def chunk_sizes(self, split: str) -> Sequence[int]:
        """How many examples each chunk of the split holds, in the order of the chunks; they are not read for this."""

    @abstractmethod
    def read_chunk(self, split: str, number: int) -> dict[str, Any]:
        """All examples of one chunk. Several threads call it at the same time.

        Args:
            split: the name of the split.
            number: which of its chunks, from 0 on.

        Returns:
            Values by field name, as `Dataset.batch` returns them: [n, …] each, where n is `chunk_sizes(split)[number]`.
            But the values of a field that has `levels` are the numbers of the levels, uint8.
        """

    @abstractmethod
    def data_sha256(self, split: str) -> str:
        """A sha256, 64 hex digits, that is different for any other data or other chunks.

        Since it would take hours to read all examples for it, take that of the files, or of the text that describes
        what is generated.
        """

    def size(self, split: str) -> int:
        return int(self._ends(split)[-1])

    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        owners, packed = self._owners(split, indices), packed_fields(self.features)
        numbers = torch.unique(owners).tolist() or [0]
        parts: list[Batch] = []
        for start in range(0, len(numbers), self.buffer):  # an order without locality may ask for all chunks
            self.expect(split, numbers[start : start + self.buffer])
            for number in numbers[start : start + self.buffer]:
                places = indices[owners == number] - self._start(split, number)
                parts.append(chosen_of(self._chunks().get((split, number)), places, packed))
        together = parts[0]
        if len(parts) > 1:
            by_chunk = owners.argsort(stable=True)
            together = chosen_of(joined(parts, packed), by_chunk.argsort(), packed)
        return {name: as_fractions(values, self.features.get(name)) for name, values in together.items()}

    def walk(self, split: str, indices: Tensor, size: int) -> Iterator[dict[str, Any]]:
        owners = self._owners(split, indices)
        numbers = torch.unique(owners)
        for start in range(0, len(indices), size):
            batch = self.batch(split, indices[start : start + size])
            ahead = torch.searchsorted(numbers, owners[start : start + size].max(), right=True)
            self.expect(split, numbers[ahead : ahead + self.buffer].tolist())
            yield batch

    def shuffled(self, split: str, generator: Generator) -> "Windows":
        return Windows(self.chunk_sizes(split), self.buffer, generator, partial(self.expect, split))

    def expect(self, split: str, numbers: Sequence[int]) -> None:
        """Begin to read the chunks `numbers` of a split in the background, because their examples will be asked for
        next; at most 2 * `buffer` chunks."""
        self._chunks().expect([(split, number) for number in numbers])

    def _read_checked(self, chunk: Chunk) -> dict[str, Any]:
        split, number = chunk
        fields = self.read_chunk(split, number)
        expected, packed = self.chunk_sizes(split)[number], packed_fields(self.features)
        for name, values in fields.items():
            if name not in packed and name not in packed.values() and len(values) != expected:
                raise DataError(
                    f"chunk {number} of the {split} split of '{self.name}' holds {len(values)} of '{name}', "
                    f"not {expected}"
                )
        return fields

    def _chunks(self) -> "_Chunks":
        """Those of this process: threads do not live on in a forked one."""
        held: _Chunks | None = self.__dict__.get("_held")
        if held is None or held.process != os.getpid():
            held = self.__dict__["_held"] = _Chunks(self._read_checked, 2 * self.buffer, self.workers)
        return held

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_held"}

    def _ends(self, split: str) -> Tensor:
        """Where each chunk ends, [chunks] int64."""
        if split not in self.splits:
            raise UsageError(f"data set '{self.name}' has no split '{split}'", f"It has: {', '.join(self.splits)}.")
        known: dict[str, Tensor] = self.__dict__.setdefault("_known_ends", {})
        if split not in known:
            known[split] = torch.tensor(self.chunk_sizes(split)).cumsum(0)
        return known[split]

    def _start(self, split: str, number: int) -> int:
        return int(self._ends(split)[number - 1]) if number else 0

    def _owners(self, split: str, indices: Tensor) -> Tensor:
        """The number of the chunk that holds each example."""
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < self.size(split):
            raise IndexError(f"the {split} split of '{self.name}' has examples 0 to {self.size(split) - 1}")
        return torch.searchsorted(self._ends(split), indices, right=True)


class Windows:
    """The order of one epoch over a split in chunks, of which any slice can be asked for: see `LargeDataset`.

    A window is `buffer` chunks whose examples are mixed.
    """

    def __init__(
        self,
        chunk_sizes: Sequence[int],
        buffer: int,
        generator: Generator,
        expect: Callable[[Sequence[int]], None] = lambda numbers: None,
    ) -> None:
        """`expect` is told of the chunks of the current window and of the next one."""
        sizes = torch.tensor(chunk_sizes)
        self.starts = sizes.cumsum(0) - sizes  # [chunks]
        self.sizes, self.expect = sizes, expect
        self.chunks = torch.split(torch.randperm(len(sizes), generator=generator), buffer)
        self.seeds = torch.randint(2**62, (len(self.chunks),), generator=generator).tolist()
        self.ends = torch.stack([sizes[chunks].sum() for chunks in self.chunks]).cumsum(0)
        self._mixed: OrderedDict[int, Tensor] = OrderedDict()  # the windows that were asked for last

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, places: slice) -> Tensor:
        """The examples at these places of the order, [n] int64; a slice has a start and a stop."""
        start, stop, _ = places.indices(len(self))
        if start >= stop:
            return torch.empty(0, dtype=torch.int64)
        first = self._window_at(start)
        self.expect([number for chunks in self.chunks[first : first + 2] for number in chunks.tolist()])
        parts = []
        for window in range(first, self._window_at(stop - 1) + 1):
            before = int(self.ends[window - 1]) if window else 0
            parts.append(self._window(window)[max(start - before, 0) : stop - before])
        return torch.cat(parts)

    def _window_at(self, place: int) -> int:
        return int(torch.searchsorted(self.ends, place, right=True))

    def _window(self, window: int) -> Tensor:
        """Its examples, mixed."""
        if window not in self._mixed:
            examples = torch.cat([self.starts[c] + torch.arange(int(self.sizes[c])) for c in self.chunks[window]])
            generator = torch.Generator().manual_seed(self.seeds[window])
            self._mixed[window] = examples[torch.randperm(len(examples), generator=generator)]
        if len(self._mixed) > 2:
            self._mixed.popitem(last=False)
        return self._mixed[window]


class _Chunks:
    """The chunks that are held or being read, at most `most`: the one that was asked for longest ago makes room."""

    def __init__(self, read: Callable[[Chunk], dict[str, Any]], most: int, workers: int) -> None:
        self.read, self.most, self.process = read, most, os.getpid()
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="chunks")
        self.held: OrderedDict[Chunk, Future[dict[str, Any]]] = OrderedDict()
        self.lock = Lock()

    def expect(self, chunks: Sequence[Chunk]) -> None:
        with self.lock:
            for chunk in chunks[: self.most]:
                if chunk not in self.held:
                    while len(self.held) >= self.most:
                        self.held.popitem(last=False)[1].cancel()
                    self.held[chunk] = self.threads.submit(self.read, chunk)
                self.held.move_to_end(chunk)

    def get(self, chunk: Chunk) -> dict[str, Any]:
        """What the chunk holds, as soon as it is read.

        Raises:
            ZooError: it could not be read.
        """
        self.expect([chunk])
        with self.lock:
            reading = self.held[chunk]
        try:
            return reading.result()
        except BaseException:
            with self.lock:
                self.held.pop(chunk, None)  # the next time it is tried again
            raise
