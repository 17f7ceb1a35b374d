"""What the tests share: a third-party plugin, really installed, with a release of its own."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch

import zoo_core
from zoo_core.discovery.loader import Plugin, load_plugins
from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.model import Model
from zoo_core.releases.licence import Licence
from zoo_core.releases.writing import write_release

TESTS = Path(__file__).parent
LICENCE = Licence(code="Apache-2.0", weights="CC0-1.0", data="CC0-1.0")


@pytest.fixture(scope="session", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One thread, a cache of our own, no network."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("ZOO_DISABLE_PLUGINS", raising=False)
        yield


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache that no other test has seen."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "own-cache"))
    return tmp_path / "own-cache"


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that zoo-toy is installed into; on sys.path from then on."""
    site = tmp_path_factory.mktemp("site")
    source = shutil.copytree(TESTS / "toy", tmp_path_factory.mktemp("source") / "toy")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--target", str(site), str(source)], check=True)
    sys.path.append(str(site))
    default_registry.cache_clear()
    try:
        yield site
    finally:
        sys.path.remove(str(site))
        default_registry.cache_clear()


@pytest.fixture(scope="session")
def registry(toy_site: Path) -> Registry:
    """The installed plugins, zoo-toy among them."""
    return Registry(load_plugins())


@pytest.fixture(scope="session")
def toy_release(registry: Registry, toy_site: Path) -> Path:
    """The weights that come with zoo-toy: a trained run of `toy` with its numbers, pinned by the plugin's manifest."""
    folder = toy_site / "zoo_toy" / "weights" / "toy.bits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo_core.training.run.CHECKPOINT_SECONDS", 1e9)
        trained = zoo_core.train(
            "toy", data="toy-bits", output=folder, epochs=3, lr=0.05, registry=registry, licence="CC0-1.0"
        )
    for extra in folder.glob("checkpoint-*"):
        shutil.rmtree(extra)
    (toy_site / "zoo_toy" / "toy.toml").write_text(manifest_text("toy.bits", folder, trained.metrics))
    for plugin in registry.plugins:
        if plugin.name == "toy":
            plugin.declared["zoo_weights"] = [toy_site / "zoo_toy" / "toy.toml"]
    default_registry.cache_clear()
    return folder


def manifest_text(name: str, folder: Path, metrics: list[Any], source: str | None = None) -> str:
    """A manifest with one entry that pins the release in `folder`."""
    lines = [
        f'["{name}"]',
        "default = true",
        'summary = "a toy"',
        'plugin = "zoo-toy>=0.3"',
        'licence = {code = "Apache-2.0", weights = "CC0-1.0", data = "CC0-1.0"}',
        f'sources = ["{source or "package:zoo_toy/weights/" + name}"]',
        f'["{name}".files]',
    ]
    for file in sorted(folder.iterdir()):
        if file.name in ("model.safetensors", "config.json", "golden.safetensors", "README.md", "samples.png"):
            lines.append(f'"{file.name}" = {{sha256 = "{sha256_of(file)}", bytes = {file.stat().st_size}}}')
    for entry in metrics:
        protocol = entry.protocol
        lines += [
            f'[["{name}".metrics]]',
            f'metric = "{entry.metric}"',
            f"value = {entry.value!r}",
            f'unit = "{entry.unit}"',
            f"stderr = {entry.stderr!r}",
            f"tolerance = {entry.tolerance!r}",
            f'protocol = {{dataset = "{protocol.dataset}", split = "{protocol.split}", n = {protocol.n}, '
            f'data_sha256 = "{protocol.data_sha256}", estimator = "{protocol.estimator}"}}',
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., str]:
    return manifest_text


