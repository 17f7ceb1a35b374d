"""`push`: publishes a release in a repository on a hub, in one commit, or in a folder that serves as a hub."""

import hashlib
import logging
import re
import shutil
import sys
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
from zoo_core.hub.integrity import FileEntry, is_git_blob, sha256_of
from zoo_core.hub.repository import explained, guard_headers
from zoo_core.publishing.gate import pass_gate
from zoo_core.publishing.manifest_entry import manifest_entry
from zoo_core.releases.card import evaluation_results, model_card
from zoo_core.releases.licence import UNKNOWN, check_licence, code_licence, ways_to_state
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import CARD, CONFIG, ReleaseConfig
from zoo_core.weights.fetching import check_names
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.reference import FolderReference, HubReference, UrlReference, parse_reference
from zoo_core.weights.sources import Located, locate


class Change(NamedTuple):
    """One file: its `name`, `what` pushing does to it ("new", "changed" or "same"), and its size in `bytes`."""

    name: str
    what: Literal["new", "changed", "same"]
    bytes: int


class Plan(NamedTuple):
    """What a push would do to `target`: whether it `creates` the repository, and the `changes` of its files."""

    target: str
    creates: bool
    changes: list[Change]

    @property
    def sends(self) -> bool:
        """Whether there is anything to do."""
        return any(change.what != "same" for change in self.changes)


class Pushed(NamedTuple):
    """What a push has done.

    Its `plan`; whether it was `done`; and the `source` and the `entry` (TOML) for a manifest, both None if it was not.
    """

    plan: Plan
    done: bool
    source: str | None
    entry: str | None


