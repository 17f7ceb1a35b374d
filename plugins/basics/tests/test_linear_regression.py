"""Linear regression: three solvers, one minimum."""

import math

import pytest
import torch
from torch import Tensor

from zoo_basics.linear_regression import LinearRegression, LinearRegressionConfig
from zoo_core import Field, UsageError
from zoo_core.interfaces.dataset import TensorDataset
from zoo_core.training.optimizers import LiveOptimizer


def rows(n: int = 200, seed: int = 0) -> dict[str, Tensor]:
    """Correlated inputs of very different sizes, and two targets."""
    generator = torch.Generator().manual_seed(seed)
    mixing, sizes = torch.randn(4, 4, generator=generator), torch.tensor([1, 100, 0.01, 5])
    x = torch.randn(n, 4, generator=generator) @ mixing * sizes
    weight = torch.tensor([[1.0, 0.1], [0.02, -0.01], [30, 7], [-1, 0]])
    y = x @ weight + 3 + 0.1 * torch.randn(n, 2, generator=generator)
    return {"vector": x + 10, "target": y}


def data(train: dict[str, Tensor]) -> TensorDataset:
    features = {name: Field(kind="vector", shape=tuple(values.shape[1:])) for name, values in train.items()}
    dataset = TensorDataset(features, {"train": train})
    dataset.name = "rows"
    return dataset


def fitted(
    solver: str, dataset: TensorDataset, steps: int = 0, batch: int | None = None, lr: float = 0
) -> LinearRegression:
    model = LinearRegression(LinearRegressionConfig(solver=solver, **LinearRegression.config_for(dataset.features)))
    for stage in model.stages():
        model.begin_stage(stage.name, dataset)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr) if steps else None
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        indices = torch.randperm(dataset.size("train"), generator=generator)[:batch]
        value, weight, _ = model.loss(dataset.batch("train", indices))
        optimizer.zero_grad()
        (value / weight).backward()
        optimizer.step()
    return model


def least_squares(train: dict[str, Tensor]) -> Tensor:
    """The predictions of torch's own solver, in double precision."""
    x = torch.cat([train["vector"], torch.ones(len(train["vector"]), 1)], 1).double()
    return x @ torch.linalg.lstsq(x, train["target"].double(), driver="gelsd").solution


def test_the_normal_equation_and_gradient_descent_reach_the_least_squares_solution():
    train = rows()
    expected = least_squares(train)
    scale = train["target"].std(0)
    for model in (fitted("normal", data(train)), fitted("gd", data(train), steps=4000, lr=0.2)):
        assert ((model.predict(train["vector"]) - expected).abs() / scale).max() < 1e-3


def test_stochastic_gradient_descent_comes_close():
    train = rows()
    model = fitted("sgd", data(train), steps=3000, batch=16, lr=0.02)
    error = (model.predict(train["vector"]) - train["target"]).square().mean()
    best = (least_squares(train) - train["target"]).square().mean()
    assert best <= error < best + 0.05 * train["target"].var()


def test_gradient_descent_converges_below_two_over_the_largest_curvature_only():
    train = rows()
    dataset = data(train)
    model = fitted("gd", dataset)
    x = model.standard_inputs(train["vector"])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    # Per target, the loss is a mean over T targets: its curvature is 2 / (N T) X^T X.
    largest = torch.linalg.eigvalsh(2 / (len(x) * 2) * x.T @ x).max().item()
    start = model.loss(train).value.item()
    for factor, falls in ((0.98, True), (1.02, False)):
        after = fitted("gd", dataset, steps=600, lr=factor * 2 / largest).loss(train).value.item()
        assert (after < start) is falls


def test_an_input_that_never_changes_and_one_that_is_there_twice_do_no_harm():
    train = rows()
    train["vector"] = torch.cat([train["vector"], torch.full((200, 1), 7.0), train["vector"][:, :1]], 1)
    model = fitted("normal", data(train))
    torch.testing.assert_close(model.predict(train["vector"]).double(), least_squares(train), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("solver", "batch", "lr"), [("gd", 2**31 - 1, 0.1), ("sgd", 16, 0.02)])
def test_the_solver_decides_how_many_rows_a_step_sees_and_how_far_it_goes(solver, batch, lr):
    model = LinearRegression(LinearRegressionConfig(solver=solver))
    assert model.streams(0.0)["x"].batch == batch
    optimizer = LiveOptimizer(model, model.optimizers()["main"])
    assert isinstance(optimizer.torch, torch.optim.SGD)
    assert optimizer.torch.param_groups[0]["lr"] == lr and optimizer.torch.param_groups[0]["momentum"] == 0
    assert len(model.objectives()) == 1


def test_the_normal_equation_needs_no_steps():
    model = LinearRegression(LinearRegressionConfig(solver="normal"))
    assert model.optimizers() == {} and model.objectives() == []
    assert all(stage.share == 0 for stage in model.stages())


def test_the_squared_error_is_a_gaussian_of_variance_one():
    residual = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nll = -torch.distributions.Normal(0, 1).log_prob(residual).mean()
    assert nll.item() == pytest.approx(residual.square().mean().item() / 2 + 0.5 * math.log(2 * math.pi), abs=1e-12)


def test_data_without_targets_are_refused():
    with pytest.raises(UsageError, match="'vector' and 'target'"):
        LinearRegression.config_for({"vector": Field(kind="vector", shape=(3,))})
