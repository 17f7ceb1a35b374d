"""A method of a model as a program: a list of operations on tensors that does not depend on their values."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, export

from zoo_core.discovery.registry import Registry, unknown
from zoo_core.errors import UsageError, ZooError
from zoo_core.exporting.formats import Program
from zoo_core.interfaces.capability_table import CapabilitySpec
from zoo_core.interfaces.model import Model

# Why a method is no such program, by how its golden output is made; see `GoldenCall`.
_DRAWS = "it draws random numbers, and a program gives the same each time"
_REFUSED: dict[str | None, str] = {
    "n, generator": _DRAWS,
    "x, generator": _DRAWS,
    "x, seed": _DRAWS,
    "x, known, generator": _DRAWS,
    "images": "it takes a list of images of any size, and a program takes tensors",
    None: "it takes or gives more than one tensor",
}


def choose_method(model: Model, name: str, registry: Registry) -> CapabilitySpec:
    """The capability whose method has this name.

    Raises:
        UnknownName: the model has no capability with such a method.
        UsageError: the method cannot be a program of tensors.
    """
    specs = {spec.method: spec for spec in registry.capabilities() if spec.name in model.capabilities}
    if name not in specs:
        raise unknown("method of this model", name, specs)
    spec = specs[name]
    if spec.golden in _REFUSED:
        others = [method for method, other in specs.items() if other.golden not in _REFUSED]
        hint = f"What can be: --method {' or '.join(others)}." if others else "No other method of it can be, either."
        raise UsageError(f"{name} cannot be exported: {_REFUSED[spec.golden]}", hint)
    return spec


def inputs_of(model: Any, spec: CapabilitySpec, x: Any) -> dict[str, Tensor]:
    """The tensors that the method is given, [B, …] each, by name.

    Args:
        x: the subject of a batch, preprocessed; None where the release records no batch.

    Raises:
        UsageError: an argument of the method is not a tensor.
    """
    if spec.golden == "z":
        return {"z": _latents(model, x)}
    if not isinstance(x, Tensor):
        takes = "no batch is recorded to try it with" if x is None else "it takes more than a tensor, or texts"
        raise UsageError(f"{spec.method} cannot be exported: {takes}")
    return {"content": x, "style": x.flip(0)} if spec.golden == "x, x" else {model.subject: x}


@torch.no_grad()
def _latents(model: Any, x: Any) -> Tensor:
    """Of a recorded batch where the model encodes, else of its prior."""
    z: Tensor
    if isinstance(x, Tensor) and "Encoder" in model.capabilities:
        z = model.encode(x)
    elif "Prior" in model.capabilities:
        z = model.sample_prior(4, generator=torch.Generator().manual_seed(0))
    else:
        raise UsageError("decode cannot be exported: nothing says which latents the model decodes")
    return z


class _Call(nn.Module):
    """One method of a model, as the only thing that it does."""

    def __init__(self, model: Model, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method
        for name, dependency in model.attached.items():  # no submodules of the model, and yet weights of the program
            self.add_module(f"dependency_{name}", dependency)

    def forward(self, *tensors: Tensor) -> Any:
        return getattr(self.model, self.method)(*tensors)


@torch.no_grad()
def trace(model: Model, spec: CapabilitySpec, inputs: Mapping[str, Tensor]) -> Program:
    """The program of a method, for any number of examples, and for any size along the axes that the model's signature
    leaves open.

    Raises:
        ZooError: there is no such program, because what is computed depends on values.
    """
    field = model.signature().get(model.subject)
    shape = () if field is None or model.subject not in inputs else field.shape
    free = {axis: f"size_{axis}" for axis, size in enumerate(shape, 1) if size is None}
    twice = [torch.cat([tensor, tensor]) for tensor in inputs.values()]  # a batch of 1 would be taken for a constant
    batch = Dim("batch", min=1)
    axes = {0: batch, **dict.fromkeys(free, Dim.AUTO)}
    call = _Call(model, spec.method).eval()
    try:
        graph = export(call, tuple(twice), dynamic_shapes=((axes,) * len(twice),), strict=False)
    except Exception as error:  # of many kinds, and of code that torch runs for us
        raise ZooError(f"{spec.method} cannot be exported: {_reason(error)}") from error
    return Program(graph, tuple(inputs), spec.method, ({0: "batch", **free},) * len(twice))


def _reason(error: Exception) -> str:
    """Of what torch says, what a user can read."""
    first = str(error).strip().split("\n")[0]
    if "data-dependent" in first.lower():
        return "which steps it takes depends on the values that it computes"
    if "violated (batch)" in first:
        return "it takes the number of examples for a constant, as len(x) does; x.shape[0] is none"
    return f"{type(error).__name__}: {first}"
