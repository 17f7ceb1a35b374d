"""The folder of a training run, before and beside the release that it becomes.

run.json                   what the run is, written before its first step
curve.json                 a row an epoch
checkpoint-00001234/       complete or absent: written under another name and renamed, so that a kill at any
    model.safetensors      moment leaves the one before: parameters and buffers
    training.safetensors   optimizer state, averaged weights, what the model keeps for training
    best.safetensors       the weights of the best epoch so far, if there was one
    state.json             counters, cursors, curve, artifacts
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UsageError
from zoo_core.hub.atomic import sync_folder, write_atomically
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import PinnedRelease
from zoo_core.releases.tensors import save_tensors

if TYPE_CHECKING:
    from torch import Tensor

RUN, PREFIX = "run.json", "checkpoint-"


class RunRecord(Record, kw_only=True):
    """run.json."""

    arguments: RunArguments
    data_file: str | None
    device: str
    data_sha256: dict[str, str]
    config: dict[str, Any]
    dependencies: dict[str, PinnedRelease] = {}
    parent: PinnedRelease | None = None  # what it starts from; a folder by its whole path


def write_run(folder: Path, record: RunRecord) -> None:
    """Make `folder` that of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RUN, json.dumps(to_plain(record), indent=1))


def read_run(folder: Path) -> RunRecord:
    """What the run in `folder` is.

    Raises:
        UsageError: there is none.
    """
    if not (folder / RUN).exists():
        why = f"it has no {RUN}" if folder.exists() else "the folder does not exist"
        raise UsageError(f"'{folder}' is not a training run: {why}")
    try:
        return read_record(RunRecord, json.loads((folder / RUN).read_text()), str(folder / RUN))
    except (OSError, ValueError) as error:
        raise UsageError(f"'{folder}' is not a training run: {error}") from None


def save_checkpoint(
    folder: Path, step: int, files: Mapping[str, Mapping[str, "Tensor"]], state: Mapping[str, Any]
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


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, "Tensor"]], dict[str, Any]]:
    """The tensors by file, and the state."""
    from safetensors.torch import load_file

    tensors = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    return tensors, json.loads((path / "state.json").read_text())