@pytest.fixture
def release(toy_release: Path, own_cache: Path, tmp_path: Path) -> Path:
    """A copy of the toy release that a test may damage, never verified before."""
    return shutil.copytree(toy_release, tmp_path / "release")


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def zoo(toy_release: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `zoo` in this process, as its entry point does."""
    from zoo_core.cli.main import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = done.value.code
        return Outcome(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture(scope="session")
def zoo_process(toy_site: Path) -> Callable[..., list[str]]:
    """The command line and environment of `zoo` as a process of its own, with zoo-toy installed."""

    def command(*arguments: object) -> dict[str, Any]:
        path = os.pathsep.join([str(toy_site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {
            "args": [sys.executable, "-m", "zoo_core.cli.main", *map(str, arguments)],
            "env": {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
            "text": True,
        }

    return command


@pytest.fixture
def plugin_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EntryPoint]]:
    """Writes a plugin module and a distribution around it; gives its entry point, as discovery would find it."""
    modules: list[str] = []

    def write(name: str, code: str, *, distribution: str | None = None, version: str = "1.0") -> EntryPoint:
        distribution = distribution or f"zoo-{name}"
        folder = tmp_path / f"dist-{distribution}"
        module = f"plugin_module_{len(modules)}_{name.replace('-', '_')}"
        modules.append(module)
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[zoo.plugins]\n{name} = {module}\n")
        (folder / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        from importlib.metadata import PathDistribution

        (entry,) = PathDistribution(info).entry_points
        return entry

    yield write
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def hand_made() -> Callable[..., Plugin]:
    """A plugin object that declares what it is told to, without any module."""

    def make(name: str, distribution: str | None = None, **declared: list[Any]) -> Plugin:
        plugin = Plugin(name, distribution or f"zoo-{name}", "1.0")
        plugin.declared |= declared
        return plugin

    return make


@pytest.fixture
def write(registry: Registry) -> Callable[..., Path]:
    """Writes the release of a model with fresh weights."""

    def release_of(model: Model, name: str, folder: Path, **more: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        example = {
            "image": torch.arange(4 * 16).view(4, 1, 4, 4).remainder(3).clamp(0, 1).float(),
            "label": torch.arange(4) % 3,
        }
        write_release(folder, model, registry.model(name), summary="a toy", licence=LICENCE, example=example, **more)
        return folder

    return release_of


@pytest.fixture(scope="session")
def kind(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the release of one of zoo-toy's models for a kind of data, such as "told"."""

    @cache
    def release_of(name: str) -> Path:
        from zoo_toy.kinds import EXAMPLES

        model = zoo_core.create(f"kind-{name}", registry=registry)
        folder = tmp_path_factory.mktemp(name) / name
        folder.mkdir()
        registration = registry.model(f"kind-{name}")
        write_release(folder, model, registration, summary="a toy", licence=LICENCE, example=EXAMPLES[name])
        return folder

    return release_of


@pytest.fixture(scope="session")
def toy_models(toy_site: Path) -> ModuleType:
    import zoo_toy.models

    return zoo_toy.models


TOKEN = "hf_theMarkerThatNobodyElseMaySee"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Path]:
    """Goes to another machine, as it were: caches that nothing was ever put into. Gives HF_HOME there."""
    from huggingface_hub import constants

    def move() -> Path:
        home = tmp_path / f"home-{len(list(tmp_path.glob('home-*')))}"
        home.mkdir()
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setenv("ZOO_CACHE", str(home / "zoo-cache"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))  # read once, when it is imported
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        return home

    return move


@pytest.fixture
def peer(
    toy_site: Path, elsewhere: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Any]:
    """A hub of our own is the one that is talked to, without a token; nothing of it is in a cache. See zoo_toy.peer."""
    import time

    from huggingface_hub import close_session, constants
    from zoo_toy.peer import Peer

    elsewhere()
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "ZOO_MIRROR", "ZOO_INSECURE"):
        monkeypatch.setenv(name, "")  # so that it is as it was after the test, whatever a command sets
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # The client's own handler writes to the stderr of the test that imported it, which is closed by now.
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [logging.NullHandler()])
    impatient = ModuleType("time")
    impatient.__dict__.update(time.__dict__, sleep=lambda seconds: None)
    for module in ("huggingface_hub.file_download", "huggingface_hub.utils._http", "zoo_core.hub.repository"):
        monkeypatch.setattr(f"{module}.time", impatient)
    with Peer({TOKEN: "alice", "hf_reader": "reader"}) as peer:
        monkeypatch.setenv("HF_ENDPOINT", peer.url)
        yield peer
    close_session()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets HF_HUB_OFFLINE, where huggingface_hub is imported already."""

    def pull_the_cable() -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    return pull_the_cable


@pytest.fixture
def gate_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The push gate in this process: the same checks, without a new interpreter each time."""
    from zoo_core.errors import WeightsError, ZooError
    from zoo_core.publishing import gate

    def pass_gate(reference: str, *, measure: bool) -> None:
        try:
            gate._check(reference, measure)
        except ZooError as error:
            raise WeightsError(f"not published: {error.message}") from None

    monkeypatch.setattr("zoo_core.publishing.push.pass_gate", pass_gate)


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """The files of a release, as a hub has them."""
    from zoo_core.releases.release import read_release

    return lambda folder: {name: (folder / name).read_bytes() for name in (*read_release(folder).files, "config.json")}


@pytest.fixture(scope="session")
def big_release(toy_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a release of so many MiB, without golden output or numbers."""
    import json

    from zoo_core.releases.tensors import save_tensors

    def write(size: int) -> Path:
        folder = tmp_path_factory.mktemp("big")
        channels = size * 64
        save_tensors({"logit": torch.randn(channels, 64, 64)}, folder / "model.safetensors")
        shutil.copy(toy_release / "README.md", folder)
        data = json.loads((toy_release / "config.json").read_text())
        data |= {"config": {"channels": channels, "height": 64, "width": 64}, "golden": None, "metrics": []}
        data["files"] = {
            name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
            for name in ("model.safetensors", "README.md")
        }
        (folder / "config.json").write_text(json.dumps(data))
        return folder

    return write
