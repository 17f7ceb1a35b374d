"""Optimizers: frozen parameters, groups, several on one loss; and names that a model cannot take."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo_core import Field, Group, Loss, Model, Optimizer, Record, Stream, UsageError
from zoo_core.interfaces.dataset import TensorDataset
from zoo_core.training.loop import Loop
from zoo_core.training.optimizers import LiveOptimizer


class Net(Model):
    """A backbone, a layer of normalisation, and a head."""

    def __init__(self, **optimizer: Any) -> None:
        super().__init__(Record())
        torch.manual_seed(0)
        self.backbone, self.norm, self.head = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)
        if optimizer:
            self.optimizer = Optimizer(**optimizer)

    def signature(self) -> dict[str, Field]:
        return {"vector": Field(kind="vector", shape=(3,))}

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.head(self.norm(self.backbone(batch["vector"]).tanh())).square().mean()


@pytest.fixture
def data() -> TensorDataset:
    rows = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    data = TensorDataset({"vector": Field(kind="vector", shape=(3,))}, {"train": {"vector": rows}})
    data.name = "rows"
    return data


def trained(model: Model, data: TensorDataset, steps: int = 3) -> dict[str, Tensor]:
    """How far each parameter moved."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    loop = Loop(model, data, seed=0, steps=steps)
    for _ in range(steps):
        loop.step()
    return {name: (parameter.detach() - before[name]).abs().max() for name, parameter in model.named_parameters()}


# Frozen parameters.


def test_frozen_parameters_stay_bit_for_bit_and_the_others_move(data: TensorDataset) -> None:
    for kind in ("adam", "adamw", "sgd", "rmsprop", "muon", "lbfgs"):
        options = {"weight_decay": 0.1} if kind in ("adamw", "sgd", "muon") else {}
        model = Net(kind=kind, lr=0.01, options=options, clip=1.0)
        model.backbone.requires_grad_(False)
        moved = trained(model, data)
        assert {name for name, change in moved.items() if change == 0} == {"backbone.weight", "backbone.bias"}, kind


def test_what_is_unfrozen_later_is_trained_from_then_on(data: TensorDataset) -> None:
    class Thawing(Net):
        def on_progress(self, progress: float) -> None:
            self.backbone.requires_grad_(progress >= 0.5)

    early, late = Thawing(), Thawing()
    assert trained(early, data, steps=1)["backbone.weight"] == 0  # progress is 0 in the first step
    assert trained(late, data, steps=4)["backbone.weight"] > 0


def test_a_loss_with_nothing_to_train_is_refused(data: TensorDataset) -> None:
    model = Net()
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="'loss' has nothing to train"):
        trained(model, data)


# Groups.


def test_weight_decay_spares_vectors_where_a_group_says_so() -> None:
    """With no gradient but the decay's, AdamW multiplies by 1 - lr * decay, and only what is decayed."""
    no_decay = Group(vectors=True, options={"weight_decay": 0.0})
    model = Net(kind="adamw", lr=0.5, options={"weight_decay": 0.1}, groups=(no_decay,))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def closure() -> float:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return 0.0

    LiveOptimizer(model, model.optimizers()["main"]).step(closure, 0.0)
    for name, parameter in model.named_parameters():
        expected = before[name] * (0.95 if parameter.ndim > 1 else 1.0)
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_a_group_has_its_share_of_the_learning_rate_and_the_first_that_fits_counts(data: TensorDataset) -> None:
    groups = (Group(names=("backbone.bias",), lr_factor=0.0), Group(names=("backbone.*",), lr_factor=0.1))
    model = Net(kind="sgd", lr=1.0, groups=groups, decay=lambda progress: 0.5)
    gradients = torch.autograd.grad(model.loss({"vector": data.stored["train"]["vector"]}), list(model.parameters()))
    slopes = dict(zip((name for name, _ in model.named_parameters()), gradients, strict=True))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    Loop(model, data, seed=0, steps=1, batch=32).step()
    for name, parameter in model.named_parameters():
        factor = {"backbone.bias": 0.0, "backbone.weight": 0.1}.get(name, 1.0)
        torch.testing.assert_close(parameter.detach(), before[name] - 0.5 * factor * slopes[name], msg=name)


