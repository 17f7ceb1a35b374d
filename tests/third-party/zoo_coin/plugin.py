"""What zoo-coin offers; imports no torch."""

from pathlib import Path

from zoo_core import CommandSpec, DatasetSpec, ModelSpec, hookimpl

zoo_api = 1


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="coin",
            target="zoo_coin.model:Coin",
            summary="One biased coin a pixel, independent of all others",
            task="density-estimation",
            capabilities=("Density", "Sampler"),
            aliases=("bernoulli",),
            parameter_count="C H W",
        )
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="coin-bits",
            target="zoo_coin.data:CoinBits",
            summary="Biased coins thrown from a seed, as images of 2x3 bits",
            source="computed",
            licence="CC0-1.0",
            splits=("train", "validation", "test"),
        )
    ]


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [CommandSpec(name="coin-hello", target="zoo_coin.hello:hello", help="Say hello.")]


@hookimpl
def zoo_weights() -> list[Path]:
    return sorted((Path(__file__).parent / "weights").glob("*.toml"))
