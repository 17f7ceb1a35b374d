"""Bundles: everything for a room without network in one file, whole and verified, or refused."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.datasets.getting import data_files
from zoo_core.discovery.loader import Plugin
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import DatasetSpec
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.publishing.bundle import bundle, unbundle
from zoo_core.weights.manifest import Manifest

MODEL = "model.safetensors"
Zoo = Callable[..., Any]


def is_right(reference: str, registry: Registry, toy_release: Path, **options: Any) -> bool:
    model = zoo_core.load(reference, registry=registry, **options)
    return torch.equal(model.logit.detach(), load_file(toy_release / MODEL)["logit"])


@pytest.fixture
def archive(toy_release: Path, registry: Registry, tmp_path: Path, own_cache: Path) -> Path:
    """A bundle of one release."""
    bundle([str(toy_release)], tmp_path / "lab.tar", registry=registry)
    return tmp_path / "lab.tar"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# There and back.


def test_a_bundle_gives_back_what_went_in(archive: Path, toy_release: Path, registry: Registry, tmp_path: Path) -> None:
    contents = unbundle(archive, tmp_path / "lab")
    assert contents.releases == {"toy": f"folder {toy_release}"}
    names = {"README.md", "config.json", "golden.safetensors", "samples.png", MODEL}
    assert set(content(tmp_path / "lab")) == {"bundle.json", *(f"toy/{name}" for name in names)}
    for name in names:
        assert (tmp_path / "lab" / "toy" / name).read_bytes() == (toy_release / name).read_bytes()
    assert is_right(str(tmp_path / "lab" / "toy"), registry, toy_release)
    bundle([str(toy_release)], tmp_path / "again.tar", registry=registry)
    assert sha256_of(tmp_path / "again.tar") == sha256_of(archive)


def test_the_commands(zoo: Zoo, release: Path, tmp_path: Path) -> None:
    tar, lab = tmp_path / "x.tar", tmp_path / "lab"
    code, out, err = zoo("bundle", "toy.b*", release, "-o", tar)
    assert (code, out) == (0, "") and "2 releases, 10 files" in err and f"zoo unbundle {tar.name}" in err
    code, _, err = zoo("bundle", "toy", "-o", tar)
    assert code == 2 and f"'{tar}' exists" in err
    code, out, err = zoo("unbundle", tar, lab)
    assert code == 0 and out == f"toy.bits\t{lab / 'toy.bits'}\ntoy\t{lab / 'toy'}\n"
    assert "10 files are right" in err and f"export ZOO_MIRROR={lab}" in err
    assert zoo("unbundle", tar, lab).code == 0  # again into the same folder
    assert set(json.loads((lab / "bundle.json").read_text())["releases"]) == {"toy.bits", "toy"}
    for command in (["bundle", "toyy", "-o", tmp_path / "y.tar"], ["unbundle", tmp_path / "absent.tar", lab]):
        assert zoo(*command).code == 2
    assert not (tmp_path / "y.tar").exists()


def test_two_releases_of_one_name_are_not_mixed(release: Path, registry: Registry, tmp_path: Path) -> None:
    other = shutil.copytree(release, tmp_path / "other")
    with pytest.raises(UsageError, match="would both be 'toy'"):
        bundle([str(release), str(other)], tmp_path / "x.tar", registry=registry)
    assert not (tmp_path / "x.tar").exists()


def test_a_damaged_release_is_not_bundled(release: Path, registry: Registry, tmp_path: Path) -> None:
    (release / "README.md").write_text("other")
    with pytest.raises(WeightsError, match=r"README\.md"):
        bundle([str(release)], tmp_path / "x.tar", registry=registry)
    assert not (tmp_path / "x.tar").exists()


def test_a_folder_may_take_in_several(archive: Path, release: Path, registry: Registry, tmp_path: Path) -> None:
    data = json.loads((release / "config.json").read_text())
    (release / "config.json").write_text(json.dumps(data | {"summary": "renewed"}))
    bundle([str(release)], tmp_path / "new.tar", registry=registry)
    for tar in (archive, tmp_path / "new.tar"):
        unbundle(tar, tmp_path / "lab")
    assert zoo_core.load(str(tmp_path / "lab" / "toy"), registry=registry)
    assert "renewed" in (tmp_path / "lab" / "toy" / "config.json").read_text()


# As a mirror of a hub.


@pytest.fixture
def room(tmp_path: Path, elsewhere: Callable[[], Path], offline: Callable[[], None],
         monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:  # fmt: skip
    """Unpacks a bundle where there is nothing else and no network."""

    def enter(archive: Path) -> Path:
        elsewhere()
        offline()
        lab = tmp_path / "lab"
        unbundle(archive, lab)
        monkeypatch.setenv("ZOO_MIRROR", str(lab))
        return lab

    return enter


def test_a_release_of_a_hub_loads_by_its_name_in_a_room_without_network(
    peer: Any, files_of: Callable[[Path], dict[str, bytes]], toy_release: Path, registry: Registry, tmp_path: Path,
    make_manifest: Callable[..., str], room: Callable[[Path], Path],
) -> None:  # fmt: skip
    commit = peer.add("org/toy", files_of(toy_release))
    pins = tmp_path / "pins.toml"
    pins.write_text(make_manifest("toy.far", toy_release, [], f"hf:org/toy@{commit}"))
    manifest = Manifest([pins])
    bundle(["toy.far"], tmp_path / "lab.tar", registry=registry, manifest=manifest)
    lab = room(tmp_path / "lab.tar")
    peer.heal()
    assert (lab / "org" / "toy" / MODEL).exists()
    for reference in ("toy.far", "hf:org/toy", "org/toy", f"hf:org/toy@{commit}", f"hf:org/toy@{commit[:9]}"):
        assert is_right(reference, registry, toy_release, manifest=manifest)
    report = zoo_core.load("toy.far", registry=registry, manifest=manifest).load_report
    assert report is not None and report.pinned and f"@{commit} at {peer.url}, in ZOO_MIRROR" in report.source
    for other in ("0" * 40, commit[:3], "v1"):
        with pytest.raises(ZooError, match="HF_HUB_OFFLINE"):
            zoo_core.load(f"hf:org/toy@{other}", registry=registry)
    bundle(["hf:org/toy"], tmp_path / "again.tar", registry=registry)  # one room passes it on to the next
    assert unbundle(tmp_path / "again.tar", tmp_path / "next").releases["org/toy"] == report.source
    assert peer.requests == []
    (lab / "org" / "toy" / MODEL).write_bytes(b"x")
    with pytest.raises(ZooError, match=MODEL):
        zoo_core.load("hf:org/toy", registry=registry)
    assert (lab / "org" / "toy" / MODEL).exists()  # what is the user's is not thrown away


def test_a_release_from_a_folder_hub_loads_by_its_name_there(
    release: Path, registry: Registry, toy_release: Path, tmp_path: Path, make_manifest: Callable[..., str],
    room: Callable[[Path], Path],
) -> None:  # fmt: skip
    pins = tmp_path / "pins.toml"
    pins.write_text(make_manifest("toy.shared", release, [], f"file://{release}"))
    manifest = Manifest([pins])
    bundle(["toy.shared"], tmp_path / "lab.tar", registry=registry, manifest=manifest)
    shutil.rmtree(release)
    room(tmp_path / "lab.tar")
    assert is_right("toy.shared", registry, toy_release, manifest=manifest)


# Data.

FROM_FILE = """
import torch
from zoo_core import Field, TensorDataset, find_data_file
import zoo_core.interfaces.dataset

