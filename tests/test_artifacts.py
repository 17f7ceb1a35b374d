"""Artifacts: JSON that belongs to the weights, beside them in every release and checkpoint, strict like a tensor."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.model import Model
from zoo_core.publishing.bundle import bundle, unbundle
from zoo_core.publishing.push import push
from zoo_core.releases import artifacts
from zoo_core.releases.golden import check_golden
from zoo_core.releases.release import read_release

NAME, FILE = "system-vocabulary", "artifact.levels.json"
LEVELS = ["0.5", "0", "1", "0.75", "0.25"]


@pytest.fixture(scope="module")
def parts(toy_site: Path) -> ModuleType:
    import zoo_toy.parts

    return zoo_toy.parts


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the model with a vocabulary."""
    folder = tmp_path_factory.mktemp("artifacts") / "run"
    zoo_core.train(NAME, data="toy-grey", output=folder, epochs=2, registry=registry, licence="CC0-1.0")
    return folder


@pytest.fixture
def copy(trained: Path, own_cache: Path, tmp_path: Path) -> Path:
    """One that a test may damage."""
    return shutil.copytree(trained, tmp_path / "copy")


def replace(folder: Path, change: Callable[[Any], Any], *, name: str = FILE) -> None:
    """Write an artifact anew, and let the release list it as it then is."""
    path = folder / name
    value = json.loads(path.read_text()) if path.exists() else None
    path.write_text(json.dumps(change(value)))
    data = json.loads((folder / "config.json").read_text())
    data["files"][name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (folder / "config.json").write_text(json.dumps(data))


def test_a_release_gives_back_its_artifacts(trained: Path, registry: Registry) -> None:
    model, release = zoo_core.load(str(trained), registry=registry), read_release(trained)
    assert sorted(model.levels) == sorted(LEVELS) and FILE in release.files
    assert model.levels == json.loads((trained / FILE).read_text())
    data = registry.open_dataset("toy-grey")
    image = data.batch("train", torch.arange(60))["image"]
    assert model.levels == [f"{level:g}" for level in dict.fromkeys(image.flatten().tolist())]
    assert release.golden is not None
    check_golden(model, trained, release.golden)  # whose output depends on the order of the levels
    model.levels = model.levels[::-1]
    with pytest.raises(WeightsError, match="golden"):
        check_golden(model, trained, release.golden)


def test_the_commands_know_of_artifacts(zoo: Callable[..., Any], trained: Path) -> None:
    assert FILE in zoo("info", trained).out
    code, out, _ = zoo("verify", trained)
    assert code == 0 and "5 files" in out  # model, artifact, golden output, card and config.json
    assert zoo("eval", trained, "--check").code == 0


def altered(folder: Path) -> None:
    (folder / FILE).write_text((folder / FILE).read_text().replace("0.5", "0.6"))


def gone(folder: Path) -> None:
    (folder / FILE).unlink()


def unlisted(folder: Path) -> None:
    data = json.loads((folder / "config.json").read_text())
    del data["files"][FILE]
    (folder / "config.json").write_text(json.dumps(data))


def large(folder: Path) -> None:
    replace(folder, lambda levels: [*levels, "x" * artifacts.MAX_ARTIFACT_BYTES])


def broken(folder: Path) -> None:
    replace(folder, lambda levels: levels)
    (folder / FILE).write_text("{")
    data = json.loads((folder / "config.json").read_text())
    data["files"][FILE] = {"sha256": sha256_of(folder / FILE), "bytes": 1}
    (folder / "config.json").write_text(json.dumps(data))


def of_another_version(folder: Path) -> None:
    replace(folder, lambda levels: None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (altered, "is not the published file"),
        (gone, "is missing"),
        (unlisted, "do not fit Vocabulary: there is no 'levels'"),
        (lambda folder: replace(folder, lambda _: 1, name="artifact.more.json"), "unexpected 'more'"),
        (large, "an artifact has 16,000,000 at most"),
        (broken, "is not JSON"),
        (of_another_version, "do not fit Vocabulary: TypeError"),
    ],
)
def test_artifacts_that_are_not_those_of_the_weights_are_refused(
    damage: Callable[[Path], None], message: str, copy: Path, registry: Registry
) -> None:
    damage(copy)
    with pytest.raises(WeightsError, match=message) as error:
        zoo_core.load(str(copy), registry=registry)
    assert "\n" not in error.value.message
    if "do not fit" in message:
        assert error.value.hint == "It was made by zoo-toy 0.3.0; installed is 0.3.0."


def test_an_artifact_that_a_model_reads_as_something_else_is_refused(
    copy: Path, registry: Registry, parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        parts.Vocabulary, "load_artifacts", lambda self, given: setattr(self, "levels", sorted(given["levels"]))
    )
    with pytest.raises(WeightsError, match="'levels' comes back changed"):
        zoo_core.load(str(copy), registry=registry)


def test_a_model_without_artifacts_takes_none(toy_release: Path, registry: Registry, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_release, tmp_path / "toy")
    replace(folder, lambda _: [1], name="artifact.words.json")
    with pytest.raises(WeightsError, match="IndependentPixels takes no artifacts, and there are words"):
        zoo_core.load(str(folder), registry=registry)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a.b": 1}, "cannot be called 'a.b'"),
        ({"": 1}, "cannot be called ''"),
        ({"../x": 1}, "cannot be called '../x'"),
        ({"x": torch.zeros(1)}, "'x' is not JSON"),
        ({"x": {1: 2}}, "'x' is not JSON: its keys are not texts"),
        ({"x": float("nan")}, "'x' is not JSON"),
        ({"x": "\ud800"}, "'x' is not JSON"),
        ({"x": "y" * artifacts.MAX_ARTIFACT_BYTES}, "What is large belongs into a buffer"),
    ],
)
def test_what_cannot_be_an_artifact_is_refused_before_anything_is_written(
    given: dict[str, Any], message: str, parts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = parts.Vocabulary(parts.VocabularyConfig())
    monkeypatch.setattr(model, "artifacts", lambda: {"good": 1} | given)
    with pytest.raises(WeightsError) as error:
        artifacts.write_artifacts(model, tmp_path)
    assert message in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_a_hub_and_a_bundle_carry_artifacts(
    trained: Path, registry: Registry, tmp_path: Path, peer: Any, gate_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_theMarkerThatNobodyElseMaySee")
    pushed = push(str(trained), "alice/words", create=True, registry=registry)
    assert pushed.done and f'"{FILE}" = {{sha256' in (pushed.entry or "")
    expected = zoo_core.load(str(trained), registry=registry).levels
    assert zoo_core.load("hf:alice/words", registry=registry).levels == expected
    bundle(["hf:alice/words"], tmp_path / "lab.tar", registry=registry)
    unbundle(tmp_path / "lab.tar", tmp_path / "lab")
    assert (tmp_path / "lab" / "alice" / "words" / FILE).read_bytes() == (trained / FILE).read_bytes()


def test_a_manifest_that_does_not_pin_an_artifact_does_not_let_it_pass(copy: Path, registry: Registry) -> None:
    """The release's own list, which the manifest pins by config.json, counts for it."""
    found = artifacts.read_artifacts(copy, read_release(copy).files)
    assert set(found) == {"levels"}
    altered(copy)
    with pytest.raises(ZooError, match="not the file that the release lists"):
        artifacts.read_artifacts(copy, read_release(copy).files)
