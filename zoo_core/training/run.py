"""A training run: a folder that can be resumed from any checkpoint, and is a release when it ends."""

import inspect
import json
import math
import platform
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.evaluation import BATCH, entries, fitting_metrics, measure
from zoo_core.hub.atomic import write_atomically
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.preprocessing import evaluation_generator
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.pictures import save_curve
from zoo_core.publishing.writing import code_licence, write_release
from zoo_core.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from zoo_core.training.loop import Loop
from zoo_core.weights.create import create
from zoo_core.weights.release import CONFIG, Licence, ReleaseConfig

CHECKPOINT_SECONDS = 240.0


class RunArguments(Record, kw_only=True):
    """Everything that decides the result of a run; kept in the run folder and in the release."""

    model: str
    data: str
    epochs: Annotated[float, Meta(gt=0)]
    until: Annotated[float, Meta(gt=0)] | None = None  # stop after so many of them; the schedule is that of `epochs`
    seed: int = 0
    config: dict[str, Any] = {}  # --set
    input: list[dict[str, Any]] = []
    batch: Annotated[int, Meta(ge=1)] | None = None
    lr: Annotated[float, Meta(gt=0)] | None = None
    accumulate: Annotated[int, Meta(ge=1)] = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    select: str | None = None  # the validation metric that picks the best epoch
    summary: str | None = None
    licence: str = "NOASSERTION"  # of the weights, SPDX

    def command(self) -> str:
        """The command that does the same again."""
        words = ["zoo train", self.model, f"--data {self.data}", f"--epochs {self.epochs:g}", f"--seed {self.seed}"]
        words += [] if self.until is None else [f"--until {self.until:g}"]
        words += [f"--set {name}={json.dumps(value)}" for name, value in self.config.items()]
        for step in self.input:
            arguments = ",".join(f"{key}={value}" for key, value in step.items() if key != "step")
            words.append(f"--input {step['step']}{':' if arguments else ''}{arguments}")
        words += [] if self.batch is None else [f"--batch {self.batch}"]
        words += [] if self.lr is None else [f"--lr {self.lr:g}"]
        words += [] if self.accumulate == 1 else [f"--accumulate {self.accumulate}"]
        words += [] if self.precision == "fp32" else [f"--precision {self.precision}"]
        words += [] if self.select is None else [f"--select {self.select}"]
        words += [] if self.licence == "NOASSERTION" else [f"--licence {self.licence}"]
        return " ".join(words)


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


