"""Files that appear whole or not at all: written beside their place, synced to disk, then renamed."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core.errors import UsageError, ZooError

_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path` to write to; it takes the place of `path` (mode 0644) when the block succeeds.

    When the block raises anything, KeyboardInterrupt included, the new file is removed and `path` is as it was.

    Raises:
        ZooError: the disk is full, or the folder of `path` is missing or may not be written.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        _put_in_place(beside, path)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise _cannot_write(path, error) from error
        raise
    finally:
        beside.unlink(missing_ok=True)  # gone already where it was renamed


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes `content` (a str as UTF-8, newlines as they are) to `path`, whole or not at all; raises as `replacing`."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as beside:
        beside.write_bytes(data)


def check_output(path: Path, suffix: str, *more: str) -> None:
    """Raise early where a file could not be written, before the work whose result it would hold.

    Raises:
        UsageError: its name ends in none of these suffixes, or it would be in a folder that does not exist.
    """
    if path.suffix.lower() not in (suffix, *more):
        *others, last = suffix, *more
        known = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"'{path}' must end in {known}, for that is what is written")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Raise early where a file or folder could not be made, because the one that it would be in does not exist."""
    if not path.parent.is_dir():
        raise UsageError(f"the folder '{path.parent}' does not exist", "Make it first, or choose another output.")


def check_new_folder(folder: Path, hint: str = "Choose another one.") -> None:
    """Raise early where a folder that is to be made holds something already.

    Raises:
        UsageError: it exists, and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"the output folder '{folder}' exists and is not empty", hint)


def remove_half_written(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder that has no other writer now."""
    for left in folder.glob(".*.part"):
        if left.is_file():
            left.unlink()


def _put_in_place(beside: Path, path: Path) -> None:
    with open(beside, "rb+") as file:
        os.fsync(file.fileno())
    os.chmod(beside, 0o644)
    try:
        os.replace(beside, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, on systems that can open a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the file's own bytes are synced
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> ZooError:
    if error.errno in _DISK_FULL:
        return ZooError(f"cannot write '{path}': the disk is full", "Free some space there, or choose another folder.")
    return ZooError(f"cannot write '{path}': {error.strerror or error}")
