"""Studies: a report with pictures and numbers, that goes on where it was interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest

from zoo_core import Report, Study
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.releases.release import ReleaseConfig, read_release
from zoo_core.training.finishing import finish
from zoo_core.training.run import Run


class TwoRates(Study, kw_only=True):
    steps: int = 3

    def make(self, report: Report) -> None:
        report.say("Two learning\n  rates.")
        rows: list[list[Any]] = []
        with report.picture("curves", "Over the epochs.", columns=2) as axes:
            for k, lr in enumerate((0.1, 0.01)):
                run = report.train(f"lr-{lr}", "toy", data="toy-bits", steps=self.steps, lr=lr, seed=self.seed)
                axes[0, k].plot([row["epoch"] for row in run.curve])
                rows.append([lr, run.best["nll"], run.release.training["steps"], self.steps * 1000])
        report.table(["lr", "NLL", "steps", "thousands"], rows)


@pytest.fixture
def report(registry: Registry, tmp_path: Path) -> Report:
    return Report(tmp_path / "report", registry=registry)


def test_a_report_holds_text_tables_and_pictures(report: Report) -> None:
    report.write("two rates", TwoRates())
    text = (report.folder / "README.md").read_text()
    assert text.startswith(
        "# two rates\n\nTwo learning rates.\n\n![curves](curves.png)\n\nOver the epochs.\n\n| lr | NLL |"
    )
    assert "| 3,000 |" in text
    assert (report.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert read_release(report.folder / "runs" / "lr-0.1").metrics == []  # the test split is not for choosing
    numbers = json.loads((report.folder / "numbers.json").read_text())
    assert numbers["study"] == "TwoRates"
    assert (numbers["seed"], numbers["steps"]) == (0, 3)
    first = numbers["tables"][0]["rows"][0]
    assert first[0] == 0.1
    assert f"| {first[1]:.4g} |" in text
    assert len(str(first[1])) > 8  # not rounded
    assert not list(report.folder.rglob(".*"))


def test_what_was_interrupted_goes_on_with_the_runs_that_are_there(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def run_one(run: Run) -> ReleaseConfig:
        begun.append(run.folder.name)
        run.train()
        return finish(run)

    folder = tmp_path / "report"
    monkeypatch.setattr(TwoRates, "make", _fails_after_one(TwoRates.make))
    with pytest.raises(KeyboardInterrupt):
        Report(folder, registry=registry, run_one=run_one).write("two rates", TwoRates())
    assert begun == ["lr-0.1"]
    assert not (folder / "README.md").exists()
    monkeypatch.undo()
    Report(folder, registry=registry, run_one=run_one).write("two rates", TwoRates())
    assert begun == ["lr-0.1", "lr-0.01"]
    assert (folder / "README.md").exists()


def _fails_after_one(make: Any) -> Any:
    def interrupted(self: TwoRates, report: Report) -> None:
        train = report.train

        def once(*arguments: Any, **more: Any) -> Any:
            train(*arguments, **more)
            raise KeyboardInterrupt

        report.train = once  # type: ignore[method-assign]
        make(self, report)

    return interrupted


def test_a_folder_of_something_else_is_left_alone(report: Report, registry: Registry) -> None:
    report.folder.mkdir()
    (report.folder / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        report.write("two rates", TwoRates())
    assert [path.name for path in report.folder.iterdir()] == ["thesis.txt"]


class Refusing(Study, kw_only=True):
    def make(self, report: Report) -> None:
        raise UsageError("not with these values")


def test_a_study_that_is_refused_leaves_nothing(report: Report, registry: Registry) -> None:
    with pytest.raises(UsageError, match="not with these values"):
        report.write("refusing", Refusing())
    assert not report.folder.exists()


def test_other_values_need_another_folder(report: Report, registry: Registry) -> None:
    report.write("two rates", TwoRates())
    with pytest.raises(UsageError, match="holds something else than this study with these values"):
        Report(report.folder, registry=registry).write("two rates", TwoRates(seed=1))


def test_the_command_lists_studies_and_refuses_what_is_not_there(zoo: Any, tmp_path: Path) -> None:
    listed = zoo("study")
    assert listed.code == 0
    assert any(line.startswith("masks\t") for line in listed.out.splitlines())
    assert {"name", "summary", "minutes", "plugin"} <= json.loads(zoo("study", "--json").out)[0].keys()
    unknown = zoo("study", "mask", "-o", str(tmp_path / "x"))
    assert (unknown.code, "Did you mean 'masks'?" in unknown.err) == (2, True)
    assert zoo("study", "masks").code == 2
    assert any(line.startswith("steps ") for line in zoo("study", "masks", "--help-config").out.splitlines())
    wrong = zoo("study", "masks", "-o", str(tmp_path / "x"), "--set", "steps=0")
    assert wrong.code == 2
    assert "steps" in wrong.err
    assert not (tmp_path / "x").exists()


def test_the_command_writes_a_report(zoo: Any, tmp_path: Path) -> None:
    made = zoo("study", "masks", "-o", str(tmp_path / "masks"), "--set", "steps=2", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)[0]["header"][0] == "first mask"
    assert "Wrote" in made.err
    assert (tmp_path / "masks" / "leak.png").exists()
