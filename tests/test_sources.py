"""Where batches come from: a data set in order, play that is remembered, the model's own samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.datasets.getting import data_files
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.interfaces.dataset import Episodes
from zoo_core.processes import Processes
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.releases.run_folder import checkpoints
from zoo_core.training.loop import Loop
from zoo_core.training.opening import start_run

Zoo = Callable[..., Any]


@pytest.fixture(scope="module")
def player(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of a model that learned from play."""
    folder = tmp_path_factory.mktemp("player") / "run"
    zoo_core.train("system-player", steps=400, output=folder, registry=registry)
    return folder


# What is learned without a data set.


def test_play_teaches_the_discounted_values_of_both_actions(registry: Registry, tmp_path: Path) -> None:
    """The way to the large prize from each place; stepping off the left end gives the small one."""
    run = start_run(tmp_path / "run", RunArguments(model="system-player", steps=400), registry)
    run.train()
    left, right = run.model.values.weight.detach()
    assert run.model.act(torch.eye(5)).tolist() == [1] * 5
    torch.testing.assert_close(right, torch.tensor([0.9**4, 0.9**3, 0.9**2, 0.9, 1.0]), rtol=0, atol=0.1)
    assert left[0].item() == pytest.approx(0.1, abs=0.05)


def test_a_model_learns_from_its_own_samples(registry: Registry, tmp_path: Path) -> None:
    model, release, *_ = zoo_core.train("system-whitening", steps=60, output=tmp_path / "run", registry=registry)
    assert model.logit.sigmoid().min() > 0.9
    assert release.training["best_step"] is None and not release.metrics, "no metric plays, so the last weights stay"


def test_a_replay_buffer_is_in_the_checkpoint_as_tensors(player: Path) -> None:
    path = checkpoints(player)[-1]
    tensors = load_file(path / "training.safetensors")
    assert tensors["source/x/observation"].shape == (64, 5)
    state = json.loads((path / "state.json").read_text())
    assert state["loop"]["sources"]["x"]["count"] == 4 * 400


# A run without a data set.


def test_a_run_without_epochs_is_validated_a_few_times_and_the_best_is_kept(player: Path) -> None:
    release = read_release(player)
    curve = release.training["curve"]
    assert [row["step"] for row in curve] == list(range(20, 401, 20))
    scores = [row["validation"]["toy_return"] for row in curve]
    assert release.training["best_step"] == 20 * (scores.index(max(scores)) + 1)
    assert all(row["epoch"] is None for row in curve) and release.training["epochs"] is None
    assert (player / "curve.png").exists()


def test_a_release_without_a_data_set_says_so(player: Path, registry: Registry) -> None:
    release = read_release(player)
    assert release.recipe == RunArguments(model="system-player", steps=400, precision="fp32")
    assert release.recipe_text == "zoo train system-player --steps 400 --seed 0 --precision fp32"
    assert release.training["data"] == "none" and release.licence.data == "NONE"
    (entry,) = release.metrics
    assert (entry.protocol.dataset, entry.protocol.split, entry.protocol.n) == ("episodes", "test", 100)
    assert entry.protocol.data_sha256 == Episodes().data_sha256("test") != Episodes().data_sha256("validation")
    assert data_files("none", registry) == data_files("episodes", registry) == {}


def test_the_episodes_of_a_release_are_played_again(player: Path, zoo: Zoo) -> None:
    assert zoo("eval", player, "--check").code == 0
    few = json.loads(zoo("eval", player, "--limit", 10, "--json").out)[0]
    assert few["verdict"] == "other data" and few["measured"]["protocol"]["n"] == 10
    assert "trained      400 steps in" in zoo("info", player).out
    found = json.loads(zoo("compare", player, player, "--json").out)
    assert found["metrics"] == ["toy_return"] and found["rows"][1]["differences"]["toy_return"]["identical"]


