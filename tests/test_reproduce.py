"""Reproducing: the recorded recipe, on the recorded data, and an honest verdict."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

import zoo_core
from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import NotComparable, UsageError
from zoo_core.releases.recipe import RunArguments, read_command
from zoo_core.releases.release import MetricEntry, Protocol, Reproduction, read_release
from zoo_core.training.finishing import finish
from zoo_core.training.reproduce import estimate, recipe_of, reproduce, verdict_of
from zoo_core.training.run import Run
from zoo_core.weights.manifest import default_manifest
from zoo_core.weights.sources import locate

SHA = "0" * 64
ENTRY = MetricEntry(
    metric="nll",
    value=80.0,
    unit="nats/example",
    tolerance=0.01,
    protocol=Protocol(dataset="d", split="test", n=10, data_sha256=SHA),
)
SPREAD = msgspec.structs.replace(ENTRY, reproduce=Reproduction(seeds=4, mean=80.5, std=0.1))


@pytest.mark.parametrize(
    ("recorded", "values", "verdict"),
    [
        (ENTRY, [80.005], "same"),  # within the tolerance of measuring twice
        (ENTRY, [80.02], "spread unknown"),  # one run tells nothing about seeds
        (ENTRY, [80.02, 80.1, 79.9], "agrees"),
        (ENTRY, [81.0, 81.1, 80.9], "differs"),  # 1 from 0.1 * sqrt(1/3 + 1) = 0.115
        (ENTRY, [80.3, 80.4, 80.2], "agrees"),  # 0.3 is 2.6 of those
        (SPREAD, [80.8], "agrees"),  # 0.3 from 80.5, and 0.1 * sqrt(1 + 1/4) = 0.112
        (SPREAD, [80.9], "differs"),
        (SPREAD, [80.1], "differs"),  # better is other, too
        (SPREAD, [80.7, 80.7, 80.7], "agrees"),
        (SPREAD, [80.8, 80.8, 80.8], "differs"),  # three runs know more: 0.1 * sqrt(1/3 + 1/4) = 0.076
        (SPREAD, [80.0], "same"),
    ],
)
def test_the_verdict_goes_by_the_spread_over_seeds(recorded: MetricEntry, values: list[float], verdict: str) -> None:
    found = verdict_of(recorded, values, list(range(len(values))))
    assert found.verdict == verdict
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert (found.std is None) == (len(values) == 1)


def test_the_recipe_gives_the_recorded_numbers_again(toy_release: Path, registry: Registry) -> None:
    found = reproduce("toy", registry=registry)
    assert {result.recorded.metric for result in found} == {"nll", "bits_per_dim"}
    for result in found:
        assert result.verdict == "same" and result.values == pytest.approx([result.recorded.value], rel=1e-12)


def test_a_recipe_that_is_a_text_gives_the_same_as_the_record(release: Path, registry: Registry) -> None:
    """Older releases hold the command, without the precision where that was the model's own."""
    recorded = recipe_of(locate(str(release), registry))
    config = json.loads((release / "config.json").read_text())
    assert config["recipe"]["lr"] == 0.05
    config["recipe"] = "zoo train toy --data toy-bits --epochs 3 --seed 0 --lr 0.05 --licence CC0-1.0"
    (release / "config.json").write_text(json.dumps(config))
    assert recipe_of(locate(str(release), registry)) == recorded
    assert {result.verdict for result in reproduce(str(release), registry=registry)} == {"same"}


def test_every_published_release_has_a_recipe_with_the_precision_it_was_trained_in() -> None:
    registry = default_registry()
    manifest = default_manifest(registry)
    published = [name for name, pinned in manifest.pinned.items() if "package:" in pinned.entry.sources[0]]
    assert len(published) >= 36
    for name in published:
        located = locate(name, registry, manifest)
        arguments = recipe_of(located)
        assert arguments.model == name.partition(".")[0]
        assert arguments.precision == located.release.training["precision"]
        assert read_command(arguments.command()) == arguments


