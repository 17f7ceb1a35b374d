"""Pages for people: the repositories of this hub, and one of them. Plain HTML, without scripts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import HTMLResponse, RedirectResponse, Response

from zoo_hub_server.cards import card, tags
from zoo_hub_server.errors import Refusal, entry_not_found
from zoo_hub_server.git_objects import File, Listing
from zoo_hub_server.hub import Call
from zoo_hub_server.names import KINDS, Kind, RepoId
from zoo_hub_server.protocol.reading import readme
from zoo_hub_server.repository import MAIN, Repository
from zoo_hub_server.sizes import size_text
from zoo_hub_server.web.html import Child, Html, join, table, tag
from zoo_hub_server.web.markdown import render

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TITLES: dict[Kind, str] = {"models": "Models", "datasets": "Data sets"}
_PAGE = 50
_FILES = 500
_CONFIG_UP_TO = 1 << 20
_STYLE = Path(__file__).with_name("style.css")


def home(call: Call) -> Response:
    """All repositories that the caller may see, by name; `search` picks some."""
    search = call.query.get("search", "")[:100]
    words = search.lower().split()
    number = call.query.get("page", "1")
    page = max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 7 else 1
    parts: list[Child] = [tag("h1", "Models and data sets")]
    more = False
    for kind in KINDS:
        seen = []
        for repo in call.hub.folder.ids(kind):
            repository = call.hub.folder.find(repo)
            if all(word in str(repo).lower() for word in words) and repository and call.may_see(repo, repository):
                seen.append((repo, repository))
        more |= len(seen) > page * _PAGE
        rows = [_row(repo, repository) for repo, repository in seen[(page - 1) * _PAGE : page * _PAGE]]
        if rows:
            parts += [tag("h2", _TITLES[kind], tag("span", f" {len(seen)}", class_="muted"))]
            parts += [table(["name", "what", "changed"], [row for row in rows if row], class_="names")]
    if len(parts) == 1:
        parts += [tag("p", "Nothing here yet." if not words else f"Nothing is called '{search}'.")]
        if not words:
            parts += [tag("pre", f"zoo push ./runs/mine NAME/my-model --endpoint {call.base}")]
    links = []
    for step, text, wanted in ((-1, "Previous", page > 1), (1, "Next", more)):
        if wanted:
            links.append(tag("a", text, href="/?" + urlencode({"search": search, "page": page + step})))
    parts.append(tag("p", *[join(link, " ") for link in links]) if links else None)
    return _page(call, "zoo hub", parts, search=search)


def model(call: Call) -> Response:
    return _repository_page(call, "models")


def dataset(call: Call) -> Response:
    return _repository_page(call, "datasets")


def style(call: Call) -> Response:
    return Response(_STYLE.read_bytes(), media_type="text/css", headers={"Cache-Control": "max-age=300"})


def login(call: Call) -> Response:
    """Makes the browser ask for name and token, which it then sends along to see private repositories."""
    if call.user is None:
        raise Refusal(
            401, "Log in with your name and your token.", headers={"WWW-Authenticate": 'Basic realm="zoo hub"'}
        )
    return RedirectResponse("/", 303)


def error_page(status: int, message: str, headers: dict[str, str]) -> Response:
    """A refusal, for people."""
    body = _document("zoo hub", _top(None), tag("main", tag("h1", str(status)), tag("p", message)))
    return HTMLResponse(body, status, headers={**headers, "Content-Security-Policy": _POLICY})


def _repository_page(call: Call, kind: Kind) -> Response:
    call.params["kind"] = kind
    repo, repository = call.id, call.repository()
    revision = call.params.get("revision", MAIN)
    commit = repository.resolve(revision)
    listing = repository.listing(commit)
    folder = call.params.get("path", "").strip("/")
    if folder and folder not in listing.folders:
        raise entry_not_found(folder[:200])
    head = _head(repository, repo, revision, folder)
    if folder:
        return _page(call, str(repo), [head, tag("h2", "Files"), _files(repo, listing, revision, folder)])
    data, text = card(readme(repository, commit))
    config = _config(repository, listing)
    labels = tag("p", [tag("span", label, class_="tag") for label in tags(data)[:30]])
    parts: list[Child] = [head, labels, _summary(config), tag("h2", "Load it"), _how(call, repo, revision)]
    numbers = _numbers(config, data)
    if numbers:
        parts += [tag("h2", "Numbers"), numbers]
    picture = _picture(listing)
    if picture is not None:
        address = _address(repo, revision, picture.path)
        parts += [
            tag("h2", "Samples"),
            tag("a", tag("img", src=address, alt=picture.path, class_="sample"), href=address),
        ]
    parts += [tag("h2", "Files"), _files(repo, listing, revision, "")]
    if text.strip():
        parts += [tag("div", render(text, _address(repo, revision)), class_="card")]
    history = repository.history(commit, 10)
    parts += [tag("h2", "History")]
    rows: list[list[Child]] = [
        [
            tag("a", tag("code", one.id[:10]), href=f"{repo.page}/tree/{one.id}"),
            one.title[:120],
            one.author,
            one.date[:10],
        ]
        for one in history
    ]
    parts += [table(["commit", "what", "who", "when"], rows)]
    return _page(call, str(repo), parts)


def _row(repo: RepoId, repository: Repository) -> list[Child]:
    try:
        commit = repository.resolve(MAIN)
        listing = repository.listing(commit)
        summary = _config(repository, listing).get("summary") or _first_line(card(readme(repository, commit))[1])
        name = join(tag("a", str(repo), href=repo.page), _badges(repository))
        return [name, summary[:160] if isinstance(summary, str) else "", repository.revision(commit).date[:10]]
    except Refusal:  # deleted meanwhile
        return []


def _first_line(text: str) -> str:
    """The first line of a card that is plain text."""
    lines = (line.strip() for line in text[:5000].splitlines())
    return next((line for line in lines if line and line[0].isalnum()), "")


def _badges(repository: Repository) -> Html:
    about = repository.about()
    words = [word for word, holds in (("private", about.private), ("gated", bool(about.gated))) if holds]
    return join([join(" ", tag("span", word, class_="tag")) for word in words])


def _head(repository: Repository, repo: RepoId, revision: str, folder: str) -> Html:
    branches, tag_names = repository.refs()
    others = [name for name in (*branches, *tag_names) if name != revision][:20]
    here = tag("p", "at ", tag("code", revision), class_="muted")
    if others:
        links = [join(" ", tag("a", name, href=f"{repo.page}/tree/{quote(name, safe='')}")) for name in others]
        here = tag("p", "at ", tag("code", revision), " · also", links, class_="muted")
    crumbs: list[Child] = [tag("a", str(repo), href=repo.page)]
    parts = folder.split("/") if folder else []
    for depth, part in enumerate(parts, 1):
        path = "/".join(parts[:depth])
        crumbs += [" / ", tag("a", part, href=f"{repo.page}/tree/{quote(revision, safe='')}/{quote(path)}")]
    return join(tag("h1", crumbs, _badges(repository)), here)


def _how(call: Call, repo: RepoId, revision: str) -> Html:
    at = "" if revision == MAIN else f"@{revision}"
    option = "" if revision == MAIN else f" --revision {revision}"
    if repo.kind == "datasets":
        lines = f"HF_ENDPOINT={call.base} hf download --repo-type dataset {repo}{option}"
    else:
        lines = f"zoo load hf:{repo}{at} --endpoint {call.base}\nHF_ENDPOINT={call.base} hf download {repo}{option}"
    return tag("pre", lines)


def _config(repository: Repository, listing: Listing) -> dict[str, Any]:
    """config.json of a release, as data; empty where there is none that can be read."""
    file = listing.files.get("config.json")
    if file is None or file.size > _CONFIG_UP_TO or file.lfs is not None:
        return {}
    try:
        return msgspec.json.decode(repository.read(file), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _summary(config: dict[str, Any]) -> Html | None:
    summary = config.get("summary")
    return tag("p", summary[:500]) if isinstance(summary, str) else None


def _numbers(config: dict[str, Any], data: dict[str, Any]) -> Html | None:
    """The measured numbers: of config.json, else of the card's model-index."""
    rows: list[list[Child]] = []
    metrics = config.get("metrics")
    for one in metrics if isinstance(metrics, list) else []:
        if isinstance(one, dict) and isinstance(one.get("value"), int | float):
            protocol = _dict(one, "protocol")
            error = one.get("stderr")
            value = f"{one['value']:.6g}" + (f" ± {error:.2g}" if isinstance(error, int | float) else "")
            where = " ".join(str(protocol.get(key, ""))[:80] for key in ("dataset", "split"))
            rows.append([_text(one, "metric"), value, _text(one, "unit"), where, _text(protocol, "n")])
    if not rows:
        for result in _results(data):
            about = _dict(result, "dataset")
            measured = result.get("metrics")
            for one in measured if isinstance(measured, list) else []:
                if isinstance(one, dict):
                    number = one.get("value")
                    shown = f"{number:.6g}" if isinstance(number, int | float) else _text(one, "value")
                    rows.append([_text(one, "type"), shown, "", f"{_text(about, 'name')} {_text(about, 'split')}", ""])
    return table(["metric", "value", "unit", "data", "n"], rows[:100], numbers=(1, 4)) if rows else None


