"""Evaluation: numbers against closed forms, with the protocol that makes them comparable."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, UsageError
from zoo_core.interfaces.dataset import digest
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.measuring.evaluation import check, check_fields, entries, fitting_metrics, measure
from zoo_core.releases.release import MetricEntry, Protocol


@pytest.fixture(scope="module")
def model(registry: Registry) -> Model:
    torch.manual_seed(0)
    return zoo_core.create("toy", registry=registry, config={"start": 1.5})


def random_step(registry: Registry, model: Model, seed: int) -> Model:
    other = zoo_core.create("toy", registry=registry, input=[{"step": "binarize", "mode": "sample", "seed": seed}])
    other.load_state_dict(model.state_dict())
    return other


def closed_form(model: Any, bits: torch.Tensor) -> torch.Tensor:
    """- sum log p, written out, in float64."""
    p = model.logit.detach().double().sigmoid()
    bits = bits.double()
    return -(bits * p.log() + (1 - bits) * (1 - p).log()).flatten(1).sum(1)


def test_numbers_are_those_of_the_closed_form(registry: Registry, model: Model) -> None:
    data = registry.open_dataset("toy-bits")
    found = measure(model, data, "test", fitting_metrics(model, registry))
    nll = closed_form(model, data.stored["test"]["image"])
    assert sorted(found) == ["bits_per_dim", "nll"]
    for name, per_example in {"nll": nll, "bits_per_dim": nll / (16 * math.log(2))}.items():
        assert found[name].n == 130 and found[name].estimator == "exact"
        assert found[name].value == pytest.approx(per_example.mean().item(), rel=1e-6)
        assert found[name].stderr == pytest.approx(per_example.std().item() / math.sqrt(130), rel=1e-5)


def test_metrics_come_in_the_order_in_which_a_plugin_declares_them(model: Model, registry: Registry) -> None:
    """The first is what lists show."""
    assert list(fitting_metrics(model, registry))[:2] == ["nll", "bits_per_dim"]


@pytest.mark.parametrize("size", [1, 7, 130, 1000])
@pytest.mark.parametrize("steps", ["as it is", "random"])
def test_the_result_does_not_depend_on_the_batch_size(size: int, steps: str, registry: Registry, model: Model) -> None:
    """A random step makes one draw over the whole split, so its result does not either."""
    data = registry.open_dataset("toy-bits" if steps == "as it is" else "toy-grey")
    chosen = model if steps == "as it is" else random_step(registry, model, 5)

    def nll(batch: int | None = None) -> float:
        return measure(chosen, data, "test", fitting_metrics(chosen, registry, ["nll"]), batch=batch)["nll"].value

    torch.manual_seed(1)
    reference = nll()
    torch.manual_seed(2)
    assert nll(size) == pytest.approx(reference, rel=1e-7)


def test_the_seed_of_a_random_step_decides_the_draw(registry: Registry, model: Model) -> None:
    data = registry.open_dataset("toy-grey")
    values = []
    for seed in (0, 0, 1):
        chosen = random_step(registry, model, seed)
        values.append(measure(chosen, data, "test", fitting_metrics(chosen, registry, ["nll"]))["nll"].value)
    assert values[0] == values[1] != values[2]
    bits = torch.rand(130, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < data.stored["test"]["image"] / 4
    assert values[2] == pytest.approx(closed_form(model, bits).mean().item(), rel=1e-6)


def test_measuring_leaves_the_model_as_it_was(registry: Registry, model: Model) -> None:
    data = registry.open_dataset("toy-bits")
    state = torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        measure(model, data, "test", fitting_metrics(model, registry))
        assert model.training is training
    assert torch.equal(torch.get_rng_state(), state)


def test_what_two_processes_saw_is_joined(registry: Registry, model: Model) -> None:
    bits = registry.open_dataset("toy-bits").batch("test", torch.arange(130))
    whole, left, right = (registry.new_metric("nll") for _ in range(3))
    with torch.no_grad():
        whole.update(model, bits)
        left.update(model, {"image": bits["image"][:31]})
        right.update(model, {"image": bits["image"][31:]})
    left.merge(right)
    assert left.compute().n == 130
    assert left.compute().value == pytest.approx(whole.compute().value, rel=1e-9)
    assert left.compute().stderr == pytest.approx(whole.compute().stderr, rel=1e-6)


def test_the_protocol_is_recorded(registry: Registry, model: Model) -> None:
    data = registry.open_dataset("toy-grey")
    chosen = random_step(registry, model, 5)
    measured = measure(chosen, data, "validation", fitting_metrics(chosen, registry, ["nll"]), limit=20)
    (entry,) = entries(chosen, data, "validation", measured, registry)
    assert (entry.metric, entry.unit) == ("nll", "nats/example")
    assert entry.protocol == Protocol(
        dataset="toy-grey",
        split="validation",
        n=20,
        data_sha256=digest(data.stored["validation"]),
        input=[{"step": "binarize", "mode": "sample", "seed": 5, "at": 0.5}],
    )


SHA = "0" * 64
ENTRY = MetricEntry(
    metric="nll",
    value=80.0,
    unit="nats/example",
    tolerance=0.01,
    protocol=Protocol(dataset="d", split="test", n=10, data_sha256=SHA),
)


def changed(value: float = 80.0, metric: str = "nll", **protocol: Any) -> MetricEntry:
    replaced = msgspec.structs.replace(ENTRY.protocol, **protocol)
    return msgspec.structs.replace(ENTRY, value=value, metric=metric, protocol=replaced)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (changed(), "same"),
        (changed(80.009), "same"),
        (changed(79.98), "different"),
        (changed(math.nan), "different"),
        (changed(n=9), "other data"),
        (changed(split="validation"), "other data"),
        (changed(data_sha256="1" * 64), "other data"),
        (changed(dataset="e"), "other data"),
        (changed(estimator="k = 10"), "other data"),
        (changed(input=[{"step": "binarize"}]), "other data"),
        (changed(metric="bits_per_dim"), "not recorded"),
    ],
)
def test_numbers_are_compared_only_inside_one_protocol(measured: MetricEntry, verdict: str) -> None:
    assert check(measured, [ENTRY]).verdict == verdict


def test_the_fitting_protocol_is_found_among_several() -> None:
    found = check(changed(70.0, split="validation"), [ENTRY, changed(70.0, split="validation")])
    assert found.verdict == "same" and found.recorded is not None and found.recorded.protocol.split == "validation"


def test_a_metric_must_fit_what_the_model_can_do(registry: Registry) -> None:
    gan = zoo_core.create("toy-gan", registry=registry)
    with pytest.raises(UsageError, match="'nll' needs the capability Density"):
        fitting_metrics(gan, registry, ["nll"])
    with pytest.raises(UsageError, match="no installed metric fits"):
        fitting_metrics(gan, registry)
    with pytest.raises(UnknownName, match="Did you mean 'nll'"):
        fitting_metrics(gan, registry, ["nl"])


def test_a_release_is_measured_again_and_compared(toy_release: Path, registry: Registry) -> None:
    found = zoo_core.evaluate("toy", registry=registry)
    assert {check.verdict for check in found.checks} == {"same"}
    found = zoo_core.evaluate("toy", registry=registry, limit=50, metrics=["bits-per-dim"])
    (only,) = found.checks
    assert only.verdict == "other data" and only.measured.protocol.n == 50


def test_data_that_does_not_fit_is_refused(toy_release: Path, registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"'toy-grey' does not fit the model: .*5 levels"):
        zoo_core.evaluate("toy", data="toy-grey", registry=registry)
    with pytest.raises(UsageError, match="'digits' does not fit the model"):
        zoo_core.evaluate("toy", data="digits", registry=registry)


def test_levels_are_told_only_to_a_model_that_wants_some(registry: Registry, model: Model) -> None:
    grey = registry.open_dataset("toy-grey")
    free: Any = SimpleNamespace(name="free", features={"image": Field(kind="image", shape=(1, 4, 4))})
    with pytest.raises(UsageError, match=r"is \(1, 4, 4\) with 5 levels, not \(1, 4, 4\) with 2$"):
        check_fields(model, grey)
    with pytest.raises(UsageError, match=r"is \(1, 4, 4\) with any number of levels, not \(1, 4, 4\) with 2$"):
        check_fields(model, free)
    wide = zoo_core.create("vae", registry=registry, config={"hidden": [2], "latent": 1, "height": 2, "width": 6})
    with pytest.raises(UsageError, match=r"is \(1, 4, 4\), not \(1, 2, 6\)$"):
        check_fields(wide, grey)


def test_other_classes_are_no_data_for_a_classifier() -> None:
    def data(*classes: str) -> Any:
        features = {
            "image": Field(kind="image", shape=(1, 4, 4)),
            "label": Field(kind="label", dtype="int64", classes=classes),
        }
        return SimpleNamespace(name="pets", features=features)

    model: Any = SimpleNamespace(input=(), signature=lambda: data("cat", "dog").features)
    check_fields(model, data("cat", "dog"))
    for classes in (("dog", "cat"), ("ant", "bee"), ("cat", "dog", "frog")):
        with pytest.raises(UsageError, match=f"other classes than the model: {', '.join(classes)}; not cat, dog"):
            check_fields(model, data(*classes))


def test_what_the_data_leave_out_the_model_must_leave_out_too() -> None:
    def data(**left_out: int) -> Any:
        features = {
            "tokens": Field(kind="tokens", shape=(None,), dtype="int64", **left_out),
            "mask": Field(kind="mask", shape=(4, 4), dtype="int64", ignore=255),
        }
        return SimpleNamespace(name="street", features=features)

    def model(**left_out: int) -> Any:
        return SimpleNamespace(input=(), signature=lambda: data(**left_out).features)

    check_fields(model(pad=0), data(pad=0))
    check_fields(model(pad=0), data())  # which are never padded
    for wanted, its in (({}, {"pad": 0}), ({"pad": 1}, {"pad": 0}), ({"pad": 0}, {"pad": 0, "ignore": 0})):
        with pytest.raises(UsageError, match=r"'tokens' has (pad|ignore) = 0, not (pad|ignore) = (None|1)$"):
            check_fields(model(**wanted), data(**its))


def test_a_packed_field_is_packed_by_the_index_that_the_model_reads() -> None:
    def data(index: str | None) -> Any:
        boxes = Field(kind="boxes", shape=(4,), index=index)
        return SimpleNamespace(name="street", features={"image": Field(kind="image", shape=(1, 4, 4)), "boxes": boxes})

    model: Any = SimpleNamespace(input=(), signature=lambda: data("owner").features)
    check_fields(model, data("owner"))
    with pytest.raises(UsageError, match="'boxes' is packed by 'image', not packed by 'owner'"):
        check_fields(model, data("image"))
    with pytest.raises(UsageError, match="'boxes' is one an example, not packed by 'owner'"):
        check_fields(model, data(None))
    with pytest.raises(UsageError, match="has a field 'index'"):
        check_fields(model, data("index"))


def test_padding_and_what_is_ignored_do_not_count() -> None:
    values = torch.tensor([[3, 0, 255], [0, 1, 7]])
    assert Field(kind="mask").counted(values).all()
    assert Field(kind="tokens", pad=0).counted(values).tolist() == [[True, False, True], [False, True, True]]
    both = Field(kind="mask", dtype="uint8", pad=0, ignore=255).counted(values.to(torch.uint8))
    assert both.tolist() == [[True, False, False], [False, True, True]] and both.dtype == torch.bool


def test_a_release_without_numbers_asks_for_data(
    registry: Registry, model: Model, write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write(model, "toy", tmp_path / "unmeasured")
    with pytest.raises(UsageError, match="records no data"):
        zoo_core.evaluate(str(folder), registry=registry)
    found = zoo_core.evaluate(str(folder), data="TOY_BITS", registry=registry)
    assert {check.verdict for check in found.checks} == {"not recorded"}


def test_metrics_that_ask_the_same_share_one_answer(
    registry: Registry, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    original = type(model).log_prob

    def counted(self: Any, x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return original(self, x)

    monkeypatch.setattr(type(model), "log_prob", counted)
    measure(model, registry.open_dataset("toy-bits"), "test", fitting_metrics(model, registry))
    assert asked == [100, 30] and "log_prob" not in vars(model)


def test_a_part_of_a_split_is_drawn_from_all_of_it(registry: Registry) -> None:
    """Published splits are sorted by class now and then: the first n would be zeros."""
    data = registry.open_dataset("toy-grey")
    model = zoo_core.create("toy-classifier", registry=registry, features=data.features)
    places = torch.cat([batch["index"] for batch in evaluation_batches(model, data, "test", 10)])
    assert len(places.unique()) == 10 and places.max() > 10
    again = torch.cat([batch["index"] for batch in evaluation_batches(model, data, "test", 10)])
    assert torch.equal(places, again)
    whole = torch.cat([batch["index"] for batch in evaluation_batches(model, data, "test", data.size("test"))])
    assert torch.equal(whole, torch.arange(data.size("test")))
