"""Numbers on the command line, checked where they are read."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SEED = click.IntRange(-(2**63), 2**63 - 1)  # what a generator of torch takes


class Finite(click.FloatRange):
    """A number within bounds, and neither infinite nor NaN, which is within all bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def seed_option(help: str | None = None) -> Callable[[F], F]:
    """--seed, 0 by default."""
    return click.option("--seed", type=SEED, default=0, show_default=True, help=help)


temperature_option = click.option(
    "--temperature", type=Finite(min=0, min_open=True), help="Below 1: safer, above: wilder."
)