def _results(data: dict[str, Any]) -> list[dict[str, Any]]:
    index = data.get("model-index")
    found = []
    for one in index if isinstance(index, list) else []:
        results = one.get("results") if isinstance(one, dict) else None
        found += [result for result in (results if isinstance(results, list) else []) if isinstance(result, dict)]
    return found


def _dict(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key, "")
    return str(value)[:80] if isinstance(value, str | int | float) else ""


def _picture(listing: Listing) -> File | None:
    """The picture that shows what the model does: samples.png, or the like, at the top or in pictures/."""
    endings = (".png", ".jpg", ".jpeg", ".gif", ".webp")
    found = [file for path, file in listing.files.items() if path.lower().endswith(endings) and path.count("/") < 2]
    found.sort(key=lambda file: ("sample" not in file.path.lower(), file.path.count("/"), file.path))
    return found[0] if found else None


def _files(repo: RepoId, listing: Listing, revision: str, folder: str) -> Html:
    prefix = f"{folder}/" if folder else ""
    rows: list[list[Child]] = []
    for path in listing.folders:
        if path.startswith(prefix) and "/" not in path[len(prefix) :]:
            address = f"{repo.page}/tree/{quote(revision, safe='')}/{_quoted(path)}"
            rows.append([tag("a", path[len(prefix) :] + "/", href=address), "", ""])
    for path, file in listing.files.items():
        if path.startswith(prefix) and "/" not in path[len(prefix) :]:
            digest = tag("code", file.lfs.oid[:16] + "…", title=f"sha256 {file.lfs.oid}") if file.lfs else ""
            link = tag("a", _shown(path[len(prefix) :]), href=_address(repo, revision, path))
            rows.append([link, size_text(file.size), digest])
    total = sum(file.size for file in listing.files.values())
    shown = table(["name", "size", "sha256"], rows[:_FILES], numbers=(1,))
    note = f"{len(listing.files)} files, {size_text(total)}" + (f"; {_FILES} shown" if len(rows) > _FILES else "")
    return join(shown, tag("p", note, class_="muted"))


def _address(repo: RepoId, revision: str, path: str | None = None) -> str:
    base = f"{repo.page}/resolve/{quote(revision, safe='')}"
    return base if path is None else f"{base}/{_quoted(path)}"


def _quoted(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"))


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _top(call: Call | None, search: str = "") -> Html:
    who: Child = None
    if call is not None:
        who = tag("span", call.user.name, class_="muted") if call.user else tag("a", "Log in", href="/login")
    box = tag("input", type="search", name="search", value=search, placeholder="Search by name", aria_label="Search")
    return tag("header", tag("a", "zoo hub", href="/", class_="home"), who, tag("form", box, action="/", method="get"))


def _page(call: Call, title: str, parts: list[Child], search: str = "") -> Response:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    foot = tag("footer", f"{call.base} · {'read-only · ' if call.hub.may_write.nobody else ''}{now}")
    body = _document(title, _top(call, search), tag("main", *parts), foot)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "Vary": "Authorization"}
    return HTMLResponse(body, headers=headers)


def _document(title: str, *body: Html) -> bytes:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="stylesheet", href="/static/style.css"),
    )
    text = "<!doctype html>\n" + tag("html", head, tag("body", *body), lang="en") + "\n"
    return text.encode("utf-8", "replace")
