"""The stamps of Tux Paint: things to put into a picture, with what they are called in many languages."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo_data.pictures import LEFT_OUT, Stamps, hashed_share
from zoo_data.recipes.debian import files_of
from zoo_data.recipes.svg import check_node, draw
from zoo_data.recipes.writing import encoded, flattened, write_pictures

FOLDER = "usr/share/tuxpaint/stamps/"
TEST = 0.1
SIDE = 96  # pixels


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """All stamps but letters and signs, and what is there a second time for the mirror, in the order of their paths."""
    check_node()
    contents = {
        name.removeprefix(FOLDER): content
        for name, content in files_of(packages["tuxpaint-stamps-default"], lambda name: name.startswith(FOLDER))
    }
    names = [name for name in sorted(contents) if name.endswith((".png", ".svg")) and _is_thing(name)]
    names = [name for name in names if name.endswith(".png") or f"{name[:-4]}.png" not in contents]
    vector = [name for name in names if name.endswith(".svg")]
    drawn = dict(zip(vector, draw([contents[name] for name in vector], packages["@resvg/resvg-wasm"]), strict=True))
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for k, name in enumerate(names):
        show((k + 1) / len(names))
        path, words = name[:-4], _captions(contents.get(f"{name[:-4]}.txt", b"").decode())
        parts = path.split("/")
        picture = drawn[name] if name in drawn else Image.open(io.BytesIO(contents[name]))
        rows[hashed_share(path) < TEST].append(
            {
                "image": encoded(_square(flattened(picture)), "JPEG", quality=92),
                "label": Stamps.classes["label"].index(parts[0]),
                "category": parts[0],
                "subcategory": parts[1] if len(parts) > 2 else "",
                "kind": "vector" if name in drawn else "raster",
                "caption": words[""],
                "caption_de": words.get("de", ""),
                "caption_fr": words.get("fr", ""),
                "path": path,
            }
        )
    for place, file in files.items():
        write_pictures(rows[place.endswith("test.parquet")], file)


def _is_thing(name: str) -> bool:
    path = name[:-4]
    return not (name.startswith("symbols/") or path.endswith("_mirror") or path in LEFT_OUT)


def _captions(text: str) -> dict[str, str]:
    """What a stamp is called, by language; of the first line, which is English, by nothing."""
    first, *others = text.splitlines() or [""]
    named = (line.partition("=") for line in others if "=" in line)
    return {"": first.strip()} | {key.removesuffix(".utf8"): value.strip() for key, _, value in named}


def _square(picture: Image.Image) -> Image.Image:
    """In the middle of a white square, reduced."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
