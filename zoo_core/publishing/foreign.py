"""Weights from elsewhere: a safetensors file of another library as a release of a zoo model.

zoo import resnet50 model.safetensors --names timm -o releases/resnet50
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError, WeightsError
from zoo_core.hub.atomic import check_new_folder
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.batches import Batch
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.random_batch import random_batch
from zoo_core.releases.licence import UNKNOWN, Licence, check_licence, code_licence
from zoo_core.releases.release import ReleaseConfig
from zoo_core.releases.tensors import TensorInfo, read_header
from zoo_core.releases.writing import write_release
from zoo_core.weights.create import create

SAME = "same"  # the names are ours
SHOWN = 5  # names in a message
COUNTER = ".num_batches_tracked"  # of batch normalisation; files from before 2018 have none


def import_weights(
    model: str,
    file: Path,
    output: Path,
    *,
    names: str = SAME,
    config: Mapping[str, Any] | None = None,
    input: Sequence[Mapping[str, Any]] = (),
    summary: str | None = None,
    licence: str = UNKNOWN,
    registry: Registry | None = None,
) -> ReleaseConfig:
    """Make `output` a release of `model` with the tensors of `file`. No number is measured: `zoo eval` does that.

    Args:
        names: how the tensors in the file are called: "same" as ours, or one of the model's `key_maps`.
        config, input: Config values and preprocessing steps that go with these weights.
        licence: of the weights, SPDX.

    Raises:
        UsageError: the model knows no such names, the output is taken, or the licence is none of SPDX.
        WeightsError: not a safetensors file, or tensors that are missing, too many, or of another shape.
    """
    registry = registry or default_registry()
    registration = registry.model(model)
    check_new_folder(output)
    check_licence(licence)
    if not file.is_file():
        raise UsageError(f"'{file}' does not exist")
    built = create(model, registry=registry, config=config, input=input).eval()
    load_foreign(built, file, names)
    output.mkdir(parents=True, exist_ok=True)
    return write_release(
        output,
        built,
        registration,
        summary=summary or f"{registration.spec.summary}; weights of {file.name}",
        licence=Licence(code=code_licence(registration.plugin.distribution), weights=licence, data=UNKNOWN),
        example=_example(built),
        registry=registry,
        training={"imported": file.name, "imported_sha256": sha256_of(file), "names": names},
    )


def load_foreign(model: Model, file: Path, names: str = SAME) -> None:
    """Copy the tensors of `file` into a fresh model; all of them, and each into its place.

    A tensor may have trailing axes that ours has merged into one: a 7x7 convolution that was a linear layer. Counters
    of batches may be missing, and stay as they are.
    """
    if names != SAME and names not in model.key_maps:
        known = ", ".join((SAME, *model.key_maps))
        raise UsageError(f"{type(model).__name__} knows no names '{names}'", f"It knows: {known}.")
    state: dict[str, Tensor] = model.state_dict()
    header = read_header(file)
    renamed = {ours: model.key_maps.get(names, {}).get(ours, ours) for ours in state}
    theirs_of = {ours: theirs for ours, theirs in renamed.items() if theirs in header or not theirs.endswith(COUNTER)}
    _compare(state, theirs_of, header, file)
    tensors = load_file(file)
    model.load_state_dict(
        state | {ours: tensors[theirs].reshape(state[ours].shape) for ours, theirs in theirs_of.items()}
    )


def _compare(
    state: Mapping[str, Tensor], theirs_of: Mapping[str, str], header: Mapping[str, TensorInfo], file: Path
) -> None:
    missing = [theirs for theirs in theirs_of.values() if theirs not in header]
    extra = sorted(set(header) - set(theirs_of.values()))
    for what, found in (("lacks", missing), ("holds, and the model does not know,", extra)):
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise WeightsError(
                f"'{file}' {what} {', '.join(found[:SHOWN])}{more}",
                "Other names (--names)? Another size (--set)? Nothing was written.",
            )
    for ours, theirs in theirs_of.items():
        found_shape, shape = header[theirs].shape, tuple(state[ours].shape)
        if found_shape != shape and not _merges(found_shape, shape):
            raise WeightsError(f"'{file}': {theirs} is {list(found_shape)}, and the model's is {list(shape)}")


def _merges(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Whether ours is theirs with all axes from some one on merged into one: (4096, 512, 7, 7) -> (4096, 25088)."""
    kept = len(ours) - 1
    return 0 < kept < len(theirs) and theirs[:kept] == ours[:kept] and torch.Size(theirs[kept:]).numel() == ours[kept]


def _example(model: Model) -> Batch:
    """Two random examples for golden.safetensors, of the size that the model takes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return random_batch(model.signature(), 2)
