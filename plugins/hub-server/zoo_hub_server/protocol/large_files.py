"""LFS: where to put large files, and receiving them, in one piece or in parts.

The client sends no token along with the bytes, so the addresses are signed: for one object of one repository, for an
hour.
Protocol: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md; parts as in huggingface_hub.lfs.
"""

import asyncio
import hashlib
import hmac
import math
import os
import shutil
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from anyio import to_thread
from starlette.responses import Response

from zoo_hub_server.bodies import Incoming
from zoo_hub_server.errors import bad_request, entry_not_found, forbidden, repository_not_found
from zoo_hub_server.hub import Call, Json
from zoo_hub_server.lfs import Pointer, Receiving, check_received, is_oid
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import Repository
from zoo_hub_server.sending import Content, file_headers

_GATHER = 1 << 20  # bytes handed to a thread at once
_SPARE = 64 << 20  # bytes of disk that stay free
_LFS_JSON = "application/vnd.git-lfs+json"


class _Object(msgspec.Struct):
    oid: str
    size: int


class _Batch(msgspec.Struct):
    operation: str
    objects: list[_Object]
    transfers: list[str] = msgspec.field(default_factory=lambda: ["basic"])
    hash_algo: str = "sha256"


class _Part(msgspec.Struct):
    partNumber: int
    etag: str


class _Complete(msgspec.Struct):
    oid: str
    parts: list[_Part]


def batch_of_model(call: Call) -> Response:
    return _batch(call, "models")


def batch_of_dataset(call: Call) -> Response:
    return _batch(call, "datasets")


def _batch(call: Call, kind: str) -> Response:
    """For each object: nothing to do, or the address to send it to (or, for git-lfs, to read it from)."""
    call.params["kind"] = kind
    asked: _Batch = call.json(_Batch)
    upload = asked.operation == "upload"
    if asked.operation not in ("upload", "download") or asked.hash_algo != "sha256":
        raise bad_request("Operations are 'upload' and 'download', the hash is 'sha256'.")
    if len(asked.objects) > 1000:
        raise bad_request("At most 1000 objects at once.")
    repository = call.repository(write=upload, folder=upload, read_files=not upload)
    if upload:
        new = {one.oid: max(one.size, 0) for one in asked.objects if is_oid(one.oid)}
        with call.room(repository, sum(new[oid] for oid in new if not repository.objects.has(oid))):
            pass  # better now than after the files were sent
    free = shutil.disk_usage(call.hub.folder.path).free - _SPARE
    limits = call.hub.limits
    multipart = False
    answers = []
    for one in asked.objects:
        answer: dict[str, object] = {"oid": one.oid, "size": one.size}
        if not is_oid(one.oid) or one.size < 0:
            answer["error"] = {"code": 422, "message": "no sha256, or no size"}
        elif not upload:
            if repository.objects.has(one.oid, one.size):
                answer["actions"] = {"download": {"href": _signed(call, repository, "GET", one), "header": {}}}
            else:
                answer["error"] = {"code": 404, "message": "not on this hub"}
        elif one.size > min(limits.file, free):
            reason = "too large for this hub" if one.size > limits.file else "the disk of this hub is full"
            answer["error"] = {"code": 413 if one.size > limits.file else 507, "message": reason}
        elif repository.objects.has(one.oid, one.size):
            os.utime(repository.objects.path(one.oid))  # it is about to be used: gc shall leave it
        else:
            in_parts = one.size > limits.multipart_from and "multipart" in asked.transfers
            multipart |= in_parts
            answer["actions"] = {
                "upload": _in_parts(call, repository, one)
                if in_parts
                else {"href": _signed(call, repository, "PUT", one), "header": {}},
                "verify": {"href": _signed(call, repository, "POST", one, "/verify"), "header": {}},
            }
        answers.append(answer)
    content = {"transfer": "multipart" if multipart else "basic", "objects": answers, "hash_algo": "sha256"}
    return Json(content, headers={"Content-Type": _LFS_JSON})


async def upload(call: Call, incoming: Incoming) -> Response:
    """PUT of a whole object."""
    repository, pointer = await to_thread.run_sync(_check_signed, call, "")
    if incoming.length is not None and incoming.length != pointer.size:
        raise bad_request(f"{pointer.size} bytes were announced, {incoming.length} are sent.")
    receiving = Receiving(call.hub.folder.fresh("lfs"))
    try:
        await receive(receiving, incoming, pointer.size)
        await to_thread.run_sync(_keep, call, repository, receiving, pointer)
    finally:
        await to_thread.run_sync(receiving.discard)
    return Response(headers={"ETag": f'"{pointer.oid}"'})


async def upload_part(call: Call, incoming: Incoming) -> Response:
    """PUT of one part."""
    part = call.params["part"]
    repository, pointer = await to_thread.run_sync(_check_signed, call, f"/{part}")
    count = _part_count(call, pointer.size)
    number = int(part) if part.isascii() and part.isdigit() and len(part) < 6 else 0
    if not 1 <= number <= count:
        raise bad_request(f"There are the parts 1 to {count}.")
    size = min(call.hub.limits.part, pointer.size - (number - 1) * call.hub.limits.part)
    place = _parts(call, repository, pointer)
    receiving = Receiving(call.hub.folder.fresh("part"))
    try:
        await receive(receiving, incoming, size)
        etag = await to_thread.run_sync(_keep_part, receiving, size, place / part)
    finally:
        await to_thread.run_sync(receiving.discard)
    return Response(headers={"ETag": f'"{etag}"'})


