"""Is a file the one that was published? Size and full sha256, with the verdict remembered.

Hashing costs many times what loading a memory-mapped file costs. So a verdict is kept under the file's device, inode,
size and mtime: a file that has not been touched since costs one stat.
"""

import json
import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from zoo_core.errors import WeightsError, ZooError
from zoo_core.hub.atomic import write_atomically
from zoo_core.hub.cache import cache_folder
from zoo_core.interfaces.record import Record

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hex digits")]


class FileEntry(Record, kw_only=True):
    """What a file must be.

    Attributes:
        sha256: the hash of its content, 64 hex digits.
        bytes: its size.
    """

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0)]


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content."""
    import hashlib  # here, for listing needs no hash and should start fast

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, remembered for as long as nobody touches the file."""
    known = _remembered(path.stat())
    if known is None:
        known = sha256_of(path)
        remember(path, known)
    return known


def is_git_blob(path: Path, sha1: str) -> bool:
    """Whether a file has this digest of git's, by which a hub knows its small files."""
    import hashlib

    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == sha1


class Damaged(WeightsError):
    """A file that is not the published one."""

    def __init__(self, path: Path, message: str, hint: str | None = "Install or download the release again.") -> None:
        super().__init__(message, hint)
        self.path = path


class Pointer(Damaged):
    """A git-lfs pointer in place of the file: what the source holds, and no damage of the way."""


def check_file(path: Path, expected: FileEntry, *, trust_verdict: bool = True) -> bool:
    """Raise unless `path` is the expected file; True if it was hashed now, False if a verdict was remembered.

    Raises:
        Damaged: missing, of another size, or of another content.
    """
    try:
        status = path.stat()
    except OSError:
        raise Damaged(path, f"'{path}' is missing") from None
    if status.st_size != expected.bytes:
        if _is_pointer(path):
            raise Pointer(
                path,
                f"'{path}' is a git-lfs pointer, not the file itself",
                "Fetch the file with 'git lfs pull'; on a hub, its owner must push it again.",
            )
        raise Damaged(
            path,
            f"'{path}' is {'truncated or another file' if status.st_size < expected.bytes else 'too long'}: "
            f"{status.st_size} bytes, not {expected.bytes}",
        )
    if trust_verdict and _remembered(status) == expected.sha256:
        return False
    found = sha256_of(path)
    if found != expected.sha256:
        raise Damaged(
            path,
            f"'{path}' is not the published file: its sha256 is {found[:12]}…, not {expected.sha256[:12]}…",
            "It was altered or replaced. Install or download the release again.",
        )
    return True


def remember(path: Path, sha256: str) -> None:
    """Keep the verdict that `path`, as it is now, has this sha256. Where the cache cannot be written, do nothing."""
    status = path.stat()
    verdict = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}
    try:
        place = _verdict_path(status)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(verdict))
    except (OSError, ZooError):
        pass


def _remembered(status: os.stat_result) -> str | None:
    try:
        verdict = json.loads(_verdict_path(status).read_text())
        if (verdict["size"], verdict["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            return str(verdict["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _is_pointer(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(64).startswith(b"version https://git-lfs")


def _verdict_path(status: os.stat_result) -> Path:
    return cache_folder() / "verdicts" / f"{status.st_dev}-{status.st_ino}.json"
