"""What training needs to know of a model: data streams, optimizers, losses and stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    """A loss as a sum over items, such as images, tokens or boxes.

        Loss(cross_entropy(logits[known], label[known], reduction="sum"), known.sum())

    A model returns it where the batch size is not what the loss should be divided by. The gradient of a step is the sum
    of all values divided by the sum of all weights, over all micro-batches and processes. So a batch that is cut into
    unequal parts gives the same gradient as the whole one.

    Attributes:
        value: the sum over the items, a scalar.
        weight: how many items there are. If it is 0 in a whole step, no parameter is moved.
        parts: further sums over the same items, by name. The progress bar and the curve show each divided by `weight`.
    """

    value: Tensor
    weight: float | Tensor
    parts: Mapping[str, float | Tensor] = {}

    def mean(self) -> Tensor:
        """The mean loss of an item, a scalar."""
        return self.value / self.weight

    def backward(self) -> None:
        """Add the gradient of the mean to each parameter's `grad`, as `backward` of a tensor does."""
        torch.autograd.backward(self.mean())


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A supply of batches with its own random order. Most models have one; a model of unpaired data has two.

        {"a": Stream(batch=8), "b": Stream(batch=8, dataset="photos")}  # returned by Model.streams

    Attributes:
        batch: how many examples a batch holds, over all processes together; 32 by default.
        dataset: the name of a data set; None, the default, means the data set that the user trains on.
        split: which of its splits, by default "train".
    """

    batch: int = 32
    dataset: str | None = None
    split: str = "train"


def constant(progress: float) -> float:
    """1 at any progress: the learning rate stays as it is."""
    return 1.0


def linear_to_zero(progress: float) -> float:
    """1 - progress: the learning rate falls in a straight line to 0 at the end of the run."""
    return 1.0 - progress


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some parameters of an optimizer that are treated differently from the others.

        Group(vectors=True, options={"weight_decay": 0.0})  # no weight decay for biases and normalisation layers

    A parameter belongs to the first group that it fits. Those that fit none have the optimizer's own options.

    Attributes:
        names: glob patterns of parameter names, such as "backbone.*"; by default all parameters match.
        vectors: True to choose only parameters with at most one axis: biases, and scales of normalisation layers.
        lr_factor: what the optimizer's learning rate is multiplied by for these parameters; 1 by default.
        options: options of torch's optimizer that replace those of `Optimizer.options`: {"weight_decay": 0.0}.
    """

    names: tuple[str, ...] = ("*",)
    vectors: bool = False
    lr_factor: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One optimizer, over the parameters of named submodules.

        Optimizer(modules=("discriminator",), lr=2e-4, options={"betas": (0.5, 0.999)}, decay=linear_to_zero)

    Parameters that do not require a gradient are never changed.

    Attributes:
        modules: the names of the submodules whose parameters it moves; "", the default, is the whole model.
        kind: "adam" (the default), "adamw", "sgd", "rmsprop", "muon" or "lbfgs".
        lr: the highest learning rate of the run; 0.001 by default.
        options: further arguments of torch's optimizer of that kind: betas, momentum, weight_decay, …
        groups: parameters with other options or learning rates; the first group that fits a parameter counts.
        clip: the largest norm of the gradient of all its parameters together; None, the default, does not clip.
        decay: a function from progress in [0, 1] to a factor of `lr`: `constant` by default, or `linear_to_zero`.
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
    """One loss, and the optimizer that steps on it.

        def d_loss(batches, shared):
            shared["fake"] = self.generator(batches["x"]["z"])
            return softplus(-self.discriminator(batches["x"]["image"])).mean() + ...

        Objective(name="d", optimizer="d", loss=d_loss)

    A step computes the objectives of `Model.objectives` one after the other, each with the parameters as the one before
    left them. The gradient is taken only for the parameters of the objective's own optimizer: nothing must be detached
    or frozen so that other modules stay as they are.

    Attributes:
        name: what the progress bar and the curve call this loss.
        optimizer: the name of an optimizer in `Model.optimizers`; or several names, whose optimizers have no parameter
            in common.
        loss: a function (batches, shared). `batches` holds the batch of each stream by the stream's name, and in it the
            tensors by field name, preprocessed, on the model's device. `shared` is a dict, empty at the beginning of a
            step, in which an objective may leave tensors for later ones of the same step; at most one later objective
            may differentiate through them. If a batch is cut into micro-batches, each has its own dict. The function
            returns a scalar that is the mean over the batch of the first stream, or a `Loss`.
        every: the objective is used in every so-many-th step, from the first on; 1 by default.
        stage: the name of the only stage in which it is used; None, the default, for all stages.
    """

    name: str
    optimizer: str | tuple[str, ...]
    loss: Callable[[Mapping[str, Mapping[str, Any]], dict[str, Any]], Tensor | Loss]
    every: int = 1
    stage: str | None = None

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names of its optimizers, also where there is only one."""
        return (self.optimizer,) if isinstance(self.optimizer, str) else self.optimizer


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run, such as the training of one layer.

        [Stage(name="centres", share=0), Stage(name="weights")]  # returned by Model.stages

    Attributes:
        name: what `Model.begin_stage` and `Objective.stage` call it; "train" by default.
        share: its length relative to the other stages, 1 by default. In a stage of share 0 `begin_stage` is called, and
            no step is made.
    """

    name: str = "train"
    share: float = 1.0
