"""kill -9 of the server at each step of a push: what was there stays, nothing is corrupt, and pushing goes on."""

from __future__ import annotations

import base64
import hashlib
import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zoo_hub_server.folder import HubFolder
from zoo_hub_server.maintenance import gc, verify

if TYPE_CHECKING:
    from conftest import Hub

# The server, dying by SIGKILL at the n-th call that changes the disk, counted from when a file named `armed` is there.
MORTAL = """
import builtins, os, signal
at, armed, count = int(os.environ["DIE_AT"]), os.environ["ARMED"], 0
def mortal(name):
    original = getattr(os, name)
    def call(*arguments, **options):
        global count
        if os.path.exists(armed):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(os, name, call)
for name in ("fsync", "replace", "rename", "mkdir", "unlink", "chmod", "remove"):
    mortal(name)
from zoo_core.cli.main import main
main()
"""


def push(hub: Hub, token: str, number: int) -> str:
    """One LFS file and one small one, by hand; the new head.

    Raises:
        OSError: the server went away.
    """
    content = b"weights %d" % number * 1000
    oid = hashlib.sha256(content).hexdigest()
    asked = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(content)}]}
    found = hub.call("POST", "/ann/m.git/info/lfs/objects/batch", asked, token).json()["objects"][0]
    if "actions" in found:
        assert hub.call("PUT", found["actions"]["upload"]["href"], content).status == 200
    lines: list[dict[str, Any]] = [
        {"key": "lfsFile", "value": {"path": "m.bin", "algo": "sha256", "oid": oid, "size": len(content)}},
        {"key": "file", "value": {"path": f"d/{number}.txt", "content": "", "encoding": "base64"}},
    ]
    answer = hub.commit("ann/m", token, lines)
    assert answer.status == 200, answer
    return str(answer.json()["commitOid"])


def content_of(hub: Hub) -> str:
    """The large file at the head, as text, having checked what the tree says of it."""
    (entry,) = (one for one in hub.call("GET", "/api/models/ann/m/tree/main").json() if one["path"] == "m.bin")
    answer = hub.call("GET", "/ann/m/resolve/main/m.bin")
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == entry["lfs"]["oid"]
    return answer.body[:10].decode().strip()


@pytest.mark.slow
def test_killed_at_each_step_of_a_push(serve: Callable[..., Hub], tmp_path: Path) -> None:
    folder, armed = tmp_path / "hub", tmp_path / "armed"
    mortal = [sys.executable, "-c", MORTAL]
    first = serve(folder)
    token = first.add_user("ann")
    assert first.call("POST", "/api/repos/create", {"name": "m"}, token).status == 200
    landed, before = push(first, token, 0), "weights 0w"
    first.stop()

    killed = 0
    for step in range(1, 100):
        server = serve(folder, command=mortal, DIE_AT=str(step), ARMED=str(armed))
        now = server.call("GET", "/api/models/ann/m").json()["sha"]
        assert (now == landed) == (content_of(server) == before), "the previous head, or all of the new one"
        assert not list((folder / "tmp").iterdir())
        landed, before = push(server, token, 1000 + step), f"weights {1000 + step}"[:10]  # nothing stands in the way
        assert content_of(server) == before
        armed.touch()
        try:
            push(server, token, step)
        except (OSError, http.client.HTTPException):
            killed += 1
            assert server.process.wait(10) == -9
        armed.unlink()
        server.stop()
        faults: list[str] = []
        verify(HubFolder(folder), faults.append)
        assert faults == [], f"killed at step {step}"
        if killed < step:  # all steps of a push are behind us
            break
    assert killed >= 10
    faults = []
    verify(HubFolder(folder), faults.append)
    assert faults == []
    time.sleep(0.01)
    gc(HubFolder(folder), grace=0)
    verify(HubFolder(folder), faults.append)
    assert faults == []


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, 5 << 20))
from zoo_core.cli.main import main
main()
"""


def test_a_full_disk(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """Stood in for by a limit of 5 MB on any file: it is told, nothing half-written stays, smaller pushes go on."""
    server = serve(tmp_path / "hub", command=[sys.executable, "-c", FULL])
    token = server.add_user("ann")
    server.call("POST", "/api/repos/create", {"name": "m"}, token)
    landed = push(server, token, 0)
    content = b"x" * 8_000_000
    line = {
        "key": "file",
        "value": {"path": "big", "content": base64.b64encode(content).decode(), "encoding": "base64"},
    }
    answer = server.commit("ann/m", token, [line])
    assert (answer.status, "full" in answer.headers["x-error-message"]) == (507, True)
    asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]}
    found = server.call("POST", "/ann/m.git/info/lfs/objects/batch", asked, token).json()["objects"][0]
    assert server.call("PUT", found["actions"]["upload"]["href"], content).status == 507
    assert not list((server.folder / "tmp").iterdir())
    assert server.call("GET", "/api/models/ann/m").json()["sha"] == landed
    push(server, token, 1)
    assert content_of(server) == "weights 1w"


def test_killed_while_receiving(serve: Callable[..., Hub], tmp_path: Path) -> None:
    server = serve(tmp_path / "hub")
    token = server.add_user("ann")
    server.call("POST", "/api/repos/create", {"name": "m"}, token)
    landed = push(server, token, 0)
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.putrequest("POST", "/api/models/ann/m/commit/main")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", "90000000")
    connection.endheaders()
    connection.send(b'{"key":"file","value":{"content": "' + b"QUJD" * 2_000_000)
    deadline = time.monotonic() + 10
    while not list((server.folder / "tmp").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.process.kill()
    server.stop()
    connection.close()
    again = serve(tmp_path / "hub")
    try:
        assert not list((again.folder / "tmp").iterdir())
        assert again.call("GET", "/api/models/ann/m").json()["sha"] == landed
        assert content_of(again) == "weights 0w"
    finally:
        again.stop()
