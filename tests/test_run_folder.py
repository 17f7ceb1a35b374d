"""The folder of a run: one trainer at a time, a model to look at before training ends, and never a dead end."""

import errno
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnfinishedRun, UsageError, WeightsError, ZooError
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.run_folder import LOCK, RUN, checkpoints
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.training.study import Report, Study
from zoo_core.weights import unfinished

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
    for refused in (lambda: resume_run(folder, registry), lambda: start_run(folder, asked(), registry)):
        with pytest.raises(ZooError, match=BUSY):
            refused()
    assert live.poll() is None and (folder / RUN).read_bytes() == before  # it has not noticed
    live.kill()
    live.wait()
    assert live.returncode == -signal.SIGKILL
    again = resume_run(folder, registry)
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
            resume_run(one, registry)
        run.train()
        return finish(run)

    Report(tmp_path / "report", registry=registry, run_one=make_again).write("one", OneRun())
    assert resume_run(one, registry).lock is None


def test_a_run_is_free_when_it_ends_however_it_ends(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(tmp_path / "run", asked(), registry)
    with monkeypatch.context() as patch:
        patch.setattr(run.loop, "step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.train()
    again = resume_run(tmp_path / "run", registry)
    again.train()
    with pytest.raises(ZooError, match=BUSY):  # it is trained, and no release yet
        resume_run(tmp_path / "run", registry)
    finish(again)
    assert resume_run(tmp_path / "run", registry).lock is None  # there is nothing left to hold
    assert (tmp_path / "run" / LOCK).stat().st_size == 0


def test_a_file_system_without_locks_trains_without_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    run = start_run(tmp_path / "run", asked(), registry)
    assert run.lock is None
    with pytest.raises(UsageError, match="exists and is not empty"):  # nothing tells whether it lives
        start_run(tmp_path / "run", asked(), registry)
    run.train()
    finish(run)


def test_a_run_that_has_trained_nothing_may_be_started_again_with_other_arguments(
    registry: Registry, tmp_path: Path
) -> None:
    start_run(tmp_path / "run", asked(seed=1), registry).close()
    (tmp_path / "run" / ".run.json.x.part").write_text("left by a kill")
    run = start_run(tmp_path / "run", asked(seed=2), registry)
    run.train()
    run.close()
    resumed = resume_run(tmp_path / "run", registry)
    assert resumed.arguments.seed == 2 and resumed.finished
    resumed.close()
    with pytest.raises(UsageError, match="exists and is not empty"):  # now there is something to lose
        start_run(tmp_path / "run", asked(seed=3), registry)


class StopAfter(Observer):
    """Interrupts after some steps, as Ctrl-C does."""

    def __init__(self, run: Run, steps: int) -> None:
        self.run, self.steps = run, steps

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        if self.run.loop.step_number == self.steps:
            raise Interrupted


def interrupted(folder: Path, registry: Registry, at: int, **changes: Any) -> Run:
    run = start_run(folder, asked(**{"epochs": 5.0, **changes}), registry)
    with pytest.raises(Interrupted):
        run.train(StopAfter(run, at))
    return run


def test_an_interrupted_run_is_a_model_to_look_at(registry: Registry, tmp_path: Path) -> None:
    run = interrupted(tmp_path / "run", registry, 7, lr=0.5)  # within an epoch
    best = run.selection.weights
    assert best and not torch.equal(best["logit"], run.model.logit)  # the last step is another thing
    with pytest.warns(UnfinishedRun) as told:
        model = zoo_core.load(str(tmp_path / "run"), registry=registry)
    assert torch.equal(model.logit, best["logit"]) and not model.training
    text = str(told[0].message)
    assert run.selection.row is not None and "was interrupted (step 7, " in text
    assert f"these are the weights of epoch {run.selection.row['epoch']:g}, the best so far" in text
    assert f"zoo train --resume {tmp_path / 'run'}" in text and "\n" not in text
    assert model.load_report is not None and model.load_report.name == "toy"
    again = resume_run(tmp_path / "run", registry)  # looking changes nothing
    with pytest.warns(UnfinishedRun, match=r"is being trained \(step 7, .* It goes on training"):
        zoo_core.load(str(tmp_path / "run"), registry=registry)
    again.train()
    finish(again)
    assert zoo_core.load(str(tmp_path / "run"), registry=registry).load_report.source.endswith("run")  # no warning


def test_without_a_best_epoch_the_averaged_weights_of_the_last_step_are_taken(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_core.training.selection.Selection._chosen", lambda *_: None)
    run = interrupted(tmp_path / "run", registry, 5, model="system-averaged", data="toy-grey", batch=8)
    averages = run.loop.average.average
    assert averages and any(not torch.equal(run.model.get_parameter(name), averages[name]) for name in averages)
    with pytest.warns(UnfinishedRun, match="these are the weights of that step"):
        model = zoo_core.load(str(tmp_path / "run"), registry=registry)
    for name, tensor in model.state_dict().items():  # batch statistics are not averaged
        assert torch.equal(tensor, averages[name] if name in averages else run.model.state_dict()[name]), name


def test_tied_parameters_of_an_interrupted_run_are_tied_again(registry: Registry, tmp_path: Path) -> None:
    run = interrupted(tmp_path / "run", registry, 5, model="toy-classifier", data="toy-grey")
    with pytest.warns(UnfinishedRun):
        model = zoo_core.load(str(tmp_path / "run"), registry=registry)
    assert len(list(model.parameters())) == len(list(run.model.parameters()))


def test_a_checkpoint_that_is_replaced_while_it_is_read_gives_way_to_the_next(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path / "run", registry, 5)
    listings = [[tmp_path / "run" / "checkpoint-00000001"]]  # listed, and gone before it is opened

    def listed(folder: Path) -> list[Path]:
        return listings.pop() if listings else checkpoints(folder)

    monkeypatch.setattr(unfinished, "checkpoints", listed)
    assert unfinished.read_unfinished(tmp_path / "run", registry).release.training["steps"] == 5
    listings.append([tmp_path / "run" / "checkpoint-00000001"])
    assert "logit" in unfinished.unfinished_weights(tmp_path / "run")[0]


def test_a_run_without_weights_that_can_be_read_is_one_clear_line(registry: Registry, tmp_path: Path) -> None:
    start_run(tmp_path / "run", asked(epochs=5.0), registry).close()
    with pytest.raises(WeightsError, match="has no weights yet") as error:
        zoo_core.load(str(tmp_path / "run"), registry=registry)
    assert f"zoo train --resume {tmp_path / 'run'}" in str(error.value.hint)
    run = resume_run(tmp_path / "run", registry)
    with pytest.raises(Interrupted):
        run.train(StopAfter(run, 5))
    (checkpoint,) = checkpoints(tmp_path / "run")
    for file in checkpoint.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(WeightsError, match=r"checkpoint '.*00000005' cannot be read") as error:
        zoo_core.load(str(tmp_path / "run"), registry=registry)
    assert "\n" not in error.value.message


def test_commands_look_at_an_interrupted_run_and_publish_none(
    zoo: Callable[..., Any], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted(tmp_path / "runs" / "mine", registry, 5)
    note = "Note: training of 'runs/mine' was interrupted (step 5, "
    for words in (
        ("sample", "runs/mine", "-n", "4", "-o", "x.png"),
        ("eval", "runs/mine"),
        ("summary", "runs/mine"),
        ("load", "runs/mine"),
        ("info", "runs/mine"),
        ("compare", "runs/mine", "toy", "--data", "toy-bits"),
    ):
        code, out, err = zoo(*words)
        assert code == 0 and err.count(note) == 1 and note not in out, (words, err)
    code, out, _ = zoo("eval", "runs/mine")
    assert "toy-bits validation" in out and "toy-bits test" not in out  # nothing is chosen on the test split
    code, _, err = zoo("eval", "runs/mine", "--check")
    assert code == 3 and err.count("Error: 'runs/mine' records no numbers to compare with\n") == 1
    for words in (
        ("push", "runs/mine", (tmp_path / "hub").as_uri()),
        ("bundle", "runs/mine", "-o", "x.tar"),
        ("pull", "runs/mine"),
        ("reproduce", "runs/mine"),
    ):
        code, out, err = zoo(*words)
        assert (
            code == 1 and "Error: 'runs/mine' is not a release yet: training of" in err and "--resume runs/mine" in err
        )
    code, out, _ = zoo("verify", "runs/mine")
    assert code == 1 and "FAILED" in out and "is not a release yet" in out
    assert not (tmp_path / "x.tar").exists() and not (tmp_path / "hub").exists()


@pytest.mark.parametrize(("model", "loss"), [("toy", "negative log-likelihood"), ("toy-gan", "d, g")])
def test_an_interrupted_run_tells_its_loss_and_optimizers_as_its_release_does(
    model: str, loss: str, zoo: Callable[..., Any], registry: Registry, tmp_path: Path
) -> None:
    data = {"toy": "toy-bits", "toy-gan": "toy-grey"}[model]
    run = interrupted(tmp_path / "run", registry, 2, model=model, data=data, batch=8)
    run.close()

    def told() -> list[str]:
        return [line for line in zoo("info", tmp_path / "run").out.splitlines() if line.startswith(("loss", "optim"))]

    before = told()
    assert loss in before[0] and "batch 8" in before[1]
    again = resume_run(tmp_path / "run", registry)
    again.train()
    finish(again)
    assert told() == before


def test_a_loss_that_is_no_number_says_what_is_left(
    zoo: Callable[..., Any], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no checkpoint the same folder does again; with one its weights stand, and resuming is not advised."""
    model = registry.model_class(registry.model("toy"))
    loss, asks = model.loss, 0

    def worse(self: Any, batch: Any) -> Any:
        nonlocal asks
        asks += 1
        found = loss(self, batch)
        return found._replace(value=found.value * float("nan")) if asks > good else found

    monkeypatch.setattr(model, "loss", worse)
    train = ("train", "toy", "--data", "toy-bits", "--select", "nll", "--epochs", 3, "-o", tmp_path / "run", "--lr")
    good = 1  # of two steps an epoch
    code, _, err = zoo(*train, 0.1)
    assert code == 1 and "is nan" in err and "smaller --lr" in err
    assert "Nothing was saved yet" in err and "checkpoint" not in err and "stands" not in err
    code, _, err = zoo("train", "--resume", tmp_path / "run", "--lr", 0.01)
    assert code == 2 and "takes nothing else, and there is --lr" in err and "nothing was saved yet" in err
    asks, good = 0, 5
    code, _, err = zoo(*train, 0.01)  # in the same folder
    assert code == 1 and "keeps step 4, to look at: zoo info" in err and "Nothing was saved" not in err
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-00000004"]
    assert zoo("info", tmp_path / "run")[0] == 0
    code, _, err = zoo(*train, 0.001)
    assert code == 2 and "exists and is not empty" in err


def test_a_run_that_needs_no_data_is_a_model_to_look_at_too(registry: Registry, tmp_path: Path) -> None:
    interrupted(tmp_path / "run", registry, 9, model="system-player", data="none", epochs=None, steps=40)
    with pytest.warns(UnfinishedRun, match="interrupted \\(step 9, 22.5% of the run\\)"):
        zoo_core.load(str(tmp_path / "run"), registry=registry)
    found = zoo_core.info(str(tmp_path / "run"), registry=registry)
    assert found["licence"]["data"] == "NONE" and found["training"]["data"] == "none"
