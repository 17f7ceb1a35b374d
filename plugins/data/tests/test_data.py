"""The data sets: what they hold, where they come from, and what is refused."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo_core.errors import DataError, UsageError
from zoo_core.interfaces.dataset import digest
from zoo_data import binarized_mnist, omniglot
from zoo_data._bit_files import read_bits
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset
from zoo_data.binarized_mnist import BinarizedMnist
from zoo_data.cifar10 import LEVEL_SUMS, Cifar10, Cifar10Jpeg75
from zoo_data.digits import Digits
from zoo_data.mnist import Mnist
from zoo_data.omniglot import CHARACTERS, Omniglot

MIRROR = os.environ.get("ZOO_MIRROR")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="ZOO_MIRROR is not set")
ALL = [pytest.param(Digits, id="digits")] + [
    pytest.param(kind, id=kind.name, marks=needs_mirror) for kind in (Mnist, BinarizedMnist, Omniglot, Cifar10Jpeg75)
]
SIZES = {
    "digits": (1197, 300, 300),
    "mnist": (50_000, 10_000, 10_000),
    "binarized-mnist": (50_000, 10_000, 10_000),
    "omniglot": (2448, 272, 2120),
    "cifar10-jpeg75": (45_000, 5_000, 10_000),
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the file, so that each split is decoded once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("ZOO_CACHE", str(folder))
        yield folder


def no_decoding(self: PinnedDataset, split: str) -> dict[str, Tensor]:
    raise AssertionError(f"{self.name}/{split} was decoded")


@pytest.mark.parametrize("kind", ALL)
def test_splits_have_their_sizes_and_the_pinned_digest(kind: type[PinnedDataset]) -> None:
    data = kind()
    assert data.splits == ("train", "validation", "test")
    assert tuple(data.size(split) for split in data.splits) == SIZES[kind.name]
    for split in data.splits:
        assert digest(data._split(split)) == data.data_sha256(split) == kind.sha256[split]


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_is_as_the_features_say(kind: type[PinnedDataset]) -> None:
    data = kind()
    for split in data.splits:
        indices = torch.tensor([data.size(split) - 1, 0, 5, 5])
        batch = data.batch(split, indices)
        assert set(batch) == set(data.features)
        image, field = batch["image"], data.features["image"]
        assert image.shape == (4, *field.shape)
        assert image.dtype == torch.float32
        assert 0 <= float(image.min()) < float(image.max()) <= 1
        steps = image * (field.levels - 1)
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        assert torch.equal(image[2], image[3])
        if "label" in batch:
            assert batch["label"].dtype == torch.int64
            assert batch["label"].shape == (4,)
    assert data.batch("test", torch.arange(0))["image"].shape == (0, *data.features["image"].shape)


@pytest.mark.parametrize("kind", ALL)
def test_no_image_is_in_two_splits(kind: type[PinnedDataset]) -> None:
    data = kind()
    seen = {split: {row.tobytes() for row in data._split(split)["image"].numpy()} for split in data.splits}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert seen[a].isdisjoint(seen[b]), (a, b)


def test_digits_are_a_permutation_of_all_that_scikit_learn_ships() -> None:
    from sklearn.datasets import load_digits

    data = Digits()
    ours = np.concatenate([data._split(split)["image"].numpy().reshape(-1, 64) for split in data.splits])
    theirs = load_digits().data.astype(np.uint8)
    assert not np.array_equal(ours, theirs)
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    whole = torch.cat([data.batch(split, torch.arange(data.size(split)))["image"] for split in data.splits])
    assert float(whole.max()) == 1.0


@needs_mirror
def test_every_split_of_mnist_holds_every_class_in_mixed_order() -> None:
    data = Mnist()
    for split in data.splits:
        labels = data._split(split)["label"]
        assert len(labels[:200].unique()) == 10
        assert labels.bincount().min() > 0.08 * len(labels)


@needs_mirror
def test_omniglots_test_characters_are_new_and_its_ink_is_dark() -> None:
    """Both small sets hold Greek and Latin, image for image: as train and test they would share a thousand images."""
    data = Omniglot()
    names = data.features["label"].classes
    alphabets = {}
    for split in data.splits:
        labels = data._split(split)["label"]
        alphabets[split] = {names[label].partition("/")[0] for label in labels.tolist()}
        assert len(labels[:100].unique()) > 50, "the head of a split is no head of the sorted file"
        assert float(data._split(split)["image"].float().mean()) > 0.9
    assert alphabets["train"] == alphabets["validation"]
    assert alphabets["train"].isdisjoint(alphabets["test"])
    assert len(names) == len(set(names)) == 242
    drawings = torch.cat([data._split(split)["label"] for split in data.splits]).bincount()
    assert drawings.tolist() == [20] * 242, "each character by 20 people"


@needs_mirror
@pytest.mark.parametrize("name", ["small1", "small2"])
def test_omniglots_characters_are_named_as_its_files_name_them(name: str) -> None:
    import json

    from pyarrow import parquet

    table = parquet.read_table(Path(MIRROR or "", "datasets/omniglot", f"{name}.parquet"))
    info = json.loads(table.schema.metadata[b"huggingface"])["info"]
    published = [info["features"]["label"]["names"][label] for label in table.column("label").to_pylist()]
    images = {
        row.tobytes(): CHARACTERS[label]
        for split in ("train", "validation", "test")
        for row, label in zip(*(Omniglot()._split(split)[key].numpy() for key in ("image", "label")), strict=True)
    }
    found = read_images(Path(MIRROR or "", "datasets/omniglot", f"{name}.parquet"))["image"]
    assert [images[row.numpy().tobytes()] for row in found] == published


@needs_mirror
def test_omniglot_comes_from_its_authors_where_there_is_no_mirror(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A zip of their layout, with the very PNG files."""
    import zipfile

    from pyarrow import parquet

    table = parquet.read_table(Path(MIRROR or "", "datasets/omniglot/small2.parquet"))
    names = [*omniglot._characters(omniglot._SMALL_2)]
    with zipfile.ZipFile(tmp_path / "small2.zip", "w") as archive:
        for row in reversed(table.to_pylist()):  # whatever the order
            place = f"images_background_small2/{names[row['label']]}/{row['image']['path']}"
            archive.writestr(place, row["image"]["bytes"])
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_MIRROR")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(omniglot, "PUBLISHED", (tmp_path / "zip").as_uri().replace("/zip", "/{}.zip"))
    data = Omniglot()
    assert digest(data._split("test")) == Omniglot.sha256["test"]
    with pytest.raises(DataError, match=r"small1\.zip gives nothing"):
        data.size("train")
    (tmp_path / "small1.zip").write_text("<html>Please log in</html>")
    with pytest.raises(DataError, match="is not the zip file"):
        data.size("train")


