"""Bodies of requests: read within limits of size and time, and never kept whole unless small."""

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.types import Message, Receive, Scope

from zoo_hub_server.errors import Refusal, too_large
from zoo_hub_server.hub import Limits

_DRAIN_BYTES = 64 << 20
_DRAIN_SECONDS = 3


class ClientGone(Exception):
    """The client closed the connection; nobody is there to answer."""


class Incoming:
    """The body of one request; knows whether all of it was read."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        self.length = int(length) if length.isdigit() and len(length) < 19 else None
        self.finished = self.length == 0 or (self.length is None and b"transfer-encoding" not in headers)

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            Refusal: 413, longer than `limit`; 408, it stalls, or trickles.
            ClientGone: the client closed the connection.
        """
        if self.length is not None and self.length > limit:
            raise too_large(f"{self.length} bytes are more than this hub takes here ({limit}).")
        received, started = 0, time.monotonic()
        while not self.finished:
            message = await self._next(self._limits.stall)
            chunk = message.get("body", b"")
            received += len(chunk)
            if received > limit:
                raise too_large(f"The body is longer than this hub takes here ({limit} bytes).")
            if time.monotonic() - started > self._limits.stall + received / self._limits.slowest:
                raise Refusal(408, "The body arrives too slowly.")
            if chunk:
                yield chunk

    async def read(self, limit: int) -> bytes:
        """All of a small body."""
        return b"".join([chunk async for chunk in self.chunks(limit)])

    async def drain(self) -> bool:
        """Read on for a moment, so that a client in the middle of sending gets to read the answer; whether all came."""
        read, deadline = 0, time.monotonic() + _DRAIN_SECONDS
        try:
            while not self.finished and read < _DRAIN_BYTES and (left := deadline - time.monotonic()) > 0:
                read += len((await self._next(left)).get("body", b""))
        except (ClientGone, Refusal):
            return False
        return self.finished

    async def _next(self, seconds: float) -> Message:
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "The body does not arrive.") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.finished = not message.get("more_body", False)
        return message
