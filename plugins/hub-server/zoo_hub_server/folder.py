"""The hub's folder: what lies where, and creating, moving and deleting repositories in it.

    DIR/hub.sqlite                        users, teams, assignments, settings (database.py)
    DIR/log.jsonl                         who did what (log.py)
    DIR/models/alice/digits.git/          a bare repository; large files as git-lfs has them: lfs/objects/ab/cd/…
    DIR/datasets/…                        the same
    DIR/wheels/                           packages, served at /simple
    DIR/locks/                            one a repository that is or was written to
    DIR/tmp/                              what is being received; emptied when the server starts

A repository is one folder and knows all about itself, so creating, moving and deleting one is a single rename. Large
files are kept in each repository: who knows a digest gets no file of a repository that may not be read.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zoo_core import ZooError, sync_folder
from zoo_hub_server.database import Database
from zoo_hub_server.errors import conflict
from zoo_hub_server.log import Log
from zoo_hub_server.names import KINDS, Kind, RepoId
from zoo_hub_server.repository import About, Repository

_FOLDERS = (*KINDS, "wheels", "locks", "tmp")


class HubFolder:
    """DIR and its repositories.

    Args:
        path: the folder.
        create: make it if it is missing.

    Raises:
        ZooError: it is missing, or holds something else than a hub.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = Path(path).absolute()
        if not (self.path / "hub.sqlite").is_file():
            if not create:
                raise ZooError(f"'{path}' is not a hub folder", f"Create one: zoo hub serve {path}")
            _create(self.path)
        self.database = Database(self.path / "hub.sqlite")
        self.log = Log(self.path)
        self.tmp = self.path / "tmp"
        self.wheels = self.path / "wheels"
        self.locks = self.path / "locks"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Hold the folder as its only server; what an earlier one left half-received is removed first.

        Raises:
            ZooError: another server has it.
        """
        lock = FileLock(self.path / "serve.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ZooError(f"'{self.path}' is being served already", "One server a folder.") from None
        try:
            self.clear_tmp()
            yield
        finally:
            lock.release()

    def is_served(self) -> bool:
        """Whether a server has the folder now."""
        lock = FileLock(self.path / "serve.lock")
        try:
            with lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def clear_tmp(self) -> None:
        """Remove what was being received, or deleted, when the server was stopped."""
        for entry in self.tmp.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def fresh(self, what: str) -> Path:
        """A path in tmp/ that nobody else uses."""
        return self.tmp / f"{what}-{uuid.uuid4().hex}"

    def place(self, repo: RepoId) -> Path:
        """Where a repository is, or would be."""
        return self.path / repo.kind / repo.namespace / f"{repo.name}.git"

    def written(self, repo: RepoId) -> RepoId:
        """The id as the repository was created, for capitals do not tell two apart; as it is, where there is none."""
        if self.place(repo).is_dir():
            return repo
        for namespace in _alike(self.path / repo.kind, repo.namespace):
            for name in _alike(self.path / repo.kind / namespace, f"{repo.name}.git"):
                return RepoId(repo.kind, namespace, name[: -len(".git")])
        return repo

    def find(self, repo: RepoId) -> Repository | None:
        """The repository, if there is one; its name must be written as it was created."""
        place = self.place(repo)
        return Repository(place, self.locks) if (place / "zoo.json").is_file() else None

    def ids(self, kind: Kind) -> list[RepoId]:
        """All repositories of a kind."""
        found = [
            RepoId(kind, place.parent.name, place.name.removesuffix(".git"))
            for place in (self.path / kind).glob("*/*.git")
        ]
        return sorted(found, key=str)

    def all_ids(self) -> list[RepoId]:
        return [repo for kind in KINDS for repo in self.ids(kind)]

    def create(self, repo: RepoId, about: About, author: str) -> Repository:
        """A new repository with its first commit.

        Raises:
            Refusal: 409, there is one of this name; capitals do not tell two apart.
        """
        beside = self.fresh("create")
        try:
            Repository.create(beside, self.locks, about, author)
            with FileLock(self.path / "names.lock"):
                self._check_free(repo)
                self._rename(beside, self.place(repo))
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return Repository(self.place(repo), self.locks)

    def move(self, source: RepoId, target: RepoId) -> None:
        """Give a repository another name.

        Raises:
            Refusal: 409, there is one of that name.
        """
        with Repository(self.place(source), self.locks).locked(), FileLock(self.path / "names.lock"):
            if (source.namespace.lower(), source.name.lower()) != (target.namespace.lower(), target.name.lower()):
                self._check_free(target)
            self._rename(self.place(source), self.place(target))

    def delete(self, repo: RepoId) -> None:
        """Remove a repository: at once out of sight, then from the disk. Downloads under way end well on Unix."""
        doomed = self.fresh("delete")
        with Repository(self.place(repo), self.locks).locked(), FileLock(self.path / "names.lock"):
            self._rename(self.place(repo), doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _check_free(self, repo: RepoId) -> None:
        taken = {(other.namespace.lower(), other.name.lower()) for other in self.ids(repo.kind)}
        if (repo.namespace.lower(), repo.name.lower()) in taken:
            raise conflict(f"A {repo.kind[:-1]} repository called {repo} already exists")

    def _rename(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)


def _alike(folder: Path, name: str) -> list[str]:
    """The entries of a folder that differ from `name` in capitals at most."""
    try:
        return [entry for entry in os.listdir(folder) if entry.lower() == name.lower()]
    except OSError:
        return []


def _create(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in path.iterdir():  # what a start that was killed has left is no obstacle
            ours = entry.name in _FOLDERS and entry.is_dir() and not any(entry.iterdir())
            if not (ours or entry.name == "hub.part"):
                raise ZooError(f"'{path}' is not empty, and no hub folder", "Name a new folder.")
        for name in _FOLDERS:
            (path / name).mkdir(exist_ok=True)
    except OSError as error:
        raise ZooError(f"cannot make the folder '{path}': {error.strerror}") from error
    Database.create(path / "hub.sqlite")
