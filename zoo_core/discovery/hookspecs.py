"""The hooks of a plugin. Each returns declarations, never instances, and must not import torch.

A plugin is a module that an entry point of group "zoo.plugins" names. It says `zoo_api = 1`, and implements any of:
"""

from pathlib import Path

import pluggy

from zoo_core.discovery.specs import (
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    StepSpec,
    StudySpec,
)
from zoo_core.interfaces.capability_table import CapabilitySpec

API = 1  # the version of these hooks and of the interfaces; a plugin of another one is not loaded

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_models() -> list[ModelSpec]:  # type: ignore[empty-body]
    """The models of this plugin."""


@hookspec
def zoo_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """The data sets of this plugin."""


@hookspec
def zoo_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]
    """The metrics of this plugin, the most telling first: lists show the first that a model has."""


@hookspec
def zoo_weights() -> list[Path]:  # type: ignore[empty-body]
    """The manifest files that come with this plugin."""


@hookspec
def zoo_studies() -> list[StudySpec]:  # type: ignore[empty-body]
    """The studies of this plugin."""


@hookspec
def zoo_commands() -> list[CommandSpec]:  # type: ignore[empty-body]
    """The commands that this plugin adds to `zoo`."""


@hookspec
def zoo_capabilities() -> list[CapabilitySpec]:  # type: ignore[empty-body]
    """What models of this plugin can do and no capability of the core says."""


@hookspec
def zoo_steps() -> list[StepSpec]:  # type: ignore[empty-body]
    """Steps of preprocessing and augmentation that this plugin adds, such as a tokenizer."""
