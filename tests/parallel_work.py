"""What test_processes.py lets one process do, and two, and compares.

python -m torch.distributed.run --nproc-per-node 2 --standalone parallel_work.py FOLDER
"""

import atexit
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import zoo_core
from zoo_core.discovery.loader import load_plugins
from zoo_core.discovery.registry import Registry
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.measuring import batches, evaluation
from zoo_core.processes import Processes
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.tensors import save_tensors
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.loop import Loop
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.training.selection import MeanLoss


class Case(NamedTuple):
    """A training of which the result must not depend on the number of processes. A train split holds 60 examples."""

    model: str
    data: str
    batch: int
    accumulate: int = 1
    steps: int = 50
    config: Mapping[str, Any] = {}
    dtype: torch.dtype = torch.float32


CASES = {
    "even": Case("toy", "toy-bits", 8),
    "uneven": Case("toy", "toy-bits", 7),
    "last batch of one": Case("toy", "toy-bits", 59),
    "one example a step": Case("toy", "toy-bits", 1),
    "micro-batches": Case("toy", "toy-bits", 7, accumulate=3),
    "gan": Case("toy-gan", "toy-grey", 7),
    "gan, last batch of one": Case("toy-gan", "toy-grey", 59),
    "gan, micro-batches": Case("toy-gan", "toy-grey", 7, accumulate=2),
    "words": Case("system-words", "system-sentences", 7),
    "words, last batch of one": Case("system-words", "system-sentences", 59),
    "boxes": Case("system-boxes", "system-boxes", 7),
    "autoencoder": Case("system-aae", "toy-grey", 7, steps=20),
    "stages": Case("system-staged", "toy-grey", 7),
    "gradient penalty": Case("system-wgan", "toy-grey", 7, steps=20),
    "play": Case("system-player", "none", 7),
    "own samples": Case("system-whitening", "none", 7),
    "l-bfgs": Case("system-lbfgs", "toy-grey", 7, steps=10, config={"dropout": 0.0}, dtype=torch.float64),
}


def trained(case: Case, registry: Registry) -> dict[str, Tensor]:
    """The parameters after so many steps of the case."""
    processes = Processes("cpu")
    torch.manual_seed(processes.rank)  # fresh weights are those of the main process
    torch.set_default_dtype(case.dtype)
    model = zoo_core.create(case.model, registry=registry, config=case.config)
    loop = Loop(
        model,
        registry.open_dataset(case.data),
        seed=0,
        steps=case.steps,
        batch=case.batch,
        accumulate=case.accumulate,
        processes=processes,
    )
    for _ in range(case.steps):
        loop.step()
    torch.set_default_dtype(torch.float32)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


class EachExample(Metric):
    """Which examples were seen: the sum of each one's values times powers of two."""

    requires = "Density"

    def __init__(self) -> None:
        self.seen: list[float] = []

    def update(self, model: Model, batch: Mapping[str, Tensor]) -> None:
        self.seen += (batch["image"].flatten(1).double() @ (2.0 ** torch.arange(16).double())).tolist()

    def merge(self, other: "EachExample") -> None:
        self.seen += other.seen

    def compute(self) -> Measurement:
        checksum = sum(number * seen for number, seen in enumerate(sorted(self.seen), 1))
        return Measurement(value=checksum, stderr=None, n=len(self.seen))


def measured(registry: Registry) -> dict[str, tuple[float, float | None, int]]:
    """Numbers on splits that do not divide evenly into batches, nor those among processes."""
    batches.BATCH = 10
    found = {}
    torch.manual_seed(0)
    bits, words = (zoo_core.create(name, registry=registry) for name in ("toy", "system-words"))
    for split, limit in (("test", None), ("validation", None), ("test", 25), ("test", 5)):
        metrics: dict[str, Metric] = {name: registry.new_metric(name) for name in ("nll", "bits_per_dim")}
        metrics["each"] = EachExample()
        data = registry.open_dataset("toy-bits")
        for name, metric in evaluation.measure(bits, data, split, metrics, limit=limit).items():
            found[f"{name} of {split}, {limit}"] = (metric.value, metric.stderr, metric.n)
    data = registry.open_dataset("system-sentences")
    (loss,) = evaluation.measure(words, data, "validation", {"loss": MeanLoss()}).values()
    return found | {"loss of words": (loss.value, loss.stderr, loss.n)}


class StopAt(Observer):
    """One process alone is asked to stop: all must do so after the same step."""

    def __init__(self, run: Run, step: int) -> None:
        self.run, self.step = run, step

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        if self.run.loop.step_number == self.step - 1:
            self.run.loop.requests["stop"] = self.run.processes.rank == self.run.processes.count - 1


RUNS = {"system-cyclegan": 6, "system-averaged": 3, "system-lbfgs": 6, "system-calibrated": 2}  # model: stop at step


def run_and_resume(model: str, stop: int, folder: Path, registry: Registry) -> None:
    """The run of a model, whole and resumed, each into a folder."""
    asked = RunArguments(model=model, data="toy-grey", epochs=2, batch=15)
    whole = start_run(folder / f"{model}-whole", asked, registry)
    whole.train()
    finish(whole)
    part = start_run(folder / f"{model}-resumed", asked, registry)
    try:
        part.train(StopAt(part, stop))
    except Interrupted:
        assert part.loop.step_number == stop
    else:
        raise AssertionError("it did not stop")
    torch.manual_seed(part.processes.rank + 5)
    again = resume_run(part.folder, registry)
    assert again.loop.step_number == stop
    again.train()
    finish(again)


def main(folder: Path) -> None:
    """All of it; the main process writes down what it found."""
    torch.set_num_threads(1)
    registry, processes = Registry(load_plugins()), Processes("cpu")
    for name, case in CASES.items():
        parameters = trained(case, registry)
        for rank, other in enumerate(processes.gather(parameters)):
            assert all(torch.equal(other[key], value) for key, value in parameters.items()), (name, rank)
        if processes.is_main:
            save_tensors(parameters, folder / f"{name}.safetensors")
    numbers = measured(registry)
    assert all(other == numbers for other in processes.gather(numbers))
    for model, stop in RUNS.items():
        run_and_resume(model, stop, folder, registry)
    if processes.is_main:
        (folder / "numbers.json").write_text(json.dumps(numbers))
    processes.wait()


def write_threads(folder: Path) -> None:
    """Which threads there are at the very end, beside the main one."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended since it was listed
            names.append((thread / "comm").read_text().strip())
    (folder / f"threads-{os.environ['RANK']}.json").write_text(json.dumps(names))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    atexit.register(write_threads, folder)  # the first to be registered is the last to be called
    main(folder)
