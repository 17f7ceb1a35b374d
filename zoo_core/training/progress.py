"""How a training run is shown to the user: by a bar, or by a line now and then if there is no terminal."""

import time
from datetime import timedelta
from typing import Any

from zoo_core.progress import Show, is_watched, progress_bar, talk
from zoo_core.releases.release import ReleaseConfig
from zoo_core.releases.run_folder import last_step, place_of
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.run import Run

LOG_SECONDS = 30.0


class Watch(Observer):
    """Shows how far `run` is, how fast it is, and what it has reached."""

    def __init__(self, run: Run, show: Show) -> None:
        self.run, self.show = run, show
        self.began = self.said = time.monotonic()
        self.part_before = run.part_done
        self.steps_before = run.loop.step_number

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        loop = self.run.loop
        place = f"step {loop.step_number}" if loop.epochs_done is None else f"epoch {loop.epochs_done:.2f}"
        text = f"{place}  " + "  ".join(f"{k} {v:.4g}" for k, v in report.items())
        self.show(progress, text)
        now = time.monotonic()
        if not is_watched() and now - self.said > LOG_SECONDS and progress > self.part_before:
            self.said = now
            steps = (self.run.loop.step_number - self.steps_before) / (now - self.began)
            left = (now - self.began) * (1 - progress) / (progress - self.part_before)
            talk(f"{progress:.1%}  {text}  {steps:.3g} steps/s  {duration(left)} left")

    def on_validation(self, done: int, total: int) -> None:
        self.show(self.run.part_done, f"measuring {done} of {total}")

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        parts = [f"{part} {k} {v:.5g}" for part in ("train", "validation") for k, v in row.get(part, {}).items()]
        talk(f"{place_of(row)}: {', '.join(parts)}{' (best)' if is_best else ''}")

    def on_unmeasured(self, why: str) -> None:
        talk(f"Warning: {why}")


def train_and_watch(run: Run) -> ReleaseConfig:
    """Train to the end, make the release, and report the result."""
    if run.precision_note:
        talk(run.precision_note)
    with progress_bar("training") as show:
        watch = Watch(run, show)
        try:
            run.train(watch)
            release = finish(run, watch)
        except KeyboardInterrupt as error:
            raise Interrupted(_told(run, saved=isinstance(error, Interrupted))) from None
    loop = run.loop
    best = run.selection.row
    chosen = "" if best is None else f"; the best is {place_of(best)} by validation {run.selection.metric}"
    steps = f"{loop.step_number} steps"
    done = steps if loop.epochs_done is None else f"{loop.epochs_done:.4g} epochs ({steps})"
    talk(f"{done} in {duration(run.seconds)}{chosen}")
    for entry in release.metrics:
        talk(f"test: {entry.text()}")
    return release


def _told(run: Run, saved: bool) -> str:
    """What an interrupted run has come to; `saved`, where it was let finish its step."""
    step = last_step(run.folder)
    if saved:
        what = f"interrupted at step {step}, which is saved"
    else:
        what = f"interrupted at once; step {step} is saved" if step else "interrupted at once; no step is saved yet"
    return f"{what}\n  Continue: zoo train --resume {run.folder}"


def duration(seconds: float) -> str:
    """Hours, minutes, seconds: 1:02:03."""
    return str(timedelta(seconds=round(seconds)))
