"""From a request to an answer: routing, who asks, errors as the client understands them.

Addresses are matched as they came, before any %-escape is undone, for a branch may be called `dev/x` (dev%2Fx). Each
pattern is a line of `routes.py`.
"""

import base64
import binascii
import errno
import inspect
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zoo_core import ZooError
from zoo_hub_server.activity import note
from zoo_hub_server.bodies import ClientGone, Incoming
from zoo_hub_server.errors import Refusal, bad_request, repository_not_found
from zoo_hub_server.hub import Call, Hub, Json, Moved
from zoo_hub_server.routes import ROUTES
from zoo_hub_server.users import User

log = logging.getLogger("zoo.hub")
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_ALWAYS = {
    "X-Zoo-Hub": "1",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_API = re.compile(r"/api/(models|datasets|spaces)/|/[^/]+/resolve/|/(datasets|spaces)/[^/]+/[^/]+/resolve/")


def _compiled(pattern: str) -> re.Pattern[str]:
    """`/api/{kind}/{namespace}` as a regular expression; `{path*}` takes the rest, slashes too."""
    text = re.sub(r"\\{(\w+)\\\*\\}", r"(?P<\1>.+)", re.escape(pattern))
    text = text.replace(r"\{kind\}", "(?P<kind>models|datasets)")
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", text))


class App:
    """The ASGI application."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.routes = [(route, _compiled(route.pattern)) for route in ROUTES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = Incoming(scope, receive, self.hub.limits)
        request = Request(scope, receive)
        try:
            response = await self._answer(request, incoming)
        except ClientGone:
            return
        except Exception as error:
            response = _as_response(request, error)
        keep = incoming.finished or await incoming.drain()
        try:
            await _with_headers(response, request, keep)(scope, receive, send)
        except TimeoutError:
            return  # the client took nothing any more: uvicorn closes the connection
        except FileNotFoundError:  # nothing of the file was sent: its repository was deleted since it was looked up
            gone = _as_response(request, repository_not_found(known_user=True))
            await _with_headers(gone, request, keep)(scope, receive, send)

    async def _answer(self, request: Request, incoming: Incoming) -> Response:
        handler, params = self._match(request)
        user = await to_thread.run_sync(self._user, request)
        call = Call(self.hub, request, params, user)
        try:
            response = await self._handled(handler, call, incoming)
        except Refusal as refusal:
            await to_thread.run_sync(note, handler, call, None, refusal.message)
            raise
        if response.status_code < 400:
            await to_thread.run_sync(note, handler, call, response)
        return response

    async def _handled(self, handler: Callable[..., Any], call: Call, incoming: Incoming) -> Response:
        limits = self.hub.limits
        try:
            if inspect.iscoroutinefunction(handler):
                response: Response = await handler(call, incoming)
                return response
            call.body = await incoming.read(limits.anonymous_body if call.user is None else limits.body)
            return await to_thread.run_sync(handler, call)
        except OSError:
            if call.found is not None:
                await to_thread.run_sync(call.found.about)  # 404, if it was deleted meanwhile: nobody's mistake
            raise

    def _match(self, request: Request) -> tuple[Callable[..., Any], dict[str, str]]:
        path = request.scope.get("raw_path", b"").decode("ascii", "replace")
        method = "GET" if request.method == "HEAD" else request.method
        allowed = set()
        for route, pattern in self.routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if route.method == method:
                try:
                    params = {name: unquote(value, errors="strict") for name, value in found.groupdict().items()}
                except UnicodeDecodeError:
                    raise bad_request("The address is not UTF-8.") from None
                return route.handler, params
            allowed.add(route.method)
        if _API.match(path):  # no repository of this hub has such an address
            raise repository_not_found(known_user="authorization" in request.headers)
        if allowed:
            raise Refusal(405, "This address does not take that method.", headers={"Allow": ", ".join(sorted(allowed))})
        raise Refusal(404, "There is nothing at this address.")

    def _user(self, request: Request) -> User | None:
        """Who asks: a Bearer token, or for browsers and git, which only read, name and token as Basic.

        Raises:
            Refusal: 401, a token that is nobody's.
        """
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        user = None
        if scheme.lower() == "bearer":
            user = self.hub.users.of_token(value.strip())
        elif scheme.lower() == "basic" and request.method in ("GET", "HEAD"):
            # Reading only: a browser sends these along with whatever another site makes it request.
            name, token = _basic(value)
            user = self.hub.users.of_token(token)
            user = user if user is not None and user.name.lower() == name.lower() else None
        if user is None:
            raise Refusal(401, "Invalid credentials in Authorization header", headers={"WWW-Authenticate": "Bearer"})
        return user


def _with_headers(response: Response, request: Request, keep: bool) -> Response:
    """The response with what every one of this hub says; without `keep` the connection is closed after it."""
    if not keep:
        response.headers["Connection"] = "close"
    for name, value in _ALWAYS.items():
        response.headers[name] = value
    if trace := re.sub(r"[^\w=;-]", "", request.headers.get("x-amzn-trace-id", "")[:128], flags=re.ASCII):
        response.headers["X-Request-Id"] = trace
    return response


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, token


def _as_response(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    if isinstance(error, Moved):
        source, target = (quote(str(one)) for one in (error.source, error.target))
        where = request.scope["raw_path"].decode("ascii", "replace").replace(source, target, 1)
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        return Response(status_code=307, headers={"Location": where + (f"?{query}" if query else "")})
    if isinstance(error, OSError) and error.errno in _FULL:
        error = Refusal(507, "The disk of this hub is full.")
    if not isinstance(error, Refusal):
        log.error("a request failed", exc_info=error)
        kind = "The hub's own files are in disorder: zoo hub verify." if isinstance(error, ZooError) else "Our mistake."
        error = Refusal(500, kind)
    headers = {"X-Error-Message": _one_line(error.message), **error.headers}
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        from zoo_hub_server.web.pages import error_page

        return error_page(error.status, error.message, headers)
    return Json({"error": error.message}, error.status, headers)


def _one_line(message: str) -> str:
    """A message as a header may carry it."""
    return re.sub(r"[^\x20-\x7e]+", " ", message)[:500].strip()
