"""Sizes as people write and read them."""

import re

from zoo_core import UsageError

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def size_text(size: int) -> str:
    """`1.5 MB`."""
    if size < 1000:
        return f"{size} bytes" if size != 1 else "1 byte"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.3g} {unit}"
    raise AssertionError


def parse_size(text: str) -> int:
    """Bytes: `1.5 MB` is 1,500,000.

    Raises:
        UsageError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or found[2] not in _UNITS or len(found[1]) > 15:
        raise UsageError(f"'{text}' is not a size", "Such as 500MB or 2GB.")
    return int(float(found[1]) * _UNITS[found[2]])
