"""What training needs to know of a model: data streams, optimizers, losses and stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    """A loss as a sum over items (images, tokens, boxes), so that unequal batches add up rightly.

    Attributes:
        value: the sum, a scalar.
        weight: how many items it is over.
        parts: further sums over the same items, which the progress bar and the curve show as means.
    """

    value: Tensor
    weight: float | Tensor
    parts: Mapping[str, float | Tensor] = {}

    def mean(self) -> Tensor:
        """The loss of one item, a scalar."""
        return self.value / self.weight

    def backward(self) -> None:
        """Put the gradient of the mean into the parameters, as `backward` of a tensor does."""
        torch.autograd.backward(self.mean())


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One supply of batches, in an order of its own; a model that needs unpaired data has two.

    Attributes:
        batch: examples in a batch.
        dataset: the name of a data set; None is the one that the run names.
        split: which split of it.
    """

    batch: int = 32
    dataset: str | None = None
    split: str = "train"


def constant(progress: float) -> float:
    """No decay."""
    return 1.0


def linear_to_zero(progress: float) -> float:
    """Falls in a straight line from 1 to 0 over the run."""
    return 1.0 - progress


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some parameters of an optimizer that are treated differently from the others.

    A parameter belongs to the first group that it fits; those that fit none have the optimizer's own options. Without
    weight decay for biases and normalisation layers: Group(vectors=True, options={"weight_decay": 0.0}).

    Attributes:
        names: glob patterns of parameter names, such as "backbone.*".
        vectors: only parameters of at most one axis: biases, and the scales of normalisation layers.
        lr_factor: times the optimizer's learning rate.
        options: in place of the optimizer's, such as {"weight_decay": 0.0}.
    """

    names: tuple[str, ...] = ("*",)
    vectors: bool = False
    lr_factor: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One optimizer over named submodules.

    Parameters that do not require a gradient are left as they are.

    Attributes:
        modules: names of submodules; "" is the whole model.
        kind: adam, adamw, sgd, rmsprop, muon or lbfgs.
        lr: the learning rate at its highest.
        options: what torch's optimizer of that kind takes: betas, momentum, weight_decay, …
        groups: parameters with other options or rates.
        clip: the largest norm that the gradient of all its parameters may have.
        decay: maps progress in [0, 1] to a factor of `lr`.
    """

    modules: tuple[str, ...] = ("",)
    kind: str = "adam"
    lr: float = 1e-3
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    clip: float | None = None
    decay: Callable[[float], float] = constant


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One loss, and the optimizer that steps on it; or several, each over parameters of its own.

    `loss` gets the batches by stream, and a dict in which the objectives of one step leave things for each other: a
    graph in it may be differentiated by one later objective. Where a batch is split into micro-batches, each has a
    dict of its own.

    Attributes:
        name: what progress bar and curve call it.
        optimizer: the name of an optimizer, or the names of several.
        loss: (batches, shared) -> a scalar that is a mean over the batch of the first stream, or a `Loss`.
        every: steps between two uses.
        stage: the only stage in which it is used; None: in every stage.
    """

    name: str
    optimizer: str | tuple[str, ...]
    loss: Callable[[Mapping[str, Mapping[str, Any]], dict[str, Any]], Tensor | Loss]
    every: int = 1
    stage: str | None = None

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names of its optimizers."""
        return (self.optimizer,) if isinstance(self.optimizer, str) else self.optimizer


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the run.

    Attributes:
        name: what `begin_stage` and objectives call it.
        share: how long it is, relative to the others. A share of 0 is `begin_stage` and no step.
    """

    name: str = "train"
    share: float = 1.0
