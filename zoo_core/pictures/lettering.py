"""Letters in pictures: one font for grids and for plots, and lines that fit."""

import importlib.util
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

from zoo_core.errors import ZooError

LETTERS = 14  # pixels: the size of letters in grids

LINE_HEIGHT = 18  # pixels: a line of such letters

DEJAVU = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, and the signs of mathematics

# Who has one of these has letters for Korean, Japanese and Chinese too.
EAST_ASIAN = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
)


def font_for(text: str, size: int = LETTERS) -> ImageFont.FreeTypeFont:
    """A font that has the letters of a text, for pillow: DejaVu Sans, or one for East Asia where the text needs it and
    this machine has it."""
    path = _dejavu()
    if not _has(path, text):
        path = next((other for other in map(Path, _east_asian().values()) if _has(other, text)), path)
    return _font(path, size)


def families() -> list[str]:
    """The same fonts for matplotlib, which takes from each the letters that those before it lack."""
    return [DEJAVU, *_east_asian()]


def text_width(text: str, size: int = LETTERS) -> int:
    """How wide a line is, in pixels, rounded up."""
    return -int(-font_for(text, size).getlength(text) // 1)


def lines_within(text: str, width: int, size: int = LETTERS) -> list[str]:
    """A text in lines of at most `width` pixels: broken between words, and within a word that is wider than a line."""
    lines = []
    for line in unicodedata.normalize("NFC", text).split("\n"):
        rest = line.strip()
        while rest:
            end = _fitting(rest, width, size)
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        if not line.strip():
            lines.append("")
    return lines


def _fitting(text: str, width: int, size: int) -> int:
    """How many letters of a text stand in its first line, at least 1."""
    end = len(text)
    while end > 1 and text_width(text[:end].rstrip(), size) > width:
        end -= 1
    if end == len(text) or text[end] == " ":
        return end
    space = text.rfind(" ", 1, end)
    return space if space > 0 else end


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def matplotlib_folder() -> Path:
    """Where matplotlib is installed. It is not imported, which takes a while.

    Raises:
        ZooError: it is not.
    """
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ZooError("pictures need matplotlib, which is not installed", "Install it: pip install matplotlib")
    return Path(found.submodule_search_locations[0])


def _dejavu() -> Path:
    return matplotlib_folder() / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _east_asian() -> dict[str, str]:
    """Those of EAST_ASIAN that are installed, with their files."""
    from matplotlib.font_manager import fontManager

    files = {entry.name: entry.fname for entry in fontManager.ttflist}
    return {name: files[name] for name in EAST_ASIAN if name in files}


@cache
def _letters(path: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


def _has(path: Path, text: str) -> bool:
    """Whether a font has all letters of a text. No font is opened for plain English."""
    return text.isascii() or all(ord(letter) in _letters(path) for letter in text)
