"""Tables of real numbers that come with scikit-learn and need no network: each row is one "vector" [B, D] float32.

wine: 178 wines of three growers, 13 chemical measurements (S. Aeberhard, M. Forina, UCI machine learning repository,
1991, CC BY 4.0). breast-cancer: 569 tumours, 30 measurements of their cell nuclei (W. Wolberg, O. Mangasarian,
N. Street, W. Street, UCI, 1995, CC BY 4.0). digits-dequantized: the images of `digits` as 64 real numbers: each level k
of 0 … 16 became (k + u) / 17, with u drawn once, uniform in [0, 1), so that a density over real numbers has a meaning:
its mean log-likelihood is at most that of the levels, plus 64 ln 17. diabetes: 442 patients, 10 measurements, and as
"target" the progression of the disease a year later (B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle
regression", Annals of Statistics, 2004).

Values are as published, in their own units. No split is published: ours is one seed-0 permutation of all, of which
validation and test are a sixth each.

NOTE: measurements are rounded to a few digits, so that a density can gain without end from narrow peaks at the rounded
values; a model for such data bounds its widths from below.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core import Field
from zoo_data._pinned import PinnedDataset


class Table(PinnedDataset):
    """A table that is decoded from its rows."""

    columns: ClassVar[int]
    targets: ClassVar[int] = 0  # the last columns are what should be predicted

    def __init__(self, *, data_file: Path | None = None) -> None:
        names = self.column_names()
        features = {"vector": Field(kind="vector", shape=(self.columns,), columns=names[: self.columns])}
        if self.targets:
            features["target"] = Field(kind="vector", shape=(self.targets,), columns=names[self.columns :], target=True)
        super().__init__(features, data_file)

    def column_names(self) -> tuple[str, ...]:
        """What each column is called, those of the target last; none where that is not known."""
        return ()

    @abstractmethod
    def rows(self) -> Tensor:
        """All rows, [N, D + T] float32."""

    def decode(self, split: str) -> dict[str, Tensor]:
        rows = self.rows()
        sixth = len(rows) // 6
        sizes = {"train": len(rows) - 2 * sixth, "validation": sixth, "test": sixth}
        shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        own = dict(zip(sizes, shuffled.split(list(sizes.values())), strict=True))[split]
        parts = own.split([field.shape[0] for field in self.features.values()], 1)
        return {name: part.contiguous() for name, part in zip(self.features, parts, strict=True)}


class Wine(Table):
    """120 / 29 / 29 examples of "vector" [B, 13]."""

    name = "wine"
    columns = 13
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "4e90edfc4f5c1c4b985bd60886ecb0dd344438237c94fa1b3d11aaf029319b41",
        "validation": "acfd2fd72157caa1bc2c064744997e51f6320d95519c1249700d3daede177b2f",
        "test": "be444cb215eef7a282714466c86add73108e248966b7bd3e948cb94c6e6b00be",
    }

    def rows(self) -> Tensor:
        from sklearn.datasets import load_wine

        return torch.from_numpy(load_wine().data).float()


class BreastCancer(Table):
    """381 / 94 / 94 examples of "vector" [B, 30]."""

    name = "breast-cancer"
    columns = 30
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "3f3180add251d901e95d3cbaeffc519d57ba50eae8dcce839c13f392c2ccf9c5",
        "validation": "b112c9bf9534ddc5cd937019fb881dcea14d542ca2f5a9fff668b9327add6a15",
        "test": "6a342730f25f918aa60223369d2564e383e167890884566b31329c817185ad7c",
    }

    def rows(self) -> Tensor:
        from sklearn.datasets import load_breast_cancer

        return torch.from_numpy(load_breast_cancer().data).float()


class DigitsDequantized(Table):
    """1,199 / 299 / 299 examples of "vector" [B, 64] in [0, 1), row by row."""

    name = "digits-dequantized"
    columns = 64
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "f76bf7ae1ee13afb980fb8c90de83169ba4795fb5cfff54f12bccdb50c088c1c",
        "validation": "6412750a5704f86fca6c0fccf1831b9a77ba7011f5ab5a5429bace297c3b2800",
        "test": "917c69e46bcb7480303e7142b0c1384434896843745f530da503f9b248fb62f8",
    }

    def rows(self) -> Tensor:
        from sklearn.datasets import load_digits

        levels = torch.from_numpy(load_digits().data).float()  # [1797, 64], 0..16
        return (levels + torch.rand(levels.shape, generator=torch.Generator().manual_seed(0))) / 17


class Diabetes(Table):
    """296 / 73 / 73 examples of "vector" [B, 10] and "target" [B, 1]; sex is 1 or 2, all else a measurement."""

    name = "diabetes"
    columns = 10
    targets = 1
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "c34127eaef4c9c83532dfe4e13a2b3b0d315bb3c61f342da210d3ff45ffafbc1",
        "validation": "365351f4a423e87ad7af86b1c65c87cb35c5e9977733e2a2528843102f86530e",
        "test": "7d171d30bd752d0730b0d4538ba0142e438d97258f715a197bc513c05710a919",
    }

    def rows(self) -> Tensor:
        from sklearn.datasets import load_diabetes

        data = load_diabetes(scaled=False)
        return torch.cat([torch.from_numpy(data.data), torch.from_numpy(data.target)[:, None]], 1).float()
