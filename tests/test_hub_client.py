"""Releases from a hub: whatever the line, the hub or the disk does, the right bytes or one clear line.

The ordinary client talks to a hub of our own (zoo_toy.peer) that does on demand what hubs do on bad days.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.hub.datafiles import find_data_file
from zoo_core.hub.endpoint import Endpoint, current_endpoint
from zoo_core.hub.integrity import sha256_of
from zoo_core.interfaces.model import Model
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import locate

MODEL = "model.safetensors"
Zoo = Callable[..., Any]
Filesof = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def marker() -> str:
    """The token that opens the peer."""
    return "hf_theMarkerThatNobodyElseMaySee"


@pytest.fixture
def files(toy_release: Path, files_of: Filesof) -> dict[str, bytes]:
    return files_of(toy_release)


@pytest.fixture
def commit(peer: Any, files: dict[str, bytes]) -> str:
    """The commit of org/toy, a release on the hub."""
    return str(peer.add("org/toy", files, tags=("zoo", "toy", "zoo-toy")))


@pytest.fixture
def load(commit: str, registry: Registry) -> Callable[..., Model]:
    def from_hub(reference: str = "hf:org/toy", **options: Any) -> Model:
        return zoo_core.load(reference, registry=registry, **options)

    return from_hub


def is_right(model: Model, toy_release: Path) -> bool:
    return torch.equal(model.logit.detach(), load_file(toy_release / MODEL)["logit"])


def wrong_files(home: Path, files: dict[str, bytes]) -> list[Path]:
    """Files in the hub's cache under a final name whose content nobody has published."""
    good = set(files.values())
    cached = [path for kind in ("snapshots", "blobs") for path in home.glob(f"zoo/*/models--*/{kind}/**/*")]
    return [path for path in cached if path.is_file() and path.read_bytes() not in good]


def refusal(load: Callable[..., Model], *arguments: str) -> str:
    with pytest.raises(ZooError) as error:
        load(*arguments)
    assert "\n" not in error.value.message
    return error.value.message


# What is right.


def test_a_release_loads_from_the_hub_and_then_without_it(
    load: Callable[..., Model], peer: Any, commit: str, toy_release: Path, offline: Callable[[], None]
) -> None:
    model = load()
    assert is_right(model, toy_release)
    assert model.load_report is not None and model.load_report.source == f"hf:org/toy@{commit} at {peer.url}"
    peer.heal()
    assert is_right(load(f"org/toy@{commit}"), toy_release)
    assert peer.requests == []  # a commit does not change, so nobody is asked
    offline()
    for reference in ("hf:org/toy", "hf:org/toy@main", f"hf:org/toy@{commit}"):
        assert is_right(load(reference), toy_release)
    assert peer.requests == []


def test_a_branch_a_tag_and_a_short_commit_are_found(
    load: Callable[..., Model], peer: Any, commit: str, toy_release: Path
) -> None:
    peer.repos["org/toy"].branches |= {"v1": commit, "main": peer.repos["org/toy"].commit({})}
    for revision in ("v1", commit[:8], commit):
        assert is_right(load(f"hf:org/toy@{revision}"), toy_release)
    assert "has no config.json" in refusal(load, "hf:org/toy")


def test_only_what_is_missing_is_fetched(load: Callable[..., Model], peer: Any, files: dict[str, bytes]) -> None:
    load()
    assert {request.path.rpartition("/")[2] for request in peer.asked("GET .*resolve")} == set(files)
    changed = {**files, "README.md": files["README.md"]}
    data = json.loads(files["config.json"])
    changed["config.json"] = json.dumps(data | {"summary": "another"}).encode()
    peer.heal()
    peer.repos["org/toy"].commit(changed)
    load()
    assert [request.path.rpartition("/")[2] for request in peer.asked("GET .*resolve")] == ["config.json"]


def test_nothing_but_the_files_of_a_release_is_fetched(
    load: Callable[..., Model], peer: Any, files: dict[str, bytes]
) -> None:
    peer.repos["org/toy"].commit({**files, "pytorch_model.bin": b"\x80evil", "modeling.py": b"evil()"})
    load()
    assert not peer.asked("pytorch_model|modeling")


