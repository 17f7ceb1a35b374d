"""parquet:PATH: a user's own Parquet files, which may be larger than memory.

    zoo train resnet9 --data parquet:photos --size 32       (the same as --data parquet:photos,size=32)

The files lie in a folder, as on the hub: train-00000-of-00004.parquet, test-00000-of-00001.parquet, or below folders of
these names. What a batch holds follows from the columns: "image" from encoded images, plain or as the hub's structs;
"label" from the integers of the column of that name; a text from each column of strings; "vector" from all columns of
single floats. Row groups are read ahead by threads; `zoo_core.LargeDataset` says in which order.

The first image says whether they are grey or RGB, and of which size all are; `channels` and `size` say otherwise.
"""

import io
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as arrow
import pyarrow.parquet
import torch
from torch import Tensor

from zoo_core import DataError, Field, LargeDataset, UsageError, file_sha256
from zoo_data.folder import SPLITS, decode_image, read_reference

LABEL, IMAGE, VECTOR = "label", "image", "vector"


class RowGroup(NamedTuple):
    """One row group of a file."""

    file: Path
    number: int
    rows: int


class Parquet(LargeDataset):
    """Examples of what the columns say: "image" [B, C, H, W] in [0, 1] (256 levels), "label" [B] int64, "vector"
    [B, D], texts."""

    def __init__(self, *, data_file: Path | None = None) -> None:
        if data_file is None:
            raise UsageError("'parquet' needs the path of a folder", "For example: --data parquet:photos")
        root, self.options, words = read_reference(data_file, "parquet")
        self.name = ",".join([f"parquet:{root.resolve().name}", *words])
        self.files = _find_files(root)
        self.splits = tuple(self.files)
        self.metadata = {file: _metadata(file) for files in self.files.values() for file in files}
        self.groups = {
            split: [
                RowGroup(file, number, self.metadata[file].row_group(number).num_rows)
                for file in files
                for number in range(self.metadata[file].num_row_groups)
            ]
            for split, files in self.files.items()
        }
        if empty := [split for split, groups in self.groups.items() if not sum(group.rows for group in groups)]:
            raise DataError(f"the {empty[0]} split of '{root}' has no rows")
        self.columns = _columns(self.metadata[self.files["train"][0]].schema.to_arrow_schema(), root)
        self.features: dict[str, Field] = {}
        self.features = self._features()

    def chunk_sizes(self, split: str) -> Sequence[int]:
        return [group.rows for group in self.groups[split]]

    def read_chunk(self, split: str, number: int) -> dict[str, Any]:
        group = self.groups[split][number]
        try:
            with arrow.parquet.ParquetFile(group.file, metadata=self.metadata[group.file]) as file:
                table = file.read_row_group(group.number, columns=list(self.columns), use_threads=False)
            return self._decoded(table, group)
        except (arrow.ArrowException, OSError, KeyError, ValueError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"row group {group.number} of '{group.file}' cannot be read: {first}") from error

    def data_sha256(self, split: str) -> str:
        """Over the sha256 of the files in their order, and the options."""
        lines = [str(self.options), *(file_sha256(file) for file in self.files[split])]
        return sha256("\n".join(lines).encode()).hexdigest()

    def _features(self) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for name, kind in self.columns.items():
            if kind == IMAGE:
                shape = self._first_image(name)
                found[IMAGE] = Field(kind="image", shape=shape, range=(0.0, 1.0), levels=256)
            elif kind == LABEL:
                found[LABEL] = Field(kind="label", dtype="int64", classes=self._classes())
            elif kind == "text":
                found[name] = Field(kind="text")
        if vector := tuple(name for name, kind in self.columns.items() if kind == VECTOR):
            found[VECTOR] = Field(kind="vector", shape=(len(vector),), columns=vector)
        return found

    def _first_image(self, column: str) -> tuple[int, int, int]:
        """Its [C, H, W]."""
        group = self.groups["train"][0]
        with arrow.parquet.ParquetFile(group.file, metadata=self.metadata[group.file]) as file:
            batch = next(file.iter_batches(batch_size=1, columns=[column]))
        pixels = decode_image(io.BytesIO(_encoded(batch.column(0))[0]), self.options, f"row 0 of '{group.file}'")
        return pixels.shape[2], pixels.shape[0], pixels.shape[1]

    def _classes(self) -> tuple[str, ...]:
        """As the hub's features name them; else the numbers up to the largest, as the files' statistics know it."""
        schema = self.metadata[self.files["train"][0]].schema.to_arrow_schema()
        try:
            features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
            return tuple(map(str, features[LABEL]["names"]))
        except (KeyError, TypeError, ValueError):
            pass
        place = self.metadata[self.files["train"][0]].schema.names.index(LABEL)
        largest = []
        for group in (group for groups in self.groups.values() for group in groups):
            statistics = self.metadata[group.file].row_group(group.number).column(place).statistics
            if statistics is None or not statistics.has_min_max:
                return ()
            largest.append(statistics.max)
        return tuple(map(str, range(max(largest) + 1)))

    def _decoded(self, table: arrow.Table, group: RowGroup) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, kind in self.columns.items():
            column = table.column(name).combine_chunks()
            if column.null_count:
                raise DataError(f"row group {group.number} of '{group.file}' has rows without '{name}'")
            if kind == IMAGE:
                found[IMAGE] = self._images(_encoded(column), group)
            elif kind == LABEL:
                found[LABEL] = torch.tensor(column.to_numpy(), dtype=torch.int64)
            elif kind == "text":
                found[name] = column.to_pylist()
        if vector := [table.column(name).to_numpy() for name, kind in self.columns.items() if kind == VECTOR]:
            found[VECTOR] = torch.stack([torch.tensor(values, dtype=torch.float32) for values in vector], 1)
        return found

    def _images(self, encoded: Sequence[bytes], group: RowGroup) -> Tensor:
        """[N, C, H, W] uint8."""
        channels, height, width = cast(tuple[int, int, int], self.features[IMAGE].shape)
        images = torch.empty(len(encoded), channels, height, width, dtype=torch.uint8)
        for row, content in enumerate(encoded):
            where = f"row {row} of row group {group.number} of '{group.file}'"
            pixels = decode_image(io.BytesIO(content), self.options, where)
            if pixels.shape[:2] != (height, width) or pixels.shape[2] > channels:
                h, w, c = pixels.shape
                raise DataError(
                    f"{where} has {w} x {h} pixels of {c} channels, the first image {width} x {height} of {channels}",
                    "Bring all to one kind: parquet:PATH,size=N,channels=3.",
                )
            images[row] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())  # one channel fills three
        return images


