"""binarized-mnist: 70,000 handwritten digits, 28x28, black and white: the static binarisation of the papers' tables.

Each pixel of MNIST was drawn ONCE as a Bernoulli variable with its grey level as the probability [1], and the draw was
kept as files [2], so that log-likelihoods can be compared: NADE, PixelRNN and most later tables of "binarised MNIST"
mean these bits. Thresholding MNIST, or drawing again, gives other data and other numbers.

[1] R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008.
[2] H. Larochelle, I. Murray, "The neural autoregressive distribution estimator", AISTATS 2011.

Found in order: the user's `data_file`; ZOO_MIRROR (datasets/binarized-mnist/<split>.parquet, 1-bit PNG); the public
copies below. Whatever the source, the bits must have the pinned digest.

NOTE: the digests were computed from one copy of these files. That it equals those of [2] bit for bit is likely: splits
and sizes agree and its rows are draws of MNIST's images; but no published checksum says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from zoo_core import DataError, Field, digest, find_in_mirror, is_offline, missing_data
from zoo_data._bit_files import read_bits
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset
from zoo_data._public import fetch

REPO = "binarized-mnist"  # in a mirror
FILE_NAMES = {"train": "train", "validation": "valid", "test": "test"}  # binarized_mnist_<…>.amat
PUBLIC_COPIES = (
    "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/bac893cfcec486bbd00b755b12cf8402053b0e84/"
    "binarized_mnist_{}.amat",  # MATLAB v5, 4 MB in all
    "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_{}.amat",  # text, 110 MB
)
MOST_BYTES = 100_000_000  # the largest file, train as text, has 78,400,000
HEIGHT = WIDTH = 28
FEATURES = {"image": Field(kind="image", shape=(1, HEIGHT, WIDTH), range=(0.0, 1.0), levels=2)}


class BinarizedMnist(PinnedDataset):
    """50,000 / 10,000 / 10,000 examples of "image" [B, 1, 28, 28], each pixel 0.0 or 1.0.

    `data_file` is one file (it serves the split that its digest says) or a folder of binarized_mnist_train, _valid and
    _test; amat text or MATLAB v5 (.amat, .mat), or parquet as in a mirror.
    """

    name = "binarized-mnist"
    takes_data_file: ClassVar[bool] = True
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "63bb7067e55ada3f69e766356c07a988e2e4b812d2ec7c26f5663ddbb0dfc577",
        "validation": "919c9f19d559049745aabe131efc6e58f12aec05b937c824fe500927ecf4ae10",
        "test": "f4ec363bd870e3b7b343467a9f103f17986dcb8b9f7801100f13f9445391e343",
    }

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        in_mirror = find_in_mirror(REPO, f"{split}.parquet")
        return self._download(split) if in_mirror is None else read_images(in_mirror)

    def decode_data_file(self, split: str, data_file: Path) -> dict[str, Tensor] | None:
        if data_file.is_dir():
            return _read(_file_of_split(data_file, split))
        decoded = _read(data_file)
        others = [pinned for name, pinned in self.sha256.items() if name != split]
        return None if digest(decoded) in others else decoded

    def _download(self, split: str) -> dict[str, Tensor]:
        """The split from the first public copy that answers and holds the pinned bits."""
        tips = "Or fetch binarized_mnist_{train,valid,test}.amat elsewhere and give their folder as --data-file."
        what = f"{REPO}/{split}.parquet"
        if is_offline():
            raise missing_data(what, "and HF_HUB_OFFLINE forbids the download", also=tips)
        failures = []
        for copy in PUBLIC_COPIES:
            url = copy.format(FILE_NAMES[split])
            try:
                return self.verified(split, _as_images(read_bits(fetch(url, MOST_BYTES), HEIGHT * WIDTH, url)), url)
            except DataError as error:
                failures.append(error.message)
            except (OSError, ValueError) as error:  # no network, no such file, a broken answer
                failures.append(f"{url.split('/')[2]}: {getattr(error, 'reason', error)}")
        raise missing_data(what, f"and no public copy serves it ({'; '.join(failures)})", also=tips)


def _file_of_split(folder: Path, split: str) -> Path:
    """The file in `folder` whose name ends in the split's: binarized_mnist_valid.amat, validation.parquet, …"""
    endings = (FILE_NAMES[split], split)
    for file in sorted(folder.iterdir()):
        if file.suffix in (".amat", ".mat", ".txt", ".parquet") and file.stem.endswith(endings):
            return file
    raise DataError(f"'{folder}' has no file for the {split} split", f"Expected: binarized_mnist_{endings[0]}.amat.")


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".parquet":
        return read_images(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from error
    return _as_images(read_bits(content, HEIGHT * WIDTH, f"'{file}'"))


def _as_images(rows: Tensor) -> dict[str, Tensor]:
    return {"image": rows.reshape(-1, 1, HEIGHT, WIDTH)}  # [N, 784] -> [N, 1, 28, 28]
