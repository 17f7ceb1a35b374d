"""Training: what moves, what is averaged, what is chosen, and that a resumed run is the uninterrupted one."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import RecordError, UnknownName, UsageError, ZooError
from zoo_core.interfaces.batches import as_channels_last
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Loss, Optimizer, Stage, linear_to_zero
from zoo_core.interfaces.record import Record
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.steps.notation import read_steps
from zoo_core.training.averaging import MovingAverage
from zoo_core.training.finishing import finish
from zoo_core.training.loop import Loop, MicroBatch
from zoo_core.training.observer import Observer
from zoo_core.training.run import Run
from zoo_core.training.sampler import EpochSampler, derived_seed

NewLoop = Callable[..., Loop]


@pytest.fixture
def loop(registry: Registry) -> NewLoop:
    def make(model: Model | str, data: str = "toy-bits", **options: Any) -> Loop:
        if isinstance(model, str):
            torch.manual_seed(0)
            model = zoo_core.create(model, registry=registry)
        return Loop(model, registry.open_dataset(data), **({"epochs": 2.0, "seed": 0} | options))

    return make


def snapshot(model: Model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(model: Model, before: dict[str, torch.Tensor]) -> set[str]:
    return {
        name.split(".")[0] for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])
    }


# Steps.


def test_a_pass_over_the_train_split_sees_each_example_once_as_the_model_does(registry: Registry) -> None:
    data, model = registry.open_dataset("toy-grey"), zoo_core.create("toy", registry=registry)
    whole = data.batch("train", torch.arange(data.size("train")))["image"]
    parts = [batch["image"] for batch in model.train_batches(data, size=7)]
    assert {len(part) for part in parts[:-1]} == {7} and torch.equal(torch.cat(parts), whole)
    model.input = read_steps([{"step": "binarize", "mode": "sample"}], "model")
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(torch.cat([batch["image"] for batch in model.train_batches(data)]))
    assert set(found[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_licence_that_is_none_is_refused_before_training() -> None:
    with pytest.raises(UsageError, match="'free for all' is not an SPDX licence"):
        RunArguments(model="toy", data="toy-bits", epochs=1, licence="free for all")


def test_an_objective_moves_only_the_parameters_of_its_optimizer(loop: NewLoop) -> None:
    trained = loop("toy-gan")
    model = trained.model
    objectives = model.objectives()
    parts = [MicroBatch({"x": {"image": torch.rand(4, 1, 4, 4), "z": torch.randn(4, 2)}}) for _ in range(2)]
    for objective, own in zip(objectives, ("discriminator", "generator"), strict=True):
        before = snapshot(model)
        trained._optimise(objective, parts, progress=0.0, seed=0)
        assert moved(model, before) == {own}
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_an_objective_may_rest_for_some_steps(loop: NewLoop) -> None:
    trained = loop("toy-gan")
    assert [sorted(trained.step()) for _ in range(4)] == [["d", "g"], ["d"], ["d", "g"], ["d"]]


def test_stages_follow_each_other_by_their_share(
    loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, float]] = []
    kind = toy_models.IndependentPixels
    monkeypatch.setattr(kind, "stages", lambda self: [Stage(name="warm", share=1), Stage(name="main", share=3)])
    monkeypatch.setattr(kind, "begin_stage", lambda self, name, data: begun.append((name, trained.progress)))
    trained = loop("toy", epochs=4.0, batch=60)
    for _ in range(4):
        trained.step()
    assert begun == [("warm", 0.0), ("main", 0.25)]


@pytest.mark.parametrize("parts", [2, 7, 60, 100])
@pytest.mark.parametrize("name", ["IndependentPixels", "TiedClassifier"])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    name: str, parts: int, loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain descent, so that a step shows the gradient; a sum with its weight, and a bare mean."""
    kind = getattr(toy_models, name)
    monkeypatch.setattr(kind, "optimizers", lambda self: {"main": Optimizer(kind="sgd", lr=1.0)})
    after = []
    for accumulate in (1, parts):
        torch.manual_seed(0)
        trained = loop(kind(kind.Config()), "toy-grey", batch=60, accumulate=accumulate)
        before = snapshot(trained.model)
        trained.step()
        assert moved(trained.model, before) == {key.split(".")[0] for key in before}
        after.append(snapshot(trained.model))
    for key, whole in after[0].items():
        assert torch.allclose(whole, after[1][key], atol=1e-6), key


