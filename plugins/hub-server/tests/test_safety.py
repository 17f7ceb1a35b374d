"""Who may do what, and what happens when things go wrong: many writers, damaged bytes, wrong addresses."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Answer, Client, Hub

IMPATIENT = """
import zoo_hub_server.hub as hub, zoo_hub_server.serve as serve
from functools import partial
hub.Limits = partial(
    hub.Limits, stall=1.0, sign_seconds=3, multipart_from=1 << 20, part=1 << 20, regular_up_to=1 << 20, file=8 << 20
)
serve.HEADER_SECONDS = 1
from zoo_core.cli.main import main
main()
"""


def file_line(path: str, content: bytes) -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}


def lfs_line(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha256(content).hexdigest()
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}}


def batch(hub: Hub, repo: str, token: str | None, *contents: bytes, operation: str = "upload") -> Answer:
    objects = [{"oid": hashlib.sha256(one).hexdigest(), "size": len(one)} for one in contents]
    asked = {"operation": operation, "transfers": ["basic", "multipart"], "objects": objects, "hash_algo": "sha256"}
    return hub.call("POST", f"/{repo}.git/info/lfs/objects/batch", asked, token)


def upload_address(hub: Hub, repo: str, token: str, content: bytes) -> str:
    return str(batch(hub, repo, token, content).json()["objects"][0]["actions"]["upload"]["href"])


def head(hub: Hub, repo: str, token: str | None = None) -> str:
    return str(hub.call("GET", f"/api/models/{repo}", token=token).json()["sha"])


def threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` gives for 0 … count - 1, all begun at the same moment."""
    found: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait()
        found[number] = work(number)

    running = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return found


