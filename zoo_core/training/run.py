"""A training run: a folder that can be resumed from any checkpoint, and is a release when it ends."""

import inspect
import json
import math
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo_core.discovery.registry import Registry, split_path
from zoo_core.errors import UsageError, ZooError
from zoo_core.hub.atomic import check_new_folder, remove_half_written, write_atomically
from zoo_core.interfaces.batches import batch_size, packed_fields, to_device
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Loss
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.interfaces.step import Steps
from zoo_core.measuring.evaluation import check_fields, entries, evaluation_batches, fitting_metrics, measure
from zoo_core.pictures.plots import save_curve
from zoo_core.processes import Processes
from zoo_core.releases.release import CONFIG, Licence, ReleaseConfig, read_release
from zoo_core.releases.writing import code_licence, round_to, write_release
from zoo_core.steps.augmentation import read_augmentation
from zoo_core.steps.notation import parse_step, plain_step, step_text
from zoo_core.torch_state import use_threads_of
from zoo_core.training.arguments import RunArguments
from zoo_core.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from zoo_core.training.interrupt import Interrupted, interrupt_requests
from zoo_core.training.loop import Loop
from zoo_core.weights.create import create

CHECKPOINT_SECONDS = 240.0


class RunRecord(Record, kw_only=True):
    """run.json: what a run is, written before its first step."""

    arguments: RunArguments
    data_file: str | None
    device: str
    data_sha256: dict[str, str]
    config: dict[str, Any]


class Observer:
    """What a run tells while it goes; the command line shows it. The default is silence."""

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        """After every step: part done, wall time so far, objective values averaged over the epoch so far."""

    def on_validation(self, done: int, total: int) -> None:
        """During a validation."""

    def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        """After an epoch and its validation: the new row of the curve."""


class MeanLoss(Metric):
    """The model's own loss, per item: what picks the best epoch unless the model names a metric."""

    requires = "loss"

    def __init__(self) -> None:
        self.total = self.weight = 0.0
        self.n = 0

    def update(self, model: Model, batch: Mapping[str, Tensor]) -> None:
        loss, n = model.loss(batch), batch_size(batch, packed_fields(model.signature()))
        loss = Loss(loss * n, n) if isinstance(loss, Tensor) else loss
        self.total += loss.value.item()
        self.weight += float(loss.weight)
        self.n += n

    def merge(self, other: "MeanLoss") -> None:
        self.total, self.weight, self.n = self.total + other.total, self.weight + other.weight, self.n + other.n

    def compute(self) -> Measurement:
        return Measurement(value=self.total / self.weight, stderr=None, n=self.n)


class Means:
    """The mean of each objective over the steps of an epoch in which it had its turn."""

    def __init__(self, state: Mapping[str, tuple[float, int]] | None = None) -> None:
        self.sums = dict(state or {})  # name -> (sum, count)

    def add(self, report: Mapping[str, float]) -> None:
        for name, value in report.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def values(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self.sums.items()}


