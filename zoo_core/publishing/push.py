"""`push`: a release into a repository on a hub, in one commit, or into a folder that serves as a hub."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.atomic import write_atomically
from zoo_core.hub.endpoint import Endpoint, current_endpoint
from zoo_core.hub.integrity import FileEntry, sha256_of
from zoo_core.hub.repository import explained
from zoo_core.publishing.card import evaluation_results, model_card
from zoo_core.publishing.gate import pass_gate
from zoo_core.publishing.manifest_entry import manifest_entry
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.reference import FolderReference, HubReference, UrlReference, parse_reference
from zoo_core.weights.release import CARD, CONFIG, ReleaseConfig
from zoo_core.weights.sources import Located, locate


class Change(NamedTuple):
    """One file, and what pushing does to it."""

    name: str
    what: Literal["new", "changed", "same"]
    bytes: int


class Plan(NamedTuple):
    """What a push would do."""

    target: str
    creates: bool  # a repository that is not there yet
    changes: list[Change]

    @property
    def sends(self) -> bool:
        """Whether there is anything to do."""
        return any(change.what != "same" for change in self.changes)


class Pushed(NamedTuple):
    """What a push has done."""

    plan: Plan
    done: bool
    source: str | None  # for a manifest: the repository at the new commit, or the URL
    entry: str | None  # the manifest entry, TOML


def push(
    reference: str,
    target: str,
    *,
    branch: str = "main",
    private: bool = False,
    create: bool = False,
    message: str | None = None,
    unmeasured: bool = False,
    confirm: Callable[[Plan], bool] = lambda plan: True,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> Pushed:
    """Publish the release of `reference`.

    It first passes a gate in a fresh process: loaded strictly, golden output and numbers again, licences stated.

    Args:
        target: org/repo on the current hub (HF_ENDPOINT, HF_TOKEN), or the URL of a folder (file://…, any of fsspec's).
        create: make the repository where there is none.
        unmeasured: publish though the numbers cannot be measured again here; the model card says so.
        confirm: sees what would be done; False ends it there.

    Raises:
        WeightsError: the release does not pass the gate, or is not what arrived.
        ZooError: the hub refuses, or has changed meanwhile; nothing of it was overwritten.
    """
    located = locate(reference, registry or default_registry(), manifest)
    to = parse_reference(target)
    if isinstance(to, FolderReference):
        to = UrlReference(to.path.expanduser().absolute().as_uri())
    if not isinstance(to, HubReference | UrlReference):
        raise UsageError(
            f"'{target}' is no place to push to", "Give org/repo, or a URL such as file:///share/zoo/name."
        )
    if isinstance(parse_reference(reference), FolderReference):
        _refuse_links(located)
    pass_gate(reference, measure=not unmeasured)
    name = located.pinned.name if located.pinned else f"{located.release.zoo.model}.{Path(target).name}"
    with _staged(located, unmeasured) as staged:
        if isinstance(to, UrlReference):
            return _push_to_url(staged, to.url.rstrip("/"), name, confirm)
        hub = _Hub(current_endpoint(), to.repo, to.revision or branch)
        return hub.push(staged, name, private, create, message or f"Release of {located.name}", confirm)


class _Staged(NamedTuple):
    """Exactly the files that are published."""

    folder: Path
    files: dict[str, Path]  # config.json last


def _refuse_links(located: Located) -> None:
    for name in (*located.release.files, CONFIG):
        if (located.folder / name).is_symlink():
            raise WeightsError(
                f"'{located.folder / name}' is a link, and what it points to is not published by accident"
            )


@contextmanager
def _staged(located: Located, unmeasured: bool) -> Iterator[_Staged]:
    with tempfile.TemporaryDirectory() as temporary:
        folder, release = Path(temporary), located.release
        files = {name: located.folder / name for name in release.files}
        files[CONFIG] = located.folder / CONFIG
        if unmeasured and release.metrics:
            release = _with_unmeasured_card(release, folder)
            files |= {CARD: folder / CARD, CONFIG: folder / CONFIG}
        for path, text in evaluation_results(release).items():
            place = folder / path
            place.parent.mkdir(exist_ok=True)
            write_atomically(place, text)
            files[path] = place
        config = files.pop(CONFIG)
        yield _Staged(located.folder, {**files, CONFIG: config})


def _with_unmeasured_card(release: ReleaseConfig, folder: Path) -> ReleaseConfig:
    write_atomically(folder / CARD, model_card(release, unmeasured=True))
    entry = FileEntry(sha256=sha256_of(folder / CARD), bytes=(folder / CARD).stat().st_size)
    release = msgspec.structs.replace(release, files={**release.files, CARD: entry})
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(release), indent=1))
    return release


class _Hub:
    """A repository that is pushed to."""

    def __init__(self, endpoint: Endpoint, repo: str, branch: str) -> None:
        from huggingface_hub import HfApi

        self.endpoint, self.repo, self.branch = endpoint, repo, branch
        self.api = HfApi(endpoint=endpoint.url, token=endpoint.token)

    def push(
        self,
        staged: _Staged,
        name: str,
        private: bool,
        create: bool,
        message: str,
        confirm: Callable[[Plan], bool],
    ) -> Pushed:
        from huggingface_hub import CommitOperationAdd

        exists = self._asked(lambda: self.api.repo_exists(self.repo))
        if not exists and not create:
            raise UsageError(f"there is no repository {self.repo} at {self.endpoint.url}", "Give --create to make it.")
        parent = self._head() if exists else None
        there = self._tree(parent) if parent else {}
        plan = Plan(f"{self.repo} at {self.endpoint.url}", not exists, _changes(staged, there))
        if not confirm(plan):
            return Pushed(plan, False, None, None)
        if not exists:
            self._asked(lambda: self.api.create_repo(self.repo, private=private))
            parent = self._head()
        elif parent is None and self.branch != "main":
            self._asked(lambda: self.api.create_branch(self.repo, branch=self.branch))
            parent = self._head()
        commit = parent
        if plan.sends:
            with ExitStack() as stack:
                operations = [
                    # A file object, and not its path, so that it goes the way that every hub understands.
                    CommitOperationAdd(change.name, stack.enter_context(open(staged.files[change.name], "rb")))
                    for change in plan.changes
                    if change.what != "same"
                ]
                commit = self._commit(operations, message, parent)
        assert commit is not None
        wrong = [change.name for change in _changes(staged, self._tree(commit)) if change.what != "same"]
        if wrong:
            raise WeightsError(f"what arrived at {plan.target} is not what was sent: {', '.join(wrong)}", "Push again.")
        source = f"hf:{self.repo}@{commit}"
        return Pushed(plan, True, source, manifest_entry(staged.folder, name, [source]))

    def _head(self) -> str | None:
        """The branch's commit; None where there is no such branch."""
        from huggingface_hub.errors import RevisionNotFoundError

        def ask() -> str | None:
            try:
                return self.api.model_info(self.repo, revision=self.branch).sha
            except RevisionNotFoundError:
                return None

        head: str | None = self._asked(ask)
        return head

    def _tree(self, commit: str) -> dict[str, Any]:
        tree = self._asked(lambda: list(self.api.list_repo_tree(self.repo, revision=commit, recursive=True)))
        return {file.path: file for file in tree if hasattr(file, "blob_id")}

    def _commit(self, operations: list[Any], message: str, parent: str | None) -> str:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return self.api.create_commit(
                self.repo, operations, commit_message=message, revision=self.branch, parent_commit=parent
            ).oid
        except HfHubHTTPError as error:
            if error.response.status_code in (409, 412):
                raise ZooError(
                    f"{self.repo} has a newer commit than {(parent or '')[:12]}, so nothing was pushed",
                    "Somebody pushed meanwhile. Look at what changed, then push again.",
                ) from error
            raise explained(error, self.endpoint, self.repo, self.branch) from error
        except Exception as error:
            raise explained(error, self.endpoint, self.repo, self.branch) from error

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            raise explained(error, self.endpoint, self.repo, self.branch) from error


def _changes(staged: _Staged, there: dict[str, Any]) -> list[Change]:
    changes = []
    for name, path in staged.files.items():
        size = path.stat().st_size
        if name not in there:
            changes.append(Change(name, "new", size))
        else:
            changes.append(Change(name, "same" if _is_same(path, there[name]) else "changed", size))
    return changes


def _is_same(path: Path, remote: Any) -> bool:
    """Large files are known by their sha256, small ones by git's digest."""
    if remote.size != path.stat().st_size:
        return False
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == sha256_of(path))
    content = path.read_bytes()
    return bool(remote.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())


