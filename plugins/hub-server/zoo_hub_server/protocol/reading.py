"""What a repository holds: info, files, history; and which repositories there are."""

from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from zoo_hub_server.cards import card, tags
from zoo_hub_server.errors import Refusal, bad_request, entry_not_found
from zoo_hub_server.git_objects import File, Revision
from zoo_hub_server.hub import Call, Json
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import MAIN, Repository

_EXPANDED_PAGE = 50
_TREE_PAGE = 1000
_README_UP_TO = 512 << 10


def info(call: Call) -> Json:
    """A repository at a revision: everything but the content."""
    repository = call.repository()
    commit = repository.resolve(call.params.get("revision", MAIN))
    answer = describe(call.id, repository, commit)
    files = repository.listing(commit).files.values()
    blobs = call.query.get("blobs", "").lower() in ("true", "1")
    answer["siblings"] = [
        {"rfilename": file.path} | ({"size": file.size, "blobId": file.oid, **_lfs(file, "sha256")} if blobs else {})
        for file in files
    ]
    answer["usedStorage"] = sum(file.size for file in files)
    return Json(answer)


def describe(repo: RepoId, repository: Repository, commit: str) -> dict[str, Any]:
    """What info and lists say of a repository."""
    about = repository.about()
    data, _ = card(readme(repository, commit))
    labels = tags(data)
    answer = {
        "_id": about.id[:24],
        "id": str(repo),
        "author": repo.namespace,
        "sha": commit,
        "lastModified": repository.revision(commit).date,
        "createdAt": about.created,
        "private": about.private,
        "gated": about.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": labels,
        "cardData": data or None,
    }
    if repo.kind == "models":
        answer["modelId"] = str(repo)
        for key in ("pipeline_tag", "library_name"):
            if isinstance(data.get(key), str):
                answer[key] = data[key]
    return answer


def readme(repository: Repository, commit: str) -> str:
    """README.md at a commit, unless it is huge."""
    file = repository.listing(commit).files.get("README.md")
    return "" if file is None or file.size > _README_UP_TO else repository.read_text(commit, "README.md")


def list_repositories(call: Call) -> Json:
    """Repositories that the caller may know of; filters must all hold, as on huggingface.co."""
    kind = call.params["kind"]
    query = parse_qs(call.request.url.query, max_num_fields=100)
    author = _one(query, "author").lower()
    words = [word.lower() for word in query.get("search", [])]
    wanted = set(query.get("filter", [])) | set(query.get("pipeline_tag", []))
    found = []
    for repo in call.hub.folder.ids("models" if kind == "models" else "datasets"):
        if author not in ("", repo.namespace.lower()) or not all(word in str(repo).lower() for word in words):
            continue
        repository = call.hub.folder.find(repo)
        if repository is None or not call.may_see(repo, repository):
            continue
        try:
            commit = repository.resolve(MAIN)
            entry = describe(repo, repository, commit)
        except Refusal:  # deleted meanwhile
            continue
        if wanted <= set(entry["tags"]) and _gate(query, entry["gated"]):
            found.append((entry, repository, commit))
    key = {"created_at": "createdAt", "createdAt": "createdAt", "id": "id"}.get(_one(query, "sort"), "lastModified")
    found.sort(key=lambda one: one[0][key], reverse=key != "id")
    if _one(query, "direction") == "1":
        found.reverse()
    page, headers = paged(call, found, _number(query, "limit", call.hub.limits.page, call.hub.limits.page))
    entries = []
    for entry, repository, commit in page:
        if "full" in query or "siblings" in query.get("expand", []):
            try:
                entry["siblings"] = [{"rfilename": path} for path in repository.listing(commit).files]
            except Refusal:  # deleted meanwhile
                continue
        entries.append(entry)
    return Json(entries, headers=headers)


def tree(call: Call) -> Json:
    """The entries of a folder; with `recursive` of all below it."""
    repository = call.repository()
    commit = repository.resolve(call.params["revision"])
    folder = call.params.get("path", "").strip("/")
    listing = repository.listing(commit)
    if folder and folder not in listing.folders:
        if folder not in listing.files:
            raise entry_not_found(folder[:200], commit)
        entries: list[File | tuple[str, str]] = [listing.files[folder]]
    else:
        prefix = f"{folder}/" if folder else ""
        recursive = call.query.get("recursive", "").lower() in ("true", "1")

        def here(path: str) -> bool:
            return path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :])

        entries = [item for item in listing.folders.items() if here(item[0])]
        entries += [file for path, file in listing.files.items() if here(path)]
        entries.sort(key=_path)
    expand = call.query.get("expand", "").lower() in ("true", "1")
    page, headers = paged(call, entries, _EXPANDED_PAGE if expand else _TREE_PAGE)
    return Json(_entries(repository, commit, page, expand=expand), headers={**headers, "X-Repo-Commit": commit})


