"""Releases that others hold frozen: loaded with them, verified, never copied, and part of no state dict."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.model import Model
from zoo_core.publishing.bundle import bundle, unbundle
from zoo_core.publishing.push import push
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.weights.pull import pull

PROBE, BACKBONE = "system-probe", "system-averaged"
Zoo = Callable[..., Any]
MARKER = "hf_theMarkerThatNobodyElseMaySee"


@pytest.fixture(scope="module")
def parts(toy_site: Path) -> ModuleType:
    import zoo_toy.parts

    return zoo_toy.parts


@pytest.fixture(scope="module")
def backbone(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with batch normalisation, whose output depends on the mode that it is in."""
    folder = tmp_path_factory.mktemp("dependencies") / "backbone"
    zoo_core.train(BACKBONE, data="toy-grey", output=folder, epochs=2, registry=registry, licence="CC0-1.0")
    return folder


@pytest.fixture(scope="module")
def probe(backbone: Path, registry: Registry) -> Path:
    """A release that holds the backbone."""
    folder, config = backbone.parent / "probe", {"backbone": str(backbone)}
    zoo_core.train(PROBE, data="toy-grey", output=folder, epochs=2, registry=registry, config=config, licence="CC0-1.0")
    return folder


@pytest.fixture
def two(backbone: Path, probe: Path, own_cache: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A probe and its backbone that a test may damage."""
    copies = (shutil.copytree(probe, tmp_path / "probe"), shutil.copytree(backbone, tmp_path / "backbone"))
    point_to(copies[0], copies[1])
    return copies


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))


def point_to(probe: Path, reference: object) -> None:
    """Let a probe name its backbone by another reference."""

    def change(data: dict[str, Any]) -> None:
        data["config"]["backbone"] = data["dependencies"]["backbone"]["reference"] = str(reference)

    edit(probe, change)


def fresh(registry: Registry, backbone: Path) -> Model:
    return zoo_core.create(PROBE, registry=registry, config={"backbone": str(backbone)})


# In the model.


def test_a_dependency_is_no_part_of_the_state_and_no_parameter(backbone: Path, registry: Registry) -> None:
    model = fresh(registry, backbone)
    assert set(model.state_dict()) == {"classify.weight", "classify.bias"} == dict(model.named_parameters()).keys()
    assert [name for name, _ in model.named_modules()] == ["", "classify"] and not list(model.buffers())
    assert model.attached == {"backbone": model.backbone}
    x = torch.rand(5, 1, 4, 4)
    assert torch.equal(model.logits(x), model.classify(zoo_core.load(str(backbone), registry=registry).logits(x)))


def test_a_dependency_stays_frozen_and_in_eval_mode_while_its_model_trains(backbone: Path, registry: Registry) -> None:
    model = fresh(registry, backbone)
    model.train().requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    x = torch.rand(5, 1, 4, 4, requires_grad=True)
    model.logits(x).sum().backward()
    assert x.grad is not None and x.grad.any(), "what is before the backbone could learn through it"
    assert not model.backbone.training and all(p.grad is None for p in model.backbone.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())


def test_a_dependency_moves_and_is_copied_with_its_model(backbone: Path, probe: Path, registry: Registry) -> None:
    model = fresh(registry, backbone)
    assert {p.dtype for p in model.double().backbone.parameters()} == {torch.float64}
    assert {p.device.type for p in copy.deepcopy(model).to("meta").backbone.parameters()} == {"meta"}
    twin = copy.deepcopy(model)
    assert twin.backbone is twin.attached["backbone"] is not model.backbone
    with torch.no_grad():
        twin.backbone.classify.weight.zero_()
    assert model.backbone.classify.weight.any() and not any(p.requires_grad for p in twin.backbone.parameters())
    half = zoo_core.load(str(probe), dtype="bfloat16", registry=registry)
    assert {p.dtype for p in half.backbone.parameters()} == {torch.bfloat16}


def test_a_name_that_is_taken_cannot_be_that_of_a_dependency(
    backbone: Path, registry: Registry, parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("classify", "loss"):
        monkeypatch.setattr(parts.Probe, "dependencies", lambda self, name=name: {name: str(backbone)})
        with pytest.raises(ZooError, match=f"something else that is called '{name}'"):
            fresh(registry, backbone)


def test_a_summary_runs_the_dependency_and_counts_only_the_model(probe: Path, registry: Registry) -> None:
    model = zoo_core.load(str(probe), registry=registry)
    found = zoo_core.summarise(model)
    assert found.parameters == 12 and [layer.name for layer in found.layers] == ["", "classify"]
    assert found.flops == 2 * (16 * 8 + 8 * 3 + 3 * 3)


# In a release.


def test_a_release_records_its_dependencies_and_holds_none_of_their_tensors(probe: Path, backbone: Path) -> None:
    release = read_release(probe)
    (recorded,) = release.dependencies.values()
    assert recorded.reference == str(backbone) and recorded.name == BACKBONE
    assert recorded.model_sha256 == sha256_of(backbone / "model.safetensors")
    assert recorded.config_sha256 == sha256_of(backbone / "config.json")
    assert set(load_file(probe / "model.safetensors")) == {"classify.weight", "classify.bias"}
    assert "dependencies" not in json.loads((backbone / "config.json").read_text()), "others say nothing of it"
    assert f"* backbone: `{backbone}`" in (probe / "README.md").read_text()


def test_a_release_loads_with_its_dependencies(probe: Path, backbone: Path, registry: Registry) -> None:
    model = zoo_core.load(str(probe), registry=registry)
    assert not model.training and not any(p.requires_grad for p in model.backbone.parameters())
    for name, tensor in load_file(backbone / "model.safetensors").items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)
    assert model.backbone.load_report is not None and model.backbone.load_report.folder == str(backbone)


def test_a_release_needs_no_reference_of_the_installed_plugin(
    two: tuple[Path, Path], registry: Registry, parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was made with counts, and not what its model would name today."""
    monkeypatch.setattr(parts.Probe, "dependencies", lambda self: {"backbone": "system-averaged.of-today"})
    assert zoo_core.load(str(two[0]), registry=registry).backbone.load_report.folder == str(two[1])
    monkeypatch.setattr(parts.Probe, "dependencies", lambda self: {"trunk": "system-averaged.of-today"})
    with pytest.raises(WeightsError, match="other dependencies than Probe has: backbone; not trunk") as error:
        zoo_core.load(str(two[0]), registry=registry)
    assert error.value.hint == "It was made by zoo-toy 0.3.0; installed is 0.3.0."


def other_weights(folder: Path) -> None:
    """Other numbers in a release that is whole in itself."""
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"classify.bias": tensors["classify.bias"] + 1}, folder / "model.safetensors", {"format": "pt"})
    entry = {"sha256": sha256_of(folder / "model.safetensors"), "bytes": (folder / "model.safetensors").stat().st_size}
    edit(folder, lambda data: data["files"].update({"model.safetensors": entry}))


