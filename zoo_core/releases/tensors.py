"""safetensors files: writing them reproducibly, and reading their header without trusting it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo_core.errors import WeightsError
from zoo_core.hub.atomic import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER_BYTES = 1_000_000
MAX_TENSORS = 10_000

DTYPES = {  # safetensors' names of torch dtypes
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


class TensorInfo(NamedTuple):
    """What the header of a file says about one tensor.

    Attributes:
        dtype: torch's name of the dtype.
        shape: the sizes of its axes.
    """

    dtype: str
    shape: tuple[int, ...]


def save_tensors(tensors: Mapping[str, "Tensor"], path: Path) -> None:
    """Write a safetensors file whose bytes depend on the tensors alone."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata={"format": "pt"}))


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Names, dtypes and shapes in a safetensors file, read within limits.

    Raises:
        WeightsError: not a safetensors file (a pickle, a git-lfs pointer, …), too large a header, a name twice.
    """
    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > MAX_HEADER_BYTES:
            what, hint = _looks_like(path)
            raise WeightsError(f"'{path}' is not a safetensors file: it {what}", hint)
        raw = file.read(length)
    try:
        header: dict[str, Any] = json.loads(raw, object_pairs_hook=no_duplicates)
        header.pop("__metadata__", None)
        infos = {name: TensorInfo(DTYPES[info["dtype"]], tuple(info["shape"])) for name, info in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"'{path}' has a damaged safetensors header: {error}") from None
    if len(infos) > MAX_TENSORS:
        raise WeightsError(f"'{path}' holds {len(infos)} tensors, and the limit is {MAX_TENSORS}")
    return infos


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`, which would keep the last of two entries with one name.

    Raises:
        ValueError: a name stands there twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _looks_like(path: Path) -> tuple[str, str | None]:
    """What a file is that is no safetensors file, and what to do about it."""
    with open(path, "rb") as file:
        start = file.read(64)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        convert = (
            "import torch, safetensors.torch as s; "
            f"s.save_file(torch.load('{path}', weights_only=True), '{path.with_suffix('.safetensors')}')"
        )
        return "looks like a pickle, which is never loaded", f'Convert it where you trust it: python -c "{convert}"'
    if start.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer; fetch the file itself with 'git lfs pull'", None
    return "has no header of a possible size", None
