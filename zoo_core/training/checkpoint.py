"""Checkpoints: safetensors and JSON, complete or absent.

A checkpoint is a folder that is written under another name and renamed, so a kill at any moment leaves the one before:

    checkpoint-00001234/
        model.safetensors      parameters and buffers
        training.safetensors   optimizer state, averaged weights, what the model keeps for training
        best.safetensors       the weights of the best epoch so far, if there was one
        state.json             counters, cursors, curve
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo_core.hub.atomic import sync_folder, write_atomically
from zoo_core.releases.tensors import save_tensors

PREFIX = "checkpoint-"


def save_checkpoint(
    folder: Path, step: int, files: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Write the checkpoint of `step` into `folder`, and remove the older ones."""
    final = folder / f"{PREFIX}{step:08d}"
    if same_step := sorted(folder.glob(f"{final.name}*")):  # it stays until the new one is there, beside it
        serial = int(same_step[-1].suffix[1:] or 0) + 1
        final = folder / f"{final.name}.{serial:03d}"
    beside = folder / f".{final.name}.part"
    for stale in folder.glob(f".{PREFIX}*.part"):  # left by a kill
        shutil.rmtree(stale)
    beside.mkdir()
    try:
        for name, tensors in files.items():
            save_tensors(tensors, beside / f"{name}.safetensors")
        write_atomically(beside / "state.json", json.dumps(state, indent=1))
        os.rename(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_folder(folder)
    for old in checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"))


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file, and the state."""
    from safetensors.torch import load_file

    tensors = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    return tensors, json.loads((path / "state.json").read_text())