def test_pull_shows_the_commit(zoo: Zoo, commit: str, peer: Any) -> None:
    assert zoo("pull", "org/toy", "--no-header") == (0, f"org/toy\tok\thf:org/toy@{commit} at {peer.url}\n", "")
    (found,) = json.loads(zoo("pull", "hf:org/toy", "--json").out)
    assert found["ok"] and (Path(found["folder"]) / MODEL).exists()


def test_pull_takes_globs_and_goes_on_after_a_failure(zoo: Zoo, commit: str) -> None:
    code, out, _ = zoo("pull", "toy*", "hf:org/toy", "hf:org/absent")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert code == 1 and rows["toy.bits"][0] == rows["hf:org/toy"][0] == "ok"
    assert rows["hf:org/absent"][0] == "FAILED" and "there is no org/absent" in rows["hf:org/absent"][1]
    assert zoo("pull", "nothing*").code == 2


def test_pull_can_ask_for_permissive_licences(
    zoo: Zoo, peer: Any, files: dict[str, bytes], make_manifest: Callable[..., str]
) -> None:
    data = json.loads(files["config.json"])
    for licence, code in (("CC-BY-NC-4.0", 1), ("GPL-3.0-only", 1), ("MIT", 0), ("GPL-3.0-only OR MIT", 0)):
        data["licence"]["weights"] = licence
        peer.add("org/other", {**files, "config.json": json.dumps(data).encode()})
        done = zoo("pull", "hf:org/other", "--licence-policy", "permissive")
        assert done.code == code, done
        if code:
            assert f"licence {licence}, which is not permissive" in done.err
        assert zoo("pull", "hf:org/other").code == 0


def test_search_lists_what_a_hub_has_and_whether_its_plugin_is_here(zoo: Zoo, peer: Any, commit: str) -> None:
    peer.add("far/nets", {}, tags=("zoo", "sphinx", "zoo-sphinx", "license:mit"))
    peer.add("far/hidden", {}, tags=("zoo", "sphinx", "zoo-sphinx"), private=True)
    peer.add("far/bert", {}, tags=("transformers",))
    code, out, err = zoo("search")
    assert (code, err) == (0, "")
    assert [line.split("\t") for line in out.splitlines()] == [
        ["repository", "model", "plugin", "here", "changed"],
        ["hf:org/toy", "toy", "zoo-toy", "yes", "2026-05-04"],
        ["hf:far/nets", "sphinx", "zoo-sphinx", "no", "2026-05-04"],
    ]
    assert [row["repo"] for row in json.loads(zoo("search", "nets", "--json").out)] == ["far/nets"]
    assert zoo("search", "absent") == (0, "", "Nothing matches.\n")


def test_search_without_a_hub_says_so_at_once(zoo: Zoo, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9"  # the port of "discard", where nothing listens
    monkeypatch.setenv("HF_ENDPOINT", nobody)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: pytest.fail("it tries again"))
    code, out, err = zoo("search", "toy")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == f"Error: {nobody} cannot be reached"


# Wrong bytes.


