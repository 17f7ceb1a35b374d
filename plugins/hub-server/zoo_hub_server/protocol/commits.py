"""Commits: how each file is to be sent, and the commit itself, a stream of JSON lines.

huggingface.co asks for large files as "lfs". A client with hf_xet, and that is every ordinary installation, then sends
them by a protocol that this hub does not speak, and fails; nothing in a request tells such a client from another. So
files up to `regular_up_to` are asked for as "regular", inside the commit: any client can do that; the hub reads them as
a stream and keeps what is large as LFS all the same. A client that does LFS whatever is installed says so with the
header `X-Zoo-Upload: lfs`; larger files need it, or HF_HUB_DISABLE_XET=1.
"""

import binascii
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from anyio import to_thread
from starlette.responses import Response

from zoo_hub_server.bodies import Incoming
from zoo_hub_server.changes import IN_GIT_UP_TO, Add, AddLarge, Delete, Operation
from zoo_hub_server.errors import Refusal, bad_request, forbidden, too_large
from zoo_hub_server.git_objects import File
from zoo_hub_server.hub import Call, Hub, Json, decode
from zoo_hub_server.ignored import is_ignored, read_ignored
from zoo_hub_server.lfs import Pointer, Receiving, git_id, is_lfs_path, is_oid, read_attributes
from zoo_hub_server.names import checked_path
from zoo_hub_server.repository import Repository

_LINE_UP_TO = 2 << 20  # bytes; a longer one must be a file, and its content goes to the disk
_CONTENT = re.compile(rb'"content":\s*"')


class _Sample(msgspec.Struct):
    path: str
    size: int = 0
    sample: str = ""


class _Preupload(msgspec.Struct):
    files: list[_Sample]
    gitIgnore: str | None = None  # the .gitignore of the folder that is sent; else that of the repository holds


class _Line(msgspec.Struct):
    key: str
    value: msgspec.Raw


class _Header(msgspec.Struct):
    summary: str = ""
    description: str = ""
    parentCommit: str | None = None


class _File(msgspec.Struct):
    path: str
    content: str = ""
    encoding: Literal["base64", "utf-8"] = "base64"


class _LfsFile(msgspec.Struct):
    path: str
    oid: str
    algo: Literal["sha256"] = "sha256"
    size: int | None = None


class _Deleted(msgspec.Struct):
    path: str


def no_xet(call: Call) -> Response:
    raise Refusal(404, "This hub has no xet storage. Set HF_HUB_DISABLE_XET=1 to upload files of this size.")


def preupload(call: Call) -> Json:
    """How each file is to be sent, and which the client shall leave out: those that .gitignore names, and those whose
    digest is that of the file that is there."""
    repository = call.repository(write=True, folder=True)
    asked: _Preupload = call.json(_Preupload)
    call.check_paths(one.path for one in asked.files)
    commit = repository.resolve(call.params["revision"])
    there = repository.listing(commit).files
    grows = sum(one.size for one in asked.files if one.path not in there or there[one.path].size != one.size)
    with call.room(repository, grows):
        pass  # better now than after the files were sent
    attributes = read_attributes(repository.read_text(commit, ".gitattributes").encode())
    ignored = repository.read_text(commit, ".gitignore") if asked.gitIgnore is None else asked.gitIgnore
    rules = read_ignored(ignored.encode("utf-8", "replace"))
    speaks_lfs = call.request.headers.get("x-zoo-upload", "").lower() == "lfs"
    answers = []
    for one in asked.files:
        path = checked_path(one.path)
        large = one.size > IN_GIT_UP_TO or is_lfs_path(path, attributes)
        lfs = large and (speaks_lfs or one.size > call.hub.limits.regular_up_to)
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": is_ignored(path, rules)}
        if path in there:
            answer["oid"] = there[path].etag if lfs else _git_id(repository, there[path], one.size)
        answers.append(answer)
    return Json({"files": answers})


def _git_id(repository: Repository, file: File, size: int) -> str:
    """What git calls the content of a file, as a client computes it that sends a file of this size as "regular"."""
    if file.lfs is None or file.size != size or not repository.objects.has(file.lfs.oid, size):
        return file.oid
    return git_id(repository.objects.path(file.lfs.oid))