def _push_to_url(staged: _Staged, url: str, name: str, confirm: Callable[[Plan], bool]) -> Pushed:
    """Into a folder, config.json last, and the old one removed first: nobody reads a mix."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"'{url}' cannot be opened: {error}") from None
    changes = []
    for file, path in staged.files.items():
        place = f"{root}/{file}"
        if not system.exists(place):
            changes.append(Change(file, "new", path.stat().st_size))
        else:
            with system.open(place, "rb") as far:
                same = hashlib.file_digest(far, "sha256").hexdigest() == sha256_of(path)
            changes.append(Change(file, "same" if same else "changed", path.stat().st_size))
    plan = Plan(url, not system.exists(root), changes)
    if not confirm(plan):
        return Pushed(plan, False, None, None)
    if plan.sends:
        try:
            system.makedirs(root, exist_ok=True)
            if system.exists(f"{root}/{CONFIG}"):
                system.rm(f"{root}/{CONFIG}")
            for change in changes:
                if change.what == "same" and change.name != CONFIG:
                    continue
                place = f"{root}/{change.name}"
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
                with open(staged.files[change.name], "rb") as near, system.open(f"{place}.part", "wb") as far:
                    shutil.copyfileobj(near, far, 1 << 20)
                system.mv(f"{place}.part", place)
        except OSError as error:
            raise ZooError(f"'{url}' cannot be written: {error.strerror or error}") from error
    return Pushed(plan, True, url, manifest_entry(staged.folder, name, [url]))
