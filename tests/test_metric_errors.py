"""A metric that breaks off: told in one line with its name, and never what a run or a release is lost by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import MetricSpec
from zoo_core.errors import MetricFailed, Unmeasured, WeightsError
from zoo_core.measuring.running import Running
from zoo_core.publishing.gate import _check
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.train import Trained

MODULE = """
from zoo_core import Measurement, Metric, UsageError


class Counts(Metric):
    requires = "Density"

    def __init__(self):
        self.n = 0

    def update(self, model, batch):
        self.n += len(batch["index"])

    def merge(self, other):
        self.n += other.n

    def compute(self):
        return Measurement(value=1.0, stderr=None, n=self.n)


class Update(Counts):
    def update(self, model, batch):
        super().update(model, batch)
        batch["pictures"]


class LastBatch(Counts):
    def update(self, model, batch):
        super().update(model, batch)
        if len(batch["index"]) < 100:
            raise UsageError("label 7 is outside 0..2")


class Compute(Counts):
    def compute(self):
        return 1 / 0


class Begin(Counts):
    def begin(self, model, data, split, n):
        data.colours


class Make(Counts):
    def __init__(self, needed):
        pass


class OnRequest(Update):
    on_request = True
"""

ERRORS = {  # by class, what is told of it
    "Update": "metric 'odd' of odd_metrics failed: KeyError: 'pictures'",
    "LastBatch": "metric 'odd' of odd_metrics failed: label 7 is outside 0..2",
    "Compute": "metric 'odd' of odd_metrics failed: ZeroDivisionError: division by zero",
    "Begin": "metric 'odd' of odd_metrics failed: AttributeError: 'Bits' object has no attribute 'colours'",
    "Make": "metric 'odd' of zoo-odd failed: TypeError: Make.__init__() missing 1 "
    "required positional argument: 'needed'",
    "Absent": "metric 'odd' of zoo-odd failed: zoo-odd 1.0: 'odd' cannot be imported from odd_metrics:Absent: "
    "module 'odd_metrics' has no attribute 'Absent'",
}
every = pytest.mark.parametrize("kind", ERRORS)


@pytest.fixture
def with_metric(
    registry: Registry, hand_made: Callable[..., Plugin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Registry]:
    """The registry with a metric "odd" of that class."""
    place = tmp_path / "plugin"
    place.mkdir()
    (place / "odd_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)

    def make(kind: str) -> Registry:
        target = f"odd_metrics:{kind}"
        spec = MetricSpec(name="odd", target=target, summary="odd", requires="Density", unit="1", higher_is_better=True)
        plugins = [plugin for plugin in registry.plugins if plugin.name != "odd"]
        return Registry([hand_made("odd", zoo_metrics=[spec]), *plugins])

    return make


def train(folder: Path, registry: Registry, **more: Any) -> Trained:
    return zoo_core.train("toy", data="toy-bits", output=folder, epochs=2, registry=registry, **more)


@every
def test_it_costs_its_own_number_and_no_other(
    kind: str, with_metric: Callable[[str], Registry], registry: Registry, tmp_path: Path
) -> None:
    with pytest.warns(Unmeasured) as told:
        trained = train(tmp_path / "run", with_metric(kind))
    assert [str(one.message) for one in told] == [f"{ERRORS[kind]}. The release is without this number"]
    assert [entry.metric for entry in trained.metrics] == ["nll", "bits_per_dim"]
    assert trained.metrics == train(tmp_path / "whole", registry).metrics


@every
def test_measured_again_it_is_told_beside_the_numbers_and_alone_it_is_an_error(
    kind: str, with_metric: Callable[[str], Registry], toy_release: Path
) -> None:
    odd = with_metric(kind)
    found = zoo_core.evaluate(str(toy_release), registry=odd)
    assert found.failed == {"odd": ERRORS[kind]} and not found.unmeasurable
    assert {check.measured.metric: check.verdict for check in found.checks} == {"nll": "same", "bits_per_dim": "same"}
    with pytest.raises(MetricFailed) as error:
        zoo_core.evaluate(str(toy_release), metrics=["odd"], registry=odd)
    assert error.value.message == ERRORS[kind] and error.value.__cause__ is not None  # for --debug


def test_a_number_that_picks_the_epoch_and_fails_is_told_once_and_the_last_epoch_is_taken(
    with_metric: Callable[[str], Registry], tmp_path: Path
) -> None:
    odd = with_metric("Update")
    with pytest.warns(Unmeasured) as told:
        trained = train(tmp_path / "run", odd, select="odd")
    said = [str(one.message).removeprefix(f"{ERRORS['Update']}. ") for one in told]
    assert said == ["Without it no epoch is picked; training goes on", "The release is without this number"]
    assert [("validation" in row) for row in trained.curve] == [False, False]
    assert trained.release.training["best_epoch"] is None and (trained.folder / "curve.png").exists()


def test_a_run_that_such_a_metric_stopped_before_is_resumed_to_its_end(
    with_metric: Callable[[str], Registry], registry: Registry, tmp_path: Path
) -> None:
    class Stop(Observer):
        def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
            run.loop.requests["stop"] = True

    run = start_run(
        tmp_path / "run",
        RunArguments(model="toy", data="toy-bits", epochs=2),
        with_metric("Compute"),
    )
    with pytest.raises(Interrupted):
        run.train(Stop())
    again = resume_run(tmp_path / "run", with_metric("Compute"))
    again.train()
    with pytest.warns(Unmeasured, match="division by zero"):
        release = finish(again)
    whole = train(tmp_path / "whole", registry)
    assert release.metrics == whole.metrics
    assert release.files["model.safetensors"] == whole.release.files["model.safetensors"]


def test_what_was_asked_for_and_is_missing_ends_the_command_with_an_error_after_the_release(
    with_metric: Callable[[str], Registry], zoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = with_metric("OnRequest")
    monkeypatch.setattr("zoo_core.discovery.registry.default_registry", lambda: odd)
    monkeypatch.setattr("zoo_core.measuring.evaluation.default_registry", lambda: odd)
    run = tmp_path / "run"
    code, _, err = zoo("train", "toy", "--data", "toy-bits", "--epochs", 1, "--metric", "odd", "-o", run)
    assert code == 1 and f"Warning: {ERRORS['Update']}. The release is without this number" in err
    assert err.splitlines()[-2:] == [
        "Error: the release is whole, but without odd", f"  To see why: zoo eval {run} --metric odd",
    ]  # fmt: skip
    assert [entry.metric for entry in read_release(run).metrics] == ["nll", "bits_per_dim"]
    code, out, err = zoo("eval", run, "--metric", "odd")
    assert (code, out, err.splitlines()[-1]) == (1, "", f"Error: {ERRORS['Update']}")
    code, out, _ = zoo("eval", run, "--metric", "odd", "--metric", "nll")
    rows = {row.split("\t")[1]: row for row in out.splitlines()}
    assert code == 1 and ERRORS["Update"] in rows["odd"] and rows["nll"].endswith("same")


def test_of_many_processes_one_failure_is_enough(
    with_metric: Callable[[str], Registry], registry: Registry, toy_release: Path
) -> None:
    odd = with_metric("Counts")
    parts = [Running({"odd": odd.new_metric("odd"), "nll": odd.new_metric("nll")}) for _ in range(3)]
    for part in parts:
        part.metrics["odd"].n = 1  # type: ignore[attr-defined]
    with parts[2].noting("nll"):
        raise KeyError("x")
    joined = Running({})
    joined.join(parts)
    assert list(joined.metrics) == ["odd"] and joined.metrics["odd"].n == 3  # type: ignore[attr-defined]
    assert joined.failed["nll"].message == "metric 'nll' of zoo_metrics failed: KeyError: 'x'"


def test_a_recorded_number_that_fails_is_not_published(
    with_metric: Callable[[str], Registry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run", with_metric("Counts"), licence="CC0-1.0")
    odd = with_metric("Update")
    monkeypatch.setattr("zoo_core.discovery.registry.default_registry", lambda: odd)
    monkeypatch.setattr("zoo_core.measuring.evaluation.default_registry", lambda: odd)
    with pytest.raises(WeightsError, match="a number that it records cannot be measured: metric 'odd' of odd_metrics"):
        _check(str(tmp_path / "run"), True)


def test_a_comparison_with_such_a_metric_is_none(with_metric: Callable[[str], Registry], toy_release: Path) -> None:
    with pytest.raises(MetricFailed, match="metric 'odd' of odd_metrics failed: KeyError"):
        zoo_core.compare([str(toy_release)] * 2, metrics=["odd"], registry=with_metric("Update"))
