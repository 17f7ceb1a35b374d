"""Packages from DIR/wheels at /simple, for pip (the simple repository API: PEP 503)."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from zoo_hub_server.errors import Refusal
from zoo_hub_server.hub import Call
from zoo_hub_server.sending import Content
from zoo_hub_server.web.html import Html, join, tag

_FILE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-[A-Za-z0-9][\w.!+-]*\.(whl|tar\.gz)", re.ASCII)
_HEADERS = {"Content-Security-Policy": "default-src 'none'"}


def project_of(file: str) -> str | None:
    """The project that a file belongs to, its name normalised; None for what is no package."""
    found = _FILE.fullmatch(file)
    if found is None:
        return None
    name = found[1] if found[2] == "whl" else file.removesuffix(".tar.gz").rsplit("-", 1)[0]
    return normalised(name)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def projects(call: Call) -> Response:
    """All projects."""
    names = sorted({project_of(path.name) or "" for path in _packages(call)})
    return _page([join(tag("a", name, href=f"/simple/{name}/"), Html("<br>\n")) for name in names])


def files(call: Call) -> Response:
    """The files of one project, with their sha256, which pip checks."""
    project = normalised(call.params["project"])
    found = [path for path in _packages(call) if project_of(path.name) == project]
    if not found:
        raise Refusal(404, "There is no such project.")
    rows = []
    for path in found:
        status = path.stat()
        address = f"/wheels/{quote(path.name)}#sha256={_sha256(path, status.st_size, status.st_mtime_ns)}"
        rows.append(join(tag("a", path.name, href=address), Html("<br>\n")))
    return _page(rows)


def add_slash(call: Call) -> Response:
    return RedirectResponse(call.request.url.path + "/", 301)


def wheel(call: Call) -> Response:
    """One file."""
    name = call.params["file"]
    path = call.hub.folder.wheels / name
    if project_of(name) is None or not path.is_file():
        raise Refusal(404, "There is no such file.")
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    return Content(path, path.stat().st_size, headers, call.request.headers.get("range"), call.hub.limits.stall)


def _packages(call: Call) -> list[Path]:
    return [path for path in sorted(call.hub.folder.wheels.iterdir()) if project_of(path.name)]


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _page(rows: list[Html]) -> Response:
    head = tag("head", tag("meta", name="pypi:repository-version", content="1.0"), tag("title", "Packages"))
    return HTMLResponse("<!doctype html>\n" + tag("html", head, tag("body", rows)), headers=_HEADERS)
