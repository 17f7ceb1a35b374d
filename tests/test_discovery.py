"""Plugins: found, isolated from each other, and asked by name."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from zoo_core.discovery.loader import Plugin, load_plugins
from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.discovery.specs import CommandSpec, DatasetSpec, MetricSpec, ModelSpec
from zoo_core.errors import UnknownName, UsageError, ZooError
from zoo_core.interfaces.capabilities import PROTOCOLS
from zoo_core.interfaces.capability_table import CAPABILITIES

Write = Callable[..., EntryPoint]
Make = Callable[..., Plugin]

GOOD = """
from zoo_core import ModelSpec, hookimpl
zoo_api = 1
@hookimpl
def zoo_models():
    return [ModelSpec(name="good", target="collections:OrderedDict", summary="works")]
"""


def model(name: str, target: str = "collections:OrderedDict", **more: object) -> ModelSpec:
    return ModelSpec(name=name, target=target, summary="a model", **more)  # type: ignore[arg-type]


BROKEN = {
    "import": (
        "import a_package_that_is_not_there",
        "ModuleNotFoundError",
        "install the module 'a_package_that_is_not_there'",
    ),
    "syntax": ("def", "SyntaxError", "zoo-bad"),
    "exit": ("raise SystemExit(3)", "SystemExit", "zoo-bad"),
    "hook": (
        GOOD.replace("return [", "raise RuntimeError('out of\\nluck') or ["),
        "RuntimeError: out of",
        "zoo-bad",
    ),
    "type": (GOOD.replace("return [", "return 'a', ["), "list of ModelSpec", "zoo-bad"),
    "nothing": (GOOD.replace("return [", "[").replace('works")]', 'works")] and None'), "TypeError", "zoo-bad"),
    "spec": (GOOD.replace('name="good"', 'name="No Good"'), "ModelSpec.name", "zoo-bad"),
    "field": (GOOD.replace("summary=", "sumary="), "sumary", "zoo-bad"),
    "hook name": (GOOD.replace("zoo_models", "zoo_modles"), "zoo_modles", "zoo-bad"),
    "no api": (GOOD.replace("zoo_api = 1", ""), "API", "zoo-bad"),
    "newer api": (GOOD.replace("zoo_api = 1", "zoo_api = 2"), "API 2, and this zoo has API 1", "--upgrade zoo-core"),
    "older api": (GOOD.replace("zoo_api = 1", "zoo_api = 0"), "API 0, and this zoo has API 1", "--upgrade zoo-bad"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_and_the_others_work(kind: str, plugin_of: Write) -> None:
    code, why, fix = BROKEN[kind]
    registry = Registry(load_plugins([plugin_of("good", GOOD), plugin_of("bad", code, version="2.1")]))
    (broken,) = registry.broken
    assert broken.label == "zoo-bad 2.1"
    assert broken.error is not None and why in broken.error and "\n" not in broken.error
    assert broken.fix is not None and fix in broken.fix
    assert [registration.spec.name for registration in registry.models()] == ["good"]
    assert not any(broken.declared.values())


def test_one_bad_hook_leaves_nothing_of_its_plugin(plugin_of: Write) -> None:
    code = GOOD + "\n@hookimpl\ndef zoo_datasets():\n    return [3]\n"
    (plugin,) = load_plugins([plugin_of("bad", code)])
    assert plugin.error is not None and "DatasetSpec" in plugin.error
    assert not any(plugin.declared.values())


def test_ctrl_c_while_loading_is_not_swallowed(plugin_of: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_plugins([plugin_of("bad", "raise KeyboardInterrupt")])


@pytest.mark.parametrize(
    ("disabled", "left"), [("", "abc"), ("a", "bc"), ("a, b", "c"), ("zoo-c", "ab"), ("*", ""), ("nothing", "abc")]
)
def test_a_disabled_plugin_is_never_imported(
    disabled: str, left: str, plugin_of: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [plugin_of(name, GOOD.replace("good", name)) for name in "abc"]
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", disabled)
    assert "".join(plugin.name for plugin in load_plugins(entries)) == left
    assert "".join(entry.name for entry in entries if entry.module in sys.modules) == left


def test_two_distributions_with_one_plugin_name_are_both_named(plugin_of: Write) -> None:
    first = plugin_of("good", GOOD, distribution="zoo-one")
    second = plugin_of("good", GOOD.replace('"good"', '"other"'), distribution="zoo-two")
    plugins = load_plugins([first, second])
    (broken,) = [plugin for plugin in plugins if plugin.error]
    told = f"{broken.label} {broken.error}"
    assert "zoo-one 1.0" in told and "zoo-two 1.0" in told and "'good'" in told
    assert [registration.spec.name for registration in Registry(plugins).models()] == ["good"]


def test_one_distribution_that_is_seen_twice_is_one_plugin(plugin_of: Write) -> None:
    entry = plugin_of("good", GOOD)
    (plugin,) = load_plugins([entry, entry])
    assert plugin.error is None and plugin.hooks == ("zoo_models",)


def test_the_name_of_two_plugins_is_never_picked_silently(hand_made: Make) -> None:
    one = hand_made("one", zoo_models=[model("net", "collections:OrderedDict")])
    two = hand_made("two", zoo_models=[model("net", "collections:Counter")])
    registry = Registry([one, two])
    with pytest.raises(UsageError) as error:
        registry.model("net")
    assert all(word in str(error.value) for word in ("zoo-one 1.0", "zoo-two 1.0", "one:net", "two:net"))
    assert registry.model("two:net").spec.target == "collections:Counter"
    assert registry.model("one:net").spec.target == "collections:OrderedDict"


def test_an_alias_clashes_as_a_name_does(hand_made: Make) -> None:
    one = hand_made("one", zoo_models=[model("net", aliases=("n",))])
    two = hand_made("two", zoo_models=[model("n")])
    with pytest.raises(UsageError, match="zoo-one"):
        Registry([one, two]).model("n")
    assert Registry([one, two]).model("one:n").spec.name == "net"


def test_a_family_may_have_an_underscore(hand_made: Make) -> None:
    registry = Registry([hand_made("my_family", zoo_models=[model("net")])])
    assert registry.model("my_family:net").spec.name == registry.model("My-Family:net").spec.name == "net"


@pytest.mark.parametrize("name", ["pixel-net", "Pixel_Net", " PIXEL-NET ", "p-n", "P_N"])
def test_names_ignore_case_and_take_underscores(name: str, hand_made: Make) -> None:
    registry = Registry([hand_made("one", zoo_models=[model("pixel-net", aliases=("p-n",))])])
    assert registry.model(name).spec.name == "pixel-net"


@pytest.mark.parametrize("name", ["bits_per_dim", "bits-per-dim", "Bits_Per_Dim"])
def test_metrics_are_found_by_either_spelling(name: str, hand_made: Make) -> None:
    spec = MetricSpec(
        name="bits_per_dim", target="a:B", summary="s", requires="Density", unit="bits", higher_is_better=False
    )
    assert Registry([hand_made("m", zoo_metrics=[spec])]).metric(name).spec is spec


@pytest.mark.parametrize(
    ("typo", "near"),
    [("pixelrn", "pixelrnn"), ("pixlernn", "pixelrnn"), ("row-lst", "row-lstm"), ("one:pixelrn", "pixelrnn")],
)
def test_an_unknown_name_gets_the_nearest_ones(typo: str, near: str, hand_made: Make) -> None:
    specs = [model("pixelrnn"), model("pixelrnn-row", aliases=("row-lstm",)), model("vae")]
    with pytest.raises(UnknownName) as error:
        Registry([hand_made("one", zoo_models=specs)]).model(typo)
    assert f"no model named '{typo}'" in error.value.message and f"'{near}'" in error.value.message
    assert "'vae'" not in error.value.message
    assert error.value.hint is not None and "zoo list" in error.value.hint
    assert error.value.exit_code == 2


def test_an_unknown_data_set_is_told_what_there_is(hand_made: Make) -> None:
    spec = DatasetSpec(name="digits", target="a:B", summary="s", source="x", licence="CC0-1.0", splits=("train",))
    with pytest.raises(UnknownName, match="There are: digits"):
        Registry([hand_made("one", zoo_datasets=[spec])]).dataset("xyz")
    with pytest.raises(UnknownName, match="none"):
        Registry([]).dataset("xyz")


@pytest.mark.parametrize("target", ["a_module_that_is_not_there:Net", "collections:Nett"])
def test_a_target_that_cannot_be_imported_names_plugin_and_target(target: str, hand_made: Make) -> None:
    registry = Registry([hand_made("one", zoo_models=[model("net", target)])])
    with pytest.raises(ZooError) as error:
        registry.model_class(registry.model("net"))
    assert all(word in error.value.message for word in ("zoo-one 1.0", "'net'", target))


@pytest.mark.parametrize(
    "declare",
    [
        lambda: model("Net"),
        lambda: model("net", "no colon"),
        lambda: model("net", capabilities=("not a name",)),
        lambda: ModelSpec(name="net", target="a:B", summary="two\nlines"),
        lambda: CommandSpec(name="net", target="a:B", help=""),
        lambda: CommandSpec(name="net", target="a:B", help="x", extra=1),  # type: ignore[call-arg]
    ],
)
def test_nonsense_cannot_be_declared(declare: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        declare()


def test_the_names_of_capabilities_are_those_of_the_protocols() -> None:
    assert tuple(spec.name for spec in CAPABILITIES) == tuple(PROTOCOLS)


def test_a_broken_plugin_is_reported_once_on_stderr(
    plugin_of: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "autoregressive,data,metrics,toy")
    plugin_of("bad", "import a_package_that_is_not_there", version="2.1")
    default_registry.cache_clear()
    try:
        assert default_registry() is default_registry()
        out, err = capsys.readouterr()
    finally:
        default_registry.cache_clear()
    assert out == ""
    assert err.count("Warning") == 1
    for word in ("zoo-bad 2.1", "ModuleNotFoundError", "Fix: install", "ZOO_DISABLE_PLUGINS=bad"):
        assert word in err


def test_a_broken_plugin_disturbs_no_command(plugin_of: Write, tmp_path: Path) -> None:
    plugin_of("bad", "1 / 0", version="2.1")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "dist-zoo-bad")}
    command = [sys.executable, "-m", "zoo_core.cli.main", "plugins"]
    found = subprocess.run(command, capture_output=True, text=True, env=env)
    assert found.returncode == 0
    lines = {line.split("\t")[0]: line for line in found.stdout.splitlines()}
    assert "ZeroDivisionError" in lines["bad"] and "nll" in lines["metrics"]
    assert found.stderr.count("Warning") == 1 and "Traceback" not in found.stderr


def test_the_installed_plugins_are_sound(registry: Registry) -> None:
    assert [plugin.error for plugin in registry.plugins] == [None] * len(registry.plugins)
    for registration in registry.models():
        capabilities = [PROTOCOLS[name] for name in registration.spec.capabilities]
        for capability in capabilities:  # what is declared is there
            methods = [name for name in vars(capability) if not name.startswith("_")]
            assert all(hasattr(registry.model_class(registration), name) for name in methods)
