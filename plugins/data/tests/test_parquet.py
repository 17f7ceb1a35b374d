"""parquet:PATH: what becomes of the columns of a user's Parquet files, and what is said of those of no use."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import zoo_core
from zoo_core import DataError, UsageError, default_registry
from zoo_data.parquet import Parquet

Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def png(level: int, width: int = 6, channels: int = 1) -> bytes:
    """4 pixels high, of one level."""
    pixels = np.full((4, width, channels), level, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves columns as a Parquet file below `photos`, five rows a group."""

    def write(place: str, features: Any = None, **columns: Any) -> Path:
        file = tmp_path / "photos" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        table = arrow.table(columns)
        if features is not None:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, file, row_group_size=5)
        return file

    return write


def numbered(start: int, stop: int) -> dict[str, Any]:
    """Images whose level is their number, as the hub writes them, with a label."""
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(start, stop)]
    return {"image": images, "label": [i % 3 for i in range(start, stop)]}


def opened(tmp_path: Path, options: str = "") -> Parquet:
    return Parquet(data_file=tmp_path / f"photos{options}")


def test_images_and_labels_are_read_by_row_groups_over_all_files(save: Save, tmp_path: Path) -> None:
    save("data/train-00000-of-00002.parquet", **numbered(0, 12))
    save("data/train-00001-of-00002.parquet", **numbered(12, 20))
    save("data/test-00000-of-00001.parquet", **numbered(40, 46))
    data = opened(tmp_path)
    assert data.splits == ("train", "test") and data.name == "parquet:photos"
    assert list(data.chunk_sizes("train")) == [5, 5, 2, 5, 3] and data.size("test") == 6
    assert data.features["image"].shape == (1, 4, 6) and data.features["label"].classes == ("0", "1", "2")
    asked = torch.tensor([19, 0, 11, 12])
    batch = data.batch("train", asked)
    assert (batch["image"][:, 0, 3, 5] * 255).round().int().tolist() == asked.tolist()
    assert batch["label"].tolist() == (asked % 3).tolist() and batch["label"].dtype == torch.int64
    seen = torch.cat([batch["image"][:, 0, 0, 0] for batch in data.batches("train", 3, shuffle=True)])
    assert (seen.sort().values * 255).round().int().tolist() == list(range(20))


def test_the_hub_s_names_of_classes_are_kept(save: Save, tmp_path: Path) -> None:
    save("train.parquet", features={"label": {"names": ["cat", "dog", "cow"]}}, **numbered(0, 3))
    assert opened(tmp_path).features["label"].classes == ("cat", "dog", "cow")


def test_texts_and_numbers_are_fields_too(save: Save, tmp_path: Path) -> None:
    columns = {"text": ["a", "bb", "é"], "height": [1.0, 2.0, 3.0], "width": [4.5, 5.5, 6.5], "count": [1, 2, 3]}
    save("train.parquet", **columns)
    data = opened(tmp_path)
    assert set(data.features) == {"text", "vector"} and data.features["vector"].columns == ("height", "width")
    batch = data.batch("train", torch.tensor([2, 0]))
    assert batch["text"] == ["é", "a"] and batch["vector"].tolist() == [[3.0, 6.5], [1.0, 4.5]]


def test_options_bring_images_to_one_kind(save: Save, tmp_path: Path) -> None:
    images = [png(10), png(20, width=9, channels=3)]
    save("train.parquet", image=images)
    with pytest.raises(DataError, match=r"row 1 .* has 9 x 4 pixels of 3 channels, the first image 6 x 4 of 1"):
        opened(tmp_path).batch("train", torch.tensor([1]))
    batch = opened(tmp_path, ",size=2,channels=3").batch("train", torch.tensor([0, 1]))
    assert batch["image"].shape == (2, 3, 2, 2)
    assert opened(tmp_path, ",size=2,channels=3").name == "parquet:photos,size=2,channels=3"


def test_the_digest_is_that_of_the_files_and_the_options(save: Save, tmp_path: Path) -> None:
    save("train.parquet", **numbered(0, 3))
    digest = opened(tmp_path).data_sha256("train")
    assert opened(tmp_path).data_sha256("train") == digest != opened(tmp_path, ",size=2").data_sha256("train")
    save("train.parquet", **numbered(1, 4))
    assert opened(tmp_path).data_sha256("train") != digest


def test_a_run_on_parquet_files_resumes_and_can_be_measured(save: Save, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        save(f"{split}.parquet", **numbered(0, 12))
    name = f"parquet:{tmp_path / 'photos'},size=4"
    trained = zoo_core.train("mlp", data=name, epochs=1, batch=4, output=tmp_path / "run")
    assert trained.release.training["data"] == "parquet:photos,size=4"
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    found = zoo_core.evaluate(str(tmp_path / "run"), data=f"Parquet:{tmp_path / 'elsewhere'},size=4")
    assert {check.verdict for check in found.checks} == {"other data"}, "the folder's name is part of what is recorded"


def refused(save: Save, tmp_path: Path, case: str) -> None:
    if case == "no split":
        save("photos.parquet", **numbered(0, 2))
    elif case == "no train":
        save("test.parquet", **numbered(0, 2))
    elif case == "no rows":
        save("train.parquet", label=arrow.array([], arrow.int64()))
    elif case == "nothing known":
        save("train.parquet", size=[1, 2])
    elif case == "no parquet":
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "train.parquet").write_bytes(b"text")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no folder", "the folder .*photos' does not exist"),
        ("no split", "'.*photos.parquet' is of no split"),
        ("no train", "no files train-….parquet are found"),
        ("no rows", "the train split of .* has no rows"),
        ("nothing known", "no batch can be made: size"),
        ("no parquet", "train.parquet' is not a Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(save: Save, tmp_path: Path, case: str, words: str) -> None:
    refused(save, tmp_path, case)
    with pytest.raises((UsageError, DataError), match=words) as error:
        default_registry().open_dataset(f"parquet:{tmp_path / 'photos'}")
    assert "\n" not in error.value.message


def test_an_image_that_is_none_and_a_missing_value_are_named(save: Save, tmp_path: Path) -> None:
    save("train.parquet", image=[png(1), b"text"], label=[1, 2])
    with pytest.raises(DataError, match=r"row 1 of row group 0 of .* cannot be read as an image"):
        opened(tmp_path).batch("train", torch.tensor([0]))
    save("train.parquet", image=[png(1), png(2)], label=[1, None])
    with pytest.raises(DataError, match=r"row group 0 of .* has rows without 'label'"):
        opened(tmp_path).batch("train", torch.tensor([0]))
