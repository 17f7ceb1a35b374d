"""omniglot: handwritten characters of many alphabets, 105x105, black ink (0) on white (1).

The two small background sets of B. Lake, R. Salakhutdinov, J. Tenenbaum, "Human-level concept learning through
probabilistic program induction", Science 2015 (MIT): each of 20 people drew every character once.

The two sets are two choices of what to learn from, no train and test: 50 characters (Greek, Latin) are in both, image
for image. So test is what the second set has alone: 106 characters of alphabets (katakana, Sanskrit, Tagalog) that
training never sees, as Omniglot is always used: for new characters, not for new drawings of known ones. Validation is
the head of a seed-0 permutation of the first set. The files are sorted by character, so test is permuted too.

Found in order: ZOO_MIRROR (datasets/omniglot/small1.parquet, small2.parquet); the authors' repository.

NOTE: ink is dark, as published. MNIST's is bright: a density of digits sees these characters as its own kind after the
steps `invert` and `resize:size=28`.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core import DataError, Field, find_in_mirror, is_offline, missing_data
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset
from zoo_data._public import fetch

REPO = "omniglot"  # in a mirror: small1.parquet, small2.parquet
_SMALL_1 = {"Balinese": 24, "Early_Aramaic": 22, "Greek": 24, "Korean": 40, "Latin": 26}  # alphabet -> characters
_SMALL_2 = {"Greek": 24, "Japanese_(katakana)": 47, "Latin": 26, "Sanskrit": 42, "Tagalog": 17}
PUBLISHED = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background_{}.zip"
MOST_BYTES = 20_000_000  # the files have about 3,000,000
VALIDATION = 272  # of the 2,720 images of the first set


def _characters(alphabets: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{name}/character{n:02}" for name, count in alphabets.items() for n in range(1, count + 1))


CHARACTERS = tuple(dict.fromkeys((*_characters(_SMALL_1), *_characters(_SMALL_2))))  # 242: first those of training
FEATURES = {
    "image": Field(kind="image", shape=(1, 105, 105), range=(0.0, 1.0), levels=2),
    "label": Field(kind="label", dtype="int64", classes=CHARACTERS),
}


class Omniglot(PinnedDataset):
    """2,448 / 272 / 2,120 examples of "image" [B, 1, 105, 105], ink 0.0 on 1.0, and "label" [B] int64."""

    name = "omniglot"
    sha256: ClassVar[Mapping[str, str | None]] = {
        "train": "f3e02c288044ecdd508fbad001e602510d27b120ec4d77f54cad41a8000b8fe0",
        "validation": "79d35067717d12eca8536ec3d70bfc21aa1de1e47d9c474892b16d6cf4452ede",
        "test": "d0327d52a883ab0dc21ed16c0ce78c93541d25877a2eeaa5adc0e1df7308a0b4",
    }

    def __init__(self, *, data_file: Path | None = None) -> None:
        super().__init__(FEATURES, data_file)

    def decode(self, split: str) -> dict[str, Tensor]:
        name, alphabets = ("small2", _SMALL_2) if split == "test" else ("small1", _SMALL_1)
        file = find_in_mirror(REPO, f"{name}.parquet")
        found = _download(name, alphabets) if file is None else read_images(file, label="label")
        renumbered = torch.tensor([CHARACTERS.index(character) for character in _characters(alphabets)])
        label = renumbered[found["label"]]
        if split == "test":
            rows = (label >= len(_characters(_SMALL_1))).nonzero().flatten()
            rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        else:
            shuffled = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))
            rows = shuffled[:VALIDATION] if split == "validation" else shuffled[VALIDATION:]
        return {"image": found["image"][rows], "label": label[rows]}


def _download(name: str, alphabets: Mapping[str, int]) -> dict[str, Tensor]:
    """The set as its authors publish it."""
    what = f"{REPO}/{name}.parquet"
    if is_offline():
        raise missing_data(what, "and HF_HUB_OFFLINE forbids the download")
    url = PUBLISHED.format(name)
    try:
        content = fetch(url, MOST_BYTES)
    except (OSError, ValueError) as error:  # no network, no such file, a broken answer
        raise missing_data(what, f"and {url} gives nothing ({getattr(error, 'reason', error)})") from None
    return _read_zip(content, _characters(alphabets), url)


def _read_zip(content: bytes, characters: tuple[str, ...], where: str) -> dict[str, Tensor]:
    """The images of <set>/<alphabet>/<character>/<drawing>.png, sorted; labels are places in `characters`."""
    import numpy as np
    from PIL import Image

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            drawings = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]  # [H, W] bool each
        labels = [characters.index("/".join(PurePosixPath(name).parts[-3:-1])) for name in names]
        image = torch.from_numpy(np.stack(drawings).astype(np.uint8)[:, None])  # [N, 1, H, W]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(f"{where} is not the zip file of characters that was expected: {error}") from error
    return {"image": image, "label": torch.tensor(labels)}
