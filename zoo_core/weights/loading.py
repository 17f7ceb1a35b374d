"""`load`: makes a model with verified weights from a reference. Every tensor must fit.

It is fast because nothing is done twice. Parameters are not initialised. The file is memory-mapped, and its tensors
become the parameters; so several processes share one copy, and only the pages in use are read.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo_core.discovery.hookspecs import API
from zoo_core.discovery.registry import Registration, Registry, default_registry
from zoo_core.discovery.specs import ModelSpec
from zoo_core.errors import RecordError, UnfinishedRun, UnknownName, UsageError, WeightsError
from zoo_core.hub.integrity import remember
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.load_report import LoadReport
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import read_record
from zoo_core.processes import check_device
from zoo_core.releases.artifacts import load_artifacts, read_artifacts
from zoo_core.releases.release import CONFIG, MODEL, PinnedRelease, ReleaseConfig
from zoo_core.releases.tensors import TensorInfo, read_header
from zoo_core.steps.notation import read_steps
from zoo_core.torch_state import torch_state_kept
from zoo_core.weights.dependencies import Link, extended, locate_for, locate_pinned, needs, pin
from zoo_core.weights.manifest import Manifest, install_hint
from zoo_core.weights.sources import Located, locate
from zoo_core.weights.unfinished import unfinished_weights

HALF = ("float16", "bfloat16")  # dtypes that by default are for storage alone
_DTYPES = {name: getattr(torch, name) for name in ("float32", "float16", "bfloat16", "float64")}


def load(
    reference: str,
    *,
    device: str = "cpu",
    dtype: str | torch.dtype | None = None,
    head: int | None = None,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> AnyModel:
    """A pretrained model, verified, in eval mode. `model.load_report` says what was loaded.

        model = zoo_core.load("pixelrnn")
        x = model.sample(16)                     # [16, 1, 28, 28]

    For the folder of a run that has not ended, these are its best weights so far, with the warning `UnfinishedRun`.

    Args:
        reference: a name ("pixelrnn", "pixelrnn.digits") or a folder; see `zoo_core.weights.reference`.
        device: where the model goes: "cpu", "cuda", "cuda:1".
        dtype: torch.bfloat16, "float32", …; by default as stored, but float32 where a release stores half precision.
        head: replaces the model's declared head by a fresh one with this many outputs.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UnknownName: nothing has that name.
        UsageError: an option is wrong.
        WeightsError: the release is missing, damaged, or does not fit the installed model. No part of the model is ever
            left with random weights, except a head that was asked for.
    """
    registry = registry or default_registry()
    located = locate(reference, registry, manifest, unfinished=True)
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    return load_located(located, reference, device=device, dtype=name, head=head, registry=registry, manifest=manifest)


def load_located(
    located: Located,
    reference: str,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    head: int | None = None,
    registry: Registry,
    manifest: Manifest | None = None,
    chain: tuple[Link, ...] = (),
) -> AnyModel:
    """The model of a release that was found and verified; arguments as for `load`. `chain` is what depends on it."""
    release = located.release
    if dtype is None and release.dtype in HALF:
        dtype = "float32"  # as images are; and processors differ in how they compute with halves
    target_device, target_dtype = check_device(device), _dtype(dtype)
    chain = extended(chain, reference, located)
    with torch_state_kept():
        model = _build(located, registry)
        if located.unfinished is None:
            _take_released(model, located, _versions(release, registry))
        else:
            _take_unfinished(model, located, _versions(release, registry))
            warnings.warn(str(located.unfinished), UnfinishedRun, stacklevel=3)
        if head is not None and model.head_module is None:
            raise UsageError(f"'{reference}' has no head that could be replaced")
        _move(model, target_device, target_dtype)
    if head is not None:  # drawn from the caller's random state, as every new layer is
        model.reset_head(head)
        _move(model, target_device, target_dtype)
    attach_dependencies(
        model,
        reference,
        registry,
        manifest,
        recorded=release.dependencies,
        hint=_versions(release, registry),
        device=device,
        dtype=dtype or release.dtype,
        chain=chain,
    )
    model.eval()
    digests = pin(located, reference) if located.unfinished is None else None
    model.load_report = LoadReport(
        reference=reference,
        name=located.name,
        source=located.source,
        folder=str(located.folder),
        pinned=located.pinned is not None,
        tensors=len(model.state_dict()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype=dtype or release.dtype,
        device=str(target_device),
        model_sha256=digests.model_sha256 if digests else None,
        config_sha256=digests.config_sha256 if digests else None,
        new_head=head,
        images=release.images,
    )
    return model


def attach_dependencies(
    model: Model,
    who: str,
    registry: Registry,
    manifest: Manifest | None = None,
    *,
    recorded: Mapping[str, PinnedRelease] | None = None,
    hint: str | None = None,
    device: str = "cpu",
    dtype: str,
    chain: tuple[Link, ...] = (),
) -> None:
    """Load what a model holds frozen, and attach it: what a release or a run has recorded, else what its config names.

    Args:
        who: what the model is called in messages.
        hint: what to say where others were recorded than the model has.
        chain: the releases from the one that was asked for to this model's.

    Raises:
        ZooError: a dependency is not to be had, is another one than was recorded, or depends on itself.
    """
    wanted = model.dependencies()
    if recorded is not None and recorded.keys() != wanted.keys():
        then, now = (", ".join(names) or "none" for names in (recorded, wanted))
        raise WeightsError(
            f"'{who}' was made with other dependencies than {type(model).__name__} has: {then}; not {now}", hint
        )
    for name, reference in wanted.items():
        if recorded is None:
            found = locate_for(needs(who, name), reference, registry, manifest)
        else:
            reference = recorded[name].reference  # the installed plugin may name another one by now
            found = locate_pinned(needs(who, name), recorded[name], registry, manifest, chain=chain)
        dependency = load_located(
            found, reference, device=device, dtype=dtype, registry=registry, manifest=manifest, chain=chain
        )
        model.attach(name, dependency)


def _versions(release: ReleaseConfig, registry: Registry) -> str:
    """Whose code made a release, and whose is here: what to look at where the two do not fit."""
    maker = release.zoo
    here = registry.model(maker.model, maker.plugin).plugin.version
    return f"It was made by {maker.plugin} {maker.plugin_version}; installed is {here}."


class _SkipInitialisation(TorchFunctionMode):
    """Leaves parameters as they were allocated. Buffers are computed as always, unlike on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        fills = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        target = args[0] if args else (kwargs or {}).get("tensor")  # torch.nn.init names it
        if fills and isinstance(target, nn.Parameter):
            return target
        return func(*args, **(kwargs or {}))


