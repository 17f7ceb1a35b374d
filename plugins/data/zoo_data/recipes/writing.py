"""What recipes share: pictures flattened and encoded, and written as tables of the hub's kind."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def flattened(picture: Image.Image, colour: str = "white") -> Image.Image:
    """Without transparency, RGB."""
    opaque = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, colour), opaque).convert("RGB")


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """As the content of a file."""
    content = io.BytesIO()
    picture.save(content, kind, optimize=True, **options)
    return content.getvalue()


def write_pictures(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A parquet file of these rows; `bytes` are the content of an image file."""
    import pyarrow as arrow
    from pyarrow import parquet

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for values in columns.values():
        if isinstance(values[0], bytes):
            values[:] = [{"bytes": value, "path": None} for value in values]
    parquet.write_table(arrow.table(columns), path)