def test_a_group_that_matches_nothing_names_the_nearest(data: TensorDataset) -> None:
    model = Net(groups=(Group(names=("backbon.*",)),))
    with pytest.raises(UsageError, match="no parameter has a name like 'backbon") as error:
        Loop(model, data, seed=0, steps=1)
    assert "backbone" in str(error.value)


@pytest.mark.parametrize("kind", ["muon", "lbfgs"])
def test_optimizers_that_cannot_treat_parameters_differently_say_so(kind: str) -> None:
    model = Net(kind=kind, groups=(Group(vectors=True, options={"weight_decay": 0.0}),))
    with pytest.raises(UsageError, match=f"{kind} .*groups"):
        LiveOptimizer(model, model.optimizers()["main"])


def test_groups_resume_bit_by_bit(data: TensorDataset) -> None:
    groups = (Group(vectors=True, options={"weight_decay": 0.0}), Group(names=("head.*",), lr_factor=3.0))

    def new() -> Net:
        return Net(kind="adamw", lr=0.01, options={"weight_decay": 0.1}, groups=groups)

    whole = Loop(new(), data, seed=0, steps=4)
    for _ in range(4):
        whole.step()
    first, second = Loop(new(), data, seed=0, steps=4), Loop(new(), data, seed=0, steps=4)
    first.step(), first.step()
    second.model.load_state_dict(first.model.state_dict())
    second.load(first.state(), first.tensors())
    second.step(), second.step()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


# Several optimizers.


class Two(Net):
    """Matrices by one optimizer, all else by another, on the one loss."""

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            "matrix": Optimizer(modules=("backbone",), kind="sgd", lr=0.1, clip=1e9),
            "rest": Optimizer(modules=("norm", "head"), kind="sgd", lr=0.2),
        }


def test_one_plain_loss_moves_several_optimizers_by_one_gradient(data: TensorDataset) -> None:
    model, lone = Two(), Net(kind="sgd", lr=0.1, groups=(Group(names=("norm.*", "head.*"), lr_factor=2.0),))
    trained(model, data)
    trained(lone, data)
    for name, tensor in lone.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, msg=name)


def test_a_parameter_in_two_optimizers_of_one_loss_is_refused(data: TensorDataset) -> None:
    class Both(Net):
        def optimizers(self) -> dict[str, Optimizer]:
            return {"all": Optimizer(), "head": Optimizer(modules=("head",))}

    with pytest.raises(UsageError, match=r"'head\.weight' is moved by 'all' and by 'head'"):
        Loop(Both(), data, seed=0, steps=1)


def test_a_plain_loss_of_two_streams_says_what_to_write(data: TensorDataset) -> None:
    class Pairs(Net):
        def streams(self, progress: float) -> dict[str, Stream]:
            return {"a": Stream(), "b": Stream()}

    with pytest.raises(UsageError, match="streams a, b") as error:
        Loop(Pairs(), data, seed=0, steps=1).step()
    assert "Write `objectives`" in str(error.value)


def test_class_attributes_say_batch_and_optimizer() -> None:
    class Simple(Net):
        batch = 7
        optimizer = Optimizer(lr=0.25)

    model = Simple()
    assert model.streams(0.0)["x"].batch == 7 and model.optimizers()["main"].lr == 0.25
    model.optimizer = None  # fitted without steps
    assert model.optimizers() == {} and model.objectives() == []


def test_the_mean_of_a_loss_can_be_differentiated() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    Loss(x.square().sum(), 2).mean().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and x.grad.tolist() == [1.0, 2.0]


# Names.

NAMES = sorted(name for name in dir(Model) if not name.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(1, 1), lambda: nn.Parameter(torch.ones(1))], ids=["module", "parameter"]
)
def test_no_module_hides_behind_a_name_of_the_base_class(name: str, make: Callable[[], Any]) -> None:
    """Without this, `self.loss = nn.Linear(…)` is accepted, and `self.loss` is still the method."""
    model = Net()
    value = make()
    try:
        setattr(model, name, value)
    except (AttributeError, TypeError) as error:
        assert name in str(error)
    else:
        assert getattr(model, name) is value


def test_a_head_is_a_module_like_others() -> None:
    assert isinstance(Net().head, nn.Linear) and "head.weight" in Net().state_dict()