def damaged(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_weights, "another release now: the sha256 of its model.safetensors was"),
        (lambda folder: edit(folder, lambda data: data.update(summary="new")), "the sha256 of its config.json was"),
        (damaged, "cannot be had here: '.*model.safetensors' is not the published file"),
        (shutil.rmtree, "cannot be had here: '.*' is not a release: it does not exist"),
    ],
)
def test_a_dependency_that_is_another_or_gone_is_one_clear_line(
    change: Callable[[Path], None], message: str, two: tuple[Path, Path], registry: Registry, zoo: Zoo
) -> None:
    probe, backbone = two
    change(backbone)
    with pytest.raises(WeightsError, match=message) as error:
        zoo_core.load(str(probe), registry=registry)
    assert error.value.message.startswith(f"'{probe}' holds, as its backbone, '{backbone}', ") and error.value.hint
    assert "\n" not in error.value.message
    code, out, _ = zoo("doctor", probe)
    assert code == 1 and "dependencies" in out
    assert zoo("pull", probe).code == 1 and zoo("bundle", probe, "-o", probe.parent / "x.tar").code == 1
    assert not (probe.parent / "x.tar").exists()


def test_a_dependency_that_nobody_has_is_named_before_a_run_begins(registry: Registry, tmp_path: Path) -> None:
    cases = {"system-averages": UnknownName, BACKBONE: UnknownName, str(tmp_path / "none"): WeightsError}
    for reference, kind in cases.items():
        with pytest.raises(UsageError if kind is UnknownName else kind) as error:
            zoo_core.train(
                PROBE, data="toy-grey", output=tmp_path / "run", epochs=1, registry=registry,
                config={"backbone": reference},
            )  # fmt: skip
        assert error.value.message.startswith(f"'{PROBE}' holds, as its backbone, '{reference}', which cannot be had")
        assert not (tmp_path / "run").exists()


