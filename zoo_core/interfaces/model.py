"""`Model`: a torch module with a Config, that says how it is trained and what a batch holds."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn

from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.interfaces.batches import batches
from zoo_core.interfaces.capabilities import implemented_by
from zoo_core.interfaces.conditions import Condition, check_conditions
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.objectives import Loss, Objective, Optimizer, Stage, Stream
from zoo_core.interfaces.record import Record
from zoo_core.interfaces.step import Step

if TYPE_CHECKING:
    from zoo_core.interfaces.dataset import Dataset
    from zoo_core.interfaces.source import Source

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
    model_sha256: str | None  # of the release's model.safetensors; None of a run that has not ended
    config_sha256: str | None  # of its config.json
    new_head: int | None = None  # outputs of the fresh head, if it was replaced


class Model(nn.Module):
    """Base of every model.

    A model with one loss writes `Config`, `__init__`, `signature` and `loss`, and the methods of what it can do; where
    other values than these suit it better, it says `batch` and `optimizer`. All other methods have the obvious default.

    Attributes:
        Config: the record of its hyperparameters.
        batch: examples in a training batch, unless the user says another number.
        optimizer: what moves all its parameters; None for a model that is fitted without gradient steps.
        head_module: the name of the submodule that a user may have replaced for other classes.
        ema: the submodules whose moving average is what training yields; "" is the whole model.
        ema_decay: how much of the average stays in each step.
        select_by: the validation metric that picks the best epoch; "loss" is the model's own.
        precision: what it is trained in by default: fp32, or bf16 (autocast).
        channels_last: whether its convolutions are faster with this memory format.
        augmentation: what training does to images by default, written as for `--augment`.
        posthoc_split: the split that `fit_posthoc` sees.
        cpu_threads: how many threads it is fastest with; None leaves torch's choice.
        key_maps: by a name, how another library calls the tensors: our name -> the name in its file.
        config: the values of this model. A subclass that reads them says their type, `config: ItsConfig`, below
            `Config = ItsConfig`.
        input: the preprocessing steps that belong to the weights; `preprocess` applies them.
        load_report: where the weights came from, if they were loaded.
    """

    Config: ClassVar[type[Record]] = Record
    batch: int = 32
    optimizer: Optimizer | None = Optimizer()
    head_module: str | None = None
    ema: ClassVar[tuple[str, ...]] = ()
    ema_decay: ClassVar[float] = 0.999
    select_by: ClassVar[str] = "loss"
    precision: ClassVar[str] = "fp32"
    channels_last: ClassVar[bool] = False
    augmentation: ClassVar[tuple[str, ...]] = ()
    posthoc_split: ClassVar[str] = "train"
    cpu_threads: ClassVar[int | None] = None
    key_maps: Mapping[str, KeyMap] = {}

    def __init__(self, config: Record) -> None:
        super().__init__()
        self.config = config
        self.input: tuple[Step, ...] = ()
        self.load_report: LoadReport | None = None
        self._declared_capabilities: tuple[str, ...] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # torch keeps submodules and parameters where a class attribute of the same name hides them.
        if isinstance(value, (nn.Module, nn.Parameter)) and hasattr(Model, name):
            raise AttributeError(
                f"{type(self).__name__}: 'self.{name}' cannot hold a module or a parameter, for '{name}' is a name of "
                f"zoo_core.Model; call it '{name}_layer', say"
            )
        super().__setattr__(name, value)

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        """The Config values that a data set decides: size, channels, classes.

        Args:
            features: the fields of the data after preprocessing, by name.
        """
        return {}

    @property
    def device(self) -> torch.device:
        """Where its parameters and buffers are; the CPU, if it has none."""
        modules = (self, *self.attached.values())
        tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    # What a batch holds.

    def signature(self) -> dict[str, Field]:
        """What a batch must hold, after preprocessing: the field of each name."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The name of the field that is x: what capabilities are about. By default, the first that is no target."""
        fields = self.signature()
        return next((name for name, field in fields.items() if not field.is_target), next(iter(fields)))

    def subject_of(self, batch: Mapping[str, Any]) -> Any:
        """What `log_prob`, `logits` and the other methods of capabilities take of a batch: its subject.

        A model for which one tensor is not enough, such as one of packed sequences, returns the batch itself, and its
        methods take that.
        """
        return batch[self.subject]

    def preprocess(
        self,
        batch: Mapping[str, Any],
        fields: Mapping[str, Field] | None = None,
        *,
        generator: Generator | None = None,
    ) -> dict[str, Any]:
        """`batch` after the steps of `input`. Trainer, evaluator and commands call this exactly once.

        Args:
            fields: what the data set says that the batch holds, beside what the signature says; lists are texts.
            generator: what random steps draw from; without one, each from its own seed.
        """
        prepared = dict(batch)
        if not self.input:
            return prepared
        texts = {name: Field(kind="text") for name, values in batch.items() if isinstance(values, list)}
        known = {**self.signature(), **texts, **(fields or {})}
        for step in self.input:
            prepared = step.apply(prepared, known, generator)
        return prepared

    def prepare(self, x: Any) -> Any:
        """What `log_prob`, `logits` and its other methods take, made of what people have: the subject of a batch,
        preprocessed, [B, …] on the model's device.

        Args:
            x: for a model of images: a path, a PIL picture, an array [H, W], [H, W, C] or [N, H, W, C], a tensor
                [H, W], [C, H, W] or [B, C, H, W], or a list of such. Integers are from 0 to 255, floats from 0 to 1.
                Where the preprocessing would not make it fit, the short side is resized and the middle cut out.
                For a model of text: a text or several. For other models: an example or several, as numbers.

        Raises:
            UsageError: it is nothing of the kind, or of a size that does not fit.
        """
        from zoo_core.inputs import prepare  # the one way up: see tests/test_imports.py

        return prepare(self, x)

    # What it can do.

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can do: the capabilities that its spec declares, but for what it `lacks`. A model that was built
        without a spec has those whose method it has."""
        declared = self._declared_capabilities
        if declared is None:
            declared = implemented_by(self)
        lacking = self.lacks()
        return tuple(name for name in declared if name not in lacking)

    def declare_capabilities(self, names: tuple[str, ...]) -> None:
        """Say what the spec that it was built for declares; the registry does."""
        self._declared_capabilities = names

    def lacks(self) -> tuple[str, ...]:
        """The capabilities of the class that this config takes away: without a variance, say, it is not Uncertain."""
        return ()

    def conditions(self) -> dict[str, Condition]:
        """What `sample`, `translate_image` or `act` can be told, by the name of the argument: digit, text, domain."""
        return {}

    def check_conditions(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` with every value checked, and the defaults of those that are not given.

        Raises:
            UsageError: no such condition, or no such value; with the nearest ones.
        """
        return check_conditions(self.conditions(), given, type(self).__name__)

    # Training with one loss.

    def loss(self, batch: Mapping[str, Any]) -> Tensor | Loss:
        """The training loss of a batch: a scalar that is a mean over its examples, or a `Loss`."""
        raise NotImplementedError

    def reset_head(self, n: int) -> None:
        """Replace the head by a fresh one with n outputs."""
        raise NotImplementedError

    # Training that is more than one loss.

    def stages(self) -> list[Stage]:
        """The parts of a run, in order: a layer at a time, or a fit without gradients before the first step."""
        return [Stage()]

    def begin_stage(self, stage: str, data: "Dataset") -> None:
        """Fit what needs no gradient, before a stage. A resumed run does not call it again: what it makes belongs into
        parameters, buffers, artifacts or `training_state`. Where training started from weights, the tensors and
        artifacts that came with them are afterwards what they were."""

    def train_batches(self, data: "Dataset", size: int = 1000) -> Iterator[dict[str, Any]]:
        """The train split once, in its order, `size` examples at a time, preprocessed and on the model's device: for
        `begin_stage`, where random steps of the input then draw from the run's seed."""
        return batches(self, data, "train", size=size, generator=torch.Generator().manual_seed(torch.initial_seed()))

    def streams(self, progress: float) -> dict[str, Stream]:
        """The supplies of batches, by the names under which objectives find them. Two for unpaired data.

        Args:
            progress: how much of the run is done, in [0, 1); batch sizes may grow with it.
        """
        return {"x": Stream(batch=self.batch)}

    def source(self, stream: str) -> "Source | None":
        """Where a stream comes from that walks through no data set: an environment, the model's own samples. Called
        once a run."""
        return None

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """The random inputs of a batch of `n` examples, [n, …] each: a GAN's noise, a diffusion's times.

        They become part of the batch before it is split among micro-batches and processes, so that a result does not
        depend on how it is split.
        """
        return {}

    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name. A GAN has two, each with the modules that it moves; a parameter may be in several."""
        return {} if self.optimizer is None else {"main": self.optimizer}

    def objectives(self) -> list[Objective]:
        """The losses of one step, in the order in which they run; each moves the parameters of its own optimizer only.

        By default the one `loss`, and every optimizer steps on it.

        Raises:
            UsageError: the model has several streams, of which `loss` could take only one.
        """
        optimizers, streams = tuple(self.optimizers()), tuple(self.streams(0.0))
        if not optimizers:
            return []
        if len(streams) > 1:
            raise UsageError(
                f"{type(self).__name__} has the streams {', '.join(streams)}, and `loss` takes the batch of one",
                "Write `objectives`, whose losses take the batches of all.",
            )
        (stream,) = streams
        optimizer = optimizers[0] if len(optimizers) == 1 else optimizers
        return [Objective(name="loss", optimizer=optimizer, loss=lambda batches, shared: self.loss(batches[stream]))]

    def on_progress(self, progress: float) -> None:
        """Called before each step, with progress in [0, 1): growth, warm-up, loss weights."""

    def training_state(self) -> dict[str, Tensor]:
        """What training keeps outside parameters and buffers, such as a replay pool."""
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `training_state` gave."""

    def fit_posthoc(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Fit buffers after training, from one pass or several over the preprocessed batches of `posthoc_split`: a
        temperature, class statistics."""

    # What travels beside the weights.

    def artifacts(self) -> dict[str, Any]:
        """JSON that belongs to the weights, by name: a vocabulary, a table of names. A release has a file for each,
        artifact.NAME.json; a name is of lower-case letters, digits, - and _."""
        return {}

    def load_artifacts(self, artifacts: Mapping[str, Any]) -> None:
        """Take back what `artifacts` gave; a model that has some overrides both.

        It is called before the tensors are filled in. Their shapes follow from the config alone: a vocabulary's largest
        size is a Config value.

        Raises:
            WeightsError: these artifacts are not this model's.
        """
        if artifacts:
            raise WeightsError(f"{type(self).__name__} takes no artifacts, and there are {', '.join(artifacts)}")

    # What is not copied: other releases that this model holds as they are.

    def dependencies(self) -> dict[str, str]:
        """References to the releases that this model holds frozen, by attribute: {"backbone": "vgg16-features.edges"}.

        They follow from the config. Whoever makes the model (`create`, `load`) attaches them after `__init__`.
        """
        return {}

    @property
    def attached(self) -> dict[str, "Model"]:
        """The models of `dependencies`, as far as they are attached."""
        return {name: self.__dict__[name] for name in self.dependencies() if name in self.__dict__}

    def attach(self, name: str, dependency: "Model") -> None:
        """Make a release that this model depends on its attribute, for `self.backbone(x)`.

        It is frozen, and stays in eval mode whatever mode this model is in. It moves with this model between devices
        and dtypes, and is copied with it; but its tensors are none of this model's parameters, buffers or state dict.
        """
        if name in {**self._modules, **self._parameters, **self._buffers} or hasattr(type(self), name):
            raise ZooError(f"{type(self).__name__} has something else that is called '{name}', like a dependency of it")
        self.__dict__[name] = dependency.requires_grad_(False).eval()  # by setattr it would become a submodule

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """What `to`, `cuda`, `float` and their like do with every tensor; dependencies come along."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for dependency in self.attached.values():
            dependency._apply(fn, recurse)
        return self