@needs_mirror
def test_cifar_is_in_colour_and_mixed() -> None:
    data = Cifar10Jpeg75()
    for split in data.splits:
        labels = data._split(split)["label"]
        assert labels.bincount().min() > 0.09 * len(labels)
        assert len(labels[:200].unique()) == 10
    test = data._split("test")
    sky = (
        test["image"][test["label"] == data.features["label"].classes.index("airplane"), :, :8].float().mean((0, 2, 3))
    )
    assert sky[2] > sky[1] > sky[0], "airplanes are in a blue sky: channels are red, green, blue"


@needs_mirror
def test_the_jpeg_copy_is_never_taken_for_cifar10(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "mirror" / "datasets" / "uoft-cs"
    place.mkdir(parents=True)
    (place / "cifar10").symlink_to(Path(MIRROR or "", "datasets/cifar10-jpeg75"))
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DataError, match="not CIFAR-10's test as published") as refused:
        Cifar10().size("test")
    assert "cifar10-jpeg75" in str(refused.value)


def write_cifar(file: Path, images: np.ndarray, labels: list[int]) -> None:
    """As the hub's file: PNG in the column img, and label."""
    import io

    import pyarrow as arrow
    from PIL import Image
    from pyarrow import parquet

    def png(image: np.ndarray) -> bytes:
        Image.fromarray(image).save(content := io.BytesIO(), "png")
        return content.getvalue()

    file.parent.mkdir(parents=True)
    rows = [{"bytes": png(image), "path": None} for image in images]
    parquet.write_table(arrow.table({"img": rows, "label": labels}), file)