class FromFile(TensorDataset):
    name = "from-file"
    def __init__(self, *, data_file=None):
        raw = torch.frombuffer(bytearray(find_data_file("org/bits", "all.bin").read_bytes()), dtype=torch.uint8)
        features = {"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=2)}
        super().__init__(features, {"train": {"image": raw.view(-1, 1, 4, 4)}})
"""


@pytest.fixture
def with_data(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The plugins, and a data set that is read from a file of a hub, which the mirror here has."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "from_file_data.py").write_text(FROM_FILE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    file = tmp_path / "mirror" / "datasets" / "org" / "bits" / "all.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes([0, 1] * 80))
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "mirror"))
    plugin = Plugin("from-file", "zoo-from-file", "1.0")
    spec = DatasetSpec(
        name="from-file",
        target="from_file_data:FromFile",
        summary="bits",
        source="org/bits",
        licence="CC0-1.0",
        splits=("train",),
    )
    plugin.declared["zoo_datasets"] = [spec]
    yield Registry([*registry.plugins, plugin])
    sys.modules.pop("from_file_data", None)


def test_data_comes_along(
    with_data: Registry, release: Path, tmp_path: Path, room: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.loads((release / "config.json").read_text())
    data["training"]["data"] = "from-file"
    (release / "config.json").write_text(json.dumps(data))
    assert set(data_files("from-file", with_data)) == {"org/bits/all.bin"}
    assert data_files("toy-bits", with_data) == {}  # comes with the plugin
    bundle([str(release)], tmp_path / "lab.tar", data=True, registry=with_data)
    lab = room(tmp_path / "lab.tar")
    assert (lab / "datasets" / "org" / "bits" / "all.bin").read_bytes() == bytes([0, 1] * 80)
    assert with_data.open_dataset("from-file").size("train") == 10
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "nothing"))
    with pytest.raises(ZooError, match="org/bits"):
        bundle([str(release)], tmp_path / "no.tar", data=True, registry=with_data)
    assert not (tmp_path / "no.tar").exists()


# Damaged and hostile ones.


def test_a_bundle_that_is_cut_is_refused_and_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    last = len(whole.rstrip(b"\0"))  # after it there is padding only
    for tenth in range(10):
        archive.write_bytes(whole[: last * tenth // 10])
        with pytest.raises(ZooError) as error:
            unbundle(archive, tmp_path / "lab")
        assert str(archive) in error.value.message and "\n" not in error.value.message
        assert not content(tmp_path / "lab")


def test_a_byte_that_is_wrong_is_found_or_does_not_matter(archive: Path, tmp_path: Path, toy_release: Path) -> None:
    """At every hundredth byte; some are in what tar says of owners and times."""
    whole = archive.read_bytes()
    unbundle(archive, tmp_path / "good")
    good = content(tmp_path / "good")
    refused = 0
    for percent in range(100):
        place = len(whole) * percent // 100
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        lab = tmp_path / f"lab-{percent}"
        try:
            unbundle(archive, lab)
        except ZooError:
            refused += 1
            assert not content(lab)
        else:
            files = {name: data for name, data in content(lab).items() if name != "bundle.json"}
            assert files == {name: data for name, data in good.items() if name != "bundle.json"}
    assert refused > 10


def tar_of(path: Path, files: dict[str, bytes | tarfile.TarInfo], listed: dict[str, bytes] | None = None) -> Path:
    """A bundle by hand: what the tar holds, and what its list says."""
    import hashlib

    names = {name: data for name, data in (listed or files).items() if isinstance(data, bytes)}
    entries = {name: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for name, d in names.items()}
    with tarfile.open(path, "w") as tar:
        listing = json.dumps({"releases": {}, "files": entries}).encode()
        for name, data in {"bundle.json": listing, **files}.items():
            member = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


LEADING_OUT = ["../evil", "a/../../evil", "/tmp/zoo-evil", "a\\..\\evil", "C:evil", "a//evil", "./evil"]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_path_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "evil.tar", {name: b"evil"})
    with pytest.raises(ZooError, match=r"leads out|which"):
        unbundle(tar, tmp_path / "deep" / "lab")
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/zoo-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    tar = tar_of(tmp_path / "evil.tar", {"a/x": link("a/x", str(secret), kind)}, {"a/x": b"secret"})
    with pytest.raises(ZooError, match="not a plain file"):
        unbundle(tar, tmp_path / "lab")
    assert not content(tmp_path / "lab")


def test_a_folder_that_is_a_link_in_the_tar_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    members: dict[str, Any] = {"a": link("a", str(tmp_path / "outside"), tarfile.SYMTYPE), "a/x": b"evil"}
    unbundle(tar_of(tmp_path / "evil.tar", members, {"a/x": b"evil"}), tmp_path / "lab")
    assert not list((tmp_path / "outside").iterdir()) and not (tmp_path / "lab" / "a").is_symlink()


def test_what_is_no_bundle_is_told(zoo: Zoo, tmp_path: Path, release: Path) -> None:
    (tmp_path / "text.tar").write_text("hello")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(release / "README.md", "README.md")
    tar_of(tmp_path / "less.tar", {}, {"a/x": b"is listed"})
    tar_of(tmp_path / "listing.tar", {"bundle.json": b"[1]"})
    for name in ("text.tar", "other.tar", "less.tar", "listing.tar"):
        code, out, err = zoo("unbundle", tmp_path / name, tmp_path / "lab")
        assert code in (1, 2) and out == "" and err.startswith("Error: ") and name in err and "Traceback" not in err
    assert not content(tmp_path / "lab") if (tmp_path / "lab").exists() else True


def test_free_space_is_looked_at_before_unpacking(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    full = SimpleNamespace(disk_usage=lambda folder: SimpleNamespace(free=10))
    monkeypatch.setattr("zoo_core.hub.endpoint.shutil", full)
    with pytest.raises(ZooError, match="MB left"):
        unbundle(archive, tmp_path / "lab")
    assert not (tmp_path / "lab").exists()


# Whether it will all work tomorrow.


def rows(out: str) -> dict[tuple[str, str], list[str]]:
    return {(cells[0], cells[1]): cells[2:] for line in out.splitlines()[1:] if (cells := line.split("\t"))}


def test_doctor_is_content_with_what_is_here(zoo: Zoo, own_cache: Path) -> None:
    code, out, _ = zoo("doctor", "--offline", "toy")
    found = rows(out)
    assert found["toy", "weights"][0] == found["toy", "data toy-bits"][0] == "ok", out
    assert found["-", "packages of zoo-toy"] == ["ok", "all installed"]
    others = {key: cells for key, cells in found.items() if cells[0] != "ok" and "zoo-toy" in str(key)}
    assert not others and code == int(any(cells[0] != "ok" for cells in found.values()))


def test_doctor_names_each_missing_piece(
    zoo: Zoo, release: Path, own_cache: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def changed(name: str, change: Callable[[dict[str, Any]], object]) -> Path:
        folder = shutil.copytree(release, tmp_path / name)
        data = json.loads((folder / "config.json").read_text())
        change(data)
        (folder / "config.json").write_text(json.dumps(data))
        return folder

    no_data = changed("no-data", lambda d: d["training"].update(data="toy-gone"))
    no_plugin = changed("no-plugin", lambda d: d["zoo"].update(model="gone", plugin="zoo-gone"))
    (release / MODEL).unlink()
    monkeypatch.setattr(
        "importlib.metadata.Distribution.requires", property(lambda self: ["zoo-absent>=1", "torch>=99"])
    )
    code, out, err = zoo("doctor", "--offline", no_data, no_plugin, release, "hf:org/never", "toyy")
    found = rows(out)
    assert code == 1 and "Traceback" not in err
    assert "toy-gone" in found[str(no_data), "data toy-gone"][1] and found[str(no_data), "weights"][0] == "ok"
    assert found[str(no_plugin), "plugin"][0] == "MISSING" and "gone" in found[str(no_plugin), "plugin"][1]
    assert MODEL in found[str(release), "weights"][1]
    assert "HF_HUB_OFFLINE" in found["hf:org/never", "weights"][1]
    assert "toyy" in found["toyy", "weights"][1]
    verdict, details = found["-", "packages of zoo-toy"]
    assert verdict == "MISSING" and "zoo-absent>=1" in details and "torch>=99 (here is" in details
    assert all(row["ok"] == (found[row["reference"], row["what"]][0] == "ok")
               for row in json.loads(zoo("doctor", "--json", no_data, no_plugin).out)
               if (row["reference"], row["what"]) in found)  # fmt: skip


def test_doctor_names_the_data_of_weights_that_are_missing(
    zoo: Zoo, toy_release: Path, toy_site: Path, own_cache: Path
) -> None:
    away = toy_release.with_name("away")
    toy_release.rename(away)
    try:
        found = rows(zoo("doctor", "toy").out)
    finally:
        away.rename(toy_release)
    assert found["toy", "weights"][0] == "MISSING" and found["toy", "data toy-bits"][0] == "ok"


def test_doctor_in_a_room_checks_what_the_bundle_brought(
    zoo: Zoo, archive: Path, toy_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the whole catalogue, whose data nobody brought."""
    unbundle(archive, tmp_path / "lab")
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "lab"))
    code, out, err = zoo("doctor", "--offline")
    found = rows(out)
    assert found[str(tmp_path / "lab" / "toy"), "weights"][0] == "ok"
    assert not [reference for reference, _ in found if reference.endswith("releases")]
    assert "1 releases" in err and code == int(any(cells[0] != "ok" for cells in found.values()))
    everything = zoo("doctor", "--offline", "*")
    assert len(rows(everything.out)) > len(found)


