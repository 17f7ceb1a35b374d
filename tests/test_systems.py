"""The training loop on one small model for each way of training (zoo_toy.systems), and the classic mistakes."""

import json
import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.interfaces.batches import batch_size, micro_batches, part_of
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Optimizer
from zoo_core.measuring.evaluation import measure
from zoo_core.releases.recipe import RunArguments, read_command
from zoo_core.releases.run_folder import checkpoints
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.loop import Loop, MicroBatch
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.training.selection import MeanLoss

NewLoop = Callable[..., Loop]

DATA = {  # by system
    "toy-gan": "toy-grey",
    "system-aae": "toy-grey",
    "system-cyclegan": "toy-grey",
    "system-staged": "toy-grey",
    "system-wgan": "toy-grey",
    "system-lbfgs": "toy-grey",
    "system-averaged": "toy-grey",
    "system-calibrated": "toy-grey",
    "system-words": "system-sentences",
    "system-boxes": "system-boxes",
    "system-vocabulary": "toy-grey",
    "system-player": "none",
    "system-whitening": "none",
    "system-texts": "system-reviews",
    "system-bags": "system-bags",
    "system-masks": "system-scenes",
    "system-frozen": "toy-grey",
    "system-by-class": "toy-grey",
}
INPUT = {
    "system-texts": [{"step": "toy-tokens"}],
    "system-by-class": [{"step": "binarize", "mode": "threshold"}],
}
WITHOUT_MATRICES = ("system-whitening", "system-by-class")  # half precision is for products of matrices
systems = pytest.mark.parametrize("name", DATA)

PACKED = {"boxes": "image_index"}  # which field is packed by which index


@pytest.fixture(scope="session")
def toy_systems(toy_site: Path) -> ModuleType:
    import zoo_toy.systems

    return zoo_toy.systems


@pytest.fixture
def new_loop(registry: Registry) -> NewLoop:
    """A loop for a system with the same fresh weights each time."""

    def make(name: str, *, config: Mapping[str, Any] | None = None, **options: Any) -> Loop:
        torch.manual_seed(0)
        model = zoo_core.create(name, registry=registry, config=config, input=INPUT.get(name, ()))
        others = {"system-domain": registry.open_dataset("system-domain")}
        data = registry.open_dataset(DATA.get(name, "toy-grey"))
        length = {"steps": 30} if DATA.get(name) == "none" else {"epochs": 4.0}
        return Loop(model, data, **({**length, "seed": 0, "batch": 8, "others": others} | options))

    return make


def parameters(model: Model) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def changed(model: Model, before: Mapping[str, Tensor]) -> set[str]:
    return {name for name, now in model.named_parameters() if not torch.equal(now, before[name])}


# What one step does.


