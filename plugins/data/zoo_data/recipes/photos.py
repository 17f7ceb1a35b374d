"""Photographs and paintings from GCompris, whose files name the author, the source and the licence of each."""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo_core import DataError
from zoo_data.recipes.debian import files_of
from zoo_data.recipes.writing import encoded, write_pictures

ACTIVITIES = ("erase", "explore_world_animals", "explore_farm_animals", "explore_monuments", "details")
LARGEST = 512  # pixels
DIRECTORY, COMPRESSED = 2, 1  # flags of a file in a resource file of Qt


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """All pictures in colour whose author is named, in the order of the activities and of their paths."""
    wanted = {f"usr/share/gcompris-qt/rcc/{activity}.rcc": activity for activity in ACTIVITIES}
    contents = {wanted[name]: content for name, content in files_of(packages["gcompris-qt-data"], wanted.__contains__)}
    rows: list[dict[str, Any]] = []
    for k, activity in enumerate(ACTIVITIES):
        rows += _rows(activity, dict(_resources(contents[activity])))
        show((k + 1) / len(ACTIVITIES))
    (path,) = files.values()
    write_pictures(rows, path)


def _rows(activity: str, resources: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The pictures of an activity, by their paths: `details` also has pieces of its own, which are left out."""
    (readme,) = (name for name in resources if name.endswith("/README"))
    folder = readme.removesuffix("README")
    origins = _origins(resources[readme].decode())
    for name in sorted(name for name in resources if name.startswith(folder) and name.endswith(".webp")):
        short = name.removeprefix(folder)
        if short not in origins or (activity == "details" and "_background" not in short):
            continue
        picture = Image.open(io.BytesIO(resources[name])).convert("RGB")
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", Path(short).stem.removesuffix("_background").replace("_", " "))
        label = int("painting" in origins[short]["source"])
        yield {
            "image": encoded(picture, "JPEG", quality=88),
            "label": label,
            "kind": ("photo", "painting")[label],
            "caption": words.lower(),
            **origins[short],
            "path": f"{activity}/{short}",
        }


def _origins(readme: str) -> dict[str, dict[str, str]]:
    """Author, licence and source of each file that a README names: paragraphs of KEY: VALUE, and of names of files."""
    origins: dict[str, dict[str, str]] = {}
    for paragraph in readme.split("\n\n"):
        values = dict(re.findall(r"(?m)^(Copyright|License|Source|Comment): *(.*)$", paragraph))
        comment = values.get("Comment", "")
        source = values.get("Source") or (re.findall(r"source at (\S+)", comment) or [comment])[0]
        origin = {"author": values.get("Copyright", ""), "licence": values.get("License", ""), "source": source}
        origins |= dict.fromkeys(re.findall(r"(?m)^(?:Files: *)?(\S+\.webp)$", paragraph), origin)
    return origins


def _resources(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a resource file of Qt: path and content."""
    magic, version, tree, data, names = struct.unpack_from(">4s4i", content)
    if magic != b"qres":
        raise DataError("this is not a resource file of Qt")
    node_size = 14 if version == 1 else 22

    def walk(number: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        place = tree + number * node_size
        name, flags, first, second = struct.unpack_from(">iHii", content, place)
        path = f"{prefix}/{_name(content, names + name)}" if number else ""
        if flags & DIRECTORY:  # how many are in it, and which is the first
            for child in range(second, second + first):
                yield from walk(child, path)
        else:
            start = data + second
            (size,) = struct.unpack_from(">i", content, start)
            raw = content[start + 4 : start + 4 + size]
            yield path, zlib.decompress(raw[4:]) if flags & COMPRESSED else raw

    yield from walk(0, "")


def _name(content: bytes, place: int) -> str:
    (length,) = struct.unpack_from(">H", content, place)
    return content[place + 6 : place + 6 + 2 * length].decode("utf-16-be")
