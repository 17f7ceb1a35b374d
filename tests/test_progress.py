"""What the person who waits sees."""

from pathlib import Path
from typing import Any

import pytest

from zoo_core import progress
from zoo_core.discovery.registry import Registry
from zoo_core.releases.recipe import RunArguments
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.progress import train_and_watch


def test_a_line_stands_on_its_own_and_not_behind_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "is_watched", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes it for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress_bar("training") as show:
        show(0.5, "half")
        progress.talk("epoch one")
    assert "\r\x1b[2Kepoch one\n" in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "words"), [(9, "step 8 is saved"), (3, "no step is saved yet")])
def test_a_second_interrupt_says_what_is_saved(
    steps: int, words: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch, and a checkpoint after each; here they are saved after four epochs only."""
    run = start_run(tmp_path / "run", RunArguments(model="toy", data="toy-bits", epochs=9.0), registry)
    step, save = run.loop.step, run._save

    def interrupted() -> dict[str, float]:
        if run.loop.step_number == steps:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(run.loop, "step", interrupted)
    monkeypatch.setattr(run, "_save", lambda: save() if run.loop.step_number == 8 else None)
    with pytest.raises(Interrupted, match=f"interrupted at once; {words}\n  Continue: zoo train --resume"):
        train_and_watch(run)
    assert run.lock is None


def test_an_interrupt_while_the_release_is_measured_loses_nothing(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(tmp_path / "run", RunArguments(model="toy", data="toy-bits", epochs=2.0), registry)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zoo_core.training.finishing.write_release", interrupted)
        with pytest.raises(Interrupted, match="step 4 is saved"):
            train_and_watch(run)
    release = train_and_watch(resume_run(tmp_path / "run", registry))
    assert release.metrics and release.training["steps"] == 4