def _find_files(root: Path) -> dict[str, list[Path]]:
    """The files of each split, sorted; a file belongs to the split that its name, or its folder's, begins with."""
    found: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("*.parquet")):
        words = [part.replace("_", "-").replace(".", "-").partition("-")[0] for part in (file.name, file.parent.name)]
        split = next((SPLITS[word] for word in words if word in SPLITS), None)
        if split is None:
            raise UsageError(
                f"'{file}' is of no split", "Call it train-….parquet, validation-….parquet or test-….parquet."
            )
        found.setdefault(split, []).append(file)
    if "train" not in found:
        raise UsageError(f"no files train-….parquet are found in '{root}'")
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def _metadata(file: Path) -> Any:
    try:
        return arrow.parquet.read_metadata(file)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"'{file}' is not a Parquet file: {str(error).splitlines()[0]}") from error


def _columns(schema: Any, root: Path) -> dict[str, str]:
    """The columns that are read, and what each becomes."""
    found: dict[str, str] = {}
    for column in schema:
        kind = column.type
        if arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind) or arrow.types.is_struct(kind):
            found[column.name] = IMAGE
        elif arrow.types.is_integer(kind) and column.name == LABEL:
            found[column.name] = LABEL
        elif arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
            found[column.name] = "text"
        elif arrow.types.is_floating(kind):
            found[column.name] = VECTOR
    if not found or list(found.values()).count(IMAGE) > 1:
        raise UsageError(
            f"of the columns of '{root}' no batch can be made: {', '.join(schema.names)}",
            "There are one of images, 'label' of integers, texts, and floats.",
        )
    return found


def _encoded(column: Any) -> list[bytes]:
    """The encoded images of a column."""
    struct = arrow.types.is_struct(column.type)
    values: list[bytes] = (column.field("bytes") if struct else column).to_pylist()
    return values
