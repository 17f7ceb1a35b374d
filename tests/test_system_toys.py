"""One small system of each kind lives the whole life of a release: it is trained, stopped and resumed, measured,
published, loaded elsewhere, and packed for a room without network."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import ZooError
from zoo_core.interfaces.capability_table import CAPABILITIES
from zoo_core.interfaces.model import Model
from zoo_core.publishing.bundle import bundle, unbundle
from zoo_core.publishing.push import push
from zoo_core.releases.golden import check_golden, golden_of, run_golden
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub client's own

MARKER = "hf_theMarkerThatNobodyElseMaySee"
BACKBONE = "alice/backbone"


class System(NamedTuple):
    """What is trained, and what its release must have."""

    model: str
    data: str
    metrics: Sequence[str]
    golden: str  # the method
    length: Mapping[str, float] = {"epochs": 2}
    input: Sequence[Mapping[str, Any]] = ()
    augment: Sequence[Mapping[str, Any]] | None = None
    config: Mapping[str, Any] = {}


CLASSIFIER = ("accuracy", "log_loss", "brier", "ece")
STEPS = {"steps": 8}
SYSTEMS = {
    "a frozen backbone with groups": System("system-frozen", "toy-grey", CLASSIFIER, "logits"),
    "text with a vocabulary": System(
        "system-texts", "system-reviews", CLASSIFIER, "logits", input=[{"step": "toy-tokens"}]
    ),
    "packed sequences": System("system-bags", "system-bags", CLASSIFIER, "logits"),
    "padded sequences": System("system-words", "system-sentences", (), ""),
    "boxes": System(
        "system-boxes", "system-boxes", ("toy_box_distance",), "detect", augment=[{"step": "flip"}]
    ),
    "masks": System(
        "system-masks", "system-scenes", ("toy_pixel_accuracy",), "segment", augment=[{"step": "crop", "padding": 1}]
    ),
    "a condition": System(
        "system-by-class", "toy-grey", ("nll", "bits_per_dim"), "log_prob",
        input=[{"step": "binarize", "mode": "threshold"}],
    ),
    "play": System("system-player", "none", ("toy_return",), "act", STEPS),
    "its own samples": System("system-whitening", "none", (), "log_prob", STEPS),
    "a dependency": System(
        "system-probe", "toy-grey", CLASSIFIER, "logits", config={"backbone": f"hf:{BACKBONE}"}
    ),
    "an artifact": System("system-vocabulary", "toy-grey", CLASSIFIER, "logits"),
}  # fmt: skip

# Why a kind cannot be exported: a program takes tensors, of examples that lie one beside the other.
NO_PROGRAM = {
    "packed sequences": "more than a tensor",
    "padded sequences": "records no output",
    "boxes": "a list of images",
    "text with a vocabulary .pt2": "cannot compute a batch of 1",  # torch's EmbeddingBag guards against it
    "an artifact": "which steps it takes depends on the values",
}


@pytest.fixture(scope="module")
def backbone(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys") / "backbone"
    zoo_core.train("system-averaged", data="toy-grey", output=folder, epochs=1, registry=registry, licence="CC0-1.0")
    return folder


@pytest.fixture
def hub(peer: Any, gate_here: None, backbone: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub that one may write to; it has the backbone."""
    monkeypatch.setenv("HF_TOKEN", MARKER)
    push(str(backbone), BACKBONE, create=True, registry=registry)
    return peer


class StopAt(Observer):
    """Asks to stop after so many steps, as the signal handler does."""

    def __init__(self, step: int) -> None:
        self.step, self.run = step, None

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        if self.run.loop.step_number == self.step - 1:
            self.run.loop.requests["stop"] = True


def trained(system: System, folder: Path, registry: Registry, stop: int | None = None) -> Path:
    """The release of a run; of one that was stopped at that step and resumed by another process, as it were."""
    asked = RunArguments(
        model=system.model, data=system.data, batch=16, **system.length, input=list(system.input),
        augment=system.augment, config=dict(system.config), licence="CC0-1.0",
    )  # fmt: skip
    run = start_run(folder, asked, registry)
    if stop is not None:
        observer = StopAt(stop)
        observer.run = run
        with pytest.raises(Interrupted):
            run.train(observer)
        torch.manual_seed(stop)
        run = resume_run(folder, registry)
        assert 0 < run.loop.step_number < 8
    run.train()
    finish(run)
    return folder


