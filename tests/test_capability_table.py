"""The table of capabilities: what commands, lists and `zoo load` know of each stands there once."""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.catalogue.listing import listings
from zoo_core.cli.main import COMMANDS
from zoo_core.cli.use.load import EXAMPLES, proposed
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.interfaces.capability_table import CAPABILITIES, CapabilitySpec

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)


@pytest.mark.parametrize("spec", CAPABILITIES, ids=lambda spec: spec.name)
def test_a_capability_has_a_protocol_with_its_method_and_commands_that_exist(spec: CapabilitySpec) -> None:
    module, _, name = spec.protocol.partition(":")
    protocol = getattr(import_module(module), name)
    assert name == spec.name and callable(getattr(protocol, spec.method)) and getattr(protocol, spec.method).__doc__
    words = {"ref", *(word for words in EXAMPLES.values() for word in words)}
    for command in spec.commands:
        zoo, name, *_ = command.split()
        assert zoo == "zoo" and name in COMMANDS
        assert set(re.findall(r"{(\w*)}", command)) <= words and "{ref}" in command


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("rows", ["zoo sample R -n 64 -o out.csv", "zoo score R rows.csv"]),
        ("sorter", ["zoo predict R rows.csv"]),
        ("mood", ["zoo predict R TEXT"]),
        ("letters", ["zoo generate R TEXT"]),
        ("shout", ["zoo translate R TEXT"]),
        ("threshold", ["zoo predict R IMAGES…"]),
        ("painter", ["zoo translate R IMAGES… -o out.png"]),
        ("told", ["zoo sample R -n 64 -o out.png"]),
    ],
)
def test_what_is_proposed_fits_what_the_model_is_for(
    name: str, commands: list[str], registry: Registry, kind: Callable[[str], Path], zoo: Zoo
) -> None:
    model = zoo_core.create(f"kind-{name}", registry=registry)
    assert proposed(model, "R", registry.capabilities()) == commands
    said = zoo("load", kind(name)).out
    assert all(command.replace("R ", f"{kind(name)} ", 1) in said for command in commands)


@pytest.fixture
def singing(hand_made: Callable[..., Plugin], registry: Registry) -> Registry:
    """A registry with a plugin that brings a capability."""
    sings = CapabilitySpec(
        name="Singer", protocol="zoo_song:Singer", method="sing", summary="songs", commands=("zoo sing {ref} {file}",)
    )
    song = zoo_core.ModelSpec(name="song", target="zoo_toy.kinds:Told", summary="It sings", capabilities=("Singer",))
    return Registry([*registry.plugins, hand_made("song", zoo_models=[song], zoo_capabilities=[sings])])


def test_a_capability_of_a_plugin_is_listed_and_its_commands_are_proposed(singing: Registry) -> None:
    assert [row.reference for row in listings(capability="singer", registry=singing)] == ["song"]
    model = zoo_core.create("song", registry=singing)
    assert proposed(model, "R", singing.capabilities()) == ["zoo sing R IMAGES…"]
    with pytest.raises(zoo_core.UnknownName, match=r"no capability named 'Singr'.*'Singer'"):
        listings(capability="Singr", registry=singing)


def test_zoo_plugins_shows_it(zoo: Zoo, singing: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.discovery.registry.default_registry", lambda: singing)
    (found,) = [plugin for plugin in json.loads(zoo("plugins", "--json").out) if plugin["name"] == "song"]
    assert found["offers"] == {"models": ["song"], "capabilities": ["Singer"]}
    assert "capabilities: Singer" in zoo("plugins").out
