"""The Python of README.md and CONTRIBUTING.md runs, and type-checks as it would for somebody else."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import DatasetSpec, ModelSpec

ROOT = Path(__file__).parents[1]

# What a type checker must refuse. mypy itself fails where it does not: an ignore that nothing needs is an error.
MISTAKES = """
import zoo_core as zoo
from zoo_coins.coin import Coin, CoinConfig

model = zoo.load("pixelrnn")
model.smaple(16)  # type: ignore[operator]
model.sample("16")  # type: ignore[arg-type]
zoo.lode("pixelrnn")  # type: ignore[attr-defined]
zoo.load(3)  # type: ignore[arg-type]
Coin(CoinConfig()).config.hight  # type: ignore[attr-defined]
"""


def python_of(page: str) -> list[str]:
    """The Python blocks of a page of the repository."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages = python_of("README.md")
    assert len(pages) == 1
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(pages[0], names)
    assert names["images"].shape == (16, 1, 28, 28)
    assert names["nats"].shape == (16,) and (names["nats"] > 0).all()
    assert names["batch"]["image"].shape == (3, 1, 8, 8) and names["classes"].shape == (1,)
    assert zoo_core.load("./runs/mlp").load_report is not None


@pytest.fixture
def contributing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package that CONTRIBUTING.md writes, on sys.path: its files zoo_coins/NAME.py."""
    package = tmp_path / "zoo_coins"
    package.mkdir()
    (package / "__init__.py").touch()
    for block in python_of("CONTRIBUTING.md"):
        name = re.match(r"# zoo_coins/(\w+\.py)\n", block)
        assert name, block
        (package / name[1]).write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for module in [name for name in sys.modules if name.partition(".")[0] == "zoo_coins"]:
        del sys.modules[module]


def test_the_plugin_of_contributing_can_be_installed() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    declared, complete = (
        tomllib.loads(text) for text in (block, (ROOT / "tests/third-party/pyproject.toml").read_text())
    )
    assert declared["build-system"] == complete["build-system"]
    assert {"name", "version", "license"} <= set(declared["project"])
    assert declared["project"]["dependencies"] == complete["project"]["dependencies"]
    assert declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["zoo_coins"]


def test_the_models_of_contributing_train(
    contributing: Path, registry: Registry, hand_made: Callable[..., Plugin], tmp_path: Path
) -> None:
    from zoo_coins import plugin  # type: ignore[import-not-found]

    gan = ModelSpec(name="gan", target="zoo_coins.gan:Gan", summary="two objectives")
    whitening = ModelSpec(name="whitening", target="zoo_coins.whitening:Whitening", summary="from its own samples")
    tosses = DatasetSpec(
        name="tosses",
        target="zoo_coins.tosses:Tosses",
        summary="100 million",
        source="seeds",
        licence="CC0-1.0",
        splits=("train", "validation", "test"),
    )
    slow = ModelSpec(
        name="slow-coin", target="zoo_coins.trained:SlowCoin", summary="no decay", capabilities=("Density",)
    )
    models = [*plugin.zoo_models(), gan, whitening, slow]
    coins = hand_made("coins", "zoo-toy", zoo_models=models, zoo_datasets=[tosses])
    known = Registry([*registry.plugins, coins])
    steps = [{"step": "binarize", "mode": "threshold"}]
    model = zoo_core.train("coin", data="digits", input=steps, steps=2, output=tmp_path / "coin", registry=known).model
    assert model.log_prob(model.sample(3)).shape == (3,)
    trained = zoo_core.train("slow-coin", data="digits", input=steps, steps=2, output=tmp_path / "s", registry=known)
    assert "adamw" in trained.release.training["optimizer"]
    trained = zoo_core.train("gan", data="digits", steps=2, output=tmp_path / "gan", registry=known)
    assert trained.release.training["optimizer"].count("lr 0.0002") == 2
    trained = zoo_core.train("whitening", steps=2, output=tmp_path / "whitening", registry=known)
    assert trained.release.training["data"] == "none"
    trained = zoo_core.train("coin", data="tosses", steps=2, output=tmp_path / "tosses", registry=known)
    assert {(entry.protocol.dataset, entry.protocol.n) for entry in trained.metrics} == {("tosses", 1000)}


def test_the_purses_of_contributing_are_learned_and_only_the_known_ones_measured(
    contributing: Path, registry: Registry, hand_made: Callable[..., Plugin], tmp_path: Path
) -> None:
    from zoo_coins.purses import Purses  # type: ignore[import-not-found]

    purses = {"target": "zoo_coins.purses:PurseClassifier", "summary": "enough coins?", "capabilities": ("Classifier",)}
    data = DatasetSpec(
        name="purses", target="zoo_coins.purses:Purses", summary="coins", source="a seed", licence="CC0-1.0",
        splits=Purses.splits,
    )  # fmt: skip
    coins = hand_made("coins", "zoo-toy", zoo_models=[ModelSpec(name="purse", **purses)], zoo_datasets=[data])
    known = Registry([*registry.plugins, coins])
    trained = zoo_core.train("purse", data="purses", epochs=40, lr=0.05, output=tmp_path / "purse", registry=known)
    accuracy = trained.metrics[0]
    label = Purses().tensors("test")["label"]
    assert accuracy.metric == "accuracy" and accuracy.value > 0.9
    assert accuracy.protocol.n == (label >= 0).sum() < 100


@pytest.mark.slow
def test_the_python_of_the_pages_type_checks(contributing: Path) -> None:
    """Strictly, in a project of its own; and what is wrong does not."""
    project = contributing.parent
    (project / "readme.py").write_text("".join(python_of("README.md")), encoding="utf-8")
    (project / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "."]
    installed = any(found.name == "zoo-core" for found in distributions())
    environment = {**os.environ, "MYPYPATH": "" if installed else str(ROOT)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
