"""Image columns of the hub's parquet files, decoded to one uint8 tensor."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

from zoo_core import DataError


def read_images(
    file: Path, *, rows: Tensor | None = None, column: str = "image", label: str | None = None, size: int | None = None
) -> dict[str, Tensor]:
    """`rows` [N] int64 (default: all, in order) of the parquet `file`, whose images all have one size and mode; with
    `size`, the middle of each as a square of so many pixels. Of images with a palette, the colours.

    Returns "image" [N, C, H, W] uint8, grey levels (C = 1; of a 1-bit image 0 and 1) or RGB (C = 3), and with `label`
    "label" [N] int64.

    Raises:
        DataError: the file is not parquet, or lacks the columns; an image cannot be read, or is unlike the others.
    """
    import numpy as np
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    from PIL import UnidentifiedImageError

    try:
        table = parquet.read_table(file, columns=[column] + ([label] if label else []))
        if rows is not None:
            if len(rows) and int(rows.max()) >= len(table):
                raise DataError(f"'{file}' holds {len(table):,} rows, and row {int(rows.max()):,} is asked for")
            table = table.take(arrow.array(rows.numpy()))
        encoded = table.column(column).combine_chunks().field("bytes")
        decoded = [np.asarray(_opened(content, size)) for content in encoded.to_pylist()]
        images = np.stack(decoded).astype(np.uint8, copy=False)  # [N, H, W] or [N, H, W, 3]; 1-bit images were bool
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # [N, C, H, W]
    except (arrow.ArrowException, OSError, KeyError, ValueError, UnidentifiedImageError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"'{file}' cannot be read as a table of images: {first}") from error
    fields = {"image": torch.from_numpy(np.ascontiguousarray(images))}
    if label:
        fields["label"] = torch.tensor(table.column(label).to_numpy(), dtype=torch.int64)
    return fields


def _opened(content: bytes, size: int | None) -> "Image.Image":
    from PIL import Image, ImageOps

    picture = Image.open(io.BytesIO(content))
    if picture.mode == "P":
        return picture.convert("RGB")
    return picture if size is None else ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
