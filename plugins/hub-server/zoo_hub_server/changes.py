"""What a commit changes: files added, large ones among them, files and folders deleted; and the tree that results."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from dulwich.attrs import GitAttributes
from dulwich.index import commit_tree
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob, ObjectID, ShaFile
from dulwich.repo import Repo

from zoo_hub_server.errors import Refusal, bad_request, too_large
from zoo_hub_server.git_objects import utf8
from zoo_hub_server.lfs import Objects, Pointer, Receiving, attribute_line, is_lfs_path, parse_pointer, read_attributes
from zoo_hub_server.names import checked_path

IN_GIT_UP_TO = 1 << 20  # bytes; a larger file is kept as LFS
MAX_FILES = 100_000  # in one repository
_FILE = 0o100644


@dataclass(frozen=True)
class Add:
    """A file that git or, where it is large or .gitattributes says so, LFS is to keep."""

    path: str
    content: bytes


@dataclass(frozen=True)
class AddLarge:
    """A file whose content is among the objects already, or was received to `received`."""

    path: str
    pointer: Pointer
    received: Path | None = None


@dataclass(frozen=True)
class Delete:
    """A file, or a folder with all that is in it."""

    path: str
    folder: bool = False


Operation = Add | AddLarge | Delete


def apply(
    git: Repo, before: ObjectID | None, operations: list[Operation], objects: Objects, tmp: Path
) -> tuple[ObjectID, list[ShaFile]]:
    """The tree after the operations, and the objects that are new in it. Large files are put in their place."""
    entries: dict[str, tuple[int, ObjectID]] = {}
    if before is not None:
        for entry in git.object_store.iter_tree_contents(before):
            entries[entry.path.decode("utf-8", "surrogateescape")] = (entry.mode, entry.sha)
    blobs: dict[ObjectID, Blob] = {}

    def put(path: str, content: bytes) -> None:
        blob = Blob.from_string(content)
        blobs[blob.id] = blob
        entries[path] = (_FILE, blob.id)

    attributes = _attributes(git, entries, operations)
    rules = read_attributes(attributes)
    lines = ""
    for operation in operations:
        path = checked_path(operation.path)
        if isinstance(operation, Delete):
            _delete(entries, path, folder=operation.folder)
        elif isinstance(operation, Add) and not _goes_to_lfs(operation, rules):
            _check_no_false_pointer(operation, objects)
            put(path, operation.content)
        else:
            pointer = _take(operation, objects, tmp)
            put(path, pointer.encode())
            if not is_lfs_path(path, rules):
                lines += attribute_line(path)
    if lines:  # so that a clone finds the large files too
        put(
            ".gitattributes",
            attributes + (b"\n" if attributes and not attributes.endswith(b"\n") else b"") + lines.encode(),
        )
    _check_tree(entries)
    new = MemoryObjectStore()
    tree = commit_tree(new, [(utf8(path), sha, mode) for path, (mode, sha) in entries.items()])
    made = [*blobs.values(), *(new[one] for one in new)]
    return tree, [one for one in made if one.id not in git.object_store]


def _take(operation: Add | AddLarge, objects: Objects, tmp: Path) -> Pointer:
    """Make sure that the object is here, and durable."""
    if isinstance(operation, Add):
        receiving = Receiving(tmp / f"add-{uuid.uuid4().hex}")
        try:
            receiving.write(operation.content)
            pointer = receiving.pointer()
            objects.put(receiving.path, pointer.oid)
        finally:
            receiving.discard()
        return pointer
    pointer = operation.pointer
    if operation.received is not None:
        objects.put(operation.received, pointer.oid)
    if pointer.size < 0 and objects.has(pointer.oid):  # a copy of a file that is there
        pointer = Pointer(pointer.oid, objects.path(pointer.oid).stat().st_size)
    if not objects.has(pointer.oid, pointer.size):
        raise bad_request(
            f"The LFS object {pointer.oid} of '{operation.path[:200]}' was not uploaded, or has another size."
        )
    return pointer


def _check_no_false_pointer(operation: Add, objects: Objects) -> None:
    """A text that reads as a pointer must be one, for readers would be given what it points to."""
    pointer = parse_pointer(operation.content)
    if pointer is not None and not objects.has(pointer.oid, pointer.size):
        raise bad_request(f"'{operation.path[:200]}' is an LFS pointer to an object that was not uploaded.")


def _attributes(git: Repo, entries: dict[str, tuple[int, ObjectID]], operations: list[Operation]) -> bytes:
    """.gitattributes as it will be."""
    for operation in reversed(operations):
        if operation.path == ".gitattributes":
            return operation.content if isinstance(operation, Add) else b""
    if ".gitattributes" not in entries:
        return b""
    return git.object_store.get_raw(entries[".gitattributes"][1])[1]


def _goes_to_lfs(operation: Add, attributes: GitAttributes) -> bool:
    if operation.path.startswith(".git") or not operation.content:
        return False
    return len(operation.content) > IN_GIT_UP_TO or is_lfs_path(operation.path, attributes)


def _delete(entries: dict[str, tuple[int, ObjectID]], path: str, *, folder: bool) -> None:
    doomed = [path] if path in entries and not folder else []
    doomed = doomed or [one for one in entries if one.startswith(path + "/")]  # a folder, even where none is named
    if not doomed:
        raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    for one in doomed:
        del entries[one]


def _check_tree(entries: dict[str, tuple[int, ObjectID]]) -> None:
    if len(entries) > MAX_FILES:
        raise too_large(f"A repository holds at most {MAX_FILES} files.")
    for path in entries:
        for at, character in enumerate(path):
            if character == "/" and path[:at] in entries:
                raise bad_request(f"'{path[:at]}' cannot be a file and a folder at once.")
