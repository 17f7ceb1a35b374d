"""The header of a safetensors file, read within limits: names, types and shapes; never a value."""

import math
from pathlib import Path
from typing import Annotated

import msgspec

HEADER_UP_TO = 1 << 20  # bytes
TENSORS_UP_TO = 10_000

_Axis = Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]


class Tensor(msgspec.Struct, frozen=True):
    """What the header says of one tensor.

    Attributes:
        dtype: as safetensors calls it: F32, BF16, …
        shape: the sizes of its axes; empty for a number.
    """

    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[_Axis, ...], msgspec.Meta(max_length=32)]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_tensors(content: Path | bytes) -> dict[str, Tensor] | None:
    """The tensors of a safetensors file, by name; None if it is none, or its header is larger than a page can show."""
    if isinstance(content, bytes):
        start, raw = content[:8], content[8 : 8 + HEADER_UP_TO]
    else:
        try:
            with open(content, "rb") as file:
                start, raw = file.read(8), file.read(HEADER_UP_TO)
        except OSError:
            return None
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= len(raw):
        return None
    try:
        found = msgspec.json.decode(raw[:length], type=dict[str, msgspec.Raw])
        found.pop("__metadata__", None)
        if len(found) > TENSORS_UP_TO:
            return None
        return {name: msgspec.json.decode(one, type=Tensor) for name, one in found.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
