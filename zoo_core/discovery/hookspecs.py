"""The hooks of a plugin: each returns a list of what the plugin adds to the zoo.

A plugin is a module that an entry point of group "zoo.plugins" names, in the pyproject.toml of its package:

    [project.entry-points."zoo.plugins"]
    coins = "zoo_coins.plugin"

The module sets `zoo_api = 1` and defines any of the hooks below, each marked by `@hookimpl`. The examples are parts of
one such module, which begins with

    from pathlib import Path

    from zoo_core import (
        CapabilitySpec, CommandSpec, DatasetSpec, MetricSpec, ModelSpec, StepSpec, StudySpec, hookimpl
    )

    zoo_api = 1

Classes are named as text, "package.module:Class", and imported when they are used. The module itself must not import
torch, so that `zoo list` stays fast.
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
    """The models of this plugin.

    Example:
        @hookimpl
        def zoo_models():
            return [
                ModelSpec(
                    name="coin",
                    target="zoo_coins.coin:Coin",
                    summary="every pixel is its own coin",
                    task="density-estimation",
                    capabilities=("Density", "Sampler"),
                )
            ]
    """


@hookspec
def zoo_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """The data sets of this plugin.

    Example:
        @hookimpl
        def zoo_datasets():
            return [
                DatasetSpec(
                    name="tosses",
                    target="zoo_coins.tosses:Tosses",
                    summary="100 million tosses of 64 coins",
                    source="a seeded generator",
                    licence="CC0-1.0",
                    splits=("train", "validation", "test"),
                    fields={"image": "[1, 8, 8], black or white"},
                )
            ]
    """


@hookspec
def zoo_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]
    """The metrics of this plugin, the most important first: a list shows the first one that a model has.

    Example:
        @hookimpl
        def zoo_metrics():
            return [
                MetricSpec(
                    name="heads",
                    target="zoo_coins.heads:Heads",
                    summary="how many coins of a sample show heads",
                    requires="Sampler",
                    unit="fraction",
                    higher_is_better=False,
                )
            ]
    """


@hookspec
def zoo_weights() -> list[Path]:  # type: ignore[empty-body]
    """The manifest files of this plugin, which list its published weights with their hashes and numbers.

    Example:
        @hookimpl
        def zoo_weights():
            return [Path(__file__).with_name("coins.toml")]
    """


@hookspec
def zoo_studies() -> list[StudySpec]:  # type: ignore[empty-body]
    """The studies of this plugin, which `zoo study NAME` makes.

    Example:
        @hookimpl
        def zoo_studies():
            return [
                StudySpec(
                    name="widths",
                    target="zoo_coins.widths:Widths",
                    summary="how the number of hidden units changes the accuracy",
                    minutes=5,
                )
            ]
    """


@hookspec
def zoo_commands() -> list[CommandSpec]:  # type: ignore[empty-body]
    """The commands that this plugin adds to `zoo`; each is a click command.

    Example:
        @hookimpl
        def zoo_commands():
            return [CommandSpec(name="toss", target="zoo_coins.toss:toss", help="Toss a coin.")]
    """


@hookspec
def zoo_capabilities() -> list[CapabilitySpec]:  # type: ignore[empty-body]
    """Capabilities that the core does not have; models and metrics of all plugins may then name them.

    Example:
        @hookimpl
        def zoo_capabilities():
            return [
                CapabilitySpec(
                    name="Pricer",
                    protocol="zoo_coins.pricing:Pricer",
                    method="price",
                    summary="the price of each coin",
                    golden="x",
                )
            ]
    """


@hookspec
def zoo_steps() -> list[StepSpec]:  # type: ignore[empty-body]
    """The steps of preprocessing and augmentation that this plugin adds, such as a tokenizer.

    Example:
        @hookimpl
        def zoo_steps():
            return [StepSpec(name="mint", target="zoo_coins.minting:Mint", summary="images as round as a coin")]
    """
