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
from zoo_core.interfaces.load_report import LoadReport
from zoo_core.interfaces.objectives import Loss, Objective, Optimizer, Stage, Stream
from zoo_core.interfaces.record import Record
from zoo_core.interfaces.step import Step

if TYPE_CHECKING:
    from zoo_core.interfaces.dataset import Dataset
    from zoo_core.interfaces.source import Source

KeyMap = Mapping[str, str]  # our tensor name -> the name in a foreign file


class Model(nn.Module):
    """Base of every model.

    A model with one loss defines `Config`, `__init__`, `signature` and `loss`, and methods such as `log_prob` for what
    it can do. It sets `batch` and `optimizer` where other values suit it better. All other methods have a default.

    Training asks for `optimizers` and `source` once. Each step then calls, in this order: `begin_stage`, if a stage
    begins; `on_progress`; `objectives`; `streams`; for the batch of each stream, augmentation, `preprocess` and
    `random_inputs`; then the loss of each objective, after which its optimizer moves its parameters before the next
    loss is computed. `fit_posthoc` is called once after the last step.

    Attributes:
        Config: the class of its hyperparameters, a `Record`.
        batch: how many examples a training batch holds, unless the user sets another number.
        optimizer: moves all its parameters; None for a model that is fitted without gradient steps.
        head_module: the name of the submodule that a user may replace to predict other classes; None: there is none.
        ema: the submodules of which training keeps the moving average of the weights; "" is the whole model.
        ema_decay: the part of that average that stays in each step.
        select_by: the validation metric that chooses the best epoch; "loss" is the model's own loss.
        precision: what it is trained in by default: "fp32", or "bf16" (autocast).
        channels_last: whether its convolutions are faster in this memory format.
        augmentation: what training does to images by default, written as for `--augment`.
        posthoc_split: the split whose batches `fit_posthoc` gets.
        cpu_threads: how many threads it is fastest with; None leaves the choice to torch.
        key_maps: for each foreign library, by a name of your choice, a map from our tensor names to those in its files.
        config: the hyperparameters of this model. A subclass that uses them says their type, `config: ItsConfig`, below
            `Config = ItsConfig`.
        input: the preprocessing steps that belong to the weights; `preprocess` applies them.
        load_report: where the weights came from; None if they were not loaded.
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
        """The Config values that a data set decides, such as size, channels and classes; none by default.

        Args:
            features: the fields of the data after preprocessing, by name.
        """
        return {}

    @property
    def device(self) -> torch.device:
        """The device of its parameters and buffers; the CPU, if it has none."""
        modules = (self, *self.attached.values())
        tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    # What a batch holds.

    def signature(self) -> dict[str, Field]:
        """What a batch must hold after preprocessing: a field for each name in the batch."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The name of the field that is x, the argument of `log_prob` and its like: the first that is not a target."""
        fields = self.signature()
        return next((name for name, field in fields.items() if not field.is_target), next(iter(fields)))

    def subject_of(self, batch: Mapping[str, Any]) -> Any:
        """The x of a batch, which `log_prob`, `logits` and the other methods of capabilities take: its `subject`.

        A model that needs more than one tensor, such as a model of packed sequences, overrides this to return the
        batch; its methods then take the batch.
        """
        return batch[self.subject]

    def preprocess(
        self,
        batch: Mapping[str, Any],
        fields: Mapping[str, Field] | None = None,
        *,
        generator: Generator | None = None,
    ) -> dict[str, Any]:
        """The batch after the steps of `input`. Training, evaluation and commands call this exactly once.

        Args:
            batch: raw examples by field name, as a data set returns them.
            fields: the fields of the data set, where the batch holds other fields than the signature; lists are texts.
            generator: the source of random numbers for random steps; without it each step uses its own seed.
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
        """The x that `log_prob`, `logits` and its other methods take, made from files, pictures, arrays or texts.

        Args:
            x: for a model of images: a path, a PIL picture, an array [H, W], [H, W, C] or [N, H, W, C], a tensor
                [H, W], [C, H, W] or [B, C, H, W], or a list of these. Integers are from 0 to 255, floats from 0 to 1.
                If the size does not fit after preprocessing, the short side is resized and the middle is cut out.
                For a model of text: a text or several. For other models: an example or several, as numbers.

        Returns:
            The subject of a batch, preprocessed, [B, …], on the model's device.

        Raises:
            UsageError: x is none of these, or has a size that does not fit.
        """
        from zoo_core.inputs import prepare  # the one way up: see tests/test_imports.py

        return prepare(self, x)

    # What it can do.

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can do: the capabilities that its spec declares, except those that it `lacks`. A model that was built
        without a spec has each capability whose method it has."""
        declared = self._declared_capabilities
        if declared is None:
            declared = implemented_by(self)
        lacking = self.lacks()
        return tuple(name for name in declared if name not in lacking)

    def declare_capabilities(self, names: tuple[str, ...]) -> None:
        """Set the capabilities that its spec declares; the registry calls this when it builds a model."""
        self._declared_capabilities = names

    def lacks(self) -> tuple[str, ...]:
        """The capabilities that a model with this config does not have, such as "Uncertain" without a variance."""
        return ()

    def conditions(self) -> dict[str, Condition]:
        """The further arguments of `sample`, `translate_image` or `act`, by their names: digit, text, domain."""
        return {}

    def check_conditions(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each declared condition: what was given, checked, or its default.

        Raises:
            UsageError: there is no such condition or no such value; the message names the nearest ones.
        """
        return check_conditions(self.conditions(), given, type(self).__name__)

    # Training with one loss.

    def loss(self, batch: Mapping[str, Any]) -> Tensor | Loss:
        """The training loss of a preprocessed batch: a scalar, the mean over its examples; or a `Loss`."""
        raise NotImplementedError

    def reset_head(self, n: int) -> None:
        """Replace the head, `head_module`, by a new one with n outputs and random weights."""
        raise NotImplementedError

    # Training that is more than one loss.

    def stages(self) -> list[Stage]:
        """The parts of a run, in order, for example one for each layer. By default there is one: [Stage()]."""
        return [Stage()]

    def begin_stage(self, stage: str, data: "Dataset") -> None:
        """Called once before the first step of each stage, to fit what needs no gradient.

        Its results belong into parameters, buffers, artifacts or `training_state`, because a resumed run does not call
        it again. If training starts from the weights of a release, the tensors and artifacts of that release are put
        back afterwards.

        Args:
            stage: the name of the stage.
            data: the data set of the run; `train_batches(data)` gives its train split, preprocessed.
        """

    def train_batches(self, data: "Dataset", size: int = 1000) -> Iterator[dict[str, Any]]:
        """The train split once, in order, for use in `begin_stage`: preprocessed batches of `size` examples on the
        model's device. Random steps of the input get their random numbers from the seed of the run."""
        return batches(self, data, "train", size=size, generator=torch.Generator().manual_seed(torch.initial_seed()))

    def streams(self, progress: float) -> dict[str, Stream]:
        """Where batches come from, called in each step: {"x": Stream(batch=self.batch)} by default.

        The names are those under which objectives find the batches. The first stream is the main one: epochs are
        passes over it. A model of unpaired data returns two.

        Args:
            progress: the part of the run that is done, in [0, 1); batch sizes may grow with it.
        """
        return {"x": Stream(batch=self.batch)}

    def source(self, stream: str) -> "Source | None":
        """The source of a stream that does not come from a data set but from an environment, say, or from samples of
        the model. It is called once a run for each stream; None, the default, means the stream's data set."""
        return None

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """The random inputs of a batch, such as the noise of a GAN or the times of a diffusion model.

            return {"z": torch.randn(n, 8, generator=generator)}

        They become fields of the batch before it is cut into micro-batches and parts for processes. So the result does
        not depend on how it is cut. Evaluation calls this too, with the same seed each time.

        Args:
            stream: the name of the stream.
            n: how many examples the batch holds.
            generator: the source of all random numbers.

        Returns:
            Tensors [n, …] on the CPU, by name; `{}` by default.
        """
        return {}

    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers, by the names that objectives use. By default there is one, "main": the attribute `optimizer`.

            return {"d": Optimizer(modules=("discriminator",)), "g": Optimizer(modules=("generator",))}

        A parameter may belong to several optimizers. It is called once, when a run starts or is resumed.
        """
        return {} if self.optimizer is None else {"main": self.optimizer}

    def objectives(self) -> list[Objective]:
        """The losses of a step, in the order in which they are computed; each moves only its optimizer's parameters.

            def d_loss(batches, shared):
                shared["fake"] = self.generator(batches["x"]["z"])
                return softplus(self.discriminator(shared["fake"])).mean() + ...  # a scalar, or a Loss

            return [Objective(name="d", optimizer="d", loss=d_loss), Objective(name="g", optimizer="g", loss=g_loss)]

        It is called in each step. By default there is one objective, `loss`, and every optimizer steps on it.

        Raises:
            UsageError: the model has several streams, and `loss` could take the batch of only one.
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
        """Called before each step with the part of the run that is done, in [0, 1), to change the weights of losses,
        grow the model, or update a slow copy of it."""

    def training_state(self) -> dict[str, Tensor]:
        """Tensors that training keeps outside parameters and buffers, such as a pool of earlier samples, by name. A
        checkpoint holds them."""
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `training_state` returned; called when a run is resumed."""

    def fit_posthoc(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Fit buffers after training, such as a temperature or the mean of each class. `batches` are the preprocessed
        batches of `posthoc_split`; they may be iterated over several times."""

    # What travels beside the weights.

    def artifacts(self) -> dict[str, Any]:
        """JSON values that belong to the weights, by name, such as a vocabulary. A release has a file for each,
        artifact.NAME.json. Names consist of lower-case letters, digits, - and _."""
        return {}

    def load_artifacts(self, artifacts: Mapping[str, Any]) -> None:
        """Restore what `artifacts` returned. A model that has artifacts overrides both methods.

        It is called before the tensors are loaded. Their shapes must follow from the config alone; so the largest size
        of a vocabulary is a Config value.

        Raises:
            WeightsError: these artifacts do not belong to this model.
        """
        if artifacts:
            raise WeightsError(f"{type(self).__name__} takes no artifacts, and there are {', '.join(artifacts)}")

    # What is not copied: other releases that this model holds as they are.

    def dependencies(self) -> dict[str, str]:
        """The releases that this model uses and keeps frozen, by attribute: {"backbone": "vgg16-features.edges"}.

        They must follow from the config. `create` and `load` attach them after `__init__`.
        """
        return {}

    @property
    def attached(self) -> dict[str, "Model"]:
        """Those models of `dependencies` that are attached already, by attribute."""
        return {name: self.__dict__[name] for name in self.dependencies() if name in self.__dict__}

    def attach(self, name: str, dependency: "Model") -> None:
        """Set a model of `dependencies` as the attribute `name`, so that `self.backbone(x)` works.

        It is frozen, and stays in eval mode in whatever mode this model is. It is moved between devices and dtypes and
        is copied together with this model. But its tensors do not belong to the parameters, the buffers or the state
        dict of this model.

        Raises:
            ZooError: this model has another attribute of that name.
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