class Run:
    """One training run in `folder`, which `start` made or `resume` found."""

    def __init__(self, folder: Path, arguments: RunArguments, registry: Registry, data: Dataset, device: str) -> None:
        self.folder, self.arguments, self.registry, self.data = folder, arguments, registry, data
        torch.manual_seed(arguments.seed)
        self.offer = registry.model(arguments.model)
        self.model = create(
            arguments.model, registry=registry, features=data.features, input=arguments.input, config=arguments.config
        ).to(device)
        if self.model.cpu_threads and device == "cpu":
            torch.set_num_threads(self.model.cpu_threads)
        self.select = self._selection()
        self.lower_is_better = self.select in (None, "loss") or not registry.metric(self.select).spec.higher_is_better
        self.loop = Loop(
            self.model,
            data,
            epochs=arguments.epochs,
            seed=arguments.seed,
            batch=arguments.batch,
            lr=arguments.lr,
            accumulate=arguments.accumulate,
            precision=arguments.precision,
        )
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_row: dict[str, Any] | None = None
        self.seconds = 0.0
        self.sums: dict[str, float] = {}  # of each objective over the epoch so far
        self.steps = 0

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
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"the output folder '{folder}' exists and is not empty",
                f"Choose another one, or continue it: zoo train --resume {folder}",
            )
        data = registry.open_dataset(arguments.data, data_file)
        run = cls(folder, arguments, registry, data, device)
        folder.mkdir(parents=True, exist_ok=True)
        record = RunRecord(
            arguments=arguments,
            data_file=None if data_file is None else str(data_file.resolve()),
            device=device,
            data_sha256=_digests(data),
            config=to_plain(run.model.config),
        )
        write_atomically(folder / "run.json", json.dumps(to_plain(record), indent=1))
        return run

    @classmethod
    def resume(cls, folder: Path, registry: Registry) -> "Run":
        """The run in `folder` at its last checkpoint, or at its beginning where there is none yet."""
        try:
            record = read_record(RunRecord, json.loads((folder / "run.json").read_text()), str(folder / "run.json"))
        except (OSError, ValueError) as error:
            raise UsageError(f"'{folder}' is not a training run: {error}") from None
        arguments = record.arguments
        data = registry.open_dataset(arguments.data, None if record.data_file is None else Path(record.data_file))
        run = cls(folder, arguments, registry, data, record.device)
        for split, digest in record.data_sha256.items():
            if data.data_sha256(split) != digest:
                raise UsageError(
                    f"cannot resume '{folder}': the {split} split of '{arguments.data}' is not the one it began with",
                    f"sha256 {data.data_sha256(split)}, not {digest}",
                )
        if (config := to_plain(run.model.config)) != record.config:
            changed = [key for key in config if config[key] != record.config.get(key)]
            raise UsageError(f"cannot resume '{folder}': the model's config is another one: {', '.join(changed)}")
        if found := checkpoints(folder):
            run._load(found[-1])
        return run

    @property
    def finished(self) -> bool:
        """Whether every epoch is done, or those that were asked for."""
        until = self.arguments.until
        done = self.loop.feeders[self.loop.main].epochs_done
        return self.loop.progress >= 1.0 or (until is not None and done >= until)

    @property
    def released(self) -> bool:
        """Whether the folder is a release already."""
        return (self.folder / CONFIG).exists()

    def train(self, observer: Observer | None = None) -> None:
        """Train to the end, with a checkpoint after every epoch and every few minutes."""
        observer = observer or Observer()
        feeder = self.loop.feeders[self.loop.main]
        began = saved = time.monotonic()
        before = self.seconds
        while not self.finished:
            epoch = feeder.epoch
            for name, value in self.loop.step().items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.steps += 1
            self.seconds = before + time.monotonic() - began
            observer.on_step(self.loop.progress, self.seconds, self._means())
            if feeder.epoch > epoch or self.finished:
                self._end_epoch(observer)
                self.seconds = before + time.monotonic() - began
                self._save()
                saved = time.monotonic()
            elif time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()

    def finish(self, observer: Observer | None = None) -> ReleaseConfig:
        """Make the folder a release: the weights of the best epoch, measured once on the test split."""
        observer = observer or Observer()
        if self.best:
            self.model.load_state_dict(self.best)
        elif self.loop.average.live:
            with torch.no_grad():
                for name, parameter in self.loop.average.live.items():
                    parameter.copy_(self.loop.average.average[name])
        split = "test" if "test" in self.data.splits else self.data.splits[-1]
        try:
            chosen = fitting_metrics(self.model, self.registry)
        except UsageError:
            chosen = {}
        measured = measure(self.model, self.data, split, chosen, on_batch=observer.on_validation) if chosen else {}
        save_curve(self.curve, self.folder / "curve.png", title=f"{self.arguments.model} on {self.arguments.data}")
        arguments, spec = self.arguments, self.offer.spec
        return write_release(
            self.folder,
            self.model,
            self.offer,
            summary=arguments.summary or f"{spec.summary}; trained on {arguments.data}",
            licence=Licence(
                code=code_licence(self.offer.plugin.distribution),
                weights=arguments.licence,
                data=self.registry.dataset(arguments.data).spec.licence,
            ),
            example=self.data.batch(split, torch.arange(min(4, self.data.size(split)))),
            recipe=arguments.command(),
            training=self._training_record(),
            metrics=sorted(
                entries(self.model, self.data, split, measured, self.registry), key=lambda e: e.metric != self.select
            ),
        )

    def _training_record(self) -> dict[str, Any]:
        """What `zoo info` tells of the training: the course's four questions, and what is needed to do it again."""
        arguments, loop = self.arguments, self.loop
        optimizers = [
            f"{o.kind}, lr {o.lr:g}, batch {arguments.batch or loop.model.streams(0.0)[loop.main].batch}, "
            f"{o.decay.__name__}" + (f", gradient norm at most {o.clip:g}" if o.clip else "")
            for o in loop.declared.values()
        ]
        return {
            "data": arguments.data,
            "data_sha256": _digests(self.data),
            "loss": (inspect.getdoc(self.model.loss) or "").partition("\n")[0],
            "optimizer": "; ".join(optimizers),
            "epochs": loop.feeders[loop.main].epochs_done,
            "steps": loop.step_number,
            "seed": arguments.seed,
            "best_epoch": self.best_row["epoch"] if self.best_row else None,
            "select": self.select,
            "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
            "device": str(loop.device),
            "wall_seconds": round(self.seconds),
            "curve": self.curve,
        }

    def _selection(self) -> str | None:
        """The validation metric that picks the best epoch; None: there is none, and the last epoch is taken."""
        select = self.arguments.select or self.model.select_by
        if "validation" not in self.data.splits:
            return None
        one_loss = type(self.model).loss is not Model.loss
        return None if select == "loss" and not one_loss else select

    def _means(self) -> dict[str, float]:
        return {name: value / max(self.steps, 1) for name, value in self.sums.items()}

    def _end_epoch(self, observer: Observer) -> None:
        row: dict[str, Any] = {"epoch": round(self.loop.feeders[self.loop.main].epochs_done, 4), "train": self._means()}
        self.sums, self.steps = {}, 0
        if self.select is not None:
            with self.loop.average.applied():
                row["validation"] = {self.select: self._validate(observer)}
                if is_best := self._is_best(row):
                    self.best_row = row
                    self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        else:
            is_best = True
        self.curve.append(row)
        observer.on_epoch(row, is_best)

    def _validate(self, observer: Observer) -> float:
        if self.select in (None, "loss"):
            return self._validation_loss(observer)
        metrics = fitting_metrics(self.model, self.registry, (self.select,))
        (found,) = measure(self.model, self.data, "validation", metrics, on_batch=observer.on_validation).values()
        return found.value

    @torch.no_grad()
    def _validation_loss(self, observer: Observer) -> float:
        size, generator = self.data.size("validation"), evaluation_generator(self.model.input)
        total = weight = 0.0
        self.model.eval()
        for start in range(0, size, BATCH):
            batch = self.data.batch("validation", torch.arange(start, min(start + BATCH, size)))
            batch = self.model.preprocess(batch, generator=generator)
            loss = self.model.loss({name: tensor.to(self.loop.device) for name, tensor in batch.items()})
            count = min(BATCH, size - start)
            total += float(loss) * count if isinstance(loss, Tensor) else float(loss.value)
            weight += count if isinstance(loss, Tensor) else float(loss.weight)
            observer.on_validation(start + count, size)
        return total / weight

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
            "sums": self.sums,
            "steps": self.steps,
        }
        save_checkpoint(self.folder, self.loop.step_number, files, state)
        write_atomically(self.folder / "curve.json", json.dumps(self.curve, indent=1))

    def _load(self, path: Path) -> None:
        try:
            tensors, state = load_checkpoint(path)
            self.model.load_state_dict(tensors["model"])
            self.loop.load(state["loop"], tensors["training"])
        except Exception as error:
            raise ZooError(f"checkpoint '{path}' cannot be read: {error}") from error
        self.best, self.best_row = tensors.get("best", {}), state["best_row"]
        self.curve, self.seconds = state["curve"], state["seconds"]
        self.sums, self.steps = state["sums"], state["steps"]


def _digests(data: Dataset) -> dict[str, str]:
    """Of the splits that training uses."""
    return {split: data.data_sha256(split) for split in ("train", "validation") if split in data.splits}