@systems
def test_an_objective_moves_the_parameters_of_its_optimizer_and_no_others(
    name: str, new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = new_loop(name)
    optimise, turns = loop._optimise, []
    free = {key for key, parameter in loop.model.named_parameters() if parameter.requires_grad}

    def watched(objective: Any, *rest: Any) -> dict[str, float]:
        before = parameters(loop.model)
        report = optimise(objective, *rest)
        moved = changed(loop.model, before)
        assert moved and moved <= set(loop.optimizers[objective.optimizer].parameters)
        assert all(parameter.grad is None for parameter in loop.model.parameters())
        assert {key for key, parameter in loop.model.named_parameters() if parameter.requires_grad} == free
        turns.append((loop.step_number, objective.name))
        return report

    monkeypatch.setattr(loop, "_optimise", watched)
    for _ in range(15):
        loop.step()
    expected = [
        (step, objective.name)
        for step in range(15)
        for objective in loop.model.objectives()
        if step % objective.every == 0 and (objective.stage is None or step >= 8)  # a quarter of 30 steps
    ]
    assert turns == expected


@pytest.mark.parametrize("accumulate", [2, 3, 8])
@pytest.mark.parametrize("name", [name for name in DATA if name != "system-averaged"])  # batch-norm sees its batch
def test_micro_batches_change_nothing(
    name: str, accumulate: int, new_loop: NewLoop, request: pytest.FixtureRequest
) -> None:
    """A generator must see the fakes that its critic saw, a batch weighs as much as it has words or boxes, and noise
    is drawn for the batch."""
    config = {"dropout": 0.0} if name == "system-lbfgs" else {}
    if name == "system-lbfgs":  # its line search makes much of a rounding error
        request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
        torch.set_default_dtype(torch.float64)
    whole, cut = new_loop(name, config=config), new_loop(name, config=config, accumulate=accumulate)
    for _ in range(12 if name == "system-staged" else 5):
        expected = whole.step()
        assert cut.step() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(parameters(cut.model), parameters(whole.model), rtol=0, atol=1e-5)
    torch.testing.assert_close(cut.model.training_state(), whole.model.training_state(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["system-words", "system-boxes"])
def test_a_sum_is_divided_by_the_weight_of_all_parts_and_not_part_by_part(name: str, new_loop: NewLoop) -> None:
    """Against the gradient by hand; the mean of the parts' means is another number here."""
    loop = new_loop(name, accumulate=3)
    model, before = loop.model, parameters(loop.model)
    batch = loop.data.batch("train", new_loop(name).sources["x"].sampler.next(8))
    parts = [micro["x"] for micro in micro_batches({"x": batch}, 3, {"x": PACKED})]
    losses = [model.loss(part) for part in parts]
    total = sum(loss.value for loss in losses) / sum(loss.weight for loss in losses)
    mean_of_means = sum(loss.value / loss.weight for loss in losses) / 3
    assert abs(total - mean_of_means) > 1e-3
    by_hand = dict(zip(before, torch.autograd.grad(total, list(model.parameters())), strict=True))
    assert loop.step() == {"loss": pytest.approx(total.item(), rel=1e-6)}
    lr = model.optimizers()["main"].lr
    for key, old in before.items():
        torch.testing.assert_close(model.state_dict()[key], old - lr * by_hand[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["toy-gan", "system-cyclegan", "system-wgan", "system-lbfgs"])
def test_what_is_drawn_does_not_depend_on_how_a_batch_is_cut(
    name: str, new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inputs(accumulate: int) -> list[dict[str, Tensor]]:
        seen: list[dict[str, Tensor]] = []

        def look(objective: Any, parts: list[MicroBatch], *rest: Any) -> dict[str, float]:
            assert len(parts) == accumulate
            seen.append(
                {
                    f"{stream}/{key}": torch.cat([part.batches[stream][key] for part in parts])
                    for stream, batch in parts[0].batches.items()
                    for key in batch
                }
            )
            return {objective.name: 0.0}

        loop = new_loop(name, accumulate=accumulate)
        monkeypatch.setattr(loop, "_optimise", look)
        for _ in range(3):
            loop.step()
        return seen

    whole, cut = inputs(1), inputs(5)
    assert all(torch.equal(a[key], b[key]) for a, b in zip(whole, cut, strict=True) for key in a)
    drawn = [key for key in whole[0] if not key.endswith(("image", "label"))]
    assert drawn and not any(torch.equal(whole[0][key], whole[-1][key]) for key in drawn)  # anew in each step


def test_streams_walk_at_their_own_pace(new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 images of one domain and 42 of the other, eight at a time."""
    loop, sizes = new_loop("system-cyclegan"), []
    monkeypatch.setattr(
        loop,
        "_optimise",
        lambda objective, parts, *rest: sizes.append([len(parts[0].batches[s]["image"]) for s in "ab"]) or {"x": 0.0},
    )
    for _ in range(8):
        loop.step()
    assert sizes[::3] == [[8, 8]] * 5 + [[8, 2], [8, 8], [4, 8]]
    assert loop.state()["sources"] == {"a": {"epoch": 1, "position": 0}, "b": {"epoch": 1, "position": 16}}


def test_a_stage_without_objectives_passes_and_one_of_share_zero_takes_no_step(
    new_loop: NewLoop, toy_systems: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []
    begin = toy_systems.Staged.begin_stage

    def noted(self: Any, stage: str, data: Any) -> None:
        begun.append((stage, loop.step_number))
        begin(self, stage, data)

    monkeypatch.setattr(toy_systems.Staged, "begin_stage", noted)
    loop = new_loop("system-staged", epochs=None, steps=8)
    reports = [sorted(loop.step()) for _ in range(8)]
    assert begun == [("whiten", 0), ("rest", 0), ("learn", 2)]
    assert reports == [[], []] + [["loss"]] * 6
    x = loop.data.batch("train", torch.arange(60))["image"].flatten(1)
    torch.testing.assert_close(loop.model.mean, x.mean(0))
    assert loop.model.centres.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in DATA if name not in WITHOUT_MATRICES])
def test_bf16_is_for_computing_and_all_that_is_kept_is_fp32(name: str, new_loop: NewLoop) -> None:
    exact, rough = new_loop(name, precision="fp32"), new_loop(name, precision="bf16")
    for _ in range(10):
        exact.step()
        assert all(math.isfinite(value) for value in rough.step().values())
    kept = [*rough.model.state_dict().values(), *rough.tensors().values()]
    assert {tensor.dtype for tensor in kept if tensor.is_floating_point()} == {torch.float32}
    assert changed(rough.model, parameters(exact.model)), "autocast was off"


@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping_takes_the_norm_of_the_whole_gradient_of_one_optimizer(
    accumulate: int, new_loop: NewLoop, toy_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large a gradient is cut to the norm; a small one is left alone, and so is the other optimizer's."""

    def step(clip: float | None) -> dict[str, Tensor]:
        declared = {
            "d": Optimizer(modules=("discriminator",), kind="sgd", lr=1.0, clip=clip),
            "g": Optimizer(modules=("generator",), kind="sgd", lr=1.0),
        }
        monkeypatch.setattr(toy_models.Gan, "optimizers", lambda self: declared)
        loop = new_loop("toy-gan", accumulate=accumulate)
        before = parameters(loop.model)
        loop._optimise(loop.model.objectives()[0], parts(loop), progress=0.0, seed=0)
        return {key: now - before[key] for key, now in parameters(loop.model).items()}

    def parts(loop: Loop) -> list[MicroBatch]:
        batch = loop._prepared("x", loop.next_batch("x", loop.model.streams(0.0)["x"].batch, 0.0))
        return [MicroBatch(micro) for micro in micro_batches({"x": batch}, accumulate, {"x": {}})]

    free, cut, loose = step(None), step(0.01), step(1e3)
    norm = torch.cat([change.flatten() for change in free.values()]).norm()
    for key in free:
        torch.testing.assert_close(cut[key], free[key] * (0.01 / norm), rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(loose[key], free[key], rtol=1e-5, atol=1e-7)


def test_a_loss_that_is_not_finite_names_the_objective_and_the_step(
    new_loop: NewLoop, toy_systems: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three objectives, at step 2, in the last of three micro-batches."""
    loop = new_loop("system-aae", accumulate=3)
    fake, calls = toy_systems.fake, []

    def broken(logits: Tensor) -> Tensor:
        calls.append(logits)
        return fake(logits) * (math.nan if len(calls) == 9 else 1)

    monkeypatch.setattr(toy_systems, "fake", broken)
    loop.step(), loop.step()
    critic = {key: value for key, value in parameters(loop.model).items() if key.startswith("critic")}
    with pytest.raises(ZooError, match="step 2: the loss 'tell' is nan"):
        loop.step()
    assert all(torch.equal(loop.model.state_dict()[key], value) for key, value in critic.items())


def test_a_batch_that_weighs_nothing_moves_nothing(new_loop: NewLoop) -> None:
    loop, reports = new_loop("system-boxes", batch=1), []
    for _ in range(20):
        before = parameters(loop.model)
        reports.append(loop.step())
        assert bool(changed(loop.model, before)) == bool(reports[-1])
    assert {} in reports and any(reports)


# Runs.


def arguments(name: str, **more: Any) -> RunArguments:
    length = {"steps": 8} if DATA[name] == "none" else {"epochs": 2}
    asked = {"model": name, "data": DATA[name], **length, "batch": 16, "input": INPUT.get(name, [])}
    return RunArguments(**(asked | more))


def last_checkpoint(run: Run) -> dict[str, Any]:
    """What its files hold, byte for byte, but for the wall time."""
    path = checkpoints(run.folder)[-1]
    found: dict[str, Any] = {file.name: file.read_bytes() for file in path.iterdir()}
    return found | {"state.json": json.loads(found["state.json"]) | {"seconds": 0.0}}


class CtrlC(Observer):
    """Asks to stop after the next step, as the signal handler does."""

    def __init__(self, run: Run, step: int) -> None:
        self.run, self.step = run, step
        self.ask_before(run.loop.step_number + 1)

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        self.ask_before(self.run.loop.step_number + 1)

    def ask_before(self, step: int) -> None:
        if step == self.step:
            self.run.loop.requests["stop"] = True


@systems
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_that_is_stopped_and_resumed_at_any_step_ends_with_the_same_bytes(
    name: str, accumulate: int, registry: Registry, tmp_path: Path
) -> None:
    """Parameters, buffers, moving average, optimizers, pool, stages, cursors of both streams, replay buffer, best
    weights, curve."""
    asked = arguments(name, accumulate=accumulate)
    whole = start_run(tmp_path / "whole", asked, registry)
    whole.train()
    expected, steps = last_checkpoint(whole), whole.loop.step_number
    assert steps == 8
    for step in range(1, steps) if accumulate == 1 else (3,):
        folder = tmp_path / f"cut-{step}"
        run = start_run(folder, asked, registry)
        with pytest.raises(Interrupted):
            run.train(CtrlC(run, step))
        torch.manual_seed(step)  # a resumed run has another state of the global generator
        again = resume_run(folder, registry)
        # after the last step of an epoch Ctrl-C comes during the validation, where there is one
        validating = again.selection.metric and step > 1 and (step - 1) % again.steps_a_row == 0
        assert again.loop.step_number == (step - 1 if validating else step)
        again.train()
        assert last_checkpoint(again) == expected
    if accumulate == 1:
        finish(whole), finish(again)
        assert (again.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_a_resumed_run_begins_no_stage_again(
    registry: Registry, toy_systems: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    begin = toy_systems.Staged.begin_stage
    monkeypatch.setattr(
        toy_systems.Staged, "begin_stage", lambda self, stage, data: begun.append(stage) or begin(self, stage, data)
    )
    run = start_run(tmp_path / "run", arguments("system-staged"), registry)
    for _ in range(8):
        with pytest.raises(Interrupted):
            run.train(CtrlC(run, run.loop.step_number + 1))
        run = resume_run(tmp_path / "run", registry)
    run.train()
    assert begun == ["whiten", "rest", "learn"]


def scored(run: Run, scores: list[float], monkeypatch: pytest.MonkeyPatch) -> Run:
    left = iter(scores)
    monkeypatch.setattr(run, "validate", lambda observer: next(left))
    return run


@pytest.mark.parametrize(
    ("patience", "scores", "epochs"),
    [(1, [3.0, 4.0, 1.0], 2), (2, [3.0, 4.0, 2.0, 5.0, 2.0, 1.0], 5), (2, [3.0, 2.0, 1.0, 0.5, 0.4, 0.3], 6)],
)
def test_patience_counts_the_validations_since_the_best_one(
    patience: int, scores: list[float], epochs: int, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = arguments("system-calibrated", epochs=6, patience=patience)
    run = scored(start_run(tmp_path / "run", asked, registry), scores, monkeypatch)
    run.train()
    assert len(run.curve) == epochs == run.loop.epochs_done
    run.close()
    again = resume_run(tmp_path / "run", registry)
    again.train()  # it is finished
    assert again.loop.step_number == run.loop.step_number and again.finished


def test_patience_needs_something_to_judge_by(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--patience"):
        start_run(tmp_path / "run", arguments("system-wgan", patience=2), registry)


@pytest.mark.parametrize(("steps", "rows"), [(1, [1]), (4, [4]), (6, [4, 6]), (9, [4, 8, 9])])
def test_a_run_of_so_many_steps_ends_with_a_row_of_the_curve(
    steps: int, rows: list[int], registry: Registry, tmp_path: Path
) -> None:
    run = start_run(tmp_path / "run", arguments("system-calibrated", epochs=None, steps=steps), registry)
    run.train()
    assert [row["step"] for row in run.curve] == rows and run.loop.progress == 1.0
    assert all("validation" in row for row in run.curve)
    assert finish(run).recipe == run.arguments


@pytest.mark.parametrize("until", [0.5, 1.0, 1.5])
def test_until_stops_early_on_the_schedule_of_the_whole_run(until: float, registry: Registry, tmp_path: Path) -> None:
    whole = start_run(tmp_path / "whole", arguments("system-cyclegan", epochs=2), registry)
    seen: dict[int, dict[str, Tensor]] = {}

    class Look(Observer):
        def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
            seen[whole.loop.step_number] = parameters(whole.model)

    whole.train(Look())
    part = start_run(tmp_path / "part", arguments("system-cyclegan", epochs=2, until=until), registry)
    part.train()
    assert part.loop.epochs_done == pytest.approx(until, abs=0.3) and part.loop.epochs_done >= until
    assert not changed(part.model, seen[part.loop.step_number])


def test_what_is_fitted_after_training_is_fitted_on_the_best_weights_and_released(
    registry: Registry, toy_systems: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_fit: list[dict[str, Tensor]] = []
    fit = toy_systems.Calibrated.fit_posthoc
    monkeypatch.setattr(
        toy_systems.Calibrated,
        "fit_posthoc",
        lambda self, batches: at_the_fit.append(parameters(self)) or fit(self, batches),
    )
    run = start_run(tmp_path / "run", arguments("system-calibrated", epochs=3), registry)
    scored(run, [3.0, 1.0, 2.0], monkeypatch).train()
    last, best = parameters(run.model), dict(run.selection.weights)
    release = finish(run)
    (weights,) = at_the_fit
    assert torch.equal(weights["classify.weight"], best["classify.weight"])
    assert not torch.equal(weights["classify.weight"], last["classify.weight"])
    assert not best["fitted"]

    data = run.data.batch("validation", torch.arange(25))
    logits = F.linear(data["image"].flatten(1), weights["classify.weight"], weights["classify.bias"])
    losses = [F.cross_entropy(logits / t, data["label"]).item() for t in toy_systems.Calibrated.TEMPERATURES]
    temperature = toy_systems.Calibrated.TEMPERATURES[losses.index(min(losses))]
    stored = load_file(tmp_path / "run" / "model.safetensors")
    assert stored["fitted"] and torch.equal(stored["temperature"], temperature) and temperature != 1
    assert {"accuracy", "log_loss"} <= {entry.metric for entry in release.metrics}  # unfitted, logits() refuses


def test_a_moving_average_is_what_a_run_without_validation_releases(
    registry: Registry, toy_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_models.Gan, "ema", ("generator",))
    run = start_run(tmp_path / "run", arguments("toy-gan", epochs=1), registry)
    run.train()
    average = {name: tensor.clone() for name, tensor in run.loop.average.average.items()}
    live = parameters(run.model)
    finish(run)
    stored = load_file(tmp_path / "run" / "model.safetensors")
    assert sorted(average) == ["generator.bias", "generator.weight"]
    for name, tensor in stored.items():
        assert torch.equal(tensor, average.get(name, live[name]))
        assert torch.equal(tensor, live[name]) == (name not in average)


# Numbers.


@pytest.mark.parametrize("name", ["system-words", "system-calibrated", "system-boxes"])
def test_a_validation_loss_is_that_of_the_whole_split(
    name: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 examples, ten at a time: the last five count as five, and a word as a word."""
    model, data = zoo_core.create(name, registry=registry).eval(), registry.open_dataset(DATA[name])
    loss = model.loss(data.batch("validation", torch.arange(25)))
    expected = loss.item() if isinstance(loss, Tensor) else (loss.value / loss.weight).item()
    monkeypatch.setattr("zoo_core.measuring.batches.BATCH", 10)
    (found,) = measure(model, data, "validation", {"loss": MeanLoss()}).values()
    assert found.value == pytest.approx(expected, rel=1e-6) and found.n == 25


def test_a_validation_loss_counts_examples_and_not_packed_rows(registry: Registry) -> None:
    model, data = zoo_core.create("system-boxes", registry=registry), registry.open_dataset("system-boxes")
    batch = data.batch("validation", torch.arange(25))
    metric = MeanLoss()
    packed_first = {name: batch[name] for name in ("boxes", "image_index", "image")}
    metric.update(model, packed_first | {"index": torch.arange(25)})
    assert len(batch["boxes"]) != 25 == metric.compute().n


def test_the_curve_averages_an_objective_over_the_steps_in_which_it_had_its_turn(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(tmp_path / "run", arguments("toy-gan", batch=8), registry)  # 8 steps an epoch
    reports, step = [], run.loop.step
    monkeypatch.setattr(run.loop, "step", lambda: reports.append(step()) or reports[-1])
    run.train()
    for epoch, row in enumerate(run.curve):
        own = reports[8 * epoch : 8 * epoch + 8]
        assert row["train"]["d"] == pytest.approx(sum(report["d"] for report in own) / 8)
        assert row["train"]["g"] == pytest.approx(sum(report["g"] for report in own[::2]) / 4)


# Batches and their parts.


def packed_batch() -> dict[str, Tensor]:
    """Five images with 2, 0, 3, 1 and 0 boxes."""
    image_index = torch.tensor([0, 0, 2, 2, 2, 3])
    return {"boxes": torch.arange(6.0), "image_index": image_index, "image": torch.arange(5) * 10}


def test_a_part_of_packed_boxes_keeps_each_box_with_its_image() -> None:
    part = part_of(packed_batch(), slice(1, 4), PACKED)
    assert part["image"].tolist() == [10, 20, 30]
    assert part["boxes"].tolist() == [2.0, 3.0, 4.0, 5.0] and part["image_index"].tolist() == [1, 1, 1, 2]
    empty = part_of(packed_batch(), slice(4, 5), PACKED)
    assert empty["image"].tolist() == [40] and len(empty["boxes"]) == len(empty["image_index"]) == 0


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 9])
def test_micro_batches_hold_every_example_and_box_once(parts: int) -> None:
    found = [micro["x"] for micro in micro_batches({"x": packed_batch()}, parts, {"x": PACKED})]
    assert len(found) == min(parts, 5) and all(batch_size(part, PACKED) > 0 for part in found)
    owners = [int(part["image"][index]) // 10 for part in found for index in part["image_index"]]
    assert owners == [0, 0, 2, 2, 2, 3]
    assert torch.equal(torch.cat([part["boxes"] for part in found]), packed_batch()["boxes"])
    assert torch.equal(torch.cat([part["image"] for part in found]), packed_batch()["image"])


def test_packed_streams_of_different_sizes_are_cut_into_as_many_parts() -> None:
    plain = {"image": torch.arange(3)}
    found = micro_batches({"x": packed_batch(), "y": plain}, 4, {"x": PACKED, "y": {}})
    assert len(found) == 3 and [len(part["y"]["image"]) for part in found] == [1, 1, 1]


# A run's command.

COMMANDS: list[dict[str, Any]] = [
    {"epochs": 3},
    {"epochs": 0.3, "until": 0.25},
    {"epochs": 1e-5, "lr": 1e-5},
    {"epochs": 1e16},
    {
        "steps": 1000,
        "patience": 3,
        "until": 2.5,
        "batch": 7,
        "accumulate": 4,
        "precision": "bf16",
        "storage": "bfloat16",
    },
    {"steps": 1, "seed": -1},
    {"epochs": 1, "seed": 2**40, "select": "nll", "licence": "Apache-2.0 WITH LLVM-exception"},
    {"epochs": 1, "input": [{"step": "resize", "size": 8}, {"step": "binarize", "mode": "threshold", "at": 1e-05}]},
    {"epochs": 1, "input": [{"step": "binarize", "mode": "sample", "seed": 3}]},
    {"epochs": 1, "config": {"width": 3, "rate": 1e-5, "deep": True, "none": None, "sizes": [1, 2], "map": {"a": 1}}},
    {"epochs": 1, "metrics": ["iwae_nll", "linear_probe"]},
    {"epochs": 1, "config": {"text": 'it\'s "quoted"', "number": "3", "flag": "true", "empty": "", "sum": "a=b c"}},
    {"epochs": 1, "config": {"umlaut": "Öl & $HOME `ls` \\ \n tab\t#", "third": 1 / 3}},
]


@pytest.mark.parametrize("values", COMMANDS, ids=lambda values: " ".join(values))
def test_a_command_says_again_what_it_was_made_from(values: dict[str, Any]) -> None:
    asked = RunArguments(**({"model": "toy", "data": "toy-bits"} | values))
    assert read_command(asked.command()) == asked


@pytest.mark.parametrize("values", [{"epochs": 0.1 + 0.2}, {"epochs": 1, "lr": 2e-4 / 3}])
def test_a_command_keeps_every_digit(values: dict[str, Any]) -> None:
    asked = RunArguments(model="toy", data="toy-bits", **values)
    assert read_command(asked.command()) == asked


def test_a_command_has_only_options_that_zoo_train_knows() -> None:
    from zoo_core.cli.train.train import train

    known = {option for parameter in train.params for option in parameter.opts}
    for values in COMMANDS:
        words = shlex.split(RunArguments(**({"model": "toy", "data": "toy-bits"} | values)).command())
        assert set(words[3::2]) <= known


@pytest.mark.parametrize(
    "command",
    ["", "zoo", "zoo train", "zoo eval toy --data x", "zoo train toy --data", "zoo train toy data x --epochs 1",
     "zoo train toy --data x", "zoo train toy --data x --epochs 1 --steps 1", "zoo train toy --data x --epochs one",
     "zoo train toy --data x --epochs 1 --colour 3", "zoo train toy --data 'x --epochs 1"],
)  # fmt: skip
def test_what_is_no_command_of_zoo_train_is_one_clear_line(command: str) -> None:
    with pytest.raises(UsageError, match="is not a command of zoo train") as error:
        read_command(command)
    assert "\n" not in error.value.message
