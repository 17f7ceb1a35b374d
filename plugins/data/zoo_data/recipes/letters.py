"""Letters A to J from the fonts of Debian, after the recipe of notMNIST: each as large as fits, in the middle."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from zoo_data.pictures import Letters, hashed_share
from zoo_data.recipes.debian import files_of
from zoo_data.recipes.writing import encoded, write_pictures

TEST = 0.15
LETTERS = Letters.classes["label"]
FONTS = (".otf", ".ttf", ".t1", ".ttc", ".pfa", ".otb", ".pcf")
LEFT_OUT = ("BebasNeue-Thin.otf", "unrespon.ttf")  # too thin to be seen; one sign for all letters
DRAWN, INNER, OUTER = 160, 24, 28  # pixels: drawn at, then reduced to, and with its border


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """The letters of all fonts in the order of their paths; of fonts whose letters are equal only the first."""
    fonts: dict[str, bytes] = {}
    for k, package in enumerate(packages.values()):
        fonts |= dict(files_of(package, lambda name: name.lower().endswith(FONTS)))
        show((k + 1) / len(packages) / 2)
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    seen: set[bytes] = set()
    for k, path in enumerate(sorted(fonts)):
        show(0.5 + (k + 1) / len(fonts) / 2)
        font = ImageFont.truetype(io.BytesIO(fonts[path]), DRAWN, layout_engine=ImageFont.Layout.BASIC)
        drawn = [_drawn(font, letter) for letter in LETTERS]
        if Path(path).name in LEFT_OUT or None in drawn:
            continue
        pictures = [picture for picture in drawn if picture is not None]
        print_of_all = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).digest()
        if print_of_all not in seen:
            seen.add(print_of_all)
            rows[hashed_share(str(font.getname()[0])) < TEST] += _rows(font, Path(path).name, pictures)
    for place, file in files.items():
        write_pictures(rows[place.endswith("test.parquet")], file)


def _rows(font: ImageFont.FreeTypeFont, file: str, pictures: list[Image.Image]) -> Iterator[dict[str, Any]]:
    family, style = font.getname()
    words = f"{style} {file}".lower()
    for label, picture in enumerate(pictures):
        yield {
            "image": encoded(picture, "PNG"),
            "label": label,
            "letter": LETTERS[label],
            "family": family,
            "style": style,
            "italic": bool(re.search("italic|oblique", words)),
            "bold": bool(re.search("bold|black|heavy", words)),
            "file": file,
        }


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> Image.Image | None:
    """A letter in white on black; None where the font draws nothing."""
    canvas = Image.new("L", (4 * DRAWN, 4 * DRAWN), 0)
    ImageDraw.Draw(canvas).text((DRAWN, DRAWN), letter, font=font, fill=255)
    box = canvas.getbbox()
    if box is None:
        return None
    inked = canvas.crop(box)
    side = max(inked.size)
    square = Image.new("L", (side, side), 0)
    square.paste(inked, ((side - inked.width) // 2, (side - inked.height) // 2))
    framed = Image.new("L", (OUTER, OUTER), 0)
    border = (OUTER - INNER) // 2
    framed.paste(square.resize((INNER, INNER), Image.Resampling.BOX), (border, border))
    return framed