class Run:
    """One training run in `folder`, which `start` made or `resume` found."""

    def __init__(
        self, folder: Path, arguments: RunArguments, registry: Registry, data: Dataset, processes: Processes
    ) -> None:
        self.folder, self.arguments, self.registry, self.data = folder, arguments, registry, data
        self.processes = processes
        torch.manual_seed(arguments.seed)
        self.offer = registry.model(arguments.model)
        self.model = create(
            arguments.model, registry=registry, features=data.features, input=arguments.input, config=arguments.config
        ).to(processes.device)
        if self.model.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        use_threads_of(self.model)
        check_fields(self.model, data)
        self.others = {
            name: registry.open_dataset(name)
            for stream in self.model.streams(0.0).values()
            if (name := stream.dataset) is not None
        }
        self.augmentation = self._augmentation()
        self.select = self._selection()
        if arguments.metrics:
            fitting_metrics(self.model, registry, arguments.metrics)  # says now what it could not measure at the end
        self.lower_is_better = self.select in (None, "loss") or not registry.metric(self.select).spec.higher_is_better
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
        )
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_row: dict[str, Any] | None = None
        self.seconds = 0.0
        self.means = Means()  # over the epoch so far

    @classmethod
    def start(
        cls,
        folder: Path,
        arguments: RunArguments,
        registry: Registry,
        *,
        data_file: Path | None = None,
        device: str = "cpu",
    ) -> "Run":
        """A new run; its folder must not exist, or be empty."""
        processes = Processes(device)
        if processes.is_main:
            check_new_folder(folder, f"Choose another one, or continue it: zoo train --resume {folder}")
        data = registry.open_dataset(arguments.data, data_file)
        data_file = data_file or split_path(arguments.data)[1]
        run = cls(folder, arguments, registry, data, processes)
        record = RunRecord(
            arguments=arguments,
            data_file=None if data_file is None else str(data_file.expanduser().resolve()),
            device=processes.device.type if device == "auto" else device,
            data_sha256=run._digests(),
            config=to_plain(run.model.config),
        )
        if processes.is_main:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "run.json", json.dumps(to_plain(record), indent=1))
        processes.wait()
        return run

    @classmethod
    def resume(cls, folder: Path, registry: Registry) -> "Run":
        """The run in `folder` at its last checkpoint, or at its beginning where there is none yet."""
        if not (folder / "run.json").exists():
            why = "it has no run.json" if folder.exists() else "the folder does not exist"
            raise UsageError(f"'{folder}' is not a training run: {why}")
        try:
            record = read_record(RunRecord, json.loads((folder / "run.json").read_text()), str(folder / "run.json"))
        except (OSError, ValueError) as error:
            raise UsageError(f"'{folder}' is not a training run: {error}") from None
        arguments = record.arguments
        data_file = None if record.data_file is None else Path(record.data_file)
        data = registry.open_dataset(split_path(arguments.data)[0], data_file)  # from wherever it is resumed
        run = cls(folder, arguments, registry, data, Processes(record.device))
        for split, digest in run._digests().items():
            if record.data_sha256.get(split) != digest:
                raise UsageError(
                    f"cannot resume '{folder}': the {split} split of '{arguments.data}' is not the one it began with",
                    f"sha256 {digest}, not {record.data_sha256.get(split)}",
                )
        if (config := to_plain(run.model.config)) != record.config:
            keys = [key for key in {**config, **record.config} if config.get(key) != record.config.get(key)]
            changes = ", ".join(f"{key} was {record.config.get(key)} and is {config.get(key)}" for key in keys)
            raise UsageError(f"cannot resume '{folder}': the model's config is another one: {changes}")
        if found := checkpoints(folder):
            run._load(found[-1])
        return run

    @property
    def finished(self) -> bool:
        """Whether every epoch is done, or those that were asked for, or nothing has become better for too long."""
        return self.part_done >= 1.0 or self._out_of_patience

    @property
    def part_done(self) -> float:
        """How much of what was asked for is done, in [0, 1]."""
        until = self.arguments.until
        return max(self.loop.progress, 0.0 if until is None else min(self.loop.epochs_done / until, 1.0))

    @property
    def released(self) -> bool:
        """Whether the folder is a release already."""
        return (self.folder / CONFIG).exists()

    def train(self, observer: Observer | None = None) -> None:
        """Train to the end, with a checkpoint after every epoch and every few minutes.

        Raises:
            Interrupted: by Ctrl-C or SIGTERM; a checkpoint was written first.
        """
        observer = observer or Observer()
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

    def finish(self, observer: Observer | None = None, *, test: bool = True) -> ReleaseConfig:
        """Make the folder a release: the weights of the best epoch, measured on the test split once, if `test`."""
        observer = observer or Observer()
        if self.best:
            self.model.load_state_dict(self.best)
        elif self.loop.average.live:
            with torch.no_grad():
                for name, parameter in self.loop.average.live.items():
                    parameter.copy_(self.loop.average.average[name])
        self.model.eval()
        torch.manual_seed(self.arguments.seed)
        self.model.fit_posthoc(_Batches(self.model, self.data, self.processes.device))
        storage = getattr(torch, self.arguments.storage) if self.arguments.storage else None
        if storage is not None:
            round_to(self.model, storage)  # what is measured is what is stored
        split = "test" if "test" in self.data.splits else self.data.splits[-1]
        try:
            chosen = fitting_metrics(self.model, self.registry, recorded=self.arguments.metrics) if test else {}
        except UsageError:
            chosen = {}
        measured = self._measure(split, chosen, observer, required=False) if chosen else {}
        arguments, spec = self.arguments, self.offer.spec
        if not self.processes.is_main:
            self.processes.wait()
            return read_release(self.folder)
        save_curve(self.curve, self.folder / "curve.png", title=f"{arguments.model} on {self.data.name}")
        release = write_release(
            self.folder,
            self.model,
            self.offer,
            summary=arguments.summary or f"{spec.summary}; trained on {self.data.name}",
            licence=Licence(
                code=code_licence(self.offer.plugin.distribution),
                weights=arguments.licence,
                data=self.registry.dataset(arguments.data).spec.licence,
            ),
            example=self.data.batch(split, torch.arange(min(4, self.data.size(split)))),
            recipe=arguments.command(),
            training=self._training_record(),
            storage=storage,
            metrics=sorted(
                entries(self.model, self.data, split, measured, self.registry),
                key=lambda e: (e.metric != self.select, e.metric in self.arguments.metrics),
            ),
        )
        self.processes.wait()
        return release

    def _training_record(self) -> dict[str, Any]:
        """What `zoo info` tells of the training: the course's four questions, and what is needed to do it again."""
        arguments, loop = self.arguments, self.loop
        optimizers = [
            f"{o.kind}, lr {o.lr:g}, batch {arguments.batch or self.model.streams(0.0)[loop.main].batch}, "
            f"{o.decay.__name__}" + (f", gradient norm at most {o.clip:g}" if o.clip else "")
            for o in (optimizer.declared for optimizer in loop.optimizers.values())
        ]
        return {
            "data": self.data.name,
            "data_sha256": self._digests(),
            "loss": (inspect.getdoc(self.model.loss) or "").partition("\n")[0],
            "optimizer": "; ".join(optimizers),
            "precision": loop.precision,
            "augmentation": "; ".join(step_text(plain_step(step)) for step in self.augmentation) or "none",
            "epochs": loop.epochs_done,
            "steps": loop.step_number,
            "seed": arguments.seed,
            "best_epoch": self.best_row["epoch"] if self.best_row else None,
            "select": self.select,
            "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
            "device": str(loop.device),
            "processes": self.processes.count,
            "wall_seconds": round(self.seconds),
            "curve": self.curve,
        }

    def _augmentation(self) -> Steps:
        """The steps that were asked for, else the model's own.

        Raises:
            UsageError: they do not fit the data.
        """
        asked = self.arguments.augment
        plain = [parse_step(text) for text in self.model.augmentation] if asked is None else asked
        steps = read_augmentation(plain, self.arguments.model)
        for data in (self.data, *self.others.values()):
            for step in steps:
                step.fields(data.features)
        return steps

    def _selection(self) -> str | None:
        """The validation metric that picks the best epoch; None: there is none, and the last epoch is taken.

        Raises:
            UsageError: patience was asked for, and nothing tells what is better.
        """
        select = self.arguments.select or self.model.select_by
        one_loss = type(self.model).loss is not Model.loss
        if "validation" not in self.data.splits or (select == "loss" and not one_loss):
            if self.arguments.patience is not None:
                raise UsageError("--patience needs a validation split and a metric on it", "Name one: --select METRIC")
            return None
        return select

    def _digests(self) -> dict[str, str]:
        """Of the splits that training uses, by their names, with the data set's where a stream names another one."""
        found: dict[str, str] = {
            split: self.data.data_sha256(split) for split in ("train", "validation") if split in self.data.splits
        }
        for stream in self.model.streams(0.0).values():
            place = stream.split if stream.dataset is None else f"{stream.dataset}/{stream.split}"
            found[place] = self.loop.data_of(stream).data_sha256(stream.split)
        return found

    @property
    def _out_of_patience(self) -> bool:
        patience = self.arguments.patience
        if patience is None or self.best_row is None:
            return False
        best = self.best_row["epoch"]
        return len([row for row in self.curve if row["epoch"] > best]) >= patience

    @property
    def _epoch_ended(self) -> bool:
        """Whether an epoch, or the run, is over and its row of the curve is not there yet."""
        feeder = self.loop.feeders[self.loop.main]
        over = (feeder.position == 0 and feeder.epoch > 0) or self.part_done >= 1.0
        return over and not (self.curve and self.curve[-1]["step"] == self.loop.step_number)

    def _end_epoch(self, observer: Observer) -> None:
        if self.loop.progress >= 1.0:
            self.loop.enter_stages()  # those of share 0 at the end
        self.processes.copy_from_main(self.model.buffers())  # each process has seen other batches
        row: dict[str, Any] = {
            "epoch": round(self.loop.epochs_done, 4),
            "step": self.loop.step_number,
            "train": self.means.values(),
        }
        is_best = True
        if self.select is not None:
            with self.loop.average.applied():
                row["validation"] = {self.select: self.validate(observer)}
                if is_best := self._is_best(row):
                    self.best_row = row
                    self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.means = Means()
        self.curve.append(row)
        observer.on_epoch(row, is_best)

    def validate(self, observer: Observer, limit: int | None = None) -> float:
        """The number on the validation split that picks the best epoch, or that of `limit` examples of it."""
        assert self.select is not None
        metrics: Mapping[str, Metric] = {"loss": MeanLoss()}
        if self.select != "loss":
            metrics = fitting_metrics(self.model, self.registry, (self.select,))
        (found,) = self._measure("validation", metrics, observer, limit).values()
        return found.value

    def _measure(
        self,
        split: str,
        metrics: Mapping[str, Metric],
        observer: Observer,
        limit: int | None = None,
        required: bool = True,
    ) -> dict[str, Measurement]:
        def on_batch(done: int, total: int) -> None:
            observer.on_validation(done, total)
            if self.loop.requests["stop"] and self.processes.count == 1:  # many would wait for each other
                raise Interrupted

        def on_unmeasurable(name: str, why: ZooError) -> None:
            if name in self.arguments.metrics:
                raise why

        return measure(
            self.model,
            self.data,
            split,
            metrics,
            limit=limit,
            processes=self.processes,
            on_batch=on_batch,
            on_unmeasurable=on_unmeasurable,
            required=required,
        )

    def _is_best(self, row: dict[str, Any]) -> bool:
        if self.best_row is None:
            return True
        new, old = row["validation"][self.select], self.best_row["validation"][self.select]
        return not math.isfinite(old) or bool(new < old if self.lower_is_better else new > old)

    def _save(self) -> None:
        files = {"model": self.model.state_dict(), "training": self.loop.tensors()}
        if self.best:
            files["best"] = self.best
        state = {
            "loop": self.loop.state(),
            "curve": self.curve,
            "best_row": self.best_row,
            "seconds": self.seconds,
            "means": self.means.sums,
        }
        if self.processes.is_main:
            save_checkpoint(self.folder, self.loop.step_number, files, state)
            write_atomically(self.folder / "curve.json", json.dumps(self.curve, indent=1))
        self.processes.wait()

    def _load(self, path: Path) -> None:
        try:
            tensors, state = load_checkpoint(path)
            self.model.load_state_dict(tensors["model"])
            self.loop.load(state["loop"], tensors["training"])
        except ZooError:
            raise
        except Exception as error:
            raise ZooError(f"checkpoint '{path}' cannot be read: {error}") from error
        self.best, self.best_row = tensors.get("best", {}), state["best_row"]
        self.curve, self.seconds = state["curve"], state["seconds"]
        self.means = Means({name: tuple(pair) for name, pair in state["means"].items()})


class _Batches:
    """What `fit_posthoc` iterates over, as often as it likes."""

    def __init__(self, model: Model, data: Dataset, device: torch.device) -> None:
        self.model, self.data, self.device = model, data, device

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        split = self.model.posthoc_split
        for batch in evaluation_batches(self.model, self.data, split, self.data.size(split)):
            yield to_device(batch, self.device)
