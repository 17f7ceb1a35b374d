"""The multilayer perceptron: linear layers with a non-linear function between them.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    mlp.mnist: accuracy 0.9876 ± 0.0011 fraction (mnist test), n = 10,000, top-1; 1 run, 0.05 h

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986. One network, two
uses: `MLPClassifier` for images with labels, `MLPRegressor` for rows of numbers with targets.

Axes: B batch, D inputs, K classes, T targets.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_basics.initialisation import Initialisation, initialise
from zoo_basics.row_regressor import RowRegressor
from zoo_core import (
    Field,
    Loss,
    Model,
    Optimizer,
    Record,
    RecordError,
    Uncertainty,
    UsageError,
    labelled_images,
    linear_to_zero,
)

ActivationName = Literal["sigmoid", "tanh", "relu"]
ACTIVATIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}
LOG_STD_RANGE = (-7.0, 7.0)  # of a predicted Gaussian, so that one wild row cannot overflow

# Learning rates that suit an MLP of a few hundred units on standardised or [0, 1] inputs.
OPTIMIZERS = {
    "sgd": Optimizer(kind="sgd", lr=0.1),
    "sgd-decay": Optimizer(kind="sgd", lr=0.1, decay=linear_to_zero),
    "momentum": Optimizer(kind="sgd", lr=0.1, options={"momentum": 0.9}, decay=linear_to_zero),
    "adam": Optimizer(kind="adam", lr=1e-3, decay=linear_to_zero),
    "muon": Optimizer(kind="muon", lr=2e-2, decay=linear_to_zero),
}


class MLPConfig(Record, kw_only=True):
    """The network, and how it is trained."""

    hidden: tuple[Annotated[int, Meta(ge=1)], ...] = (256, 256)  # units of each hidden layer
    activation: ActivationName = "relu"
    init: Initialisation = "he"
    optimizer: Literal["sgd", "sgd-decay", "momentum", "adam", "muon"] = "adam"


class MLP(Model):
    """The network, without a use."""

    Config = MLPConfig
    config: MLPConfig
    batch = 128

    def __init__(self, config: MLPConfig, inputs: int, outputs: int) -> None:
        super().__init__(config)
        self.optimizer = OPTIMIZERS[config.optimizer]
        sizes = (inputs, *config.hidden, outputs)
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for layer in layers:
            initialise(layer, config.init)
        self.layers = nn.ModuleList(layers)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """Rows [B, D] to outputs [B, n]."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        outputs: Tensor = self.layers[-1](x)
        return outputs


# --- classification -------------------------------------------------------------------------------------------------


class MLPClassifierConfig(MLPConfig, kw_only=True):
    """What the data decides, and the loss: of the logits against the label, or of outputs against its one-hot row."""

    channels: Annotated[int, Meta(ge=1, le=1024)] = 1  # 1 grey, 3 RGB
    height: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    width: Annotated[int, Meta(ge=1, le=4096)] = 28  # pixels
    classes: Annotated[int, Meta(ge=1)] = 10  # K
    class_names: tuple[str, ...] = ()  # in the order of their numbers, where they are known
    loss: Literal["cross_entropy", "mse", "l1"] = "cross_entropy"  # gaussian is for numbers: mlp-regressor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_names and len(self.class_names) != self.classes:
            raise RecordError(f"class_names: {len(self.class_names)} names for {self.classes} classes")