@contextmanager
def skip_initialisation() -> Iterator[None]:
    """Modules that are built inside do not fill their parameters."""
    with _SkipInitialisation():
        yield


def registration_of(located: Located, registry: Registry) -> Registration[ModelSpec]:
    """The model that a release is of.

    Raises:
        WeightsError: its plugin is not installed.
    """
    maker = located.release.zoo
    try:
        return registry.model(maker.model, maker.plugin)
    except UnknownName:
        raise WeightsError(
            f"'{located.folder / CONFIG}' needs the model '{maker.model}' of {maker.plugin}, which is not installed",
            f"Install that plugin: {install_hint(maker.plugin)}",
        ) from None


def _build(located: Located, registry: Registry) -> AnyModel:
    """The model that the release's config.json describes, its parameters not filled."""
    release, where = located.release, str(located.folder / CONFIG)
    if release.zoo.api != API:
        raise WeightsError(f"'{where}' is for zoo API {release.zoo.api}, and this zoo has API {API}")
    registration = registration_of(located, registry)
    model_class = registry.model_class(registration)
    try:
        config = read_record(model_class.Config, release.config, f"{where}: config")
        _check_steps(release, where, registry)
        steps = read_steps(release.input, where, registry)
    except RecordError as error:
        raise WeightsError(error.message, error.hint) from None
    with skip_initialisation():
        model = registry.build(registration, config)
    model.input = steps
    return model


