"""Files of flattened binary images: "amat" text (one row of 0 and 1 an image), and MATLAB v5 matrices.

The public copies of the static binarised MNIST come as both, under the same names, so the content decides.
"""

import io
from typing import Any

import torch
from torch import Tensor

from zoo_core import DataError


def read_bits(content: bytes, width: int, where: str) -> Tensor:
    """The rows of `content` (a whole file), [N, width] uint8 of 0 and 1; `where` names the file in errors.

    Raises:
        DataError: neither format, a value other than 0 and 1, or rows of another width.
    """
    return _read_matlab(content, width, where) if content.startswith(b"MATLAB") else _read_amat(content, width, where)


def _read_amat(content: bytes, width: int, where: str) -> Tensor:
    import numpy as np

    symbols = np.frombuffer(content, dtype=np.uint8)
    symbols = symbols[symbols > ord(" ")]  # without blanks and line ends: one character a pixel
    bits = symbols - np.uint8(ord("0"))  # anything below "0" wraps to a large number
    if bits.size == 0 or int(bits.max()) > 1:
        raise DataError(f"{where} is neither amat text (rows of 0 and 1) nor a MATLAB v5 file")
    if bits.size % width:
        raise DataError(f"{where} holds {bits.size:,} values, which is not a whole number of rows of {width}")
    return torch.from_numpy(bits.reshape(-1, width))


def _read_matlab(content: bytes, width: int, where: str) -> Tensor:
    import numpy as np
    from scipy.io import loadmat, whosmat  # scikit-learn brings scipy along

    try:
        matrices = [name for name, shape, _ in whosmat(io.BytesIO(content)) if len(shape) == 2 and shape[1] == width]
        if len(matrices) != 1:  # asked before anything is unpacked
            raise DataError(f"{where} should hold one matrix with rows of {width}, and holds {len(matrices)}")
        matrix: Any = loadmat(io.BytesIO(content), variable_names=matrices)[matrices[0]]
    except DataError:
        raise
    except Exception as error:  # the reader raises whatever a damaged file leads it to
        raise DataError(f"{where} cannot be read as a MATLAB v5 file ({type(error).__name__})") from error
    values = np.asarray(matrix)
    if not np.isin(values, (0, 1)).all():
        raise DataError(f"{where} holds values other than 0 and 1")
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.uint8))
