"""The folder of a run: one trainer at a time, and nothing that a killed one leaves behind keeps the next one out."""

import errno
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.run_folder import LOCK, RUN, checkpoints
from zoo_core.training.finishing import finish
from zoo_core.training.run import Run
from zoo_core.training.study import Report, Study

Zoo = Callable[..., "subprocess.Popen[str]"]
ENDLESS = ("train", "toy", "--data", "toy-bits", "--epochs", 1e6, "--device", "cpu", "-o")
BUSY = "is being trained already"


@pytest.fixture
def start(zoo_process: Callable[..., dict[str, Any]]) -> Iterator[Zoo]:
    """Starts `zoo`, and ends it with the test."""
    begun = []

    def process(*arguments: object) -> "subprocess.Popen[str]":
        options = zoo_process(*arguments)
        begun.append(subprocess.Popen(**options, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        return begun[-1]

    yield process
    for each in begun:
        each.kill()
        each.wait()
        each.stderr.close()


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.01)


def asked(**changes: Any) -> RunArguments:
    return RunArguments(**{"model": "toy", "data": "toy-bits", "epochs": 1.0, **changes})


class OneRun(Study, kw_only=True):
    """A study of one run."""

    def make(self, report: Report) -> None:
        report.train("one", "toy", data="toy-bits", epochs=1.0)


@pytest.mark.slow
def test_a_live_run_has_one_trainer_until_it_is_killed(start: Zoo, registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    live = start(*ENDLESS, folder)
    wait_for(lambda: checkpoints(folder), live)
    before = (folder / RUN).read_bytes()
    other = start("train", "--resume", folder)
    _, err = other.communicate(timeout=60)
    assert other.returncode == 1 and err.startswith(f"Error: '{folder}' {BUSY}") and "Traceback" not in err, err
    for refused in (lambda: Run.resume(folder, registry), lambda: Run.start(folder, asked(), registry)):
        with pytest.raises(ZooError, match=BUSY):
            refused()
    assert live.poll() is None and (folder / RUN).read_bytes() == before  # it has not noticed
    live.kill()
    live.wait()
    assert live.returncode == -signal.SIGKILL
    again = Run.resume(folder, registry)
    assert again.loop.step_number > 0 and again.lock is not None


@pytest.mark.slow
def test_of_two_that_start_at_once_one_trains(start: Zoo, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    two = [start(*ENDLESS, folder) for _ in range(2)]
    until = time.monotonic() + 60
    while all(process.poll() is None for process in two) and time.monotonic() < until:
        time.sleep(0.01)
    (refused,) = (process for process in two if process.poll() is not None)
    assert BUSY in refused.communicate()[1] and refused.returncode == 1
    (trains,) = (process for process in two if process is not refused)
    wait_for(lambda: checkpoints(folder), trains)


def test_a_run_of_a_study_is_held_as_well(registry: Registry, tmp_path: Path) -> None:
    one = tmp_path / "report" / "runs" / "one"

    def make_again(run: Run) -> Any:
        with pytest.raises(ZooError, match=BUSY):  # as another process would that makes the same study
            Run.resume(one, registry)
        run.train()
        return finish(run, test=False)

    Report(tmp_path / "report", registry=registry, run_one=make_again).write("one", OneRun())
    assert Run.resume(one, registry).lock is None


def test_a_run_is_free_when_it_ends_however_it_ends(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.start(tmp_path / "run", asked(), registry)
    with monkeypatch.context() as patch:
        patch.setattr(run.loop, "step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.train()
    again = Run.resume(tmp_path / "run", registry)
    again.train()
    with pytest.raises(ZooError, match=BUSY):  # it is trained, and no release yet
        Run.resume(tmp_path / "run", registry)
    finish(again)
    assert Run.resume(tmp_path / "run", registry).lock is None  # there is nothing left to hold
    assert (tmp_path / "run" / LOCK).stat().st_size == 0


def test_a_file_system_without_locks_trains_without_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    run = Run.start(tmp_path / "run", asked(), registry)
    assert run.lock is None
    with pytest.raises(UsageError, match="exists and is not empty"):  # nothing tells whether it lives
        Run.start(tmp_path / "run", asked(), registry)
    run.train()
    finish(run)


def test_a_run_that_has_trained_nothing_may_be_started_again_with_other_arguments(
    registry: Registry, tmp_path: Path
) -> None:
    Run.start(tmp_path / "run", asked(seed=1), registry).close()
    (tmp_path / "run" / ".run.json.x.part").write_text("left by a kill")
    run = Run.start(tmp_path / "run", asked(seed=2), registry)
    run.train()
    run.close()
    resumed = Run.resume(tmp_path / "run", registry)
    assert resumed.arguments.seed == 2 and resumed.finished
    resumed.close()
    with pytest.raises(UsageError, match="exists and is not empty"):  # now there is something to lose
        Run.start(tmp_path / "run", asked(seed=3), registry)
