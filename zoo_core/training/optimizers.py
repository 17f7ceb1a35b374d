"""Torch's optimizers by the names that models declare, and their state as named tensors and plain numbers."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.errors import UsageError
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Group, Optimizer
from zoo_core.training.muon import Muon

KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "muon": Muon,
    "lbfgs": torch.optim.LBFGS,
}
FUSED = ("adam", "adamw", "sgd")  # one pass over all parameters, several times faster on a CPU
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SCRATCH = ("al",)  # L-BFGS fills it anew in every step


class LiveOptimizer:
    """A declared optimizer with the parameters that it moves.

    Attributes:
        declared: what the model says of it.
        parameters: by their name in the model, each once.
    """

    def __init__(self, model: Model, declared: Optimizer, lr: float | None = None) -> None:
        """`lr` overrules the declared one.

        Raises:
            UsageError: no such kind, or a learning rate that is not positive.
        """
        self.declared = declared if lr is None else replace(declared, lr=lr)
        if self.declared.kind not in KINDS:
            raise UsageError(f"no optimizer '{declared.kind}'", f"There are: {', '.join(KINDS)}.")
        if not (self.declared.lr > 0 and math.isfinite(self.declared.lr)):
            raise UsageError(f"--lr must be greater than 0, got {self.declared.lr}")
        self.parameters: dict[str, nn.Parameter] = {
            f"{module}.{name}".lstrip("."): parameter
            for module in declared.modules
            for name, parameter in model.get_submodule(module).named_parameters()
        }
        options = dict(self.declared.options)
        if self.declared.kind in FUSED and all(p.device.type == "cpu" for p in self.parameters.values()):
            options.setdefault("fused", not options.keys() & {"foreach", "differentiable"})
        if self.declared.kind == "muon":
            options["filters"] = [
                parameter
                for name, parameter in self.parameters.items()
                if isinstance(model.get_submodule(name.rpartition(".")[0]), CONVOLUTIONS)
            ]
        self.torch = KINDS[self.declared.kind](self._groups(), lr=self.declared.lr, **options)

    def _groups(self) -> list[dict[str, Any]]:
        """The parameters as torch takes them, in the declared groups; torch gives each group what it does not say.

        Raises:
            UsageError: a name of a group matches no parameter.
        """
        kind = self.declared.kind
        if self.declared.groups and (
            kind == "lbfgs" or (kind == "muon" and any(g.options for g in self.declared.groups))
        ):
            what = "no groups" if kind == "lbfgs" else "groups that differ in their rate only"
            raise UsageError(f"the optimizer {kind} can have {what}")
        declared = [*self.declared.groups, Group()]  # what fits no group is left to the optimizer's own options
        for group in self.declared.groups:
            for pattern in group.names:
                match_names(pattern, self.parameters)
        chosen: dict[int, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            number = next(
                number
                for number, group in enumerate(declared)
                if any(fnmatchcase(name, pattern) for pattern in group.names)
                and (parameter.ndim <= 1 or not group.vectors)
            )
            chosen.setdefault(number, []).append(parameter)
        self.lr_factors = [declared[number].lr_factor for number in chosen]
        return [{"params": parameters, **declared[number].options} for number, parameters in chosen.items()]

    def step(self, closure: Callable[[], float], progress: float) -> None:
        """One step; `closure` sets the gradients and returns the loss, and L-BFGS calls it several times."""
        for group, factor in zip(self.torch.param_groups, self.lr_factors, strict=True):
            group["lr"] = self.declared.lr * factor * self.declared.decay(progress)
        self.torch.step(closure)
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values, by `parameter/key`, and `parameter/key/number` where torch keeps a list."""
        tensors: dict[str, Tensor] = {}
        plain: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            for key, value in self.torch.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"{name}/{key}"] = value
                elif isinstance(value, list) and key not in SCRATCH:
                    plain[f"{name}/{key}"] = {"length": len(value)}
                    tensors |= {f"{name}/{key}/{number}": item for number, item in enumerate(value)}
                elif key not in SCRATCH:
                    plain[f"{name}/{key}"] = value
        return tensors, plain

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""

        def copied(place: str, device: torch.device) -> Tensor:
            tensor = tensors[place]
            return tensor.to(device if tensor.ndim else "cpu", copy=True)  # counters stay on the CPU

        for place, value in plain.items():
            name, key = place.split("/")
            parameter = self.parameters[name]
            if isinstance(value, dict):
                value = [copied(f"{place}/{number}", parameter.device) for number in range(value["length"])]
            self.torch.state[parameter][key] = value
        for place in tensors:
            name, key, *item = place.split("/")
            if not item:
                parameter = self.parameters[name]
                self.torch.state[parameter][key] = copied(place, parameter.device)


def match_names(pattern: str, names: Iterable[str]) -> list[str]:
    """The parameter names that a glob pattern matches.

    Raises:
        UsageError: it matches none.
    """
    names = list(names)
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3)
        raise UsageError(
            f"no parameter has a name like '{pattern}'",
            f"The nearest are: {', '.join(near or names[:3])}. '*' stands for any letters.",
        )
    return found
