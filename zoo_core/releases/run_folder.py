"""The folder of a training run, before and beside the release that it becomes.

run.json                   what the run is, written before its first step
run.lock                   locked by the process that trains here; empty, and it stays
curve.json                 a row an epoch; curve.csv and tensorboard/ where they were asked for
checkpoint-00001234/       complete or absent: written beside and renamed, so that a kill leaves the one before
    model.safetensors      parameters and buffers
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

from zoo_core.errors import UsageError, ZooError
from zoo_core.hub.atomic import check_new_folder, sync_folder, write_atomically
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import CONFIG, Ancestor, PinnedRelease
from zoo_core.releases.tensors import save_tensors

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from torch import Tensor

RUN, LOCK, PREFIX = "run.json", "run.lock", "checkpoint-"
TRAINING, BEST, STATE = "training.safetensors", "best.safetensors", "state.json"  # in a checkpoint, beside MODEL
AVERAGE = "average/"  # what the names of averaged weights begin with, in TRAINING


class RunRecord(Record, kw_only=True):
    """The content of run.json: how a run was started.

    Attributes:
        arguments: everything that decides its result.
        data_file: the user's own data file; None if there was none.
        device: where it was started.
        data_sha256: the digest of each split.
        config: all Config values of the model.
        method: loss, optimizers, precision and augmentation, as the release will tell them.
        dependencies: the releases that the model uses and keeps frozen, by attribute.
        log: the further formats in which the curve is written.
        ancestors: what training started from, the nearest first; that one by a reference that is valid from any folder.
        input: the preprocessing steps together with those of the parent; None: those of `arguments`.
    """

    arguments: RunArguments
    data_file: str | None
    device: str
    data_sha256: dict[str, str]
    config: dict[str, Any]
    method: dict[str, Any] = {}
    dependencies: dict[str, PinnedRelease] = {}
    log: list[str] = []
    ancestors: list[Ancestor] = []
    input: list[dict[str, Any]] | None = None


def hold(folder: Path) -> "BaseFileLock | None":
    """Make this process the only trainer in `folder`, until the lock is released or the process ends, however it ends.

    Returns:
        None where the file system has no locks.

    Raises:
        ZooError: another process trains there now.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ZooError(
            f"'{folder}' is being trained already", "Wait until that ends, or stop it first: Ctrl-C where it runs."
        ) from None
    except (OSError, NotImplementedError):
        return None
    return lock


def is_held(folder: Path) -> bool:
    """Whether a process trains in `folder` now."""
    if not (folder / LOCK).exists():
        return False
    try:
        lock = hold(folder)
    except ZooError:
        return True
    if lock is not None:
        lock.release()
    return False


def check_startable(folder: Path) -> None:
    """Raise an error early if a run must not start in this folder.

    Raises:
        UsageError: the folder holds more than a run that has trained nothing yet, or that may still be running.
        ZooError: it is being trained.
    """
    lock = hold(folder) if (folder / LOCK).exists() else None
    try:
        _check_startable(folder, lock)
    finally:
        if lock is not None:
            lock.release()


def make_run_folder(folder: Path, record: RunRecord) -> "BaseFileLock | None":
    """Make `folder` that of a run, and hold it; raises as `check_startable`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(
            f"the output folder '{folder}' cannot be made: {error.strerror}", "Choose another one."
        ) from None
    lock = hold(folder)
    _check_startable(folder, lock)
    write_atomically(folder / RUN, json.dumps(to_plain(record), indent=1))
    return lock


def _check_startable(folder: Path, lock: "BaseFileLock | None") -> None:
    replaceable = {LOCK} if lock is None else {LOCK, RUN}  # without a lock, another process may have begun just now
    if not (folder.is_dir() and {path.name for path in folder.iterdir() if path.suffix != ".part"} <= replaceable):
        goes_on = folder.is_dir() and (folder / RUN).exists() and not (folder / CONFIG).exists()
        check_new_folder(folder, f"Choose another one{f', or continue it: zoo train --resume {folder}' * goes_on}.")


def read_run(folder: Path) -> RunRecord:
    """The record of the run in `folder`.

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


def check_resumable(folder: Path, record: RunRecord, data_sha256: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Raise a UsageError unless the data and the model's config are those with which the run in `folder` began."""
    data = record.arguments.data
    for split, digest in data_sha256.items():
        if record.data_sha256.get(split) != digest:
            raise UsageError(
                f"cannot resume '{folder}': the {split} split of '{data}' is not the one it began with",
                f"sha256 {digest}, not {record.data_sha256.get(split)}",
            )
    if config != record.config:
        keys = [key for key in {**config, **record.config} if config.get(key) != record.config.get(key)]
        changes = ", ".join(f"{key} was {record.config.get(key)} and is {config.get(key)}" for key in keys)
        raise UsageError(f"cannot resume '{folder}': the model's config is another one: {changes}")


def what_is_left(folder: Path) -> str:
    """What to do with the folder after a loss that is not a number: resuming would come to the same loss again."""
    if step := last_step(folder):
        return f"Take another folder, for '{folder}' keeps step {step}, to look at: zoo info {folder}"
    return f"Nothing was saved yet, so the folder '{folder}' will do again."


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
        write_atomically(beside / STATE, json.dumps(state, indent=1))
        os.rename(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_folder(folder)
    for old in checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"))


def last_step(folder: Path) -> int:
    """The step of the last checkpoint in `folder`; 0 if there is none."""
    found = checkpoints(folder)
    return int(found[-1].stem.removeprefix(PREFIX)) if found else 0


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, "Tensor"]], dict[str, Any]]:
    """The tensors by file, and the state."""
    from safetensors.torch import load_file

    tensors = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    return tensors, json.loads((path / STATE).read_text())


def place_of(row: Mapping[str, Any]) -> str:
    """The position of a row of the curve: an epoch, or a step if there are no epochs."""
    return f"step {row['step']}" if row["epoch"] is None else f"epoch {row['epoch']:g}"
