"""Emoji by two designers: Noto (Apache-2.0) and Twemoji (CC BY 4.0: "Twemoji, Twitter and contributors")."""

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo_data.pictures import Emoji, hashed_share
from zoo_data.recipes.writing import encoded, flattened, write_pictures

TEST = 0.1
DESIGNS = {  # column -> package, the folder in it, colours of a picture
    "image": ("emoji-datasource-google", "package/img/google/64/", 128),
    "image_twemoji": ("emoji-datasource-twitter", "package/img/twitter/64/", 64),
}


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """All emoji that are no mere colour of skin, in the order of the standard."""
    listed = json.loads(_file(packages["emoji-datasource-google"], "package/emoji.json"))
    keywords = json.loads(_file(packages["emojilib"], "package/dist/emoji-en-US.json"))
    entries = sorted((entry for entry in listed if entry["category"] != "Component"), key=lambda e: e["sort_order"])
    wanted = {entry["image"] for entry in entries}
    pictures: dict[str, dict[str, bytes]] = {}
    for k, (column, (package, folder, colours)) in enumerate(DESIGNS.items()):
        pictures[column] = {}
        for name, picture in _pictures(packages[package], folder, wanted):
            pictures[column][name] = encoded(flattened(picture).quantize(colours, method=0), "PNG")
            show((k + len(pictures[column]) / len(wanted)) / len(DESIGNS))
    rows = [_row(entry, pictures, keywords) for entry in entries]
    for split, path in files.items():
        write_pictures([row for is_test, row in rows if is_test == split.endswith("test.parquet")], path)


def _row(
    entry: Mapping[str, Any], pictures: Mapping[str, Mapping[str, bytes]], keywords: Mapping[str, list[str]]
) -> tuple[bool, dict[str, Any]]:
    """Whether an emoji is of the test split, and its row."""
    code = entry["unified"]
    emoji = "".join(chr(int(point, 16)) for point in code.split("-"))
    row: dict[str, Any] = {column: images[entry["image"]] for column, images in pictures.items()}
    row |= {
        "label": Emoji.classes["label"].index(entry["category"]),
        "category": entry["category"],
        "subcategory": entry["subcategory"],
        "caption": entry["name"].lower(),
        "keywords": [word.replace("_", " ") for word in keywords.get(emoji, [])],
        "emoji": emoji,
        "half": "A" if hashed_share(f"half{code}") < 0.5 else "B",
    }
    return hashed_share(code) < TEST, row


def _file(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def _pictures(archive: Path, folder: str, wanted: set[str]) -> Iterator[tuple[str, Image.Image]]:
    """The pictures of a folder in a package that are wanted, in the order of the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(folder)
            if name != member.name and name in wanted and (file := tar.extractfile(member)) is not None:
                yield name, Image.open(file)
