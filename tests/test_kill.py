"""A run that is killed, at any moment and as often as one likes, ends with the bytes of one that was left alone."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from zoo_core.discovery.registry import Registry
from zoo_core.hub.atomic import write_atomically
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.run_folder import checkpoints
from zoo_core.training.finishing import finish
from zoo_core.training.opening import resume_run, start_run

pytestmark = pytest.mark.slow

# `zoo`, but with a checkpoint after every step, and each a little slower so that a kill meets one at work.
DRIVER = """
import os, shutil, signal, sys
import zoo_core.releases.run_folder as checkpoint
import zoo_core.training.run as run
from zoo_core.cli.main import main

run.CHECKPOINT_SECONDS = 0.0
{more}
main(sys.argv[1:])
"""
KILL_ME = "os.kill(os.getpid(), signal.SIGKILL)"

TRAIN = ("train", "system-averaged", "--data", "toy-grey", "--batch", 8, "--epochs", 24, "--device", "cpu")
STEPS = 8 * 24
Zoo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def start(zoo_process: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Starts `zoo` with checkpoints after every step, and with more code before it if there is any."""

    def driven(*arguments: object, more: str = "") -> "subprocess.Popen[str]":
        driver = tmp_path_factory.mktemp("driver") / "driver.py"
        driver.write_text(DRIVER.format(more=more))
        options = zoo_process(*arguments)
        python, _, _, *words = options["args"]  # instead of -m zoo_core.cli.main
        options["args"] = [python, str(driver), *words]
        return subprocess.Popen(**options, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return driven


def done(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and talk."""
    _, err = process.communicate(timeout=120)
    return process.returncode, err


@pytest.fixture(scope="session")
def left_alone(start: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of the run that nobody kills."""
    folder = tmp_path_factory.mktemp("left-alone") / "run"
    code, err = done(start(*TRAIN, "-o", folder))
    assert code == 0, err
    return folder


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.005)


def step_of(folder: Path) -> int:
    """The step of the last checkpoint; -1 before the first."""
    found = checkpoints(folder)
    return int(found[-1].stem.removeprefix("checkpoint-")) if found else -1


def reached(folder: Path, step: int) -> bool:
    """Whether there is a checkpoint of that step or a later one."""
    return step_of(folder) >= step


def bring_to_its_end(folder: Path, registry: Registry) -> None:
    """Resume a run, in this process, and bring it to its end."""
    run = resume_run(folder, registry)
    run.train()
    finish(run)


def same_release(folder: Path, other: Path) -> bool:
    """Whether two runs ended with the same weights, byte for byte, and the same curve."""
    return all(
        (folder / name).read_bytes() == (other / name).read_bytes() for name in ("model.safetensors", "curve.json")
    )


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    start: Zoo, left_alone: Path, tmp_path: Path
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # pytest shows it if the test fails
    chance, folder, steps = random.Random(seed), tmp_path / "run", []
    process = start(*TRAIN, "-o", folder)
    for kill in range(3):
        further = max(steps, default=0) + chance.randrange(1, STEPS // 6)  # so that it dies before its end
        wait_for(partial(reached, folder, further), process)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        assert done(process)[0] == -signal.SIGKILL
        steps.append(step_of(folder))
        print(f"kill {kill} after step {steps[-1]}: {sorted(path.name for path in folder.iterdir())}")
        process = start("train", "--resume", folder)
    code, err = done(process)
    assert code == 0, err
    assert 0 < steps[0] <= steps[-1] < STEPS and steps == sorted(steps)
    assert same_release(folder, left_alone)
    assert not list(folder.glob(".checkpoint-*"))


def test_a_run_that_learns_from_play_is_killed_and_ends_with_the_same_bytes(
    start: Zoo, registry: Registry, tmp_path: Path
) -> None:
    """After the moves of a step, and before the batch that is drawn from them was learned from."""
    train = ("train", "system-player", "--steps", 24, "--batch", 8, "--device", "cpu")
    more = f"""
import zoo_toy.play
play = zoo_toy.play.ReplayBuffer.play
def dying(self, *arguments):
    play(self, *arguments)
    if self.count == 4 * 13: {KILL_ME}
zoo_toy.play.ReplayBuffer.play = dying
"""
    assert done(start(*train, "-o", tmp_path / "killed", more=more))[0] == -signal.SIGKILL
    assert step_of(tmp_path / "killed") == 12
    bring_to_its_end(tmp_path / "killed", registry)
    code, err = done(start(*train, "-o", tmp_path / "whole"))
    assert code == 0, err
    assert same_release(tmp_path / "killed", tmp_path / "whole")


def test_what_a_kill_left_half_written_is_gone_when_the_run_ends(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = RunArguments(model="toy", data="toy-bits", epochs=1)
    run = start_run(tmp_path / "run", asked, registry)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process removes nothing
        patch.setattr("zoo_core.hub.atomic.os.fsync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_atomically(run.folder / "curve.json", "[]")
    assert list(run.folder.glob(".curve.json*"))
    run.close()  # as the end of its process does
    bring_to_its_end(run.folder, registry)
    assert not list(run.folder.glob(".*"))


def test_a_run_that_is_killed_before_its_first_checkpoint_begins_again(
    start: Zoo, left_alone: Path, registry: Registry, tmp_path: Path
) -> None:
    more = f"run.Run.train = lambda self, observer=None: {KILL_ME}"
    assert done(start(*TRAIN, "-o", tmp_path / "run", more=more))[0] == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "run.lock"]
    bring_to_its_end(tmp_path / "run", registry)
    assert same_release(tmp_path / "run", left_alone)


@pytest.mark.parametrize("ask", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_checkpoint_of_the_step_where_it_stopped(
    ask: signal.Signals, start: Zoo, left_alone: Path, registry: Registry, tmp_path: Path
) -> None:
    """With the usual time between checkpoints, so that the last one is the one that the signal asked for."""
    more = f"""
run.CHECKPOINT_SECONDS = 1e9
step = run.Loop.step
def noted(loop):
    report = step(loop)
    open({str(tmp_path / "steps")!r}, "a").write(f"{{loop.step_number}}\\n")
    return report
run.Loop.step = noted
"""
    folder = tmp_path / "run"
    process = start(*TRAIN, "-o", folder, more=more)
    wait_for(partial(reached, folder, 16), process)
    process.send_signal(ask)
    code, err = done(process)
    assert code == 130 and f"zoo train --resume {folder}" in err and "Traceback" not in err
    taken = [int(line) for line in (tmp_path / "steps").read_text().split()]
    assert taken == list(range(1, taken[-1] + 1)) and step_of(folder) == taken[-1] < STEPS
    state = json.loads((checkpoints(folder)[-1] / "state.json").read_text())
    assert state["loop"]["step"] == taken[-1]
    bring_to_its_end(folder, registry)
    assert same_release(folder, left_alone)


# In the middle of a checkpoint. Each kills the process at the 19th one or later: two epochs have passed.

DYING = {
    "before its first file": f"""
save, count = checkpoint.save_tensors, []
def dying(tensors, path):
    count.append(path)
    if path.stem == "model" and len(count) > 60: {KILL_ME}
    save(tensors, path)
checkpoint.save_tensors = dying
""",
    "after half of a file": f"""
save, count = checkpoint.save_tensors, []
def dying(tensors, path):
    count.append(path)
    save(tensors, path)
    if path.stem == "training" and len(count) > 60:
        os.truncate(path, path.stat().st_size // 2)
        {KILL_ME}
checkpoint.save_tensors = dying
""",
    "before it has its name": f"""
rename, count = os.rename, []
def dying(old, new):
    count.append(new)
    if len(count) > 20: {KILL_ME}
    rename(old, new)
checkpoint.os.rename = dying
""",
    "while the older one is removed": f"""
rmtree, count = shutil.rmtree, []
def dying(path, **options):
    count.append(path)
    if len(count) > 40 and not str(path).endswith(".part"):
        (path / "state.json").unlink()
        {KILL_ME}
    rmtree(path, **options)
checkpoint.shutil.rmtree = dying
""",
    "while the older one of the same step is removed": f"""
# after an epoch's last step there is one already when the epoch's validation brings a second one
rmtree = shutil.rmtree
def dying(path, **options):
    last = checkpoint.checkpoints(path.parent)[-1]
    if last.stem == path.stem != "checkpoint-00000008":
        (path / "state.json").unlink()
        {KILL_ME}
    rmtree(path, **options)
checkpoint.shutil.rmtree = dying
""",
}


@pytest.mark.parametrize("moment", DYING)
def test_a_kill_in_the_middle_of_a_checkpoint_leaves_one_that_can_be_resumed(
    moment: str, start: Zoo, left_alone: Path, registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert done(start(*TRAIN, "-o", folder, more=DYING[moment]))[0] == -signal.SIGKILL
    assert step_of(folder) > 8
    for file in checkpoints(folder)[-1].glob("*.safetensors"):
        assert load_file(file)
    bring_to_its_end(folder, registry)
    assert same_release(folder, left_alone)
