"""A run that has not ended, as a model: with the weights of the best epoch so far, or else the last ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zoo_core.discovery.hookspecs import API
from zoo_core.discovery.registry import NO_DATA, Registry
from zoo_core.errors import WeightsError
from zoo_core.releases.licence import Licence, code_licence
from zoo_core.releases.release import CONFIG, MODEL, Maker, ReleaseConfig
from zoo_core.releases.run_folder import AVERAGE, BEST, RUN, STATE, TRAINING, checkpoints, is_held, place_of, read_run
from zoo_core.releases.tensors import read_header

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Unfinished(NamedTuple):
    """A run without a release.

    Attributes:
        release: what its release would say, as far as that is known; it lists no files and no numbers.
        where: how far training has come, a sentence without its full stop.
        weights: which weights can be had now, a phrase.
        go_on: what to do.
    """

    release: ReleaseConfig
    where: str
    weights: str
    go_on: str

    def __str__(self) -> str:
        return f"{self.where}: these are {self.weights}. {self.go_on}"


def is_unfinished(folder: Path) -> bool:
    """Whether the folder is that of a run that is not a release yet."""
    return (folder / RUN).exists() and not (folder / CONFIG).exists()


def read_unfinished(folder: Path, registry: Registry) -> Unfinished:
    """The state of the run in `folder`. It does not import torch.

    Raises:
        UsageError: its model or data set is not installed.
        WeightsError: it has no checkpoint yet, or a damaged one.
    """
    record = read_run(folder)
    arguments, registration = record.arguments, registry.model(record.arguments.model)
    live = is_held(folder)
    go_on = "It goes on training." if live else f"Go on with: zoo train --resume {folder}"
    state, dtype = _from_last_checkpoint(folder, go_on, _look)
    step, part, best = state["loop"]["step"], state.get("part_done"), state["best_row"]
    done = f"step {step}" if part is None else f"step {step}, {part:.1%} of the run"
    release = ReleaseConfig(
        zoo=Maker(
            api=API,
            model=registration.spec.name,
            plugin=registration.plugin.distribution,
            plugin_version=registration.plugin.version,
        ),
        config=record.config,
        input=arguments.input if record.input is None else record.input,
        dtype=dtype,
        summary=arguments.summary or f"{registration.spec.summary}; in training",
        licence=Licence(
            code=code_licence(registration.plugin.distribution),
            weights=arguments.licence,
            data="NONE" if arguments.data == NO_DATA else registry.dataset(arguments.data).spec.licence,
        ),
        recipe=arguments,
        training={
            "data": arguments.data,
            "data_sha256": record.data_sha256,
            **record.method,
            "epochs": None if (epochs := state.get("epochs")) is None else round(epochs, 4),
            "steps": step,
            "seed": arguments.seed,
            "device": record.device,
            "best_epoch": best["epoch"] if best else None,
            "best_step": best["step"] if best else None,
            "wall_seconds": round(state["seconds"]),
            "curve": state["curve"],
        },
        dependencies=record.dependencies,
        ancestors=record.ancestors,
        files={},
    )
    return Unfinished(
        release,
        where=f"'{folder}' is being trained ({done})" if live else f"training of '{folder}' was interrupted ({done})",
        weights=f"the weights of {place_of(best)}, the best so far" if best else "the weights of that step",
        go_on=go_on,
    )


def unfinished_weights(folder: Path) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Every tensor of the model, averaged where the model has an average, and the artifacts; raises as
    `read_unfinished`."""
    from safetensors.torch import load_file

    def read(checkpoint: Path) -> "tuple[dict[str, Tensor], dict[str, Any]]":
        state = json.loads((checkpoint / STATE).read_text())
        if (checkpoint / BEST).exists():
            return load_file(checkpoint / BEST), state.get("best_artifacts", {})
        averages = {
            name.removeprefix(AVERAGE): tensor
            for name, tensor in load_file(checkpoint / TRAINING).items()
            if name.startswith(AVERAGE)
        }
        return load_file(checkpoint / MODEL) | averages, state.get("artifacts", {})

    return _from_last_checkpoint(folder, f"Go on with: zoo train --resume {folder}", read)


def _look(checkpoint: Path) -> tuple[dict[str, Any], Any]:
    """The state, and the floating-point dtype of the weights."""
    dtypes = {info.dtype for info in read_header(checkpoint / MODEL).values() if "float" in info.dtype}
    return json.loads((checkpoint / STATE).read_text()), dtypes.pop() if dtypes else "float32"


def _from_last_checkpoint(folder: Path, go_on: str, read: Callable[[Path], T]) -> T:
    """What `read` finds in the last checkpoint; a run that goes on may replace it meanwhile, and the next one tells."""
    from safetensors import SafetensorError

    while True:
        found = checkpoints(folder)
        if not found:
            raise WeightsError(f"'{folder}' has no weights yet: training has written no checkpoint", go_on)
        try:
            return read(found[-1])
        except (OSError, ValueError, KeyError, SafetensorError, WeightsError) as error:
            if checkpoints(folder)[-1:] == found[-1:]:
                raise WeightsError(f"checkpoint '{found[-1]}' cannot be read: {error}") from None
