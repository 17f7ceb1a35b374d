"""The end of a training run: its best weights, fitted and measured, become the release in its folder."""

import platform
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zoo_core.discovery.registry import NO_DATA
from zoo_core.errors import MetricFailed, UsageError, ZooError
from zoo_core.interfaces.batches import Batch
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.model import Model
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.measuring.evaluation import entries, fitting_metrics
from zoo_core.pictures.looks import image_statistics
from zoo_core.pictures.plots import save_curve
from zoo_core.releases.artifacts import load_artifacts
from zoo_core.releases.licence import UNKNOWN, Licence, code_licence
from zoo_core.releases.release import MetricEntry, ReleaseConfig, read_release
from zoo_core.releases.writing import round_to, write_release
from zoo_core.training.from_weights import ancestors
from zoo_core.training.method import method_of
from zoo_core.training.observer import Observer
from zoo_core.training.run import Run


def finish(run: Run, observer: Observer | None = None) -> ReleaseConfig:
    """Make the folder of `run` a release with the weights of the best epoch, and measure it once on the test split."""
    try:
        return _released(run, observer or Observer())
    finally:
        run.close()


def _released(run: Run, observer: Observer) -> ReleaseConfig:
    arguments, model, spec = run.arguments, run.model, run.registration.spec
    _take_best_weights(run)
    model.eval()
    torch.manual_seed(arguments.seed)
    model.fit_posthoc(_Batches(model, run.data, arguments.eval_batch))
    storage = getattr(torch, arguments.storage) if arguments.storage else None
    if storage is not None:
        round_to(model, storage)  # what is measured is what is stored
    split = "test" if "test" in run.data.splits else run.data.splits[-1]
    metrics = _measured(run, split, observer) if arguments.test else []
    if not run.processes.is_main:
        run.processes.wait()
        return read_release(run.folder)
    save_curve(run.curve, run.folder / "curve.png", title=f"{arguments.model} on {run.data.name}")
    release = write_release(
        run.folder,
        model,
        run.registration,
        summary=arguments.summary or f"{spec.summary}; trained on {run.data.name}{_origin(run)}",
        licence=licence_of(run),
        example=_example(run, split),
        recipe=arguments,
        training=training_record(run),
        storage=storage,
        registry=run.registry,
        metrics=metrics,
        images=None if run.has_no_data else image_statistics(run.data, model.subject),
        ancestors=ancestors(run.parent, arguments),
    )
    run.processes.wait()
    return release


def _origin(run: Run) -> str:
    return "" if run.parent is None else f" from {run.parent.name}"


def licence_of(run: Run) -> Licence:
    """The licences of what a run makes. Weights that come of others have theirs, unless another one was asked for, and
    are made of both data."""
    code = code_licence(run.registration.plugin.distribution)
    weights = run.arguments.licence
    data = "NONE" if run.has_no_data else run.registry.dataset(run.arguments.data).spec.licence
    if run.parent is not None:
        theirs = run.parent.release.licence
        weights = theirs.weights if weights == UNKNOWN else weights
        data = _both(theirs.data, data)
    return Licence(code=code, weights=weights, data=data)


def _both(one: str, other: str) -> str:
    """The SPDX licence of what was made of both."""
    parts = [part for part in dict.fromkeys(f"{one} AND {other}".split(" AND ")) if part != "NONE"]
    return UNKNOWN if UNKNOWN in parts else " AND ".join(parts) or "NONE"


@torch.no_grad()
def _take_best_weights(run: Run) -> None:
    """Those of the best epoch, else the averaged ones, else the last ones."""
    if run.selection.weights:
        load_artifacts(run.model, run.selection.artifacts, str(run.folder))
        run.model.load_state_dict(run.selection.weights)
        return
    for name, parameter in run.loop.average.live.items():
        parameter.copy_(run.loop.average.average[name])


def _example(run: Run, split: str) -> Batch:
    """Four raw examples, of which the release records what the model says of them."""
    if run.has_no_data:
        return run.loop.next_batch(run.loop.main, 4, progress=1.0)
    return run.data.batch(split, torch.arange(min(4, run.data.size(split))))


def _measured(run: Run, split: str, observer: Observer) -> list[MetricEntry]:
    """Every number that can be had on the split: first the one that picked the epoch, those on request last."""
    requested, missing = run.arguments.metrics, dict[str, ZooError]()
    try:
        chosen = fitting_metrics(
            run.model, run.registry, data=run.data, recorded=requested, on_unmeasurable=missing.__setitem__
        )
    except UsageError:  # no metric fits this model
        chosen = {}
    measured, unmeasurable = run.measure(split, chosen, observer) if chosen else ({}, {})
    for name, why in (missing | unmeasurable).items():
        if run.processes.is_main and (name in requested or isinstance(why, MetricFailed)):
            observer.on_unmeasured(f"{why.message}. The release is without this number")
    found = entries(run.model, run.data, split, measured, run.registry)
    return sorted(found, key=lambda entry: (entry.metric != run.selection.metric, entry.metric in requested))


def training_record(run: Run) -> dict[str, Any]:
    """What `zoo info` tells of the training: the course's four questions, and what is needed to do it again."""
    loop = run.loop
    return {
        "data": NO_DATA if run.has_no_data else run.data.name,
        "data_sha256": run.digests(),
        **method_of(run),
        "epochs": loop.epochs_done,
        "steps": loop.step_number,
        "seed": run.arguments.seed,
        "best_epoch": run.selection.row["epoch"] if run.selection.row else None,
        "best_step": run.selection.row["step"] if run.selection.row else None,
        "select": run.selection.metric,
        "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
        "device": str(loop.device),
        "processes": run.processes.count,
        "wall_seconds": round(run.seconds),
        "curve": run.curve,
    }


class _Batches:
    """What `fit_posthoc` iterates over, as often as it likes."""

    def __init__(self, model: Model, data: Dataset, size: int | None) -> None:
        self.model, self.data, self.size = model, data, size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        split = self.model.posthoc_split
        return evaluation_batches(self.model, self.data, split, self.data.size(split), self.size)
