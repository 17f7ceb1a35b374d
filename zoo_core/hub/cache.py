"""The cache of zoo, for decoded data and the like. If it is deleted, only time is lost."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from zoo_core.errors import ZooError
from zoo_core.hub.atomic import replacing, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SETTLED = 2.0  # seconds after which a file that changes again has another time


def cache_folder() -> Path:
    """The folder of the cache, which may not exist yet: ZOO_CACHE, or else "zoo" in the platform's cache folder."""
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "zoo"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zoo"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "zoo"


def cached_tensors(key: str, build: Callable[[], "dict[str, Tensor]"]) -> "dict[str, Tensor]":
    """The tensors that `build` makes, memory-mapped from the cache if an earlier run has written them.

    A missing or damaged file is built again. If the cache cannot be written, the new tensors are returned.

    Args:
        key: a file name that is different for different tensors, such as one with a digest of the content.
        build: a function that makes the tensors, by name.
    """
    if _building_anew:
        return build()
    path = cache_folder() / "data" / f"{key}.safetensors"
    tensors = _load(path)
    if tensors is not None:
        return tensors
    built = build()
    _save(built, path)
    tensors = _load(path)
    return built if tensors is None else tensors


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain data; from the cache where an earlier run parsed it, for Python's parser is slow, and `zoo
    list` waits for it.

    A file is taken to be the same where its path, size and time of change are, as Python does with compiled modules.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no TOML.
    """
    import msgspec
    from msgspec import msgpack

    state = path.stat()
    place = str(path.absolute())
    stamp = [place, state.st_size, state.st_mtime_ns, state.st_ino]
    copy = cache_folder() / "toml" / f"{crc32(place.encode()):08x}.msgpack"
    try:
        stamped, data = msgpack.decode(copy.read_bytes())
        if stamped == stamp:
            return dict(data)
    except (OSError, msgspec.MsgspecError, ValueError, TypeError):
        pass  # absent or damaged: it is written again
    import tomllib

    packed = msgpack.encode(tomllib.loads(path.read_text(encoding="utf-8")))
    if time.time() - state.st_mtime > SETTLED:
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(copy, msgpack.encode([stamp, msgspec.Raw(packed)]))
        except (OSError, ZooError):
            pass  # a cache that is full, or of somebody else
    return dict(msgpack.decode(packed))


_building_anew = False


@contextmanager
def built_anew() -> Iterator[None]:
    """In this context `cached_tensors` neither reads the cache nor writes to it."""
    global _building_anew
    before, _building_anew = _building_anew, True
    try:
        yield
    finally:
        _building_anew = before


def _load(path: Path) -> "dict[str, Tensor] | None":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None  # missing, unreadable or damaged: all are mended by building it again


def _save(tensors: "dict[str, Tensor]", path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside)
    except (OSError, ZooError, SafetensorError):
        pass  # read-only or full: the next run builds it again
