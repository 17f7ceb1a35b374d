"""Looking after a hub: is everything whole, and what nobody needs any more."""

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dulwich.gc import find_reachable_objects
from dulwich.objects import Blob, ObjectID
from dulwich.repo import Repo

from zoo_hub_server.errors import Refusal
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.lfs import POINTER_MAX, parse_pointer
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import Repository

GRACE_SECONDS = 24 * 3600  # an upload whose commit is still to come is not garbage


@dataclass
class Checked:
    """What `verify` looked at."""

    repositories: int = 0
    objects: int = 0
    bytes: int = 0


def verify(folder: HubFolder, complain: Callable[[str], None]) -> Checked:
    """Read everything: each git object that a branch or tag needs, each large file against its sha256.

    Says each fault through `complain`, on one line that begins with the repository.
    """
    checked = Checked()
    for repo in folder.all_ids():
        repository = folder.find(repo)
        if repository is None:
            complain(f"{repo.kind}/{repo}: the folder {folder.place(repo)} has no zoo.json")
            continue
        checked.repositories += 1
        try:
            needed = _verify_git(repository, partial(_complain_of, repo, complain))
        except Refusal as refusal:
            complain(f"{repo.kind}/{repo}: {refusal.message}")
            continue
        present = {path.name: path for path in repository.objects.all()}
        for oid in needed.keys() - present.keys():
            complain(f"{repo.kind}/{repo}: the large file {oid} is missing")
        for oid, path in present.items():
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            checked.objects += 1
            checked.bytes += path.stat().st_size
            if found != oid:
                complain(f"{repo.kind}/{repo}: {path} is damaged, its sha256 is {found}")
            elif needed.get(oid, path.stat().st_size) != path.stat().st_size:
                complain(f"{repo.kind}/{repo}: {path} has not the size that its pointer says")
    return checked


def gc(folder: HubFolder, *, grace: float = GRACE_SECONDS) -> tuple[int, int]:
    """Remove what no branch or tag leads to and is older than `grace` seconds. Returns files and bytes removed.

    Works while the server runs: pushing to a repository waits while it is looked at.
    """
    files = size = 0
    for repo in folder.all_ids():
        repository = folder.find(repo)
        if repository is None:
            continue
        try:
            with repository.locked(), repository.git() as git:
                # Objects first: what a commit found to be there, under the same lock, must still be there after it.
                needed = _pointers(git, lambda fault: None)
                for path in repository.objects.all():
                    status = path.stat()
                    if path.name not in needed and time.time() - status.st_mtime > grace:
                        path.unlink()
                        files, size = files + 1, size + status.st_size
                if len(git.object_store.packs) > 1:
                    git.object_store.repack()
        except Refusal:  # deleted meanwhile
            continue
    if not folder.is_served():
        for entry in list(folder.tmp.iterdir()):
            files += 1
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return files, size


def _complain_of(repo: RepoId, complain: Callable[[str], None], fault: str) -> None:
    complain(f"{repo.kind}/{repo}: {fault}")


def _verify_git(repository: Repository, complain: Callable[[str], None]) -> dict[str, int]:
    with repository.git() as git:
        for ref, target in git.refs.as_dict().items():
            if target not in git.object_store:
                complain(f"{ref.decode('utf-8', 'replace')} leads to {target.decode()}, which is missing")
        for pack in git.object_store.packs:
            try:
                pack.check()
            except Exception as error:  # whatever a damaged pack makes dulwich raise
                complain(f"a pack of git objects is damaged: {type(error).__name__}: {error}")
        return _pointers(git, complain)


def _pointers(git: Repo, complain: Callable[[str], None]) -> dict[str, int]:
    """The large files that any branch or tag leads to, with their sizes."""
    found = {}
    for one in find_reachable_objects(git.object_store, git.refs):
        try:
            kind, raw = git.object_store.get_raw(ObjectID(one))
        except KeyError:
            complain(f"the git object {one.decode()} is missing")
            continue
        except Exception as error:
            complain(f"the git object {one.decode()} is damaged: {type(error).__name__}")
            continue
        if kind == Blob.type_num and len(raw) <= POINTER_MAX and (pointer := parse_pointer(raw)):
            found[pointer.oid] = pointer.size
    return found
