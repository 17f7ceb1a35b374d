"""`train`: trains a model by its name, and writes a release into a folder."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zoo_core.discovery.registry import NO_DATA, Registry, default_registry, unknown
from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.progress import is_watched
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import MetricEntry, ReleaseConfig
from zoo_core.torch_state import keeps_torch_state
from zoo_core.training.finishing import finish
from zoo_core.training.from_weights import model_of
from zoo_core.training.observer import Observer
from zoo_core.training.opening import start_run
from zoo_core.training.progress import train_and_watch
from zoo_core.training.run import Run
from zoo_core.weights.loading import load


class Trained(NamedTuple):
    """A run that has ended.

    Attributes:
        model: the model of the best epoch, in eval mode, loaded from the release.
        release: what the release says about itself, with the measured numbers.
        folder: the folder of the release; its curve.png shows the curve.
        curve: a row for each epoch: {"epoch", "train": {name: value}, "validation": {name: value}}.
        best: the validation numbers of the best epoch.
    """

    model: AnyModel
    release: ReleaseConfig
    folder: Path
    curve: list[dict[str, Any]]
    best: Mapping[str, float]

    @classmethod
    def of(cls, run: Run, release: ReleaseConfig) -> "Trained":
        """The result of a run whose folder is a release."""
        best = run.selection.row or (run.curve[-1] if run.curve else {})
        model = load(f"folder:{run.folder}", device=str(run.processes.device), registry=run.registry)
        return cls(model, release, run.folder, run.curve, best.get("validation", {}))

    @property
    def metrics(self) -> list[MetricEntry]:
        """The numbers of the release, measured on the test split."""
        return self.release.metrics

    def __repr__(self) -> str:
        validation = [f"validation {name} {value:.4g}" for name, value in self.best.items()]
        numbers = "; ".join([entry.text() for entry in self.metrics] or validation)
        return f"<{self.release.zoo.model} in {self.folder}: {numbers}>"

    def _repr_html_(self) -> str:
        curve = self.folder / "curve.png"
        image = base64.b64encode(curve.read_bytes()).decode() if curve.exists() else ""
        return f"{escape(repr(self)[1:-1])}<br><img src='data:image/png;base64,{image}' alt='curve' width='560'>"


@keeps_torch_state
def train(
    model: str | None = None,
    *,
    data: str = NO_DATA,
    output: str | Path,
    start: str | None = None,
    head: bool = False,
    freeze: Sequence[str] = (),
    epochs: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    input: Sequence[Mapping[str, Any]] = (),
    batch: int | None = None,
    lr: float | None = None,
    device: str = "auto",
    data_file: Path | None = None,
    registry: Registry | None = None,
    progress: bool | None = None,
    log: str | Sequence[str] = (),
    observer: Observer | None = None,
    **more: Any,
) -> Trained:
    """Train a model, and write a release into the folder `output`.

        trained = zoo_core.train("nade", data="binarized-mnist", epochs=1, output="runs/mine")
        trained.model.sample(16)                 # [16, 1, 28, 28]

    An interrupted run is continued by `zoo train --resume OUTPUT`.

    Args:
        model: the name of a model; with `start` it may be left out.
        data: the name of a data set, or folder:PATH. It has a "train" split, and the best epoch is chosen on
            "validation". By default "none", for a model that needs no data.
        output: a folder that does not exist yet.
        start: a release whose weights, config, preprocessing and artifacts training starts from; as for `load`.
        head: whether its head is replaced by a fresh one, for the classes of the data.
        freeze: glob patterns of parameters that keep their values, such as "features.*"; never those of a fresh head.
        epochs: passes over the train split. Give either this or `steps`.
        steps: how many steps.
        seed: decides all random numbers.
        config: Config values, which replace the preset and what the data decide.
        input: preprocessing steps, as in config.json: [{"step": "binarize"}].
        batch: examples in a batch; by default as the model says.
        lr: the learning rate; by default as the model says.
        device: "auto" is a GPU if there is one. With several processes (torchrun, accelerate launch), each uses its
            own.
        data_file: the user's own file, for a data set that takes one.
        registry: the plugins; by default those that are installed.
        progress: whether to show a bar and a line for each epoch; by default in a terminal or a notebook.
        log: "csv" or "tensorboard", or both: further formats in which the curve is written into the folder.
        observer: an object that is told what happens; then nothing is shown.
        more: the other fields of `RunArguments`.

    Raises:
        UsageError: a wrong name, option or value, or `output` is not empty.
        ZooError: training cannot go on, for example because a loss is not a finite number.
    """
    registry = registry or default_registry()
    if model is None:
        if start is None:
            raise UsageError("nothing to train: neither a model nor weights to start from", "Give model= or start=.")
        model = model_of(start, registry)
    check_names(model, more, registry)
    arguments = RunArguments(
        model=model,
        start=start,
        head=head,
        freeze=list(freeze),
        data=data,
        epochs=epochs,
        steps=steps,
        seed=seed,
        config=dict(config or {}),
        input=[dict(step) for step in input],
        batch=batch,
        lr=lr,
        **more,
    )
    run = start_run(
        Path(output),
        arguments,
        registry,
        data_file=data_file,
        device=device,
        log=[log] if isinstance(log, str) else log,
    )
    if observer is None and (is_watched() if progress is None else progress):
        release = train_and_watch(run)
    else:
        run.train(observer)
        release = finish(run, observer)
    return Trained.of(run, release)


def check_names(model: str, arguments: Mapping[str, Any], registry: Registry) -> None:
    """Raise a UsageError unless each argument is a field of `RunArguments`."""
    known = [field.name for field in msgspec.structs.fields(RunArguments)]
    for name in arguments:
        if name in known:
            continue
        config = [field.name for field in msgspec.structs.fields(registry.model_class(registry.model(model)).Config)]
        if name in config:
            raise UsageError(f"'{name}' is a config value of {model}", f"Give it so: config={{'{name}': …}}.")
        raise unknown("argument", name, known)