def complete(call: Call) -> Response:
    """All parts are here: put them together, checking the whole."""
    repository, pointer = _check_signed(call, "/complete")
    asked: _Complete = call.json(_Complete)
    place = _parts(call, repository, pointer)
    count = _part_count(call, pointer.size)
    if asked.oid != pointer.oid or sorted(one.partNumber for one in asked.parts) != list(range(1, count + 1)):
        raise bad_request(f"The parts 1 to {count} of {pointer.oid} are wanted.")
    if repository.objects.has(pointer.oid, pointer.size):  # an answer that got lost, asked again
        return Json({})
    receiving = Receiving(call.hub.folder.fresh("lfs"))
    try:
        for number in range(1, count + 1):
            try:
                with open(place / str(number), "rb") as part:
                    while data := part.read(_GATHER):
                        receiving.write(data)
            except FileNotFoundError:
                raise bad_request(f"Part {number} was not sent.") from None
        _keep(call, repository, receiving, pointer)
    finally:
        receiving.discard()
    shutil.rmtree(place, ignore_errors=True)
    return Json({})


def verify(call: Call) -> Response:
    """Whether an object has arrived, asked after sending it."""
    repository, pointer = _check_signed(call, "/verify")
    asked: _Object = call.json(_Object)
    if asked.oid != pointer.oid or not repository.objects.has(asked.oid, asked.size):
        raise entry_not_found(asked.oid[:64])
    return Json({})


def download(call: Call) -> Response:
    """GET of an object, for git-lfs."""
    repository, pointer = _check_signed(call, "")
    headers = file_headers(pointer.oid, pointer.oid)
    wanted = call.request.headers.get("range")
    return Content(repository.objects.path(pointer.oid), pointer.size, headers, wanted, call.hub.limits.stall)


async def receive(receiving: Receiving, incoming: Incoming, limit: int) -> None:
    """Write a body to the disk as it arrives: a thread hashes and writes one piece while the next comes in."""
    writing: asyncio.Future[None] | None = None
    gathered = bytearray()
    try:
        async for chunk in incoming.chunks(limit):
            gathered += chunk
            if len(gathered) >= _GATHER:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(to_thread.run_sync(receiving.write, gathered))
                gathered = bytearray()
    finally:
        if writing is not None:
            await writing
    await to_thread.run_sync(receiving.write, gathered)


def _keep(call: Call, repository: Repository, receiving: Receiving, pointer: Pointer) -> None:
    """Put what was received in its place. The quota is looked at again, for others may have been faster."""
    check_received(receiving.pointer(), pointer)
    size = 0 if repository.objects.has(pointer.oid) else pointer.size
    with call.room(repository, size):  # 404, if the repository was deleted meanwhile
        repository.objects.put(receiving.path, pointer.oid)


def _keep_part(receiving: Receiving, size: int, place: Path) -> str:
    found = receiving.pointer()
    if found.size != size:
        raise bad_request(f"This part has {size} bytes, {found.size} arrived.")
    place.parent.mkdir(exist_ok=True)
    os.replace(receiving.path, place)
    return found.oid


def _parts(call: Call, repository: Repository, pointer: Pointer) -> Path:
    return call.hub.folder.tmp / f"parts-{repository.about().id}-{pointer.oid}"


def _part_count(call: Call, size: int) -> int:
    return max(1, math.ceil(size / call.hub.limits.part))


def _in_parts(call: Call, repository: Repository, one: _Object) -> dict[str, object]:
    sign = partial(_signed, call, repository)
    urls = {str(n): sign("PUT", one, f"/{n}") for n in range(1, _part_count(call, one.size) + 1)}
    header = {"chunk_size": str(call.hub.limits.part), **urls}
    return {"href": sign("POST", one, "/complete"), "header": header}


def _signed(call: Call, repository: Repository, method: str, one: _Object, step: str = "") -> str:
    """An address that allows one step with one object until it expires."""
    repo: RepoId = call.id
    expires = int(time.time()) + call.hub.limits.sign_seconds
    signature = _signature(call.hub.secret, method, repository.about().id, one.oid, one.size, step, expires)
    query = urlencode({"size": one.size, "expires": expires, "signature": signature})
    return f"{call.base}/lfs/{repo.kind}/{repo.namespace}/{repo.name}/{one.oid}{step}?{query}"


def _check_signed(call: Call, step: str) -> tuple[Repository, Pointer]:
    """The repository and object that a signed address is for.

    Raises:
        Refusal: 403, not signed by this hub, or expired; 404, the repository is gone.
    """
    oid = call.params["oid"]
    size, expires, signature = (call.query.get(name, "") for name in ("size", "expires", "signature"))
    numbers = all(text.isascii() and text.isdigit() and len(text) < 16 for text in (size, expires))
    if not (numbers and is_oid(oid) and signature.isascii()):
        raise forbidden("This address is not signed.")
    repository = call.hub.folder.find(call.id)
    if repository is None:
        raise repository_not_found(known_user=True)
    call.found = repository
    method = call.request.method if call.request.method != "HEAD" else "GET"
    if call.hub.may_write.nobody and method != "GET":
        raise forbidden("This hub is read-only.")
    right = _signature(call.hub.secret, method, repository.about().id, oid, int(size), step, int(expires))
    if not hmac.compare_digest(right, signature):
        raise forbidden("This address is not signed by this hub.")
    if int(expires) < time.time():
        raise forbidden("This address has expired; ask for a new one.")
    return repository, Pointer(oid, int(size))


def _signature(secret: bytes, method: str, repo: str, oid: str, size: int, step: str, expires: int) -> str:
    text = "\n".join((method, repo, oid, str(size), step, str(expires)))
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
