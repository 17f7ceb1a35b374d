"""Ten thousand requests that nobody well-meaning sends: no 5xx, nothing written outside the folder, memory bounded."""

from __future__ import annotations

import base64
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from conftest import Hub

REQUESTS = 10_000
ATTACKERS = 4
MEMORY = 200 << 20  # bytes; an idle server has about 45 MB
SEGMENTS = [
    "..", ".", "", "%2e%2e", "%2e%2e%2f", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "%c0%ae", "a%0d%0aX-Evil:1",
    "main",
    "alice", "target", "models", "datasets", "spaces", "api", "resolve", "tree", "%5c..%5c", "C:", "con", "NUL.txt",
    "~", "-", "$(id)", "`id`", "'", '"', "<script>", "%F0%9F%98%80", "x" * 300, "refs%2Fheads%2Fmain", "HEAD", "0" * 40,
    "deadbeef", "@{u}", "main~1", "target.git", "hub.sqlite", "zoo.json", "lfs", "wheels", "simple", "static", "%",
    "%zz", "info", "objects", "batch", ".gitattributes", "config", "..;", "x;y=1", "a b",
]  # fmt: skip
PREFIXES = [
    "/", "/api/", "/api/models/", "/api/datasets/", "/api/models/alice/target/", "/alice/target/resolve/main/",
    "/alice/target/resolve/", "/alice/target/tree/main/", "/api/models/alice/target/tree/", "/wheels/", "/simple/",
    "/api/models/alice/target/commit/", "/api/models/alice/target/branch/", "/api/models/alice/target/tag/",
    "/lfs/models/alice/target/", "/alice/target.git/", "/datasets/", "/static/", "/api/users/", "/api/repos/",
    "/api/models/alice/target/revision/", "/api/models/alice/target/paths-info/", "/api/models/alice/target/preupload/",
]  # fmt: skip
REPO = "/api/models/alice/target"
REAL = [  # right but for one part
    ("GET", "/api/models?{}"), ("GET", REPO + "/tree/{}?recursive=true"), ("GET", REPO + "/tree/main/{}?expand=true"),
    ("GET", REPO + "/revision/{}?blobs=true"), ("GET", REPO + "/commits/{}"), ("GET", "/alice/target/resolve/main/{}"),
    ("GET", "/alice/target/resolve/{}/.gitattributes"), ("GET", "/alice/target/tree/{}"), ("GET", "/?search={}&page=2"),
    ("GET", "/alice/target?{}"), ("HEAD", "/alice/target/resolve/main/.gitattributes?{}"), ("GET", "/simple/{}/"),
    ("POST", "/api/repos/create?{}"), ("DELETE", "/api/repos/delete?{}"), ("POST", "/api/repos/move?{}"),
    ("PUT", REPO + "/settings?{}"), ("POST", REPO + "/branch/{}"), ("DELETE", REPO + "/branch/{}"),
    ("POST", REPO + "/tag/{}"), ("DELETE", REPO + "/tag/{}"), ("POST", REPO + "/paths-info/{}"),
    ("POST", REPO + "/preupload/main?{}"), ("POST", REPO + "/commit/main?{}"), ("POST", REPO + "/commit/{}"),
    ("POST", "/alice/target.git/info/lfs/objects/batch?{}"), ("POST", "/api/validate-yaml?{}"),
    ("PUT", "/lfs/models/alice/target/" + "0" * 64 + "?size=3&expires=9999999999&signature={}"),
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"]
VALUES = [
    None, True, 0, -1, 1 << 70, 1e308, "", "x", "../..", "\ud800", "a\0b", "\r\nX: y", [], [[]], {}, {"a": {}},
    "é" * 100,
    "a" * 5000, ["x"] * 50,
]  # fmt: skip
HEADERS = [
    ("Authorization", "Bearer "), ("Authorization", "Basic %%%"), ("Authorization", "Basic " + "A" * 4000),
    ("Authorization", "\x7f\xff"), ("Range", "bytes=-"), ("Range", "bytes=99999999999999999999-"),
    ("Range", "bytes=1-0"),
    ("Range", "bytes=" + ",".join(["0-0"] * 500)), ("Content-Type", "application/x-www-form-urlencoded"),
    ("Accept", "text/html"), ("Accept-Encoding", "gzip"), ("Content-Encoding", "gzip"), ("Host", "a b\"<>"),
    ("Host", ""),
    ("If-None-Match", "*"), ("If-Range", "x"), ("X-Forwarded-Host", "evil"), ("X-Forwarded-Proto", "javascript"),
    ("x-amzn-trace-id", "\xff" * 50), ("Cookie", "x" * 3000), ("Transfer-Encoding", "gzip"), ("Expect", "100-continue"),
    ("Upgrade", "websocket"), ("Connection", "upgrade"), ("X-Zoo-Upload", "lfs"), ("X-Long", "y" * 70_000),
]  # fmt: skip


class Attacker:
    """Requests of one seed."""

    def __init__(self, seed: int, token: str) -> None:
        self.random = random.Random(seed)
        self.token = token

    def request(self) -> tuple[bytes, bool]:
        """One request, which asks to close the connection, and whether its body is all there."""
        pick = self.random
        path = pick.choice(PREFIXES) + "/".join(pick.choices(SEGMENTS, k=pick.randrange(5)))
        if pick.random() < 0.3:
            path += "?" + "&".join(
                f"{name}={pick.choice(SEGMENTS)}"
                for name in pick.choices(
                    ["cursor", "limit", "expand", "recursive", "search", "page", "size", "filter"], k=3
                )
            )
        method = pick.choice(METHODS)
        real = pick.random() < 0.6
        if real:
            method, template = pick.choice(REAL)
            path = template.format("/".join(pick.choices(SEGMENTS, k=pick.randrange(3))))
        headers = [("Host", "hub")] if pick.random() < 0.9 else []
        if real or pick.random() < 0.6:
            headers.append(("Authorization", f"Bearer {self.token}"))
        headers += pick.choices(HEADERS, k=pick.choice((0, 0, 0, 1, 2)))
        body = self.body() if method in ("POST", "PUT", "DELETE", "PATCH") else b""
        length = len(body)
        if pick.random() < 0.05:
            length = pick.choice([-1, 1 << 70, max(0, length - 3), length + 5])
        if body:
            headers.append(("Content-Length", str(length)))
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers),
            "Connection: close",
            "",
            "",
        ]
        raw = "\r\n".join(lines).encode("latin-1", "replace") + body
        if pick.random() < 0.03:  # and sometimes no HTTP at all
            raw = pick.randbytes(200) + b"\r\n\r\n"
        return raw, length <= len(body)

    def body(self) -> bytes:
        pick = self.random
        kind = pick.randrange(8)
        if kind == 0:
            return pick.randbytes(pick.randrange(2000))
        if kind == 1:
            return b"[" * pick.randrange(100_000)
        if kind == 2:
            return b"paths=" + b"&paths=".join(pick.choice(SEGMENTS).encode() for _ in range(50))
        if kind == 3:
            names = [
                "name",
                "organization",
                "type",
                "tag",
                "startingPoint",
                "oid",
                "size",
                "files",
                "objects",
                "operation",
            ]
            names += ["fromRepo", "toRepo", "visibility", "gated", "content", "parts", "hash_algo", "message", "paths"]
            return json.dumps({name: pick.choice(VALUES) for name in pick.choices(names, k=6)}).encode()
        if kind == 4:
            bad = [
                "---\na: &a [x, x]\nb: *a\n---\n",
                "---\n" + "[" * 3000 + "\n---\n",
                "---\nx: 0x" + "f" * 9000 + "\n---",
            ]
            bad += [
                "---\nd: 2024-99-99\n---\n",
                "---\nx: .nan\ny: !!python/object:os.system {}\n---\n",
                '---\nx: "\\ud800"\n---\n',
            ]
            return json.dumps({"content": pick.choice(bad)}).encode()
        return b"".join(self.line() for _ in range(pick.randrange(1, 6)))

    def line(self) -> bytes:
        """A line of a commit."""
        pick = self.random
        path = pick.choice(
            ["ok.txt", "a/b.txt", "../x", ".git/hooks/post-update", "a\0", "README.md", "\ud800", "x" * 2000]
        )
        content = pick.choice(["", "QUJD", "!!!", "QQ", "QQ==QQ==", base64.b64encode(b"---\nx: *y\n---").decode()])
        value = {"path": path, "content": content, "encoding": pick.choice(["base64", "utf-8", "rot13"])}
        if pick.random() < 0.2:
            value = {"path": path, "algo": "sha256", "oid": pick.choice(["0" * 64, "x", "../" * 20]), "size": "9"}
        if pick.random() < 0.2:
            value = pick.choice(VALUES)  # type: ignore[assignment]
        key = pick.choice(["header", "file", "lfsFile", "deletedFile", "deletedFolder", "evil", ""])
        line = json.dumps({"key": key, "value": value}).encode()
        return line[: pick.randrange(len(line))] if pick.random() < 0.1 else line + b"\n"


