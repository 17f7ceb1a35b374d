"""One repository: a bare git folder with its large files beside it. Finding, reading, and moving branches.

A commit becomes one pack, written to the disk before the branch moves to it, so that a crash at any point leaves the
branch where it was. dulwich reads and writes git: it is small, needs no C library, and has packs and compare-and-swap.
"""

import re
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

import msgspec
from dulwich.objects import ZERO_SHA, Blob, Commit, ObjectID, ShaFile
from dulwich.refs import Ref
from dulwich.repo import Repo
from filelock import FileLock, Timeout

from zoo_core import sync_folder, write_atomically
from zoo_hub_server.changes import MAX_FILES, Add, Operation, apply
from zoo_hub_server.errors import (
    Refusal,
    branch_has_moved,
    conflict,
    entry_not_found,
    forbidden,
    repository_not_found,
    revision_not_found,
)
from zoo_hub_server.git_objects import (
    File,
    Listing,
    Revision,
    commit_of,
    id_at,
    iso,
    list_files,
    new_commit,
    new_tag,
    peel,
    revision_of,
)
from zoo_hub_server.lfs import (
    ATTRIBUTES,
    Objects,
)
from zoo_hub_server.names import branch_ref, is_commit, tag_ref

MAIN = "main"
PACKS = 50  # so many commits are made into one pack
LOCK_SECONDS = 60


class About(msgspec.Struct, frozen=True):
    """What the hub knows of a repository beside its content: zoo.json in its folder. `owner` is who created it."""

    private: bool = False
    gated: Literal["auto", "manual", False] = False
    created: str = msgspec.field(default_factory=lambda: iso(datetime.now(UTC)))
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    owner: str = ""


