"""The curve of a run in other programs' files: whole, and nothing twice however the run was interrupted."""

import csv
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, UsageError
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.run_folder import RUN
from zoo_core.training import logs
from zoo_core.training.finishing import finish
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run

ASKED = RunArguments(model="toy", data="toy-bits", epochs=12.0)  # two steps an epoch


class Killed(BaseException):
    """As by a signal that cannot be caught: no checkpoint is written."""


class KilledAfter(Observer):
    """Ends the process, so to speak, when epoch `epoch` is told and logged, and not saved yet."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        if row["epoch"] == self.epoch:
            raise Killed


def killed_and_resumed(folder: Path, registry: Registry, *log: str) -> Run:
    with pytest.raises(Killed):
        start_run(folder, ASKED, registry, log=log).train(KilledAfter(8))
    run = resume_run(folder, registry)
    assert run.loop.step_number == 14
    run.train()
    finish(run)
    return run


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / logs.CSV, newline="") as file:
        return list(csv.DictReader(file))


def test_a_resumed_run_has_each_row_once(registry: Registry, tmp_path: Path) -> None:
    run = killed_and_resumed(tmp_path / "cut", registry, "csv")
    assert [float(row["epoch"]) for row in rows(tmp_path / "cut")] == list(range(1, 13))
    for row, found in zip(run.curve, rows(tmp_path / "cut"), strict=True):
        assert list(found) == ["epoch", "step", "train/loss", "validation/nll"]
        assert float(found["train/loss"]) == row["train"]["loss"]
        assert float(found["validation/nll"]) == row["validation"]["nll"]
    zoo_core.train("toy", data="toy-bits", epochs=12, output=tmp_path / "whole", registry=registry, log="csv")
    assert (tmp_path / "whole" / logs.CSV).read_bytes() == (tmp_path / "cut" / logs.CSV).read_bytes()


def test_a_column_that_comes_later_is_empty_before(tmp_path: Path) -> None:
    curve: list[dict[str, Any]] = [{"epoch": 1.0, "step": 4, "train": {"d": 0.5}}]
    log = logs.CsvLog(tmp_path, curve, 0)
    log.on_epoch(curve[-1], True)
    curve.append({"epoch": 2.0, "step": 8, "train": {"g": 0.25, "d": 0.75}})
    log.on_epoch(curve[-1], True)
    assert [(row["train/d"], row["train/g"]) for row in rows(tmp_path)] == [("0.5", ""), ("0.75", "0.25")]


def test_tensorboard_shows_a_resumed_run_as_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(logs, "EVERY", 1)  # so that steps which nothing has saved are logged too
    run = killed_and_resumed(tmp_path / "run", registry, "tensorboard")
    assert len(list((tmp_path / "run" / logs.TENSORBOARD).iterdir())) == 2  # a file for each process
    found = EventAccumulator(str(tmp_path / "run" / logs.TENSORBOARD))
    found.Reload()
    validation = {event.step: event.value for event in found.Scalars("validation/nll")}
    assert len(validation) == len(found.Scalars("validation/nll")) == 12
    assert validation == pytest.approx({row["step"]: row["validation"]["nll"] for row in run.curve})
    assert [event.step for event in found.Scalars("train/loss")] == list(range(1, 25))


def test_a_log_that_cannot_be_written_is_told_before_anything_is(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as error:
        start_run(tmp_path / "run", ASKED, registry, log=["csv", "tensorboard"])
    assert error.value.hint == "pip install tensorboard"
    with pytest.raises(UnknownName, match="tensorbord"):
        start_run(tmp_path / "run", ASKED, registry, log=["tensorbord"])
    assert not (tmp_path / "run" / RUN).exists()


def test_the_command_takes_logs(zoo: Any, tmp_path: Path) -> None:
    code, _, err = zoo(*f"train toy --data toy-bits --epochs 2 --log csv -o {tmp_path}/run".split())
    assert code == 0, err
    assert len(rows(tmp_path / "run")) == 2
    code, _, err = zoo("train", "--resume", tmp_path / "run", "--log", "csv")
    assert code == 2 and "--resume takes nothing else" in err
