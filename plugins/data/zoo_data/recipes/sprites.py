"""The tiles of Dungeon Crawl Stone Soup, from its source package, named by their files."""

import io
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo_data.pictures import Sprites
from zoo_data.recipes.writing import encoded, flattened, write_pictures

GROUPS = {"dngn": "dungeon", "effect": "effect", "item": "item", "mon": "creature"}  # by their folder
PIECES = re.compile(r"mon/tentacles/\w+_(corners|ends|portal|segments)/")  # of something larger
NOUNS = {  # what to add to a name that says only which one
    "altars": "altar", "amulet": "amulet", "book": "book", "doors": "door", "effect": "effect", "floor": "floor",
    "gateways": "gateway", "gold": "gold", "potion": "potion", "ring": "ring", "scroll": "scroll", "statues": "statue",
    "traps": "trap", "trees": "tree", "vaults": "vault", "wall": "wall", "wand": "wand", "water": "water",
}  # fmt: skip
SIZE = (32, 32)
TEST = Path(__file__).with_name("sprites_test.txt")  # group/subgroup/caption of all that is test


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """All tiles of the usual size in the order of their paths, each picture once."""
    tiles: dict[str, bytes] = {}
    with tarfile.open(packages["crawl"]) as tar:
        for member in tar:
            name = member.name.partition("/source/rltiles/")[2]
            if _is_wanted(name) and member.isfile() and (file := tar.extractfile(member)) is not None:
                tiles[name] = file.read()
    test, seen = set(TEST.read_text(encoding="utf-8").splitlines()), set[bytes]()
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for k, name in enumerate(sorted(tiles, key=lambda name: name.split("/"))):
        show((k + 1) / len(tiles))
        tile = Image.open(io.BytesIO(tiles[name])).convert("RGBA")
        picture = flattened(tile, "black")
        if tile.size != SIZE or picture.tobytes() in seen:
            continue
        seen.add(picture.tobytes())
        row = _row(name, picture) | {"opaque": tile.getchannel("A").getextrema()[0] == 255}
        rows["/".join((row["group"], row["subgroup"], row["caption"])) in test].append(row)
    for place, path in files.items():
        write_pictures(rows[place.endswith("test.parquet")], path)


def _is_wanted(name: str) -> bool:
    folder, _, file = name.partition("/")
    hidden = file.rpartition("/")[2].startswith("._")
    return folder in GROUPS and name.endswith(".png") and not hidden and not PIECES.match(name)


def _row(name: str, picture: Image.Image) -> dict[str, Any]:
    folder, *between, file = name.removesuffix(".png").split("/")
    group, subgroup = GROUPS[folder], between[0] if between else folder
    caption = re.sub(r"_(left|right|[ns][ew]|[nsew])$", "", file)
    caption = re.sub(r"( ?\d+)+$", "", re.sub(r"[_-]+", " ", caption).strip().lower()).strip()
    noun = NOUNS.get(subgroup, "") if group != "creature" else ""
    return {
        "image": encoded(picture, "PNG"),
        "label": Sprites.classes["label"].index(group),
        "group": group,
        "subgroup": subgroup,
        "caption": caption if noun in caption else f"{caption} {noun}".strip(),
    }
