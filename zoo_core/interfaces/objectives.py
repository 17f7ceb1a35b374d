"""What training needs to know of a model: data streams, optimizers, losses and stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor


class Loss(NamedTuple):
    """A loss as a sum over `weight` items (images, tokens, boxes), so that unequal batches add up rightly."""

    value: Tensor
    weight: float | Tensor
    parts: Mapping[str, float | Tensor] = {}  # what the progress bar and the curve show beside it


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One supply of batches, in an order of its own; a model that needs unpaired data has two."""

    batch: int = 32
    dataset: str | None = None  # default: the data set that the run names
    split: str = "train"


def constant(progress: float) -> float:
    """No decay."""
    return 1.0


def linear_to_zero(progress: float) -> float:
    """Falls in a straight line from 1 to 0 over the run."""
    return 1.0 - progress


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One optimizer over named submodules; "" is the whole model. `decay` maps progress in [0, 1] to a factor of lr."""

    modules: tuple[str, ...] = ("",)
    kind: str = "adam"  # adam | adamw | sgd | rmsprop | muon | lbfgs
    lr: float = 1e-3
    options: Mapping[str, Any] = field(default_factory=dict)  # betas, momentum, weight_decay, …
    clip: float | None = None  # largest gradient norm
    decay: Callable[[float], float] = constant


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One loss and the optimizer that steps on it.

    `loss` gets the batches by stream, and a dict in which the objectives of one step leave things for each other: a
    graph in it may be differentiated by one later objective. Where a batch is split into micro-batches, each has a
    dict of its own.
    """

    name: str
    optimizer: str
    loss: Callable[[Mapping[str, Mapping[str, Tensor]], dict[str, Any]], Tensor | Loss]
    every: int = 1  # steps between two uses
    stage: str | None = None  # only in this stage


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the run; shares are relative to each other. A share of 0 is `begin_stage` and no step."""

    name: str = "train"
    share: float = 1.0