def test_a_run_keeps_the_precision_it_began_with(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another processor too, and whoever reproduces it takes the same."""
    monkeypatch.setattr("zoo_toy.models.IndependentPixels.precision", "bf16")
    monkeypatch.setattr("zoo_core.training.precision.emulates_bfloat16", lambda device: True)
    Run.start(tmp_path / "run", RunArguments(model="toy", data="toy-bits", epochs=1.0), registry).close()
    monkeypatch.setattr("zoo_core.training.precision.emulates_bfloat16", lambda device: False)
    run = Run.resume(tmp_path / "run", registry)
    assert run.loop.precision == "fp32" and run.precision_note == ""
    run.train()
    finish(run)
    assert recipe_of(locate(str(tmp_path / "run"), registry)).precision == "fp32"


def test_a_release_that_was_not_measured_cannot_be_compared(registry: Registry, tmp_path: Path) -> None:
    zoo_core.train("toy", data="toy-bits", output=tmp_path / "run", epochs=1, registry=registry, test=False)
    release = read_release(tmp_path / "run")
    assert release.metrics == [] and (release.recipe_text or "").endswith("--no-test")
    with pytest.raises(NotComparable, match="records no numbers"):
        reproduce(str(tmp_path / "run"), registry=registry)


def test_other_seeds_are_other_runs_and_are_kept_where_asked(
    toy_release: Path, registry: Registry, tmp_path: Path
) -> None:
    runs: list[int] = []

    def run_one(run: Any) -> Any:
        runs.append(run.arguments.seed)
        run.train()
        return finish(run)

    nll, _ = reproduce("toy", seeds=3, output=tmp_path, registry=registry, run_one=run_one)
    assert runs == nll.seeds == [0, 1, 2] and len(set(nll.values)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0", "seed-1", "seed-2"]
    shutil.rmtree(tmp_path / "seed-2")
    again, _ = reproduce("toy", seeds=3, output=tmp_path, registry=registry)  # two are there already
    assert again == nll


def test_training_data_that_differs_is_told_first(release: Path, registry: Registry) -> None:
    config = json.loads((release / "config.json").read_text())
    config["training"]["data_sha256"]["train"] = SHA
    (release / "config.json").write_text(json.dumps(config))
    for command in (reproduce, estimate):
        with pytest.raises(NotComparable, match="another 'toy-bits': the train split differs"):
            command(str(release), registry=registry)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (None, "records no recipe"),
        ("python convert.py", "not a command of zoo train"),
        ("zoo train toy --data", "not a command of zoo train"),
        ("zoo train toy --data toy-bits --epochs x", "not a command of zoo train"),
        ("zoo train toy --data toy-bits --epochs -1", "epochs"),
        ("zoo train toy --data toy-bits --explode 1 --epochs 1", "explode"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_told(recipe: str | None, words: str, release: Path, registry: Registry) -> None:
    config = json.loads((release / "config.json").read_text())
    config["recipe"] = recipe
    (release / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        reproduce(str(release), registry=registry)
    assert "\n" not in error.value.message


def test_the_estimate_counts_all_steps(toy_release: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.training.reproduce.ESTIMATE_SECONDS", 0.05)
    found = estimate("toy", registry=registry)
    assert found.steps == 6 and found.here > 0 and found.recorded is not None  # 60 examples, 32 a batch, 3 epochs


def test_the_command_tells_the_verdict_by_its_exit_code(zoo: Any, toy_release: Path, release: Path) -> None:
    code, out, err = zoo("reproduce", "toy")
    assert code == 0 and "zoo train toy" in err
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert {row[0] for row in rows} == {"toy"} and {row[-1] for row in rows} == {"same"}
    code, out, _ = zoo("reproduce", "toy", "--estimate", "--json")
    assert code == 0 and json.loads(out)["steps"] == 6
    config = json.loads((release / "config.json").read_text())
    config["metrics"][0]["value"] += 0.1
    (release / "config.json").write_text(json.dumps(config))
    code, _, err = zoo("reproduce", release)
    assert code == 3 and "--seeds 3" in err
    config["metrics"][0]["reproduce"] = {"seeds": 3, "mean": 5.0, "std": 0.1}
    (release / "config.json").write_text(json.dumps(config))
    code, out, err = zoo("reproduce", release)
    assert code == 1 and "differs" in out and "other numbers" in err
