"""A hub in a process of its own, and the real huggingface_hub client in others, each with its own HF_HOME."""

import http.client
import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "ZOO_", "PYTHONWARN"))
} | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
ZOO = [sys.executable, "-m", "zoo_core.cli.main"]


class Answer(NamedTuple):
    """What the hub answered."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Failed(Exception):
    """The client raised: the name of its exception, and the message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


def zoo(*arguments: object, check: bool = True, environment: dict[str, str] | None = None) -> Any:
    """Runs `zoo` as a process of its own."""
    command = [*ZOO, *map(str, arguments)]
    environment = CLEAN | (environment or {})
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=check, timeout=60)


class Hub:
    """A server process on a folder."""

    def __init__(self, folder: Path, *options: str, command: list[str] | None = None, **environment: str) -> None:
        self.folder = folder
        arguments = [*(command or ZOO), "hub", "serve", str(folder), "--port", "0", *options]
        with open(folder.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                arguments, env=CLEAN | environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        if not self.endpoint.startswith("http://"):
            self.stop()
            raise AssertionError(self.log())
        self.address = self.endpoint.removeprefix("http://")

    def log(self) -> str:
        return self.folder.with_suffix(".log").read_text()

    def add_user(self, name: str, *options: str) -> str:
        token = zoo("hub", "add-user", self.folder, name, *options).stdout
        assert token.endswith("\n")
        assert token.count("\n") == 1
        return str(token).strip()

    def command(self, name: str, *arguments: object, fails: bool = False) -> str:
        """`zoo hub NAME DIR …`: its stdout; with `fails` its stderr, of a failure that is told clearly."""
        done = zoo("hub", name, self.folder, *arguments, check=False)
        assert "Traceback" not in done.stderr
        assert (done.returncode in (1, 2) and done.stdout == "") if fails else done.returncode == 0, done
        return str(done.stderr if fails else done.stdout)

    def call(self, method: str, path: str, body: object = None, token: str | None = None, **headers: str) -> Answer:
        """One request, as it stands; a dict goes as JSON."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        try:
            connection.request(method, path.removeprefix(self.endpoint), body=body, headers=sent)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def commit(self, repo: str, token: str, lines: list[dict[str, Any]], branch: str = "main", **header: str) -> Answer:
        """A commit, by hand."""
        head = {"key": "header", "value": {"summary": "by hand", **header}}
        body = "".join(json.dumps(line) + "\n" for line in [head, *lines]).encode()
        return self.call("POST", f"/api/models/{repo}/commit/{branch}", body, token)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


class Client:
    """huggingface_hub in a fresh process: runs a function `f(api, *arguments)` there, and gives what it returns."""

    Failed = Failed

    def __init__(self, home: Path, endpoint: str, token: str | None) -> None:
        self.home, self.endpoint, self.token = home, endpoint, token

    def environment(self, **more: str) -> dict[str, str]:
        token = {} if self.token is None else {"HF_TOKEN": self.token}
        return CLEAN | {"HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"} | token | more

    def __call__(self, function: Callable[..., Any], *arguments: object, **environment: str) -> Any:
        return self.start(function, *arguments, **environment)()

    def start(self, function: Callable[..., Any], *arguments: object, **environment: str) -> Callable[[], Any]:
        """Starts it; call the result to wait for what it returns.

        Raises:
            Failed: the function raised.
        """
        code = textwrap.dedent(inspect.getsource(function))
        program = (
            "from __future__ import annotations\nimport json, sys\nfrom pathlib import Path\n"
            "from huggingface_hub import *\n"
            f"api = HfApi(endpoint={self.endpoint!r}, token={self.token!r})\n{code}\n"
            f"try: result = {function.__name__}(api, *json.loads(sys.stdin.read()))\n"
            "except Exception as error: result = {'_kind': type(error).__name__, '_text': str(error)}\n"
            "print('RESULT' + json.dumps(result))\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=self.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(arguments, default=str))
        process.stdin.close()
        process.stdin = None

        def finish() -> Any:
            out, err = process.communicate(timeout=100)
            found = [line for line in out.splitlines() if line.startswith("RESULT")]
            assert found, err
            result = json.loads(found[-1].removeprefix("RESULT"))
            if isinstance(result, dict) and "_kind" in result:
                raise Failed(result["_kind"], result["_text"])
            return result

        return finish

    def hf(self, *arguments: object) -> str:
        """The hf command line."""
        command = [str(Path(sys.executable).parent / "hf"), *map(str, arguments)]
        environment = self.environment(HF_ENDPOINT=self.endpoint)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for the tests that do not break it. Alice and Bob write, Carol reads; Alice and Carol are of the lab."""
    running = Hub(tmp_path_factory.mktemp("hub") / "hub")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub for the tests of one file."""
    running = Hub(tmp_path_factory.mktemp("school") / "hub")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Hub]]:
    """Starts servers, as `Hub(folder, *options)` does, and sees to it that none outlives the test."""
    started: list[Hub] = []

    def start(*arguments: Any, **options: Any) -> Hub:
        started.append(Hub(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def alice(hub: Hub) -> str:
    return hub.add_user("alice", "--role", "write", "--team", "lab")


@pytest.fixture(scope="session")
def bob(hub: Hub) -> str:
    return hub.add_user("bob", "--role", "write")


@pytest.fixture(scope="session")
def carol(hub: Hub) -> str:
    return hub.add_user("carol", "--role", "read", "--team", "lab")


@pytest.fixture
def client(hub: Hub, alice: str, tmp_path: Path) -> Client:
    """Alice's client, with an empty HF_HOME."""
    return Client(tmp_path / "home", hub.endpoint, alice)


@pytest.fixture
def anyone(hub: Hub, tmp_path: Path) -> Client:
    """Somebody without a token, with an empty HF_HOME."""
    return Client(tmp_path / "other-home", hub.endpoint, None)


@pytest.fixture
def new_repo(hub: Hub, alice: str) -> Callable[..., str]:
    """Makes a repository of Alice's."""

    def make(name: str, **options: str) -> str:
        answer = hub.call("POST", "/api/repos/create", {"name": name, **options}, alice)
        assert answer.status == 200, answer
        return f"{options.get('organization', 'alice')}/{name}"

    return make
