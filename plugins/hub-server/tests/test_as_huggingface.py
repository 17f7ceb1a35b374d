"""What clients count on beyond the calls themselves: texts, codes and rules, as huggingface.co has them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Answer, Client, Hub


def file_line(path: str, content: bytes) -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}


def said(answer: Answer) -> tuple[int, str]:
    """The status, and what the header and the body both say."""
    text = answer.headers["x-error-message"]
    assert answer.json()["error"] == text
    return answer.status, text


def test_refusals_have_the_texts_that_clients_compare(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo, other = new_repo("texts"), new_repo("texts-2")
    api = f"/api/models/{repo}"
    parent = hub.call("GET", api).json()["sha"]
    assert hub.commit(repo, alice, [file_line("a", b"1")]).status == 200
    late = hub.commit(repo, alice, [file_line("a", b"2")], parentCommit=parent)
    assert said(late) == (412, "The branch was updated since you opened this page. Please refresh and try again.")
    assert said(hub.call("GET", "/api/models/alice/none", token=alice)) == (404, "Repository not found")
    assert said(hub.call("POST", f"{api}/branch/main", {}, alice)) == (409, "Reference refs/heads/main already exists")
    assert hub.call("POST", f"{api}/tag/main", {"tag": "v1"}, alice).status == 200
    again = hub.call("POST", f"{api}/tag/main", {"tag": "v1"}, alice)
    assert said(again) == (409, "Reference refs/tags/v1 already exists")
    assert said(hub.call("DELETE", f"{api}/branch/main", token=alice)) == (403, "Cannot delete refs/heads/main")
    moved = hub.call("POST", "/api/repos/move", {"fromRepo": repo, "toRepo": other, "type": "model"}, alice)
    assert said(moved) == (409, f"A model repository called {other} already exists")


def test_a_missing_revision_is_told_before_a_name_that_is_none(
    hub: Hub, alice: str, new_repo: Callable[..., str]
) -> None:
    api = f"/api/models/{new_repo('order')}"
    for path, body in (("tag/none", {"tag": "no name"}), ("branch/no%20name", {"startingPoint": "none"})):
        answer = hub.call("POST", f"{api}/{path}", body, alice)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound"), path
    assert hub.call("POST", f"{api}/tag/main", {"tag": "no name"}, alice).status == 400


def test_a_commit_to_a_missing_repository_says_no_more_than_the_client_does(client: Client) -> None:
    def push(api: Any) -> Any:
        api.upload_file(repo_id="alice/nowhere", path_or_fileobj=b"x", path_in_repo="a")

    with pytest.raises(client.Failed) as failed:
        client(push)
    assert failed.value.kind == "RepositoryNotFoundError"
    lines = [line for line in failed.value.message.splitlines() if "repository not found" in line.lower()]
    assert len(lines) == 1, "the client's own line, and none of ours beside it"


def test_gitignore_holds_for_a_push(client: Client, hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("ignoring")

    def ask(paths: list[str], **more: str) -> list[str]:
        files = [{"path": path, "size": 1, "sample": ""} for path in paths]
        answer = hub.call("POST", f"/api/models/{repo}/preupload/main", {"files": files, **more}, alice)
        return [one["path"] for one in answer.json()["files"] if one["shouldIgnore"]]

    paths = ["a.log", "keep.log", "sub/b.log", "build/x/y", "sub/build/z", "nested/file.bin", "nested/deep/file", "a"]
    assert ask(paths) == []
    rules = "*.log\n!keep.log\n/build/\nnested/*\n[\n# a\n"
    expected = ["a.log", "sub/b.log", "build/x/y", "nested/file.bin", "nested/deep/file"]
    assert ask(paths, gitIgnore=rules) == expected, "the folder's own"
    assert hub.commit(repo, alice, [file_line(".gitignore", rules.encode())]).status == 200
    assert ask(paths) == expected, "that of the repository"
    assert ask(paths, gitIgnore="") == [], "the folder's own comes first"

    def push(api: Any, repo: str) -> Any:
        adds = [CommitOperationAdd(path, b"x") for path in ("new.log", "new.txt")]  # noqa: F821
        api.create_commit(repo, adds, commit_message="two, and one of them ignored")
        return sorted(api.list_repo_files(repo))

    assert client(push, repo) == [".gitattributes", ".gitignore", "new.txt"]


def test_a_card_is_checked_before_a_push(hub: Hub, client: Client, new_repo: Callable[..., str]) -> None:
    def check(content: str, kind: str = "model") -> tuple[int, list[str], list[str]]:
        answer = hub.call("POST", "/api/validate-yaml", {"content": content, "repoType": kind})
        found = answer.json()
        return answer.status, *([one["message"] for one in found[key]] for key in ("errors", "warnings"))

    assert check("# No front matter")[0::2] == (200, ["empty or missing yaml metadata in repo card"])
    assert check("---\nlicense: mit\n---\n") == (200, [], [])
    status, errors, _ = check("---\nmodel-index: foo\n---\n")
    assert (status, len(errors)) == (400, 1)
    assert check("---\nmodel-index: foo\n---\n", "dataset")[0] == 200, "it is a model's"
    right = "{task: {type: image-classification}, metrics: [{type: accuracy, value: 0.5}]}"
    assert check(f"---\nmodel-index: [{{name: m, results: [{right}]}}]\n---\n") == (200, [], [])
    for wrong, where in (
        ("[{results: []}]", "model-index[0].name"),
        ("[{name: m}]", "model-index[0].results"),
        (f"[{{name: m, results: [{right}, {{metrics: []}}]}}]", "model-index[0].results[1].task.type"),
        ("[{name: m, results: [{task: {type: t}, metrics: 3}]}]", "model-index[0].results[0].metrics"),
        ("[{name: m, results: [{task: {type: t}, metrics: [{type: a}]}]}]", "model-index[0].results[0].metrics[0]"),
    ):
        status, errors, _ = check(f"---\nmodel-index: {wrong}\n---\n")
        assert status == 400, wrong
        assert where in errors[0]

    repo = new_repo("cards")

    def push(api: Any, repo: str) -> Any:
        text = b"---\nmodel-index: foo\n---\n"
        try:
            api.upload_file(repo_id=repo, path_or_fileobj=text, path_in_repo="README.md")
        except ValueError as error:
            return [str(error).splitlines()[0], api.file_exists(repo, "README.md")]

    assert client(push, repo) == ["Invalid metadata in README.md.", False]


def test_capitals_do_not_tell_two_repositories_apart(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("CaMeL-1")
    small = repo.lower()
    assert hub.commit(small, alice, [file_line("a.txt", b"x")]).status == 200
    assert hub.call("GET", f"/{small}/resolve/main/a.txt").body == b"x"
    assert hub.call("GET", f"/api/models/{small}").json()["id"] == repo
    assert hub.call("GET", f"/api/models/{small.upper()}").json()["id"] == repo
    created = hub.call("POST", "/api/repos/create", {"name": "camel-1"}, alice)
    assert created.status == 409
    assert created.json()["url"] == f"{hub.endpoint}/{repo}"
    assert hub.call("PUT", f"/api/models/{small}/settings", {"private": True}, alice).status == 200
    assert hub.call("GET", f"/{small}/resolve/main/a.txt").status == 401, "private by every name"
    moved = {"fromRepo": small, "toRepo": "alice/CAMEL-1", "type": "model"}
    assert hub.call("POST", "/api/repos/move", moved, alice).status == 200
    assert hub.call("DELETE", "/api/repos/delete", {"name": "camel-1"}, alice).status == 200
    assert hub.call("GET", f"/api/models/{repo}", token=alice).status == 404


def test_a_folder_may_be_deleted_without_saying_that_it_is_one(
    hub: Hub, alice: str, new_repo: Callable[..., str]
) -> None:
    repo = new_repo("folders")
    lines = [file_line(path, b"x") for path in ("1/a", "1/b/c", "10", "2")]
    assert hub.commit(repo, alice, lines).status == 200

    def delete(path: str) -> int:
        return hub.commit(repo, alice, [{"key": "deletedFile", "value": {"path": path}}]).status

    assert (delete("1"), delete("1"), delete("2")) == (200, 404, 200)
    left = {one["path"] for one in hub.call("GET", f"/api/models/{repo}/tree/main").json()}
    assert left == {".gitattributes", "10"}


def test_gitattributes_are_matched_as_git_matches_them(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("attributes")
    rules = b"a/*.bin filter=lfs\n**/x.dat filter=lfs\n/top.one filter=lfs\n"
    large = {"a/c.bin": True, "a/b/c.bin": False, "x.dat": True, "b/x.dat": True, "top.one": True, "b/top.one": False}
    lines = [file_line(path, path.encode()) for path in large]
    assert hub.commit(repo, alice, [file_line(".gitattributes", rules)]).status == 200
    assert hub.commit(repo, alice, lines).status == 200
    tree = hub.call("GET", f"/api/models/{repo}/tree/main?recursive=true").json()
    assert {one["path"]: "lfs" in one for one in tree if one["path"] in large} == large


def test_a_pattern_of_many_wildcards_holds_nobody_up(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("slow")
    slow = "*a" * 20 + "b"
    assert hub.commit(repo, alice, [file_line(".gitattributes", f"{slow} filter=lfs\n".encode())]).status == 200
    begun = time.monotonic()
    assert hub.commit(repo, alice, [file_line("a" * 200, b"x")]).status == 200
    files = {"files": [{"path": "a" * 200, "size": 1, "sample": ""}], "gitIgnore": slow}
    assert hub.call("POST", f"/api/models/{repo}/preupload/main", files, alice).status == 200
    assert time.monotonic() - begun < 10


def test_what_is_there_already_is_not_sent_again(client: Client, new_repo: Callable[..., str]) -> None:
    """Also of files that are kept as LFS, whichever way the client would send them."""

    def push(api: Any, repo: str) -> Any:
        import logging

        def commit(mark: bytes) -> Any:
            contents = {"w.bin": b"weights", "large.dat": b"d" * 2_000_000, "a.txt": b"text", "new.bin": mark}
            adds = [CommitOperationAdd(path, content) for path, content in contents.items()]  # noqa: F821
            return api.create_commit(repo, adds, commit_message="m").oid

        commit(b"1")
        seen: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: seen.append(record.getMessage())
        logger = logging.getLogger("huggingface_hub")
        logger.addHandler(handler)
        logger.setLevel("DEBUG")
        commit(b"2")
        return sorted(line.split("'")[1] for line in seen if line.startswith("Skipping upload"))

    assert client(push, new_repo("again")) == ["a.txt", "large.dat", "w.bin"]


def test_how_a_file_is_to_be_sent(hub: Hub, alice: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("modes")
    content = b"old weights"
    assert hub.commit(repo, alice, [file_line("w.bin", content)]).status == 200

    def ask(**headers: str) -> dict[str, Any]:
        sizes = {"w.bin": len(content), "a.txt": 5, "big.txt": 3 << 20}
        files = [{"path": path, "size": size, "sample": ""} for path, size in sizes.items()]
        answer = hub.call("POST", f"/api/models/{repo}/preupload/main", {"files": files}, alice, **headers)
        return {one["path"]: (one["uploadMode"], one.get("oid")) for one in answer.json()["files"]}

    as_git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert ask() == {"w.bin": ("regular", as_git), "a.txt": ("regular", None), "big.txt": ("regular", None)}
    as_lfs = hashlib.sha256(content).hexdigest()
    large = ask(X_Zoo_Upload="lfs")
    assert large == {"w.bin": ("lfs", as_lfs), "a.txt": ("regular", None), "big.txt": ("lfs", None)}


def test_a_gate_lets_in_who_asked(hub: Hub, alice: str, bob: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("gated")
    api, file, ask = f"/api/models/{repo}", f"/{repo}/resolve/main/.gitattributes", f"/{repo}/ask-access"
    assert hub.call("POST", ask, token=bob).status == 400, "there is no gate"
    assert hub.call("PUT", f"{api}/settings", {"gated": "auto"}, alice).status == 200
    for path in (f"{api}/auth-check", file):
        refused = hub.call("GET", path, token=bob)
        assert (refused.status, refused.headers["x-error-code"]) == (403, "GatedRepo")
        assert f"{hub.endpoint}{ask}" in said(refused)[1], "the message says how to ask"
        assert hub.call("GET", path).status == 401
        assert hub.call("GET", path, token=alice).status == 200
    assert hub.call("GET", api, token=bob).status == 200, "what it is may be looked at"
    assert hub.call("POST", ask).status == 401
    assert hub.call("POST", ask, token=bob).json() == {"status": "accepted"}
    assert hub.call("GET", file, token=bob).status == 200
    assert hub.call("GET", f"{api}/user-access-request/accepted", token=bob).status == 403, "not the owner"

    assert hub.call("PUT", f"{api}/settings", {"gated": False}, alice).status == 200
    assert hub.call("GET", file).status == 200


def test_the_owner_answers_who_asked(client: Client, hub: Hub, bob: str, new_repo: Callable[..., str]) -> None:
    repo = new_repo("gated-by-hand")
    file, ask = f"/{repo}/resolve/main/.gitattributes", f"/{repo}/ask-access"

    def states(api: Any, repo: str) -> Any:
        lists = (
            api.list_pending_access_requests,
            api.list_accepted_access_requests,
            api.list_rejected_access_requests,
        )
        return [[one.username for one in found(repo)] for found in lists]

    def gate(api: Any, repo: str) -> Any:
        api.update_repo_settings(repo, gated="manual")

    def accept(api: Any, repo: str) -> Any:
        api.accept_access_request(repo, request_id=next(iter(api.list_pending_access_requests(repo))).request_id)
        try:
            api.accept_access_request(repo, "bob")
        except Exception as error:
            return error.response.status_code

    def reject(api: Any, repo: str) -> Any:
        api.reject_access_request(repo, "BOB", rejection_reason="none")

    def grant(api: Any, repo: str) -> Any:
        api.grant_access(repo, "bob")
        found = []
        for name in ("bob", "nobody"):
            try:
                api.grant_access(repo, name)
            except Exception as error:
                found.append(error.response.status_code)
        return found

    client(gate, repo)
    assert client(states, repo) == [[], [], []]
    assert hub.call("POST", ask, token=bob).json() == {"status": "pending"}
    assert hub.call("POST", ask, token=bob).json() == {"status": "pending"}
    assert hub.call("GET", file, token=bob).status == 403
    assert client(states, repo) == [["bob"], [], []]
    assert client(accept, repo) == 400, "accepted already"
    assert hub.call("GET", file, token=bob).status == 200
    client(reject, repo)
    assert hub.call("POST", ask, token=bob).json() == {"status": "rejected"}, "asking again does not help"
    assert hub.call("GET", file, token=bob).status == 403
    assert client(states, repo) == [[], [], ["bob"]]
    assert client(grant, repo) == [400, 404]
    assert hub.call("GET", file, token=bob).status == 200
