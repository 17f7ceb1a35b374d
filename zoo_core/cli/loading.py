"""What the commands that use a model have in common: loading it, opening its inputs, calling its methods."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.cli.names import steps_option
from zoo_core.cli.printing import talk

if TYPE_CHECKING:
    from zoo_core.inputs import InputKind, Inputs
    from zoo_core.interfaces.any_model import AnyModel
    from zoo_core.interfaces.model import Model
    from zoo_core.interfaces.step import Step

R = TypeVar("R")

input_option = steps_option(
    "--input",
    "steps",
    "A step that is applied to pictures first: invert, grey, crop:size=900, resize:size=28, rotate:degrees=90, …; may "
    "be repeated.",
)

KINDS = {"image": "images", "row": "rows of numbers", "text": "texts"}


def load_for(
    capability: str | Sequence[str],
    reference: str,
    device: str,
    *more: str,
    takes: "Sequence[InputKind] | None" = ("image",),
) -> "tuple[AnyModel, str]":
    """The model of `reference`, ready for a command, and its full name.

    Args:
        capability: what it must be able to do; if there are several, one of them is enough.
        reference: the model.
        device: where it goes.
        more: what it must be able to do in addition.
        takes: the kinds of examples that the command can give it; None: any kind.

    Raises:
        UsageError: it is another kind of model.
    """
    from zoo_core.errors import UsageError
    from zoo_core.torch_state import use_threads_of
    from zoo_core.weights.loading import load

    model = load(reference, device=device)
    for needed in (capability, *more):
        choice = [needed] if isinstance(needed, str) else needed
        if not set(choice) & set(model.capabilities):
            hint = f"Run 'zoo list --capability {choice[0]}' to see which are."
            raise UsageError(f"'{reference}' is no {' and no '.join(choice)}", hint)
    if takes is not None:
        check_takes(model, reference, takes)
    use_threads_of(model)
    assert model.load_report is not None
    return model, model.load_report.name


def check_takes(model: "Model", reference: str, takes: "Sequence[InputKind]") -> None:
    """Raise a UsageError unless the model takes one of these kinds of examples."""
    from zoo_core.errors import UsageError
    from zoo_core.inputs import input_kind

    kind = input_kind(model)
    if kind is None:
        raise UsageError(
            f"'{reference}' takes {model.signature()[model.subject].kind}, which no command can give it",
            f"Use it from Python: zoo_core.load('{reference}').",
        )
    if kind not in takes:
        raise UsageError(
            f"'{reference}' is for {KINDS[kind]}, and this command for {' and '.join(KINDS[kind] for kind in takes)}",
            f"Run 'zoo load {reference}' to see what can be done with it.",
        )


def input_steps(texts: Sequence[str]) -> "tuple[Step, ...]":
    """The steps that `--input` names."""
    from zoo_core.steps.notation import parse_step, read_steps

    return read_steps([parse_step(text) for text in texts], "the picture")


def say_unused(inputs: "Inputs") -> None:
    """Say which columns of the user's tables the model does not use."""
    if inputs.unused:
        talk(f"Not used: {', '.join(inputs.unused)}.")


def with_options(method: Callable[..., R], *arguments: Any, told: Mapping[str, Any] = {}, **options: Any) -> R:
    """Call the method of a capability with those options that it has.

    Options that were not given are left out, and so is `progress` if the method has none. An option that was given and
    that the method does not have is refused. `told` are the values of conditions.
    """
    from zoo_core.errors import UsageError

    has = inspect.signature(method).parameters
    if "progress" not in has:
        options.pop("progress", None)
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in has:
            raise UsageError(f"this model has no option --{name.replace('_', '-')}")
    return method(*arguments, **options, **told)