def test_a_recipe_without_a_data_set_is_reproduced(
    player: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_core.training.reproduce.ESTIMATE_SECONDS", 0.1)
    estimate = zoo_core.estimate(str(player), device="cpu", registry=registry)
    assert estimate.steps == 400 and estimate.here > 0
    (found,) = zoo_core.reproduce(str(player), device="cpu", registry=registry)
    assert found.verdict == "same"


def test_zoo_train_needs_no_data_where_the_model_needs_none(zoo: Zoo, tmp_path: Path) -> None:
    done = zoo("train", "system-player", "--steps", 40, "--patience", 3, "-o", tmp_path / "run", "--device", "cpu")
    assert done.code == 0 and "the best is step" in done.err and "toy_return" in done.err
    assert zoo("sample", tmp_path / "run", "-o", tmp_path / "x.png").code != 0


# What cannot be.

REFUSED = [
    (["toy"], "--data is missing: 'toy' learns from a data set"),
    (["toy", "--data", "none"], "--data is missing: 'toy' learns from a data set"),
    (["system-player"], "has no end, so there are no epochs"),
    (["system-player", "--epochs", 3], "has no end, so there are no epochs"),
    (["system-player", "--steps", 3, "--until", 1], "no epochs for --until"),
    (["system-whitening", "--steps", 3, "--select", "nll"], "'nll' is measured on a data set, and there is none"),
    (["system-whitening", "--steps", 3, "--metric", "nll"], "'nll' is measured on a data set, and there is none"),
    (["system-whitening", "--steps", 3, "--patience", 1], "--patience needs a validation split and a metric on it"),
    (["system-player", "--steps", 3, "--augment", "flip"], "needs a field 'image'"),
    (["system-player", "--steps", 3, "--data", "toy-bits"], "no field 'observation'"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=lambda value: " ".join(map(str, value)))
def test_what_a_source_cannot_do_is_one_clear_line(arguments: list[Any], words: str, zoo: Zoo, tmp_path: Path) -> None:
    done = zoo("train", *arguments, "-o", tmp_path / "run", "--device", "cpu")
    assert done.code == 2 and words in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_a_metric_over_episodes_is_none_of_a_data_set(registry: Registry, player: Path) -> None:
    with pytest.raises(UsageError, match="'toy_return' is measured over episodes, not on a data set"):
        zoo_core.evaluate(str(player), data="toy-bits", metrics=["toy_return"], registry=registry)


def test_a_source_of_one_process_is_refused_by_many(
    registry: Registry, toy_site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zoo_toy.play

    monkeypatch.setattr(zoo_toy.play.ReplayBuffer, "one_process", True)
    many = Processes("cpu")
    many.count = 2
    with pytest.raises(UsageError, match="made by one process, and here are 2"):
        Loop(zoo_core.create("system-player", registry=registry), Episodes(), seed=0, steps=3, processes=many)


def test_a_source_is_asked_without_gradients_once_a_step(
    registry: Registry, toy_site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zoo_toy.play

    asked: list[tuple[int, float, float]] = []
    given = zoo_toy.play.OwnSamples.next

    def watched(self: Any, n: int, *, model: Any, progress: float, generator: torch.Generator) -> Any:
        assert not torch.is_grad_enabled() and model is loop.model
        batch = given(self, n, model=model, progress=progress, generator=generator)
        asked.append((n, progress, batch["image"].sum().item()))
        return batch

    monkeypatch.setattr(zoo_toy.play.OwnSamples, "next", watched)
    loop = Loop(zoo_core.create("system-whitening", registry=registry), Episodes(), seed=0, steps=4, batch=50)
    for _ in range(4):
        loop.step()
    assert [turn[:2] for turn in asked] == [(50, 0.0), (50, 0.25), (50, 0.5), (50, 0.75)]
    assert len({turn[2] for turn in asked}) == 4, "each step draws anew"


def test_two_seeds_play_two_games(registry: Registry, tmp_path: Path) -> None:
    weights = []
    for seed in (0, 0, 1):
        folder = tmp_path / f"run-{len(weights)}"
        run = start_run(folder, RunArguments(model="system-player", steps=12, seed=seed), registry)
        run.train()
        weights.append(run.loop.sources["x"].state()["observation"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
