"""Two real processes do what one does: the same steps, the same numbers, one release."""

import json
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.measuring import batches
from zoo_core.releases.release import read_release
from zoo_core.releases.run_folder import checkpoints
from zoo_core.training.opening import resume_run

pytestmark = pytest.mark.slow

WORK = Path(__file__).with_name("parallel_work.py")
work: dict[str, Any] = runpy.run_path(str(WORK), run_name="parallel_work")

TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--standalone")
# `--cpu` would start two processes by mpirun alone; without a GPU, the device is still the CPU.
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def launch(zoo_process: Callable[..., dict[str, Any]]) -> Launch:
    """Starts two processes of a script or a module."""

    def start(launcher: tuple[str, ...], *command: object) -> "subprocess.Popen[str]":
        options = zoo_process()
        options["args"] = [sys.executable, "-m", *launcher, *map(str, command)]
        options["env"] |= {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def done(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and talk."""
    try:
        _, err = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers
        _, err = process.communicate()
        pytest.fail(f"it hangs: {err}")
    return process.returncode, err


# What two processes train and measure.


@pytest.fixture(scope="session")
def by_two(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where two processes wrote what they found."""
    folder = tmp_path_factory.mktemp("by-two")
    code, err = done(launch(TORCHRUN, WORK, folder))
    assert code == 0, err
    return folder


@pytest.mark.parametrize("name", work["CASES"])
def test_two_processes_train_the_parameters_that_one_trains(name: str, by_two: Path, registry: Registry) -> None:
    expected = work["trained"](work["CASES"][name], registry)
    torch.testing.assert_close(load_file(by_two / f"{name}.safetensors"), expected, rtol=0, atol=1e-5)


def test_two_processes_measure_the_numbers_that_one_measures(
    by_two: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 10)  # it is patched back to what it was
    expected, found = work["measured"](registry), json.loads((by_two / "numbers.json").read_text())
    assert found.keys() == expected.keys()
    for name, (value, stderr, n) in expected.items():
        assert found[name] == [pytest.approx(value, rel=1e-9), stderr and pytest.approx(stderr, rel=1e-9), n], name
    assert [found[f"each of {split}"][2] for split in ("test, None", "validation, None", "test, 5")] == [130, 25, 5]


@pytest.mark.parametrize("model", work["RUNS"])
def test_a_run_of_two_processes_that_was_resumed_ends_with_the_same_bytes(model: str, by_two: Path) -> None:
    """Each with its own pool, dropout and batches for its running statistics."""
    whole, resumed = by_two / f"{model}-whole", by_two / f"{model}-resumed"
    for name in ("model.safetensors", "training.safetensors"):
        path, other = checkpoints(whole)[-1] / name, checkpoints(resumed)[-1] / name
        assert path.read_bytes() == other.read_bytes(), name
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    assert (whole / "curve.json").read_text() == (resumed / "curve.json").read_text()
    if model == "system-cyclegan":
        pools = load_file(checkpoints(whole)[-1] / "training.safetensors")
        assert not torch.equal(pools["training/0/a"], pools["training/1/a"])


def test_a_pool_of_two_processes_is_not_resumed_by_one(by_two: Path, registry: Registry, tmp_path: Path) -> None:
    run = shutil.copytree(by_two / "system-cyclegan-resumed", tmp_path / "run")
    with pytest.raises(UsageError, match="begun by 2 processes, and here are 1"):
        resume_run(run, registry)
    resume_run(by_two / "system-averaged-resumed", registry)  # nothing of its own in each process


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc, which Linux alone has")
def test_no_thread_of_the_process_group_outlives_python(by_two: Path) -> None:
    """Such a thread may ask for the interpreter while it ends: "terminate called without an active exception"."""
    for rank in range(2):
        names = json.loads((by_two / f"threads-{rank}.json").read_text())
        assert not [name for name in names if "gloo" in name]


# The command line.

EPOCHS = 40
COMMAND = ("-m", "zoo_core.cli.main", "train", "toy", "--data", "toy-bits", "--batch", 7, "--device", "cpu")


@pytest.fixture(scope="session")
def whole_run(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two processes from beginning to end, and its talk."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, err = done(launch(TORCHRUN, *COMMAND, "--epochs", EPOCHS, "-o", folder))
    assert code == 0, err
    return folder, err


def test_zoo_train_in_two_processes_writes_one_release(
    whole_run: tuple[Path, str], registry: Registry, tmp_path: Path
) -> None:
    folder, talk = whole_run
    assert talk.count("is a release") == 1 and talk.count(f"epoch {EPOCHS}:") == 1
    assert read_release(folder).training["processes"] == 2
    alone = zoo_core.train("toy", data="toy-bits", epochs=3, batch=7, output=tmp_path / "alone", registry=registry)
    first = read_release(folder).training["curve"][:3]
    for row, expected in zip(first, alone.curve, strict=True):
        assert row["step"] == expected["step"]
        assert row["train"]["loss"] == pytest.approx(expected["train"]["loss"], rel=1e-6)
        assert row["validation"]["nll"] == pytest.approx(expected["validation"]["nll"], rel=1e-6)
    zoo_core.load(str(folder), registry=registry)  # whole, and its golden test holds


def test_sigterm_to_the_launcher_leaves_a_checkpoint_that_resumes(
    launch: Launch, whole_run: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = launch(TORCHRUN, *COMMAND, "--epochs", EPOCHS, "-o", folder)
    wait_for(lambda: len(checkpoints(folder)) > 0, process)
    process.send_signal(signal.SIGTERM)
    code, err = done(process)
    assert code != 0 and not (folder / "config.json").exists(), err
    (stopped,) = checkpoints(folder)
    state = json.loads((stopped / "state.json").read_text())
    assert state["loop"]["step"] == int(stopped.stem.removeprefix("checkpoint-")) and "zoo train --resume" in err
    code, err = done(launch(TORCHRUN, "-m", "zoo_core.cli.main", "train", "--resume", folder))
    assert code == 0, err
    assert (folder / "model.safetensors").read_bytes() == (whole_run[0] / "model.safetensors").read_bytes()


def test_accelerate_launch_does_the_same(launch: Launch, whole_run: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, err = done(launch(ACCELERATE, *COMMAND, "--epochs", 3, "-o", folder))
    assert code == 0, err
    assert read_release(folder).training["processes"] == 2
    assert read_release(folder).training["curve"] == read_release(whole_run[0]).training["curve"][:3]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.01)
