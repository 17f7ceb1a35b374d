"""A training run: a folder that can be resumed from any checkpoint; `finishing` makes a release of it."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import BaseFileLock
from msgspec.structs import replace

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.hub.atomic import remove_half_written, write_atomically
from zoo_core.interfaces.dataset import Dataset, Episodes
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.measuring.evaluation import check_fields, fitting_metrics, measure
from zoo_core.processes import Processes
from zoo_core.releases.artifacts import artifacts_of, load_artifacts
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import CONFIG, PinnedRelease
from zoo_core.releases.run_folder import load_checkpoint, save_checkpoint, what_is_left
from zoo_core.torch_state import use_threads_of
from zoo_core.training.from_weights import Start, frozen_modules, locate_parent, model_from
from zoo_core.training.interrupt import Interrupted, interrupt_requests
from zoo_core.training.logs import open_logs
from zoo_core.training.loop import Diverged, Loop
from zoo_core.training.observer import Means, Observer, Observers
from zoo_core.training.precision import precision_here
from zoo_core.training.sampler import DatasetSource, read_augmentation
from zoo_core.training.selection import Selection
from zoo_core.weights.create import create

CHECKPOINT_SECONDS = 240.0
ROWS = 20  # of the curve of a run without epochs


class Run:
    """One training run in `folder`; `zoo_core.training.opening` starts one, or resumes it."""

    def __init__(
        self,
        folder: Path,
        arguments: RunArguments,
        registry: Registry,
        data: Dataset,
        processes: Processes,
        dependencies: Mapping[str, PinnedRelease] | None = None,
        parent: PinnedRelease | None = None,
    ) -> None:
        """`dependencies` and `parent` are those of the run that is resumed, or of the release that is made again."""
        self.folder, self.arguments, self.registry, self.data = folder, arguments, registry, data
        self.processes = processes
        torch.manual_seed(arguments.seed)
        self.registration = registry.model(arguments.model)
        self.parent = None if arguments.start is None else locate_parent(arguments.start, registry, parent)
        self.model, taken = self._start(dependencies)
        self.model.to(processes.device)
        if self.model.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        use_threads_of(self.model)
        check_fields(self.model, data)
        self.others = {
            name: registry.open_dataset(name)
            for stream in self.model.streams(0.0).values()
            if (name := stream.dataset) is not None
        }
        raw = self.model.signature() if self.has_no_data else data.features
        self.augmentation = read_augmentation(
            arguments.augment, self.registration, registry, [raw, *(other.features for other in self.others.values())]
        )
        self.selection = Selection(self.model, data, registry, asked=arguments.select, patience=arguments.patience)
        if arguments.metrics:
            fitting_metrics(self.model, registry, arguments.metrics, data=data)  # says now what cannot be had then
        self.loop = Loop(
            self.model,
            data,
            seed=arguments.seed,
            epochs=arguments.epochs,
            steps=arguments.steps,
            batch=arguments.batch,
            lr=arguments.lr,
            accumulate=arguments.accumulate,
            precision=arguments.precision,
            processes=processes,
            others=self.others,
            augmentation=self.augmentation,
            frozen=frozen_modules(self.model) if arguments.freeze else (),
            taken=taken,
        )
        if arguments.until is not None and self.loop.epochs_done is None:
            raise UsageError("what this model learns from has no end, so there are no epochs for --until to count")
        self.precision_note = ""  # why it is trained in the precision that it is, where that was chosen
        self.lock: BaseFileLock | None = None  # None too where the file system has no locks
        self.log: list[str] = []
        self.curve: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.means = Means()  # over the epoch so far
        self.told: set[str] = set()  # warnings

    def choose_precision(self) -> None:
        """Where nobody asked for one; from now on the run has it, wherever it is resumed."""
        if self.arguments.precision is None:
            self.loop.precision, self.precision_note = precision_here(self.model.precision, self.processes)
            self.arguments = replace(self.arguments, precision=self.loop.precision)

    def _data_features(self) -> Mapping[str, Field] | None:
        """What the data decide of the model; None where it needs no data set.

        Raises:
            UsageError: it does need one.
        """
        if not self.has_no_data:
            return self.data.features
        if self.registry.model_class(self.registration).source is Model.source:
            raise UsageError(
                f"--data is missing: '{self.arguments.model}' learns from a data set",
                "For example: zoo train pixelrnn --data digits -o runs/mine",
            )
        return None

    @property
    def has_no_data(self) -> bool:
        """Whether it learns without a data set."""
        return isinstance(self.data, Episodes)

    @property
    def steps_a_row(self) -> int:
        """Steps between two rows of the curve: an epoch, or a twentieth of the run where there are no epochs."""
        source, (stream, *_) = self.loop.sources[self.loop.main], self.model.streams(0.0).values()
        if isinstance(source, DatasetSource):
            return math.ceil(source.sampler.size / (self.arguments.batch or stream.batch))
        return max((self.arguments.steps or 1) // ROWS, 1)

    def close(self) -> None:
        """Let other processes train in this folder: `finish` calls it, and a run that fails or is interrupted."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    @property
    def finished(self) -> bool:
        """Whether all epochs (or `until`) are done, or nothing has become better for too long."""
        return self.part_done >= 1.0 or self.selection.out_of_patience(self.curve)

    @property
    def part_done(self) -> float:
        """How much of what was asked for is done, in [0, 1]."""
        until, epochs = self.arguments.until, self.loop.epochs_done
        return max(self.loop.progress, 0.0 if until is None or epochs is None else min(epochs / until, 1.0))

    @property
    def released(self) -> bool:
        """Whether the folder is a release already."""
        return (self.folder / CONFIG).exists()

    def train(self, observer: Observer | None = None) -> None:
        """Train to the end. A checkpoint is written after every epoch, and every few minutes.

        Raises:
            Interrupted: by Ctrl-C or SIGTERM; a checkpoint was written first.
        """
        logs = open_logs(self.log if self.processes.is_main else (), self.folder, self.curve, self.loop.step_number)
        try:
            with logs as written:
                self._train(Observers(*written, observer or Observer()))
        except Diverged as error:
            self.close()
            raise Diverged(error.message, f"{error.hint} {what_is_left(self.folder)}") from None
        except BaseException:
            self.close()
            raise

    def _train(self, observer: Observer) -> None:
        began = saved = time.monotonic()
        before = self.seconds

        def save() -> None:
            nonlocal saved
            self.seconds = before + time.monotonic() - began
            self._save()
            saved = time.monotonic()

        if self.processes.is_main:
            remove_half_written(self.folder)
        if not any(stage.share for stage in self.model.stages()):
            self.loop.enter_stages()  # and there is no step to take
        with interrupt_requests(self.loop):
            try:
                while True:
                    if self._epoch_ended:
                        self._end_epoch(observer)
                        save()
                    if self.finished:
                        break
                    self.loop.requests["save"] = time.monotonic() - saved > CHECKPOINT_SECONDS
                    self.means.add(self.loop.step())
                    self.seconds = before + time.monotonic() - began
                    observer.on_step(self.part_done, self.seconds, self.means.values())
                    if self.loop.agreed["stop"]:
                        raise Interrupted
                    if self.loop.agreed["save"]:
                        save()
            except Interrupted:
                save()
                raise

    def _start(self, dependencies: Mapping[str, PinnedRelease] | None) -> Start:
        """A fresh model, or one with the parent's weights."""
        features = self._data_features()
        if self.parent is not None:
            return model_from(self.parent, self.arguments, self.data, features, self.registry)
        return Start(
            create(
                self.arguments.model,
                registry=self.registry,
                features=features,
                input=self.arguments.input,
                config=self.arguments.config,
                dependencies=dependencies,
            )
        )

    def digests(self) -> dict[str, str]:
        """Of the splits that training uses, by their names, with the data set's where a stream names another one."""
        found: dict[str, str] = {
            split: self.data.data_sha256(split) for split in ("train", "validation") if split in self.data.splits
        }
        for name, stream in self.model.streams(0.0).items():
            if isinstance(self.loop.sources[name], DatasetSource):
                place = stream.split if stream.dataset is None else f"{stream.dataset}/{stream.split}"
                found[place] = self.loop.data_of(stream).data_sha256(stream.split)
        return found

    @property
    def _epoch_ended(self) -> bool:
        """Whether an epoch, or the run, is over and its row of the curve is not there yet."""
        step, epochs = self.loop.step_number, self.loop.epochs_done
        whole_epoch = step % self.steps_a_row == 0 if epochs is None else epochs.is_integer()
        over = (step > 0 and whole_epoch) or self.part_done >= 1.0
        return over and not (self.curve and self.curve[-1]["step"] == self.loop.step_number)

    def _end_epoch(self, observer: Observer) -> None:
        if self.loop.progress >= 1.0:
            self.loop.enter_stages()  # those of share 0 at the end
        self.processes.copy_from_main(self.model.buffers())  # each process has seen other batches
        row: dict[str, Any] = {
            "epoch": None if self.loop.epochs_done is None else round(self.loop.epochs_done, 4),
            "step": self.loop.step_number,
            "train": self.means.values(),
        }
        is_best = False
        if self.selection.metric is not None:
            with self.loop.average.applied():
                number = self.validate(observer)
                if number is not None:
                    row["validation"] = {self.selection.metric: number}
                is_best = number is not None and self.selection.consider(row)
        self.means = Means()
        self.curve.append(row)
        observer.on_epoch(row, is_best)

    def validate(self, observer: Observer, limit: int | None = None) -> float | None:
        """The number on the validation split that picks the best epoch, or that of `limit` examples of it; None where
        it cannot be had, which is told once."""
        found, missing = self.measure("validation", self.selection.measured_by(), observer, limit)
        for why in missing.values():
            if why.message not in self.told and self.processes.is_main:
                self.told.add(why.message)
                observer.on_unmeasured(f"{why.message}. Without it no epoch is picked; training goes on")
        return next((measurement.value for measurement in found.values()), None)

    def measure(
        self,
        split: str,
        metrics: Mapping[str, Metric],
        observer: Observer,
        limit: int | None = None,
    ) -> tuple[dict[str, Measurement], dict[str, ZooError]]:
        """Metrics on a split, or on `limit` examples of it, and of those that cannot be had or fail, why; see
        `zoo_core.measuring.evaluation.measure`. No metric ends a run.

        Raises:
            Interrupted: by Ctrl-C or SIGTERM.
        """
        missing: dict[str, ZooError] = {}

        def on_batch(done: int, total: int) -> None:
            observer.on_validation(done, total)
            if self.loop.requests["stop"] and self.processes.count == 1:  # many would wait for each other
                raise Interrupted

        found = measure(
            self.model,
            self.data,
            split,
            metrics,
            limit=limit,
            batch=self.arguments.eval_batch,
            processes=self.processes,
            on_batch=on_batch,
            on_unmeasurable=missing.__setitem__,
            required=False,
        )
        return found, missing

    def _save(self) -> None:
        files = {"model": self.model.state_dict(), "training": self.loop.tensors()}
        if self.selection.weights:
            files["best"] = self.selection.weights
        state = {
            "loop": self.loop.state(),
            "curve": self.curve,
            "best_row": self.selection.row,
            "seconds": self.seconds,
            "epochs": self.loop.epochs_done,
            "part_done": self.part_done,
            "means": self.means.sums,
            "artifacts": artifacts_of(self.model),
            "best_artifacts": self.selection.artifacts,
        }
        if self.processes.is_main:
            save_checkpoint(self.folder, self.loop.step_number, files, state)
            write_atomically(self.folder / "curve.json", json.dumps(self.curve, indent=1))
        self.processes.wait()

    def load(self, path: Path) -> None:
        """Take the state of a checkpoint.

        Raises:
            ZooError: it cannot be read.
        """
        try:
            tensors, state = load_checkpoint(path)
            load_artifacts(self.model, state.get("artifacts", {}), str(path))
            self.model.load_state_dict(tensors["model"])
            self.loop.load(state["loop"], tensors["training"])
        except ZooError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise ZooError(f"checkpoint '{path}' cannot be read: {error}") from error
        self.selection.weights, self.selection.row = tensors.get("best", {}), state["best_row"]
        self.selection.artifacts = state.get("best_artifacts", {})
        self.curve, self.seconds = state["curve"], state["seconds"]
        self.means = Means({name: tuple(pair) for name, pair in state["means"].items()})
