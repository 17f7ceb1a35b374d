"""The pages for people: they say what is there, and nothing that a repository holds can act in them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Answer, Hub

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
EVIL = """---
license: "<script>document.title='pwned'</script>"
tags: ["<img src=x onerror=document.title='pwned'>", x]
model-index:
- results:
  - dataset: {name: "<script>document.title='pwned'</script>"}
    metrics: [{type: "<b onclick=alert(1)>", value: "<svg onload=alert(1)>"}, 7, {value: [1]}]
  - 5
---
# Evil <script>document.title='pwned'</script>

<img src=x onerror="document.title='pwned'"> <iframe src="javascript:parent.document.title='pwned'"></iframe>
[click](javascript:document.title='pwned') [data](data:text/html,<script>alert(1)</script>) [ok](sub/a.txt)
![picture](samples.png) ![far](http://far.invalid/x.png "t\\" onerror=alert(1)")

| a | b |
|---|---|
| <b>1</b> | 2 |
"""


class Tags(HTMLParser):
    """All elements of a page, with their attributes."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def put(hub: Hub, repo: str, token: str, files: dict[str, bytes]) -> None:
    lines: list[dict[str, Any]] = [
        {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode()}}
        for path, content in files.items()
    ]
    assert hub.commit(repo, token, lines).status == 200


def check_policy(answer: Answer) -> None:
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def check_harmless(page: bytes) -> None:
    """No scripts, no handlers, no address that runs."""
    for name, attributes in Tags(page).found:
        assert name not in ("script", "iframe", "object", "embed", "svg", "style", "base", "form") or (
            name == "form" and attributes == {"action": "/", "method": "get"}
        )
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            assert key != "style"
            assert not re.match(r"\s*(javascript|vbscript|data):", value or "", re.IGNORECASE), value


@pytest.fixture
def evil(hub: Hub, alice: str, new_repo: Callable[..., str], request: pytest.FixtureRequest) -> str:
    """A repository that tries to run something in whoever looks at it."""
    repo = new_repo("evil-" + re.sub(r"\W+", "-", request.node.name).strip("-"))
    script = b"<script>document.title='pwned'</script>"
    config = {"summary": "<script>document.title='pwned'</script>", "metrics": [{"metric": "<b>", "value": 1e400}, 3]}
    files = {
        "README.md": EVIL.encode(),
        "config.json": json.dumps(config).replace("Infinity", "1e400").encode(),
        "samples.png": PNG,
        "page.html": b"<!doctype html>" + script,
        "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + script + b"</svg>",
        '"><script>document.title=1<.txt': b"x",
        "sub/a.txt": b"text",
    }
    put(hub, repo, alice, files)
    return repo


def test_a_page_says_what_is_there(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("page")
    metric = {"metric": "nll", "value": 82.5495, "stderr": 0.2, "unit": "nats/image"}
    metric["protocol"] = {"dataset": "digits", "split": "test", "n": 300}
    config = {"summary": "What it is", "metrics": [metric]}
    files = {"config.json": json.dumps(config).encode(), "samples.png": PNG, "model.safetensors": b"w" * 1234}
    put(hub, repo, alice, files | {"README.md": b"# Title\n\nA [file](config.json).", "sub/deep/x.txt": b"x"})
    answer = hub.call("GET", f"/{repo}")
    text = re.sub(r"<[^>]+>", "\n", answer.body.decode())
    for expected in (
        "What it is", "82.5495 ± 0.2", "nats/image", "digits test", "300", "1.23 kB", "by hand", "alice",
        f"zoo load hf:{repo} --endpoint {hub.endpoint}", f"HF_ENDPOINT={hub.endpoint} hf download {repo}",
    ):  # fmt: skip
        assert expected in text, expected
    tags = Tags(answer.body)
    assert tags.of("img")[0]["src"] == f"/{repo}/resolve/main/samples.png"
    assert hub.call("GET", str(tags.of("img")[0]["src"])).headers["content-type"] == "image/png"
    for link in tags.of("a"):
        address = str(link["href"])
        assert hub.call("GET", address).status == (401 if address == "/login" else 200), address
    assert hub.call("GET", f"/{repo}/tree/main/sub/deep").body.count(b"x.txt") >= 1
    assert hub.call("GET", f"/{repo}/tree/main/none", Accept="text/html").status == 404
    home = hub.call("GET", "/?search=alice/pag")
    assert b"What it is" in home.body
    assert Tags(home.body).of("input")[0]["value"] == "alice/pag"
    for page in (answer, home):
        check_policy(page)
        check_harmless(page.body)


def test_nothing_in_a_repository_can_act(hub: Hub, evil: str) -> None:
    for path in (f"/{evil}", f"/{evil}/tree/main", f"/{evil}/tree/main/sub", "/", "/?search=%22%3E%3Cscript%3E"):
        answer = hub.call("GET", path)
        assert answer.status == 200
        check_policy(answer)
        check_harmless(answer.body)
    links = [link["href"] for link in Tags(hub.call("GET", f"/{evil}").body).of("a")]
    assert f"/{evil}/resolve/main/sub/a.txt" in links
    error = hub.call("GET", "/<script>", Accept="text/html")
    check_policy(error)
    check_harmless(error.body)
    for name in ("page.html", "picture.svg"):
        answer = hub.call("GET", f"/{evil}/resolve/main/{name}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]


def chromium(*arguments: str) -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=3000",
    ]
    done = subprocess.run([program, *options, *arguments], capture_output=True, text=True, timeout=90, check=False)
    return done.stdout


@pytest.mark.slow
def test_in_a_browser(hub: Hub, evil: str, tmp_path: Path) -> None:
    """Chromium lays the page out, with its style, and runs nothing of it."""
    page = chromium("--dump-dom", f"{hub.endpoint}/{evil}")
    assert f"<title>{evil}</title>" in page
    assert "pwned</title>" not in page
    picture = tmp_path / "page.png"
    chromium("--window-size=900,700", f"--screenshot={picture}", f"{hub.endpoint}/{evil}")
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == (900, 700)
        colours = image.convert("L").getcolors(256)
    assert colours is not None
    assert len(colours) > 20, "a blank page"