def said_by(model: Model, release: Path) -> torch.Tensor:
    """What the model says of the batch that its golden output is of."""
    from safetensors.torch import load_file

    from zoo_core.interfaces.batches import unpack_texts

    tensors = load_file(release / "golden.safetensors")
    fields = unpack_texts({name.removeprefix("input."): t for name, t in tensors.items() if name.startswith("input.")})
    return run_golden(model, golden_of(model), fields)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_a_system_is_trained_resumed_measured_published_loaded_and_packed(
    kind: str, hub: Any, registry: Registry, tmp_path: Path, elsewhere: Callable[[], Path],
    offline: Callable[[], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    system = SYSTEMS[kind]
    whole = trained(system, tmp_path / "whole", registry)
    cut = trained(system, tmp_path / "cut", registry, stop=3)
    release = read_release(whole)
    model_file = "model.safetensors"
    assert (cut / model_file).read_bytes() == (whole / model_file).read_bytes()
    assert read_release(cut).metrics == release.metrics
    assert tuple(entry.metric for entry in release.metrics) == tuple(system.metrics)

    assert (release.golden.method if release.golden else "") == system.golden
    model = zoo_core.load(str(whole), registry=registry)
    expected = said_by(model, whole) if system.golden else None
    if release.golden:
        check_golden(model, whole, release.golden)
        assert expected is not None and expected.numel() > 0
    assert zoo_core.summarise(model).parameters == sum(p.numel() for p in model.parameters())
    if system.metrics:
        found = zoo_core.evaluate(str(whole), registry=registry)
        assert {check.verdict for check in found.checks} == {"same"} and not found.failed

    check_exported(whole, registry, kind)

    name = f"alice/{system.model}"
    push(str(whole), name, create=True, registry=registry)
    tensors = model.state_dict()
    shutil.rmtree(whole)
    elsewhere()
    check_same(zoo_core.load(f"hf:{name}", registry=registry), tensors, expected, cut)
    bundle([f"hf:{name}"], tmp_path / "lab.tar", registry=registry)
    elsewhere()
    offline()
    unbundle(tmp_path / "lab.tar", tmp_path / "lab")
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "lab"))
    check_same(zoo_core.load(f"hf:{name}", registry=registry), tensors, expected, cut)


def check_exported(release: Path, registry: Registry, kind: str) -> None:
    """To both formats, each of which is compared with what the release records; or refused, for that reason."""
    for suffix in (".onnx", ".pt2"):
        file = release.with_suffix(suffix)
        refusal = NO_PROGRAM.get(kind) or NO_PROGRAM.get(f"{kind} {suffix}")
        with pytest.raises(ZooError, match=refusal) if refusal else nullcontext():
            zoo_core.export(str(release), file, registry=registry)
        assert file.exists() == (refusal is None)


def check_same(model: Model, tensors: Mapping[str, Any], expected: torch.Tensor | None, release: Path) -> None:
    assert model.state_dict().keys() == tensors.keys()
    assert all(torch.equal(values, tensors[name]) for name, values in model.state_dict().items())
    if expected is not None:
        assert torch.equal(said_by(model, release), expected)


def test_the_systems_are_of_every_kind_of_field_and_say_what_they_can_do(registry: Registry) -> None:
    kinds = set()
    for system in SYSTEMS.values():
        if system.config:
            continue
        model = zoo_core.create(system.model, registry=registry)
        kinds |= {field.kind for field in model.signature().values()}
        for spec in CAPABILITIES:
            if spec.name in model.capabilities:
                assert callable(getattr(model, spec.method))
    assert kinds == {"image", "label", "mask", "boxes", "tokens", "vector", "row"}


def test_a_condition_is_kept_from_the_model_to_the_loaded_release(registry: Registry, tmp_path: Path) -> None:
    folder = trained(SYSTEMS["a condition"], tmp_path / "run", registry)
    model = zoo_core.load(str(folder), registry=registry)
    assert read_release(folder).conditions["letter"].values == ("a", "b", "c")
    drawn = {letter: model.sample(2000, generator=torch.Generator().manual_seed(0), letter=letter) for letter in "ac"}
    torch.testing.assert_close(drawn["a"].mean(0), model.logit[0].sigmoid(), rtol=0, atol=0.05)
    assert not torch.equal(drawn["a"], drawn["c"])


def test_what_is_frozen_or_of_a_slow_group_hardly_moves(registry: Registry, tmp_path: Path) -> None:
    folder = trained(SYSTEMS["a frozen backbone with groups"], tmp_path / "run", registry)
    torch.manual_seed(0)
    fresh, model = (zoo_core.create("system-frozen", registry=registry), zoo_core.load(str(folder), registry=registry))
    moved = {
        name: (parameter - dict(fresh.named_parameters())[name]).abs().max().item()
        for name, parameter in model.named_parameters()
    }
    assert moved["first.weight"] == moved["first.bias"] == 0
    assert 0 < 5 * moved["second.weight"] < moved["classify.weight"]
