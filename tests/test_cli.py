"""`zoo` as a user meets it: answers on stdout, talk on stderr, one clear line and the right exit code for a mistake."""

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import click
import numpy as np
import pytest
import torch
from msgspec import Meta
from PIL import Image

import zoo_core
from zoo_core.cli.assignments import read_assignments, show_fields
from zoo_core.cli.main import COMMANDS
from zoo_core.cli.main import zoo as zoo_group
from zoo_core.discovery.registry import default_registry
from zoo_core.errors import UnknownName, UsageError
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.record import Record

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)


class Bad(NamedTuple):
    """A mistake, the exit code it gives, and words that the message has."""

    command: str
    code: int
    words: tuple[str, ...]


MISTAKES = [
    # names
    Bad("load toyy", 2, ("no model named 'toyy'", "Did you mean 'toy'", "zoo list")),
    Bad("load pixelrn", 2, ("no model named 'pixelrn'", "'pixelrnn'")),
    Bad("load toy.bit", 2, ("no weights named 'toy.bit'", "'toy.bits'")),
    Bad("load toy-gan", 2, ("'toy-gan' has no published weights", "zoo train toy-gan --data DATA")),
    Bad("load elsewhere:toy", 2, ("'elsewhere:toy'",)),
    Bad("load toy b", 2, ("unexpected extra argument",)),
    Bad("load ./nothing-here", 1, ("'nothing-here' is not a release", "does not exist")),
    Bad("load runs/nothing-here", 1, ("no folder 'runs/nothing-here'", "network")),
    Bad("load hf:org/repo", 1, ("hf:org/repo", "network")),
    Bad("load toy.", 2, ("'toy.'",)),
    Bad("load toy --dtype int3", 2, ("no dtype 'int3'", "bfloat16")),
    Bad("load toy --device toaster", 2, ("device 'toaster'",)),
    Bad("load toy --head 3", 2, ("no head",)),
    Bad("load toy --heed 3", 2, ("--heed",)),
    Bad("info toyy", 2, ("no model named 'toyy'", "'toy'")),
    Bad("info toy.bit", 2, ("'toy.bits'",)),
    Bad("code toyy", 2, ("no model named 'toyy'",)),
    Bad("code ./toy", 2, ("not the name of a model",)),
    Bad("lode toy", 2, ("no command named 'lode'", "'load'", "zoo --help")),
    Bad("toy-helo", 2, ("no command named 'toy-helo'", "'toy-hello'")),
    Bad("list --sort nlll", 2, ("no metric named 'nlll'", "'nll'")),
    Bad("list --task classificaton", 2, ("no task named 'classificaton'", "'classification'")),
    Bad("list --task classificaton --json", 2, ("no task named",)),
    Bad("list --data toy-bit", 2, ("no data set named 'toy-bit'", "'toy-bits'")),
    Bad("list --capability samplr", 2, ("no capability named 'samplr'", "'Sampler'")),
    Bad("list toy --task density-estimation --capability nope", 2, ("no capability named 'nope'",)),
    Bad("verify toyy", 2, ("no model named 'toyy'", "'toy'")),
    Bad("verify toy-gan --json", 2, ("'toy-gan' has no published weights",)),
    # pictures
    Bad("sample toyy -o x.png", 2, ("no model named 'toyy'",)),
    Bad("sample toy -o absent/x.png", 2, ("'absent' does not exist",)),
    Bad("sample toy -o .", 2, ("is a directory",)),
    Bad("sample toy", 2, ("nowhere to write", "-o", "--each")),
    Bad("sample toy --each absent/new", 2, ("'absent' does not exist",)),
    Bad("sample toy --each .", 2, ("is not empty",)),
    Bad("sample toy -o x.png -n 0", 2, ("-n", "0")),
    Bad("sample toy -o x.png --temperature 2", 2, ("no option --temperature",)),
    Bad("complete toy text.png -o x.png", 2, ("'text.png' is not an image",)),
    Bad("complete toy absent.png -o x.png", 2, ("'absent.png' does not exist",)),
    Bad("complete toy good.png -o x.png", 2, ("every pixel is known", "--keep-rows")),
    Bad("complete toy good.png -o x.png --keep-rows 5", 2, ("--keep-rows 5", "4 rows")),
    Bad("complete toy good.png -o x.png --mask big.png", 2, ("'big.png' is 6x5",)),
    Bad("complete toy good.png -o x.png --mask good.png --keep-rows 1", 2, ("exclude each other",)),
    Bad("complete toy good.png -o absent/x.png --keep-rows 1", 2, ("'absent' does not exist",)),
    # numbers
    Bad("eval", 2, ("--all", "zoo eval")),
    Bad("eval toy --all", 2, ("--all", "zoo eval")),
    Bad("eval toyy", 2, ("no model named 'toyy'",)),
    Bad("eval toy --data toy-bit", 2, ("no data set named 'toy-bit'", "'toy-bits'")),
    Bad("eval toy --split tests", 2, ("no split 'tests'", "train, validation, test")),
    Bad("eval toy --metric nlll", 2, ("no metric named 'nlll'", "'nll'")),
    Bad("eval toy --data digits", 2, ("'digits' does not fit the model",)),
    Bad("eval toy toy --pictures new", 2, ("--pictures", "one release")),
    Bad("eval toy --pictures new", 2, ("nothing to draw", "nll")),
    Bad("eval toy --limit 1", 2, ("--limit",)),
    Bad("eval toy --data-file absent", 2, ("absent",)),
    # training
    Bad("train", 2, ("MODEL is missing", "zoo train")),
    Bad("train toy -o new", 2, ("--data is missing",)),
    Bad("train toy --data toy-bits", 2, ("--output is missing",)),
    Bad("train toyy --data toy-bits -o new", 2, ("no model named 'toyy'",)),
    Bad("train toy --data toy-bit -o new", 2, ("no data set named 'toy-bit'",)),
    Bad("train toy --data toy-bits -o full", 2, ("the output folder 'full' exists", "Choose another")),
    Bad("train toy --data toy-bits -o good.png", 2, ("'good.png' exists",)),
    Bad("train toy --data toy-bits -o new --set widht=3", 2, ("no value named 'widht'", "'width'")),
    Bad("train toy --data toy-bits -o new --set width=x", 2, ("width", "`int`")),
    Bad("train toy --data toy-bits -o new --set width=0", 2, ("width", ">= 1")),
    Bad("train toy --data toy-bits -o new --set width", 2, ("NAME=VALUE",)),
    Bad("train toy --data toy-bits -o new --input explode", 2, ("explode",)),
    Bad("train toy --data toy-bits -o new --input binarize:mode", 2, ("KEY=VALUE",)),
    Bad("train toy --data toy-bits -o new --select nlll", 2, ("no metric named 'nlll'",)),
    Bad("train toy --data toy-bits -o new --epochs 0", 2, ("--epochs",)),
    Bad("train toy --data toy-bits -o new --epochs 1 --steps 3", 2, ("--epochs and --steps",)),
    Bad("train toy --data toy-bits -o new --steps 0", 2, ("--steps",)),
    Bad("train toy --data toy-bits -o new --size 8 --input binarize --set height=4", 2, ("toy-bits", "(1, 8, 8)")),
    Bad("train toy-gan --data toy-bits -o new --patience 2", 2, ("--patience", "--select")),
    Bad("train toy --data toy-bits -o new --device tpu9", 2, ("device 'tpu9'",)),
    Bad("train toy --data toy-bits -o new --precision fp8", 2, ("--precision", "bf16")),
    Bad("train --resume absent", 2, ("'absent' is not a training run: the folder does not exist",)),
    Bad("train --resume full", 2, ("'full' is not a training run: it has no run.json",)),
    Bad("train --resume full --lr 0.1", 2, ("--resume takes nothing else", "lr")),
    Bad("train toy --resume full", 2, ("--resume takes nothing else", "MODEL")),
    Bad("train --help-config", 2, ("--help-config needs a model",)),
    Bad("train toyy --help-config", 2, ("no model named 'toyy'",)),
]


