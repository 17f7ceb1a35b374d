"""Numbers on the command line, checked where they are read."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Seed(click.types.IntParamType):
    """An integer that torch's generators accept as a seed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not -(2**63) <= number < 2**63:
            self.fail(f"{value} has more than 64 bits.", param, ctx)
        return number


class Finite(click.FloatRange):
    """A number within bounds that is neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def seed_option(help: str = "Decides all random numbers.") -> Callable[[F], F]:
    """--seed, 0 by default."""
    return click.option("--seed", type=Seed(), default=0, show_default=True, help=help)


temperature_option = click.option(
    "--temperature",
    type=Finite(min=0, min_open=True),
    help="Below 1 gives more likely samples, above 1 more varied ones.",
)
