"""`Study`: shows one thing, with trained models, pictures and measured numbers.

    class Orderings(Study, kw_only=True):
        epochs: Annotated[float, Meta(gt=0)] = 3

        def make(self, report: Report) -> None:
            for name in ("raster", "reverse", "random"):
                run = report.train(name, "nade", data="binarized-mnist", epochs=self.epochs, config={"ordering": name})
                ...
            report.table(["ordering", "validation NLL"], rows)

A plugin declares such a class by `zoo_studies`; `zoo study NAME -o FOLDER` makes it. Runs are kept in FOLDER/runs: a
study that was interrupted goes on where it was.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.interfaces.record import Record, to_plain
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import ReleaseConfig, read_release
from zoo_core.releases.run_folder import RUN
from zoo_core.torch_state import torch_state_kept
from zoo_core.training.finishing import finish
from zoo_core.training.run import Run
from zoo_core.training.train import Trained, check_names

REPORT, NUMBERS, MARK = "README.md", "numbers.json", "study.json"


def _train(run: Run) -> ReleaseConfig:
    """Studies compare on the validation split; the test split is not for choosing."""
    run.train()
    return finish(run)


class Report:
    """What a study writes into a folder: README.md with its pictures, and numbers.json with the content of the tables.

    Args:
        folder: a new one, or one in which the same study with the same values was begun.
        registry: the plugins; by default those that are installed.
        run_one: a function that trains a run and returns its release.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        registry: Registry | None = None,
        run_one: Callable[[Run], ReleaseConfig] = _train,
    ) -> None:
        self.folder = Path(folder)
        self.registry = registry or default_registry()
        self.run_one = run_one
        self.parts: list[str] = []
        self.tables: list[dict[str, Any]] = []

    def write(self, title: str, study: "Study") -> None:
        """Run a study and write its report.

        Args:
            title: the heading of the report.
            study: its `make` is called with this report.

        Raises:
            UsageError: the folder holds something else.
        """
        values = {"study": type(study).__name__, **to_plain(study)}
        mark = self.folder / MARK
        is_new = not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir()))
        if not is_new and not (mark.is_file() and json.loads(mark.read_text()) == values):
            raise UsageError(
                f"the output folder '{self.folder}' exists, and holds something else than this study with these values",
                "Choose another one.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(mark, json.dumps(values, indent=1))
        try:
            with torch_state_kept():
                study.make(self)
        except BaseException:
            if list(self.folder.iterdir()) == [mark]:  # refused before there was anything to go on with
                mark.unlink()
                self.folder.rmdir()
            raise
        write_atomically(self.folder / NUMBERS, json.dumps({**values, "tables": self.tables}, indent=1))
        write_atomically(self.folder / REPORT, "\n\n".join([f"# {title}", *self.parts, ""]))

    def say(self, text: str) -> None:
        """Add a paragraph of Markdown."""
        self.parts.append(" ".join(text.split()))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table. Floats are shown with four digits; numbers.json has all of them."""
        lines = [header, ["---"] * len(header), *rows]
        self.parts.append("\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines))
        self.tables.append({"header": list(header), "rows": [list(row) for row in rows]})

    @contextmanager
    def picture(self, name: str, caption: str, *, rows: int = 1, columns: int = 1, size: float = 3.2) -> Iterator[Any]:
        """Add a picture, with matplotlib.

            with report.picture("widths", "More units, and more again.") as axes:
                axes[0, 0].plot(widths, accuracies)

        Args:
            name: it is saved as NAME.png.
            caption: the text below it, Markdown.
            rows: how many axes stand one above the other.
            columns: how many stand side by side.
            size: the side of each, in inches.

        Returns:
            A context that gives the axes, an array [rows, columns].
        """
        from matplotlib.figure import Figure  # not pyplot, whose backend is the caller's to choose

        figure = Figure(figsize=(columns * size, rows * size), layout="tight")
        yield figure.subplots(rows, columns, squeeze=False)
        with replacing(self.folder / f"{name}.png") as beside:
            figure.savefig(beside, format="png", dpi=110)
        self.parts.append(f"![{name}]({name}.png)\n\n{caption}")

    def train(self, label: str, model: str, **arguments: Any) -> Trained:
        """Train a model in the folder runs/LABEL, or take the result from there if it was trained before.

        Args:
            label: the name of the folder.
            model: the name of the model.
            arguments: the other fields of `RunArguments`. The test split is measured only with test=True.

        Raises:
            UsageError: the folder holds a run with other arguments.
        """
        folder = self.folder / "runs" / label
        check_names(model, arguments, self.registry)
        wanted = RunArguments(model=model, **{"test": False, **arguments})
        if (folder / RUN).exists():
            run = Run.resume(folder, self.registry)
            if wanted.precision is None:
                wanted = replace(wanted, precision=run.arguments.precision)  # as it was chosen then
            if run.arguments != wanted:
                raise UsageError(
                    f"'{folder}' was trained with other arguments: {run.arguments.command()}",
                    "Choose another output folder.",
                )
        else:
            run = Run.start(folder, wanted, self.registry)
        release = read_release(folder) if run.released else self.run_one(run)
        return Trained.of(run, release)


class Study(Record, kw_only=True):
    """Base of studies. The fields of a subclass are what the user may set; `make` writes the report.

        class Widths(Study, kw_only=True):
            epochs: Annotated[float, Meta(gt=0)] = 3

            def make(self, report):
                run = report.train("wide", "mlp", data="mnist", epochs=self.epochs, config={"hidden": [256]})
                report.table(["validation accuracy"], [[run.best["accuracy"]]])

    A plugin declares such a class by the hook `zoo_studies`.

    Attributes:
        seed: of every run, and of all random numbers.
    """

    seed: int = 0

    def make(self, report: Report) -> None:
        """Train, measure, and add to the report; a subclass defines it."""
        raise NotImplementedError


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
