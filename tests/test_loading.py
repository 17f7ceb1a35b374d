"""Loading: strictly what the release says, or one clear line. Never random weights, never a pickle."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import zoo_core
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import ModelSpec
from zoo_core.errors import UnknownName, UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.model import Model
from zoo_core.releases.golden import check_golden
from zoo_core.releases.release import read_release
from zoo_core.releases.tensors import MAX_HEADER_BYTES, read_header, save_tensors
from zoo_core.weights.loading import skip_initialisation
from zoo_core.weights.manifest import Manifest

Write = Callable[..., Path]


@pytest.fixture
def load(registry: Registry, own_cache: Path) -> Callable[..., Model]:
    def load_folder(folder: Path, **options: Any) -> Model:
        return zoo_core.load(str(folder), registry=registry, **options)

    return load_folder


@pytest.fixture
def classifier(registry: Registry, write: Write, tmp_path: Path) -> tuple[Model, Path]:
    """A classifier with tied weights, a head and buffers, and its release."""
    torch.manual_seed(0)
    model = zoo_core.create("toy-classifier", registry=registry).eval()
    return model, write(model, "toy-classifier", tmp_path / "classifier")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change config.json."""
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))


def pin_again(folder: Path, name: str = "model.safetensors") -> None:
    """Let config.json list the file as it now is, so that only what is inside can be wrong."""
    path = folder / name
    entry = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    edit(folder, lambda data: data["files"].update({name: entry}))