def test_a_cycle_is_refused_with_its_chain(two: tuple[Path, Path], registry: Registry, tmp_path: Path) -> None:
    """The chain is said, and not just that a hash is another: hashes can never close a cycle."""
    probe = two[0]
    second = shutil.copytree(probe, tmp_path / "second")
    point_to(probe, second)
    point_to(second, probe)
    digest = sha256_of(probe / "config.json")
    edit(second, lambda data: data["dependencies"]["backbone"].update(config_sha256=digest))
    digest = sha256_of(probe / "model.safetensors")
    edit(second, lambda data: data["dependencies"]["backbone"].update(model_sha256=digest))
    pattern = f"depends on itself: {second} -> {probe} -> {second}"
    for ask in (
        lambda: zoo_core.load(str(second), registry=registry),
        lambda: pull(str(second), registry=registry),
        lambda: fresh(registry, second),
        lambda: bundle([str(second)], tmp_path / "x.tar", registry=registry),
    ):
        with pytest.raises(WeightsError, match=pattern):
            ask()


# In a run.


def arguments(backbone: Path, **more: Any) -> RunArguments:
    asked = {"model": PROBE, "data": "toy-grey", "epochs": 2, "batch": 16, "config": {"backbone": str(backbone)}}
    return RunArguments(**(asked | more))


class Stop(Observer):
    """Asks to stop after a step, as the signal handler does."""

    def __init__(self, run: Run, step: int) -> None:
        self.run, self.step = run, step

    def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
        self.run.loop.requests["stop"] = self.run.loop.step_number + 1 == self.step


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_with_a_dependency_that_is_stopped_and_resumed_ends_with_the_same_bytes(
    accumulate: int, backbone: Path, registry: Registry, tmp_path: Path
) -> None:
    before = load_file(backbone / "model.safetensors")
    folders = [tmp_path / "whole", tmp_path / "cut"]
    for folder in folders:
        run = start_run(folder, arguments(backbone, accumulate=accumulate), registry)
        while folder.name == "cut" and not run.finished:
            try:
                run.train(Stop(run, run.loop.step_number + 3))
            except Interrupted:
                run = resume_run(folder, registry)
        run.train()
        assert all(torch.equal(before[name], t) for name, t in run.model.backbone.state_dict().items())
        finish(run)
    whole, cut = folders
    for file in ("model.safetensors", "golden.safetensors"):
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
    assert read_release(whole).dependencies == read_release(cut).dependencies
    assert read_release(whole).recipe == read_release(cut).recipe


def test_a_run_is_not_resumed_upon_another_dependency(
    two: tuple[Path, Path], registry: Registry, tmp_path: Path
) -> None:
    _, backbone = two
    start_run(tmp_path / "run", arguments(backbone), registry)
    assert resume_run(tmp_path / "run", registry).loop.step_number == 0
    other_weights(backbone)
    with pytest.raises(WeightsError, match="that is another release now"):
        resume_run(tmp_path / "run", registry)


