"""Files that appear whole or not at all, and the cache that is built from them."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo_core.errors import ZooError
from zoo_core.hub import atomic
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.cache import cache_folder, cached_tensors


def test_a_file_is_written_whole_with_mode_0644(tmp_path: Path) -> None:
    target = tmp_path / "weights.bin"
    before = os.umask(0o077)
    try:
        write_atomically(target, b"one")
        write_atomically(target, b"two")
        write_atomically(tmp_path / "text", "é\n")
    finally:
        os.umask(before)
    assert target.read_bytes() == b"two"
    assert (tmp_path / "text").read_bytes() == "é\n".encode()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text", "weights.bin"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(failure: type[BaseException], tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    target.write_bytes(b"old")
    with pytest.raises(failure), replacing(target) as beside:
        assert beside.parent == target.parent
        beside.write_bytes(b"half")
        raise failure
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    target.write_bytes(b"old")
    with replacing(target) as beside:
        beside.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("where", ["block", "sync"])
def test_a_full_disk_is_one_clear_line(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "sync":
        monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(ZooError, match="the disk is full") as error, replacing(tmp_path / "big") as beside:
        beside.write_bytes(b"1")
        if where == "block":
            full()
    assert "\n" not in error.value.message
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_not_the_disk_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "copy"):
        (tmp_path / "source").read_bytes()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"cannot write '.*absent.*file'"):
        write_atomically(tmp_path / "absent" / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ZooError, match=r"cannot write '.*folder'"):
        write_atomically(tmp_path / "folder", b"")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "zoo"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_folder() == Path.home() / ".cache" / "zoo"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "zoo"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "zoo"


def test_tensors_are_built_once_and_rebuilt_when_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    built = []

    def build() -> dict[str, torch.Tensor]:
        built.append(1)
        return {"x": torch.arange(6).view(2, 3).T, "empty": torch.zeros(0, 3)}  # not contiguous: stored all the same

    for expected, damage in ((1, None), (1, None), (2, b"broken"), (2, None)):
        file = tmp_path / "data" / "key.safetensors"
        if damage:
            file.unlink()
            file.write_bytes(damage)
        tensors = cached_tensors("key", build)
        assert torch.equal(tensors["x"], torch.arange(6).view(2, 3).T)
        assert tensors["empty"].shape == (0, 3)
        assert len(built) == expected


def test_a_read_only_cache_returns_what_was_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    assert cached_tensors("key", lambda: {"x": torch.ones(2)})["x"].sum() == 2


def test_an_error_of_the_builder_is_not_swallowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))

    def fail() -> dict[str, torch.Tensor]:
        raise ZooError("wrong data")

    with pytest.raises(ZooError, match="wrong data"):
        cached_tensors("key", fail)
    assert not list(tmp_path.rglob("*.*"))


def test_the_modules_are_light() -> None:
    probe = (
        "import sys, zoo_core.hub.atomic, zoo_core.hub.cache, zoo_core.hub.datafiles;"
        "print([m for m in ('torch', 'numpy', 'safetensors', 'huggingface_hub') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, env=_env())
    assert found.stdout.strip() == "[]"


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
