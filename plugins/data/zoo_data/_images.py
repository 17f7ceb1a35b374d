"""Image columns of the hub's parquet files, decoded to one uint8 tensor."""

import io
from pathlib import Path

import torch
from torch import Tensor

from zoo_core import DataError


def read_grey_images(
    file: Path, *, rows: Tensor | None = None, column: str = "image", label: str | None = None
) -> dict[str, Tensor]:
    """`rows` [N] int64 (default: all, in order) of the parquet `file`, whose images all have one size.

    Returns "image" [N, 1, H, W] uint8, grey levels (of a 1-bit image 0 and 1), and with `label` "label" [N] int64.

    Raises:
        DataError: the file is not parquet, or lacks the columns; an image cannot be read, or has another size.
    """
    import numpy as np
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    from PIL import Image, UnidentifiedImageError

    try:
        table = parquet.read_table(file, columns=[column] + ([label] if label else []))
        if rows is not None:
            if len(rows) and int(rows.max()) >= len(table):
                raise DataError(f"'{file}' holds {len(table):,} rows, and row {int(rows.max()):,} is asked for")
            table = table.take(arrow.array(rows.numpy()))
        encoded = table.column(column).combine_chunks().field("bytes")
        grey = [np.asarray(Image.open(io.BytesIO(png.as_py()))) for png in encoded]  # each [H, W], uint8 or bool
        images = np.stack(grey).astype(np.uint8)[:, None]  # [N, 1, H, W]
    except (arrow.ArrowException, OSError, KeyError, ValueError, UnidentifiedImageError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"'{file}' cannot be read as a table of images: {first}") from error
    decoded = {"image": torch.from_numpy(images)}
    if label:
        decoded["label"] = torch.tensor(table.column(label).to_numpy(), dtype=torch.int64)
    return decoded