# Among people.


def test_the_commands_know_of_dependencies(zoo: Zoo, probe: Path, backbone: Path) -> None:
    code, out, _ = zoo("info", probe)
    assert code == 0 and f"backbone: {backbone}, model.safetensors sha256" in out
    assert json.loads(zoo("info", probe, "--json").out)["dependencies"]["backbone"]["reference"] == str(backbone)
    code, out, _ = zoo("doctor", probe)
    assert code == 0 and f"dependency {backbone}" in out
    for command in ("verify", "pull", "load", "summary"):
        assert zoo(command, probe).code == 0
    assert zoo("eval", probe, "--check").code == 0


def test_a_folder_of_ones_own_cannot_be_the_dependency_of_what_is_published(
    probe: Path, registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"as its backbone, which nobody else has"):
        push(str(probe), f"file://{tmp_path}/hub", registry=registry)
    assert not (tmp_path / "hub").exists()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_a_hub_and_a_room_without_network_serve_dependencies(
    backbone: Path, registry: Registry, tmp_path: Path, peer: Any, gate_here: None, elsewhere: Callable[[], Path],
    offline: Callable[[], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", MARKER)
    push(str(backbone), "alice/backbone", create=True, registry=registry)
    run = tmp_path / "run"
    config = {"backbone": "hf:alice/backbone"}
    zoo_core.train(PROBE, data="toy-grey", output=run, epochs=1, registry=registry, config=config, licence="CC0-1.0")
    push(str(run), "alice/probe", create=True, registry=registry)
    elsewhere()
    expected = zoo_core.load("hf:alice/probe", registry=registry).backbone.state_dict()
    assert all(torch.equal(expected[name], t) for name, t in load_file(backbone / "model.safetensors").items())
    bundle(["hf:alice/probe"], tmp_path / "lab.tar", registry=registry)
    elsewhere()
    offline()
    unbundle(tmp_path / "lab.tar", tmp_path / "lab")
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "lab"))
    assert sorted(json.loads((tmp_path / "lab" / "bundle.json").read_text())["releases"]) == [
        "alice/backbone", "alice/probe",
    ]  # fmt: skip
    model = zoo_core.load("hf:alice/probe", registry=registry)
    assert torch.equal(model.backbone.classify.weight, expected["classify.weight"])


def test_a_bundle_is_enough_where_the_dependency_was_a_folder(
    two: tuple[Path, Path], registry: Registry, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its hashes, for its reference leads nowhere there."""
    probe, backbone = two
    bundle([str(probe)], tmp_path / "lab.tar", registry=registry)
    shutil.rmtree(backbone)
    unbundle(tmp_path / "lab.tar", tmp_path / "lab")
    with pytest.raises(WeightsError, match="cannot be had here"):
        zoo_core.load(str(tmp_path / "lab" / PROBE), registry=registry)
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "lab"))
    model = zoo_core.load(str(tmp_path / "lab" / PROBE), registry=registry)
    assert model.backbone.load_report.folder == str(tmp_path / "lab" / BACKBONE)


def test_weights_that_must_be_free_depend_on_free_ones(
    two: tuple[Path, Path], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, backbone = two
    edit(backbone, lambda data: data["licence"].update(weights="CC-BY-NC-4.0"))
    digest = sha256_of(backbone / "config.json")
    edit(probe, lambda data: data["dependencies"]["backbone"].update(config_sha256=digest))
    pull(str(probe), registry=registry)
    with pytest.raises(WeightsError, match=r"CC-BY-NC-4\.0, which is not permissive"):
        pull(str(probe), registry=registry, permissive_only=True)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_an_exported_probe_holds_its_backbone(probe: Path, registry: Registry, tmp_path: Path, suffix: str) -> None:
    done = zoo_core.export(str(probe), tmp_path / f"probe{suffix}", registry=registry)  # compares it with the release
    assert done.method == "logits" and done.path.stat().st_size > (probe / "model.safetensors").stat().st_size
