"""The group of all commands. `zoo --help` imports none of them, and does not look for plugins."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TextIO

import click

from zoo_core import __version__
from zoo_core.errors import OddInput, UnfinishedRun, UnknownName, ZooError

ONE_LINE = {UnfinishedRun: "Note", OddInput: "Warning"}  # warnings for users, and how they begin

# section of the help -> name -> (where the command is, below zoo_core.cli; the line that help shows)
SECTIONS = {
    "Use models": {
        "load": ("use.load:load", "Verify and build a pretrained model, and describe it."),
        "list": ("use.list:list_command", "List models and their pretrained weights."),
        "info": ("use.info:info", "Show everything about a model: data, loss, numbers, files, …"),
        "code": ("use.code:code", "Print the file that defines a model; with --all every file."),
        "sample": ("use.sample:sample", "Sample new examples: images, or rows of numbers."),
        "generate": ("use.generate:generate", "Continue a text with a language model."),
        "translate": ("use.translate:translate", "Translate texts, or show images in another domain."),
        "complete": ("use.complete:complete", "Fill in the unknown part of an image."),
        "predict": ("use.predict:predict", "Predict classes, numbers or objects for images, rows or texts."),
        "features": ("use.features:features", "Write the outputs of layers for images, as safetensors."),
        "reconstruct": ("use.reconstruct:reconstruct", "Show images above their reconstructions by an autoencoder."),
        "interpolate": ("use.interpolate:interpolate", "Show the decoded images on the way from one to another."),
        "traverse": ("use.traverse:traverse", "Decode what each number of an image's latent does."),
        "latents": ("use.latents:latents", "Plot the latents of a data set."),
    },
    "Measure them": {
        "summary": ("measure.summary:summary", "Show the layers of a model: parameters, FLOPs, …"),
        "score": ("measure.score:score", "Score how likely and how anomalous images, rows or texts are."),
        "eval": ("measure.eval:eval_command", "Measure a model, and compare with its recorded numbers."),
        "compare": ("measure.compare:compare_command", "Measure several models on the same examples."),
        "verify": ("measure.verify:verify", "Check the files of releases, and what their models compute."),
    },
    "Share them": {
        "import": ("share.import_command:import_command", "Make a release from another library's safetensors."),
        "push": ("share.push:push", "Publish a release on a hub, or in a folder."),
        "pull": ("share.pull:pull", "Download and verify releases, to load them without a network."),
        "search": ("share.search:search", "List the releases on a hub."),
        "export": ("share.export:export_command", "Write a model as an ONNX or torch.export program."),
        "bundle": ("share.bundle:bundle_command", "Pack releases, data and wheels for a place without network."),
        "unbundle": ("share.bundle:unbundle_command", "Unpack and verify such a bundle."),
        "doctor": ("share.doctor:doctor", "Check whether everything is installed, and say what is missing."),
        "plugins": ("share.plugins:plugins", "List the plugins and what each adds."),
    },
    "Train your own": {
        "data": ("train.data:data", "List data sets, download them, and look at examples."),
        "train": ("train.train:train", "Train a model, and write a release."),
        "reproduce": ("train.reproduce:reproduce_command", "Train again by a release's recipe, and compare."),
        "study": ("train.study:study", "Make a report with pictures and numbers about one question."),
    },
}
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}


class LazyGroup(click.Group):
    """Imports a command only when it is run, and looks for plugins only if no command of the core has the name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            return _import(f"zoo_core.cli.{COMMANDS[name][0]}")
        from zoo_core.discovery.registry import default_registry

        registry = default_registry()
        found = [registration for registration in registry.commands() if registration.spec.name == name]
        if len(found) > 1:
            owners = " and ".join(registration.plugin.label for registration in found)
            raise ZooError(f"command '{name}' is added by {owners}", "Disable one: ZOO_DISABLE_PLUGINS=NAME.")
        return _import(found[0].spec.target) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from zoo_core.discovery.registry import default_registry, unknown

            raise unknown("command", name, [*COMMANDS, *(o.spec.name for o in default_registry().commands())])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, (_, line) in commands.items()])
        formatter.write("\nPlugins add more: zoo plugins --commands\n")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback if there is an error.")
def zoo(debug: bool) -> None:
    """A zoo of classic models with verified pretrained weights.

    To begin: zoo load pixelrnn
    """


def _import(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def main(arguments: list[str] | None = None) -> None:
    """The entry point. It shows each error in one line, and the exit code says what kind of error it is."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]  # wherever it stands
    try:
        with _warnings_in_one_line():
            sys.exit(zoo.main(arguments, prog_name="zoo", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:  # click raises the one from the other
        _fail(str(error.__cause__ or error) or "interrupted", 130)
    except ZooError as error:
        if debug:
            raise
        if isinstance(error, UnknownName) and error.hint is None:
            _fail(f"{error}\n  Run 'zoo list' to see all.", error.exit_code)
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        text = str(error).strip().splitlines()
        _fail(f"{type(error).__name__}: {text[0] if text else ''}\n  Add --debug to see where.", 1)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show warnings about unfinished runs and odd inputs in one line, and all others as Python does."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if said_as := next((word for kind, word in ONE_LINE.items() if issubclass(category, kind)), None):
            print(f"{said_as}: {message}", file=sys.stderr)
        else:
            as_python_does(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        for kind in ONE_LINE:
            warnings.simplefilter("always", kind)
        as_python_does, warnings.showwarning = warnings.showwarning, show
        yield


def _fail(message: str, code: int) -> None:
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
