"""`create`: a model of a given name with fresh weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Never

import msgspec
import torch

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import read_record
from zoo_core.interfaces.step import fields_after
from zoo_core.releases.release import PinnedRelease
from zoo_core.steps.notation import read_steps
from zoo_core.weights.loading import attach_dependencies
from zoo_core.weights.manifest import Manifest


def create(
    name: str,
    *,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    features: Mapping[str, Field] | None = None,
    input: Sequence[Mapping[str, Any]] = (),
    config: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
    dependencies: Mapping[str, PinnedRelease] | None = None,
    **unknown: Never,
) -> AnyModel:
    """A model with fresh weights: `create("mlp", config={"hidden": [9]})`. Releases that it depends on are attached.

    Config values are taken from these places, each before the ones that follow it: `config`; what the data set decides;
    the preset of the name, or `base`; and the defaults of Config.

    Args:
        name: the name of a model.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.
        features: the fields of a data set, before preprocessing, which decide such values as sizes and classes.
        input: the preprocessing steps of the model, as in config.json: [{"step": "binarize"}].
        config: Config values by name.
        base: the Config values of a release, in place of the preset.
        dependencies: the exact releases to attach, by attribute; by default those that the names mean now.
        unknown: nothing; other arguments are refused with a hint.

    Raises:
        UnknownName: there is no such model.
        RecordError: a Config value does not fit.
        ZooError: a release that it depends on cannot be found.
        UsageError: there is no such Config value, or it was not given in `config`.
    """
    if unknown:
        raise UsageError(f"create has no argument '{next(iter(unknown))}'", f"Config values: config={unknown!r}.")
    registry = registry or default_registry()
    registration = registry.model(name)
    model_class = registry.model_class(registration)
    steps = read_steps(input, name, registry)
    values = dict(registration.spec.preset if base is None else base)
    if features is not None:
        values |= model_class.config_for(fields_after(steps, features))
    values |= config or {}
    known = [field.name for field in msgspec.structs.fields(model_class.Config)]
    for key in values:
        if key not in known:
            raise UsageError(f"{name} has no config value '{key}'", f"It has: {', '.join(known)}.")
    model = registry.build(registration, read_record(model_class.Config, values, f"config of {name}"))
    model.input = steps
    default = str(torch.get_default_dtype()).removeprefix("torch.")
    attach_dependencies(model, name, registry, manifest, recorded=dependencies, dtype=default)
    return model
