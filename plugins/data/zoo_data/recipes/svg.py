"""Drawings in SVG as pictures: by resvg, a package of npm that Node runs, for no library of Python draws them alike."""

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from zoo_core import DataError


def check_node() -> None:
    """Raise where Node is missing, before the work whose result it would draw.

    Raises:
        DataError: it is.
    """
    if shutil.which("node") is None:
        raise DataError("some pictures are drawings in SVG, and node, which draws them, is missing", "Install Node.js.")


def run_node(script: str, *arguments: Path | str, given: str = "") -> str:
    """What a script of this folder prints when `given` is its input.

    Raises:
        DataError: Node is missing or too old, or the script fails.
    """
    check_node()
    command = ["node", Path(__file__).with_name(script), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise DataError(f"node cannot draw: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return done.stdout


def unpack(package: Path, folder: Path) -> None:
    """The files of a package of npm into `folder`, which must not exist."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        with tarfile.open(package) as tar:
            tar.extractall(temporary, filter="data")
        (Path(temporary) / "package").rename(folder)


def draw(drawings: Sequence[bytes], resvg: Path, width: int = 256) -> list[Image.Image]:
    """SVG files as pictures `width` pixels wide, RGBA, without texts; `resvg` is the package @resvg/resvg-wasm.

    Raises:
        DataError: Node is missing or too old, or a drawing is none.
    """
    check_node()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        unpack(resvg, work / "resvg")
        files = [work / f"{k}.svg" for k in range(len(drawings))]
        for file, drawing in zip(files, drawings, strict=True):
            file.write_bytes(drawing)
        run_node("render.cjs", work / "resvg", str(width), work)
        pictures = []
        for file in files:
            with Image.open(file.with_suffix(".png")) as picture:
                pictures.append(picture.convert("RGBA"))
        return pictures