def paths_info(call: Call) -> Json:
    """The entries of some paths; those that are not there are left out."""
    repository = call.repository()
    commit = repository.resolve(call.params["revision"])
    if call.request.headers.get("content-type", "").startswith("application/json"):
        form = call.json(dict[str, Any])
        paths, expand = form.get("paths"), form.get("expand") in (True, "true")
    else:
        try:
            fields = parse_qs(call.body.decode(), max_num_fields=20_000)
        except (UnicodeDecodeError, ValueError):
            raise bad_request("The body is not a form.") from None
        paths, expand = fields.get("paths", []), fields.get("expand", [""])[0].lower() == "true"
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise bad_request("'paths' must be a list of paths.")
    if expand and len(paths) > _EXPANDED_PAGE:
        raise bad_request(f"At most {_EXPANDED_PAGE} paths can be expanded at once.")
    listing = repository.listing(commit)
    found: list[File | tuple[str, str]] = []
    for path in dict.fromkeys(one.strip("/") for one in paths):
        if path in listing.files:
            found.append(listing.files[path])
        elif path in listing.folders:
            found.append((path, listing.folders[path]))
    return Json(_entries(repository, commit, found, expand=expand))


def commits(call: Call) -> Json:
    """The history of a revision, newest first."""
    repository = call.repository()
    start = repository.resolve(call.query.get("cursor") or call.params["revision"])
    limit = _number(call.query, "limit", _EXPANDED_PAGE, call.hub.limits.page)
    history = repository.history(start, limit + 1)
    headers = {}
    if len(history) > limit:
        headers = {"Link": _next(call, history.pop().id)}
    formatted = call.query.get("formatted", "").lower() in ("true", "1")
    return Json([_commit(one, formatted=formatted) for one in history], headers=headers)


def paged(call: Call, items: list[Any], size: int) -> tuple[list[Any], dict[str, str]]:
    """One page of a list, and the header that leads to the next."""
    start = _number(call.query, "cursor", 0, 1 << 31)
    page = items[start : start + size]
    headers = {"Link": _next(call, str(start + size))} if start + size < len(items) else {}
    return page, headers


def _next(call: Call, cursor: str) -> str:
    url = call.request.url
    pairs = [(k, v) for k, values in parse_qs(url.query, max_num_fields=100).items() for v in values if k != "cursor"]
    path = quote(call.request.scope["raw_path"], safe="/%")
    return f'<{call.base}{path}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'


def _entries(
    repository: Repository, commit: str, items: Iterable[File | tuple[str, str]], *, expand: bool
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, File):
            entry = {"type": "file", "oid": item.oid, "size": item.size, "path": item.path, **_lfs(item, "oid")}
        else:
            entry = {"type": "directory", "oid": item[1], "size": 0, "path": item[0]}
        found.append(entry)
    if expand:
        changes = repository.last_changes(commit, [entry["path"] for entry in found])
        for entry in found:
            change = changes[entry["path"]]
            entry["lastCommit"] = {"id": change.id, "title": change.title, "date": change.date}
    return found


def _lfs(file: File, digest: str) -> dict[str, Any]:
    if file.lfs is None:
        return {}
    return {"lfs": {digest: file.lfs.oid, "size": file.lfs.size, "pointerSize": len(file.lfs.encode())}}


def _commit(one: Revision, *, formatted: bool) -> dict[str, Any]:
    entry = {"id": one.id, "title": one.title, "message": one.message, "date": one.date}
    as_html = {"title": escape(one.title), "message": escape(one.message)}
    return {**entry, "authors": [{"user": one.author}]} | ({"formatted": as_html} if formatted else {})


def _path(item: File | tuple[str, str]) -> str:
    return item.path if isinstance(item, File) else item[0]


def _one(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def _gate(query: dict[str, list[str]], gated: object) -> bool:
    wanted = _one(query, "gated").lower()
    return wanted not in ("true", "false") or (wanted == "true") == bool(gated)


def _number(query: dict[str, Any], name: str, default: int, most: int) -> int:
    value = query.get(name, "")
    text = value[0] if isinstance(value, list) else value
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else default
