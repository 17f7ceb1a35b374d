"""Conditions: what a sampler can be told is declared once, and checked, listed and recorded from that."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.conditions import Condition, check_conditions, parse_conditions
from zoo_core.publishing.manifest_entry import manifest_entry
from zoo_core.publishing.renew import pin_again, renew
from zoo_core.releases.release import read_release
from zoo_core.weights.manifest import Manifest

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)

DIGIT = Condition(kind="class", values=("one", "two", "three"), help="which digit")


# The declaration.


def test_a_class_is_given_by_name_or_by_number_and_passed_on_as_its_number() -> None:
    assert [DIGIT.check("digit", given) for given in ("two", "1", 1)] == [1, 1, 1]
    named_by_numbers = Condition(kind="class", values=("7", "0"), help="which digit")
    assert [named_by_numbers.check("digit", given) for given in ("7", "0", 7, "1")] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("kind", "bounds", "good", "bad"),
    [
        ("integer", {"low": 0, "high": 9}, {"3": 3, 0: 0, 9.0: None}, ("10", "-1", "2.5", "many", "", True)),
        ("integer", {"low": 1}, {"1000": 1000}, ("0",)),
        ("number", {"low": 0, "high": 1}, {"0.5": 0.5, 1: 1.0, "1e-3": 0.001}, ("1.01", "-0.1", "nan", "half", None)),
        ("number", {}, {"-7": -7.0}, ("inf", "nan")),
        ("text", {}, {"": "", "a b=c": "a b=c"}, ()),
        ("choice", {"values": ("day", "night")}, {"night": "night"}, ("noon", "0")),
    ],
)
def test_a_value_is_of_the_declared_kind_and_within_its_bounds(
    kind: Any, bounds: dict[str, Any], good: dict[Any, Any], bad: tuple[Any, ...]
) -> None:
    condition = Condition(kind=kind, help="h", **bounds)
    for given, meant in good.items():
        if meant is not None:
            assert condition.check("c", given) == meant
    for given in bad:
        with pytest.raises(UsageError, match=f"^c cannot be '{given}'"):
            condition.check("c", given)


def test_what_is_not_given_has_its_default_as_the_model_takes_it() -> None:
    declared = {"digit": Condition(kind="class", values=("one", "two"), default="two", help="h"), "free": DIGIT}
    assert check_conditions(declared, {}, "it") == {"digit": 1, "free": None}
    assert check_conditions(declared, {"digit": None, "free": "one"}, "it") == {"digit": 1, "free": 0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "class"}, "no values"),
        ({"kind": "text", "values": ("a",)}, "values"),
        ({"kind": "class", "values": ("a", "b"), "default": "c"}, "default cannot be 'c'"),
        ({"kind": "number", "high": 1, "default": 2}, "default cannot be '2'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=words):
        Condition(help="h", **values)


def test_the_nearest_names_and_values_are_told() -> None:
    with pytest.raises(UsageError, match=r"no condition 'digti'. Did you mean 'digit'"):
        check_conditions({"digit": DIGIT}, {"digti": 1}, "it")
    with pytest.raises(UsageError, match=r"digit cannot be 'thre'. Did you mean three(?s:.*)one, two, three"):
        check_conditions({"digit": DIGIT}, {"digit": "thre"}, "it")


def test_texts_may_hold_an_equals_sign_and_names_a_dash() -> None:
    assert parse_conditions(("a-b=x=y", "c=")) == {"a_b": "x=y", "c": ""}
    for wrong in (("word",), ("=x",), ("c=1", "c=2")):
        with pytest.raises(UsageError):
            parse_conditions(wrong)


# From Python.


def test_a_model_checks_what_its_sampler_is_told(kind: Callable[[str], Path]) -> None:
    model: Any = zoo_core.load(str(kind("told")))
    images = model.sample(2, row="second", brightness=0.25, word="ab")
    expected = torch.zeros(2, 1, 4, 4)
    expected[:, :, 1], expected[:, :, 3, :2] = 0.25, 1
    assert torch.equal(images, expected)
    with pytest.raises(UsageError, match="brightness cannot be '2'"):
        model.sample(2, brightness=2)


# In the release.


def test_a_release_records_the_declaration_and_one_without_any_says_nothing(
    kind: Callable[[str], Path], toy_release: Path
) -> None:
    model: Any = zoo_core.load(str(kind("told")))
    assert read_release(kind("told")).conditions == model.conditions()
    assert "conditions" not in json.loads((toy_release / "config.json").read_text())
    assert "brightness: of that row; a number from 0 to 1; by default 0.5" in (kind("told") / "README.md").read_text()
    assert "can be told" not in (toy_release / "README.md").read_text()


# The commands.


def test_a_command_tells_the_model(zoo: Zoo, kind: Callable[[str], Path], tmp_path: Path) -> None:
    code, out, err = zoo(
        "sample", kind("told"), "-n", 1, "--each", tmp_path / "each", "--with", "row=third", "--with", "word=a=b"
    )
    assert (code, out) == (0, "") and "row third, word a=b" in err
    with Image.open(tmp_path / "each" / "0.png") as picture:
        rows = np.asarray(picture).tolist()
    assert rows == [[0] * 4, [0] * 4, [128] * 4, [255, 255, 255, 0]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["row=forth"], ("row cannot be 'forth'", "first, second, third")),
        (["brightness=bright"], ("brightness cannot be 'bright'", "a number from 0 to 1")),
        (["colour=red"], ("has no condition 'colour'", "row, brightness, word")),
        (["wrod=x"], ("Did you mean 'word'",)),
        (["word"], ("is not NAME=VALUE",)),
        (["word=a", "word=b"], ("given twice",)),
    ],
)
def test_a_wrong_condition_is_one_clear_line_before_anything_is_drawn(
    given: list[str], words: tuple[str, ...], zoo: Zoo, kind: Callable[[str], Path], tmp_path: Path
) -> None:
    told = [argument for text in given for argument in ("--with", text)]
    code, out, err = zoo("sample", kind("told"), "-o", tmp_path / "x.png", *told)
    assert (code, out) == (2, "") and all(word in err for word in words), err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_can_be_told_nothing_says_so(zoo: Zoo, tmp_path: Path) -> None:
    code, _, err = zoo("sample", "toy", "-o", tmp_path / "x.png", "--with", "digit=3")
    assert code == 2 and "'toy' has no condition 'digit'" in err and "It can be told: nothing." in err


def test_load_and_info_list_what_can_be_told(zoo: Zoo, kind: Callable[[str], Path]) -> None:
    lines = {
        "row: which row is bright; one of first, second, third; by default the model chooses",
        "brightness: of that row; a number from 0 to 1; by default 0.5",
    }
    for command in ("load", "info"):
        code, out, _ = zoo(command, kind("told"))
        found = {line.removeprefix("  ").removeprefix("with").strip() for line in out.splitlines()}
        assert code == 0 and lines < found
        declared = json.loads(zoo(command, kind("told"), "--json").out)["conditions"]
        assert list(declared) == ["row", "brightness", "word"]
        assert declared["row"]["kind"] == "class" and declared["row"]["values"] == ["first", "second", "third"]
        assert (declared["brightness"]["low"], declared["brightness"]["high"]) == (0, 1)
        assert declared["brightness"]["default"] == 0.5 and declared["word"]["help"].startswith("a pixel")
    assert json.loads(zoo("load", "toy", "--json").out)["conditions"] == {}


def test_info_tells_them_without_torch(kind: Callable[[str], Path], zoo_process: Callable[..., Any]) -> None:
    code = "import sys; from zoo_core import info; assert 'row' in info(sys.argv[1])['conditions']; "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(kind("told"))], check=True)


def test_the_ring_of_an_adversarial_autoencoder_is_told_its_mode(zoo: Zoo, tmp_path: Path) -> None:
    code, _, err = zoo("sample", "aae.mnist-ring", "-n", 4, "--with", "mode=3", "-o", tmp_path / "threes.png")
    assert code == 0 and "seed 0, mode 3" in err
    code, _, err = zoo("sample", "aae.mnist-ring", "--with", "mode=10", "-o", tmp_path / "tens.png")
    assert code == 2 and "an integer from 0 to 9" in err and not (tmp_path / "tens.png").exists()


def test_info_tells_those_of_the_releases_of_this_repository() -> None:
    for name in ("aae.mnist", "aae.mnist-ring", "aae.mnist-swiss-roll"):
        model: Any = zoo_core.load(name)
        assert list(zoo_core.info(name)["conditions"]) == list(model.conditions())


# Releases that an older version wrote.


def test_an_older_release_is_renewed_and_pinned_again_with_its_weights_and_numbers_as_they_were(
    kind: Callable[[str], Path], registry: Registry, own_cache: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(kind("told"), tmp_path / "kind-told.old")
    config = json.loads((folder / "config.json").read_text())
    declared = config.pop("conditions")
    (folder / "config.json").write_text(json.dumps(config))
    pins = tmp_path / "pins.toml"
    pins.write_text("# by hand\n" + manifest_entry(folder, "kind-told.old", [f"folder:{folder}"], default=True))
    renew(folder, registry)
    pin_again(pins, folder)
    renewed = json.loads((folder / "config.json").read_text())
    assert renewed["conditions"] == declared and (folder / "README.md").read_text().count("brightness: of that row")
    assert {file: entry for file, entry in renewed["files"].items() if file != "README.md"} == {
        file: entry for file, entry in config["files"].items() if file != "README.md"
    }
    assert pins.read_text().startswith("# by hand\n") and "default = true" in pins.read_text()
    model: Any = zoo_core.load(
        "kind-told.old", registry=registry, manifest=Manifest([pins])
    )  # verified by the new pins
    assert list(model.conditions()) == list(declared)
