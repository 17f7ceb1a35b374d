"""Training that starts from a release: its tensors, config, preprocessing and artifacts, and what it holds frozen.

The config of the new model is the release's, overruled by what the data decides and then by --set, as the preset of a
name is otherwise. Every tensor must keep its shape, but for a head that is replaced. The steps that are asked for come
before the release's own. What a stage fits without gradients (a standardisation, a vocabulary) is the release's too.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import to_plain
from zoo_core.releases.artifacts import artifacts_of, load_artifacts
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import Ancestor, PinnedRelease
from zoo_core.steps.notation import plain_step
from zoo_core.training.optimizers import match_names
from zoo_core.weights.create import create
from zoo_core.weights.dependencies import absolute, locate_for, locate_pinned, pin
from zoo_core.weights.loading import load_located, registration_of
from zoo_core.weights.sources import Located

SHOWN = 5  # classes in a message


def locate_parent(reference: str, registry: Registry, recorded: PinnedRelease | None = None) -> Located:
    """The release to start from, verified; the one that was `recorded`, where a run is resumed or made again.

    Raises:
        ZooError: it cannot be found here, or is not the recorded one.
    """
    if recorded is None:
        return locate_for("training starts from", reference, registry)
    return locate_pinned("this was trained from", recorded, registry)


def ancestors(parent: Located | None, arguments: RunArguments, *, from_anywhere: bool = False) -> list[Ancestor]:
    """The line of releases that a run descends from, the nearest first: by the reference that was given, or by one that
    means the same in every folder."""
    if parent is None or arguments.start is None:
        return []
    pinned = pin(parent, absolute(arguments.start) if from_anywhere else arguments.start)
    mine = Ancestor(**to_plain(pinned), new_head=arguments.head, frozen=arguments.freeze)
    return [mine, *parent.release.ancestors]


class Start(NamedTuple):
    """What a run begins with.

    Attributes:
        model: with fresh weights, or with those of the parent.
        taken: the names of the tensors that come from the parent; empty without one.
    """

    model: AnyModel
    taken: frozenset[str] = frozenset()


def model_from(
    parent: Located, arguments: RunArguments, data: Dataset, features: Mapping[str, Field] | None, registry: Registry
) -> Start:
    """A model to train on `data`, with the tensors of `parent` as far as it does not get a new head.

    `features` are those of the data, where they decide anything of the model.

    Raises:
        UsageError: the parent is a release of another model, does not fit the data or the config, has no head, is not
            trained by steps, or would be frozen completely.
    """
    reference, release = str(arguments.start), parent.release
    registration = registry.model(arguments.model)
    if registration != registration_of(parent, registry):
        raise UsageError(
            f"'{reference}' is a release of {release.zoo.model}, not of {registration.spec.name}",
            "Leave the name of the model out: it is that of the release.",
        )
    source = load_located(parent, reference, registry=registry)
    _check_classes(source, data, arguments)
    outputs = _outputs(source, data, reference) if arguments.head else None
    config = to_plain(source.config)  # before its head is another
    steps = [*arguments.input, *(plain_step(step) for step in source.input)]
    model = create(
        arguments.model,
        registry=registry,
        features=features,
        input=steps,
        base=config,
        config=arguments.config,
        dependencies=release.dependencies,
    )
    if model.dependencies() != source.dependencies():
        raise UsageError(f"'{reference}' keeps what it depends on, and --set cannot change that")
    fresh = set() if outputs is None else _replace_head(source, outputs)
    _check_shapes(source, model, config, reference)
    _copy(source, model, fresh)
    load_artifacts(model, artifacts_of(source), reference)
    if not model.optimizers():
        raise UsageError(
            f"'{reference}' is fitted to its data at once, so weights to start from would not change the result",
            "Fit it to the new data: without --from.",
        )
    freeze(model, arguments.freeze, fresh)
    return Start(model, frozenset(model.state_dict()) - fresh)


@contextmanager
def held(model: Model, names: Collection[str]) -> Iterator[None]:
    """After this context the tensors with these names, and the artifacts, are what they were before.

    A stage begins with what needs no gradient, and where training started from weights that was done for them: other
    statistics, or another vocabulary, would change what the weights mean.
    """
    if not names:
        yield
        return
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}
    artifacts = artifacts_of(model)
    yield
    load_artifacts(model, artifacts, type(model).__name__)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name in before:
                tensor.copy_(before[name])


def _check_classes(source: Model, data: Dataset, arguments: RunArguments) -> None:
    """The data must have the classes, or the words, that the parent was trained on, but for a new head's."""
    for name, field in source.signature().items():
        found = data.features[name].classes if name in data.features else ()
        if not field.classes or not found or found == field.classes or (field.kind == "label" and arguments.head):
            continue
        theirs, own = (
            ", ".join(classes[:SHOWN]) + (" …" if len(classes) > SHOWN else "") for classes in (found, field.classes)
        )
        raise UsageError(
            f"'{data.name}' has other classes of '{name}' than '{arguments.start}': {theirs}; not {own}",
            "Add --head: a fresh last layer for them, and all others keep their weights."
            if field.kind == "label"
            else "Its tensors were made for those.",
        )


