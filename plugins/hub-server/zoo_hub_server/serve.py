"""The server process: a socket, uvicorn, and connections that may not dawdle."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from zoo_core import ZooError
from zoo_hub_server.app import App
from zoo_hub_server.hub import Hub

HEADER_SECONDS = 30  # from the first byte of a request, or from connecting, to the end of its headers
IDLE_SECONDS = 60
MAX_CONNECTIONS = 512
MAX_HEADERS = 64 << 10  # bytes


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for headers that do not come; this one does not."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or (self.cycle is not None and not self.cycle.response_complete):
            self._end_wait()
        elif self._deadline is None:
            self._await_headers()

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A socket to be served, so that a wrong address is an error before anything starts.

    Raises:
        ZooError: the address is taken, or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ZooError(f"cannot serve at '{host}': {error}", "Name an address of this machine.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        listening.close()
        hint = (
            "Choose another with --port, or 0 for any."
            if error.errno == errno.EADDRINUSE
            else "Name an address of this machine."
        )
        raise ZooError(f"cannot serve at {host}:{port}: {error.strerror}", hint) from error
    return listening


def run(hub: Hub, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until interrupted."""
    logging.getLogger("zoo.hub").addHandler(logging.StreamHandler())
    options: dict[str, Any] = {"timeout_keep_alive": IDLE_SECONDS, "limit_concurrency": MAX_CONNECTIONS}
    config = uvicorn.Config(
        App(hub),
        http=Connection,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEADERS,
        timeout_graceful_shutdown=5,
        **options,
    )
    _Server(config, ready).run(sockets=[listening])