@pytest.mark.parametrize("accumulate", [1, 3])
def test_parameters_that_share_a_gradient_each_get_all_of_it(accumulate: int, loop: NewLoop) -> None:
    """Autograd may return one tensor for both summands, and one that is expanded for a sum."""

    class Sum(Model):
        def __init__(self, config: Record) -> None:
            super().__init__(config)
            self.a, self.b, self.c = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))

        def signature(self) -> dict[str, Field]:
            return {"image": Field(kind="image", shape=(1, 4, 4))}

        def optimizers(self) -> dict[str, Optimizer]:
            return {"main": Optimizer(kind="sgd", lr=1.0)}

        def loss(self, batch: Mapping[str, torch.Tensor]) -> Loss:
            n = len(batch["image"])
            return Loss((((self.a + self.b) * torch.tensor([1.0, 2.0, 4.0])).sum() + self.c.sum()) * n, n)

    trained = loop(Sum(Record()), accumulate=accumulate)
    trained.step()
    assert trained.model.a.tolist() == trained.model.b.tolist() == [-1.0, -2.0, -4.0]
    assert trained.model.c.tolist() == [-1.0, -1.0, -1.0]


def test_a_bare_loss_is_a_mean_and_a_sum_has_its_weight(loop: NewLoop) -> None:
    trained = loop("toy", batch=60)
    expected = -trained.model.log_prob(trained.data.batch("train", torch.arange(60))["image"]).mean().item()
    assert trained.step() == {"loss": pytest.approx(expected, rel=1e-6)}