def set_tensors(folder: Path, **changed: torch.Tensor | None) -> None:
    """Replace, add or (None) remove tensors, with hashes that fit."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()} | changed
    path.unlink()
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, metadata={"format": "pt"})
    pin_again(folder)


def refusal(load: Callable[..., Model], folder: Path, **options: Any) -> str:
    """The one line that loading ends with."""
    with pytest.raises(ZooError) as error:
        load(folder, **options)
    assert "\n" not in error.value.message
    return error.value.message


# What is written comes back.


def test_a_release_comes_back_bit_for_bit(classifier: tuple[Model, Path], load: Callable[..., Model]) -> None:
    model, folder = classifier
    loaded = load(folder)
    x = torch.rand(5, 1, 4, 4)
    assert torch.equal(loaded.logits(x), model.logits(x))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert not loaded.training and all(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.config == model.config


def test_a_loaded_model_can_be_trained_and_the_file_stays(
    classifier: tuple[Model, Path], load: Callable[..., Model]
) -> None:
    _, folder = classifier
    before = (folder / "model.safetensors").read_bytes()
    loaded = load(folder)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1)
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_report_tells_what_was_loaded(release: Path, load: Callable[..., Model]) -> None:
    report = load(release).load_report
    assert report is not None
    assert (report.name, report.tensors, report.parameters, report.dtype) == ("toy", 1, 16, "float32")
    assert report.folder == str(release) and not report.pinned and report.new_head is None


def test_the_same_model_gives_the_same_bytes_twice_and_in_two_processes(
    classifier: tuple[Model, Path], write: Write, tmp_path: Path
) -> None:
    model, folder = classifier
    again = write(model, "toy-classifier", tmp_path / "again")
    for file in folder.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name
        assert file.stat().st_mode & 0o777 == 0o644
    code = (
        "import sys; from pathlib import Path; from safetensors.torch import load_file;"
        "from zoo_core.releases.tensors import save_tensors;"
        "t = load_file(sys.argv[1]); save_tensors(dict(reversed(t.items())), Path(sys.argv[2]))"
    )
    env = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "7"}
    paths = [folder / "model.safetensors", tmp_path / "other.safetensors"]
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, env=env)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes()[8:].startswith(b'{"__metadata__":{"format":"pt"}')


def test_tied_weights_are_stored_once_and_stay_tied(classifier: tuple[Model, Path], load: Callable[..., Model]) -> None:
    model, folder = classifier
    assert sorted(read_header(folder / "model.safetensors")) == [
        "classify.bias", "classify.weight", "first.bias", "first.weight", "second.bias", "seen",
    ]  # fmt: skip
    for options in ({}, {"dtype": "bfloat16"}, {"head": 2}):
        loaded = load(folder, **options)
        assert loaded.second.weight is loaded.first.weight
    assert len(list(load(folder).parameters())) == len(list(model.parameters()))


def test_a_buffer_that_is_not_stored_is_computed(release: Path, load: Callable[..., Model]) -> None:
    loaded = load(release)
    assert torch.equal(loaded.rows, torch.arange(4.0))
    assert "rows" not in read_header(release / "model.safetensors")


def test_parameters_are_not_filled_while_a_model_is_built(
    release: Path, load: Callable[..., Model], monkeypatch: pytest.MonkeyPatch, toy_models: ModuleType
) -> None:
    filled = []

    def spy(config: Any) -> nn.Linear:
        layer = nn.Linear(64, 64)
        with torch.no_grad():
            layer.weight.fill_(3)
        filled.append(bool((layer.weight == 3).all()))
        assert layer.weight.requires_grad_(False).requires_grad is False
        assert torch.equal(torch.zeros(2).fill_(1), torch.ones(2))  # what is no parameter is filled
        return layer

    with skip_initialisation():
        spy(None)
    spy(None)
    assert filled == [False, True]

    state = torch.get_rng_state()
    load(release)
    assert torch.equal(torch.get_rng_state(), state)  # no random number was drawn


def test_the_parameters_are_the_mapped_file(release: Path, load: Callable[..., Model]) -> None:
    expected = load_file(release / "model.safetensors")["logit"]
    for _ in range(3):  # memory from an earlier model must never shine through
        torch.full((1, 4, 4), 77.0)
        assert torch.equal(load(release).logit, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_the_dtype_is_the_one_that_was_asked_for(dtype: str, release: Path, load: Callable[..., Model]) -> None:
    loaded = load(release, dtype=dtype)
    assert loaded.logit.dtype == getattr(torch, dtype)
    assert loaded.load_report is not None and loaded.load_report.dtype == dtype


def test_whole_numbers_keep_their_dtype(classifier: tuple[Model, Path], load: Callable[..., Model]) -> None:
    assert load(classifier[1], dtype="bfloat16").seen.dtype == torch.int64


def test_weights_are_stored_in_another_dtype(registry: Registry, write: Write, tmp_path: Path) -> None:
    """Half of the bytes, and outputs that are those of what is stored, computed in float32."""
    model = zoo_core.create("toy", registry=registry)
    torch.nn.init.normal_(model.logit)
    exact = model.logit.detach().clone()
    folder = write(model, "toy", tmp_path / "half", storage=torch.bfloat16)
    assert read_release(folder).dtype == "bfloat16"
    assert read_header(folder / "model.safetensors")["logit"].dtype == "bfloat16"
    loaded = zoo_core.load(str(folder), registry=registry)
    assert loaded.logit.dtype == torch.float32 and loaded.load_report.dtype == "float32"
    assert torch.equal(loaded.logit, model.logit) and torch.equal(loaded.logit, exact.bfloat16().float())
    assert check_golden(loaded, folder, read_release(folder).golden) == 0
    assert zoo_core.load(str(folder), dtype="bfloat16", registry=registry).logit.dtype == torch.bfloat16


def test_a_new_head_is_filled_and_the_rest_is_the_file(
    classifier: tuple[Model, Path], load: Callable[..., Model]
) -> None:
    model, folder = classifier
    loaded = load(folder, head=7, dtype="float64")
    assert loaded.classify.weight.shape == (7, 16) and loaded.classify.weight.dtype == torch.float64
    assert 0 < loaded.classify.weight.abs().max() <= 0.25  # as nn.Linear fills it
    assert torch.equal(loaded.first.weight, model.first.weight.double())
    assert loaded.load_report is not None and loaded.load_report.new_head == 7
    assert loaded.logits(torch.rand(2, 1, 4, 4).double()).shape == (2, 7)


def test_a_model_without_a_head_refuses_a_new_one(release: Path, load: Callable[..., Model]) -> None:
    assert "no head" in refusal(load, release, head=3)


@pytest.mark.parametrize(
    "options", [{"device": "cuda:99"}, {"device": "toaster"}, {"dtype": "int8"}, {"dtype": "half"}]
)
def test_an_option_that_cannot_be_is_a_usage_error(
    options: dict[str, str], release: Path, load: Callable[..., Model]
) -> None:
    message = refusal(load, release, **options)
    assert f"'{next(iter(options.values()))}'" in message


# What is wrong with model.safetensors.


def test_a_pickle_is_never_loaded(release: Path, load: Callable[..., Model], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    for content in (pickle.dumps(Trap()), pickle.dumps(Trap(), protocol=0), b""):
        (release / "model.safetensors").write_bytes(content)
        pin_again(release)
        assert "not a safetensors file" in refusal(load, release)
    torch.save({"logit": torch.zeros(1, 4, 4)}, release / "model.safetensors")
    pin_again(release)
    assert "looks like a pickle" in refusal(load, release)
    assert not (tmp_path / "sprung").exists()


def test_a_git_lfs_pointer_is_recognised(release: Path, load: Callable[..., Model]) -> None:
    (release / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 10\n")
    pin_again(release)
    assert "git lfs pull" in refusal(load, release)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"logit": None}, ["missing 'logit'"]),
        ({"extra": torch.zeros(2)}, ["unexpected 'extra'"]),
        ({"logit": None, "logits": torch.zeros(1, 4, 4)}, ["missing 'logit'", "unexpected 'logits'"]),
        ({"logit": torch.zeros(1, 4, 5)}, ["'logit' has shape (1, 4, 5), not (1, 4, 4)"]),
        ({"logit": torch.zeros(16)}, ["shape (16,)"]),
        ({"logit": torch.zeros(1, 4, 4, dtype=torch.float16)}, ["'logit' is float16, not float32"]),
        ({"logit": torch.zeros(1, 4, 4, dtype=torch.int64)}, ["'logit' is int64, not float32"]),
        ({f"extra{k}": torch.zeros(1) for k in range(9)}, ["'extra0', 'extra1', 'extra2' and 6 more"]),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_named(
    changed: dict[str, Any], words: list[str], release: Path, load: Callable[..., Model]
) -> None:
    set_tensors(release, **changed)
    message = refusal(load, release)
    assert str(release) in message and all(word in message for word in words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_each_time(
    value: float, release: Path, load: Callable[..., Model]
) -> None:
    tensor = torch.zeros(1, 4, 4)
    tensor[0, 3, 3] = value
    set_tensors(release, logit=tensor)
    for _ in range(2):
        assert "'logit' holds NaN or infinity" in refusal(load, release)


def test_a_release_of_nan_weights_is_not_written(registry: Registry, write: Write, tmp_path: Path) -> None:
    model = zoo_core.create("toy", registry=registry)
    nn.init.constant_(model.logit, float("nan"))
    with pytest.raises(WeightsError, match="'logit' holds NaN"):
        write(model, "toy", tmp_path / "nan")
    assert not list((tmp_path / "nan").iterdir())


def header_file(path: Path, header: bytes, data: bytes = b"") -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


ONE = '"logit": {"dtype": "F32", "shape": [1, 4, 4], "data_offsets": [0, 64]}'


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (f"{{{ONE}, {ONE}}}".encode(), "twice"),
        (b'{"logit": {"dtype": "F32", "dtype": "F32", "shape": [], "data_offsets": [0, 4]}}', "twice"),
        (b"{broken", "damaged safetensors header"),
        (b"\xff\xfe", "damaged safetensors header"),
        (b"[1, 2]", "damaged safetensors header"),
        (b'{"logit": 3}', "damaged safetensors header"),
        (b'{"logit": {"dtype": "X9", "shape": [], "data_offsets": [0, 4]}}', "damaged safetensors header"),
        (b"[" * 100_000, "damaged safetensors header"),
        (b" " * (MAX_HEADER_BYTES + 1), "not a safetensors file"),
        (
            json.dumps(
                {f"t{k}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for k in range(10_001)}
            ).encode(),
            "10001 tensors",
        ),
        (f"{{{ONE}}}".encode().replace(b"[0, 64]", b"[0, 999]"), "cannot be read"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_header_is_not_trusted(header: bytes, why: str, release: Path, load: Callable[..., Model]) -> None:
    header_file(release / "model.safetensors", header, bytes(64))
    pin_again(release)
    assert why in refusal(load, release)


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_header(path)


# What is wrong with config.json.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(surprisal=1), ["surprisal"]),
        (lambda d: d.pop("licence"), ["licence"]),
        (lambda d: d.update(dtype="float8"), ["dtype"]),
        (lambda d: d.update(summary=3), ["summary"]),
        (lambda d: d["config"].update(height="4"), ["config", "height", "`int`"]),
        (lambda d: d["config"].update(height=0), ["config", "height"]),
        (lambda d: d["config"].update(hight=4), ["config", "hight"]),
        (lambda d: d["zoo"].update(api=2), ["API 2", "API 1"]),
        (lambda d: d["zoo"].update(model="not-here", plugin="zoo-elsewhere"), ["not-here", "zoo-elsewhere"]),
        (lambda d: d.update(input=[{"step": "explode"}]), ["input", "explode"]),
        (lambda d: d.update(input=[{"step": "binarize", "mode": "maybe"}]), ["input", "maybe"]),
        (lambda d: d["files"].pop("model.safetensors"), ["model.safetensors"]),
        (lambda d: d["files"].update({"../x": d["files"]["README.md"]}), ["outside the release", "../x"]),
        (lambda d: d["files"]["README.md"].update(sha256="abc"), ["sha256"]),
        (lambda d: d.pop("zoo"), ["zoo"]),
    ],
)
def test_a_wrong_config_is_one_line_that_says_where(
    change: Callable[[dict[str, Any]], object], words: list[str], release: Path, load: Callable[..., Model]
) -> None:
    edit(release, change)
    message = refusal(load, release)
    assert "config.json" in message and all(word in message for word in words)


def test_a_missing_plugin_is_told_with_what_to_install(release: Path, load: Callable[..., Model]) -> None:
    edit(release, lambda data: data["zoo"].update(model="not-here", plugin="zoo-autoregressive"))
    with pytest.raises(WeightsError) as error:
        load(release)
    assert error.value.hint == "Install that plugin: pip install -e plugins/autoregressive in this repository"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff", b'{"model_type": "bert"}'])
def test_what_is_no_config_is_told(content: bytes, release: Path, load: Callable[..., Model]) -> None:
    (release / "config.json").write_bytes(content)
    assert "config.json" in refusal(load, release)


def test_a_folder_that_is_no_release_is_told(tmp_path: Path, load: Callable[..., Model]) -> None:
    assert "has no config.json" in refusal(load, tmp_path)
    assert "does not exist" in refusal(load, tmp_path / "absent")


# Names.


def test_a_published_name_is_pinned(toy_release: Path, registry: Registry, own_cache: Path) -> None:
    for name in ("toy", "TOY", "toy-pixels", "toy.bits", "toy:toy", "toy:toy.bits"):
        report = zoo_core.load(name, registry=registry).load_report
        assert report is not None
        assert (report.name, report.pinned, report.source) == ("toy.bits", True, "package:zoo_toy/weights/toy.bits")


def test_names_that_are_not_there(toy_release: Path, registry: Registry) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'toy'"):
        zoo_core.load("toyy", registry=registry)
    with pytest.raises(UnknownName, match=r"Did you mean 'toy\.bits'"):
        zoo_core.load("toy.bit", registry=registry)
    with pytest.raises(UnknownName, match="'toy-gan' has no published weights"):
        zoo_core.load("toy-gan", registry=registry)


def test_a_name_that_only_the_manifest_knows_says_what_to_install(toy_release: Path, registry: Registry) -> None:
    others = Registry([plugin for plugin in registry.plugins if plugin.name != "toy"])
    manifest = Manifest(path for path, _ in registry.manifests())
    with pytest.raises(WeightsError, match=r"'toy\.bits' needs the plugin zoo-toy>=0\.3") as error:
        zoo_core.load("toy", registry=others, manifest=manifest)
    assert "get zoo-toy from where the weights came from" in str(error.value)


def test_a_package_with_other_weights_names_both_versions(
    toy_release: Path, registry: Registry, make_manifest: Callable[..., str], tmp_path: Path, own_cache: Path
) -> None:
    right = sha256_of(toy_release / "model.safetensors")
    (tmp_path / "other.toml").write_text(make_manifest("toy.bits", toy_release, []).replace(right, "0" * 64))
    with pytest.raises(WeightsError) as error:
        zoo_core.load("toy", registry=registry, manifest=Manifest([tmp_path / "other.toml"]))
    first = error.value.message.partition(", and ")[0]
    assert "zoo-toy 0.3.0" in first and "zoo-core" in first
    assert "sha256" in error.value.message and "install the plugin again" in str(error.value)


def test_the_next_source_is_taken_where_the_first_is_not_there(
    toy_release: Path, registry: Registry, make_manifest: Callable[..., str], tmp_path: Path, own_cache: Path
) -> None:
    text = make_manifest("toy.bits", toy_release, [], source=f'package:not_here/x", "{toy_release}')
    (tmp_path / "other.toml").write_text(text)
    report = zoo_core.load("toy", registry=registry, manifest=Manifest([tmp_path / "other.toml"])).load_report
    assert report is not None and report.source == str(toy_release)
    shutil.copy(tmp_path / "other.toml", tmp_path / "none.toml")
    (tmp_path / "none.toml").write_text(make_manifest("toy.bits", toy_release, [], source="package:not_here/x"))
    with pytest.raises(WeightsError, match=r"'toy\.bits' cannot be found: .*not_here"):
        zoo_core.load("toy", registry=registry, manifest=Manifest([tmp_path / "none.toml"]))


def test_a_release_finds_its_plugin_where_two_offer_the_name(
    release: Path, registry: Registry, hand_made: Callable[..., Plugin], own_cache: Path
) -> None:
    other = ModelSpec(name="toy", target="zoo_toy.models:TiedClassifier", summary="another")
    both = Registry([*registry.plugins, hand_made("other", zoo_models=[other])])
    assert type(zoo_core.load(str(release), registry=both)).__name__ == "IndependentPixels"
    assert type(zoo_core.load("toy:toy", registry=both)).__name__ == "IndependentPixels"
    with pytest.raises(UsageError, match="other:toy"):
        zoo_core.load("toy", registry=both)


# Golden outputs.


def test_the_golden_output_proves_weights_and_preprocessing(release: Path, load: Callable[..., Model]) -> None:
    golden = read_release(release).golden
    assert golden is not None and golden.method == "log_prob"
    model = load(release)
    assert check_golden(model, release, golden) <= golden.atol
    with torch.no_grad():
        model.logit[0, 0, 0] += 0.5
    with pytest.raises(WeightsError, match="fails its golden test"):
        check_golden(model, release, golden)
    edit(release, lambda data: data.update(input=[{"step": "binarize", "mode": "threshold", "at": 2.0}]))
    with pytest.raises(WeightsError, match="fails its golden test"):
        check_golden(load(release), release, golden)


@pytest.mark.parametrize("what", ["no output", "no input", "a pickle", "no such method"])
def test_a_golden_file_that_cannot_be_used_is_told(what: str, release: Path, load: Callable[..., Model]) -> None:
    path = release / "golden.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    if what == "a pickle":
        torch.save(tensors, path)
    elif what == "no such method":
        save_file(tensors | {"output.no_such_method": tensors["output.log_prob"].clone()}, path)
        edit(release, lambda data: data["golden"].update(method="no_such_method"))
    else:
        save_file({k: t for k, t in tensors.items() if not k.startswith(what.removeprefix("no "))}, path)
    pin_again(release, "golden.safetensors")
    golden = read_release(release).golden
    assert golden is not None
    with pytest.raises(WeightsError, match="golden") as error:
        check_golden(load(release), release, golden)
    assert "\n" not in error.value.message


def test_golden_inputs_are_raw_and_preprocessed_once(
    registry: Registry, write: Write, tmp_path: Path, own_cache: Path
) -> None:
    steps = [{"step": "binarize", "mode": "sample", "seed": 3}]
    model = zoo_core.create("toy", registry=registry, input=steps)
    folder = write(model, "toy", tmp_path / "sampled")
    release = read_release(folder)
    assert release.input == [{"step": "binarize", "mode": "sample", "seed": 3, "at": 0.5}]
    loaded = zoo_core.load(str(folder), registry=registry)
    assert release.golden is not None
    assert check_golden(loaded, folder, release.golden) == 0.0


def test_a_tensor_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save_tensors({"x": torch.zeros(3)}, tmp_path / "a.safetensors")
    before = (tmp_path / "a.safetensors").read_bytes()
    monkeypatch.setattr("zoo_core.hub.atomic.os.fsync", full)
    with pytest.raises(ZooError, match="the disk is full"):
        save_tensors({"x": torch.ones(3)}, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


# create().


def test_config_values_overrule_each_other_in_order(registry: Registry) -> None:
    from zoo_core.interfaces.fields import Field

    features = {"image": Field(kind="image", shape=(2, 3, 5), levels=5)}
    assert zoo_core.create("toy", registry=registry).config.height == 4
    assert zoo_core.create("toy-wide", registry=registry).config.width == 6
    assert zoo_core.create("toy-wide", registry=registry, features=features).config.width == 5
    model = zoo_core.create("toy-wide", registry=registry, features=features, config={"width": 7})
    assert (model.config.channels, model.config.height, model.config.width) == (2, 3, 7)


@pytest.mark.parametrize(("name", "value"), [("widht", 3), ("width", 0), ("width", "a"), ("width", None)])
def test_a_wrong_config_value_is_named(name: str, value: object, registry: Registry) -> None:
    with pytest.raises(UsageError, match=name):
        zoo_core.create("toy", registry=registry, config={name: value})