def _check_steps(release: ReleaseConfig, where: str, registry: Registry) -> None:
    """The steps that the release takes from plugins must be here."""
    here = {registration.spec.name for registration in registry.steps("input")}
    for name, plugin in release.zoo.steps.items():
        if name not in here:
            raise WeightsError(
                f"'{where}' needs the step '{name}' of {plugin}, which is not installed",
                f"Install that plugin: {install_hint(plugin)}",
            )


def _aliases(model: Model) -> list[list[str]]:
    """Groups of names that share one parameter, such as tied embeddings; each group begins with its stored name."""
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _take_released(model: Model, located: Located, hint: str) -> None:
    load_artifacts(model, read_artifacts(located.folder, located.release.files), str(located.folder), hint)
    path, aliases = located.folder / MODEL, _aliases(model)
    _check_tensors(path, read_header(path), model, aliases, located.release.dtype)
    _assign(model, _memory_mapped(path), aliases)
    if located.fresh:
        _check_finite(path, model)
        remember(path, located.release.files[MODEL].sha256)


def _take_unfinished(model: Model, located: Located, hint: str) -> None:
    """A checkpoint holds tied parameters under each of their names."""
    folder = located.folder
    tensors, artifacts = unfinished_weights(folder)
    load_artifacts(model, artifacts, str(folder), hint)
    aliases = _aliases(model)
    for alias in (alias for names in aliases for alias in names[1:]):
        tensors.pop(alias, None)
    found = {name: TensorInfo(_dtype_name(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    _check_tensors(folder, found, model, aliases, located.release.dtype)
    _assign(model, tensors, aliases)
    _check_finite(folder, model)


def _check_tensors(
    path: Path, found: dict[str, TensorInfo], model: Model, aliases: list[list[str]], dtype: str
) -> None:
    """Names, shapes and dtypes must be the model's."""
    wanted = model.state_dict()
    for names in aliases:
        for alias in names[1:]:
            wanted.pop(alias)
    missing, unexpected = sorted(wanted.keys() - found), sorted(found.keys() - wanted)
    problems = []
    if missing:
        problems.append(f"missing {_some(missing)}")
    if unexpected:
        problems.append(f"unexpected {_some(unexpected)}")
    for name in sorted(wanted.keys() & found):
        tensor, info = wanted[name], found[name]
        expected = dtype if tensor.is_floating_point() else _dtype_name(tensor)
        if tuple(tensor.shape) != info.shape:
            problems.append(f"'{name}' has shape {info.shape}, not {tuple(tensor.shape)}")
        elif info.dtype != expected:
            problems.append(f"'{name}' is {info.dtype}, not {expected}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(f"'{path}' does not fit the model: {'; '.join(problems[:3])}{more}")


def _memory_mapped(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"'{path}' cannot be read: {error}") from None


def _assign(model: Model, tensors: dict[str, Tensor], aliases: list[list[str]]) -> None:
    """The tensors become the model's; tied ones are tied again."""
    for names in aliases:
        for alias in names[1:]:
            tensors[alias] = tensors[names[0]]
    model.load_state_dict(tensors, strict=True, assign=True)
    for names in aliases:
        shared = model.get_parameter(names[0])
        for alias in names[1:]:
            module, _, attribute = alias.rpartition(".")
            setattr(model.get_submodule(module), attribute, shared)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise WeightsError(f"'{name}' was left without values; the model's class must not build on the meta device")


def _check_finite(path: Path, model: Model) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"'{path}': '{name}' holds NaN or infinity", "The training that made it had diverged.")


def _move(model: Model, device: torch.device, dtype: torch.dtype | None) -> None:
    """Tensor by tensor, so that at most one is there twice."""
    if all(t.device == device and dtype in (None, t.dtype) for t in (*model.parameters(), *model.buffers())):
        return

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    model._apply(moved)


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _dtype(name: str | None) -> torch.dtype | None:
    if name is not None and name not in _DTYPES:
        raise UsageError(f"no dtype '{name}'", f"There are: {', '.join(_DTYPES)}.")
    return None if name is None else _DTYPES[name]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more