def test_of_five_writers_with_one_parent_one_lands(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("five")
    parent = head(hub, repo)

    def write(number: int) -> Answer:
        return hub.commit(repo, alice, [file_line(f"{number}.txt", b"x")], parentCommit=parent)

    answers = threads(5, write)
    assert sorted(one.status for one in answers) == [200, 412, 412, 412, 412]
    landed = next(one.json()["commitOid"] for one in answers if one.status == 200)
    assert head(hub, repo) == landed
    assert len(hub.call("GET", f"/api/models/{repo}/tree/main").json()) == 2

    answers = threads(5, lambda n: hub.commit(repo, alice, [file_line(f"free-{n}.txt", b"x")]))
    assert [one.status for one in answers] == [200] * 5, "without a parent all land"
    assert len(hub.call("GET", f"/api/models/{repo}/tree/main").json()) == 7
    assert len(hub.call("GET", f"/api/models/{repo}/commits/main").json()) == 7


def test_deleting_a_repository_in_use_is_nobodys_mistake(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """Who reads while it is deleted, and made anew, gets what was there, or that there is none; never a 500."""
    hub = serve(tmp_path / "hub")
    token = hub.add_user("alice")
    repo, api = "alice/fleeting", "/api/models/alice/fleeting"
    content = b"w" * 10_000
    files = [file_line(f"d{number % 3}/{number}.txt", b"%d" % number) for number in range(20)]
    over = threading.Event()
    found: list[Answer] = []

    def read(number: int) -> None:
        asked = [
            api,
            f"{api}?blobs=true",
            f"{api}/refs",
            f"{api}/commits/main",
            f"{api}/tree/main?recursive=true&expand=true",
            f"/{repo}/resolve/main/w.bin",
            f"/{repo}/resolve/main/d1/1.txt",
            f"/{repo}",
            "/api/models?full=true",
            "/",
        ]
        at = number
        while not over.is_set():
            answer = hub.call("GET", asked[at % len(asked)])
            found.append(answer)
            if asked[at % len(asked)] in ("/api/models?full=true", "/"):
                assert answer.status == 200, "the lists are of those that are there"
            elif answer.status != 200:
                codes = (
                    ("RepoNotFound", "EntryNotFound") if "/resolve/" in asked[at % len(asked)] else ("RepoNotFound",)
                )
                assert answer.headers.get("x-error-code") in codes, (asked[at % len(asked)], answer)
            at += 1

    def write(number: int) -> None:
        while not over.is_set():
            body = {"files": [{"path": f"{number}.bin", "size": len(content), "sample": ""}]}
            found.append(hub.call("POST", f"{api}/preupload/main", body, token))
            found.append(batch(hub, repo, token, content))
            found.append(hub.commit(repo, token, [file_line(f"{number}.bin", os.urandom(4))]))
            found.append(hub.call("POST", f"{api}/branch/b{number}", {}, token))

    def turn(_: int) -> None:
        try:
            for _ in range(12):
                assert hub.call("POST", "/api/repos/create", {"name": "fleeting"}, token).status == 200
                assert hub.commit(repo, token, [*files, file_line("w.bin", content)]).status == 200
                assert hub.call("DELETE", "/api/repos/delete", {"name": "fleeting"}, token).status == 200
        finally:
            over.set()

    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            turn(0) if number == 0 else (write if number == 1 else read)(number)
        except BaseException as error:
            problems.append(error)
            over.set()

    threads(5, work)
    assert not problems, problems[0]
    statuses = {answer.status for answer in found}
    assert {200, 401} <= statuses
    assert max(statuses) < 500, [one for one in found if one.status >= 500][:3]
    assert "Traceback" not in hub.log()
    assert not list((hub.folder / "models" / "alice").iterdir()), "nothing of it comes back"


def test_sixteen_pulls_at_once(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("pulls")
    content = os.urandom(1 << 20) * 50
    digest = hashlib.sha256(content).hexdigest()
    assert hub.call("PUT", upload_address(hub, repo, alice, content), content).status == 200
    assert hub.commit(repo, alice, [lfs_line("m.safetensors", content)]).status == 200

    def pull(number: int) -> str:
        connection = http.client.HTTPConnection(hub.address, timeout=60)
        connection.request("GET", f"/{repo}/resolve/main/m.safetensors")
        answer = connection.getresponse()
        found = hashlib.file_digest(answer, "sha256").hexdigest()  # type: ignore[arg-type]
        connection.close()
        return found

    assert threads(16, pull) == [digest] * 16


def test_altered_bytes_are_refused(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("altered")
    before = head(hub, repo)
    content = b"0123456789" * 1000
    address = upload_address(hub, repo, alice, content)
    damaged = b"1" + content[1:]
    for sent in (damaged, content[:-1], content + b"x", b""):
        answer = hub.call("PUT", address, sent)
        assert answer.status in (400, 413), sent[:4]
        assert answer.headers["x-error-message"]
    assert hub.commit(repo, alice, [lfs_line("m.bin", content)]).status == 400, "it was never uploaded"
    assert head(hub, repo) == before
    assert hub.call("PUT", address, content).status == 200
    assert hub.commit(repo, alice, [lfs_line("m.bin", content)]).status == 200
    assert hub.call("GET", f"/{repo}/resolve/main/m.bin").body == content
    assert not list((hub.folder / "tmp").iterdir())


def test_an_empty_large_file(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("empty")
    assert hub.call("PUT", upload_address(hub, repo, alice, b""), b"").status == 200
    assert hub.commit(repo, alice, [lfs_line("e.bin", b""), file_line("e.txt", b"")]).status == 200
    for name in ("e.bin", "e.txt"):
        answer = hub.call("GET", f"/{repo}/resolve/main/{name}")
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert hub.call("GET", f"/{repo}/resolve/main/{name}", Range="bytes=0-").status == 416


def test_addresses_of_uploads_are_good_for_one_thing(
    hub: Hub, alice: str, bob: str, new_repo: Callable[..., str]
) -> None:
    repo, other = new_repo("signed"), new_repo("signed-other")
    content = b"secret weights"
    address = upload_address(hub, repo, alice, content)
    oid = hashlib.sha256(content).hexdigest()
    for wrong in (
        address.replace(repo, other),
        address.replace(oid, "0" * 64),
        address.replace(f"size={len(content)}", "size=15"),
        address.replace("expires=", "expires=9"),
        address[:-1] + ("0" if address[-1] != "0" else "1"),
        address.partition("?")[0],
        address.replace("signature=", "signature=%C3%A9"),
    ):
        assert hub.call("PUT", wrong, content).status == 403, wrong
    assert hub.call("POST", address.replace("?", "/verify?"), {"oid": oid, "size": 1}).status == 403
    assert hub.call("GET", address).status == 403
    assert batch(hub, repo, None, content).status == 401
    assert batch(hub, repo, bob, content).status == 403
    assert hub.call("PUT", address, content).status == 200


def test_a_digest_opens_no_private_file(hub: Hub, alice: str, bob: str, new_repo: Callable[..., str]) -> None:
    """Who knows the sha256 of a private file cannot claim it for a repository of their own."""
    repo = new_repo("vault", visibility="private")
    content = b"private weights"
    hub.call("PUT", upload_address(hub, repo, alice, content), content)
    assert hub.commit(repo, alice, [lfs_line("w.bin", content)]).status == 200
    hub.call("POST", "/api/repos/create", {"name": "thief"}, bob)
    assert "actions" in batch(hub, "bob/thief", bob, content).json()["objects"][0], "it must be sent, not claimed"
    assert hub.commit("bob/thief", bob, [lfs_line("w.bin", content)]).status == 400
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\nsize 15\n"
    assert hub.commit("bob/thief", bob, [file_line("w.txt", pointer.encode())]).status == 400
    assert "error" in batch(hub, "bob/thief", bob, content, operation="download").json()["objects"][0]


def test_private_means_unknown(hub: Hub, alice: str, bob: str, carol: str, new_repo: Callable[..., str]) -> None:
    """To others a private repository answers exactly as one that is not there."""
    mine, ours = new_repo("hidden", visibility="private"), new_repo("hidden", organization="lab", visibility="private")
    for token in (bob, None):
        for template in (
            "/api/models/{}", "/api/models/{}/tree/main", "/api/models/{}/refs", "/api/models/{}/commits/main",
            "/{}/resolve/main/.gitattributes", "/api/models/{}/auth-check", "/{}", "/{}/tree/main",
        ):  # fmt: skip
            hidden, none = (hub.call("GET", template.format(repo), token=token) for repo in (mine, "alice/none"))
            assert (hidden.status, hidden.body) == (none.status, none.body.replace(b"none", b"hidden"))
            assert hidden.headers["x-error-code"] == "RepoNotFound"
            assert hidden.status == (401 if token is None else 404)
    assert b"hidden" not in hub.call("GET", "/api/models", token=bob).body + hub.call("GET", "/").body
    assert hub.call("GET", f"/api/models/{ours}", token=carol).status == 200
    assert hub.call("GET", f"/api/models/{mine}", token=carol).status == 404
    basic = base64.b64encode(f"alice:{alice}".encode()).decode()
    assert b"hidden" in hub.call("GET", "/", Authorization=f"Basic {basic}").body


def test_roles(hub: Hub, alice: str, bob: str, carol: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("roles", organization="lab")
    writes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/api/models/{repo}/commit/main", {"key": "header", "value": {}}),
        ("POST", f"/api/models/{repo}/preupload/main", {"files": []}),
        ("POST", f"/api/models/{repo}/branch/x", {}),
        ("POST", f"/api/models/{repo}/tag/main", {"tag": "x"}),
        ("DELETE", f"/api/models/{repo}/branch/x", {}),
        ("DELETE", f"/api/models/{repo}/tag/x", {}),
        ("PUT", f"/api/models/{repo}/settings", {"visibility": "private"}),
        ("POST", f"/api/models/{repo}/super-squash/main", {}),
        ("GET", f"/api/models/{repo}/auth-check/write", {}),
        ("DELETE", "/api/repos/delete", {"name": "roles", "organization": "lab"}),
        ("POST", "/api/repos/move", {"fromRepo": repo, "toRepo": "bob/mine", "type": "model"}),
        ("POST", "/api/repos/create", {"name": "new", "organization": "lab"}),
    ]
    for method, path, body in writes:
        for token, status in ((None, 401), ("zoo_wrong", 401), (carol, 403), (bob, 403)):
            answer = hub.call(method, path, body, token)
            assert answer.status == status, (method, path, token)
            assert answer.headers["x-error-message"]
    assert hub.call("POST", "/api/repos/move", {"fromRepo": "alice/x", "toRepo": "lab/x"}, bob).status in (403, 404)
    basic = base64.b64encode(f"alice:{alice}".encode()).decode()
    refused = hub.call("POST", "/api/repos/create", {"name": "forged"}, Authorization=f"Basic {basic}")
    assert refused.status == 401, "what a browser sends by itself must not write"
    assert hub.call("GET", f"/api/models/{repo}/auth-check/write", token=alice).status == 200


def test_tokens_are_nowhere_on_the_disk(hub: Hub, alice: str, bob: str) -> None:
    for path in hub.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert alice.encode() not in content
            assert bob.encode() not in content
    assert (hub.folder / "hub.sqlite").stat().st_mode & 0o077 == 0
    with sqlite3.connect(hub.folder / "hub.sqlite") as db:
        ((stored,),) = db.execute("SELECT token_sha256 FROM users WHERE name = 'alice'")
    db.close()
    assert stored == hashlib.sha256(alice.encode()).hexdigest()
    assert alice not in hub.log()


def test_what_a_commit_may_hold(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("paths")
    for path in (
        "../x", "a/../b", "/x", "a//b", "", ".", "a/", ".git/config", "a/.GIT/x", "a\\b", "a\0b", "a\nb", "x" * 300,
        "d/" * 600 + "f", "git~1/x", ".git. /x",
    ):  # fmt: skip
        assert hub.commit(repo, alice, [file_line(path, b"x")]).status == 422, path
    assert hub.commit(repo, alice, [file_line("a", b"x"), file_line("a/b", b"x")]).status == 400
    assert hub.commit(repo, alice, [{"key": "file", "value": {"path": "x", "content": "no base64"}}]).status == 400
    assert hub.commit(repo, alice, [{"key": "strange", "value": {}}]).status == 400
    assert hub.commit(repo, alice, [{"key": "deletedFile", "value": {"path": "none"}}]).status == 404
    assert hub.commit(repo, alice, [file_line("x", b"1")], branch="none").status == 404
    assert hub.commit(repo, alice, [file_line("x", b"1")], branch=head(hub, repo)).status == 400
    assert hub.commit(repo, alice, [file_line("x", b"1")], parentCommit="main").status == 412
    for name in ("a..b", "-", "x.git", "a--b", "CON", "é", "a/b", "", "x" * 97):
        assert hub.call("POST", "/api/repos/create", {"name": name}, alice).status == 400, name
    assert hub.call("POST", "/api/repos/create", {"name": "PATHS"}, alice).status == 409, "capitals tell no two apart"
    for branch in ("a..b", "x.lock", "main~1", "a%20b", "%2Fx", "x%2F", "HEAD", "0" * 40):
        assert hub.call("POST", f"/api/models/{repo}/branch/{branch}", {}, alice).status in (400, 404), branch
    assert hub.call("POST", f"/api/models/{repo}/branch/main%2Fx", {}, alice).status == 409
    assert len(hub.call("GET", f"/api/models/{repo}/commits/main").json()) == 1


def test_a_clone_of_the_folder_is_whole(hub: Hub, alice: str, new_repo: Callable[..., str], tmp_path: Path) -> None:
    """git can clone it, finds nothing wrong, and knows which files are LFS, whatever they are called."""
    repo = new_repo("clone")
    large = b"L" * 1_500_000
    for path in ("plain name.large", "we[i]rd #1.large"):
        assert hub.commit(repo, alice, [file_line(path, large), file_line("a/small.txt", b"s")]).status == 200
    place = hub.folder / "models" / "alice" / "clone.git"
    subprocess.run(["git", "-C", place, "fsck", "--strict"], check=True, capture_output=True)
    environment = os.environ | {
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
    }
    environment["GIT_CONFIG_VALUE_0"] = "*"
    quiet: dict[str, Any] = {"check": True, "capture_output": True, "env": environment, "text": True}
    subprocess.run(["git", "clone", "-q", place, tmp_path / "clone"], **quiet)
    assert (tmp_path / "clone" / "a" / "small.txt").read_text() == "s"
    names = ["plain name.large", "we[i]rd #1.large", "a/small.txt"]
    asked = subprocess.run(["git", "-C", tmp_path / "clone", "check-attr", "filter", *names], **quiet).stdout
    assert [line.rsplit(": ", 1)[1] for line in asked.splitlines()] == ["lfs", "lfs", "unspecified"]


def test_many_commits_are_packed(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("packed")
    for number in range(60):
        assert hub.commit(repo, alice, [file_line("n.txt", b"%d" % number)]).status == 200
    assert len(list((hub.folder / "models/alice/packed.git/objects/pack").glob("*.pack"))) < 20
    history = hub.call("GET", f"/api/models/{repo}/commits/main?limit=100").json()
    assert len(history) == 61
    assert hub.call("GET", f"/{repo}/resolve/{history[30]['id']}/n.txt").body == b"29"


@pytest.fixture(scope="module")
def impatient(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A hub with small limits and no patience."""
    import sys

    running = type(hub)(tmp_path_factory.mktemp("impatient") / "hub", command=[sys.executable, "-c", IMPATIENT])
    yield running
    running.stop()


def test_parts(impatient: Hub, client: Client, tmp_path: Path) -> None:
    """The real client sends a large file in parts; by hand, wrong parts are refused."""
    token = impatient.add_user("parts")
    sender = type(client)(tmp_path / "home", impatient.endpoint, token)
    (tmp_path / "large.bin").write_bytes(os.urandom(3_500_000))

    def push(api: Any, file: str) -> Any:
        api.create_repo("parts/large")
        api.upload_file(repo_id="parts/large", path_or_fileobj=file, path_in_repo="large.bin")
        return Path(api.hf_hub_download("parts/large", "large.bin")).stat().st_size

    assert sender(push, tmp_path / "large.bin", HF_HUB_DISABLE_XET="1") == 3_500_000
    content = b"p" * 2_500_000
    action = batch(impatient, "parts/large", token, content).json()["objects"][0]["actions"]["upload"]
    parts = {name: url for name, url in action["header"].items() if name.isdigit()}
    assert sorted(parts) == ["1", "2", "3"]
    oid = hashlib.sha256(content).hexdigest()
    done = {"oid": oid, "parts": [{"partNumber": n, "etag": "x"} for n in (1, 2, 3)]}
    assert impatient.call("PUT", parts["1"], content[: 1 << 20]).status == 200
    assert impatient.call("PUT", parts["2"], content[:10]).status == 400
    assert impatient.call("POST", action["href"], done).status == 400, "parts are missing"
    impatient.call("PUT", parts["2"], content[: 1 << 20])
    impatient.call("PUT", parts["3"], b"x" * (len(content) - (2 << 20)))
    assert impatient.call("POST", action["href"], done).status == 400, "the whole has another sha256"
    impatient.call("PUT", parts["3"], content[2 << 20 :])
    assert impatient.call("POST", action["href"], done).status == 200
    assert impatient.commit("parts/large", token, [lfs_line("p.bin", content)]).status == 200
    assert not list((impatient.folder / "tmp").iterdir())


def test_the_unwilling_xet_client_is_told(impatient: Hub, client: Client, tmp_path: Path) -> None:
    token = impatient.add_user("xet")
    sender = type(client)(tmp_path / "home", impatient.endpoint, token)
    (tmp_path / "large.bin").write_bytes(b"x" * 2_000_000)

    def push(api: Any, file: str) -> Any:
        api.create_repo("xet/large")
        api.upload_file(repo_id="xet/large", path_or_fileobj=file, path_in_repo="large.bin")

    with pytest.raises(client.Failed) as failed:
        sender(push, tmp_path / "large.bin")
    assert "404" in failed.value.message


def test_addresses_expire_and_sizes_are_limited(impatient: Hub) -> None:
    token = impatient.add_user("limits")
    assert impatient.call("POST", "/api/repos/create", {"name": "x"}, token).status == 200
    address = upload_address(impatient, "limits/x", token, b"late")
    error = batch(impatient, "limits/x", token, b"x" * (9 << 20)).json()["objects"][0]["error"]
    assert error["code"] == 413
    assert impatient.commit("limits/x", token, [file_line("x", b"x" * (9 << 20))]).status == 413
    time.sleep(4.1)
    answer = impatient.call("PUT", address, b"late")
    assert (answer.status, "expired" in answer.headers["x-error-message"]) == (403, True)


def test_slow_clients_are_dropped(impatient: Hub) -> None:
    """No headers; headers without end; a body that stops; one that trickles."""
    token = impatient.add_user("slow")
    host, port = impatient.address.split(":")
    start = f"POST /api/validate-yaml HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    body = f"{start}Content-Length: 100\r\n\r\n{{"
    opened = [socket.create_connection((host, int(port)), timeout=15) for _ in range(4)]
    opened[1].sendall(start.encode())
    opened[2].sendall(body.encode())
    opened[3].sendall(body.encode())
    deadline = time.monotonic() + 8
    answers = [b""] * 4
    waiting = {0, 1, 2, 3}
    while waiting and time.monotonic() < deadline:
        time.sleep(0.2)
        if 3 in waiting:
            try:
                opened[3].sendall(b" ")
            except OSError:
                waiting.discard(3)
        for number in list(waiting):
            opened[number].settimeout(0.01)
            try:
                data = opened[number].recv(4096)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            answers[number] += data
            if not data:
                waiting.discard(number)
    for one in opened:
        one.close()
    assert not waiting
    assert answers[2].startswith(b"HTTP/1.1 408")
    assert impatient.call("GET", "/api/models").status == 200
    assert "Traceback" not in impatient.log()


def test_who_does_not_take_the_answer_is_dropped(impatient: Hub) -> None:
    token = impatient.add_user("reader")
    impatient.call("POST", "/api/repos/create", {"name": "x"}, token)
    assert impatient.commit("reader/x", token, [file_line("big", bytes(6_200_000))]).status == 200
    host, port = impatient.address.split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect((host, int(port)))
        slow.sendall(b"GET /reader/x/resolve/main/big HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(7)
        received = 0
        try:
            while data := slow.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            pass
    assert received < 6_200_000
    assert "Traceback" not in impatient.log()


def test_a_read_only_hub(serve: Callable[..., Hub], tmp_path: Path) -> None:
    first = serve(tmp_path / "hub")
    token = first.add_user("ann")
    first.call("POST", "/api/repos/create", {"name": "x"}, token)
    first.stop()
    second = serve(tmp_path / "hub", "--read-only")
    try:
        assert second.call("GET", "/api/models/ann/x").status == 200
        assert second.call("POST", "/api/repos/create", {"name": "y"}, token).status == 403
        assert second.commit("ann/x", token, [file_line("x", b"x")]).status == 403
        assert batch(second, "ann/x", token, b"x").status == 403
    finally:
        second.stop()


def test_answers_of_errors_leave_the_connection_in_order(hub: Hub, alice: str) -> None:
    """A refusal before the body was read must not make the next answer of the connection wrong."""
    connection = http.client.HTTPConnection(hub.address, timeout=20)
    for _ in range(3):
        connection.request("POST", "/api/models/alice/none/commit/main", body=b"x" * 2_000_000)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
        connection.request("GET", "/api/models")
        answer = connection.getresponse()
        assert isinstance(json.loads(answer.read()), list)
        assert answer.status == 200
    connection.close()