def push(
    reference: str,
    target: str,
    *,
    branch: str = "main",
    private: bool = False,
    create: bool = False,
    message: str | None = None,
    unmeasured: bool = False,
    licence: str | None = None,
    data_licence: str | None = None,
    confirm: Callable[[Plan], bool] = lambda plan: True,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> Pushed:
    """Publish the release of `reference`.

    Its licences must be stated. It is then checked in a new process: it is loaded strictly, and its golden output and
    its numbers are measured again.

    Args:
        target: org/repo on the current hub (HF_ENDPOINT, HF_TOKEN), or the URL of a folder (file://…, any of fsspec's).
        create: whether to create the repository if it does not exist.
        unmeasured: publish although the numbers cannot be measured again here; the model card says so.
        licence, data_licence: of the weights and of the data, SPDX, where the release does not state them.
        confirm: a function that is given the plan; if it returns False, nothing is sent.

    Raises:
        UsageError: a licence that the release states already, or that is none of SPDX.
        WeightsError: a licence is missing, the release does not pass the gate, or is not what arrived.
        ZooError: the hub refuses the request, or the repository has changed meanwhile; nothing was overwritten.
    """
    located = locate(reference, registry or default_registry(), manifest)
    to = parse_reference(target)
    if isinstance(to, FolderReference):
        to = UrlReference(f"file://{to.path.absolute()}")
    if not isinstance(to, HubReference | UrlReference):
        raise UsageError(
            f"'{target}' is not a place to push to", "Give org/repo, or a URL such as file:///share/zoo/name."
        )
    check_names(located.release.files)
    _refuse_local_dependencies(located)
    if isinstance(parse_reference(reference), FolderReference):
        _refuse_links(located)
    release = _licensed(located, licence, data_licence)
    if isinstance(to, UrlReference):
        pass_gate(reference, measure=not unmeasured)
        url = to.url.rstrip("/")
        with _staged(located, release, unmeasured) as staged:
            return _push_to_url(staged, url, _entry_name(located, url), confirm)
    hub = _Hub(current_endpoint(), to.repo, to.revision or branch, private)
    hub.check_repository(create)  # before the work of the gate
    pass_gate(reference, measure=not unmeasured)
    with _staged(located, release, unmeasured) as staged:
        return hub.push(staged, _entry_name(located, to.repo), message or f"Release of {located.name}", confirm)


def _entry_name(located: Located, target: str) -> str:
    """What a manifest calls it: its own name, or the model's with the place as tag."""
    if located.pinned is not None:
        return located.pinned.name
    tag = re.sub(r"[^a-z0-9.]+", "-", target.rpartition("/")[2].lower()).strip("-.")
    return f"{located.release.zoo.model}.{tag or 'release'}"


class _Staged(NamedTuple):
    """Exactly the files that are published."""

    files: dict[str, Path]  # config.json last
    sha256: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where the config.json is that is published."""
        return self.files[CONFIG].parent


def _refuse_links(located: Located) -> None:
    for name in (*located.release.files, CONFIG):
        if (located.folder / name).is_symlink():
            raise WeightsError(
                f"'{located.folder / name}' is a link, and what it points to is not published by accident"
            )


def _refuse_local_dependencies(located: Located) -> None:
    for name, dependency in located.release.dependencies.items():
        if isinstance(parse_reference(dependency.reference), FolderReference):
            raise UsageError(
                f"'{located.folder}' holds the folder '{dependency.reference}' as its {name}, which nobody else has",
                "Push that first, and train with the reference that it then has.",
            )


def _licensed(located: Located, weights: str | None, data: str | None) -> ReleaseConfig:
    """The release with the licences that are given now, and that of the code as its plugin states it now."""
    release = located.release
    given = {"weights": weights, "data": data}
    if release.licence.code == UNKNOWN:
        given["code"] = code_licence(release.zoo.plugin)
    for what, text in given.items():
        stated = getattr(release.licence, what)
        if text is None:
            continue
        check_licence(text)
        if stated not in (UNKNOWN, text):
            raise UsageError(
                f"'{located.folder}' states already that the licence of its {what} is {stated}, not {text}"
            )
    licence = msgspec.structs.replace(release.licence, **{what: text for what, text in given.items() if text})
    if licence.missing:
        what = " and ".join(f"no licence of the {what}" for what in licence.missing)
        raise WeightsError(f"not published: {what} is stated", ways_to_state(licence, release.zoo.plugin))
    recipe = release.recipe
    if isinstance(recipe, RunArguments):
        recipe = msgspec.structs.replace(recipe, licence=licence.weights)
    return msgspec.structs.replace(release, licence=licence, recipe=recipe)


@contextmanager
def _staged(located: Located, release: ReleaseConfig, unmeasured: bool) -> Iterator[_Staged]:
    """The files of `located`, that says of itself what `release` does."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {name: located.folder / name for name in release.files}
        files[CONFIG] = located.folder / CONFIG
        if CARD not in files or release != located.release or (unmeasured and release.metrics):
            release = _with_new_card(release, folder, unmeasured)
            files |= {CARD: folder / CARD, CONFIG: folder / CONFIG}
        for path, text in evaluation_results(release).items():
            if not re.fullmatch(r"\.eval_results/[A-Za-z0-9][A-Za-z0-9._-]*", path):
                raise WeightsError(f"'{path}' is the name of no file that is published", "Rename the data set.")
            place = folder / path
            place.parent.mkdir(exist_ok=True)
            write_atomically(place, text)
            files[path] = place
        files[CONFIG] = files.pop(CONFIG)
        listed = {name: entry.sha256 for name, entry in release.files.items()}  # verified when it was located
        yield _Staged(files, {name: listed.get(name) or sha256_of(path) for name, path in files.items()})


def _with_new_card(release: ReleaseConfig, folder: Path, unmeasured: bool) -> ReleaseConfig:
    """The config.json, and beside it the card, of a release whose card must say something else."""
    write_atomically(folder / CARD, model_card(release, unmeasured=unmeasured and bool(release.metrics)))
    entry = FileEntry(sha256=sha256_of(folder / CARD), bytes=(folder / CARD).stat().st_size)
    release = msgspec.structs.replace(release, files={**release.files, CARD: entry})
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(release), indent=1))
    return release