@pytest.fixture(scope="session")
def _desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = tmp_path_factory.mktemp("desk")
    Image.new("L", (6, 5)).save(desk / "big.png")
    good = Image.new("L", (4, 4), 255)
    good.putpixel((0, 3), 0)  # in the last row; of a picture that is white everywhere, a warning would say so
    good.save(desk / "good.png")
    (desk / "text.png").write_text("hello")
    (desk / "full").mkdir()
    (desk / "full" / "precious").write_text("mine")
    return desk


@pytest.fixture
def desk(_desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with some files."""
    monkeypatch.chdir(_desk)
    return _desk


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.command)
def test_a_mistake_is_one_clear_line_and_loses_nothing(mistake: Bad, zoo: Zoo, desk: Path) -> None:
    before = sorted(desk.rglob("*"))
    code, out, err = zoo(*mistake.command.split())
    assert code == mistake.code, err
    assert all(word in err for word in mistake.words), err
    assert "Traceback" not in err
    assert out == ""
    told = [line for line in err.splitlines() if not line.startswith(("Usage:", "Try ", "Taking ", " "))]
    assert len([line for line in told if line]) == 1 and told[-1].startswith("Error: "), err
    assert sorted(desk.rglob("*")) == before


def test_debug_lets_the_error_through_wherever_it_stands(toy_release: Path) -> None:
    from zoo_core.cli.main import main

    for arguments in (["--debug", "load", "toyy"], ["load", "toyy", "--debug"]):
        with pytest.raises(UnknownName):
            main(arguments)


def test_an_unforeseen_error_is_one_line_too(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("zoo_core.catalogue.listing.listings", explode)
    code, out, err = zoo("list")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "Error: RuntimeError: out of" and "--debug" in err


@pytest.mark.parametrize("native, chosen", [(False, "fp32"), (True, "bf16"), (None, "bf16")])
def test_a_model_of_bfloat16_trains_in_it_unless_the_processor_emulates_it(
    native: bool | None, chosen: str, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {} if native is None else {"avx512_bf16": native}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    command = ["train", "toy", "--data", "toy-bits", "--steps", "1", "--device", "cpu", "-o"]
    assert "Training in" not in zoo(*command, tmp_path / "exact").err  # fp32 is its own
    monkeypatch.setattr("zoo_toy.models.IndependentPixels.precision", "bf16")
    err = zoo(*command, tmp_path / "chosen").err
    (line,) = (line for line in err.splitlines() if "Training in" in line)
    assert line.startswith(f"Training in {chosen}: ") and "--precision" in line
    other = "bf16" if chosen == "fp32" else "fp32"
    assert "Training in" not in zoo(*command, tmp_path / "asked", "--precision", other).err
    for folder, precision in {"exact": "fp32", "chosen": chosen, "asked": other}.items():
        release = json.loads((tmp_path / folder / "config.json").read_text())
        assert release["recipe"]["precision"] == release["training"]["precision"] == precision


def test_data_that_is_missing_says_how_to_get_it(zoo: Zoo, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_MIRROR", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(desk / "cache"))
    monkeypatch.setenv("HF_HOME", str(desk / "hf"))
    code, out, err = zoo("train", "pixelrnn-row", "--data", "mnist", "-o", "new")
    assert (code, out) == (1, "")
    assert "is missing" in err and "ZOO_MIRROR" in err and "HF_HUB_OFFLINE" in err
    assert not (desk / "new").exists()


# What works.


def test_list_is_one_line_a_reference_when_piped(zoo: Zoo) -> None:
    code, out, err = zoo("list")
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    references = [row[0] for row in rows]
    assert len(set(references)) == len(references)
    assert {"toy.bits", "toy-gan", "toy-classifier"} <= set(references)
    assert any(reference.startswith("pixelrnn") for reference in references)
    (toy,) = (row for row in rows if row[0] == "toy.bits")
    assert toy[1] == "default" and toy[2].startswith("nll ") and toy[3] == "toy-bits test" and toy[-1] == "toy"
    (gan,) = (row for row in rows if row[0] == "toy-gan")
    assert gan[1:4] == ["-", "-", "-"]
    header, *lines = out.splitlines()
    assert header == "reference\tweights\tmeasured\ton\tsummary\tfamily"
    assert zoo("list", "--no-header").out.splitlines() == lines


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["toy*"], {"toy.bits", "toy-gan", "toy-wide", "toy-classifier"}),
        (["TOY_G*"], {"toy-gan"}),
        (["toy*", "--task", "classification"], {"toy-classifier"}),
        (["toy*", "--capability", "sampler"], {"toy.bits", "toy-gan", "toy-wide"}),
        (["--data", "toy_bits"], {"toy.bits"}),
        (["toy*", "--sort", "bits-per-dim"], {"toy.bits"}),
        (["nothing-like-it"], set()),
        (["toy-gan", "--task", "Density_Estimation"], set()),
        (["toy*", "--capability", "translator"], set()),
        (["toy*", "--data", "toy-grey"], set()),
        (["toy*", "--data", "folder:photos"], set()),
    ],
)
def test_list_is_filtered(options: list[str], expected: set[str], zoo: Zoo) -> None:
    code, out, _ = zoo("list", *options, "--json")
    assert code == 0
    assert {row["reference"] for row in json.loads(out)} == expected


def test_a_pattern_without_a_match_is_told_on_stderr(zoo: Zoo) -> None:
    code, out, err = zoo("list", "nothing-like-it")
    assert (code, out) == (0, "") and "Nothing matches" in err


@pytest.mark.parametrize(
    "command",
    ["list", "info toy", "info toy-gan", "load toy", "plugins", "plugins --commands", "eval toy", "verify toy"],
)
def test_json_is_all_that_stands_on_stdout(command: str, zoo: Zoo) -> None:
    code, out, err = zoo(*command.split(), "--json")
    assert code == 0, err
    assert json.loads(out)
    assert "Warning" not in err and "Traceback" not in err


def test_load_says_what_it_is_and_what_next(zoo: Zoo) -> None:
    code, out, err = zoo("load", "TOY_pixels")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("toy.bits: ")
    for word in ("IndependentPixels", "zoo-toy", "16 parameters", "float32", "Density", "nll", "CC0-1.0", "pins"):
        assert word in out
    assert lines[lines.index("Next:") + 1 :] == [
        "  zoo sample TOY_pixels -n 64 -o out.png",
        "  zoo score TOY_pixels IMAGES…",
        "  zoo eval TOY_pixels --check",
        "  zoo info TOY_pixels",
    ]


def test_every_next_command_works(zoo: Zoo, desk: Path) -> None:
    _, out, _ = zoo("load", "toy")
    for line in out.partition("Next:\n")[2].splitlines():
        code, _, err = zoo(*line.replace("IMAGES…", "good.png").split()[1:])
        assert code == 0, err
    (desk / "out.png").unlink()


def test_a_folder_is_taken_and_said_to_be_one_where_a_repository_of_that_name_is_here_too(
    zoo: Zoo, release: Path, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_core.hub.endpoint import current_endpoint

    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (desk / "org").mkdir()
    shutil.copytree(release, desk / "org" / "repo")
    try:
        code, out, err = zoo("load", "org/repo")
        assert code == 0 and out.startswith("toy: ") and err == ""
        (current_endpoint().root / "models--org--repo").mkdir(parents=True)
        code, out, err = zoo("load", "org/repo")
        assert code == 0 and "folder 'org/repo'" in err and "hf:org/repo" in err
    finally:
        shutil.rmtree(desk / "org")


def test_info_answers_the_four_questions(zoo: Zoo) -> None:
    code, out, err = zoo("info", "toy")
    assert (code, err) == (0, "")
    for label in ("data", "model", "loss", "optimizer", "recipe", "licences", "input"):
        assert any(line.startswith(f"{label} ") and not line.endswith(" -") for line in out.splitlines()), label
    for word in ("toy-bits", "zoo train toy", "sha256", "nats/example", "n = 130", "width", "adam", "CC0-1.0"):
        assert word in out


def test_info_without_weights_says_how_to_train(zoo: Zoo) -> None:
    assert "zoo train toy-gan --data DATA -o " in zoo("info", "toy-gan").out  # which data, it cannot know


def test_code_is_the_file_of_the_model(zoo: Zoo, toy_site: Path, desk: Path) -> None:
    text = (toy_site / "zoo_toy" / "models.py").read_text()
    for name in ("toy", "toy:toy", "toy.bits"):
        assert zoo("code", name) == (0, text, "")
    code, out, err = zoo("code", "toy", "-o", "toy.py")
    assert (code, out) == (0, "") and "toy.py" in err
    assert (desk / "toy.py").read_text() == text
    (desk / "toy.py").unlink()


def test_plugins_shows_each_with_its_version_and_offers(zoo: Zoo) -> None:
    code, out, err = zoo("plugins")
    assert (code, err) == (0, "")
    rows = {line.split("\t")[0]: line for line in out.splitlines()[1:]}
    for word in ("zoo-toy 0.3.0", "zoo_models", "toy-classifier", "toy-bits"):
        assert word in rows["toy"]
    assert "zoo toy-hello\tSay hello.\tzoo-toy 0.3.0" in zoo("plugins", "--commands").out.splitlines()


@pytest.mark.parametrize(
    ("asked", "told"), [("zoo-toy, data", "data, toy"), ("*", "data, metrics, toy"), ("no-one", "")]
)
def test_plugins_names_on_stderr_what_is_disabled(
    asked: str, told: str, zoo: Zoo, plugin_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [plugin_of(name, "zoo_api = 1") for name in ("data", "metrics", "toy")]
    monkeypatch.setattr("zoo_core.discovery.loader.entry_points", lambda group: entries)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", asked)
    default_registry.cache_clear()
    try:
        code, out, err = zoo("plugins")
    finally:
        default_registry.cache_clear()
    assert code == 0 and err == (f"Disabled by ZOO_DISABLE_PLUGINS: {told}.\n" if told else "")
    assert {line.split("\t")[0] for line in out.splitlines()[1:]} == {"data", "metrics", "toy"} - {*told.split(", ")}


def test_a_command_of_a_plugin_runs(zoo: Zoo) -> None:
    assert zoo("toy-hello") == (0, "hello\n", "")


def test_help_lists_every_command_and_ends_with_the_plugins(zoo: Zoo) -> None:
    for option in ("--help", "-h"):
        code, out, err = zoo(option)
        assert (code, err) == (0, "")
        assert all(f"\n  {name} " in out for name in COMMANDS)
        assert out.rstrip().splitlines()[-1] == "Plugins add more: zoo plugins --commands"
    assert zoo("--version").out == f"zoo, version {zoo_core.__version__}\n"


def test_every_command_has_the_help_line_of_the_list(zoo: Zoo) -> None:
    for name in COMMANDS:
        code, out, _ = zoo(name, "--help")
        assert code == 0 and f"Usage: zoo {name}" in out


def test_sample_draws_the_same_for_the_same_seed(zoo: Zoo, desk: Path) -> None:
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        code, out, err = zoo("sample", "toy", "-n", 9, "-o", name, "--seed", seed)
        assert (code, out) == (0, "") and name in err and f"seed {seed}" in err
    pictures = [(desk / name).read_bytes() for name in ("a.png", "b.png", "c.png")]
    assert pictures[0] == pictures[1] != pictures[2]
    for name in ("a.png", "b.png", "c.png"):
        (desk / name).unlink()


def test_each_sample_is_a_file_that_other_commands_take(zoo: Zoo, desk: Path) -> None:
    assert zoo("sample", "toy", "-n", 3, "--each", "drawn").code == 0
    assert sorted(path.name for path in (desk / "drawn").iterdir()) == ["0.png", "1.png", "2.png"]
    drawn = zoo_core.load("toy").sample(3, generator=torch.Generator().manual_seed(0))
    for k in range(3):
        with Image.open(desk / "drawn" / f"{k}.png") as picture:
            assert (torch.from_numpy(np.asarray(picture).copy()) / 255 == drawn[k, 0]).all()
    assert zoo("complete", "toy", "drawn/0.png", "--keep-rows", 1, "-o", "done.png").code == 0
    for path in (*(desk / "drawn").iterdir(), desk / "done.png"):
        path.unlink()
    (desk / "drawn").rmdir()


def test_the_output_is_checked_before_the_work(zoo: Zoo, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("zoo_core.weights.loading.load", load)
    for command in (["sample", "toy"], ["complete", "toy", "good.png", "--keep-rows", 1]):
        code, _, err = zoo(*command, "-o", "absent/x.png")
        assert code == 2 and "'absent' does not exist" in err


def test_complete_keeps_what_is_known(zoo: Zoo, desk: Path) -> None:
    for options in (["--keep-rows", 2], ["--mask", "mask.png"]):
        Image.new("L", (4, 4), 0).save(desk / "mask.png")
        code, out, err = zoo("complete", "toy", "good.png", "-o", "done.png", "-n", 3, *options)
        assert (code, out) == (0, ""), err
        assert "3 completions" in err and (desk / "done.png").exists()
        (desk / "done.png").unlink()
    (desk / "mask.png").unlink()


def test_a_full_disk_is_told_and_leaves_nothing(zoo: Zoo, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zoo_core.hub.atomic.os.fsync", full)
    before = sorted(desk.rglob("*"))
    for command in (["sample", "toy", "-o", "x.png"], ["code", "toy", "-o", "x.py"]):
        code, _, err = zoo(*command)
        assert code == 1 and "the disk is full" in err and "Traceback" not in err
    assert sorted(desk.rglob("*")) == before


# Numbers that are checked.


def test_check_is_content_with_the_recorded_number(zoo: Zoo) -> None:
    code, out, _ = zoo("eval", "toy", "--check")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert {row[0] for row in rows} == {"toy"}
    assert {row[1]: row[-1] for row in rows} == {"nll": "same", "bits_per_dim": "same"}


def test_check_says_that_other_data_is_not_comparable(zoo: Zoo) -> None:
    for options in (["--limit", 50], ["--split", "validation"]):
        code, out, err = zoo("eval", "toy", "--check", *options)
        assert code == 3 and "other data" in out and "other data" in err and "Traceback" not in err
        assert zoo("eval", "toy", *options).code == 0


def change_number(folder: Path) -> None:
    data = json.loads((folder / "config.json").read_text())
    for entry in data["metrics"]:
        entry["value"] += 0.1
    (folder / "config.json").write_text(json.dumps(data))


def test_check_fails_on_another_number(zoo: Zoo, release: Path) -> None:
    change_number(release)
    code, out, err = zoo("eval", release, "--check", "--metric", "nll")
    assert code == 1 and "different" in out and "does not give the number" in err


def test_verify_finds_what_was_altered(zoo: Zoo, release: Path) -> None:
    code, out, _ = zoo("verify", release)
    assert code == 0 and "log_prob as recorded" in out
    stat = (release / "model.safetensors").stat()
    content = bytearray((release / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (release / "model.safetensors").write_bytes(content)
    os.utime(release / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a verdict would be believed
    code, out, _ = zoo("verify", release, "toy")
    assert code == 1
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert [row[1] for row in rows] == ["FAILED", "ok"]
    assert "sha256" in rows[0][2]


def test_verify_of_many_goes_on_after_an_unknown_name(zoo: Zoo) -> None:
    code, out, err = zoo("verify", "toyy", "toy")
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert (code, err) == (1, "")
    assert [row[:2] for row in rows] == [["toyy", "FAILED"], ["toy", "ok"]] and "no model named 'toyy'" in rows[0][2]


def test_verify_without_names_takes_all_that_are_here(zoo: Zoo) -> None:
    code, out, _ = zoo("verify")
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert {row[1] for row in rows} == {"ok"}, out
    assert code == 0 and "toy.bits" in {row[0] for row in rows}


# Training, as processes that can be killed.


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def test_a_run_survives_ctrl_c_and_kill_with_the_same_bytes(zoo_process: Zoo, zoo: Zoo, tmp_path: Path) -> None:
    asked = ["train", "pixelrnn-row", "--data", "digits", "--epochs", 4, "--batch", 200, "--seed", 3]
    asked += ["--set", "hidden=2", "--set", "layers=1", "--set", "head=2", "--lr", 0.01]
    run = tmp_path / "cut"

    def saved() -> list[str]:
        return sorted(path.name for path in run.glob("checkpoint-*"))

    def start(*arguments: object) -> "subprocess.Popen[str]":
        restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
        options = zoo_process(*arguments)
        return subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=restore)

    process = start(*asked, "-o", run)
    wait_for(saved, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and "interrupted" in err.lower() and "Traceback" not in err
    assert f"zoo train --resume {run}" in err
    first = saved()
    assert first and not (run / "config.json").exists()

    process = start("train", "--resume", run)
    wait_for(lambda: saved() not in ([], first), process)
    process.kill()
    process.communicate(timeout=60)
    assert saved() and not (run / "config.json").exists()

    code, out, err = zoo("train", "--resume", run)
    assert (code, out) == (0, ""), err
    assert "Continuing at" in err and "is a release" in err
    code, _, err = zoo("train", "--resume", run)
    assert code == 0 and "is finished" in err

    code, _, err = zoo(*asked, "-o", tmp_path / "whole")
    assert code == 0, err
    assert sha256_of(run / "model.safetensors") == sha256_of(tmp_path / "whole" / "model.safetensors")
    code, out, _ = zoo("eval", run, "--check")
    assert code == 0, out


def test_help_config_shows_every_value_with_its_bounds(zoo: Zoo) -> None:
    code, out, _ = zoo("train", "toy", "--help-config")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0 and set(rows) == {"channels", "height", "width", "start"}
    assert "from 1 to 64" in rows["height"] and "pixels" in rows["height"] and "default 4" in rows["height"]
    assert "from 1" in zoo("train", "pixelrnn", "--help-config").out


class Choices(Record):
    shape: Literal["none", "round"] = "none"
    size: Literal[1, 3] | None = None
    sigma: Annotated[float, Meta(gt=0)] | None = 0.5


def test_help_config_shows_what_the_name_stands_for(zoo: Zoo) -> None:
    rows = {line.split()[0]: line for line in zoo("train", "resnet20", "--help-config").out.splitlines()}
    assert "default [3, 3, 3]" in rows["blocks"] and "default 10 " in rows["classes"]


def test_help_config_shows_null_as_it_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(Choices)
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()}
    assert shown["shape"] == "none | round; default none"
    assert shown["size"] == "1 | 3 or null; default null"
    assert shown["sigma"] == "float above 0 or null; default 0.5"
    values = read_assignments(["shape=none", "size=null", "sigma=null"], Choices)
    assert values == {"shape": "none", "size": None, "sigma": None}


class Sizes(Choices):
    number_of_everything: Literal["Ä", "B"] = "Ä"  # a long name; Ä is two bytes
    blocks: Annotated[
        tuple[int, ...],
        Meta(min_length=1),
    ] = (3, 4)  # of each stage


def test_help_config_shows_the_values_of_the_name_and_every_comment_in_a_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_fields(Sizes, {"blocks": (2, 2, 2), "shape": "round"})
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert shown["shape"] == "none | round; default round"
    assert shown["sigma"].endswith("default 0.5")
    assert "; default [2, 2, 2]  " in shown["blocks"] and shown["blocks"].endswith("  of each stage")
    assert shown["number_of_everything"].endswith("  a long name; Ä is two bytes")
    starts = {line.index(text) for line in lines for text in ("of each stage", "a long name") if text in line}
    assert len(starts) == 1
    assert len({line.index(value) for line, value in zip(lines, shown.values(), strict=True)}) == 1


class Documented(Record):
    """A record.

    Attributes:
        width: in pixels,
            of the whole image.
        depth: what the comment says better.
    """

    width: int = 8
    depth: int = 3  # layers


def test_help_config_shows_what_the_docstring_says_of_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(Documented)
    assert capsys.readouterr().out.splitlines() == [
        "width  int; default 8  in pixels, of the whole image.",
        "depth  int; default 3  layers",
    ]


def test_a_wrong_value_is_told_with_what_the_right_ones_are() -> None:
    with pytest.raises(UsageError, match=r"--set sigma=-1: .*\n  sigma is float above 0 or null"):
        read_assignments(["sigma=-1"], Choices)


def test_output_that_is_cut_off_is_no_error(zoo_process: Zoo) -> None:
    options = zoo_process("code", "toy")
    process = subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in err and "Error" not in err


def test_the_same_from_python(toy_release: Path) -> None:
    model = zoo_core.load("toy")
    assert model.sample(3, generator=torch.Generator().manual_seed(0)).shape == (3, 1, 4, 4)
    assert "toy.bits" in zoo_core.list_models()
    assert zoo_core.info("toy")["reference"] == "toy.bits"


# ----------------------------------------------------------------------------------------------------------------------
# Tables at a terminal.


def at_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")  # without colours


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_list_is_one_line_a_model_below_its_family(columns: int, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = zoo_core.listings()
    at_terminal(monkeypatch, columns)
    lines = zoo("list").out.splitlines()
    assert len(lines) == 1 + len(rows) + len({row.family for row in rows})
    assert all(len(line) <= columns for line in lines)
    firsts = [line.split()[0] for line in lines]
    assert {row.reference for row in rows} <= set(firsts)
    assert firsts.index("toy") < firsts.index("toy.bits")


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_no_word_breaks_at_a_narrow_terminal(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from zoo_core.cli.table import print_table

    at_terminal(monkeypatch, columns)
    header = ["reference", "parameters", "nll [nats/example]", "minus the best", "protocol", "minus the best"]
    row = ["pixelrnn", "1,229,312", "79.03 ± 0.19", "+107.88 ± 0.36, p < 0.0001", "binarized-mnist test, exact", "best"]
    print_table(header, [row, row], drop=["protocol"])
    out, err = capsys.readouterr()
    words = {word for cell in [*header, *row] for word in cell.split()}
    assert {word for line in out.splitlines() for word in line.split()} <= words
    assert all(len(line) <= columns for line in out.splitlines())
    assert ("Left out" in err) == (columns < 100)
    assert ("binarized-mnist" in out) == (columns >= 100)


EVERY_COMMAND = [*COMMANDS, "data list", "data get", "data show"]


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_the_help_ends_with_examples_that_the_command_takes(
    name: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line is read as it stands: options, their values, names of models, data sets and metrics."""
    lines = [line.strip() for line in zoo(*name.split(), "--help").out.partition("Examples:\n")[2].splitlines()]
    assert len(lines) >= 2 and len(set(lines)) == len(lines)
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, parameter, context: Path(value))  # no file is here
    reached: list[str] = []
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: reached.append(context.command_path))
    for line in lines:
        _, _, arguments = line.rpartition("zoo ")
        zoo_group.main(shlex.split(arguments), prog_name="zoo", standalone_mode=False)
        assert reached[-1].startswith(f"zoo {name}"), line


def test_missing_data_are_told_once_for_many_releases(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo_core.errors import DataError

    def missing(*arguments: Any, **options: Any) -> None:
        raise DataError("it is missing")

    monkeypatch.setattr("zoo_core.measuring.evaluation.evaluate", missing)
    code, out, err = zoo("eval", "toy", "toy.bits", "--check", "--no-header")
    assert code == 3 and out.count("no data") == 2
    assert err == "2 of 2 releases were not measured, for lack of data: see zoo data.\n"
