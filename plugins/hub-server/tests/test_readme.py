"""The README's team chapter, followed as it is written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zoo_core import listings

if TYPE_CHECKING:
    from conftest import Hub

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_chapter_for_a_team(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """Start, add a user, push, browse, load from another HF_HOME, load offline."""
    chapter = README.read_text().split("## For a team\n")[1].split("\n### ")[0]
    first, *commands = re.findall(r"(?m)^    (\S.*)$", chapter)
    assert first == "zoo hub serve ./hub"
    assert len(commands) >= 5
    hub = serve(tmp_path / "hub")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "zoo").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoo_core.cli.main "$@"\n')
    (bin_folder / "zoo").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ZOO_"))}
    environment |= {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HF_HOME": str(tmp_path / "home")}
    environment |= {"ZOO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    script = "set -ex\n" + "\n".join(commands).replace("127.0.0.1:7860", hub.address)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("every file is as its config.json says") == 2, done.stdout
    assert (tmp_path / "elsewhere").is_dir()
    page = hub.call("GET", "/ada/pixelrnn-digits")
    assert page.status == 200
    (listing,) = listings("pixelrnn.digits")
    assert f"{listing.metric('nll').value:.6g}".encode() in page.body


def test_another_program_at_the_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "zoo_core.cli.main",
            "hub",
            "serve",
            str(tmp_path / "hub"),
            "--port",
            str(port),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Choose another with --port" in done.stderr
