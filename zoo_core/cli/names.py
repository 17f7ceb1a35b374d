"""Arguments and options that are names: of releases, models, data sets and metrics.

A name is looked up while the command line is read, so that a wrong one is reported at once. Only then, when there is
work to do, torch is imported.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.cli.printing import talk

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])


def reference_argument(name: str = "reference", *, weights: bool = True) -> Callable[[Command], Command]:
    """REFERENCE: one release; with `weights=False` also a model that has none. See `zoo_core.weights.reference`."""
    return click.argument(
        name, callback=_known_reference if weights else _known_model_or_reference, shell_complete=_references
    )


def reference_option(flag: str, name: str, *, help: str) -> Callable[[Command], Command]:
    """An option whose value is one release."""
    return click.option(
        flag, name, metavar="REFERENCE", help=help, callback=_known_reference, shell_complete=_references
    )


def references_argument(metavar: str = "REFERENCE…", *, required: bool = False) -> Callable[[Command], Command]:
    """REFERENCES: any number of releases. Only a single one is looked up here; with many, a command goes on after an
    unknown one."""
    return click.argument(
        "references",
        metavar=metavar,
        nargs=-1,
        required=required,
        callback=_known_references,
        shell_complete=_references,
    )


def model_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """MODEL: the architecture, without weights."""
    return click.argument("model", required=required, callback=_known_model, shell_complete=_models)


def data_option(help: str, name: str = "data", **options: Any) -> Callable[[Command], Command]:
    """--data: a data set, or folder:PATH."""
    return click.option("--data", name, help=help, callback=_known_data, shell_complete=_datasets, **options)


def data_file_option() -> Callable[[Command], Command]:
    """--data-file: where the user's own data are."""
    return click.option(
        "--data-file",
        type=click.Path(exists=True, path_type=Path),
        help="Your own file, for a data set that takes one.",
    )


def metric_option(help: str) -> Callable[[Command], Command]:
    """--metric, which may be given many times."""
    return click.option("--metric", "metrics", multiple=True, metavar="METRIC", help=help, callback=_known_metrics)


def data_argument(name: str = "name") -> Callable[[Command], Command]:
    """NAME: a data set."""
    return click.argument(name, callback=_known_data, shell_complete=_datasets)


def select_option(help: str) -> Callable[[Command], Command]:
    """--select: one metric."""
    return click.option("--select", metavar="METRIC", help=help, callback=_known_metric)


def steps_option(flag: str, name: str, help: str) -> Callable[[Command], Command]:
    """--input or --augment: steps, whose values are checked when the step is built."""
    return click.option(flag, name, multiple=True, metavar="STEP", help=help, callback=_known_steps)


def say_which(reference: str) -> None:
    """Say that a folder was taken, if a repository of the same name is on this machine too."""
    from zoo_core.hub.endpoint import current_endpoint
    from zoo_core.hub.repository import is_cached
    from zoo_core.weights.reference import folder_and_repository

    if folder_and_repository(reference) and is_cached(current_endpoint(), reference.partition("@")[0]):
        talk(f"Taking the folder '{reference}'; the repository of that name is hf:{reference}.")


def _known_reference(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    from zoo_core.discovery.registry import default_registry
    from zoo_core.weights.manifest import default_manifest
    from zoo_core.weights.reference import NameReference, parse_reference
    from zoo_core.weights.sources import find_pinned

    if text is None:
        return None
    reference = parse_reference(text)
    if isinstance(reference, NameReference):
        registry = default_registry()
        find_pinned(reference, registry, default_manifest(registry))
    say_which(text)
    return text


def _known_model_or_reference(context: click.Context, parameter: click.Parameter, text: str) -> str | None:
    from zoo_core.weights.reference import NameReference, parse_reference

    reference = parse_reference(text)
    if isinstance(reference, NameReference) and reference.tag is None:
        _known_model(context, parameter, text)
        return text
    return _known_reference(context, parameter, text)


def _known_references(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> Sequence[str]:
    for text in dict.fromkeys(texts):
        if len(texts) == 1 and not set(text) & set("*?["):
            _known_reference(context, parameter, text)
        else:
            say_which(text)
    return texts


def _known_model(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    from zoo_core.discovery.registry import default_registry

    if name is not None:
        default_registry().model(name)
    return name


def _known_data(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    from zoo_core.discovery.registry import NO_DATA, default_registry, normalise

    if name is not None and normalise(name) != NO_DATA:
        default_registry().dataset(name)
    return name


def _known_metrics(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> Sequence[str]:
    from zoo_core.discovery.registry import default_registry

    for name in names:
        default_registry().metric(name)
    return names


def _known_metric(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    if name is not None:
        _known_metrics(context, parameter, [name])
    return name


def _known_steps(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> Sequence[str]:
    from zoo_core.discovery.registry import default_registry
    from zoo_core.releases.recipe import NO_AUGMENTATION
    from zoo_core.steps.notation import parse_step

    option = parameter.opts[0].removeprefix("--")
    for text in texts:
        if not (option == "augment" and text == NO_AUGMENTATION):
            default_registry().step(str(parse_step(text)["step"]), option)
    return texts


def _references(context: click.Context, parameter: click.Parameter, begun: str) -> "list[CompletionItem]":
    from zoo_core.catalogue.listing import list_models

    return _completions(list_models(), begun)


def _models(context: click.Context, parameter: click.Parameter, begun: str) -> "list[CompletionItem]":
    from zoo_core.discovery.registry import default_registry

    return _completions([registration.spec.name for registration in default_registry().models()], begun)


def _datasets(context: click.Context, parameter: click.Parameter, begun: str) -> "list[CompletionItem]":
    from zoo_core.discovery.registry import default_registry

    return _completions([registration.spec.name for registration in default_registry().datasets()], begun)


def _completions(names: Sequence[str], begun: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(begun)]
