"""What git holds, as the hub sees it: files at a commit, commits as lists show them; and new commits and tags."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dulwich.objects import Commit, ObjectID, Tag, Tree
from dulwich.repo import Repo

from zoo_hub_server.errors import revision_not_found
from zoo_hub_server.lfs import Pointer, parse_pointer

_FOLDER, _SUBMODULE = 0o040000, 0o160000


@dataclass(frozen=True)
class File:
    """A file at a commit. `size` is what a reader gets, of a large file that of its content."""

    path: str
    oid: str  # git's blob id
    size: int
    lfs: Pointer | None

    @property
    def etag(self) -> str:
        return self.lfs.oid if self.lfs else self.oid


@dataclass(frozen=True)
class Listing:
    """All files and folders at a commit, by path, in order."""

    files: dict[str, File]
    folders: dict[str, str]  # -> git's tree id


@dataclass(frozen=True)
class Revision:
    """A commit, as lists of commits show it."""

    id: str
    title: str
    message: str
    author: str
    date: str


def list_files(git: Repo, commit: str) -> Listing:
    """The files and folders at a commit."""
    files: dict[str, File] = {}
    folders: dict[str, str] = {}
    _walk(git, commit_of(git, commit).tree, "", files, folders)
    return Listing(files, folders)


def commit_of(git: Repo, commit: str) -> Commit:
    found = git[ObjectID(commit.encode())]
    if not isinstance(found, Commit):
        raise revision_not_found(commit)
    return found


def revision_of(commit: Commit) -> Revision:
    title, _, message = commit.message.decode("utf-8", "replace").partition("\n")
    author = commit.author.split(b" <")[0].decode("utf-8", "replace")
    date = iso(datetime.fromtimestamp(commit.commit_time, UTC))
    return Revision(commit.id.decode(), title, message.strip(), author, date)


def peel(git: Repo, target: ObjectID) -> str:
    """The commit that a ref stands for, through annotated tags."""
    found = git[target]
    while isinstance(found, Tag):
        found = git[found.object[1]]
    return found.id.decode()


def id_at(git: Repo, tree_id: ObjectID, path: str) -> bytes | None:
    here: ObjectID = tree_id
    for part in path.encode("utf-8", "surrogateescape").split(b"/"):
        tree = git[here]
        if not isinstance(tree, Tree) or part not in tree:
            return None
        here = tree[part][1]
    return here


def new_commit(tree: ObjectID, parents: list[ObjectID], message: str, author: str) -> Commit:
    commit = Commit()
    commit.tree, commit.parents = tree, parents
    commit.author = commit.committer = _identity(author)
    commit.author_time = commit.commit_time = int(datetime.now(UTC).timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = utf8(message)
    return commit


def new_tag(name: str, target: ObjectID, message: str, author: str) -> Tag:
    """An annotated tag of a commit."""
    tag = Tag()
    tag.name = name.encode()
    tag.object = (Commit, target)
    tag.tagger = _identity(author)
    tag.tag_time, tag.tag_timezone = int(datetime.now(UTC).timestamp()), 0
    tag.message = utf8(message) + b"\n"
    return tag


def utf8(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "surrogateescape" if _is_escaped(text) else "strict")


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _walk(git: Repo, tree_id: ObjectID, prefix: str, files: dict[str, File], folders: dict[str, str]) -> None:
    tree = git[tree_id]
    assert isinstance(tree, Tree)
    for entry in tree.iteritems(name_order=True):
        path = prefix + entry.path.decode("utf-8", "surrogateescape")
        if entry.mode == _FOLDER:
            folders[path] = entry.sha.decode()
            _walk(git, entry.sha, path + "/", files, folders)
        elif entry.mode != _SUBMODULE:
            content = git.object_store.get_raw(entry.sha)[1]
            pointer = parse_pointer(content)
            files[path] = File(path, entry.sha.decode(), pointer.size if pointer else len(content), pointer)


def _is_escaped(text: str) -> bool:
    """Whether git gave us a name that is not UTF-8, which then goes back as it came."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def _identity(author: str) -> bytes:
    return f"{author} <{author}@zoo-hub>".encode()
