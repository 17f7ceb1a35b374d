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


def draw(drawings: Sequence[bytes], resvg: Path) -> list[Image.Image]:
    """SVG files as pictures 256 pixels wide, RGBA, without texts; `resvg` is the package @resvg/resvg-wasm.

    Raises:
        DataError: Node is missing or too old, or a drawing is none.
    """
    check_node()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        with tarfile.open(resvg) as tar:
            tar.extractall(work, filter="data")
        files = []
        for k, drawing in enumerate(drawings):
            files.append(str(work / f"{k}.svg"))
            Path(files[-1]).write_bytes(drawing)
        script = str(Path(__file__).with_name("render.cjs"))
        command = ["node", script, str(work / "package"), str(work), *files]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise DataError(f"node cannot draw: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        pictures = []
        for k in range(len(drawings)):
            with Image.open(work / f"{k}.png") as picture:
                pictures.append(picture.convert("RGBA"))
        return pictures
