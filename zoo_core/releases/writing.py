"""Writing a release: from a model in memory to a folder that describes and verifies itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from zoo_core.discovery.hookspecs import API
from zoo_core.discovery.registry import Registration, Registry
from zoo_core.discovery.specs import ModelSpec
from zoo_core.errors import UsageError, WeightsError
from zoo_core.hub.atomic import write_atomically
from zoo_core.hub.integrity import FileEntry, sha256_of
from zoo_core.interfaces.batches import pack_texts
from zoo_core.interfaces.capabilities import Sampler, able
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import to_plain
from zoo_core.interfaces.step import evaluation_generator
from zoo_core.pictures.grids import save_grid
from zoo_core.releases.artifacts import write_artifacts
from zoo_core.releases.card import model_card
from zoo_core.releases.golden import golden_of, run_golden
from zoo_core.releases.licence import Licence
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import (
    CARD,
    CONFIG,
    GOLDEN,
    MODEL,
    Ancestor,
    Golden,
    Maker,
    MetricEntry,
    PinnedRelease,
    ReleaseConfig,
    exact_reference,
)
from zoo_core.releases.tensors import save_tensors
from zoo_core.steps.notation import plain_step, step_plugins

SAMPLES = "samples.png"


def write_release(
    folder: Path,
    model: Model,
    registration: Registration[ModelSpec],
    *,
    summary: str,
    licence: Licence,
    example: Mapping[str, Any],
    recipe: RunArguments | None = None,
    training: Mapping[str, Any] | None = None,
    metrics: Sequence[MetricEntry] = (),
    images: ImageStatistics | None = None,
    storage: torch.dtype | None = None,
    ancestors: Sequence[Ancestor] = (),
    registry: Registry | None = None,
) -> ReleaseConfig:
    """Write the files of a release into an existing folder, config.json last. Files with other names stay.

    Args:
        example: a small raw batch, before preprocessing, for golden.safetensors.
        images: what the images of the train split look like.
        storage: the floating-point dtype in the file, by default the model's. The model is first rounded to it, so
            that its outputs are those of the release.
        ancestors: the releases that training started from, the nearest first.
        registry: the plugins, of which some have the steps of the model.

    Raises:
        WeightsError: a tensor holds NaN or infinity, an artifact is no JSON, or a dependency was not loaded from a
            release.
    """
    if storage is not None:
        round_to(model, storage)
    tensors = _stored_tensors(model, storage)
    (folder / CONFIG).unlink(missing_ok=True)  # a half-written release must not look whole
    save_tensors(tensors, folder / MODEL)
    golden = golden_of(model)
    names = [
        MODEL,
        *write_artifacts(model, folder),
        *_write_golden(model, golden, example, folder),
        *_write_samples(model, registration.spec.name, folder),
    ]
    release = ReleaseConfig(
        zoo=Maker(
            api=API,
            model=registration.spec.name,
            plugin=registration.plugin.distribution,
            plugin_version=registration.plugin.version,
            steps=step_plugins(model.input, registry),
        ),
        config=to_plain(model.config),
        input=[plain_step(step) for step in model.input],
        dtype=_dtype(tensors),
        summary=summary,
        licence=licence,
        recipe=recipe,
        training=dict(training or {}),
        metrics=list(metrics),
        images=images,
        golden=golden,
        dependencies=pinned_dependencies(model),
        ancestors=list(ancestors),
        conditions=model.conditions(),
        files={},
    )
    return _write_descriptions(release, names, folder)


def _write_golden(model: Model, golden: Golden | None, example: Mapping[str, Any], folder: Path) -> list[str]:
    """What the model answers to the example, and what it takes of it."""
    if golden is None:
        return []
    fields = _taken(model, example) if golden.arguments else {}
    inputs = {f"input.{name}": tensor for name, tensor in pack_texts(fields).items()}
    save_tensors(inputs | {f"output.{golden.method}": run_golden(model, golden, fields)}, folder / GOLDEN)
    return [GOLDEN]


def _write_samples(model: Model, name: str, folder: Path) -> list[str]:
    """A picture of what it draws, if it draws pictures."""
    if (samples := _samples(model)) is None:
        return []
    save_grid(samples, folder / SAMPLES, title=f"{name}: {len(samples)} samples, seed 0")
    return [SAMPLES]


def _write_descriptions(release: ReleaseConfig, names: list[str], folder: Path) -> ReleaseConfig:
    """The card and config.json, which lists the files `names` and the card with their digests."""
    listed = {name: FileEntry(sha256="0" * 64, bytes=0) for name in names}  # the card needs the names alone
    write_atomically(folder / CARD, model_card(msgspec.structs.replace(release, files=listed)))
    files = {
        name: FileEntry(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in [*names, CARD]
    }
    release = msgspec.structs.replace(release, files=files)
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(release), indent=1))
    return release


def pinned_dependencies(model: Model) -> dict[str, PinnedRelease]:
    """The releases that are attached to a model, as its own release records them.

    Raises:
        WeightsError: a dependency is not attached, or did not come from a release.
    """
    found = {}
    for name, reference in model.dependencies().items():
        report = model.attached[name].load_report if name in model.attached else None
        if report is None or report.model_sha256 is None or report.config_sha256 is None:
            raise WeightsError(f"the dependency '{name}' of {type(model).__name__} is not the release '{reference}'")
        found[name] = PinnedRelease(
            reference=exact_reference(report.reference, report.source),
            name=report.name,
            model_sha256=report.model_sha256,
            config_sha256=report.config_sha256,
        )
    return found


@torch.no_grad()
def round_to(model: Model, storage: torch.dtype) -> None:
    """Make every floating-point value one that `storage` can hold; the tensors keep their dtype."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(storage))


@torch.no_grad()
def _samples(model: Model) -> Tensor | None:
    """A few images of a model that draws some, [N, C, H, W], for its card."""
    sampler = able(model, Sampler)
    if sampler is None or model.signature()[model.subject].kind != "image":
        return None
    training = model.training
    model.eval()
    try:
        samples = sampler.sample(16, generator=torch.Generator().manual_seed(0))
    except UsageError:  # nothing was fitted that could be drawn from
        return None
    finally:
        model.train(training)
    return samples if samples.ndim == 4 and samples.shape[1] in (1, 3) else None


def _stored_tensors(model: Model, storage: torch.dtype | None) -> dict[str, Tensor]:
    """The model's tensors, each once: of tied parameters the first name is stored."""
    seen: set[int] = set()
    tensors = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in model.state_dict().items():
        if name in parameters:
            if id(parameters[name]) in seen:
                continue
            seen.add(id(parameters[name]))
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"no release was written: '{name}' holds NaN or infinity")
        tensors[name] = tensor.to(storage) if storage is not None and tensor.is_floating_point() else tensor
    return tensors


def _dtype(tensors: Mapping[str, Tensor]) -> Any:
    dtypes = {str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()}
    if len(dtypes) != 1:
        raise WeightsError(f"a release stores one floating-point dtype, and the model has {', '.join(sorted(dtypes))}")
    return dtypes.pop()


def _taken(model: Model, example: Mapping[str, Any]) -> dict[str, Any]:
    """What the model takes of a raw batch: its fields, the indices of ragged ones, and what a step makes fields of."""
    fields = model.signature()
    names = {*fields, *(field.index for field in fields.values() if field.index)}
    prepared = model.preprocess(example, generator=evaluation_generator(model.input))
    return {name: values for name, values in example.items() if name in names or name not in prepared}