def test_the_parts_of_a_loss_are_reported_per_item(
    loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(self: Any, batch: Any) -> Loss:
        n = len(batch["image"])
        return Loss(self.logit.sum() * 0 + 6 * n, n, {"half": torch.tensor(3.0 * n)})

    monkeypatch.setattr(toy_models.IndependentPixels, "loss", loss)
    for parts in (1, 4):
        assert loop("toy", accumulate=parts).step() == {"loss": 6.0, "half": 3.0}


def test_the_learning_rate_decays_with_progress(
    loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"main": Optimizer(lr=0.4, kind="sgd", decay=linear_to_zero)}
    monkeypatch.setattr(toy_models.IndependentPixels, "optimizers", lambda self: declared)
    trained = loop("toy", epochs=2.0, batch=30)
    rates = []
    while trained.progress < 1:
        trained.step()
        rates.append(trained.optimizers["main"].torch.param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert loop("toy", lr=0.1).optimizers["main"].declared.lr == 0.1


def test_gradients_are_clipped_to_their_norm(
    loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"main": Optimizer(lr=1.0, kind="sgd", clip=0.01)}
    monkeypatch.setattr(toy_models.IndependentPixels, "optimizers", lambda self: declared)
    trained = loop("toy")
    before = snapshot(trained.model)["logit"]
    trained.step()
    assert (trained.model.logit - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_moving_average_ramps_up(toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_models.IndependentPixels, "ema", ("",))
    monkeypatch.setattr(toy_models.IndependentPixels, "ema_decay", 0.5)
    model = toy_models.IndependentPixels(toy_models.PixelsConfig())
    average = MovingAverage(model)
    expected = model.logit.detach().double()
    for t in range(1, 30):
        with torch.no_grad():
            model.logit.copy_(torch.full_like(model.logit, float(t)))
        average.update(t)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * t
        assert torch.allclose(average.average["logit"].double(), expected, rtol=1e-5)
    live = model.logit.detach().clone()
    with average.applied():
        assert torch.allclose(model.logit.double(), expected, rtol=1e-5)
    assert torch.equal(model.logit, live)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(
    value: float, loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = loop("toy", batch=20)
    trained.step()
    before = snapshot(trained.model)
    monkeypatch.setattr(toy_models.IndependentPixels, "loss", lambda self, batch: self.logit.sum() * value)
    with pytest.raises(ZooError, match=r"step 1.*'loss' is (nan|-?inf)") as error:
        trained.step()
    assert "\n" not in error.value.message
    assert torch.equal(trained.model.logit, before["logit"])


def test_one_lr_for_two_optimizers_is_refused(loop: NewLoop) -> None:
    with pytest.raises(UsageError, match="2 optimizers"):
        loop("toy-gan", lr=0.1)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_a_gradient_in_another_memory_format_is_no_other_gradient(kind: str, loop: NewLoop) -> None:
    """Fused optimizers read memory, not places; autograd gives the gradient of an einsum transposed."""

    class Transposed(Model):
        def __init__(self, config: Record) -> None:
            super().__init__(config)
            self.weight = torch.nn.Parameter(torch.arange(112.0).view(7, 1, 16) / 100)

        def signature(self) -> dict[str, Field]:
            return {"image": Field(kind="image", shape=(1, 4, 4))}

        def loss(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            x = batch["image"].flatten(1)
            return torch.einsum("bh,dlh->bld", x, self.weight).sub(torch.arange(7)).square().mean()

        def optimizers(self) -> dict[str, Optimizer]:
            return {"main": Optimizer(kind=kind, lr=0.01)}

    trained, expected = loop(Transposed(Record())), Transposed(Record())
    by_hand = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[kind](
        expected.parameters(), lr=0.01, fused=False
    )
    sampler = loop(Transposed(Record())).sources["x"].sampler
    for _ in range(3):
        loss = expected.loss(trained.data.batch("train", sampler.next(32)))
        (gradient,) = torch.autograd.grad(loss, [expected.weight])
        assert gradient.stride() != expected.weight.stride()
        expected.weight.grad = gradient
        by_hand.step()
        trained.step()
    torch.testing.assert_close(trained.model.get_parameter("weight"), expected.weight)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_with_one_channel_have_a_memory_format_too(channels: int) -> None:
    """Torch would take [B, 1, H, W] for the usual format, and convolutions would make all maps so."""
    image = torch.rand(2, channels, 5, 4)
    x = as_channels_last(image)
    convolved = torch.nn.Conv2d(channels, 8, 3)(x)
    assert torch.equal(x, image) and convolved.is_contiguous(memory_format=torch.channels_last)


# Feeding.


@pytest.mark.parametrize(("size", "batch"), [(10, 3), (10, 10), (10, 100), (1, 1)])
def test_each_example_comes_once_an_epoch(size: int, batch: int) -> None:
    sampler = EpochSampler(size, seed=0, stream="x")
    orders = []
    for epoch in range(3):
        seen: list[int] = []
        while sampler.epoch == epoch:
            seen += sampler.next(batch).tolist()
        assert sorted(seen) == list(range(size)) and sampler.epochs_done == epoch + 1
        orders.append(seen)
    if size > 1:
        assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize(("size", "batches"), [(9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (4, [4]), (1, [1])])
def test_no_example_is_a_batch_of_its_own(size: int, batches: list[int]) -> None:
    """Batch normalisation has no variance of a single one."""
    sampler = EpochSampler(size, seed=0, stream="x")
    assert [len(sampler.next(4)) for _ in batches] == batches and sampler.epochs_done == 1


def test_a_sampler_goes_on_where_its_state_says() -> None:
    whole = EpochSampler(10, seed=3, stream="x")
    batches = [whole.next(4).tolist() for _ in range(8)]
    for cut in range(8):
        first, second = EpochSampler(10, seed=3, stream="x"), EpochSampler(10, seed=3, stream="x")
        for _ in range(cut):
            first.next(4)
        second.load_state(json.loads(json.dumps(first.state())))
        assert [second.next(4).tolist() for _ in range(cut, 8)] == batches[cut:]


def test_seeds_and_streams_have_their_own_order() -> None:
    orders = {tuple(EpochSampler(50, seed, stream).next(50).tolist()) for seed in (0, 1) for stream in ("x", "y")}
    assert len(orders) == 4
    assert derived_seed(1, "a") == derived_seed(1, "a") != derived_seed(11, "a")


# Runs.


def arguments(**more: Any) -> RunArguments:
    return RunArguments(**({"model": "toy", "data": "toy-bits", "epochs": 3, "batch": 16, "lr": 0.1} | more))


class Stop(Exception):
    pass


class StopAt(Observer):
    """Stops after so many steps, with or without a checkpoint there."""

    def __init__(self, run: Run, step: int, save: bool) -> None:
        self.run, self.step, self.save = run, step, save

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        if self.run.loop.step_number == self.step:
            if self.save:
                self.run._save()
            raise Stop


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("toy", "toy-bits", {}),
        ("toy-classifier", "toy-grey", {"config": {"inputs": 16}}),
        ("toy-gan", "toy-grey", {"lr": None}),
        ("toy", "toy-grey", {"input": [{"step": "binarize", "mode": "sample"}], "accumulate": 2}),
        ("toy-classifier", "toy-grey", {"config": {"inputs": 16}, "augment": [{"step": "crop"}, {"step": "flip"}]}),
    ],
)
def test_a_resumed_run_ends_with_the_same_bytes(
    name: str,
    data: str,
    options: dict[str, Any],
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = arguments(model=name, data=data, **options)
    if name == "toy-gan":  # it has no loss that a validation could use
        monkeypatch.setattr(Run, "validate", lambda self, observer: 0.0)
    whole = Run.start(tmp_path / "whole", asked, registry)
    whole.train()
    finish(whole)
    for step, save in ((1, False), (2, True), (6, False), (9, True)):  # an epoch has four steps
        folder = tmp_path / f"cut-{step}"
        run = Run.start(folder, asked, registry)
        with pytest.raises(Stop):
            run.train(StopAt(run, step, save))
        torch.manual_seed(99)
        again = Run.resume(folder, registry)
        assert again.loop.step_number == (step if save else step // 4 * 4)
        again.train()
        finish(again)
        assert (folder / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
        assert again.curve == whole.curve
        assert Run.resume(folder, registry).released


def test_the_best_epoch_is_chosen_on_validation(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([5.0, 3.0, 4.0])
    weights = []

    class Watch(Observer):
        def on_epoch(self, row: dict[str, Any], is_best: bool) -> None:
            weights.append((run.model.logit.detach().clone(), is_best))

    run = Run.start(tmp_path / "run", arguments(), registry)
    monkeypatch.setattr(run, "validate", lambda observer: next(scores))
    run.train(Watch())
    finish(run)
    assert [is_best for _, is_best in weights] == [True, True, False]
    assert torch.equal(load_file(tmp_path / "run" / "model.safetensors")["logit"], weights[1][0])
    release = read_release(tmp_path / "run")
    assert release.training["best_epoch"] == 2 and release.training["select"] == "nll"
    assert [row["validation"]["nll"] for row in release.training["curve"]] == [5.0, 3.0, 4.0]


def test_a_validation_that_is_not_a_number_is_never_the_best(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([math.nan, 3.0, math.nan])
    run = Run.start(tmp_path / "run", arguments(), registry)
    monkeypatch.setattr(run, "validate", lambda observer: next(scores))
    run.train()
    assert run.selection.row is not None and run.selection.row["epoch"] == 2


def test_the_release_of_a_run_says_how_it_was_made(toy_release: Path) -> None:
    release = read_release(toy_release)
    words = "zoo train toy --data toy-bits --epochs 3 --seed 0 --lr 0.05 --precision fp32 --licence CC0-1.0"
    assert release.recipe_text == words
    assert release.licence.code == "Apache-2.0" and release.licence.data == "CC0-1.0"
    training = release.training
    assert training["data"] == "toy-bits" and training["epochs"] == 3 and training["seed"] == 0
    assert training["loss"] == "Exact negative log-likelihood of an image, in nats."
    assert "adam, lr 0.05" in training["optimizer"]
    assert {entry.metric for entry in release.metrics} == {"nll", "bits_per_dim"}
    assert all(entry.protocol.split == "test" and entry.protocol.n == 130 for entry in release.metrics)
    assert (toy_release / "curve.png").exists() and json.loads((toy_release / "curve.json").read_text())


def test_what_is_measured_is_what_is_stored(registry: Registry, tmp_path: Path) -> None:
    for storage in (None, "bfloat16"):
        run = Run.start(tmp_path / str(storage), arguments(storage=storage, lr=0.05), registry)
        run.train()
        finish(run)
    exact, half = (read_release(tmp_path / storage) for storage in ("None", "bfloat16"))
    assert (exact.dtype, half.dtype) == ("float32", "bfloat16")
    (nll,) = (entry.value for entry in half.metrics if entry.metric == "nll")
    assert nll not in [entry.value for entry in exact.metrics]
    (found,) = zoo_core.evaluate(str(tmp_path / "bfloat16"), metrics=["nll"], registry=registry).metrics
    assert found.value == nll


def test_training_learns(registry: Registry, tmp_path: Path) -> None:
    trained = zoo_core.train(
        "toy", data="toy-bits", output=tmp_path / "run", epochs=40, batch=60, lr=0.1, registry=registry
    )
    frequency = registry.open_dataset("toy-bits").batch("train", torch.arange(60))["image"].mean(0)
    model = trained.model
    assert (model.logit.sigmoid() - frequency).abs().max() < 0.15
    curve = [row["validation"]["nll"] for row in trained.curve]
    assert min(curve) < curve[0] - 1


def test_a_run_is_written_down_before_its_first_step(registry: Registry, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", arguments(), registry)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["run.json", "run.lock"]
    run.close()
    again = Run.resume(tmp_path / "run", registry)
    assert again.loop.step_number == 0 and torch.equal(again.model.logit, run.model.logit)


def test_a_half_written_checkpoint_is_never_taken(registry: Registry, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", arguments(), registry)
    with pytest.raises(Stop):
        run.train(StopAt(run, 5, False))
    (tmp_path / "run" / ".checkpoint-00000005.part").mkdir()
    (tmp_path / "run" / ".checkpoint-00000005.part" / "model.safetensors").write_bytes(b"half")
    again = Run.resume(tmp_path / "run", registry)
    assert again.loop.step_number == 4
    again.train()
    assert [path.name for path in (tmp_path / "run").glob("*checkpoint*")] == ["checkpoint-00000012"]


def test_a_failed_checkpoint_leaves_the_one_before(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    run = Run.start(tmp_path / "run", arguments(), registry)
    with pytest.raises(Stop):
        run.train(StopAt(run, 5, False))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zoo_core.hub.atomic.os.fsync", full)
    with pytest.raises(ZooError, match="the disk is full"):
        run.train()
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint-00000004", "curve.json", "run.json", "run.lock",
    ]  # fmt: skip
    assert Run.resume(tmp_path / "run", registry).loop.step_number == 4


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"arguments": 3}', '{"arguments": {"model": "toy"}}'])
def test_a_damaged_run_file_is_one_clear_line(content: str, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ZooError) as error:
        Run.resume(tmp_path, registry)
    assert str(tmp_path) in error.value.message and "\n" not in error.value.message


def test_a_folder_that_is_no_run_is_told(registry: Registry, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="is not a training run"):
            Run.resume(folder, registry)


def test_a_damaged_checkpoint_is_named(registry: Registry, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", arguments(), registry)
    with pytest.raises(Stop):
        run.train(StopAt(run, 5, False))
    path = tmp_path / "run" / "checkpoint-00000004" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ZooError, match=r"checkpoint '.*00000004' cannot be read") as error:
        Run.resume(tmp_path / "run", registry)
    assert "\n" not in error.value.message


def test_other_data_is_not_trained_on_by_resuming(registry: Registry, tmp_path: Path) -> None:
    Run.start(tmp_path / "run", arguments(), registry)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["data_sha256"]["train"] = "0" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="the train split of 'toy-bits'"):
        Run.resume(tmp_path / "run", registry)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "toyy"}, UnknownName, "Did you mean 'toy'"),
        ({"data": "toy-bit"}, UnknownName, "Did you mean 'toy-bits'"),
        ({"select": "nlll"}, UnknownName, "Did you mean 'nll'"),
        ({"config": {"widht": 3}}, UsageError, "widht"),
        ({"config": {"width": 0}}, RecordError, "width"),
        ({"input": [{"step": "explode"}]}, RecordError, "explode"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(
    options: dict[str, Any], error: type[Exception], words: str, registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        Run.start(tmp_path / "run", arguments(**options), registry)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch": 0}, {"lr": -1.0}, {"accumulate": 0}, {"precision": "fp8"}]
)
def test_arguments_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=next(iter(options))):
        arguments(**options)


def test_an_output_folder_that_exists_is_not_touched(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UsageError, match="exists and is not empty"):
            Run.start(place, arguments(), registry)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has it")
def test_freed_memory_can_be_kept() -> None:
    """In a process of its own, for it cannot be taken back: 200 MB are used, freed and used again without new pages."""
    code = (
        "import resource, zoo_core.training.memory as memory\n"
        "kept = memory.keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "bytearray(200_000_000)\n"
        "before = faults()\n"
        "bytearray(200_000_000)\n"
        "print(kept, faults() - before)\n"
    )
    kept, faults = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert kept == "False" or int(faults) < 1000, faults  # 200 MB are 48,828 pages


REFUSED = [("nil", "no metric named 'nil'"), ("elbo", "needs the capability LowerBound")]


@pytest.mark.parametrize(("metric", "words"), REFUSED)
def test_a_metric_that_could_not_be_measured_at_the_end_is_refused_at_the_beginning(
    metric: str, words: str, registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        zoo_core.train("toy", data="toy-bits", steps=1, metrics=[metric], output=tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