def test_doctor_gathers_what_many_releases_need(
    zoo: Zoo, toy_release: Path, toy_site: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each thing, and a last one that says what is missing and which command gets it."""
    monkeypatch.setenv("ZOO_MIRROR", "/nowhere")
    code, out, err = zoo("doctor", "--offline")
    found = rows(out)
    assert code == 1 and len(found) < 15
    (many,) = [reference for reference, what in found if what == "weights"]
    assert int(many.removesuffix(" releases")) > 30
    ((needing, _),) = [key for key in found if key[1] == "data mnist"]
    assert found[needing, "data mnist"][0] == "MISSING" and int(needing.removesuffix(" releases")) > 5
    assert f"data mnist (for {needing})" in err
    assert "zoo data get" in err and "mnist" in err.split("zoo data get")[1].splitlines()[0]
    assert "No public place has cifar10-jpeg75" in err


CABLE_OUT = """
import socket
def refused(*_, **__): raise AssertionError("this room has no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
"""


@pytest.mark.slow
def test_a_lesson_in_a_room_without_network(
    peer: Any, files_of: Callable[[Path], dict[str, bytes]], toy_release: Path, zoo: Zoo, tmp_path: Path,
    zoo_process: Callable[..., dict[str, Any]],
) -> None:  # fmt: skip
    peer.add("org/toy", files_of(toy_release))
    assert zoo("bundle", "hf:org/toy", "-o", tmp_path / "lab.tar", "--data").code == 0
    cable = tmp_path / "cable"
    cable.mkdir()
    (cable / "sitecustomize.py").write_text(CABLE_OUT)
    lab = tmp_path / "lab"

    def run(*arguments: object) -> str:
        options = zoo_process(*arguments)
        options["env"] |= {
            "PYTHONPATH": f"{cable}{os.pathsep}{options['env']['PYTHONPATH']}",
            "ZOO_MIRROR": str(lab), "HF_HOME": str(tmp_path / "fresh"), "ZOO_CACHE": str(tmp_path / "fresh" / "zoo"),
        }  # fmt: skip
        del options["env"]["HF_ENDPOINT"]
        done = subprocess.run(**options, capture_output=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    run("unbundle", tmp_path / "lab.tar", lab)
    assert run("load", "org/toy").startswith("toy: ")
    run("sample", "hf:org/toy", "-n", 4, "-o", tmp_path / "x.png")
    run("train", "toy", "--data", "toy-bits", "--epochs", 1, "-o", tmp_path / "run")
    assert (tmp_path / "x.png").exists() and sha256_of(tmp_path / "run" / "config.json")
