"""The command line around the server: users, gc, verify, importing, packages."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from zoo_hub_server.commands import hub as hub_commands
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.maintenance import gc, verify
from zoo_hub_server.users import Joining, Users

if TYPE_CHECKING:
    from conftest import Client, Hub

PLUGIN = Path(__file__).parents[1] / "zoo_hub_server" / "plugin.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ZOO_DISABLE_PLUGINS"}
    command = [sys.executable, "-m", "zoo_core.cli.main", "hub", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_the_plugin_imports_neither_server_nor_git() -> None:
    heavy = ("starlette", "uvicorn", "dulwich", "torch", "sqlite3", "yaml")
    code = f"import sys, zoo_hub_server.plugin as p; p.zoo_commands(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_imports_torch() -> None:
    modules = ["app", "commands", "importing", "maintenance", "serve"]
    code = "".join(f"import zoo_hub_server.{module}\n" for module in modules)
    code += "import sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )


def test_users(hub: Hub) -> None:
    token = run("add-user", hub.folder, "dave", "--role", "read", "--team", "club")
    assert token.returncode == 0
    assert token.stdout.startswith("zoo_")
    who = hub.call("GET", "/api/whoami-v2", token=token.stdout.strip())
    assert who.json()["name"] == "dave"
    assert who.json()["auth"]["accessToken"]["role"] == "read"
    assert [one["name"] for one in who.json()["orgs"]] == ["club"]
    assert who.headers["x-zoo-hub"] == "1"
    listed = run("list-users", hub.folder)
    assert any(line.startswith("dave\tread\tclub\t") for line in listed.stdout.splitlines())
    assert token.stdout.strip() not in listed.stdout
    assert "dave" in {one["name"] for one in json.loads(run("list-users", hub.folder, "--json").stdout)}
    for name, text in (
        ("DAVE", "exists already"),
        ("club", "name of a team"),
        ("a/b", "not a name"),
        ("api", "not a name"),
    ):
        wrong = run("add-user", hub.folder, name)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert text in wrong.stderr
    assert run("add-user", hub.folder, "eve", "--team", "dave").returncode == 2
    assert run("remove-user", hub.folder, "dave").returncode == 0
    assert hub.call("GET", "/api/whoami-v2", token=token.stdout.strip()).status == 401
    assert run("remove-user", hub.folder, "dave").returncode == 2


def test_wrong_folders_and_ports(hub: Hub, tmp_path: Path) -> None:
    for command in ("add-user", "remove-user"):
        assert run(command, tmp_path / "none", "x").returncode == 1
    for command in ("list-users", "gc", "verify"):
        done = run(command, tmp_path / "none")
        assert (done.returncode, done.stdout) == (1, "")
        assert "is not a hub folder" in done.stderr
        assert done.stderr.startswith("Error: ")
    (tmp_path / "full" / "models").mkdir(parents=True)
    HubFolder(tmp_path / "full", create=True)  # as a start that was killed leaves it
    (tmp_path / "full" / "hub.sqlite").unlink()
    (tmp_path / "full" / "models" / "mine").touch()
    port = hub.address.split(":")[1]
    for arguments, text in (
        (["serve", tmp_path / "full"], "is not empty"),
        (["serve", hub.folder, "--port", "0"], "is being served already"),
        (["serve", tmp_path / "new", "--port", port], "cannot serve at"),
        (["serve", tmp_path / "new", "--host", "no such host", "--port", "0"], "cannot serve at"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert run("serve", tmp_path / "new", "--port", "70000").returncode == 2


def test_it_is_ready_in_a_second(serve: Callable[..., Hub], tmp_path: Path) -> None:
    started = time.monotonic()
    server = serve(tmp_path / "hub")
    seconds = time.monotonic() - started
    answer = server.call("GET", "/")
    server.stop()
    assert answer.status == 200
    assert seconds < 10, "about 1 s on an idle machine"
    assert "zoo push" in server.log()


@pytest.fixture
def filled(serve: Callable[..., Hub], tmp_path: Path) -> tuple[HubFolder, str]:
    """A folder with one repository: a large file that is needed, and one that is not."""
    server = serve(tmp_path / "hub")
    token = server.add_user("ann")
    server.call("POST", "/api/repos/create", {"name": "m"}, token)
    for number in range(2):
        content = b"%d" % number * 2_000_000
        asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": 2_000_000}]}
        found = server.call("POST", "/ann/m.git/info/lfs/objects/batch", asked, token).json()["objects"][0]
        server.call("PUT", found["actions"]["upload"]["href"], content)
    oid = hashlib.sha256(b"0" * 2_000_000).hexdigest()
    line = {"key": "lfsFile", "value": {"path": "m.bin", "algo": "sha256", "oid": oid, "size": 2_000_000}}
    assert server.commit("ann/m", token, [line]).status == 200
    server.stop()
    return HubFolder(server.folder), oid


def test_gc_removes_what_nobody_needs(filled: tuple[HubFolder, str]) -> None:
    folder, oid = filled
    assert gc(folder) == (0, 0), "an upload of today may be about to be committed"
    assert gc(folder, grace=-1) == (1, 2_000_000)
    assert [path.name for path in folder.path.glob("models/*/*/lfs/objects/??/??/*")] == [oid]
    assert run("gc", folder.path).returncode == 0


def test_verify_finds_each_fault(filled: tuple[HubFolder, str]) -> None:
    folder, oid = filled
    done = run("verify", folder.path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 repositories, 2 large files, 4000000 bytes" in done.stderr
    (repository,) = folder.path.glob("models/ann/m.git")
    large = repository / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    whole = large.read_bytes()
    large.chmod(0o644)
    large.write_bytes(whole[:-1] + b"x")
    done = run("verify", folder.path)
    assert done.returncode == 1
    assert done.stdout.startswith("models/ann/m: ")
    assert "is damaged" in done.stdout
    large.unlink()
    faults: list[str] = []
    verify(folder, faults.append)
    assert len(faults) == 1
    assert "is missing" in faults[0]
    large.write_bytes(whole)
    pack = max(repository.glob("objects/pack/*.pack"), key=lambda path: path.stat().st_mtime_ns)
    pack.chmod(0o644)
    damaged = bytearray(pack.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    pack.write_bytes(damaged)
    done = run("verify", folder.path)
    assert done.returncode == 1
    assert "a pack of git objects is damaged" in done.stdout
    assert "Traceback" not in done.stderr
    (repository / "zoo.json").unlink()
    assert "zoo.json" in run("verify", folder.path).stdout


def test_a_lost_file_is_told_and_not_served_as_a_pointer(
    serve: Callable[..., Hub], filled: tuple[HubFolder, str]
) -> None:
    folder, oid = filled
    next(folder.path.glob(f"models/*/*/lfs/objects/??/??/{oid}")).unlink()
    server = serve(folder.path)
    answer = server.call("GET", "/ann/m/resolve/main/m.bin")
    server.stop()
    assert answer.status == 404
    assert "zoo hub verify" in answer.headers["x-error-message"]


def wheel(folder: Path, name: str, version: str) -> Path:
    """A package with one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder for a classroom: a release, another with a namespace, a data set, a package; and a link to a secret."""
    lab = tmp_path / "lab"
    for path, content in (
        ("pixel.digits/model.safetensors", b"w" * 100),
        ("pixel.digits/config.json", b'{"summary": "a release"}'),
        ("ann/other/model.safetensors", b"v" * 3_000_000),
        ("ann/other/README.md", b"# Other"),
        ("datasets/ylecun/mnist/mnist/train.parquet", b"p" * 50),
        ("datasets/tiny/train.parquet", b"q" * 50),
    ):
        (lab / path).parent.mkdir(parents=True, exist_ok=True)
        (lab / path).write_bytes(content)
    (lab / "wheels").mkdir()
    wheel(lab / "wheels", "zoo_test_package", "1.5")
    (tmp_path / "secret").write_text("secret")
    (lab / "pixel.digits" / "link.txt").symlink_to(tmp_path / "secret")
    return lab


def test_a_classroom(hub: Hub, serve: Callable[..., Hub], lab: Path, tmp_path: Path, client: Client) -> None:
    """One address for models, data and packages; importing again changes nothing."""
    server = serve(tmp_path / "hub", "--import", str(lab), "--read-only")
    try:
        names = {one["id"] for kind in ("models", "datasets") for one in server.call("GET", f"/api/{kind}").json()}
        assert names == {"zoo/pixel.digits", "ann/other", "ylecun/mnist", "zoo/tiny"}
        assert server.call("GET", "/ann/other/resolve/main/model.safetensors").body == b"v" * 3_000_000
        assert server.call("GET", "/zoo/pixel.digits/resolve/main/link.txt").status == 404
        reader = type(client)(tmp_path / "home", server.endpoint, None)

        def load(api: Any) -> Any:
            folder = Path(api.snapshot_download("ylecun/mnist", repo_type="dataset"))
            return (folder / "mnist" / "train.parquet").read_text()

        assert reader(load) == "p" * 50
        target = tmp_path / "site"
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--index-url", f"{server.endpoint}/simple", "--target", str(target), "zoo-test-package"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        subprocess.run(command, check=True, capture_output=True, env=environment | {"PIP_CONFIG_FILE": os.devnull})
        assert "1.5" in (target / "zoo_test_package.py").read_text()
        assert server.call("GET", "/simple/").body.count(b"<a ") == 1
        assert server.call("GET", "/simple/none/").status == 404
        assert server.call("GET", "/wheels/hub.sqlite").status == 404
        assert server.call("GET", "/wheels/..%2Fhub.sqlite").status == 404
        heads = {
            name: server.call("GET", f"/api/models/{name}").json()["sha"] for name in ("ann/other", "zoo/pixel.digits")
        }
    finally:
        server.stop()
    again = serve(tmp_path / "hub", "--import", str(lab))
    try:
        for name, sha in heads.items():
            assert again.call("GET", f"/api/models/{name}").json()["sha"] == sha
    finally:
        again.stop()


def test_a_tar(serve: Callable[..., Hub], lab: Path, tmp_path: Path) -> None:
    (lab / "pixel.digits" / "link.txt").unlink()
    with tarfile.open(tmp_path / "lab.tar.gz", "w:gz") as tar:
        tar.add(lab, "lab")
    server = serve(tmp_path / "hub", "--import", str(tmp_path / "lab.tar.gz"), "--import-as", "course")
    names = {one["id"] for one in server.call("GET", "/api/models").json()}
    server.stop()
    assert names == {"course/pixel.digits", "ann/other"}
    assert not list((tmp_path / "hub" / "tmp").iterdir())


@pytest.mark.parametrize("trick", ["outside", "absolute", "link", "device", "no tar", "cut", "empty", "name"])
def test_a_hostile_tar(trick: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo({"outside": "../../evil", "absolute": "/tmp/evil-of-a-test"}.get(trick, "m/file"))
        member.size = 4
        if trick == "link":
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc", 0
        elif trick == "device":
            member.type, member.size = tarfile.CHRTYPE, 0
        elif trick == "name":
            member.name = "a..b/file"
        if trick != "empty":
            tar.addfile(member, io.BytesIO(b"evil"))
    if trick == "no tar":
        path.write_bytes(b"no tar" * 1000)
    elif trick == "cut":
        path.write_bytes(path.read_bytes()[:600])
    done = run("serve", tmp_path / "a" / "b" / "hub", "--port", "0", "--import", path)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/tmp/evil-of-a-test").exists()
    shutil.rmtree(tmp_path / "a")


def test_users_of_a_damaged_file_are_told(tmp_path: Path) -> None:
    folder = HubFolder(tmp_path / "hub", create=True)
    Users(folder.database).add(Joining("ann"))
    (folder.path / "hub.sqlite").write_bytes(b"damaged" * 100)
    done = run("list-users", folder.path)
    assert done.returncode == 1
    assert "not a database" in done.stderr


def test_the_help_of_each_command_ends_with_examples_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, parameter, context: Path(value))  # no file is here
    reached: list[str] = []
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: reached.append(context.command_path))
    commands = {"zoo hub": hub_commands} | {f"zoo hub {name}": one for name, one in hub_commands.commands.items()}
    for name, command in commands.items():
        lines = [line.strip() for line in (command.epilog or "").partition("Examples:\n")[2].splitlines()]
        assert len(lines) >= 2 and len(set(lines)) == len(lines), name
        for line in lines:
            hub_commands.main(shlex.split(line)[2:], prog_name="zoo hub", standalone_mode=False)
            assert reached[-1].startswith(name), line
