"""A tiny Hugging Face hub for tests: models in a dictionary, every request recorded, and faults on demand.

It speaks what the ordinary client needs for model_info, downloads, LFS uploads, commits and lists, and nothing else.
Run as a program it serves an empty hub and prints its address: python -m zoo_toy.peer
"""

import base64
import hashlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """Branches of commits; a commit is all its files."""

    private: bool = False
    gated: bool = False
    tags: tuple[str, ...] = ()
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)  # messages

    def commit(self, files: Files, branch: str = "main", message: str = "") -> str:
        sha = hashlib.sha1(repr((len(self.commits), branch, sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        self.log.append(message)
        return sha

    def find(self, revision: str) -> str | None:
        if revision in self.branches:
            return self.branches[revision]
        return next((sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)), None)


@dataclass
class Fault:
    """What goes wrong with requests that match, so many times.

    Kinds: cut (the line ends after `at` bytes of the body), reset (the same, rudely), slow (`at` bytes, then a rest of
    `seconds` before each 64 KiB), flip (byte `at` is another), content (other bytes of their own length), status,
    header (response headers of other values), page (a web page for an answer), redirect (`text` is the address).
    """

    match: str  # regular expression over "METHOD /path"
    kind: str
    at: int = 0
    times: int = 10**9
    text: str = ""
    content: bytes = b""
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: int  # bytes


class Peer:
    """The hub. `with Peer() as peer:` serves at `peer.url`."""

    def __init__(self, tokens: dict[str, str] | None = None) -> None:
        self.repos: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # by sha256
        self.tokens = tokens or {}  # token -> user
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.before_commit: Callable[[], None] = lambda: None
        self.away = False
        self.lock = Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"peer": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Peer":
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.away = True
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo: str, files: Files, **more: Any) -> str:
        """A repository with one commit."""
        self.repos[repo] = Repository(**more)
        return self.repos[repo].commit(files)

    def files(self, repo: str, branch: str = "main") -> Files:
        """What a branch holds."""
        repository = self.repos[repo]
        return repository.commits[repository.branches[branch]]

    def fail(self, match: str, kind: str, **more: Any) -> Fault:
        """From now on this goes wrong."""
        self.faults.append(Fault(match, kind, **more))
        return self.faults[-1]

    def heal(self) -> None:
        """Nothing goes wrong any more, and nothing has been asked."""
        self.faults.clear()
        self.requests.clear()

    def asked(self, pattern: str) -> list[Request]:
        """The requests whose "METHOD /path" holds the pattern."""
        return [request for request in self.requests if re.search(pattern, f"{request.method} {request.path}")]

    def fault_of(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.match, line):
                    fault.times -= 1
                    return fault
        return None


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


class Refusal(Exception):
    """An answer that says no: status, the client's error code, words."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    peer: Peer

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client has left
            super().handle()

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.peer.away:  # a connection that was open before
            self.close_connection = True
            return
        named = {name.lower(): value for name, value in self.headers.items()}
        self.peer.requests.append(Request(self.command, unquote(self.path), named, len(self.body)))
        self.fault = self.peer.fault_of(f"{self.command} {unquote(self.path)}")
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        try:
            if self.fault and self.fault.kind == "status":
                raise Refusal(self.fault.at, "", self.fault.text or "out of order")
            if self.fault and self.fault.kind == "redirect":
                return self.send(b"", 302, {"location": self.fault.text})
            self.user = self.who()
            for pattern, answer in ROUTES:
                if found := re.fullmatch(pattern, f"{self.command} {parts.path}"):
                    return answer(self, *(unquote(group) for group in found.groups() if group is not None))
            raise Refusal(404, "", f"no route {self.command} {parts.path}")
        except Refusal as refusal:
            status, code, words = refusal.args
            self.send(json.dumps({"error": words}).encode(), status, {"x-error-code": code, "x-error-message": words})

    do_HEAD = do_POST = do_PUT = do_GET

    def who(self) -> str | None:
        given = self.headers.get("authorization")
        if given is None:
            return None
        user = self.peer.tokens.get(given.removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        return user

    def may_write(self) -> None:
        if self.user is None:
            raise Refusal(401, "", "who are you?")
        if self.user.startswith("reader"):
            raise Refusal(403, "", "you may only read")

    def repository(self, repo: str) -> Repository:
        found = self.peer.repos.get(repo)
        if found is None or (found.private and self.user is None):
            raise Refusal(404 if self.user else 401, "RepoNotFound", "Repository not found")
        return found

    def at(self, repo: str, revision: str) -> tuple[str, Files]:
        repository = self.repository(repo)
        sha = repository.find(revision)
        if sha is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha, repository.commits[sha]

    def send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if self.fault and self.fault.kind == "header":
            headers |= self.fault.headers
        if self.fault and self.fault.kind == "page":
            body = b"<html>Welcome</html>"
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(body)

    def send_body(self, body: bytes) -> None:
        fault = self.fault
        if fault and fault.kind in ("cut", "reset"):
            self.wfile.write(body[: fault.at])
            self.wfile.flush()
            self.close_connection = True
            if fault.kind == "reset":
                time.sleep(0.05)  # so that what was sent arrives before the reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            return
        for start in range(0, max(len(body), 1), 1 << 16):
            if fault and fault.kind == "slow" and start >= fault.at:
                time.sleep(fault.seconds)
            self.wfile.write(body[start : start + (1 << 16)])

    def json(self, data: object) -> None:
        self.send(json.dumps(data).encode(), 200, {"content-type": "application/json"})

    # What can be asked.

    def whoami(self) -> None:
        if self.user is None:
            raise Refusal(401, "", "Invalid username or password.")
        self.json({"type": "user", "name": self.user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def create(self) -> None:
        self.may_write()
        asked = json.loads(self.body)
        repo = f"{asked['organization']}/{asked['name']}"
        self.peer.add(repo, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=asked["visibility"] == "private")
        self.json({"url": f"{self.peer.url}/{repo}"})

    def branch(self, repo: str, name: str) -> None:
        self.may_write()
        repository = self.repository(repo)
        repository.branches[name] = repository.branches["main"]
        self.json({})

    def validate(self) -> None:
        self.json({"errors": [], "warnings": []})

    def list_models(self) -> None:
        words = self.query.get("search", [""])[0].lower()
        wanted = set(self.query.get("filter", []))
        found = [(name, repo) for name, repo in self.peer.repos.items() if self.user or not repo.private]
        self.json([
            {"id": name, "tags": list(repo.tags), "lastModified": "2026-05-04T03:02:01.000Z", "private": repo.private}
            for name, repo in found
            if words in name.lower() and wanted <= set(repo.tags)
        ])  # fmt: skip

    def info(self, repo: str, revision: str = "main") -> None:
        sha, files = self.at(repo, revision)
        repository = self.peer.repos[repo]
        siblings = [{"rfilename": name} for name in files]
        data = {"id": repo, "sha": sha, "private": repository.private, "gated": repository.gated, "siblings": siblings}
        # As huggingface.co answers: an ETag that could not be a file name, and need not.
        self.send(json.dumps(data).encode(), 200, {"etag": 'W/"2f-a+/b=="', "content-type": "application/json"})

    def tree(self, repo: str, revision: str) -> None:
        _, files = self.at(repo, revision)
        entries: list[dict[str, Any]] = []
        for path, content in files.items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
            if is_large(path):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self.json(entries)

    def resolve(self, repo: str, revision: str, path: str) -> None:
        sha, files = self.at(repo, revision)
        if self.peer.repos[repo].gated and self.user is None:
            raise Refusal(401, "GatedRepo", "Access to this model is restricted")
        if path not in files:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        content = files[path]
        etag = hashlib.sha256(content).hexdigest() if is_large(path) else git_sha1(content)
        headers = {"x-repo-commit": sha, "etag": f'"{etag}"'}
        if self.fault and self.fault.kind == "flip":
            content = content[: self.fault.at] + bytes([content[self.fault.at] ^ 1]) + content[self.fault.at + 1 :]
        if self.fault and self.fault.kind == "content":
            content = self.fault.content
        status = 200
        if (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))) is not None:
            start = int(asked[1])
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        self.send(content, status, headers)

    def preupload(self, repo: str, revision: str) -> None:
        self.may_write()
        self.at(repo, revision)
        self.json({
            "files": [
                {
                    "path": asked["path"],
                    "uploadMode": "lfs" if is_large(asked["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for asked in json.loads(self.body)["files"]
            ]
        })  # fmt: skip

    def batch(self, repo: str) -> None:
        self.may_write()
        objects = []
        for asked in json.loads(self.body)["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.peer.objects:
                answer["actions"] = {
                    "upload": {"href": f"{self.peer.url}/put/{asked['oid']}"},
                    "verify": {"href": f"{self.peer.url}/verify"},
                }
            objects.append(answer)
        self.json({"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "", "these are other bytes")
        self.peer.objects[oid] = self.body
        self.send(b"")

    def verify(self) -> None:
        self.may_write()
        self.send(b"" if json.loads(self.body)["oid"] in self.peer.objects else b"missing")

    def commit(self, repo: str, branch: str) -> None:
        self.may_write()
        self.peer.before_commit()
        repository = self.repository(repo)
        with self.peer.lock:
            head = repository.branches[branch]
            files, message = dict(repository.commits[head]), ""
            for line in self.body.splitlines():
                key, value = (entry := json.loads(line))["key"], entry["value"]
                if key == "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, head):
                        raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
                elif key == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile":
                    files[value["path"]] = self.peer.objects[value["oid"]]
                elif key == "deletedFile":
                    del files[value["path"]]
            sha = repository.commit(files, branch, message)
        self.json({"success": True, "commitOid": sha, "commitUrl": f"{self.peer.url}/{repo}/commit/{sha}"})


REPO = r"([^/]+/[^/]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (r"GET /api/models", Handler.list_models),
    (rf"GET /api/models/{REPO}(?:/revision/([^/]+))?", Handler.info),
    (rf"GET /api/models/{REPO}/tree/([^/]+)", Handler.tree),
    (rf"POST /api/models/{REPO}/preupload/([^/]+)", Handler.preupload),
    (rf"POST /api/models/{REPO}/commit/([^/]+)", Handler.commit),
    (rf"POST /api/models/{REPO}/branch/([^/]+)", Handler.branch),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (rf"(?:GET|HEAD) /{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    (r"PUT /put/([0-9a-f]+)", Handler.put),
    (r"POST /verify", Handler.verify),
]


def main() -> None:
    with Peer() as peer:
        print(peer.url, flush=True)
        Thread(target=time.sleep, args=(3600,)).start()


if __name__ == "__main__":
    main()
