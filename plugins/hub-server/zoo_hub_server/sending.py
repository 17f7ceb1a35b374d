"""Sending a file: whole or a range, from the disk, to a client that keeps up."""

import asyncio
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zoo_hub_server.errors import Refusal

CHUNK = 1 << 20
PATIENCE = 4  # times `stall` for a chunk: about 9 kB/s at the least
# What a browser may show; all else is downloaded, so that nobody's file runs as a page of this hub.
SHOWN = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "json": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def file_headers(path: str, etag: str) -> dict[str, str]:
    """What every answer with a user's file says."""
    name = path.rsplit("/", 1)[-1]
    ending = name.rsplit(".", 1)[-1].lower()
    how = "inline" if ending in SHOWN else "attachment"
    return {
        "ETag": f'"{etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": SHOWN.get(ending, "application/octet-stream"),
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name, safe='', errors='replace')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-cache",
    }


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole. All but one range is ignored (RFC 9110, 14.2).

    Raises:
        Refusal: 416, beyond the end.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= stop:
        raise Refusal(416, "The range is beyond the end of the file.", headers={"Content-Range": f"bytes */{size}"})
    return start, stop


class Content(Response):
    """A file on the disk, or bytes at hand, or a range; a client that takes nothing for `stall` seconds is dropped."""

    def __init__(
        self, source: Path | bytes, size: int, headers: dict[str, str], range_header: str | None, stall: float
    ) -> None:
        part = parse_range(range_header, size)
        self._source = source
        self._start, self._stop = part or (0, size)
        self._stall = stall
        self.status_code = 200 if part is None else 206
        self.background = None
        extra = {"Content-Length": str(self._stop - self._start)}
        if part is not None:
            extra["Content-Range"] = f"bytes {self._start}-{self._stop - 1}/{size}"
        self.init_headers({**headers, **extra})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD" or isinstance(self._source, bytes) or self._start == self._stop:
            await send(start)
            body = b"" if isinstance(self._source, Path) else self._source[self._start : self._stop]
            await self._send(send, body, more=False)
            return
        file = await to_thread.run_sync(self._open)
        gone: asyncio.Future[None] | None = None
        reading: asyncio.Future[bytes] | None = None
        try:
            await send(start)
            left = self._stop - self._start
            gone = asyncio.ensure_future(_disconnect(receive))
            reading = asyncio.ensure_future(to_thread.run_sync(file.read, min(CHUNK, left)))
            while left and not gone.done():
                data = await reading
                if not data:
                    raise RuntimeError("a file became shorter while it was sent")
                left -= len(data)
                if left:  # read on while this piece is sent
                    reading = asyncio.ensure_future(to_thread.run_sync(file.read, min(CHUNK, left)))
                await self._send(send, data, more=left > 0)
        finally:
            if gone is not None:
                gone.cancel()
            if reading is not None:  # its thread may be in the file still
                await asyncio.wait([reading])
            file.close()

    def _open(self) -> BinaryIO:
        assert isinstance(self._source, Path)
        file = open(self._source, "rb", buffering=0)  # noqa: SIM115
        file.seek(self._start)
        return file

    async def _send(self, send: Send, data: bytes, *, more: bool) -> None:
        async with asyncio.timeout(PATIENCE * self._stall):
            await send({"type": "http.response.body", "body": data, "more_body": more})


async def _disconnect(receive: Receive) -> None:
    """Ends when the client has gone: sending to it is no error, only in vain."""
    while (await receive())["type"] != "http.disconnect":
        pass
