"""Large files: pointers in git, objects beside it named by their sha256, written whole or not at all.

Pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md. The layout is git-lfs's own, so that a clone of the
folder finds the objects.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from dulwich.attrs import GitAttributes, compile_gitattributes_patterns, parse_git_attributes

from zoo_core import sync_folder
from zoo_hub_server.errors import Refusal

POINTER_MAX = 1024  # bytes; a longer file is no pointer
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n?"
)
_OID = re.compile(r"[0-9a-f]{64}")

# What is kept as LFS whatever its size: numbers, archives and the like. The first commit of each repository.
_LFS_ENDINGS = """
    7z arrow bin bz2 ckpt gguf gz h5 lz4 mat model msgpack npy npz onnx parquet pickle pkl pt pth safetensors tar tflite
    tgz wasm xz zip zst
"""
ATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in _LFS_ENDINGS.split())


@dataclass(frozen=True)
class Pointer:
    """What git holds instead of a large file."""

    oid: str  # sha256, hex
    size: int

    def encode(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def parse_pointer(content: bytes) -> Pointer | None:
    """The pointer that `content` is, if it is one."""
    found = _POINTER.fullmatch(content) if len(content) <= POINTER_MAX else None
    return None if found is None else Pointer(found[1].decode(), int(found[2]))


def is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


class Objects:
    """The large files of one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, oid: str) -> Path:
        return self.folder / oid[:2] / oid[2:4] / oid

    def has(self, oid: str, size: int | None = None) -> bool:
        """Whether the object is here, with this size where one is given."""
        try:
            found = self.path(oid).stat().st_size
        except OSError:
            return False
        return size is None or size == found

    def put(self, received: Path, oid: str) -> None:
        """Take in a file, complete and checked, from the same file system. Durable when this returns."""
        place = self.path(oid)
        for folder in (self.folder.parent, self.folder, place.parent.parent, place.parent):
            folder.mkdir(exist_ok=True)  # not `parents`: a repository that was deleted meanwhile does not come back
        with open(received, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(received, 0o444)
        os.replace(received, place)
        for folder in (place.parent, place.parent.parent, self.folder):
            sync_folder(folder)

    def all(self) -> list[Path]:
        return [path for path in self.folder.glob("??/??/*") if is_oid(path.name)]


class Receiving:
    """A file being received: hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115

    def write(self, data: bytes | bytearray) -> None:
        """Take in the next bytes. Runs in a thread: hashing and writing both release the interpreter."""
        self._hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def pointer(self) -> Pointer:
        """What was received."""
        self._file.close()
        return Pointer(self._hash.hexdigest(), self.size)

    def discard(self) -> None:
        """Remove the file, unless it was put in its place."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@lru_cache(maxsize=10_000)
def git_id(path: Path) -> str:
    """The id that git would give to an object's content, if it kept that itself. An object never changes."""
    with open(path, "rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def check_received(found: Pointer, expected: Pointer) -> None:
    """Raise unless the bytes that arrived are those announced.

    Raises:
        Refusal: 400.
    """
    if found.size != expected.size:
        raise Refusal(400, f"{expected.size} bytes were announced, {found.size} arrived.")
    if found.oid != expected.oid:
        raise Refusal(
            400, f"sha256 {expected.oid} was announced, {found.oid} arrived: the bytes were altered on the way."
        )


def read_attributes(text: bytes) -> GitAttributes:
    """What a .gitattributes file says of paths; a pattern that git would not understand is left out, and so is one that
    would keep the hub busy."""
    rules = [(pattern, says) for pattern, says in parse_git_attributes(BytesIO(text)) if is_quick(pattern)]
    return GitAttributes(compile_gitattributes_patterns(rules, ".gitattributes"))


def is_quick(pattern: bytes) -> bool:
    """Whether a pattern has few wildcards. Each multiplies the time to match it by the length of the path, so that one
    short line could hold up everybody."""
    return len(re.findall(rb"\*+", pattern)) <= 3


def is_lfs_path(path: str, attributes: GitAttributes) -> bool:
    """Whether .gitattributes sends `path` to LFS."""
    return attributes.match_path(path.encode()).get(b"filter") == b"lfs"


def attribute_line(path: str) -> str:
    """A line of .gitattributes for one path; `?` stands where a character has a meaning there."""
    return "/" + re.sub(r'[*?\[\]\\!#" ]', "?", path) + " filter=lfs diff=lfs merge=lfs -text\n"