class MLPClassifier(MLP):
    """A Classifier of images, each as one row of its pixels."""

    Config = MLPClassifierConfig
    config: MLPClassifierConfig
    select_by = "accuracy"

    def __init__(self, config: MLPClassifierConfig) -> None:
        super().__init__(config, config.channels * config.height * config.width, config.classes)

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        return labelled_images(features, cls.__name__)

    def signature(self) -> dict[str, Field]:
        c = self.config
        return {
            "image": Field(kind="image", shape=(c.channels, c.height, c.width)),
            "label": Field(kind="label", dtype="int64", classes=c.class_names),
        }

    def logits(self, x: Tensor) -> Tensor:
        """Class scores before the softmax: [B, C, H, W] -> [B, K]. Trained with mse or l1, they are one-hot guesses."""
        logits: Tensor = self(x.flatten(1))
        return logits

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the softmax in nats; or the squared or absolute distance from the label's one-hot row."""
        logits, label = self.logits(batch["image"]), batch["label"]
        if self.config.loss == "cross_entropy":
            value = F.cross_entropy(logits, label, reduction="sum")
        else:
            difference = logits - F.one_hot(label, self.config.classes)
            value = (difference.square() if self.config.loss == "mse" else difference.abs()).sum()
        return Loss(value, len(label), {"accuracy": (logits.argmax(1) == label).sum()})


# --- regression -----------------------------------------------------------------------------------------------------


class MLPRegressorConfig(MLPConfig, kw_only=True):
    """What the data decides, and the loss.

    A Gaussian with variance "fixed" to 1 is the squared error in other units (half of it, and a constant); with
    "predicted", the network says for every row how sure it is (`predict_with_uncertainty`).
    """

    inputs: Annotated[int, Meta(ge=1)] = 1  # D
    targets: Annotated[int, Meta(ge=1)] = 1  # T
    loss: Literal["mse", "l1", "gaussian"] = "mse"
    variance: Literal["fixed", "predicted"] = "fixed"  # of loss gaussian

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance == "predicted" and self.loss != "gaussian":
            raise RecordError(f"variance = predicted is for loss = gaussian, and this is {self.loss}")


class MLPRegressor(RowRegressor, MLP):
    """A Regressor of rows of numbers; Uncertain where it predicts its variance."""

    Config = MLPRegressorConfig
    config: MLPRegressorConfig
    select_by = "mse"

    def __init__(self, config: MLPRegressorConfig) -> None:
        super().__init__(config, config.inputs, config.targets * (2 if config.variance == "predicted" else 1))
        self.register_statistics(config.inputs, config.targets)

    def lacks(self) -> tuple[str, ...]:
        """Without a predicted variance it is not Uncertain."""
        return () if self.config.variance == "predicted" else ("Uncertain",)

    def predict(self, x: Tensor) -> Tensor:
        """The targets, of a Gaussian its mean: [B, D] -> [B, T]."""
        return self.distribution(x)[0]

    def predict_with_uncertainty(self, x: Tensor, *, samples: int = 1, seed: int = 0) -> tuple[Tensor, Uncertainty]:
        """The targets, and their standard deviation: x [B, D] -> [B, T] each.

        All of it is aleatoric, noise of the data: one network cannot say what it does not know. Nothing is drawn, so
        that `samples` and `seed` change nothing.

        Raises:
            UsageError: the model predicts no variance.
        """
        if self.config.variance == "fixed":
            raise UsageError(
                "this model predicts no variance", "Train one that does: --set loss=gaussian --set variance=predicted"
            )
        mean, std = self.distribution(x)
        return mean, Uncertainty(std, std, torch.zeros_like(std), "standard deviation in the units of the targets")

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the targets in the data's units, x [B, D] -> [B, T] each."""
        mean, std = self.standard_distribution(x)
        return mean * self.target_std + self.target_mean, std * self.target_std

    def standard_distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the standardised targets; the standard deviation is 1 unless it is predicted."""
        outputs = self(self.standard_inputs(x))
        if self.config.variance == "fixed":
            return outputs, torch.ones_like(outputs)
        mean, log_std = outputs.chunk(2, 1)
        return mean, log_std.clamp(*LOG_STD_RANGE).exp()

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Per standardised target: its squared error, its absolute one, or the negative log-likelihood in nats."""
        (mean, std), y = self.standard_distribution(batch["vector"]), self.standard_targets(batch["target"])
        difference = y - mean
        if self.config.loss == "mse":
            value = difference.square()
        elif self.config.loss == "l1":
            value = difference.abs()
        else:
            value = 0.5 * (difference / std).square() + std.log() + 0.5 * math.log(2 * math.pi)
        return Loss(value.sum(), y.numel())
