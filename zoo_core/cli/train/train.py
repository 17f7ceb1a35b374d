"""zoo train"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.assignments import read_assignments, set_option, show_fields
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import (
    data_file_option,
    data_option,
    metric_option,
    model_argument,
    reference_option,
    select_option,
    steps_option,
)
from zoo_core.cli.numbers import seed_option
from zoo_core.cli.printing import as_reference, examples, talk

if TYPE_CHECKING:
    from zoo_core.discovery.registry import Registry
    from zoo_core.releases.recipe import RunArguments
    from zoo_core.releases.release import ReleaseConfig
    from zoo_core.training.run import Run


@click.command(
    epilog=examples(
        "zoo train pixelrnn --data digits -o runs/mine",
        "zoo train --resume runs/mine",
        "zoo train --from digit-classifier --head --data omniglot --size 28 -o runs/omniglot",
    )
)
@model_argument(required=False)
@data_option("The data set, or folder:PATH for your own images. Some models need none.")
@data_file_option()
@click.option("--per-class", type=click.IntRange(min=1), help="Learn from only this many examples of each class.")
@reference_option("--from", "start", help="Start from these weights. MODEL may then be left out.")
@click.option(
    "--head", is_flag=True, help="With --from: replace the last layer by a fresh one, for the classes of the data."
)
@click.option(
    "--freeze", multiple=True, metavar="GLOB", help="With --from: keep these parameters as they are: 'features.*'."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A new folder, which becomes a release.")
@click.option(
    "--epochs", type=click.FloatRange(min=0, min_open=True), help="How many passes over the data; 10 by default."
)
@click.option("--steps", type=click.IntRange(min=1), help="How many steps, in place of --epochs.")
@click.option(
    "--until",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this many epochs. Schedules still follow --epochs.",
)
@click.option(
    "--patience", type=click.IntRange(min=1), help="Stop after this many epochs in a row without improvement."
)
@seed_option()
@set_option
@steps_option("--input", "input_steps", "A step of preprocessing, such as binarize:mode=sample.")
@steps_option("--augment", "augment", "A random change of training images, such as flip; or none.")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    help="Resize images to a square with this many pixels a side, before other steps.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), help="How many examples a batch holds; by default as the model says."
)
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), help="The learning rate; by default as the model says."
)
@click.option(
    "--accumulate", type=click.IntRange(min=1), default=1, help="Split each batch into this many parts, to save memory."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    help="fp32 or bf16; by default the model's own, if it is fast here.",
)
@click.option(
    "--storage",
    type=click.Choice(["float32", "bfloat16"]),
    help="The dtype of the stored weights; by default as computed.",
)
@select_option("The validation metric that chooses the best epoch.")
@click.option(
    "--eval-batch", type=click.IntRange(min=1), help="How many examples are measured at a time; 100 by default."
)
@metric_option("A further metric to measure at the end, such as iwae_nll. May be repeated.")
@click.option(
    "--log",
    multiple=True,
    type=click.Choice(["csv", "tensorboard"]),
    help="Write the curve in this format too. May be repeated.",
)
@click.option("--test/--no-test", default=True, help="Whether to measure on the test split at the end; by default yes.")
@click.option("--summary", help="What the release is, in one line.")
@click.option("--licence", default="NOASSERTION", help="The licence of the weights, SPDX.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue the run in this folder. No other options can be given.",
)
@click.option("--help-config", is_flag=True, help="Show the Config values of MODEL, for --set.")
@click.option(
    "--device", default="auto", help="Where to compute: cpu, cuda, cuda:1, …; by default a GPU if there is one."
)
@hub_options
@click.pass_context
def train(
    context: click.Context,
    /,
    model: str | None,
    start: str | None,
    data_file: Path | None,
    output: Path | None,
    resume: Path | None,
    help_config: bool,
    device: str,
    log: tuple[str, ...],
    **options: Any,
) -> None:
    """Train MODEL on a data set. The output folder holds the checkpoints, and is a release when training ends.

    Interrupt training with Ctrl-C, and continue it with zoo train --resume OUTPUT. To train with several processes, use
    torchrun --nproc-per-node 4 -m zoo_core train …, or accelerate launch; --batch is then the number of
    examples for all of them together.

    To start from weights and learn other classes: zoo train --from digit-classifier.mnist --head
    --freeze 'convolutions.*' --data letters -o runs/letters. Frozen parameters keep their exact values; a new head is
    never frozen.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError
    from zoo_core.training.from_weights import model_of
    from zoo_core.training.memory import keep_freed_memory
    from zoo_core.training.opening import start_run
    from zoo_core.training.progress import train_and_watch

    registry = default_registry()
    if start is not None and resume is None and model is None:
        model = model_of(start, registry)
    if help_config:
        _show_config(model, start, registry)
        return
    if resume is not None:
        run = _resume(resume, _given(context), registry)
        if run.released:
            talk(f"'{resume}' is finished. Load it: zoo load {as_reference(resume)}")
            return
    else:
        for name, value in {"MODEL": model, "--output": output}.items():
            if value is None:
                raise UsageError(f"{name} is missing", "For example: zoo train pixelrnn --data digits -o runs/mine")
        assert model is not None and output is not None
        asked = _arguments(registry, model, start=start, **options)
        run = start_run(output, asked, registry, data_file=data_file, device=device, log=log)
        _say_start(run)
    keep_freed_memory()
    _say_what_next(run, train_and_watch(run))


