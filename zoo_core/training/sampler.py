"""Which examples come next: a new order in every epoch, and a cursor that a checkpoint can hold."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from zoo_core.discovery.registry import Registration, Registry
from zoo_core.discovery.specs import ModelSpec
from zoo_core.errors import UsageError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.dataset import Dataset, Order
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.source import Source
from zoo_core.interfaces.step import Steps, fields_after
from zoo_core.processes import Processes
from zoo_core.steps.notation import parse_step, read_steps


def derived_seed(*parts: object) -> int:
    """A seed for one purpose, from the run's seed and what it is for.

    All random numbers of a run come from such seeds. So a checkpoint holds no state of generators, and a resumed run
    gets the same random numbers as one that was never interrupted.
    """
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:7])


def derived_generator(*parts: object) -> Generator:
    """A CPU generator at `derived_seed(*parts)`."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what a model on `device` draws from. `torch.manual_seed` would go through every kind of device there is, and
    takes as long as a small model's step."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed_all(seed)


class EpochSampler:
    """Goes through `size` examples, in another order in each epoch.

    The last batch of an epoch may be smaller. Batch normalisation needs a variance, which a single
    example does not have: if only one would be left, it joins the batch before it.
    """

    def __init__(self, size: int, seed: int, stream: str, shuffled: Callable[[Generator], Order] | None = None) -> None:
        """`shuffled` makes the order of an epoch; by default it is a permutation of all examples."""
        self.size, self.seed, self.stream = size, seed, stream
        self.shuffled = shuffled or (lambda generator: torch.randperm(size, generator=generator))
        self.epoch = 0
        self.position = 0
        self._order: tuple[int, Order] | None = None

    def next(self, batch: int) -> Tensor:
        """The indices of the next `batch` examples, or of those that are left in this epoch."""
        if self._order is None or self._order[0] != self.epoch:
            generator = derived_generator(self.seed, "order", self.stream, self.epoch)
            self._order = (self.epoch, self.shuffled(generator))
        left = self.size - self.position
        if batch > 1 and left == batch + 1:
            batch = left
        indices = self._order[1][self.position : self.position + batch]
        self.position += len(indices)
        if self.position == self.size:
            self.epoch, self.position = self.epoch + 1, 0
        return indices

    @property
    def epochs_done(self) -> float:
        """Epochs so far, with the fraction of the current one."""
        return self.epoch + self.position / self.size

    def state(self) -> dict[str, int]:
        """The cursor."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Take back what `state` gave."""
        self.epoch, self.position = state["epoch"], state["position"]


class DatasetSource(Source):
    """The examples of a split, each once in an epoch."""

    def __init__(self, data: Dataset, split: str, seed: int, stream: str) -> None:
        self.data, self.split = data, split
        self.sampler = EpochSampler(data.size(split), seed, stream, partial(data.shuffled, split))

    def next(self, n: int, *, model: AnyModel, progress: float, generator: Generator) -> dict[str, Any]:
        return self.data.batch(self.split, self.sampler.next(n))

    @property
    def epochs_done(self) -> float:
        return self.sampler.epochs_done

    def state(self) -> dict[str, Any]:
        return self.sampler.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state(state)


def open_source(model: Model, stream: str, data: Dataset, split: str, seed: int, processes: Processes) -> Source:
    """The source of a stream: the model's own, or else the split of its data set.

    Raises:
        UsageError: the model's source works in one process only, and there are more.
    """
    source = model.source(stream)
    if source is None:
        return DatasetSource(data, split, seed, stream)
    if source.one_process and processes.count > 1:
        raise UsageError(
            f"what this model learns from is made by one process, and here are {processes.count}",
            "Start it without torchrun or accelerate.",
        )
    return source


def read_augmentation(
    asked: Sequence[Mapping[str, Any]] | None,
    registration: Registration[ModelSpec],
    registry: Registry,
    fields: Iterable[Mapping[str, Field]],
) -> Steps:
    """The steps that were asked for, or else the model's own, for data of each of `fields`.

    Raises:
        UsageError: they do not fit the data.
    """
    own = registry.model_class(registration).augmentation
    plain = [parse_step(text) for text in own] if asked is None else asked
    steps = read_steps(plain, registration.spec.name, registry, option="augment")
    for each in fields:
        fields_after(steps, each)
    return steps
