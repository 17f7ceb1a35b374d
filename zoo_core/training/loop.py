"""The training loop: streams, objectives, optimizers, one step at a time.

A step is: `on_progress`, one batch from every stream, then the objectives in order. Each takes the gradient of its loss
for the parameters of its own optimizer only (`torch.autograd.grad`), so a generator's loss leaves no trace in the
discriminator, and nothing needs freezing.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.errors import UsageError, ZooError
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Loss, Objective, Optimizer
from zoo_core.training.averaging import MovingAverage
from zoo_core.training.feeding import Feeder, derived_generator, derived_seed

Batch = dict[str, Tensor]

KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


class Loop:
    """Trains `model` on the "train" split of `data` for `epochs` epochs of its first stream."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        *,
        epochs: float,
        seed: int,
        batch: int | None = None,
        lr: float | None = None,
        accumulate: int = 1,
        precision: str = "fp32",
    ) -> None:
        self.model, self.data, self.epochs, self.seed = model, data, epochs, seed
        self.batch, self.accumulate, self.precision = batch, accumulate, precision
        self.device = next(model.parameters()).device
        self.step_number = 0
        self.feeders = {name: Feeder(data.size("train"), seed, name) for name in model.streams(0.0)}
        self.main = next(iter(self.feeders))
        self.declared = model.optimizers()
        if lr is not None:
            if len(self.declared) != 1:
                raise UsageError(f"this model has {len(self.declared)} optimizers, and --lr cannot say which")
            self.declared = {name: _with_lr(optimizer, lr) for name, optimizer in self.declared.items()}
        self.parameters = {name: _parameters(model, optimizer) for name, optimizer in self.declared.items()}
        self.optimizers = {
            name: _new_optimizer(optimizer, list(self.parameters[name].values()))
            for name, optimizer in self.declared.items()
        }
        self.average = MovingAverage(model)
        self.stage = ""

    @property
    def progress(self) -> float:
        """How much of the run is done, in [0, 1]."""
        return min(self.feeders[self.main].epochs_done / self.epochs, 1.0)

    def step(self) -> dict[str, float]:
        """One step; the value of each objective (per item) and its parts."""
        model, progress = self.model, self.progress
        self._enter_stage(progress)
        model.train()
        model.on_progress(progress)
        torch.manual_seed(derived_seed(self.seed, "step", self.step_number))  # for draws inside the model
        batches = {name: self._next_batch(name, stream.batch) for name, stream in model.streams(progress).items()}
        shared: dict[str, Any] = {}
        report: dict[str, float] = {}
        for objective in model.objectives():
            if objective.stage in (None, self.stage) and self.step_number % objective.every == 0:
                report |= self._optimise(objective, batches, shared, progress)
        self.step_number += 1
        self.average.update(self.step_number)
        return report

    def _enter_stage(self, progress: float) -> None:
        stages, done = self.model.stages(), 0.0
        total = sum(stage.share for stage in stages)
        for stage in stages:
            done += stage.share / total
            if progress < done or stage is stages[-1]:
                break
        if stage.name != self.stage:
            self.stage = stage.name
            self.model.begin_stage(stage.name, self.data)

    def _next_batch(self, stream: str, size: int) -> Batch:
        batch = self.data.batch("train", self.feeders[stream].next(self.batch or size))
        generator = derived_generator(self.seed, "input", stream, self.step_number)
        batch = self.model.preprocess(batch, generator=generator)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _optimise(
        self, objective: Objective, batches: Mapping[str, Batch], shared: dict[str, Any], progress: float
    ) -> dict[str, float]:
        declared, optimizer = self.declared[objective.optimizer], self.optimizers[objective.optimizer]
        parameters = list(self.parameters[objective.optimizer].values())
        report: dict[str, float] = {}

        def closure() -> float:
            total, weight, parts = 0.0, 0.0, dict[str, float]()
            gradients: list[Tensor | None] = [None] * len(parameters)
            for micro in _micro_batches(batches, self.accumulate):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                    loss = _as_loss(objective.loss(micro, shared), micro)
                if not torch.isfinite(loss.value):
                    what = f"the loss '{objective.name}' is {loss.value.item()}"
                    raise ZooError(
                        f"training stopped at step {self.step_number}: {what}",
                        "The last checkpoint stands. Try a smaller --lr, or another seed.",
                    )
                found = torch.autograd.grad(loss.value, parameters, allow_unused=True)
                gradients = [_plus(old, new) for old, new in zip(gradients, found, strict=True)]
                total, weight = total + loss.value.item(), weight + float(loss.weight)
                for part, value in loss.parts.items():
                    parts[part] = parts.get(part, 0.0) + float(value)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = None if gradient is None else gradient / weight
            if declared.clip is not None:
                nn.utils.clip_grad_norm_(parameters, declared.clip)
            report.update({objective.name: total / weight} | {part: value / weight for part, value in parts.items()})
            return total / weight

        for group in optimizer.param_groups:
            group["lr"] = declared.lr * declared.decay(progress)
        optimizer.step(closure)
        for parameter in parameters:
            parameter.grad = None
        return report

    # What a checkpoint holds, beside the model's own state.

    def state(self) -> dict[str, Any]:
        """Counters and cursors, as JSON."""
        return {
            "step": self.step_number,
            "stage": self.stage,
            "feeders": {name: feeder.state() for name, feeder in self.feeders.items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything else that decides how training goes on, as named tensors."""
        tensors = {f"average/{name}": tensor for name, tensor in self.average.average.items()}
        tensors |= {f"training/{name}": tensor for name, tensor in self.model.training_state().items()}
        for name, optimizer in self.optimizers.items():
            for parameter, tensor in self.parameters[name].items():
                for key, value in optimizer.state.get(tensor, {}).items():
                    if value is not None:
                        tensors[f"optimizer/{name}/{parameter}/{key}"] = torch.as_tensor(value)
        return tensors

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` and `tensors` gave."""
        self.step_number, self.stage = state["step"], state["stage"]
        for name, feeder in self.feeders.items():
            feeder.load_state(state["feeders"][name])
        training: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "average":
                self.average.average[rest].copy_(tensor)
            elif kind == "training":
                training[rest] = tensor
            else:
                optimizer, parameter, key = rest.split("/")
                live = self.parameters[optimizer][parameter]
                # Counters are scalars, and stay on the CPU.
                self.optimizers[optimizer].state[live][key] = tensor.to(
                    live.device if tensor.ndim else "cpu", copy=True
                )
        self.model.load_training_state(training)


def _parameters(model: Model, optimizer: Optimizer) -> dict[str, nn.Parameter]:
    """The parameters of an optimizer's modules, by their name in the model, each once."""
    named = {}
    for module in optimizer.modules:
        for name, parameter in model.get_submodule(module).named_parameters():
            named[f"{module}.{name}".lstrip(".")] = parameter
    return named


def _new_optimizer(declared: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if declared.kind not in KINDS:
        raise UsageError(f"no optimizer '{declared.kind}'", f"There are: {', '.join(KINDS)}.")
    return KINDS[declared.kind](parameters, lr=declared.lr, **declared.options)


def _with_lr(optimizer: Optimizer, lr: float) -> Optimizer:
    if not (lr > 0 and math.isfinite(lr)):
        raise UsageError(f"--lr must be greater than 0, got {lr}")
    return Optimizer(**{**vars(optimizer), "lr": lr})


def _as_loss(loss: Tensor | Loss, batches: Mapping[str, Batch]) -> Loss:
    """A bare tensor is a mean over the batch of the first stream."""
    if isinstance(loss, Loss):
        return loss
    size = len(next(iter(next(iter(batches.values())).values())))
    return Loss(loss * size, size)


def _micro_batches(batches: Mapping[str, Batch], parts: int) -> list[dict[str, Batch]]:
    smallest = min(len(next(iter(batch.values()))) for batch in batches.values())
    parts = min(parts, smallest)  # none may be empty
    if parts == 1:
        return [dict(batches)]
    split = {
        stream: {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
        for stream, batch in batches.items()
    }
    return [
        {stream: {name: pieces[k] for name, pieces in batch.items()} for stream, batch in split.items()}
        for k in range(parts)
    ]


def _plus(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return old if new is None else new
    return old + new  # not in place: autograd may return one tensor for two parameters
