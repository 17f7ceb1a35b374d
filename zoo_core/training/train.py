"""`train`: the whole way from a model's name to a release in a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core.discovery.registry import NO_DATA, Registry, default_registry
from zoo_core.errors import UsageError
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import ReleaseConfig
from zoo_core.torch_state import keeps_torch_state
from zoo_core.training.finishing import finish
from zoo_core.training.observer import Observer
from zoo_core.training.run import Run
from zoo_core.training.starting import model_of


@keeps_torch_state
def train(
    model: str | None = None,
    *,
    data: str = NO_DATA,
    output: str | Path,
    start: str | Path | None = None,
    head: bool = False,
    freeze: Sequence[str] = (),
    epochs: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    input: Sequence[Mapping[str, Any]] = (),
    batch: int | None = None,
    lr: float | None = None,
    device: str = "cpu",
    data_file: Path | None = None,
    registry: Registry | None = None,
    observer: Observer | None = None,
    **more: Any,
) -> ReleaseConfig:
    """Train a model and make `output` its release.

    Args:
        model: a model's name; with `start` it may be left out.
        data: a data set's name, or folder:PATH; it has a "train" split, and the best epoch is chosen on "validation".
            By default none, for a model that needs none.
        output: a folder that does not exist yet.
        start: a release whose weights, config, preprocessing and artifacts training starts from; as for `load`.
        head: replace its head by a fresh one, for the classes of the data.
        freeze: glob patterns of parameters that keep their values, such as "features.*"; never those of a fresh head.
        epochs, steps: passes over the train split, or steps; one of the two.
        config: Config values that overrule the preset and what the data decides.
        input: preprocessing steps, as in config.json.
        batch, lr: overrule the model's own.
        device: "auto" is a GPU if there is one; of many processes (torchrun, accelerate launch), each takes its own.
        more: the other fields of `RunArguments`.
    """
    registry = registry or default_registry()
    if model is None:
        if start is None:
            raise UsageError("nothing to train: neither a model nor weights to start from", "Give model= or start=.")
        model = model_of(str(start), registry)
    arguments = RunArguments(
        model=model,
        start=None if start is None else str(start),
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
    run = Run.start(Path(output), arguments, registry, data_file=data_file, device=device)
    run.train(observer)
    return finish(run, observer)