def _outputs(source: Model, data: Dataset, reference: str) -> int:
    """How many outputs a head for the classes of the data has."""
    if source.head_module is None:
        raise UsageError(f"'{reference}' has no head that could be replaced", "Leave --head out.")
    labels = [name for name, field in source.signature().items() if field.kind == "label"]
    classes = next((data.features[name].classes for name in labels if name in data.features), ())
    if not classes:
        raise UsageError(
            f"--head needs labels with named classes, and '{data.name}' has none", "Choose data that have them."
        )
    return len(classes)


def _replace_head(source: Model, outputs: int) -> set[str]:
    """Give the parent a new head; the names of the tensors that are no longer its own."""
    before = _tensors(source)
    source.reset_head(outputs)
    after = _tensors(source)
    return {name for name in {**before, **after} if before.get(name) is not after.get(name)}


def _tensors(model: Model) -> dict[str, Tensor]:
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


def _check_shapes(source: Model, model: Model, config: Mapping[str, Any], reference: str) -> None:
    """Every tensor of the parent, which may have a new head by now, must be one of the model, of the same shape."""
    theirs, own = source.state_dict(), model.state_dict()
    for name in {**theirs, **own}:
        was, now = (str(tuple(state[name].shape)) if name in state else "none" for state in (theirs, own))
        if was == now:
            continue
        values = to_plain(model.config)
        changes = [f"{key} is {values[key]}, not {old}" for key, old in config.items() if values[key] != old]
        raise UsageError(
            f"'{name}' has shape {was} in '{reference}', and would have {now}: {', '.join(changes)}",
            "Other classes need --head."
            if name.startswith(f"{source.head_module}.")
            else "Give it data of its own shape (--size, --input), and --set only what leaves all shapes.",
        )


@torch.no_grad()
def _copy(source: Model, model: Model, fresh: set[str]) -> None:
    """Fill all tensors of the model but the `fresh` ones, which keep their initial values."""
    theirs = source.state_dict()
    for name, tensor in model.state_dict().items():
        if name not in fresh:
            tensor.copy_(theirs[name])


def freeze(model: Model, patterns: Sequence[str], fresh: set[str]) -> None:
    """Freeze the parameters whose names match the glob patterns, except those of a `fresh` head.

    Raises:
        UsageError: a pattern matches none, or nothing is left to train.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        matched = set(match_names(pattern, parameters)) - fresh
        if not matched:
            raise UsageError(f"'{pattern}' freezes the new head only, which is to be trained")
        for name in matched:
            parameters[name].requires_grad_(False)
    if not patterns:
        return
    for name, optimizer in model.optimizers().items():
        own = [p for module in optimizer.modules for p in model.get_submodule(module).parameters()]
        if own and not any(parameter.requires_grad for parameter in own):
            whose = "" if len(model.optimizers()) == 1 else f" of the optimizer '{name}'"
            raise UsageError(
                f"--freeze {' --freeze '.join(patterns)} leaves nothing to train: all {len(own)} parameters{whose} are "
                "frozen",
                "Freeze fewer, or give it a new head: --head.",
            )


def frozen_modules(module: nn.Module) -> list[nn.Module]:
    """The outermost modules all of whose parameters are frozen: in training they stay in eval mode, so that batch
    normalisation keeps its statistics and dropout drops nothing."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [found for child in module.children() for found in frozen_modules(child)]


def describe(model: Model, parent: Located, arguments: RunArguments) -> str:
    """What a run starts from, in one line."""
    parts = [f"Starting from {arguments.start}: {parent.release.summary}"]
    if arguments.head:
        parts.append("a new head")
    if arguments.freeze:
        frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
        parts.append(f"{frozen:,} of {sum(p.numel() for p in model.parameters()):,} parameters frozen")
    return "; ".join(parts)


def model_of(reference: str, registry: Registry) -> str:
    """The name of the model that a release is of."""
    return registration_of(locate_parent(reference, registry), registry).spec.name
