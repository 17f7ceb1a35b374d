"""What the commands that use a model share: loading it, opening what it works on, calling its methods."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.cli.printing import talk

if TYPE_CHECKING:
    from zoo_core.inputs import InputKind, Inputs
    from zoo_core.interfaces.any_model import AnyModel
    from zoo_core.interfaces.model import Model
    from zoo_core.interfaces.step import Step

R = TypeVar("R")

input_option = click.option(
    "--input",
    "steps",
    multiple=True,
    metavar="STEP",
    help="Done to a picture before all else: invert, rotate:degrees=90; may be repeated.",
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
        capability: what it must be able to do; of several, one.
        more: what it must be able to do besides.
        takes: the kinds of examples that the command can give it; None: it does not matter.

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
    """UsageError unless a command for these kinds of examples can serve the model."""
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
    """The steps of `--input`."""
    from zoo_core.steps.notation import parse_step, read_steps

    return read_steps([parse_step(text) for text in texts], "the picture")


def say_unused(inputs: "Inputs") -> None:
    """Tell which columns of the user's tables the model does not take."""
    if inputs.unused:
        talk(f"Not used: {', '.join(inputs.unused)}.")


def with_options(method: Callable[..., R], *arguments: Any, told: Mapping[str, Any] = {}, **options: Any) -> R:
    """Call a capability method with the options it has. `progress` is dropped silently where it has none, and so is an
    option that was not given; one that was given is refused. `told` are the values of conditions."""
    from zoo_core.errors import UsageError

    has = inspect.signature(method).parameters
    if "progress" not in has:
        options.pop("progress", None)
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in has:
            raise UsageError(f"this model has no option --{name.replace('_', '-')}")
    return method(*arguments, **options, **told)
