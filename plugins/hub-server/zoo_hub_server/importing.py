"""Filling a hub from a folder or a tar, for a classroom without a network.

    lab/pixelrnn.digits/config.json …        -> zoo/pixelrnn.digits    a release: `--import-as` names the namespace
    lab/alice/digits/config.json …           -> alice/digits
    lab/datasets/ylecun/mnist/…parquet       -> the data set ylecun/mnist; so a ZOO_MIRROR folder can be taken as it is
    lab/wheels/*.whl                         -> /simple

Importing the same again changes nothing.
"""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo_core import UsageError, ZooError, replacing
from zoo_hub_server.changes import IN_GIT_UP_TO, Add, AddLarge, Operation
from zoo_hub_server.errors import Refusal
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.lfs import Receiving, is_lfs_path, read_attributes
from zoo_hub_server.names import Kind, RepoId, repo_id
from zoo_hub_server.repository import MAIN, About, Repository
from zoo_hub_server.simple_index import project_of

AUTHOR = "import"
_BLOCK = 1 << 20
_MAX_TAR = 200 << 30  # bytes unpacked
_MAX_MEMBERS = 200_000


@dataclass(frozen=True)
class Imported:
    """What became of one repository."""

    repo: RepoId
    files: int
    changed: bool


def import_into(folder: HubFolder, source: Path, namespace: str, say: Callable[[str], None]) -> list[Imported]:
    """Take in all that `source`, a folder or a tar, holds.

    Raises:
        ZooError: it cannot be read, or a name in it cannot be one of a hub. What was taken in before stays.
    """
    if source.is_dir():
        return _import_folder(folder, source, namespace, say)
    unpacked = folder.fresh("import")
    try:
        _unpack(source, unpacked)
        return _import_folder(folder, unpacked, namespace, say)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _unpack(source: Path, target: Path) -> None:
    """A tar, refusing what is not a plain file or leads outside."""
    try:
        with tarfile.open(source) as tar:
            size = count = 0
            for member in tar:
                count, size = count + 1, size + member.size
                if size > _MAX_TAR or count > _MAX_MEMBERS:
                    raise ZooError(f"'{source}' unpacks to more than a hub takes at once")
                if member.name.startswith(("/", "\\")) or ".." in member.name.split("/"):
                    raise ZooError(f"'{source}' holds '{member.name}', which leads outside")
                if not (member.isfile() or member.isdir()):
                    raise ZooError(f"'{source}' holds '{member.name}', which is not a plain file")
                if (content := tar.extractfile(member)) is not None:  # only the bytes: no owners, no rights
                    place = target / member.name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with content, open(place, "wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ZooError(f"'{source}' cannot be unpacked: {error}", "Name a folder or a tar.") from error


def _import_folder(folder: HubFolder, source: Path, namespace: str, say: Callable[[str], None]) -> list[Imported]:
    found: list[tuple[RepoId, Path]] = []
    tops = _folders(source)
    if len(tops) == 1 and not _files_here(source) and tops[0].name not in ("datasets", "wheels") and _nested(tops[0]):
        tops = _folders(tops[0])  # a tar of one folder
    for top in tops:
        if top.name == "wheels":
            _import_wheels(folder, top, say)
        else:
            kind: Kind = "datasets" if top.name == "datasets" else "models"
            for place in _folders(top) if kind == "datasets" else [top]:
                found += _repositories(kind, place, namespace)
    if not found and not any(top.name == "wheels" for top in tops):
        hint = "See zoo hub serve --help for how to lay it out."
        raise UsageError(f"'{source}' holds no releases, data sets or wheels", hint)
    return [_import_repository(folder, repo, place, say) for repo, place in found]


def _nested(top: Path) -> bool:
    """Whether a lone folder is one around others: a data sets or wheels folder is in it, or folders two levels deep."""
    inside = _folders(top)
    known = any(one.name in ("datasets", "wheels") for one in inside)
    return not _files_here(top) and (known or any(not _files_here(one) for one in inside))


def _repositories(kind: Kind, place: Path, namespace: str) -> list[tuple[RepoId, Path]]:
    """`place` is a repository if it holds files, else a namespace of repositories."""
    try:
        if _files_here(place):
            return [(repo_id(kind, namespace, place.name), place)]
        return [(repo_id(kind, place.name, inside.name), inside) for inside in _folders(place)]
    except Refusal as refusal:
        raise ZooError(f"'{place}': {refusal.message}", "Rename the folder.") from None


def _import_repository(folder: HubFolder, repo: RepoId, place: Path, say: Callable[[str], None]) -> Imported:
    try:
        repository = folder.find(repo) or folder.create(repo, About(), AUTHOR)
        before = repository.head()
        operations = _operations(folder, repository, place, say)
        after = repository.commit(MAIN, operations, "Import", author=AUTHOR)
    except Refusal as refusal:
        raise ZooError(f"'{place}': {refusal.message}") from refusal
    say(f"{repo}: {len(operations)} files{'' if after != before else ', unchanged'}")
    return Imported(repo, len(operations), after != before)


def _operations(folder: HubFolder, repository: Repository, place: Path, say: Callable[[str], None]) -> list[Operation]:
    commit = repository.resolve(MAIN)
    attributes = read_attributes(repository.read_text(commit, ".gitattributes").encode())
    operations: list[Operation] = []
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_symlink():
            say(f"left out: '{path}' is a link")
        elif path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            if path.stat().st_size > IN_GIT_UP_TO or is_lfs_path(name, attributes):
                operations.append(_large(folder, repository, path, name))
            else:
                operations.append(Add(name, path.read_bytes()))
    return operations


def _large(folder: HubFolder, repository: Repository, path: Path, name: str) -> Operation:
    receiving = Receiving(folder.fresh("import"))
    try:
        with open(path, "rb") as file:
            while data := file.read(_BLOCK):
                receiving.write(data)
        pointer = receiving.pointer()
        if not repository.objects.has(pointer.oid, pointer.size):
            repository.objects.put(receiving.path, pointer.oid)
    finally:
        receiving.discard()
    return AddLarge(name, pointer)


def _import_wheels(folder: HubFolder, place: Path, say: Callable[[str], None]) -> None:
    count = 0
    for path in sorted(place.iterdir()):
        if path.is_file() and not path.is_symlink() and project_of(path.name):
            with replacing(folder.wheels / path.name) as beside:
                shutil.copyfile(path, beside)
            count += 1
    say(f"{count} packages for /simple")


def _folders(place: Path) -> list[Path]:
    return [one for one in sorted(place.iterdir()) if one.is_dir() and not one.is_symlink() and one.name[0] != "."]


def _files_here(place: Path) -> bool:
    return any(one.is_file() for one in place.iterdir() if one.name[0] != ".")
