"""Linear regression: y = W x + b, three ways to the same minimum of the mean squared error.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    linear-regression.diabetes: mse 2649 ± 3.8e+02 squared units (diabetes test), n = 73, exact; 1 run, under 0.01 h

    normal  the normal equation, (X^T X) W^T = X^T y: the solution in closed form
    gd      gradient descent: every step sees all rows; it converges for learning rates below 2 / (largest curvature)
    sgd     stochastic gradient descent: every step sees a few rows; cheap, and noisy near the minimum

Axes: B batch, D inputs, T targets.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_basics.row_regressor import RowRegressor
from zoo_core import Dataset, Loss, Optimizer, Record, Stage

EVERYTHING = 2**31 - 1  # examples in a batch of gradient descent


class LinearRegressionConfig(Record, kw_only=True):
    """What the data decides, and how the minimum is found."""

    inputs: Annotated[int, Meta(ge=1)] = 1  # D
    targets: Annotated[int, Meta(ge=1)] = 1  # T
    solver: Literal["normal", "gd", "sgd"] = "normal"


class LinearRegression(RowRegressor):
    """A Regressor."""

    Config = LinearRegressionConfig
    config: LinearRegressionConfig
    select_by = "mse"

    def __init__(self, config: LinearRegressionConfig) -> None:
        super().__init__(config)
        if config.solver == "normal":
            self.optimizer = None  # the equations are solved
        else:
            self.batch = 16 if config.solver == "sgd" else EVERYTHING
            self.optimizer = Optimizer(kind="sgd", lr=0.1 if config.solver == "gd" else 0.02)
        self.linear = nn.Linear(config.inputs, config.targets)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_statistics(config.inputs, config.targets)

    def forward(self, x: Tensor) -> Tensor:
        """Standardised targets for standardised inputs: [B, D] -> [B, T]."""
        y: Tensor = self.linear(x)
        return y

    def predict(self, x: Tensor) -> Tensor:
        """The targets for inputs in the data's units: [B, D] -> [B, T]."""
        y: Tensor = self(self.standard_inputs(x))
        return y * self.target_std + self.target_mean

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Squared error of the standardised targets."""
        y = self.standard_targets(batch["target"])
        return Loss((self(self.standard_inputs(batch["vector"])) - y).square().sum(), y.numel())

    # Training.

    def stages(self) -> list[Stage]:
        standardise, train = super().stages()
        return [standardise, Stage(name="solve", share=0) if self.config.solver == "normal" else train]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        super().begin_stage(stage, data)
        if stage == "solve":
            self.solve(data)

    def solve(self, data: Dataset) -> None:
        """The normal equation, summed up over the rows in double precision.

        Where inputs depend on each other there is no single solution: the one of the smallest norm is taken.
        """
        d = self.config.inputs + 1
        gram = torch.zeros(d, d, dtype=torch.float64)
        moment = torch.zeros(d, self.config.targets, dtype=torch.float64)
        for batch in self.train_batches(data):
            x, y = self.standard_inputs(batch["vector"]).double(), self.standard_targets(batch["target"]).double()
            x = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # a column of ones for b
            gram += (x.T @ x).cpu()
            moment += (x.T @ y).cpu()
        solution = torch.linalg.pinv(gram, hermitian=True) @ moment  # [D + 1, T]
        self.linear.weight.copy_(solution[:-1].T)
        self.linear.bias.copy_(solution[-1])