def attack(address: str, attacker: Attacker) -> Counter[int]:
    """One attacker's requests; how often each status was the answer."""
    host, port = address.split(":")
    statuses: Counter[int] = Counter()
    for number in range(REQUESTS // ATTACKERS):
        raw, whole = attacker.request()
        answer = b""
        with socket.create_connection((host, int(port)), timeout=30 if whole else 0.1) as connection:
            try:
                connection.sendall(raw)
                while data := connection.recv(1 << 16):
                    answer += data
            except OSError:  # the hub hung up, or waits for the rest
                pass
        answer = answer.removeprefix(b"HTTP/1.1 100 \r\n\r\n")
        if answer:
            status = int(answer[9:12])
            statuses[status] += 1
            assert status < 500, (number, raw[:300], answer[:300])
            assert b"\nx-evil" not in answer.lower().partition(b"\r\n\r\n")[0]
    return statuses


@pytest.mark.slow
def test_ten_thousand_hostile_requests(hub: Hub, serve: Callable[..., Hub], tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    server = serve(tmp_path / "outer" / "hub")
    token = server.add_user("alice")
    assert server.call("POST", "/api/repos/create", {"name": "target"}, token).status == 200
    with ThreadPoolExecutor(ATTACKERS) as pool:
        found = list(pool.map(lambda seed: attack(server.address, Attacker(seed, token)), range(ATTACKERS)))
    statuses = sum(found, Counter())
    memory = psutil.Process(server.process.pid).memory_info().rss
    assert server.call("GET", "/api/models").status == 200
    server.stop()
    assert sum(statuses.values()) > REQUESTS * 0.9
    assert statuses[200] > 500, statuses  # much of it is let in
    assert "Traceback" not in server.log()
    assert memory < MEMORY, f"{memory >> 20} MB"
    outside = [path for path in tmp_path.rglob("*") if server.folder not in (path, *path.parents)]
    assert {path.name for path in outside} == {"outer", "hub.log"}
    known = {"hub.sqlite", "serve.lock", "names.lock", "models", "datasets", "wheels", "tmp", "locks", "log.jsonl"}
    assert {path.name for path in server.folder.iterdir()} == known
    assert not list((server.folder / "tmp").iterdir())


def test_long_lines_do_not_fill_the_memory(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """A file of 150 MB in a commit's line goes to the disk as it comes; a line without end is refused."""
    server = serve(tmp_path / "hub")
    token = server.add_user("ann")
    server.call("POST", "/api/repos/create", {"name": "m"}, token)
    before = psutil.Process(server.process.pid).memory_info().rss
    block = base64.b64encode(bytes(3 << 20))
    parts = [b'{"key":"header","value":{"summary":"long"}}\n{"key":"file","value":{"content": "', *[block] * 50]
    parts += [b'", "path": "zeros.bin", "encoding": "base64"}}\n']

    def send(*pieces: bytes) -> int:
        import http.client

        connection = http.client.HTTPConnection(server.address, timeout=60)
        connection.putrequest("POST", "/api/models/ann/m/commit/main")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", str(sum(map(len, pieces))))
        connection.endheaders()
        for piece in pieces:
            connection.send(piece)
        status = connection.getresponse().status
        connection.close()
        return status

    assert send(*parts) == 200
    assert server.call("HEAD", "/ann/m/resolve/main/zeros.bin").headers["content-length"] == str(150 << 20)
    assert send(b'{"key":"', b"x" * (30 << 20)) == 400
    assert send(b'{"key":"file","value":{"content":"', b"QUJD" * 1_000_000, b'","path":"', b"y" * (10 << 20)) == 400
    assert send(b'{"key":"file","value":{"content":"', b"QUJD" * 1_000_000, b"!!!!" * 1_000_000, b'"}}') == 400
    after = psutil.Process(server.process.pid).memory_info().rss
    server.stop()
    assert after - before < 100 << 20, f"{(after - before) >> 20} MB"
    assert not list((server.folder / "tmp").iterdir())
