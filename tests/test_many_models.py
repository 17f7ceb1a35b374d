"""Listing a thousand models: each is looked at a few times, nothing more is imported, and no file is parsed twice."""

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.catalogue.listing import listings
from zoo_core.discovery.registry import Registry
from zoo_core.hub.cache import cache_folder, read_toml
from zoo_core.weights import manifest as manifests
from zoo_core.weights.manifest import Manifest, ManifestEntry, Pinned, install_hint


def entry(plugin: str) -> ManifestEntry:
    file = {"sha256": "0" * 64, "bytes": 1}
    licence = {"code": "MIT", "weights": "MIT", "data": "MIT"}
    files: Any = {"model.safetensors": file, "config.json": file}
    sources = ["hf:org/model"]
    return ManifestEntry(summary="One of many", plugin=plugin, licence=licence, sources=sources, files=files)  # type: ignore[arg-type]


class Looks(Pinned):
    """Counts how often a model's name is looked at."""

    count = 0

    @property
    def model(self) -> str:  # type: ignore[override]
        Looks.count += 1
        return self[0]


@pytest.mark.parametrize("here", [True, False])
def test_the_work_for_a_model_does_not_grow_with_their_number(
    here: bool, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []
    read = manifests.read_manifest
    monkeypatch.setattr(manifests, "read_manifest", lambda path: parsed.append(path) or read(path))

    def looks(number: int) -> float:
        one = entry("zoo-toy>=0.1" if here else "zoo-absent>=1")
        model = (lambda k: "toy") if here else (lambda k: f"absent-{k}")
        known = [Looks(model(k), f"tag-{k}", one, Path("many.toml")) for k in range(number)]
        Looks.count = 0
        rows = listings("*tag-*", registry=registry, manifest=Manifest(entries=known))
        assert len(rows) == number
        return Looks.count / number

    install_hint.cache_clear()
    few, many = looks(10), looks(1000)
    assert many <= few
    assert len(parsed) == len(set(parsed))


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has not been changed for an hour, and a cache of its own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "some.toml"
    path.write_text("a = [1, 2.5]\nb = {c = 'text'}\n")
    change(path, -3600)
    return path


def change(path: Path, seconds: float) -> None:
    """Set the time of its last change, from now."""
    then = path.stat().st_mtime + seconds
    os.utime(path, (then, then))


def test_a_file_is_parsed_once_and_again_when_it_has_changed(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: parsed.append(text) or loads(text))
    expected = {"a": [1, 2.5], "b": {"c": "text"}}
    assert read_toml(toml) == read_toml(toml) == expected and len(parsed) == 1
    toml.write_text("a = [1, 2.5]\nb = {c = 'TEXT'}\n")
    change(toml, -1800)
    assert read_toml(toml)["b"] == {"c": "TEXT"} and len(parsed) == 2
    (copy,) = (cache_folder() / "toml").iterdir()
    for damaged in (b"", b"\x93\x01", copy.read_bytes()[:-4], b"\x01"):
        copy.write_bytes(damaged)
        assert read_toml(toml)["b"] == {"c": "TEXT"}
    assert len(parsed) == 6
    with pytest.raises(ValueError):
        toml.write_text("a = ")
        read_toml(toml)


def test_a_file_that_has_just_changed_is_not_kept(toml: Path) -> None:
    """Within a tick of the clock it may change again, and have the same time then."""
    toml.write_text("a = 1\n")
    assert read_toml(toml) == {"a": 1} and not (cache_folder() / "toml").exists()


def test_a_cache_that_cannot_be_written_does_no_harm(toml: Path) -> None:
    cache_folder().write_text("no folder")
    assert read_toml(toml) == read_toml(toml) == {"a": [1, 2.5], "b": {"c": "text"}}


def test_a_thousand_models_need_no_more_imports(tmp_path: Path) -> None:
    """By the plugin of benchmarks/startup.py."""
    startup = runpy.run_path(str(Path(zoo_core.__file__).parents[1] / "benchmarks" / "startup.py"))
    startup["install_many"](tmp_path)
    code = "import atexit, sys; atexit.register(lambda: print('MODULES', *sys.modules))\n"
    code += "from zoo_core.cli.main import main; main(['list', '*.digits'])"
    found = []
    for path in ([], [str(tmp_path)]):
        paths = os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, "PYTHONPATH": paths, "ZOO_CACHE": str(tmp_path / "cache")}
        for _ in range(2):  # the second time from the cache
            out = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
            ).stdout
        listed, _, modules = out.partition("MODULES ")
        found.append((len(listed.splitlines()), set(modules.split())))
    (few, before), (many, after) = found
    assert many - few == startup["MANY"]
    assert after - before == {"zoo_many"}