def test_cifar10_is_checked_by_its_published_sums(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small file of its layout stands for the published one; the digest is that of what is read."""
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = [i % 10 for i in range(20)]
    file = tmp_path / "datasets/uoft-cs/cifar10/plain_text/test-00000-of-00001.parquet"
    write_cifar(file, images, labels)
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("zoo_data.cifar10.PUBLISHED", {"train": 50_000, "test": 20})
    with pytest.raises(DataError, match="channels sum to"):
        Cifar10().size("test")
    sums = images.astype(int).sum((0, 1, 2)).tolist()
    monkeypatch.setitem(LEVEL_SUMS, "test", sums)
    data = Cifar10()
    batch = data.batch("test", torch.arange(20))
    assert (batch["image"] * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8).tolist() == images.tolist()
    assert batch["label"].tolist() == labels
    assert data.data_sha256("test") == digest(data._split("test"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "other-cache"))
    monkeypatch.setitem(LEVEL_SUMS, "test", [sums[0] + 1, *sums[1:]])
    with pytest.raises(DataError):
        Cifar10().size("test")


@needs_mirror
def test_binarised_bits_have_the_mean_of_the_grey_levels() -> None:
    bits = BinarizedMnist()._split("test")["image"].float().mean()
    grey = Mnist()._split("test")["image"].float().mean() / 255
    assert abs(float(bits - grey)) < 1e-4  # both about 0.1325; the standard error of a draw is about 1e-4
    thresholded = (Mnist()._split("test")["image"] > 127).float().mean()
    assert abs(float(bits - thresholded)) > 1e-3


@needs_mirror
def test_binarised_test_rows_are_draws_of_mnist_test_images() -> None:
    """Each of the rows has one MNIST test image of which it is a likely draw, and no two share it."""
    bits = BinarizedMnist().batch("test", torch.arange(40))["image"].flatten(1)  # [40, 784]
    grey = Mnist().batch("test", torch.arange(10_000))["image"].flatten(1).clamp(1e-4, 1 - 1e-4)  # [10000, 784]
    log_likelihood = bits @ grey.log().T + (1 - bits) @ (1 - grey).log().T  # [40, 10000] nats
    best, source = log_likelihood.max(dim=1)
    assert float(best.min()) > -110
    assert len(source.unique()) == 40
    upside = bits.view(-1, 28, 28).transpose(1, 2).flatten(1)
    assert float((upside @ grey.log().T + (1 - upside) @ (1 - grey).log().T).max(dim=1).values.mean()) < -150


def test_the_cache_answers_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Digits().batch("test", torch.arange(300))
    monkeypatch.setattr(Digits, "decode", no_decoding)
    second = Digits().batch("test", torch.arange(300))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(UsageError, match="no split 'dev'"):
        Digits().size("dev")


@needs_mirror
def test_the_test_split_is_read_without_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    decoded = []
    decode = BinarizedMnist.decode
    monkeypatch.setattr(BinarizedMnist, "decode", lambda self, split: decoded.append(split) or decode(self, split))
    data = BinarizedMnist()
    data.batch("test", torch.arange(8))
    data.data_sha256("test")
    assert decoded == ["test"]


@pytest.mark.parametrize("damage", ["deleted", "truncated", "garbage", "empty"])
def test_a_cache_that_is_gone_or_damaged_is_rebuilt(damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    before = Digits().batch("test", torch.arange(300))
    (file,) = (tmp_path / "data").glob("digits.test.*.safetensors")
    whole = file.read_bytes()
    file.unlink()
    if damage != "deleted":
        file.write_bytes({"truncated": whole[:-100], "garbage": b"x" * 500, "empty": b""}[damage])
    after = Digits().batch("test", torch.arange(300))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    data = Digits()
    assert data.size("validation") == 300
    assert digest(data._split("validation")) == Digits.sha256["validation"]


def as_amat(bits: Tensor) -> bytes:
    """[N, 1, 28, 28] of 0 and 1 as the original files are written: a line an image, a blank between pixels."""
    return b"".join(b" ".join(b"1" if bit else b"0" for bit in row) + b" \n" for row in bits.flatten(1).tolist())


def save_matlab(path: Path, bits: Tensor) -> None:
    from scipy.io import savemat

    savemat(path, {"X": bits.flatten(1).numpy()}, appendmat=False, do_compression=True)


@needs_mirror
@pytest.mark.parametrize("form", ["amat", "matlab"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_text_and_matlab_files_read_as_the_parquet_does(
    form: str, as_folder: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bits = BinarizedMnist()._split("validation")["image"]
    file = tmp_path / "binarized_mnist_valid.amat"
    if form == "amat":
        file.write_bytes(as_amat(bits))
    else:
        save_matlab(file, bits)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(BinarizedMnist, "decode", no_decoding)
    data = BinarizedMnist(data_file=tmp_path if as_folder else file)
    assert torch.equal(data._split("validation")["image"], bits)
    later = BinarizedMnist()  # its cache was filled from the file
    assert torch.equal(later._split("validation")["image"], bits)
    if as_folder:
        with pytest.raises(DataError, match="has no file for the test split"):
            data.size("test")


@needs_mirror
def test_one_data_file_serves_its_own_split_and_leaves_the_others(tmp_path: Path) -> None:
    bits = BinarizedMnist()._split("validation")["image"]
    save_matlab(tmp_path / "mine.mat", bits)
    data = BinarizedMnist(data_file=tmp_path / "mine.mat")
    assert torch.equal(data._split("validation")["image"], bits)
    assert digest(data._split("test")) == BinarizedMnist.sha256["test"]


@needs_mirror
def test_wrong_bits_are_refused_whatever_brings_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bits = BinarizedMnist()._split("test")["image"].clone()
    bits[123, 0, 14, 14] ^= 1  # one of 7,840,000
    save_matlab(tmp_path / "binarized_mnist_test.amat", bits)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError) as refused:
        BinarizedMnist(data_file=tmp_path).batch("test", torch.arange(1))
    assert BinarizedMnist.sha256["test"] in refused.value.message
    assert digest({"image": bits}) in refused.value.message
    assert not list(tmp_path.glob("cache/**/*.safetensors"))

    monkeypatch.setattr(BinarizedMnist, "decode", lambda self, split: {"image": bits})
    with pytest.raises(DataError, match="digest"):
        BinarizedMnist().size("test")


@needs_mirror
def test_another_public_copy_is_asked_when_one_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bits = BinarizedMnist()._split("test")["image"]
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_MIRROR")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    good, wrong, page = tmp_path / "good_test", tmp_path / "wrong_test", tmp_path / "page_test"
    save_matlab(good, bits)
    save_matlab(wrong, 1 - bits)
    page.write_text("<html>Please log in</html>")

    def copies(*files: Path) -> None:
        urls = tuple(file.as_uri().replace("_test", "_{}") for file in files)
        monkeypatch.setattr(binarized_mnist, "PUBLIC_COPIES", urls)

    copies(tmp_path / "absent_test", wrong, page)
    with pytest.raises(DataError) as refused:
        BinarizedMnist().size("test")
    assert "\n" not in refused.value.message
    assert digest({"image": 1 - bits}) in refused.value.message
    copies(tmp_path / "absent_test", wrong, page, good)
    assert torch.equal(BinarizedMnist()._split("test")["image"], bits)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0 1 2 1", "neither amat text"),
        (b"", "neither amat text"),
        (b"<html>", "neither amat text"),
        (b"0 1 0\n1 1 0\n1", "whole number of rows"),
        (b"MATLAB 5.0 MAT-file" + b" " * 200, "cannot be read as a MATLAB"),
    ],
)
def test_a_file_of_something_else_is_named_with_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_bits(content, 3, "'file'")


def test_amat_text_is_read_row_by_row() -> None:
    assert read_bits(b"0 1 0 \r\n1 1 0\n", 3, "'file'").tolist() == [[0, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize("kind", [Mnist, BinarizedMnist, Omniglot, Cifar10, Cifar10Jpeg75])
def test_data_that_is_nowhere_is_one_clear_line(
    kind: type[PinnedDataset], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path), raising=False)
    for mirror in (None, str(tmp_path)):
        monkeypatch.delenv("ZOO_MIRROR", raising=False)
        if mirror:
            monkeypatch.setenv("ZOO_MIRROR", mirror)
        with pytest.raises(DataError) as missing:
            kind().size("test")
        assert "\n" not in missing.value.message
        assert ("no hub has it" if kind is Cifar10Jpeg75 else "HF_HUB_OFFLINE") in missing.value.message
        assert (mirror or "ZOO_MIRROR is not set") in missing.value.message
        assert "ZOO_MIRROR" in missing.value.hint
        assert ("network" in missing.value.hint) == (kind is not Cifar10Jpeg75)


@needs_mirror
def test_mnist_comes_from_the_hub_where_there_is_no_mirror(tmp_path: Path) -> None:
    """A server of the hub's protocol; the second run is answered by the client's cache, with the server gone."""
    path = "/datasets/ylecun/mnist/resolve/main/mnist/test-00000-of-00001.parquet"
    content = Path(MIRROR or "", "datasets/ylecun/mnist/mnist/test-00000-of-00001.parquet").read_bytes()
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(200 if self.path == path else 404)
            self.send_header("ETag", '"0123456789abcdef"')
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("Content-Length", str(len(content) if self.path == path else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content if self.path == path else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ZOO_"))}
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hf"),
        "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder),
    }
    try:
        for run in ("first", "second"):
            environment["ZOO_CACHE"] = str(tmp_path / run)
            code = "from zoo_data.mnist import Mnist; print(Mnist().size('test'))"
            found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
            assert found.stdout.strip() == "10000", found.stderr
            server.shutdown()
            server.server_close()
    finally:
        server.server_close()
    assert f"GET {path}" in asked


def test_a_data_file_that_helps_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").touch()
    for kind in (Mnist, Digits, Omniglot, Cifar10):
        with pytest.raises(UsageError, match="takes no data file"):
            kind(data_file=tmp_path / "mine.parquet")
    with pytest.raises(UsageError, match="does not exist"):
        BinarizedMnist(data_file=tmp_path / "absent.amat")
    with pytest.raises(DataError, match="cannot be read as a table"):
        BinarizedMnist(data_file=tmp_path / "mine.parquet").size("test")