class _Hub:
    """A repository that is pushed to."""

    def __init__(self, endpoint: Endpoint, repo: str, branch: str, private: bool) -> None:
        from huggingface_hub import HfApi

        guard_headers()
        self.endpoint, self.repo, self.branch, self.private = endpoint, repo, branch, private
        # A zoo hub then takes large files one by one, and asks for those it has not got; others ignore it.
        self.api = HfApi(endpoint=endpoint.url, token=endpoint.token, headers={"X-Zoo-Upload": "lfs"})
        self.exists = self._asked(lambda: self.api.repo_exists(repo))

    def check_repository(self, create: bool) -> None:
        """Raise where a release cannot go there, as far as that can be seen before."""
        if not self.exists and not create:
            raise UsageError(
                f"there is no repository {self.repo} at {self.endpoint.url}, or this token may not see it",
                "Give --create to make it.",
            )
        if self.exists and self.private and not self._asked(lambda: self.api.model_info(self.repo).private):
            raise UsageError(
                f"{self.repo} exists, and everybody may see it", "Make it private there, or leave --private out."
            )

    def push(self, staged: _Staged, name: str, message: str, confirm: Callable[[Plan], bool]) -> Pushed:
        """Send what has changed, in one commit upon the one that the plan was made for, and look at what arrived."""
        from huggingface_hub import CommitOperationAdd

        parent = self._head(self.branch) if self.exists else None
        grows_from = parent or (self._head("main") if self.exists else None)
        there = self._tree(grows_from) if grows_from else {}
        where = f"{self.repo}{'' if self.branch == 'main' else f' ({self.branch})'} at {self.endpoint.url}"
        plan = Plan(where, not self.exists, _changes(staged, there))
        if not confirm(plan):
            return Pushed(plan, False, None, None)
        if not self.exists:
            self._asked(lambda: self.api.create_repo(self.repo, private=self.private))
            parent = self._head(self.branch)
        if parent is None and self.branch != "main":
            self._asked(lambda: self.api.create_branch(self.repo, branch=self.branch))
            parent = self._head(self.branch)
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

    def _head(self, branch: str) -> str | None:
        """A branch's commit; None where there is no such branch."""
        from huggingface_hub.errors import RevisionNotFoundError

        def ask() -> str | None:
            try:
                return self.api.model_info(self.repo, revision=branch).sha
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
            with _quietly():
                return self.api.create_commit(
                    self.repo, operations, commit_message=message, revision=self.branch, parent_commit=parent
                ).oid
        except HfHubHTTPError as error:
            if error.response.status_code in (409, 412):
                raise ZooError(
                    f"{self.repo} has a newer commit than {(parent or '')[:12]}, so nothing was pushed",
                    f"Somebody pushed meanwhile. Look at {self.endpoint.url}/{self.repo}, then push again.",
                ) from error
            raise explained(error, self.endpoint, self.repo, self.branch) from error
        except Exception as error:
            raise explained(error, self.endpoint, self.repo, self.branch) from error

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except ZooError:
            raise
        except Exception as error:
            raise explained(error, self.endpoint, self.repo, self.branch) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """The client would draw its progress where there is no terminal too, and explain that it sends plain files."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, sys.stderr.isatty() or are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if not bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars:
            enable_progress_bars()


def _changes(staged: _Staged, there: dict[str, Any]) -> list[Change]:
    changes = []
    for name, path in staged.files.items():
        size = path.stat().st_size
        if name not in there:
            changes.append(Change(name, "new", size))
        else:
            same = _is_same(path, staged.sha256[name], there[name])
            changes.append(Change(name, "same" if same else "changed", size))
    return changes


def _is_same(path: Path, sha256: str, remote: Any) -> bool:
    """A hub knows large files by their sha256, small ones by git's digest."""
    if remote.size != path.stat().st_size:
        return False
    return bool(remote.lfs.sha256 == sha256) if remote.lfs is not None else is_git_blob(path, remote.blob_id)


def _push_to_url(staged: _Staged, url: str, name: str, confirm: Callable[[Plan], bool]) -> Pushed:
    """Into a folder: every file beside its place first, then the old config.json away, the files into their places, and
    the new config.json last. Nobody reads a mix, and what fails on the way leaves the old release."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
        plan = Plan(url, not system.exists(root), _changes_at(staged, system, root))
    except (ImportError, ValueError) as error:
        raise UsageError(f"'{url}' cannot be opened: {error}") from None
    except OSError as error:
        raise ZooError(f"'{url}' cannot be read: {error.strerror or error}") from error
    if not confirm(plan):
        return Pushed(plan, False, None, None)
    if plan.sends:
        sent = [change.name for change in plan.changes if change.what != "same" or change.name == CONFIG]
        try:
            for file in sent:
                place = f"{root}/{file}.part"
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
                with open(staged.files[file], "rb") as near, system.open(place, "wb") as far:
                    shutil.copyfileobj(near, far, 1 << 20)
            if system.exists(f"{root}/{CONFIG}"):
                system.rm_file(f"{root}/{CONFIG}")
            for file in sent:  # config.json is the last
                system.mv(f"{root}/{file}.part", f"{root}/{file}")
            wrong = [change.name for change in _changes_at(staged, system, root) if change.what != "same"]
        except OSError as error:
            raise ZooError(f"'{url}' cannot be written: {error.strerror or error}") from error
        if wrong:
            raise WeightsError(f"what arrived at {url} is not what was sent: {', '.join(wrong)}", "Push again.")
    return Pushed(plan, True, url, manifest_entry(staged.folder, name, [url]))


def _changes_at(staged: _Staged, system: Any, root: str) -> list[Change]:
    changes = []
    for file, path in staged.files.items():
        what: Literal["new", "changed", "same"] = "new"
        if system.exists(f"{root}/{file}"):
            with system.open(f"{root}/{file}", "rb") as far:
                what = "same" if hashlib.file_digest(far, "sha256").hexdigest() == staged.sha256[file] else "changed"
        changes.append(Change(file, what, path.stat().st_size))
    return changes
