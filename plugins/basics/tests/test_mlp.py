"""The MLP: its sizes, its initialisations, and the gradients that a course derives by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from zoo_basics.initialisation import activation_statistics
from zoo_basics.mlp import MLPClassifier, MLPClassifierConfig, MLPRegressor, MLPRegressorConfig
from zoo_core import RecordError, UsageError
from zoo_core.training.optimizers import LiveOptimizer


def test_parameter_count_and_state_keys():
    model = MLPClassifier(MLPClassifierConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 269_322
    assert list(model.state_dict()) == [f"layers.{k}.{name}" for k in range(3) for name in ("weight", "bias")]


FORMULAS = {
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
    "relu": lambda x: x * (x > 0),
}


@pytest.mark.parametrize("activation", FORMULAS)
def test_the_network_is_its_formula(activation):
    torch.manual_seed(0)
    model = MLPClassifier(MLPClassifierConfig(height=2, width=2, hidden=(3,), classes=2, activation=activation))
    x = torch.rand(5, 1, 2, 2)
    (w1, b1), (w2, b2) = ((layer.weight, layer.bias) for layer in model.layers)
    torch.testing.assert_close(model.logits(x), FORMULAS[activation](x.flatten(1) @ w1.T + b1) @ w2.T + b2)


@pytest.mark.parametrize(
    ("name", "kind", "lr", "momentum", "half_way"),
    [
        ("sgd", torch.optim.SGD, 0.1, 0, 1),
        ("sgd-decay", torch.optim.SGD, 0.1, 0, 0.5),
        ("momentum", torch.optim.SGD, 0.1, 0.9, 0.5),
        ("adam", torch.optim.Adam, 1e-3, None, 0.5),
    ],
)
def test_the_optimizer_has_its_options_and_its_decay(name, kind, lr, momentum, half_way):
    model = MLPRegressor(MLPRegressorConfig(hidden=(2,), optimizer=name))
    optimizer = LiveOptimizer(model, model.optimizers()["main"])
    (group,) = optimizer.torch.param_groups
    assert type(optimizer.torch) is kind and group["lr"] == lr and group.get("momentum") == momentum
    assert len(group["params"]) == len(list(model.parameters()))
    optimizer.step(lambda: 0.0, progress=0.5)
    assert group["lr"] == pytest.approx(half_way * lr)


def deep(activation: str, init: str) -> list:
    torch.manual_seed(0)
    model = MLPRegressor(MLPRegressorConfig(inputs=512, hidden=(512,) * 10, activation=activation, init=init))
    return activation_statistics(model, torch.randn(500, 512))


def test_he_keeps_relu_alive_and_xavier_tanh():
    assert all(0.8 < layer.rms < 1.25 for layer in deep("relu", "he"))
    tanh = deep("tanh", "xavier")
    assert tanh[-1].rms / tanh[0].rms > 0.2
    assert deep("relu", "xavier")[-1].rms < 0.1


def test_too_large_weights_saturate_and_too_small_ones_vanish():
    assert all(layer.saturated > 0.85 for layer in deep("tanh", "std1"))
    assert deep("tanh", "std001")[-1].rms < 1e-5
    assert deep("relu", "std1")[-1].rms > 1e9


def test_constant_weights_stay_symmetric_while_training():
    model = MLPRegressor(MLPRegressorConfig(inputs=3, hidden=(8, 8), activation="tanh", init="constant"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(30):
        value, weight, _ = model.loss({"vector": x, "target": x.sum(1, keepdim=True)})
        optimizer.zero_grad()
        (value / weight).backward()
        optimizer.step()
    rows = model.layers[1].weight
    torch.testing.assert_close(rows, rows[:1].expand_as(rows))
    assert (rows - 0.01).abs().max() > 1e-3  # it has moved


def test_the_gradient_of_the_cross_entropy_is_softmax_minus_one_hot():
    torch.manual_seed(0)
    model = MLPClassifier(MLPClassifierConfig(height=2, width=2, hidden=(), classes=3))
    batch = {"image": torch.rand(4, 1, 2, 2), "label": torch.tensor([0, 2, 1, 2])}
    (gradient,) = torch.autograd.grad(model.loss(batch).value, model.layers[0].bias)
    expected = (model.logits(batch["image"]).softmax(1) - F.one_hot(batch["label"], 3)).sum(0)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_the_other_losses_compare_with_the_one_hot_row(loss):
    model = MLPClassifier(MLPClassifierConfig(height=1, width=1, hidden=(), classes=2, loss=loss))
    with torch.no_grad():
        model.layers[0].weight.zero_()
        model.layers[0].bias.copy_(torch.tensor([0.5, 0.25]))
    found = model.loss({"image": torch.zeros(1, 1, 1, 1), "label": torch.tensor([1])})
    assert found.value.item() == pytest.approx(0.25 + 0.5625 if loss == "mse" else 0.5 + 0.75)


def test_a_gaussian_of_fixed_variance_is_the_squared_error_in_other_units():
    x, y = torch.randn(9, 2), torch.randn(9, 1)
    values = {}
    for loss in ("mse", "gaussian"):
        torch.manual_seed(0)
        model = MLPRegressor(MLPRegressorConfig(inputs=2, hidden=(4,), loss=loss))
        value, weight, _ = model.loss({"vector": x, "target": y})
        values[loss] = (value / weight).item()
    assert values["gaussian"] == pytest.approx(values["mse"] / 2 + 0.5 * math.log(2 * math.pi), rel=1e-5)


def test_the_absolute_error_of_a_regressor_is_summed_over_standardised_targets():
    model = MLPRegressor(MLPRegressorConfig(inputs=1, targets=2, hidden=(), loss="l1"))
    with torch.no_grad():
        model.layers[0].weight.zero_()
        model.layers[0].bias.copy_(torch.tensor([1.0, -2.0]))
        model.target_mean.fill_(10)
        model.target_std.fill_(4)
    found = model.loss({"vector": torch.zeros(1, 1), "target": torch.tensor([[10.0, 18.0]])})  # standardised 0 and 2
    assert found.value.item() == pytest.approx(1 + 4) and found.weight == 2


@pytest.mark.parametrize(("log_std", "expected"), [(100.0, 7), (-100.0, -7), (0.5, 0.5)])
def test_a_predicted_variance_stays_where_nothing_overflows(log_std, expected):
    model = MLPRegressor(MLPRegressorConfig(hidden=(), loss="gaussian", variance="predicted"))
    with torch.no_grad():
        model.layers[0].weight.zero_()
        model.layers[0].bias.copy_(torch.tensor([0.0, log_std]))
    _, std = model.distribution(torch.ones(1, 1))
    assert std.log().item() == pytest.approx(expected, abs=1e-4)
    assert model.loss({"vector": torch.ones(1, 1), "target": torch.ones(1, 1)}).value.isfinite()


def test_a_predicted_variance_is_its_uncertainty_in_the_units_of_the_targets():
    torch.manual_seed(0)
    model = MLPRegressor(MLPRegressorConfig(inputs=2, targets=3, hidden=(4,), loss="gaussian", variance="predicted"))
    assert "Uncertain" in model.capabilities
    model.target_std.fill_(5)
    x = torch.randn(9, 2)
    prediction, found = model.predict_with_uncertainty(x)
    assert torch.equal(prediction, model.predict(x))
    torch.testing.assert_close(found.total, 5 * model.standard_distribution(x)[1])
    torch.testing.assert_close(found.total.square(), found.aleatoric.square() + found.epistemic.square())
    assert not found.epistemic.any()
    with pytest.raises(UsageError, match="predicts no variance"):
        MLPRegressor(MLPRegressorConfig(loss="gaussian")).predict_with_uncertainty(torch.ones(1, 1))
    assert "Uncertain" not in MLPRegressor(MLPRegressorConfig(loss="gaussian")).capabilities


def test_a_predicted_variance_is_the_likelihood_of_torch():
    torch.manual_seed(0)
    model = MLPRegressor(MLPRegressorConfig(inputs=2, targets=3, hidden=(4,), loss="gaussian", variance="predicted"))
    x, y = torch.randn(9, 2), torch.randn(9, 3)
    mean, std = model.distribution(x)
    expected = -torch.distributions.Normal(mean, std).log_prob(y).sum()
    torch.testing.assert_close(model.loss({"vector": x, "target": y}).value, expected)
    assert model.predict(x).shape == (9, 3)


def test_a_predicted_variance_needs_a_likelihood():
    with pytest.raises(RecordError, match="is for loss = gaussian"):
        MLPRegressorConfig(variance="predicted")
