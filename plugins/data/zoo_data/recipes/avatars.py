"""Faces drawn by avataaars, a style of dicebear: which ones, says the table `avatars.txt`. Design by Pablo Stanley."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zoo_data.recipes.svg import check_node, draw, run_node, unpack
from zoo_data.recipes.writing import encoded, flattened, write_pictures

TABLE = Path(__file__).with_name("avatars.txt")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
PAIRS = "test_pairs"
PAIRED = [(color, glasses) for color in ("black", "brown", "blond", "red", "gray") for glasses in ("none", "round")]
HAIR_COLORS = {"black": "2c1b18", "blond": "d6b370", "brown": "724133", "gray": "b7b7b7", "red": "c93305"}
SKINS = {"brown": "ae5d29", "dark": "614335", "light": "ffdbb4", "pale": "edb98a", "tanned": "fd9841"}
BACKGROUNDS = {"blue": "b6e3f4", "cream": "fff2cc", "green": "d1f4c9", "pink": "ffd5dc", "violet": "d1d4f9"}
LONG = {
    "bigHair", "bob", "bun", "curly", "curvy", "froBand", "longButNotTooLong", "miaWallace", "straight01",
    "straight02", "straightAndStrand",
}  # fmt: skip
MOUTHS = {
    "concerned": "sad", "default": "neutral", "sad": "sad", "screamOpen": "open", "serious": "neutral",
    "smile": "smile", "twinkle": "smile",
}  # fmt: skip
WHOLE, KEPT = 'viewBox="0 0 280 280"', 'viewBox="30 10 220 220"'
DRAWN, SIDE, COLOURS = 128, 64, 96  # pixels: drawn at, then reduced to; colours of a palette
LOOKS = {"neutral": "neutral", "open": "screaming", "sad": "sad", "smile": "smiling"}
GLASSES = {
    "none": "without glasses", "prescription02": "with glasses", "round": "with round glasses",
    "sunglasses": "with sunglasses",
}  # fmt: skip
AT_ONCE = 500  # drawings


def make(packages: Mapping[str, Path], files: Mapping[str, Path], show: Callable[[float], None]) -> None:
    """The faces in the order of the table; of the pairs each in five colours of hair, with and without glasses."""
    check_node()
    wanted = {Path(place).stem: file for place, file in files.items()}
    faces = read_faces()
    done, total = 0, sum(len(faces[part]) for part in wanted)
    for part, file in wanted.items():
        rows: list[dict[str, Any]] = []
        for start in range(0, len(faces[part]), AT_ONCE):
            some = faces[part][start : start + AT_ONCE]
            pictures = draw_faces([options for _, options in some], packages)
            for (face, options), picture in zip(some, pictures, strict=True):
                rows.append({"image": encoded(picture, "PNG"), "face": face} | described(options))
            done += len(some)
            show(done / total)
        write_pictures(rows, file)


def read_faces() -> dict[str, list[tuple[int, dict[str, str]]]]:
    """The faces of each part, `train` and `test_pairs`: the number of the face, and the value of each option."""
    values: dict[str, list[str]] = {}
    faces: dict[str, list[tuple[int, dict[str, str]]]] = {}
    face, part = 0, ""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        name, colon, words = line.partition(": ")
        if line.startswith("#"):
            continue
        if colon:
            values[name] = words.split()
        elif line.endswith(":"):
            face, part = 0, line[:-1]
            faces[part] = []
        else:
            if line != "-":
                options = {name: values[name][DIGITS.index(place)] for name, place in zip(values, line, strict=True)}
                faces[part] += [(face, shown) for shown in _shown(options, part)]
            face += 1
    return faces


def _shown(options: dict[str, str], part: str) -> Iterator[dict[str, str]]:
    """A face as often as it is drawn."""
    if part != PAIRS:
        yield options
        return
    for color, glasses in PAIRED:
        yield options | {"hair_color": color, "glasses": glasses}


def described(options: Mapping[str, str]) -> dict[str, str]:
    """The columns of a face that follow from its options: attributes and caption."""
    top, color, skin, beard = (options[name] for name in ("top", "hair_color", "skin", "beard"))
    hair = "none" if top == "none" else "long" if top in LONG else "short"
    glasses, mouth, background = options["glasses"], MOUTHS[options["mouth"]], options["background"]
    hairs = "no hair" if hair == "none" else f"{hair} {color} hair"
    if beard != "none":
        hairs += " and a moustache" if beard == "moustacheFancy" else " and a beard"
    caption = f"a {LOOKS[mouth]} face with {skin} skin, {hairs}, {GLASSES[glasses]}, on a {background} background"
    return {
        "top": top,
        "hair_color": color,
        "skin": skin,
        "hair": hair,
        "glasses": glasses,
        "beard": beard,
        "mouth": mouth,
        "background": background,
        "caption": caption,
    }


def draw_faces(faces: Sequence[Mapping[str, str]], packages: Mapping[str, Path]) -> list[Image.Image]:
    """Pictures of these faces, each with the palette of its few colours.

    Raises:
        DataError: Node is missing or too old, or a package cannot draw.
    """
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("@dicebear/core", "@dicebear/avataaars"):
            unpack(packages[name], Path(temporary) / "node_modules" / name)
        asked = json.dumps([_asked(options) for options in faces])
        drawings = json.loads(run_node("dicebear.mjs", temporary, given=asked))
    framed = [drawing.replace(WHOLE, KEPT).encode() for drawing in drawings]
    pictures = draw(framed, packages["@resvg/resvg-wasm"], DRAWN)
    small = (flattened(picture).resize((SIDE, SIDE), Image.Resampling.BOX) for picture in pictures)
    return [picture.quantize(COLOURS) for picture in small]


def _asked(options: Mapping[str, str]) -> dict[str, Any]:
    """Options as dicebear takes them: it picks one of each list, and what has the probability 0 is not drawn."""
    color = HAIR_COLORS[options["hair_color"]]
    asked: dict[str, Any] = {
        "seed": "",
        "backgroundColor": [BACKGROUNDS[options["background"]]],
        "skinColor": [SKINS[options["skin"]]],
        "hairColor": [color],
        "facialHairColor": [color],
        "accessoriesColor": ["262e33"],
        "clothesColor": [options["clothes_color"]],
    }
    asked |= {name: [options[name]] for name in ("mouth", "eyes", "eyebrows", "clothing")}
    for ours, theirs in {"top": "top", "glasses": "accessories", "beard": "facialHair"}.items():
        asked[f"{theirs}Probability"] = 0 if options[ours] == "none" else 100
        if options[ours] != "none":
            asked[theirs] = [options[ours]]
    return asked
