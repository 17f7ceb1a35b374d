"""`reproduce`: train again by the recipe that a release records, and compare the numbers."""

import math
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

import msgspec

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import NotComparable, UsageError
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.record import Record
from zoo_core.measuring.batches import BATCH
from zoo_core.measuring.evaluation import recorded_metrics
from zoo_core.processes import Processes
from zoo_core.releases.recipe import RunArguments, read_command
from zoo_core.releases.release import MetricEntry, ReleaseConfig, read_release
from zoo_core.releases.run_folder import RUN
from zoo_core.torch_state import keeps_torch_state
from zoo_core.training.few_examples import for_run
from zoo_core.training.finishing import finish
from zoo_core.training.from_weights import locate_parent
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import Located, locate

ESTIMATE_SECONDS = 5.0
FAR = 3.0  # standard errors between two means that are taken to differ

Verdict = Literal["same", "agrees", "differs", "spread unknown"]


class Estimate(Record, kw_only=True):
    """How long a recipe took, and how long it would take here; in seconds for one seed.

    Attributes:
        recipe: the command.
        recorded: how long the recorded run took; None if that is not known.
        recorded_device: the device of the recorded run; None if that is not known.
        here: how long it would take here.
        device: the device that was timed.
        steps: how many steps the run has.
    """

    recipe: str
    recorded: float | None
    recorded_device: str | None
    here: float
    device: str
    steps: int


class Reproduced(Record, kw_only=True):
    """A recorded number beside those of new runs.

    Attributes:
        recorded: the recorded number.
        values: the number of each new run.
        seeds: the seed of each new run.
        mean: the mean of `values`.
        std: the standard deviation of `values`; None for a single run.
        verdict: "same": the run with the recorded seed is within the tolerance of measuring twice. "agrees" or
            "differs": compared by the spread between seeds. "spread unknown": neither the record nor the new runs show
            that spread.
    """

    recorded: MetricEntry
    values: list[float]
    seeds: list[int]
    mean: float
    std: float | None
    verdict: Verdict


@keeps_torch_state
def reproduce(
    reference: str,
    *,
    seeds: int = 1,
    output: str | Path | None = None,
    data_file: Path | None = None,
    device: str = "auto",
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    run_one: Callable[[Run], ReleaseConfig] | None = None,
) -> list[Reproduced]:
    """Train a release again by its recorded recipe, and compare the numbers.

    Args:
        reference: as for `load`.
        seeds: how many runs: the first has the recorded seed, and the others those that follow it.
        output: a folder that keeps the runs, so that an interrupted reproduction can go on; by default none does.
        data_file: the user's own file, for a data set that takes one.
        device: where to train; "auto" is a GPU if there is one.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.
        run_one: a function that trains a run and returns its release; by default without showing progress.

    Returns:
        Each recorded number beside those of the new runs.

    Raises:
        UsageError: the release has no recipe of `zoo train`.
        WeightsError: the release that its training started from is missing, or is another one now.
        NotComparable: it records no numbers, or the data here are not those that it was trained on.
    """
    registry = registry or default_registry()
    located = locate(reference, registry, manifest)
    arguments = recipe_of(located)
    if not recorded_metrics(located):
        raise NotComparable(f"'{located.name}' records no numbers to compare with")
    if (parent := _made_with(located)["parent"]) is not None:
        locate_parent(parent.reference, registry, parent)  # before anything else: without it there is no way
    _check_data(located, for_run(registry.open_dataset(arguments.data, data_file), arguments))
    releases = []
    with tempfile.TemporaryDirectory() if output is None else nullcontext(output) as folder:
        for seed in range(arguments.seed, arguments.seed + seeds):
            place = Path(folder) / f"seed-{seed}"
            if (place / RUN).exists():
                run = resume_run(place, registry)
            else:
                asked = msgspec.structs.replace(arguments, seed=seed)
                run = start_run(place, asked, registry, data_file=data_file, device=device, **_made_with(located))
            releases.append((run_one or _run_silently)(run))
    found = []
    for recorded in recorded_metrics(located):
        values = [
            entry.value
            for release in releases
            for entry in release.metrics
            if entry.metric == recorded.metric and entry.protocol == recorded.protocol
        ]
        if len(values) == seeds:
            found.append(verdict_of(recorded, values, list(range(arguments.seed, arguments.seed + seeds))))
    if not found:
        raise NotComparable(f"the runs were measured by other protocols than '{reference}'")
    return found