@pytest.mark.slow
def test_every_hundredth_byte_of_a_release_is_missed(
    load: Callable[..., Model], peer: Any, files: dict[str, bytes], elsewhere: Callable[[], Path]
) -> None:
    """Whatever byte a hub has wrong, that release does not load, and nothing wrong stays in the cache."""
    places = [(name, place) for name, content in files.items() for place in range(len(content))]
    for name, place in places[:: len(places) // 100]:
        home = elsewhere()
        peer.heal()
        peer.fail(f"GET .*{name}", "flip", at=place)
        message = refusal(load)
        assert name in message and ("sha256" in message or "digest" in message), message
        assert wrong_files(home, files) == []


@pytest.mark.parametrize("name", [MODEL, "golden.safetensors", "README.md", "config.json"])
def test_a_byte_that_was_wrong_once_is_repaired(
    name: str, load: Callable[..., Model], peer: Any, files: dict[str, bytes], toy_release: Path
) -> None:
    peer.fail(f"GET .*{name}", "flip", at=len(files[name]) // 2, times=1)
    assert is_right(load(), toy_release)
    for other in files:
        assert len(peer.asked(f"GET .*{other}")) == (2 if other == name else 1)
    assert wrong_files(Path(os.environ["HF_HOME"]), files) == []


@pytest.mark.parametrize("name", [MODEL, "config.json"])
def test_bytes_that_rot_on_the_disk_are_repaired_or_refused(
    name: str, load: Callable[..., Model], toy_release: Path, offline: Callable[[], None]
) -> None:
    model = load()
    assert model.load_report is not None
    copy = (Path(model.load_report.folder) / name).resolve()

    def rot() -> None:
        content = bytearray(copy.read_bytes())
        content[-4] ^= 1
        copy.write_bytes(content)

    rot()
    assert is_right(load(), toy_release)
    rot()
    offline()
    assert name in refusal(load)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_line_that_breaks_while_a_file_comes_is_mended(
    kind: str, tenth: int, load: Callable[..., Model], peer: Any, files: dict[str, bytes], toy_release: Path
) -> None:
    peer.fail(f"GET .*{MODEL}", kind, at=len(files[MODEL]) * tenth // 10, times=2)
    assert is_right(load(), toy_release)
    assert wrong_files(Path(os.environ["HF_HOME"]), files) == []


def test_a_line_that_always_breaks_is_given_up_after_three_tries(
    load: Callable[..., Model], peer: Any, files: dict[str, bytes]
) -> None:
    peer.fail(f"GET .*{MODEL}", "reset", at=30)
    assert "cannot be reached" in refusal(load)
    assert len(peer.asked(f"GET .*{MODEL}")) == 3
    peer.heal()
    peer.fail(f"GET .*{MODEL}", "cut", at=0)
    assert "cannot be reached" in refusal(load)
    assert wrong_files(Path(os.environ["HF_HOME"]), files) == []


def test_a_slow_hub_is_waited_for(load: Callable[..., Model], peer: Any, toy_release: Path) -> None:
    peer.fail("resolve", "slow", seconds=0.1)
    assert is_right(load(), toy_release)


@pytest.mark.parametrize("change", ["shorter", "longer", "empty"])
@pytest.mark.parametrize("name", [MODEL, "README.md", "config.json"])
def test_a_file_of_another_length_is_refused(
    change: str, name: str, load: Callable[..., Model], peer: Any, files: dict[str, bytes], toy_release: Path
) -> None:
    good = files[name]
    content = {"shorter": good[:-9], "longer": good + b"and more", "empty": b""}[change]
    peer.fail(f"(GET|HEAD) .*{name}", "content", content=content)
    assert name in refusal(load)
    assert wrong_files(Path(os.environ["HF_HOME"]), files) == []
    peer.heal()
    assert is_right(load(), toy_release)


def test_swapped_files_are_refused(load: Callable[..., Model], peer: Any, files: dict[str, bytes]) -> None:
    other = bytearray(files[MODEL])
    other[-1] ^= 255
    peer.add("org/a", {**files, MODEL: files["golden.safetensors"], "golden.safetensors": files[MODEL]})
    peer.add("org/b", {**files, MODEL: bytes(other)})  # of the same size, and the hub's digests are right
    for repo in ("org/a", "org/b"):
        assert f"'{MODEL}' of " in (message := refusal(load, f"hf:{repo}")) and repo in message


def test_a_manifest_pins_what_config_json_cannot(
    load: Callable[..., Model],
    peer: Any,
    commit: str,
    files: dict[str, bytes],
    toy_release: Path,
    make_manifest: Callable[..., str],
    registry: Registry,
    tmp_path: Path,
) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(make_manifest("toy.far", toy_release, [], f"hf:org/toy@{commit}"))
    assert is_right(load("toy.far", manifest=Manifest([path])), toy_release)
    data = json.loads(files["config.json"])
    forged = peer.repos["org/toy"].commit({**files, "config.json": json.dumps(data | {"summary": "forged"}).encode()})
    path.write_text(path.read_text().replace(commit, forged))
    with pytest.raises(ZooError, match=r"config\.json"):
        load("toy.far", manifest=Manifest([path]))
    assert load("hf:org/toy").load_report is not None


# Hubs that say no, or say nothing.


class No(NamedTuple):
    """What the hub does, the exit code, and words that the message has."""

    reference: str
    code: int
    words: tuple[str, ...]
    token: str | None = None
    fault: dict[str, Any] = {}


def status(match: str, status: int) -> dict[str, Any]:
    return {"match": match, "kind": "status", "at": status}


def header(**headers: str) -> dict[str, Any]:
    return {"match": "HEAD", "kind": "header", "headers": headers}


ANSWERS = [
    No("hf:org/absent", 2, ("there is no org/absent", "private", "HF_TOKEN")),
    No("hf:org/absent", 2, ("there is no org/absent",), "right"),
    No("org/absent", 2, ("there is no folder 'org/absent'", "there is no org/absent")),
    No("hf:org/private", 2, ("there is no org/private", "private")),
    No("hf:org/gated", 1, ("gated", "accept terms")),
    No("hf:org/toy", 1, ("does not know this token", "HF_TOKEN"), "hf_wrong"),
    No("hf:org/toy@absent", 2, ("no branch, tag or commit 'absent'",)),
    No(f"hf:org/toy@{'0' * 40}", 2, ("no branch, tag or commit",)),
    No("hf:org/toy@/etc/x", 2, ("cannot be a repository and its revision",)),
    No("hf:org/plain", 1, ("org/plain", "is not a zoo release", "no config.json")),
    No("hf:org/bert", 1, ("org/bert", "is not a zoo release", "another library")),
    No("hf:org/broken", 1, ("config.json", "cannot be read")),
    No("hf:org/huge", 1, ("config.json", "org/huge", "longer than 1000000")),
    No("hf:org/pointer", 1, ("git-lfs pointer", MODEL)),
    No("hf:org/pickle", 1, ("'weights.pkl'", "not a file of a release")),
    No("hf:org/hostile", 1, ("'a b.json'", "not a file of a release")),
    No("hf:org/outside", 1, ("outside the release", "../x.json")),
    No("hf:org/missing", 1, ("has no file 'golden.safetensors'",)),
    No("hf:a--b/..c", 2, ("org/repo",)),
    No("hf:org/toy", 1, ("too many requests", "429"), None, status("GET /api/models", 429)),
    No("hf:org/toy", 1, ("out of order", "503"), None, status("GET /api/models", 503)),
    No("hf:org/toy", 1, ("(403)", "token"), None, status("GET /api/models", 403)),
    No("hf:org/toy", 1, ("(403)", "right to write"), "right", status("GET /api/models", 403)),
    No("hf:org/toy", 1, ("(401)", "token"), None, status("GET /api/models", 401)),
    No("hf:org/toy", 2, ("there is no org/toy",), None, status("GET /api/models", 404)),
    No("hf:org/toy", 1, ("out of order", "503"), None, status(".*resolve", 503)),
    No("hf:org/toy", 1, ("too many requests", "429"), None, status("GET .*resolve", 429)),
    No("hf:org/toy", 1, ("(403)",), None, status("GET .*resolve.*README", 403)),
    No("hf:org/toy", 1, ("418",), None, status("GET .*resolve.*README", 418)),
    No("hf:org/toy", 1, ("does not answer as a hub", "--endpoint"), None, {"match": "GET /api", "kind": "page"}),
    No("hf:org/toy", 1, ("unsafe header etag", "nothing was stored"), None, header(etag="../x")),
    No("hf:org/toy", 1, ("unsafe header etag",), None, header(etag="a" * 300)),
    No("hf:org/toy", 1, ("unsafe header x-linked-etag",), None, header(**{"x-linked-etag": "a/b"})),
    No("hf:org/toy", 1, ("unsafe header x-repo-commit",), None, header(**{"x-repo-commit": "/x"})),
]


@pytest.fixture
def strange(peer: Any, files: dict[str, bytes], commit: str) -> None:
    """Repositories that are no releases."""
    data = json.loads(files["config.json"])
    entry = data["files"]["README.md"]

    def listing(name: str) -> bytes:
        return json.dumps(data | {"files": {**data["files"], name: entry}}).encode()

    peer.add("org/private", files, private=True)
    peer.add("org/gated", files, gated=True)
    peer.add("org/plain", {"README.md": b"hello"})
    peer.add("org/bert", {"config.json": b'{"architectures": ["Bert"], "model_type": "bert"}'})
    peer.add("org/broken", {**files, "config.json": b'{"zoo": '})
    peer.add("org/huge", {**files, "config.json": files["config.json"] + b" " * 1_000_001})
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    peer.add("org/pointer", {**files, MODEL: pointer})
    peer.add("org/pickle", {**files, "weights.pkl": b"\x80", "config.json": listing("weights.pkl")})
    peer.add("org/hostile", {**files, "a b.json": b"", "config.json": listing("a b.json")})
    peer.add("org/outside", {**files, "config.json": listing("../x.json")})
    peer.add("org/missing", {name: content for name, content in files.items() if name != "golden.safetensors"})


@pytest.mark.parametrize("no", ANSWERS, ids=lambda no: f"{no.reference} {no.words[0][:20]} {no.token or ''}")
def test_each_refusal_is_one_clear_line(
    no: No, zoo: Zoo, peer: Any, strange: None, marker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if no.fault:
        peer.fail(**no.fault)
    if no.token:
        monkeypatch.setenv("HF_TOKEN", marker if no.token == "right" else no.token)
    for command in ("load", "pull"):
        code, out, err = zoo(command, no.reference)
        lines = [line for line in err.splitlines() if not line.startswith("  ")]
        assert code == no.code and out == "", err
        assert len(lines) == 1 and lines[0].startswith("Error: "), err
        assert all(word in err for word in no.words), err
        assert "Traceback" not in err and marker not in err and "zoo list" not in err
    assert not list(tmp_path.glob("x*"))


def test_a_hub_that_is_away_or_out_of_order_leaves_what_was_seen_last(
    load: Callable[..., Model], peer: Any, commit: str, toy_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load()
    peer.fail("GET /api", "status", at=503)
    assert is_right(load(), toy_release)
    assert f"as last seen, {commit[:12]}" in capsys.readouterr().err
    peer.fail("GET /api", "status", at=404)
    peer.faults.reverse()
    assert "there is no org/toy" in refusal(load)  # an answer is an answer
    peer.__exit__()
    assert is_right(load(), toy_release)
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("revision", ["", "@" + "0" * 40])
def test_a_hub_that_is_not_there_is_told_at_once(
    revision: str, load: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    assert "http://127.0.0.1:9 cannot be reached" in refusal(load, f"hf:org/toy{revision}")
    assert time.monotonic() - start < 5


def test_offline_says_so(load: Callable[..., Model], offline: Callable[[], None], peer: Any) -> None:
    offline()
    assert "HF_HUB_OFFLINE" in refusal(load)
    assert "HF_HUB_OFFLINE" in refusal(load, f"hf:org/toy@{'0' * 40}")
    assert peer.requests == []


def test_free_space_is_looked_at_first(load: Callable[..., Model], peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(disk_usage=lambda folder: SimpleNamespace(free=10))
    monkeypatch.setattr("zoo_core.hub.endpoint.shutil", full)
    assert "MB left" in refusal(load)
    assert not peer.asked(f"resolve.*{MODEL}")


# Tokens.


def test_a_token_goes_to_its_hub_only_and_a_saved_one_to_huggingface_co(
    load: Callable[..., Model], peer: Any, marker: str, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[], Path]
) -> None:
    (elsewhere() / "token").write_text("hf_saved")
    load()
    assert not any("authorization" in request.headers for request in peer.requests)
    monkeypatch.setenv("HF_TOKEN", marker)
    elsewhere()
    peer.heal()
    load()
    assert {request.headers["authorization"] for request in peer.requests} == {f"Bearer {marker}"}
    monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co/")
    assert current_endpoint() == Endpoint("https://huggingface.co", marker, None)
    monkeypatch.delenv("HF_TOKEN")
    assert current_endpoint() == Endpoint("https://huggingface.co", None, None)  # None: the client's saved one
    monkeypatch.delenv("HF_ENDPOINT")
    assert current_endpoint().url == "https://huggingface.co"


def test_a_redirect_takes_no_token_along(
    load: Callable[..., Model], peer: Any, files: dict[str, bytes], marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_toy.peer import Peer

    monkeypatch.setenv("HF_TOKEN", marker)
    with Peer() as other:
        commit = other.add("cdn/toy", files)
        address = f"{other.url}/cdn/toy/resolve/{commit}/{MODEL}"
        peer.fail(f"GET .*{MODEL}", "redirect", text=address)
        load()
        assert other.requests and not any("authorization" in request.headers for request in other.requests)


@pytest.mark.parametrize("url", ["http://lab-server:8000", "http://10.1.2.3"])
def test_a_token_does_not_travel_readable_by_all(
    url: str, zoo: Zoo, marker: str, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["pull", "hf:org/toy"], ["search"], ["push", "toy", "me/toy"], ["load", "hf:org/toy"]):
        code, out, err = zoo(*command, "--endpoint", url, "--token", marker)
        assert (code, out) == (2, "") and "readable by everyone" in err and "--insecure" in err
        assert marker not in err
    with pytest.raises(UsageError):
        find_data_file("org/data", "x.parquet")
    asked = []
    monkeypatch.setattr("zoo_core.weights.fetching.commit_of", lambda *arguments: asked.append(arguments) or 1 / 0)
    zoo("pull", "hf:org/toy", "--endpoint", url, "--token", marker, "--insecure")
    assert [endpoint.token for endpoint, _, _ in asked] == [marker]
    monkeypatch.delenv("ZOO_INSECURE")
    monkeypatch.delenv("HF_TOKEN")
    assert current_endpoint().token is False


@pytest.mark.parametrize("token", ["hf_one\nhf_two", "hf with blanks", "hf_ü"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(
    token: str, zoo: Zoo, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = zoo("pull", "hf:org/toy", "--token", token)
    assert code == 2 and "not a token" in err and token.split()[-1] not in err


@pytest.mark.parametrize("url", ["lab-server", "ftp://x", "http://", "https://me:secret@hub", "http://x?y=1"])
def test_an_address_that_is_none_is_refused_without_its_password(url: str, zoo: Zoo, peer: Any) -> None:
    code, _, err = zoo("pull", "hf:org/toy", "--endpoint", url)
    assert code == 2 and "is not the address of a hub" in err and "secret" not in err


def test_a_token_is_in_no_message_log_or_exception(
    peer: Any, strange: None, marker: str, monkeypatch: pytest.MonkeyPatch, registry: Registry,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", marker)
    caplog.set_level(logging.DEBUG)
    failed = 0
    for no in ANSWERS:
        peer.faults.clear()
        if no.fault:
            peer.fail(**no.fault)
        try:
            locate(no.reference, registry)
        except ZooError as error:
            failed += 1
            told = "".join(traceback.format_exception(error)) + repr(error)
            assert marker not in told
            chain: list[BaseException] = []
            while error is not None:
                assert error not in chain
                chain.append(error)
                assert marker not in str(vars(error)) + repr(error.args)
                error = error.__cause__ or error.__context__
    out, err = capfd.readouterr()
    assert failed >= 20 and marker not in out + err + caplog.text
    assert marker not in repr(current_endpoint())


# More than one hub, more than one user.


def test_two_hubs_with_the_same_name_do_not_mix(
    load: Callable[..., Model], peer: Any, files: dict[str, bytes], commit: str, toy_release: Path,
    monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None],
) -> None:  # fmt: skip
    from zoo_toy.peer import Peer

    load()
    with Peer() as other:
        monkeypatch.setenv("HF_ENDPOINT", other.url)
        other.add("org/toy", {"README.md": b"not a release"})
        assert "is not a zoo release" in refusal(load)
        assert "no branch, tag or commit" in refusal(load, f"hf:org/toy@{commit}")
    assert "cannot be reached" in refusal(load, "hf:org/toy@v9")
    offline()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "not in the cache" in refusal(load)
    monkeypatch.setenv("HF_ENDPOINT", peer.url)
    assert is_right(load(), toy_release)


def run(options: dict[str, Any], **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(**options, capture_output=True, timeout=120, **more)


@pytest.mark.slow
def test_pull_imports_no_torch(peer: Any, commit: str, zoo_process: Callable[..., dict[str, Any]]) -> None:
    options = zoo_process("pull", "hf:org/toy", "toy.bits")
    code = (
        "import sys; from zoo_core.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'matplotlib')])"
    )
    options["args"] = [sys.executable, "-c", code, *options["args"][3:]]
    done = run(options)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done


def without_privileges() -> None:
    """Root may write everywhere: drop that from the process to be started (Linux)."""
    import ctypes

    drop_from_bounds, write_anyway = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    ctypes.CDLL(None).prctl(drop_from_bounds, write_anyway, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what root may do is taken away as Linux does it")
def test_a_shared_cache_that_cannot_be_written_works(
    peer: Any,
    commit: str,
    zoo: Zoo,
    zoo_process: Callable[..., dict[str, Any]],
    tmp_path: Path,
    files: dict[str, bytes],
) -> None:
    shared = Path(os.environ["HF_HOME"])
    assert zoo("pull", "hf:org/toy").code == 0
    subprocess.run(["chmod", "-R", "a-w", shared], check=True)

    def as_student(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        options = zoo_process(*arguments)
        options["env"] |= {"ZOO_CACHE": str(tmp_path / "mine"), **environment}
        return run(options, preexec_fn=without_privileges)

    try:
        for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
            done = as_student("load", "hf:org/toy", **environment)
            assert done.returncode == 0 and done.stdout.startswith("toy: "), done
        peer.repos["org/toy"].commit({**files, "config.json": files["config.json"] + b"\n"})  # the cache has it not
        done = as_student("pull", "hf:org/toy")
        assert done.returncode == 1 and "cannot be written" in done.stderr and "HF_HOME" in done.stderr, done
        assert as_student("pull", f"hf:org/toy@{commit}").returncode == 0
    finally:
        subprocess.run(["chmod", "-R", "u+w", shared], check=True)


@pytest.fixture(scope="session")
def fifty(big_release: Callable[[int], Path]) -> Path:
    return big_release(50)


@pytest.mark.slow
def test_sixteen_processes_pull_fifty_megabytes_at_once(
    peer: Any, fifty: Path, files_of: Filesof, zoo_process: Callable[..., dict[str, Any]]
) -> None:
    peer.add("org/fifty", files_of(fifty))
    options = zoo_process("pull", "hf:org/fifty", "--json")
    processes = [subprocess.Popen(**options, stdout=-1, stderr=-1) for _ in range(16)]
    for process in processes:
        out, err = process.communicate(timeout=150)
        assert process.returncode == 0, err
        (found,) = json.loads(out)
    assert sha256_of(Path(found["folder"]) / MODEL) == sha256_of(fifty / MODEL)
    assert len(peer.asked(f"GET .*{MODEL}")) == 1  # one fetched it, fifteen waited


def _heed_interrupts() -> None:
    """A shell's background job ignores Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_killed_pull_leaves_nothing_half_visible(
    peer: Any, fifty: Path, files_of: Filesof, zoo_process: Callable[..., dict[str, Any]]
) -> None:
    published = files_of(fifty)
    peer.add("org/fifty", published)
    home = Path(os.environ["HF_HOME"])
    options = zoo_process("pull", "hf:org/fifty")
    for part, stop in ((0.1, signal.SIGKILL), (0.6, signal.SIGKILL), (0.3, signal.SIGINT)):
        peer.heal()
        peer.fail(f"GET .*{MODEL}", "slow", at=int(part * len(published[MODEL])), seconds=0.3)
        process = subprocess.Popen(**options, stdout=-1, stderr=-1, preexec_fn=_heed_interrupts)
        until = time.monotonic() + 60
        while not any(path.stat().st_size > part * 40e6 for path in home.rglob("*.incomplete")):
            assert time.monotonic() < until and process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(stop)
        start = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - start < 10 and "Traceback" not in err
        assert wrong_files(home, published) == [path for path in home.rglob("*.incomplete") if path.stat().st_size]
        for left in home.rglob("*.incomplete"):
            left.unlink()
    peer.heal()
    done = run(options)
    assert done.returncode == 0, done.stderr
    assert wrong_files(home, published) == []