def _resume(folder: Path, given: list[str], registry: "Registry") -> "Run":
    """The run in `folder`, which keeps its arguments: what is `given` beside it is refused."""
    from zoo_core.errors import UsageError
    from zoo_core.training.opening import resume_run

    if given:
        raise UsageError(
            f"--resume takes nothing else, and there is {', '.join(given)}",
            "A run keeps its arguments. For others begin a new one: zoo train MODEL --data DATA … -o FOLDER "
            f"(where nothing was saved yet, -o {folder} will do).",
        )
    run = resume_run(folder, registry)
    if not run.released:
        talk(f"Continuing at {run.loop.progress:.1%} of the run.")
    return run


def _arguments(
    registry: "Registry",
    model: str,
    *,
    data: str | None,
    epochs: float | None,
    assignments: tuple[str, ...],
    input_steps: tuple[str, ...],
    augment: tuple[str, ...],
    size: int | None,
    **others: Any,
) -> "RunArguments":
    """What is asked for on the command line, as a run records it."""
    from zoo_core.discovery.registry import NO_DATA
    from zoo_core.errors import UsageError
    from zoo_core.releases.recipe import RunArguments, parse_augmentation
    from zoo_core.steps.notation import parse_step

    if epochs is not None and others["steps"] is not None:
        raise UsageError("--epochs and --steps exclude each other")
    if others["metrics"] and not others["test"]:
        raise UsageError("--metric and --no-test exclude each other")
    data, images = _resized(data or NO_DATA, [parse_step(text) for text in input_steps], size)
    return RunArguments(
        model=model,
        data=data,
        epochs=epochs or (10.0 if others["steps"] is None else None),
        config=read_assignments(assignments, registry.model_class(registry.model(model)).Config),
        input=images,
        augment=parse_augmentation(augment),
        **others | {"freeze": list(others["freeze"])},
    )


def _say_what_next(run: "Run", release: "ReleaseConfig") -> None:
    """Say, after training, where the release is and what it lacks.

    Raises:
        ZooError: a metric that the user named could not be measured.
    """
    from zoo_core.errors import ZooError
    from zoo_core.releases.licence import ways_to_state

    place = as_reference(run.folder)
    talk(f"'{run.folder}' is a release, with its curve in curve.png. Load it: zoo load {place}")
    if missing := release.licence.missing:
        ways = ways_to_state(release.licence, release.zoo.plugin)
        talk(f"To publish it, state the licence of its {' and of its '.join(missing)} first. {ways}")
    measured = [entry.metric for entry in release.metrics]
    if run.arguments.test and (lacking := [name for name in run.arguments.metrics if name not in measured]):
        raise ZooError(
            f"the release is whole, but without {', '.join(lacking)}",
            f"To see why: zoo eval {place} --metric {lacking[0]}",
        )


def _show_config(model: str | None, start: str | None, registry: "Registry") -> None:
    """Print the Config values of a model: those of its preset, or of the weights to start from."""
    from zoo_core.errors import UsageError
    from zoo_core.training.from_weights import locate_parent

    if model is None:
        raise UsageError("--help-config needs a model")
    registration = registry.model(model)
    values = registration.spec.preset if start is None else locate_parent(start, registry).release.config
    show_fields(registry.model_class(registration).Config, values)


def _resized(data: str, steps: list[dict[str, Any]], size: int | None) -> tuple[str, list[dict[str, Any]]]:
    """The data set and the preprocessing steps for squares of `size` pixels. The user's own images are resized while
    they are read, because they may have many sizes."""
    from zoo_core.discovery.registry import split_path

    if size is None:
        return data, steps
    if split_path(data)[1] is not None:
        return f"{data},size={size}", steps
    return data, [{"step": "resize", "size": size}, *steps]


def _say_start(run: "Run") -> None:
    """Say what training starts from, unless it is from scratch, and what follows from that."""
    from zoo_core.releases.licence import UNKNOWN
    from zoo_core.training.finishing import licence_of
    from zoo_core.training.from_weights import describe

    if run.parent is None:
        return
    talk(describe(run.model, run.parent, run.arguments))
    licence = licence_of(run).weights
    if run.arguments.licence == UNKNOWN != licence:
        talk(f"The weights will have the licence of those, {licence}; for another: --licence.")


def _given(context: click.Context) -> list[str]:
    """The options that were given together with --resume, except those for the hub, which may have the parent."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in context.params
        and parameter.name != "resume"
        and context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    ]
