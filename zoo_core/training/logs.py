"""The curve of a run in formats of other programs: `zoo train --log csv`, `--log tensorboard`.

A run that is resumed goes on in the same files, and nothing stands there twice: what was logged after the checkpoint
that it goes on from is taken back.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo_core.discovery.registry import unknown
from zoo_core.errors import UsageError
from zoo_core.hub.atomic import write_atomically
from zoo_core.training.observer import Observer

CSV, TENSORBOARD = "curve.csv", "tensorboard"  # in the run's folder
EVERY = 10  # steps between two points of a training curve in TensorBoard


class Log(Observer):
    """Writes down what `folder`'s run tells from `step` on; `curve` has the run's rows and grows with it."""

    def __init__(self, folder: Path, curve: Sequence[Mapping[str, Any]], step: int) -> None:
        self.folder, self.curve, self.step = folder, curve, step

    def on_unmeasured(self, why: str) -> None:
        """Told elsewhere."""

    def close(self) -> None:
        """After the last step."""


class CsvLog(Log):
    """curve.csv: a row an epoch. It is written whole each time, for a later row may have columns of its own."""

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        rows = [{"epoch": each["epoch"], "step": each["step"], **_values(each)} for each in self.curve]
        names = dict.fromkeys(name for each in rows for name in each)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.folder / CSV, text.getvalue())


class TensorBoardLog(Log):
    """tensorboard/: event files. Training values are means over the epoch so far, a point for each EVERY steps."""

    def __init__(self, folder: Path, curve: Sequence[Mapping[str, Any]], step: int) -> None:
        super().__init__(folder, curve, step)
        from torch.utils.tensorboard import SummaryWriter

        # TensorBoard drops what it has from `purge_step` on: a killed run logged it after its last checkpoint.
        self.writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=step + 1 if step else None)

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        self.step += 1
        if self.step % EVERY == 0:
            self._write(_values({"train": report}), self.step)

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        there = self.step % EVERY == 0  # as of the last step
        self._write(_values({"validation": row.get("validation", {})} if there else row), self.step)
        self.writer.flush()

    def _write(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


LOGS: dict[str, type[Log]] = {"csv": CsvLog, "tensorboard": TensorBoardLog}


def check_logs(names: Sequence[str]) -> None:
    """UsageError unless all are names of logs that can be written here."""
    for name in names:
        if name not in LOGS:
            raise unknown("log", name, LOGS)
        if name == "tensorboard" and find_spec("tensorboard") is None:
            raise UsageError("the log 'tensorboard' needs a package that is not installed", "pip install tensorboard")


@contextmanager
def open_logs(
    names: Sequence[str], folder: Path, curve: Sequence[Mapping[str, Any]], step: int
) -> Iterator[list[Observer]]:
    """The logs of the run in `folder`, which is at `step`."""
    with ExitStack() as stack:
        logs: list[Observer] = []
        for name in names:
            log = LOGS[name](folder, curve, step)
            stack.callback(log.close)
            logs.append(log)
        yield logs


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of the curve by their names there: train/loss, validation/nll."""
    parts = ("train", "validation")
    return {f"{part}/{name}": value for part in parts for name, value in row.get(part, {}).items()}
