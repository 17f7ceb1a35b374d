"""The training loop: streams, objectives, optimizers, one step at a time.

A step calls `on_progress`, takes one batch from every stream, and computes the objectives in order. Each takes the
gradient of its loss for the parameters of its own optimizer only (`torch.autograd.grad`). So the loss of a generator
leaves no trace in the discriminator, and nothing needs to be frozen.

A batch may be cut twice: among processes, and then into micro-batches. The gradient is always the sum of all values
divided by the sum of all weights, and everything random is drawn before the batch is cut; so the cuts change nothing
but memory and time.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.errors import UsageError, ZooError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.batches import Batch, batch_size, micro_batches, packed_fields, part_of, to_device
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Loss, Objective, Stream
from zoo_core.interfaces.step import Steps
from zoo_core.processes import Processes
from zoo_core.training.averaging import MovingAverage
from zoo_core.training.from_weights import held
from zoo_core.training.optimizers import LiveOptimizer
from zoo_core.training.sampler import DatasetSource, derived_generator, derived_seed, open_source, seed_device


class Diverged(ZooError):
    """A loss is not a finite number any more."""


@dataclass
class MicroBatch:
    """A part of the batches of a step.

    Attributes:
        batches: the batch of each stream.
        shared: what the objectives of the step leave in it for each other.
    """

    batches: dict[str, Batch]
    shared: dict[str, Any] = field(default_factory=dict)


class Loop:
    """Trains `model` on `data` for `epochs` epochs of its first stream, or for `steps` steps.

    Attributes:
        requests: what this process asks all of them to do after the same step: to "stop", to "save".
        agreed: after a step, which requests any process has made.
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        *,
        seed: int,
        epochs: float | None = None,
        steps: int | None = None,
        batch: int | None = None,
        lr: float | None = None,
        accumulate: int = 1,
        precision: str | None = None,
        processes: Processes | None = None,
        others: Mapping[str, Dataset] | None = None,
        augmentation: Steps = (),
        frozen: Sequence[nn.Module] = (),
        taken: Collection[str] = (),
    ) -> None:
        """`others` are the data sets that streams name; `precision` is fp32, bf16 or the model's own; `frozen` are
        modules that stay in eval mode, and `taken` the names of tensors that came with weights to start from.

        Raises:
            UsageError: one learning rate for several optimizers; epochs of a source that has no end; a source that
                works in one process only, and there are more.
        """
        self.model, self.data, self.others = model, data, dict(others or {})
        self.epochs, self.steps, self.seed = epochs, steps, seed
        self.batch, self.accumulate, self.precision = batch, accumulate, precision or model.precision
        self.augmentation, self.frozen, self.taken = augmentation, frozen, taken
        self.processes = processes or Processes(str(model.device))
        self.device = model.device
        self.step_number = 0
        self.stage_number = -1  # before the first
        self.requests = {"stop": False, "save": False}
        self.agreed = dict(self.requests)
        self.idle = False  # no example is left for this process: it takes the first, which counts nothing
        streams = model.streams(0.0)
        self.sources = {
            name: open_source(model, name, self.data_of(stream), stream.split, seed, self.processes)
            for name, stream in streams.items()
        }
        self.fields = {name: self._fields_of(name, stream) for name, stream in streams.items()}
        own = model.signature()
        self.packed = {name: packed_fields({**own, **fields}) for name, fields in self.fields.items()}
        self.main = next(iter(self.sources))
        if epochs is not None and self.epochs_done is None:
            raise UsageError("what this model learns from has no end, so there are no epochs", "Give --steps N.")
        declared = model.optimizers()
        if lr is not None and not declared:
            raise UsageError("this model is fitted without steps, and --lr has no meaning for it")
        if lr is not None and len(declared) > 1:
            raise UsageError(f"this model has {len(declared)} optimizers, and --lr cannot say which")
        self.optimizers = {
            name: LiveOptimizer(model, optimizer, lr)
            for name, optimizer in declared.items()
            if any(True for module in optimizer.modules for _ in model.get_submodule(module).parameters())
        }  # a model that is fitted without gradients may have none
        self._check_objectives()
        self.average = MovingAverage(model)
        self.processes.copy_from_main([*model.parameters(), *model.buffers()])

    def data_of(self, stream: Stream) -> Dataset:
        """The data set that a stream walks through."""
        return self.data if stream.dataset is None else self.others[stream.dataset]

    def _fields_of(self, name: str, stream: Stream) -> Mapping[str, Field]:
        """What a batch of a stream holds before preprocessing."""
        walks = isinstance(self.sources[name], DatasetSource)
        return self.data_of(stream).features if walks else self.model.signature()

    @property
    def epochs_done(self) -> float | None:
        """Passes over the first stream so far, with the fraction of the current one; None where it has no end."""
        return self.sources[self.main].epochs_done

    @property
    def progress(self) -> float:
        """How much of the run is done, in [0, 1]."""
        stages = self.model.stages()
        if self.stage_number == len(stages) - 1 and not any(stage.share for stage in stages):
            return 1.0  # nothing but fits without gradients, and they are made
        if self.steps is not None:
            return min(self.step_number / self.steps, 1.0)
        assert self.epochs is not None and self.epochs_done is not None
        return min(self.epochs_done / self.epochs, 1.0)

    @property
    def stage(self) -> str:
        """The name of the current stage."""
        return self.model.stages()[max(self.stage_number, 0)].name

    def step(self) -> dict[str, float]:
        """Make one step. The result has the value of each objective (per item) and its parts."""
        progress = self.progress
        self.enter_stages()
        if not self.model.training:
            self.model.train()
        for module in self.frozen:
            module.eval()
        self.model.on_progress(progress)
        due = [
            (number, objective)
            for number, objective in enumerate(self.model.objectives())
            if objective.stage in (None, self.stage) and self.step_number % objective.every == 0
        ]
        streams = self.model.streams(progress)
        raw = {name: self.next_batch(name, self.batch or stream.batch, progress) for name, stream in streams.items()}
        parts: list[MicroBatch] = []
        if due:
            batches = self._own_part({name: self._prepared(name, batch) for name, batch in raw.items()})
            parts = [MicroBatch(micro) for micro in micro_batches(batches, self.accumulate, self.packed)]
        report: dict[str, float] = {}
        for number, objective in due:
            seed = derived_seed(self.seed, "step", self.step_number, number, self.processes.rank)
            report |= self._optimise(objective, parts, progress, seed)
        if not report:  # nothing was sent that could have carried the request
            stop, save = self.processes.sum(self._requests()).tolist()
            self.agreed = {"stop": stop > 0, "save": save > 0}
        self.step_number += 1
        self.average.update(self.step_number)
        return report

    def enter_stages(self) -> None:
        """Begin the stage that is due, and those of share 0 on the way to it."""
        stages = self.model.stages()
        total = sum(stage.share for stage in stages) or 1.0
        for number in range(self.stage_number + 1, len(stages)):
            if self.progress < sum(stage.share for stage in stages[:number]) / total:
                break
            self.stage_number = number
            seed_device(derived_seed(self.seed, "stage", number), self.device)
            with held(self.model, self.taken):
                self.model.begin_stage(stages[number].name, self.data)
            self.processes.copy_from_main([*self.model.parameters(), *self.model.buffers()])

    @torch.no_grad()
    def next_batch(self, name: str, n: int, progress: float) -> Batch:
        """The next `n` examples of a stream as its source gives them, for all processes together."""
        generator = derived_generator(self.seed, "source", name, self.step_number)
        model = cast(AnyModel, self.model)
        return dict(self.sources[name].next(n, model=model, progress=progress, generator=generator))

    def _prepared(self, name: str, batch: Batch) -> Batch:
        """A batch of a stream, augmented and preprocessed, and what is drawn for it."""
        size, fields = batch_size(batch, self.packed[name]), self.fields[name]
        if self.augmentation:
            generator = derived_generator(self.seed, "augment", name, self.step_number)
            for step in self.augmentation:
                batch = step.apply(batch, fields, generator)
        generator = derived_generator(self.seed, "input", name, self.step_number)
        batch = self.model.preprocess(batch, fields, generator=generator)
        generator = derived_generator(self.seed, "draw", name, self.step_number)
        return batch | self.model.random_inputs(name, size, generator)

    def _own_part(self, batches: Mapping[str, Batch]) -> dict[str, Batch]:
        """What this process takes of the batches; where a batch has fewer examples than there are processes, the last
        ones are idle."""
        own = dict(batches)
        if self.processes.count > 1:
            sizes = {name: batch_size(batch, self.packed[name]) for name, batch in batches.items()}
            among = min(self.processes.count, *sizes.values())
            self.idle = self.processes.rank >= among
            own = {
                name: part_of(batch, self.processes.part(sizes[name], among), self.packed[name])
                for name, batch in batches.items()
            }
        return {
            name: to_device(batch, self.device, channels_last=self.model.channels_last) for name, batch in own.items()
        }

    def _optimise(
        self, objective: Objective, parts: Sequence[MicroBatch], progress: float, seed: int
    ) -> dict[str, float]:
        first, *others = (self.optimizers[name] for name in objective.optimizers)
        parameters = self._trainable(objective, (first, *others))
        report: dict[str, float] = {}

        def closure() -> float:
            seed_device(seed, self.device)  # for dropout; L-BFGS asks again and must get the same loss
            gradients: list[Tensor | None] = [None] * len(parameters)
            sums: dict[str, Tensor] = {}  # the loss, its weight and its parts
            for part in parts:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                    loss = self._loss(objective, part)
                found = torch.autograd.grad(loss.value, parameters, allow_unused=True)
                gradients = [_plus(old, new) for old, new in zip(gradients, found, strict=True)]
                for name, number in {_VALUE: loss.value, _WEIGHT: loss.weight, **loss.parts}.items():
                    number = torch.as_tensor(number, device=self.device).detach().double()
                    sums[name] = sums[name] + number if name in sums else number
            gradients = self.processes.sum_gradients(gradients, parameters)
            everything = torch.cat([self._requests(), torch.stack(list(sums.values()))])
            stop, save, value, weight, *values = self.processes.sum(everything).tolist()
            self.agreed = {"stop": stop > 0, "save": save > 0}
            if not math.isfinite(value):
                raise Diverged(
                    f"training stopped at step {self.step_number}: the loss '{objective.name}' is {value}",
                    "Try a smaller --lr, or another --seed.",
                )
            if weight == 0:  # nothing to learn from, such as images without a box: no gradient moves nothing
                return 0.0
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = None if gradient is None else laid_out_as(parameter, gradient / weight)
            for optimizer in (first, *others):
                if optimizer.declared.clip is not None:
                    nn.utils.clip_grad_norm_(optimizer.parameters.values(), optimizer.declared.clip)
            names = [objective.name, *list(sums)[2:]]
            report.update({name: number / weight for name, number in zip(names, [value, *values], strict=True)})
            return report[objective.name]

        first.step(closure, progress)
        for other in others:  # the gradients are there already
            other.step(lambda: report.get(objective.name, 0.0), progress)
        return report

    def _check_objectives(self) -> None:
        """Raise where an objective has several optimizers, and one gradient is not for each."""
        for objective in self.model.objectives():
            owner: dict[int, str] = {}
            several = [(name, self.optimizers[name]) for name in objective.optimizers if name in self.optimizers]
            for name, optimizer in several:
                if len(several) > 1 and optimizer.declared.kind == "lbfgs":
                    raise UsageError(f"the loss '{objective.name}' has several optimizers, and L-BFGS must be alone")
                for parameter_name, parameter in optimizer.parameters.items():
                    other = owner.setdefault(id(parameter), name)
                    if other != name:
                        raise UsageError(
                            f"the parameter '{parameter_name}' is moved by '{other}' and by '{name}' on one loss",
                            "Give each its own `modules`.",
                        )

    def _trainable(self, objective: Objective, optimizers: Sequence[LiveOptimizer]) -> list[nn.Parameter]:
        """The parameters that an objective moves: those of its optimizers that are not frozen now.

        Raises:
            UsageError: all are frozen.
        """
        parameters = [p for optimizer in optimizers for p in optimizer.parameters.values() if p.requires_grad]
        if not parameters:
            raise UsageError(f"the loss '{objective.name}' has nothing to train: all its parameters are frozen")
        return parameters

    def _requests(self) -> Tensor:
        asked = [self.requests["stop"], self.requests["save"]]
        return torch.tensor(asked, dtype=torch.float64, device=self.device)

    def _loss(self, objective: Objective, part: MicroBatch) -> Loss:
        """The loss as a sum; a bare tensor is a mean over the batch of the first stream."""
        loss = objective.loss(part.batches, part.shared)
        if isinstance(loss, Tensor):
            size = batch_size(part.batches[self.main], self.packed[self.main])
            loss = Loss(loss * size, size)
        if self.idle:
            loss = Loss(loss.value * 0, loss.weight * 0, {name: value * 0 for name, value in loss.parts.items()})
        return loss

    # What a checkpoint holds, beside the model's own state.

    def state(self) -> dict[str, Any]:
        """Counters and cursors, as JSON."""
        return {
            "step": self.step_number,
            "stage": self.stage_number,
            "processes": self.processes.count,
            "sources": {
                name: {key: value for key, value in source.state().items() if not isinstance(value, Tensor)}
                for name, source in self.sources.items()
            },
            "optimizers": {name: optimizer.state()[1] for name, optimizer in self.optimizers.items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything else that decides how training continues, as named tensors. All processes call it together."""
        tensors = {f"average/{name}": tensor for name, tensor in self.average.average.items()}
        own = {name: tensor.detach().cpu() for name, tensor in self.model.training_state().items()}
        for rank, state in enumerate(self.processes.gather(own)):
            tensors |= {f"training/{rank}/{name}": tensor for name, tensor in state.items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"optimizer/{name}/{place}": tensor for place, tensor in optimizer.state()[0].items()}
        for name, source in self.sources.items():  # the same in each process
            kept = {key: value for key, value in source.state().items() if isinstance(value, Tensor)}
            tensors |= {f"source/{name}/{key}": tensor for key, tensor in kept.items()}
        return tensors

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` and `tensors` returned.

        Raises:
            UsageError: each process keeps training state of its own, and there were more or fewer of them.
        """
        if state["processes"] != self.processes.count and self.model.training_state():
            raise UsageError(
                f"this run was begun by {state['processes']} processes, and here are {self.processes.count}",
                "Each keeps a part of what the model needs for training: start as many again.",
            )
        self.step_number, self.stage_number = state["step"], state["stage"]
        for name, source in self.sources.items():
            source.load_state({**state["sources"][name], **_below(f"source/{name}/", tensors)})
        for name, optimizer in self.optimizers.items():
            optimizer.load_state(_below(f"optimizer/{name}/", tensors), state["optimizers"][name])
        for name, average in self.average.average.items():
            average.copy_(tensors[f"average/{name}"])
        self.model.load_training_state(_below(f"training/{self.processes.rank}/", tensors))


_VALUE, _WEIGHT = "/value", "/weight"  # no part of a loss has such a name


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the memory format of its parameter: fused optimizers walk through both memories side by side,
    and would take another format for other numbers."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def _plus(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return old if new is None else new
    return old + new  # not in place: autograd may return one tensor for two parameters
