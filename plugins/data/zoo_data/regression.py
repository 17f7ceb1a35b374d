"""Regression tables, as papers on predicting with uncertainty use them: "vector" [B, D], and "target" [B, 1] float32.

concrete: the strength of 1,030 mixtures (I-C. Yeh, "Modeling of strength of high-performance concrete using artificial
neural networks", 1998). boston: prices of houses in 506 districts (D. Harrison, D. Rubinfeld, "Hedonic housing prices
and the demand for clean air", 1978). auto-mpg: the consumption of 392 cars (R. Quinlan, 1993). diamonds: prices of
10,000 of 53,940 diamonds. ames: prices of 2,930 houses (D. De Cock, "Ames, Iowa: alternative to the Boston housing
data", 2011).
sacramento: prices of 932 homes, 2008. caschools: reading scores of 420 school districts in California, 1999. wage: the
logarithm of the wages of 3,000 men, 2003 to 2009 (G. James et al., "An introduction to statistical learning", 2013).

Values are as published, in their own units; of categories each is a column of 0 and 1. What every column is called, and
where it comes from, stands in regression.toml. No split is published: ours is one seed-0 permutation of all, of which
validation and test are a sixth each.

NOTE: the column "black" of boston is computed from the share of black residents, on the assumption that segregation
raises prices: scikit-learn dropped the table for it. It is here because papers report it, and for nothing else.

Found in a mirror (datasets/tables/NAME.parquet); `zoo data get NAME` makes it.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoo_core import DataError, find_in_mirror, missing_data
from zoo_data.tables import Table

REPO = "tables"  # in a mirror: NAME.parquet


class Described(NamedTuple):
    """What regression.toml says of a table."""

    source: str  # where it is in the package
    columns: tuple[str, ...]  # the target last


@cache
def _all() -> Mapping[str, Described]:
    tables = tomllib.loads(Path(__file__).with_name("regression.toml").read_text(encoding="utf-8"))
    return {name: Described(table["source"], tuple(table["columns"])) for name, table in tables.items()}


def described(name: str) -> Described:
    """What is known of a table."""
    return _all()[name]


class RegressionTable(Table):
    """A table whose last column is to be predicted."""

    targets = 1

    def column_names(self) -> tuple[str, ...]:
        return described(self.name).columns

    def rows(self) -> Tensor:
        import pyarrow as arrow
        from pyarrow import parquet

        file = find_in_mirror(REPO, f"{self.name}.parquet")
        if file is None:
            raise missing_data(f"{REPO}/{self.name}.parquet", "and no hub has it", published=False, get=self.name)
        try:
            table = parquet.read_table(file, columns=list(self.column_names()))
            columns = [torch.tensor(column.to_numpy(), dtype=torch.float32) for column in table.columns]
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise DataError(f"'{file}' cannot be read as a table: {str(error).splitlines()[0]}") from error
        if len(columns) != len(self.column_names()):
            raise DataError(f"'{file}' lacks columns of '{self.name}'")
        return torch.stack(columns, 1)


class Concrete(RegressionTable):
    """688 / 171 / 171 examples of "vector" [B, 8]; the target is compressive_strength."""

    name = "concrete"
    columns = 8
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "7bf028e37a9dc539b648bf79e28d8be6225675e862665e65486ca5289d530f98",
        "validation": "80392a8b2b2c3a49387cfdd5b7df2e46b3ee770366e731f4aa19a45c6e6d7f57",
        "test": "f91799b2b81c64a8fcbc6ccc2409d44aba7dc6a25b9cfdb2998978c5572a96e3",
    }


class Boston(RegressionTable):
    """338 / 84 / 84 examples of "vector" [B, 13]; the target is medv."""

    name = "boston"
    columns = 13
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "9631a6db59892d1f19b52f844482060d869cfe1e2d42d7983d76dcba176c49a9",
        "validation": "31931ac9722a16f647b7c040683bc655b8a805d985318afee699e25487efc673",
        "test": "d29ecb7ccadcf0bd84271ed923748db85b880fdb9a026dfe51ef01541cd8dde3",
    }


class AutoMpg(RegressionTable):
    """262 / 65 / 65 examples of "vector" [B, 7]; the target is mpg."""

    name = "auto-mpg"
    columns = 7
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "d93d311108517ab0aaf77b75869e7837379e5f12d4ae7406e0bd7b433cae58ab",
        "validation": "80652914b0a2aead2338b6e983141044fa684cd80a2ded27278030ba0762b5fb",
        "test": "b86e4dda1dde4a22432c882e71c886aa5b2d39595e5ca44565b8816a615b9d9f",
    }


class Diamonds(RegressionTable):
    """6,668 / 1,666 / 1,666 examples of "vector" [B, 23]; the target is price."""

    name = "diamonds"
    columns = 23
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "9e703adfe82d7de4bea1e79f78b7662fe716005da875ce8140837e1602404804",
        "validation": "ad8a6be0e2cc1d1ac0a4aeb2e4ba2d06467dc6ed148b725b7e512d4c9c33e8ab",
        "test": "159fc9f4210a2616c0d1dad5141f487dc58393402ea3dee30a842e2444cd6d3e",
    }


class Ames(RegressionTable):
    """1,954 / 488 / 488 examples of "vector" [B, 243]; the target is Sale_Price."""

    name = "ames"
    columns = 243
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "43bf934a124ff3e2154457a8c18141fe19009c5300e2fc06b19e4b911ccf091d",
        "validation": "e3737f05a8ee0928bc5d0a0368c02370b8f5e2c9decaa818a139597a2f51bbc7",
        "test": "55392757abdc61183d11755b8d68ce07a559e8a221d61a0873ca4d1f2c21462d",
    }


class Sacramento(RegressionTable):
    """622 / 155 / 155 examples of "vector" [B, 18]; the target is price."""

    name = "sacramento"
    columns = 18
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "0cff1ca9c158c859600f40f5d5d8472f9930b230388aff7073a3567f601f317c",
        "validation": "2810fd49f79ee8aa20d5a45d80b8b3be421b77c4a6d7a41ed322cdf88b33d72d",
        "test": "df71100312c6abbfc8346f94639ebcb10c850c2e80a2ef9b24980647f09d17a0",
    }


class CaSchools(RegressionTable):
    """280 / 70 / 70 examples of "vector" [B, 9]; the target is read."""

    name = "caschools"
    columns = 9
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "981c76b65466bae6f36bae9789f3de01a6412645639de7208216c7fa995cef72",
        "validation": "2d80f436f7e94087fb2b15f5f2bb5758365690a835ab1d12fcc2a34045389d0c",
        "test": "5f1f7567126dbf5a79f0f6cc7f2c20ad101da84fc0b08b7742d1af8abf2b4606",
    }


class Wage(RegressionTable):
    """2,000 / 500 / 500 examples of "vector" [B, 16]; the target is logwage."""

    name = "wage"
    columns = 16
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "834d213426449d0b608769e98c176cfe90d7065ef4d106937eafeb3411c499f8",
        "validation": "2b6a786e486b4b4977a009b5d6a42e94f2d18536d9d3a4dd88915ac13725f07b",
        "test": "88399595e22e894323755fb5527f527fc8026a508263a4136807e7f784264332",
    }