def verdict_of(recorded: MetricEntry, values: list[float], seeds: list[int]) -> Reproduced:
    """Compare numbers of new runs, the first with the recorded seed, with the recorded one."""
    spread = stdev(values) if len(values) > 1 else None
    verdict: Verdict
    if abs(values[0] - recorded.value) <= recorded.tolerance:
        verdict = "same"
    elif recorded.reproduce is not None and recorded.reproduce.std > 0:
        far = _distance(
            mean(values), len(values), recorded.reproduce.mean, recorded.reproduce.seeds, recorded.reproduce.std
        )
        verdict = "agrees" if far <= FAR else "differs"
    elif spread:
        far = _distance(mean(values), len(values), recorded.value, 1, spread)
        verdict = "agrees" if far <= FAR else "differs"
    else:
        verdict = "spread unknown"
    return Reproduced(recorded=recorded, values=values, seeds=seeds, mean=mean(values), std=spread, verdict=verdict)


def _distance(ours: float, n: int, theirs: float, m: int, std: float) -> float:
    """Between two means over n and m seeds, in standard errors of their difference."""
    return abs(ours - theirs) / (std * math.sqrt(1 / n + 1 / m))


@keeps_torch_state
def estimate(
    reference: str,
    *,
    data_file: Path | None = None,
    device: str = "auto",
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> Estimate:
    """How long the recipe of a release took, and how long it would take here. Some steps and a batch of validation are
    timed for this.

    Args:
        reference: as for `load`.
        data_file: the user's own file, for a data set that takes one.
        device: where to train; "auto" is a GPU if there is one.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UsageError: the release has no recipe of `zoo train`.
        NotComparable: the data here are not those that it was trained on.
    """
    registry = registry or default_registry()
    located = locate(reference, registry, manifest)
    arguments, training = recipe_of(located), located.release.training
    data = for_run(registry.open_dataset(arguments.data, data_file), arguments)
    _check_data(located, data)
    run = Run(Path(), arguments, registry, data, Processes(device), **_made_with(located))
    run.loop.step()  # the first one is slower
    took, done = 0.0, 0
    began = time.perf_counter()
    while took < ESTIMATE_SECONDS and run.loop.progress < 1:
        run.loop.step()
        done, took = done + 1, time.perf_counter() - began
    per_step = took / max(done, 1)
    steps = training.get("steps") or arguments.steps or math.ceil((arguments.epochs or 1.0) * run.steps_a_row)
    validations = training.get("epochs") or steps / run.steps_a_row
    return Estimate(
        recipe=arguments.command(),
        recorded=training.get("wall_seconds"),
        recorded_device=training.get("device"),
        here=steps * per_step + validations * _validation_seconds(run),
        device=str(run.processes.device),
        steps=steps,
    )


def recipe_of(located: Located) -> RunArguments:
    """The arguments of the run that made a release.

    Raises:
        UsageError: it records no recipe, or one that is not `zoo train`.
    """
    recorded = located.release.recipe
    if isinstance(recorded, RunArguments):
        return recorded
    text = (located.pinned.entry.recipe if located.pinned else None) or recorded
    if text is None:
        raise UsageError(f"'{located.name}' records no recipe")
    arguments = read_command(text)
    precision = arguments.precision or located.release.training.get("precision")  # then it was the model's own
    return msgspec.structs.replace(arguments, precision=precision)


def _made_with(located: Located) -> dict[str, Any]:
    """The other releases that a release was made with, as `Run` takes them."""
    release = located.release
    parent = release.ancestors[0] if release.ancestors else None
    return {"dependencies": release.dependencies, "parent": parent}


def _check_data(located: Located, data: Dataset) -> None:
    for split, recorded in located.release.training.get("data_sha256", {}).items():
        if split in data.splits and (digest := data.data_sha256(split)) != recorded:
            raise NotComparable(
                f"'{located.name}' was trained on another '{data.name}': the {split} split differs",
                f"sha256 {digest}, not {recorded}",
            )


def _run_silently(run: Run) -> ReleaseConfig:
    if run.released:
        return read_release(run.folder)
    run.train()
    return finish(run)


def _validation_seconds(run: Run) -> float:
    if run.selection.metric is None:
        return 0.0
    began = time.perf_counter()
    run.validate(Observer(), limit=BATCH)
    return (time.perf_counter() - began) * run.data.size("validation") / BATCH