class Repository:
    """A repository in its folder (see `folder.py`)."""

    def __init__(self, path: Path, locks: Path) -> None:
        self.path = path
        self.locks = locks
        self.objects = Objects(path / "lfs" / "objects")
        self._id: str | None = None  # what `about` said first

    @classmethod
    def create(cls, path: Path, locks: Path, about: About, author: str) -> "Repository":
        """A new repository with a first commit: .gitattributes."""
        path.mkdir()
        config = (
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfilemode = false\n\tfsyncObjectFiles = true\n"
            "[receive]\n\tdenyNonFastForwards = true\n"
        )
        Repo.init_bare(str(path), default_branch=MAIN.encode()).close()
        (path / "config").write_text(config)
        (path / "lfs" / "objects").mkdir(parents=True)
        write_atomically(path / "zoo.json", msgspec.json.encode(about))
        made = cls(path, locks)
        made.commit(MAIN, [Add(".gitattributes", ATTRIBUTES.encode())], "initial commit", author=author, first=True)
        return made

    # -- what it is -------------------------------------------------------------------------------------------------

    def about(self) -> About:
        """zoo.json; a damaged one means private.

        Raises:
            Refusal: 404, the repository was deleted meanwhile, or another one has its place now.
        """
        try:
            about = msgspec.json.decode((self.path / "zoo.json").read_bytes(), type=About)
        except FileNotFoundError:
            raise repository_not_found(known_user=True) from None
        except msgspec.MsgspecError:
            about = About(private=True, id=self.path.name)
        self._id = self._id or about.id
        if about.id != self._id:
            raise repository_not_found(known_user=True)
        return about

    def change(self, **settings: object) -> None:
        """Change zoo.json."""
        with self.locked():
            about = msgspec.structs.replace(self.about(), **settings)
            write_atomically(self.path / "zoo.json", msgspec.json.encode(about))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out, of this process and of others. A process that dies lets go.

        Raises:
            Refusal: 503, another writer took too long; 404, the repository was deleted meanwhile.
        """
        lock = FileLock(self.locks / f"{self.about().id}.lock", timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise Refusal(503, "The repository is being written to; try again.") from None
        try:
            self.about()
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove the lock files that git leaves when its process is killed; we hold the real lock."""
        with _swept_lock:
            if self.path in _swept:
                return
            _swept.add(self.path)
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/*.lock", "objects/pack/tmp_pack_*", ".*.part"):
            for leftover in self.path.glob(pattern):
                leftover.unlink(missing_ok=True)

    # -- reading ----------------------------------------------------------------------------------------------------

    @contextmanager
    def git(self) -> Iterator[Repo]:
        """The git folder, open.

        Raises:
            Refusal: 404, the repository was deleted meanwhile: what was read is then not to be trusted, and what failed
                failed for that.
        """
        self.about()
        try:
            with closing(Repo(str(self.path))) as repo:
                yield repo
        finally:
            self.about()

    def resolve(self, revision: str) -> str:
        """The commit that a branch, tag, full ref or commit id (7 digits are enough) means.

        Raises:
            Refusal: 404 RevisionNotFound.
        """
        try:
            name = revision.encode()
        except UnicodeEncodeError:
            raise revision_not_found("") from None
        if len(name) > 256 or not name:
            raise revision_not_found(revision[:64])
        with self.git() as git:
            refs = git.refs.as_dict()
            for ref in (b"refs/heads/" + name, b"refs/tags/" + name, name if name.startswith(b"refs/") else b""):
                if ref in refs:
                    return peel(git, refs[Ref(ref)])
            found: list[ObjectID] = []
            if is_commit(revision):
                found = [ObjectID(name)] if ObjectID(name) in git.object_store else []
            elif re.fullmatch(r"[0-9a-f]{7,39}", revision):
                found = [one for one in git.object_store.iter_prefix(name) if isinstance(git[one], Commit)]
            if len(found) == 1 and isinstance(git[found[0]], Commit):
                return found[0].decode()
            raise revision_not_found(revision)

    def head(self, branch: str = MAIN) -> str | None:
        """The last commit of a branch."""
        try:
            ref = branch_ref(branch)
        except Refusal:
            return None
        with self.git() as git:
            found = git.refs.as_dict().get(ref)
            return None if found is None else found.decode()

    def listing(self, commit: str) -> Listing:
        """The files at a commit of this repository. Kept, for a commit never changes."""
        with _listings_lock:
            if commit in _listings:
                _listings.move_to_end(commit)
                return _listings[commit]
        with self.git() as git:
            listing = list_files(git, commit)
        with _listings_lock:
            _listings[commit] = listing
            while len(_listings) > 1 and sum(len(one.files) + 20 for one in _listings.values()) > MAX_FILES:
                _listings.popitem(last=False)
        return listing

    def file(self, commit: str, path: str) -> File:
        """A file at a commit.

        Raises:
            Refusal: 404 EntryNotFound.
        """
        found = self.listing(commit).files.get(path)
        if found is None:
            raise entry_not_found(path[:200], commit)
        return found

    def read(self, file: File) -> bytes:
        """The content of a file that git keeps."""
        with self.git() as git:
            blob = git[ObjectID(file.oid.encode())]
            assert isinstance(blob, Blob)
            return blob.data

    def read_text(self, commit: str, path: str) -> str:
        """A small text at a commit; empty if it is not there, is large, or is no text."""
        file = self.listing(commit).files.get(path)
        if file is None or file.lfs is not None:
            return ""
        return self.read(file).decode("utf-8", "replace")

    def revision(self, commit: str) -> Revision:
        with self.git() as git:
            return revision_of(commit_of(git, commit))

    def history(self, commit: str, limit: int) -> list[Revision]:
        """A commit and those before it, newest first."""
        found: list[Revision] = []
        with self.git() as git:
            next_one: str | None = commit
            while next_one is not None and len(found) < limit:
                one = commit_of(git, next_one)
                found.append(revision_of(one))
                next_one = one.parents[0].decode() if one.parents else None
        return found

    def last_changes(self, commit: str, paths: Iterable[str], depth: int = 1000) -> dict[str, Revision]:
        """The commit that each path was last changed by, looking `depth` commits back."""
        wanted = set(paths)
        found: dict[str, Revision] = {}
        with self.git() as git:
            one = commit_of(git, commit)
            for _ in range(depth):
                parent = commit_of(git, one.parents[0].decode()) if one.parents else None
                for path in list(wanted):
                    if parent is None or id_at(git, one.tree, path) != id_at(git, parent.tree, path):
                        found[path] = revision_of(one)
                        wanted.discard(path)
                if parent is None or not wanted:
                    break
                one = parent
            found |= dict.fromkeys(wanted, revision_of(one))
        return found

    def refs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Branches and tags, each with its commit."""
        branches, tags = {}, {}
        with self.git() as git:
            for ref, target in sorted(git.refs.as_dict().items()):
                if ref.startswith(b"refs/heads/"):
                    branches[ref[11:].decode()] = target.decode()
                elif ref.startswith(b"refs/tags/"):
                    tags[ref[10:].decode()] = peel(git, target)
        return branches, tags

    # -- writing ----------------------------------------------------------------------------------------------------

    def commit(
        self,
        branch: str,
        operations: list[Operation],
        title: str,
        *,
        description: str = "",
        author: str,
        parent: str | None = None,
        first: bool = False,
    ) -> str:
        """Put a commit on a branch, whole or not at all; the same content again makes no commit. Returns the head.

        Raises:
            Refusal: 404 the branch, or a file to delete, is not there; 412 `parent` is not the head; 400, 413.
        """
        ref = branch_ref(branch)
        with self.locked(), self.git() as git:
            head = git.refs.as_dict().get(ref)
            if head is None and not first:
                raise revision_not_found(branch)
            now = "" if head is None else head.decode()
            if parent is not None and not (len(parent) >= 7 and now.startswith(parent)):
                raise branch_has_moved()
            before = None if head is None else commit_of(git, head.decode()).tree
            tree, objects = apply(git, before, operations, self.objects, self.locks.parent / "tmp")
            if tree == before and head is not None:
                return head.decode()
            message = f"{title}\n\n{description}".strip() + "\n"
            new = new_commit(tree, [] if head is None else [head], message, author)
            self._store(git, [*objects, new])
            if not git.refs.set_if_equals(ref, head or ZERO_SHA, new.id):
                raise branch_has_moved()
            sync_folder((self.path / ref.decode()).parent)
            if len(git.object_store.packs) > PACKS:
                git.object_store.repack()
            return new.id.decode()

    def squash(self, branch: str, title: str, author: str) -> str:
        """Replace a branch's history by one commit with its files."""
        ref = branch_ref(branch)
        with self.locked(), self.git() as git:
            head = git.refs.as_dict().get(ref)
            if head is None:
                raise revision_not_found(branch)
            new = new_commit(commit_of(git, head.decode()).tree, [], title.strip() + "\n", author)
            self._store(git, [new])
            git.refs.set_if_equals(ref, head, new.id)
            return new.id.decode()

    def create_branch(self, name: str, start: str) -> None:
        """A branch at a revision. Raises Refusal: 404 the revision, 409 there is one."""
        target = self.resolve(start)
        self._create_ref(branch_ref(name), target)

    def delete_branch(self, name: str) -> None:
        """Raises Refusal: 403 for main, 404."""
        if name == MAIN:
            raise forbidden("Cannot delete refs/heads/main")
        self._delete_ref(branch_ref(name), name)

    def create_tag(self, name: str, revision: str, message: str, author: str) -> None:
        """A tag of a revision; with a message an annotated one. Raises Refusal: 404 the revision, 409 there is one."""
        target = self.resolve(revision)
        self._create_ref(tag_ref(name), target, message, author)

    def delete_tag(self, name: str) -> None:
        """Raises Refusal: 404."""
        self._delete_ref(tag_ref(name), name)

    def _create_ref(self, ref: Ref, commit: str, message: str = "", author: str = "") -> None:
        with self.locked(), self.git() as git:
            target = ObjectID(commit.encode())
            refs = git.refs.as_dict()
            name = ref.split(b"/", 2)[2].decode()
            if ref in refs:
                raise conflict(f"Reference {ref.decode()} already exists")
            if any(other.startswith(ref + b"/") or ref.startswith(other + b"/") for other in refs):
                raise conflict(f"'{name}' and another name cannot be a reference and a folder of references at once.")
            if message:
                tag = new_tag(name, target, message, author)
                self._store(git, [tag])
                target = tag.id
            if not git.refs.add_if_new(ref, target):
                raise conflict(f"Reference {ref.decode()} already exists")
            sync_folder((self.path / ref.decode()).parent)

    def _delete_ref(self, ref: Ref, name: str) -> None:
        with self.locked(), self.git() as git:
            if ref not in git.refs.as_dict():
                raise revision_not_found(name)
            git.refs.remove_if_equals(ref, None)

    def _store(self, git: Repo, objects: list[ShaFile]) -> None:
        git.object_store.add_objects([(one, None) for one in objects])
        sync_folder(self.path / "objects" / "pack")


_swept: set[Path] = set()
_swept_lock = Lock()
_listings: OrderedDict[str, Listing] = OrderedDict()
_listings_lock = Lock()
