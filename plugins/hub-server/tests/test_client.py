"""The ordinary client, unchanged, over real HTTP: what it pushes is what another one loads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Client, Hub

LARGE = 3_000_000  # bytes: more than git keeps


def test_push_and_load(client: Client, anyone: Client, hub: Hub, tmp_path: Path) -> None:
    """create_repo, upload_folder (as regular files, for hf_xet is installed), snapshot and file in another HF_HOME."""
    folder = tmp_path / "release"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"small, and LFS by its name")
    (folder / "big.dat").write_bytes(bytes(range(256)) * (LARGE // 256))
    (folder / "sub" / "empty.txt").write_bytes(b"")
    (folder / "ünï côdé.txt").write_text("é")
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [zoo]\n---\n# Hello\n")

    def push(api: Any, folder: str) -> Any:
        who = api.whoami()
        url = api.create_repo("alice/pushed")
        again = api.create_repo("alice/pushed", exist_ok=True)
        info = api.upload_folder(repo_id="alice/pushed", folder_path=folder)
        same = api.upload_folder(repo_id="alice/pushed", folder_path=folder)
        return [who["name"], str(url), str(again), info.oid, same.oid, info.repo_url.repo_id, info.commit_url]

    name, url, again, commit, same, repo, page = client(push, folder)
    assert name == "alice"
    assert url == again == f"{client.endpoint}/alice/pushed"
    assert repo == "alice/pushed"
    assert page == f"{url}/commit/{commit}"
    assert hub.call("GET", page).status == 200
    assert commit == same, "the same content again makes no commit"

    def load(api: Any) -> Any:
        folder = api.snapshot_download("alice/pushed")
        one = api.hf_hub_download("alice/pushed", "big.dat", revision="main")
        info = api.model_info("alice/pushed", files_metadata=True)
        files = {str(p.relative_to(folder)): p.read_bytes().hex() for p in Path(folder).rglob("*") if p.is_file()}
        lfs = {s.rfilename: s.lfs.sha256 for s in info.siblings if s.lfs}
        api.hf_hub_download("alice/pushed", "model.safetensors", force_download=True)
        checked = api.verify_repo_checksums("alice/pushed")
        return [files, Path(one).stat().st_size, info.sha, lfs, info.tags, checked.checked_count]

    files, size, sha, lfs, tags, checked = anyone(load)
    for path in folder.rglob("*"):
        if path.is_file():
            assert bytes.fromhex(files[str(path.relative_to(folder))]) == path.read_bytes()
    assert size == (folder / "big.dat").stat().st_size
    assert sha == commit
    assert set(lfs) == {"model.safetensors", "big.dat"}
    assert lfs["big.dat"] == hashlib.sha256((folder / "big.dat").read_bytes()).hexdigest()
    assert "license:mit" in tags
    assert checked == 6

    def offline(api: Any) -> Any:
        return sorted(p.name for p in Path(snapshot_download("alice/pushed")).iterdir())  # noqa: F821

    assert "big.dat" in anyone(offline, HF_HUB_OFFLINE="1")


def test_lfs(client: Client, hub: Hub, tmp_path: Path) -> None:
    """The LFS way: asked for by a header, or where hf_xet is switched off and the file is too large to be regular."""
    file = tmp_path / "weights.bin"
    file.write_bytes(b"w" * LARGE)

    def push(api: Any, file: str) -> Any:
        api.create_repo("alice/lfs")
        api = HfApi(endpoint=api.endpoint, token=api.token, headers={"X-Zoo-Upload": "lfs"})  # noqa: F821
        parent = api.model_info("alice/lfs").sha
        with open(file, "rb") as content:  # a file object: the client then leaves hf_xet alone
            add = CommitOperationAdd("weights.bin", content)  # noqa: F821
            more = CommitOperationAdd("config.json", b"{}")  # noqa: F821
            first = api.create_commit("alice/lfs", [add, more], commit_message="first", parent_commit=parent)
        with open(file, "rb") as content:
            add = CommitOperationAdd("copy/weights.bin", content)  # noqa: F821
            copy = CommitOperationCopy("weights.bin", "copy/again.bin")  # noqa: F821
            api.create_commit("alice/lfs", [add, copy], commit_message="it is there already", parent_commit=first.oid)
        try:
            late_add = CommitOperationAdd("late.json", b"{}")  # noqa: F821
            api.create_commit("alice/lfs", [late_add], commit_message="late", parent_commit=parent)
        except Exception as error:
            late = [type(error).__name__, error.response.status_code]
        found = api.get_paths_info("alice/lfs", ["weights.bin", "copy/again.bin", "none"])
        return [[one.lfs.sha256 for one in found], [one.title for one in api.list_repo_commits("alice/lfs")], late]

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    digests, titles, late = client(push, file)
    assert digests == [digest, digest]
    assert titles == ["it is there already", "first", "initial commit"]
    assert late == ["HfHubHTTPError", 412]
    objects = [path for path in (hub.folder / "models/alice/lfs.git/lfs").rglob("*") if path.is_file()]
    assert [path.name for path in objects] == [digest]


def test_the_command_line(client: Client, tmp_path: Path) -> None:
    """hf auth whoami, upload, download, and what it does with repositories."""
    (tmp_path / "model.bin").write_bytes(b"m" * 5000)
    assert "alice" in client.hf("auth", "whoami")
    client.hf("upload", "alice/cli", tmp_path / "model.bin", "model.bin")
    client.hf("repos", "tag", "create", "alice/cli", "v1")
    client.hf("download", "alice/cli", "model.bin", "--revision", "v1", "--local-dir", tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == b"m" * 5000
    assert "alice/cli" in client.hf("models", "ls", "--author", "alice", "--no-truncate")
    client.hf("repos", "delete", "alice/cli", "--yes")
    assert "alice/cli" not in client.hf("models", "ls", "--author", "alice", "--no-truncate")


def test_branches_tags_and_history(client: Client) -> None:
    def work(api: Any) -> Any:
        repo = api.create_repo("alice/refs").repo_id
        first = api.upload_file(repo_id=repo, path_or_fileobj=b"1", path_in_repo="a.txt").oid
        api.create_branch(repo, branch="dev/x")
        api.create_branch(repo, branch="dev/x", exist_ok=True)
        api.create_tag(repo, tag="v1", tag_message="the first")
        second = api.upload_file(repo_id=repo, path_or_fileobj=b"2", path_in_repo="a.txt", revision="dev/x").oid
        refs = api.list_repo_refs(repo, include_pull_requests=True)
        texts = [
            Path(api.hf_hub_download(repo, "a.txt", revision=revision)).read_text()
            for revision in ("main", "dev/x", "v1", "refs/heads/dev/x", first, second)
        ]
        found = {ref.name: ref.target_commit for ref in refs.branches + refs.tags}
        api.delete_tag(repo, tag="v1")
        api.delete_branch(repo, branch="dev/x")
        left = api.list_repo_refs(repo)
        return [first, second, found, texts, len(left.branches), len(left.tags)]

    first, second, refs, texts, branches, tags = client(work)
    assert refs == {"main": first, "dev/x": second, "v1": first}
    assert texts == ["1", "2", "1", "2", "1", "2"]
    assert (branches, tags) == (1, 0)


def test_trees_deletions_and_squash(client: Client) -> None:
    def work(api: Any) -> Any:
        repo = api.create_repo("alice/trees").repo_id
        adds = [CommitOperationAdd(f"d/e{i % 3}/f{i}.txt", b"%d" % i) for i in range(1100)]  # noqa: F821
        api.create_commit(repo, adds, commit_message="many")
        api.upload_file(repo_id=repo, path_or_fileobj=b"new", path_in_repo="d/e1/f1.txt", commit_message="one")
        every = [one.path for one in api.list_repo_tree(repo, recursive=True)]
        top = [one.path for one in api.list_repo_tree(repo)]
        inside = list(api.list_repo_tree(repo, "d/e1", expand=True))
        changes = {one.path: one.last_commit.title for one in inside}
        api.delete_file("d/e2/f2.txt", repo)
        api.delete_folder("d/e1", repo)
        left = len(api.list_repo_files(repo))
        api.super_squash_history(repo)
        rest = [len(api.list_repo_commits(repo)), *(api.file_exists(repo, f"d/e{i}/f{i}.txt") for i in (0, 1))]
        return [len(every), len(set(every)), top, changes["d/e1/f1.txt"], changes["d/e1/f4.txt"], left, *rest]

    every, unique, top, new, old, left, commits, there, gone = client(work)
    assert every == unique == 1100 + 4 + 1
    assert top == [".gitattributes", "d"]
    assert (new, old) == ("one", "many")
    assert left == 1101 - 1 - 367
    assert (commits, there, gone) == (1, True, False)


def test_errors_are_the_clients_own(client: Client, anyone: Client) -> None:
    def work(api: Any) -> Any:
        repo = api.create_repo("alice/errors").repo_id
        found = []
        for call in (
            lambda: api.model_info("alice/none"),
            lambda: api.model_info("gpt2"),
            lambda: api.dataset_info(repo),
            lambda: api.model_info(repo, revision="none"),
            lambda: api.hf_hub_download(repo, "none"),
            lambda: api.hf_hub_download(repo, "a", revision="none"),
            lambda: list(api.list_repo_tree(repo, "none")),
            lambda: api.create_tag(repo, tag="v", revision="none"),
            lambda: api.delete_tag(repo, tag="none"),
            lambda: api.delete_branch(repo, branch="none"),
            lambda: api.delete_file("none", repo),
            lambda: api.create_repo(repo),
            lambda: api.upload_file(repo_id="bob/x", path_or_fileobj=b"", path_in_repo="a"),
            lambda: api.upload_file(
                repo_id=repo, path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", revision="main"
            ),
            lambda: api.upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="a", create_pr=True),
            lambda: HfApi(endpoint=api.endpoint, token="hf_wrong").whoami(),  # noqa: F821
            lambda: api.repo_info(repo, repo_type="space"),
        ):
            try:
                call()
                found.append("nothing")
            except Exception as error:
                found.append(type(error).__name__)
        return [*found, api.repo_exists("alice/none"), api.repo_exists(repo), api.revision_exists(repo, "none")]

    repo, revision, entry, http = (
        "RepositoryNotFoundError", "RevisionNotFoundError", "RemoteEntryNotFoundError", "HfHubHTTPError",
    )  # fmt: skip
    expected = [repo, repo, repo, revision, entry, revision, entry, revision, revision, revision, entry, http, repo]
    found = client(work)
    assert found[: len(expected)] == expected
    assert found[len(expected) :] == ["ValueError", http, http, repo, False, True, False]

    def without_token(api: Any) -> Any:
        try:
            api.model_info("alice/none")
        except Exception as error:
            return [type(error).__name__, api.repo_exists("alice/none"), api.repo_exists("alice/errors")]

    assert anyone(without_token) == [repo, False, True]


def test_lists(client: Client, anyone: Client) -> None:
    def fill(api: Any) -> Any:
        for number in range(5):
            repo = api.create_repo(f"lab/list-{number}", private=number == 4).repo_id
            text = f"---\ntags: [t{number % 2}, listed]\nlicense: mit\n---\n".encode()
            api.upload_file(repo_id=repo, path_or_fileobj=text, path_in_repo="README.md")
        api.create_repo("lab/data", repo_type="dataset")
        return [
            sorted(one.id for one in api.list_models(filter=["listed", "t0"])),
            len(list(api.list_models(author="lab", filter="license:mit"))),
            [one.id for one in api.list_models(search="list-3")],
            len(list(api.list_models(author="lab", limit=2))),
            [one.id for one in api.list_datasets(author="lab")],
            [len(one.siblings) for one in api.list_models(search="list-1", full=True)],
        ]

    expected = [["lab/list-0", "lab/list-2", "lab/list-4"], 5, ["lab/list-3"], 2, ["lab/data"], [2]]
    assert client(fill) == expected

    def look(api: Any) -> Any:
        return sorted(one.id for one in api.list_models(filter="listed"))

    assert anyone(look) == ["lab/list-0", "lab/list-1", "lab/list-2", "lab/list-3"]


def test_pages_of_a_list(hub: Hub, client: Client) -> None:
    for number in range(3):
        hub.call("POST", "/api/repos/create", {"name": f"paged-{number}"}, client.token)
    seen, path = [], "/api/models?search=paged-&limit=1"
    while path:
        answer = hub.call("GET", path)
        seen += [one["id"] for one in answer.json()]
        path = answer.headers.get("link", "").partition(">")[0].strip("<")
    assert sorted(seen) == [f"alice/paged-{number}" for number in range(3)]


def test_moving_settings_and_access(client: Client, anyone: Client, hub: Hub, bob: str, carol: str) -> None:
    def work(api: Any) -> Any:
        repo = api.create_repo("alice/before").repo_id
        api.upload_file(repo_id=repo, path_or_fileobj=b"text", path_in_repo="a.txt")
        api.move_repo(repo, "lab/after")
        old = Path(api.hf_hub_download(repo, "a.txt")).read_text()
        info = api.model_info(repo)
        api.auth_check("lab/after", write=True)
        api.update_repo_settings("lab/after", private=True)
        return [old, info.id, api.model_info("lab/after").private]

    assert client(work) == ["text", "lab/after", True]
    path = "/lab/after/resolve/main/a.txt"
    assert hub.call("GET", path, token=client.token).body == b"text"
    assert hub.call("GET", path, token=carol).body == b"text"  # of the team
    assert hub.call("GET", path, token=bob).status == 404
    assert hub.call("GET", path).status == 401
    assert hub.call("GET", "/alice/before/resolve/main/a.txt").status == 401, "a move must not tell of a private name"

    def gate(api: Any) -> Any:
        api.update_repo_settings("lab/after", private=False, gated="auto")

    client(gate)
    assert hub.call("GET", path, token=bob).status == 403
    assert hub.call("GET", path, token=carol).status == 200, "of the team"

    def load(api: Any) -> Any:
        api.hf_hub_download("lab/after", "a.txt")

    with pytest.raises(anyone.Failed) as failed:
        anyone(load)
    assert failed.value.kind == "GatedRepoError"

    def delete(api: Any) -> Any:
        api.delete_repo("lab/after")
        api.delete_repo("lab/after", missing_ok=True)
        return api.repo_exists("lab/after")

    assert client(delete) is False


def test_reading_a_data_set_by_ranges(client: Client, anyone: Client, hub: Hub) -> None:
    """As `load_dataset(streaming=True)` and parquet readers do it."""

    def push(api: Any) -> Any:
        repo = api.create_repo("alice/numbers", repo_type="dataset").repo_id
        content = b"".join(b"%07d\n" % i for i in range(300_000))
        api.upload_file(repo_id=repo, path_or_fileobj=content, path_in_repo="data/n.parquet", repo_type="dataset")

    client(push)

    def read(api: Any) -> Any:
        file_system = HfFileSystem(endpoint=api.endpoint, token=api.token)  # noqa: F821
        with file_system.open("datasets/alice/numbers/data/n.parquet", block_size=1 << 16) as file:
            file.seek(8 * 200_000)
            middle = file.read(8).decode()
            file.seek(-8, 2)
            return [middle, file.read().decode(), file_system.ls("datasets/alice/numbers", detail=False)]

    middle, last, files = anyone(read)
    assert (middle, last) == ("0200000\n", "0299999\n")
    assert "datasets/alice/numbers/data" in files
    path = "/datasets/alice/numbers/resolve/main/data/n.parquet"
    for asked, status, body in (
        ("bytes=0-6", 206, b"0000000"),
        ("bytes=-8", 206, b"0299999\n"),
        ("bytes=2399992-", 206, b"0299999\n"),
        ("bytes=2399992-9999999", 206, b"0299999\n"),
        ("bytes=2400000-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, None),
        ("lines=1-2", 200, None),
        ("bytes=0-1,3-4", 200, None),
    ):
        answer = hub.call("GET", path, Range=asked)
        assert answer.status == status, asked
        assert body is None or answer.body == body
        if status == 206:
            assert answer.headers["content-length"] == str(len(answer.body))
            assert answer.headers["content-range"].endswith("/2400000")
        elif status == 200:
            assert len(answer.body) == 2_400_000
    for missing in ("numbers.py", ".huggingface.yaml", "dataset_infos.json"):
        answer = hub.call("HEAD", f"/datasets/alice/numbers/resolve/main/{missing}")
        assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")
        assert len(answer.headers["x-repo-commit"]) == 40


def test_head_says_what_the_client_checks(client: Client, hub: Hub) -> None:
    def push(api: Any) -> Any:
        api.create_repo("alice/heads")
        api.upload_file(repo_id="alice/heads", path_or_fileobj=b"x" * 2_000_000, path_in_repo="big")
        return api.upload_file(repo_id="alice/heads", path_or_fileobj=b"tiny", path_in_repo="small").oid

    commit = client(push)
    big, small = (hub.call("HEAD", f"/alice/heads/resolve/main/{name}") for name in ("big", "small"))
    assert big.headers["etag"].strip('"') == hashlib.sha256(b"x" * 2_000_000).hexdigest()
    assert small.headers["etag"].strip('"') == hashlib.sha1(b"blob 4\0tiny").hexdigest()
    assert big.headers["x-linked-size"] == big.headers["content-length"] == "2000000"
    assert big.headers["x-repo-commit"] == small.headers["x-repo-commit"] == commit
    assert "x-xet-hash" not in big.headers
    assert "content-encoding" not in hub.call("GET", "/alice/heads/resolve/main/small", Accept_Encoding="gzip").headers
    assert json.loads(hub.call("GET", "/api/models/alice/heads/tree/main").body)[1]["lfs"]["oid"]
