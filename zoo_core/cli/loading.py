"""What the commands that use a model share."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from zoo_core.cli.printing import say_which
from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.torch_state import use_threads_of
from zoo_core.weights.loading import load


def load_for(capability: str, reference: str, device: str, *more: str) -> tuple[AnyModel, str]:
    """The model of `reference`, which must have the capability, and `more`, and its full name."""
    say_which(reference)
    model = load(reference, device=device)
    for needed in (capability, *more):
        if needed not in model.capabilities:
            raise UsageError(f"'{reference}' is no {needed}", f"Run 'zoo list --capability {needed}' to see which are.")
    if "image" not in model.signature():
        raise UsageError(
            f"'{reference}' is for {' and '.join(model.signature())}, not for images",
            f"Use it from Python: zoo_core.load('{reference}').",
        )
    use_threads_of(model)
    assert model.load_report is not None
    return model, model.load_report.name


def with_options(
    method: Callable[..., torch.Tensor], *arguments: Any, told: Mapping[str, Any] = {}, **options: Any
) -> torch.Tensor:
    """Call a capability method with the options it has. `progress` is dropped silently where it has none, and so is an
    option that was not given; one that was given is refused. `told` are the values of conditions."""
    has = inspect.signature(method).parameters
    if "progress" not in has:
        options.pop("progress", None)
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in has:
            raise UsageError(f"this model has no option --{name}")
    return method(*arguments, **options, **told)
