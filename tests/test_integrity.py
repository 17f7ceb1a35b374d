"""Integrity: a file is the published one or it is not used; a verdict is remembered until the file is touched."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import WeightsError
from zoo_core.hub import integrity
from zoo_core.hub.integrity import FileEntry, check_file, remember, sha256_of


@pytest.fixture
def file(tmp_path: Path, own_cache: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 64)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were hashed."""
    seen: list[Path] = []

    def counting(path: Path) -> str:
        seen.append(path)
        return sha256_of(path)

    monkeypatch.setattr(integrity, "sha256_of", counting)
    return seen


def expected(path: Path) -> FileEntry:
    return FileEntry(sha256=sha256_of(path), bytes=path.stat().st_size)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "truncated or another file: 16383 bytes, not 16384"),
    "emptied": (lambda p: p.write_bytes(b""), "truncated or another file: 0 bytes"),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "16385 bytes, not 16384"),
    "flipped bit": (flip_a_bit, "sha256"),
    "swapped": (lambda p: p.write_bytes(bytes(16384)), "sha256"),
    "missing": (lambda p: p.unlink(), "is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_refused_and_named(kind: str, file: Path) -> None:
    entry = expected(file)
    assert check_file(file, entry)
    remember(file, entry.sha256)
    damage, why = DAMAGE[kind]
    os.utime(file, ns=(1, 1))
    damage(file)
    with pytest.raises(WeightsError) as error:
        check_file(file, entry)
    assert str(file) in error.value.message and why in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint is not None and "again" in error.value.hint


def test_a_remembered_verdict_costs_no_hash(file: Path, hashed: list[Path]) -> None:
    entry = expected(file)
    assert check_file(file, entry) and hashed == [file]
    remember(file, entry.sha256)
    assert not check_file(file, entry)
    assert hashed == [file]


def test_a_touched_file_is_hashed_again(file: Path, hashed: list[Path]) -> None:
    entry = expected(file)
    remember(file, entry.sha256)
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1))
    assert check_file(file, entry) and hashed == [file]


def test_a_replaced_file_is_hashed_again(file: Path, hashed: list[Path]) -> None:
    entry = expected(file)
    remember(file, entry.sha256)
    other = shutil.copy(file, file.with_name("other"))
    flip_a_bit(other)
    shutil.copystat(file, other)  # even with the same size and time
    os.replace(other, file)
    with pytest.raises(WeightsError):
        check_file(file, entry)


def test_a_verdict_does_not_stand_for_another_hash(file: Path, hashed: list[Path]) -> None:
    remember(file, sha256_of(file))
    with pytest.raises(WeightsError, match="sha256"):
        check_file(file, FileEntry(sha256="0" * 64, bytes=file.stat().st_size))


def test_verification_on_demand_ignores_the_verdict(file: Path, hashed: list[Path]) -> None:
    entry = expected(file)
    remember(file, entry.sha256)
    assert check_file(file, entry, trust_verdict=False) and hashed == [file]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"size": 1}', "null"])
def test_a_damaged_verdict_is_as_none(content: str, file: Path, own_cache: Path, hashed: list[Path]) -> None:
    entry = expected(file)
    remember(file, entry.sha256)
    (verdict,) = own_cache.rglob("*.json")
    verdict.write_text(content)
    assert check_file(file, entry) and hashed == [file]


def test_a_cache_that_cannot_be_written_is_no_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = file.with_name("blocked")
    blocked.touch()
    monkeypatch.setenv("ZOO_CACHE", str(blocked))
    entry = expected(file)
    for _ in range(2):
        remember(file, entry.sha256)
        assert check_file(file, entry)


def test_the_second_load_hashes_nothing(release: Path, registry: Registry, hashed: list[Path]) -> None:
    zoo_core.load(str(release), registry=registry)
    assert "model.safetensors" in {path.name for path in hashed}
    hashed.clear()
    zoo_core.load(str(release), registry=registry)
    assert hashed == []


@pytest.mark.parametrize("kind", ["truncated", "flipped bit", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "golden.safetensors", "README.md"])
def test_a_release_with_a_damaged_file_does_not_load(kind: str, name: str, release: Path, registry: Registry) -> None:
    zoo_core.load(str(release), registry=registry)
    os.utime(release / name, ns=(1, 1))
    DAMAGE[kind][0](release / name)
    with pytest.raises(WeightsError, match=name):
        zoo_core.load(str(release), registry=registry)
