"""`Model`: a torch module with a Config, that says how it is trained and what a batch holds."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.objectives import Loss, Objective, Optimizer, Stage, Stream
from zoo_core.interfaces.record import Record
from zoo_core.interfaces.step import Step

if TYPE_CHECKING:
    from zoo_core.interfaces.dataset import Dataset

KeyMap = Mapping[str, str]  # our tensor name -> the name in a foreign file


class LoadReport(Record, kw_only=True):
    """Where a model's weights came from, and what was done to them."""

    reference: str  # as it was asked for
    name: str  # model.tag where a manifest knows it, else the model
    source: str
    folder: str
    pinned: bool  # whether a manifest's hashes were checked, beside the release's own
    tensors: int
    parameters: int
    dtype: str
    device: str
    new_head: int | None = None  # outputs of the fresh head, if it was replaced


class Model(nn.Module):
    """Base of every model. A model with one loss writes `Config`, `__init__`, `signature` and `loss`; the rest of
    the training methods have the obvious default.

    Attributes:
        input: the preprocessing steps that belong to the weights; `preprocess` applies them.
        load_report: where the weights came from, if they were loaded.
    """

    Config: ClassVar[type[Record]] = Record
    head: ClassVar[str | None] = None  # the submodule that `head=` may replace
    ema: ClassVar[
        tuple[str, ...]
    ] = ()  # submodules whose moving average is what training yields; "" is the whole model
    ema_decay: ClassVar[float] = 0.999
    select_by: ClassVar[str] = "loss"  # the validation metric that picks the best epoch; "loss" is the model's own
    precision: ClassVar[str] = "fp32"  # what it is trained in by default: fp32, or bf16 (autocast)
    channels_last: ClassVar[bool] = False  # whether its convolutions are faster with this memory format
    augmentation: ClassVar[tuple[str, ...]] = ()  # what training does to images by default, as for `--augment`
    posthoc_split: ClassVar[str] = "train"  # what `fit_posthoc` sees
    cpu_threads: ClassVar[int | None] = None  # how many this model is fastest with; None leaves torch's choice
    key_maps: ClassVar[Mapping[str, KeyMap]] = {}

    def __init__(self, config: Record) -> None:
        super().__init__()
        self.config = config
        self.input: tuple[Step, ...] = ()
        self.load_report: LoadReport | None = None

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        """The Config values that a data set decides: size, channels, classes."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where its parameters and buffers are; the CPU, if it has none."""
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    def signature(self) -> dict[str, Field]:
        """What a batch must hold, after preprocessing."""
        raise NotImplementedError

    def preprocess(self, batch: Mapping[str, Tensor], *, generator: Generator | None = None) -> dict[str, Tensor]:
        """`batch` after the steps of `input`. Trainer, evaluator and commands call this exactly once."""
        prepared = dict(batch)
        for step in self.input:
            prepared = step.apply(prepared, generator)
        return prepared

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor | Loss:
        """The training loss of a one-loss model; a bare tensor is a mean over the batch."""
        raise NotImplementedError

    def reset_head(self, n: int) -> None:
        """Replace the head by a fresh one with n outputs."""
        raise NotImplementedError

    # Training that is more than one loss.

    def stages(self) -> list[Stage]:
        return [Stage()]

    def begin_stage(self, stage: str, data: "Dataset") -> None:
        """Fit what needs no gradient, before a stage. A resumed run does not call it again: what it makes belongs into
        parameters, buffers or `training_state`."""

    def train_batches(self, data: "Dataset", size: int = 1000) -> Iterator[dict[str, Tensor]]:
        """The train split once, in its order, `size` examples at a time, preprocessed and on the model's device: for
        `begin_stage`, where random steps of the input then draw from the run's seed."""
        generator = torch.Generator().manual_seed(torch.initial_seed())
        for indices in torch.split(torch.arange(data.size("train")), size):
            batch = self.preprocess(data.batch("train", indices), generator=generator)
            yield {name: values.to(self.device) for name, values in batch.items()}

    def streams(self, progress: float) -> dict[str, Stream]:
        return {"x": Stream()}

    def draw_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """The random inputs of a batch of `n` examples, [n, …] each: a GAN's noise, a diffusion's times.

        They become part of the batch before it is split among micro-batches and processes, so that a result does not
        depend on how it is split.
        """
        return {}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer()}

    def objectives(self) -> list[Objective]:
        (stream,), (optimizer,) = self.streams(0.0), self.optimizers()
        return [Objective(name="loss", optimizer=optimizer, loss=lambda batches, shared: self.loss(batches[stream]))]

    def on_progress(self, progress: float) -> None:
        """Called before each step, with progress in [0, 1): growth, warm-up, loss weights."""

    def training_state(self) -> dict[str, Tensor]:
        """What training keeps outside parameters and buffers, such as a replay pool."""
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `training_state` gave."""

    def fit_posthoc(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Fit buffers after training, from one pass or several over the preprocessed batches of `posthoc_split`: a
        temperature, class statistics."""

    # What travels beside the weights.

    def artifacts(self) -> dict[str, Any]:
        """JSON that belongs to the weights: a vocabulary, class names."""
        return {}

    def dependencies(self) -> dict[str, str]:
        """References to other releases that this model holds frozen, by submodule."""
        return {}