async def commit(call: Call, incoming: Incoming) -> Response:
    """A commit: all of it, or nothing."""
    if "create_pr" in call.query:
        raise forbidden("This hub has no pull requests; commit to a branch.")
    repository = await to_thread.run_sync(lambda: call.repository(write=True, folder=True))
    assert call.user is not None  # or it could not write
    branch = call.params["revision"]
    if await to_thread.run_sync(repository.head, branch) is None:
        await to_thread.run_sync(repository.resolve, branch)  # 404, unless it is a tag or a commit
        raise bad_request("Commits go to branches.")
    lines = CommitLines(call.hub)
    try:
        async for chunk in incoming.chunks(call.hub.limits.file):
            await to_thread.run_sync(lines.feed, chunk)
        header, operations = await to_thread.run_sync(lines.done)
        await to_thread.run_sync(call.check_paths, [operation.path for operation in operations])
        user = call.user.name
        title, _, more = header.summary.strip().partition("\n")
        call.note = title
        write = partial(
            repository.commit,
            branch,
            operations,
            title or "Upload files",
            description=f"{more}\n{header.description}".strip(),
            author=user,
            parent=header.parentCommit,
        )
        made = await to_thread.run_sync(_land, call, repository, operations, write, limiter=call.hub.writing)
    finally:
        await to_thread.run_sync(lines.discard)
    url = f"{call.base}{call.id.page}/commit/{made}"
    return Json({"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})


def _land(call: Call, repository: Repository, operations: list[Operation], write: Callable[[], str]) -> str:
    """Make the commit, if the quota has room for the files that it brings."""
    size = sum(len(one.content) for one in operations if isinstance(one, Add))
    for one in operations:
        if isinstance(one, AddLarge) and one.received is not None and not repository.objects.has(one.pointer.oid):
            size += one.pointer.size
    with call.room(repository, size):
        return write()


class CommitLines:
    """The lines of a commit, taken in piece by piece; memory is bounded whatever is sent."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._buffer = bytearray()
        self._header: _Header | None = None
        self._operations: list[Operation] = []
        self._small = 0  # bytes of files that git keeps
        self._receiving: Receiving | None = None  # a long content, while it arrives
        self._received: tuple[Pointer, Path] | None = None  # and when it is there, until its line ends
        self._files: list[Receiving] = []

    def feed(self, chunk: bytes) -> None:
        """The next bytes.

        Raises:
            Refusal: 400 or 413.
        """
        self._buffer += chunk
        while self._step():
            pass

    def done(self) -> tuple[_Header, list[Operation]]:
        """What was asked, once all has arrived."""
        if self._receiving is not None:
            raise bad_request("The body ends in the middle of a file.")
        if self._buffer.strip():
            self._line(bytes(self._buffer))
        if self._header is None:
            raise bad_request("The commit has no header line.")
        if len(self._header.summary) + len(self._header.description) > 256 << 10:
            raise bad_request("The commit message is too long.")
        return self._header, self._operations

    def discard(self) -> None:
        """Remove what was received and not put in its place."""
        for receiving in self._files:
            receiving.discard()

    def _step(self) -> bool:
        """Take something out of the buffer; False if more must arrive first."""
        if self._receiving is not None:
            return self._content(self._receiving)
        end = self._buffer.find(b"\n")
        if end >= 0 and end <= _LINE_UP_TO:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if line.strip():
                self._line(line)
            return True
        if max(end, len(self._buffer)) <= _LINE_UP_TO:
            return False
        start = _CONTENT.search(self._buffer, 0, 8192)
        if start is None or self._received is not None:
            raise bad_request("A line is too long.")
        # The content goes to the disk; an empty one is left in its place.
        self._receiving = Receiving(self._hub.folder.fresh("content"))
        self._files.append(self._receiving)
        self._before = bytes(self._buffer[: start.end()])
        del self._buffer[: start.end()]
        return True

    def _content(self, receiving: Receiving) -> bool:
        """Part of a long base64 content."""
        end = self._buffer.find(b'"')
        size = end if end >= 0 else len(self._buffer) // 4 * 4
        if size == 0 and end < 0:
            return False
        piece = _from_base64(self._buffer[:size])
        if end < 0 and len(piece) != size // 4 * 3:
            raise bad_request("A file's content is not base64.")
        receiving.write(piece)
        if receiving.size > self._hub.limits.file:
            raise too_large("A file is larger than this hub takes.")
        del self._buffer[:size]
        if end < 0:
            return False
        self._received = (receiving.pointer(), receiving.path)
        self._receiving = None
        self._buffer[:0] = self._before
        return True

    def _line(self, line: bytes) -> None:
        if len(self._operations) >= self._hub.limits.operations:
            raise too_large(f"A commit has at most {self._hub.limits.operations} files.")
        found: _Line = decode(line, _Line)
        if found.key == "header":
            self._header = decode(found.value, _Header)
        elif found.key == "file":
            self._operations.append(self._file(decode(found.value, _File)))
        elif found.key == "lfsFile":
            self._operations.append(self._lfs_file(decode(found.value, _LfsFile)))
        elif found.key in ("deletedFile", "deletedFolder"):
            path = decode(found.value, _Deleted).path.rstrip("/")
            self._operations.append(Delete(checked_path(path), folder=found.key == "deletedFolder"))
        else:
            raise bad_request(f"'{found.key[:40]}' is not a line of a commit.")

    def _file(self, value: _File) -> Operation:
        path = checked_path(value.path)
        if self._received is not None:
            (pointer, received), self._received = self._received, None
            if value.encoding != "base64" or value.content:
                raise bad_request("A long file must be base64.")
            return AddLarge(path, pointer, received)
        content = _from_base64(value.content.encode()) if value.encoding == "base64" else value.content.encode()
        self._small += len(content)
        if self._small > self._hub.limits.small_files:
            raise too_large("The small files of a commit are too many; send them in several commits.")
        return Add(path, content)

    def _lfs_file(self, value: _LfsFile) -> Operation:
        path = checked_path(value.path)
        if not is_oid(value.oid) or (value.size is not None and value.size < 0):
            raise bad_request(f"'{path[:200]}' has no sha256.")
        # Without a size it is a copy of a file that is there: -1 stands for the size that is found.
        return AddLarge(path, Pointer(value.oid, -1 if value.size is None else value.size))


def _from_base64(text: bytes | bytearray) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        raise bad_request("A file's content is not base64.") from None
