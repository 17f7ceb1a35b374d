"""Manifests: what is published, pinned. A wrong entry is one line that names the file and the entry."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

import weights_manifest
import zoo_core
from zoo_core.discovery.loader import load_plugins
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, WeightsError, ZooError
from zoo_core.hub.integrity import check_file
from zoo_core.publishing.manifest_entry import manifest_entry, put_entry
from zoo_core.releases.release import read_release
from zoo_core.weights.manifest import Manifest, default_manifest, read_manifest
from zoo_core.weights.reference import PackageReference, parse_reference

ENTRY = """
["{name}"]
summary = "a toy"
plugin = "zoo-toy>=0.3"
licence = {{code = "Apache-2.0", weights = "CC0-1.0", data = "CC0-1.0"}}
sources = ["package:zoo_toy/weights/{name}"]
default = {default}

["{name}".files]
"model.safetensors" = {{sha256 = "{sha}", bytes = 10}}
"config.json" = {{sha256 = "{sha}", bytes = 10}}

[["{name}".metrics]]
metric = "nll"
value = 80.9
unit = "nats/example"
stderr = 0.6
tolerance = 0.01
reproduce = {{seeds = 3, mean = 81.0, std = 0.1}}
protocol = {{dataset = "toy-bits", split = "test", n = 100, data_sha256 = "{sha}", estimator = "exact"}}
"""
SHA = "0123456789abcdef" * 4


def entry(name: str = "toy.bits", default: bool = False) -> str:
    return ENTRY.format(name=name, sha=SHA, default=str(default).lower())


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(text: str, name: str = "toy.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_good_manifest_is_read(written: Callable[..., Path]) -> None:
    (pinned,) = read_manifest(written(entry()))
    assert (pinned.name, pinned.model, pinned.tag) == ("toy.bits", "toy", "bits")
    assert pinned.entry.files["model.safetensors"].sha256 == SHA
    (metric,) = pinned.entry.metrics
    assert metric.reproduce is not None and metric.reproduce.mean == 81.0
    assert metric.text() == "nll 80.9 ± 0.6 nats/example (toy-bits test)"


WRONG = {
    "a short hash": (lambda t: t.replace(f'"{SHA}", bytes = 10', '"abc123", bytes = 10', 1), "sha256"),
    "an upper-case hash": (lambda t: t.replace(SHA, SHA.upper(), 1), "sha256"),
    "a negative size": (lambda t: t.replace("bytes = 10", "bytes = -1", 1), "bytes"),
    "an unknown field": (lambda t: t.replace("summary", "sumary"), "sumary"),
    "an unknown field inside": (lambda t: t.replace("split =", "spilt ="), "spilt"),
    "a wrong type": (lambda t: t.replace('summary = "a toy"', "summary = 3"), "summary"),
    "a number as text": (lambda t: t.replace("value = 80.9", 'value = "80.9"'), "value"),
    "no licence": (lambda t: re.sub("licence.*", "", t), "licence"),
    "an empty licence": (lambda t: t.replace('weights = "CC0-1.0"', 'weights = ""'), "weights"),
    "no sources": (lambda t: re.sub("sources.*", "sources = []", t), "sources"),
    "model.safetensors not pinned": (
        lambda t: t.replace('"model.safetensors"', '"m.safetensors"'),
        "model.safetensors",
    ),
    "config.json not pinned": (lambda t: t.replace('"config.json"', '"c.json"'), "config.json"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_entry_is_one_line_that_names_file_and_entry(kind: str, written: Callable[..., Path]) -> None:
    change, word = WRONG[kind]
    text = change(entry())
    assert text != entry()
    path = written(text)
    with pytest.raises(ZooError) as error:
        read_manifest(path)
    assert str(path) in error.value.message and "toy.bits" in error.value.message and word in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize("name", ["toy", "Toy.bits", "my_toy.bits"])
def test_an_entry_is_a_lower_case_model_and_tag(name: str, written: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match=f"'{name}' is not a lower-case model.tag"):
        read_manifest(written(entry(name)))


@pytest.mark.parametrize("text", ["[broken", '"toy.bits" = \n', "\x00", entry() + entry()])
def test_bad_toml_names_the_file(text: str, written: Callable[..., Path]) -> None:
    path = written(text)
    with pytest.raises(WeightsError, match=r"manifest '.*toy\.toml' cannot be read") as error:
        read_manifest(path)
    assert "\n" not in error.value.message


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for name in ("a.toml", "b.toml"):
        with pytest.raises(WeightsError, match=name):
            read_manifest(tmp_path / name)


def test_an_entry_that_is_no_table_is_named(written: Callable[..., Path]) -> None:
    with pytest.raises(ZooError, match=r"toy\.bits: expected `object`"):
        read_manifest(written('"toy.bits" = 3'))


def test_steps_with_absent_arguments_are_pinned_and_checked(tmp_path: Path, registry: Registry) -> None:
    """TOML has no null, which rotate:range=20 has for its degrees."""
    run = tmp_path / "run"
    steps = [{"step": "rotate", "range": 20.0, "seed": 3}]
    zoo_core.train(
        "toy-classifier",
        data="toy-grey",
        config={"inputs": 16},
        input=steps,
        steps=3,
        output=run,
        registry=registry,
    )
    path = tmp_path / "family.toml"
    path.write_text("")
    put_entry(path, manifest_entry(run, "toy-classifier.grey", ["package:nowhere/weights"]))
    (pinned,) = read_manifest(path)
    assert pinned.entry.metrics and all(metric.protocol.input == steps for metric in pinned.entry.metrics)
    found = zoo_core.evaluate(str(run), registry=registry)
    assert [metric.protocol for metric in found.metrics] == [metric.protocol for metric in pinned.entry.metrics]


def test_one_name_in_two_manifests_names_both(written: Callable[..., Path]) -> None:
    paths = [written(entry(), "a.toml"), written(entry(), "b.toml")]
    with pytest.raises(WeightsError) as error:
        Manifest(paths)
    assert all(word in error.value.message for word in ("toy.bits", "a.toml", "b.toml"))


def test_two_defaults_name_both(written: Callable[..., Path]) -> None:
    paths = [written(entry("toy.a", True), "a.toml"), written(entry("toy.b", True), "b.toml")]
    with pytest.raises(WeightsError) as error:
        Manifest(paths)
    assert all(word in error.value.message for word in ("toy.a", "a.toml", "toy.b", "b.toml", "default"))


def test_the_default_is_found_without_a_tag(written: Callable[..., Path]) -> None:
    manifest = Manifest([written(entry("toy.a") + entry("toy.b", True) + entry("lonely.c"))])
    assert manifest.find("toy", None).tag == "b"
    assert manifest.find("toy", "a").tag == "a"
    assert manifest.find("lonely", None).tag == "c"  # the only tag is the default
    assert manifest.default("lonely") is manifest.find("lonely", None) and manifest.default("absent") is None
    assert [pinned.tag for pinned in manifest.of_model("toy")] == ["b", "a"]


def test_what_is_not_there_is_told_with_what_is(written: Callable[..., Path]) -> None:
    manifest = Manifest([written(entry("toy.first") + entry("toy.second"))])
    with pytest.raises(UnknownName, match=r"toy\.first, toy\.second"):
        manifest.find("toy", None)
    with pytest.raises(UnknownName, match=r"Did you mean 'toy\.second'"):
        manifest.find("toy", "secnd")
    with pytest.raises(UnknownName, match="zoo train other"):
        manifest.find("other", None)


# What this repository publishes.


def own() -> list[Path]:
    return sorted(Path(weights_manifest.__file__).parent.glob("*.toml"))


def test_the_manifests_of_this_repository_are_sound() -> None:
    registry = Registry(load_plugins())
    manifest = Manifest(own())
    assert manifest.pinned.keys() <= default_manifest(registry).pinned.keys()
    for model in {pinned.model for pinned in manifest.pinned.values()}:
        releases = manifest.of_model(model)  # a name's only tag is its default
        assert [pinned.entry.default for pinned in releases].count(True) == 1 or len(releases) == 1, model
        assert registry.model(model).spec.name == model
    for pinned in manifest.pinned.values():
        assert pinned.entry.metrics, f"{pinned.name} has no number"
        assert pinned.entry.recipe, f"{pinned.name} has no recipe"
        assert any(plugin.distribution == re.split("[<>=]", pinned.entry.plugin)[0] for plugin in registry.plugins)


def test_every_packaged_release_is_the_one_that_is_pinned() -> None:
    for path in own():
        for pinned in read_manifest(path):
            for source in pinned.entry.sources:
                reference = parse_reference(source)
                if isinstance(reference, PackageReference):
                    spec = find_spec(reference.package)
                    assert spec is not None and spec.submodule_search_locations
                    folder = Path(spec.submodule_search_locations[0]) / reference.path
                    for name, expected in pinned.entry.files.items():
                        assert check_file(folder / name, expected, trust_verdict=False)
                    release = read_release(folder)
                    assert release.zoo.model == pinned.model
                    assert pinned.entry.files.keys() == release.files.keys() | {"config.json"}
                    # What other seeds give is measured later, and stands in the manifest alone.
                    first = [msgspec.structs.replace(entry, reproduce=None) for entry in pinned.entry.metrics]
                    assert release.metrics == first
                    assert release.licence == pinned.entry.licence
