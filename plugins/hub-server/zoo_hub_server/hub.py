"""What all answers share: the hub, its limits, and one call to it."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response

from zoo_hub_server.access import check_access
from zoo_hub_server.assignments import Assignments
from zoo_hub_server.errors import Refusal, bad_request, repository_not_found
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.names import RepoId, is_name, is_owner_name
from zoo_hub_server.permissions import Permissions, Writing
from zoo_hub_server.quotas import Quotas
from zoo_hub_server.repository import About, Repository
from zoo_hub_server.users import User, Users


@dataclass(frozen=True)
class Limits:
    """What one request may ask for; sizes in bytes, times in seconds."""

    anonymous_body: int = 256 << 10
    body: int = 4 << 20  # JSON and forms
    file: int = 50 << 30
    small_files: int = 64 << 20  # in one commit, all that git keeps
    operations: int = 25_000  # in one commit
    regular_up_to: int = 256 << 20  # see protocol/commits.py
    multipart_from: int = 5 << 30
    part: int = 512 << 20
    sign_seconds: int = 3600
    stall: float = 30  # nothing arrives, or nothing is taken
    slowest: int = 1024  # bytes a second, after a first `stall`
    page: int = 1000


class Hub:
    """A folder being served."""

    def __init__(self, folder: HubFolder, *, writing: Writing | None = None, limits: Limits | None = None) -> None:
        self.folder = folder
        self.users = Users(folder.database)
        self.log = folder.log
        self.assignments = Assignments(folder.database)
        self.quotas = Quotas(folder, self.users)
        self.secret = self.users.secret()
        self.may_write = writing or Writing()
        self.writing = CapacityLimiter(8)  # so that writers who wait for each other leave threads to readers
        self.limits = limits or Limits()


@dataclass
class Call:
    """One request, with who asks and what the address named."""

    hub: Hub
    request: Request
    params: dict[str, str]
    user: User | None
    body: bytes = b""
    found: Repository | None = None  # what `repository` found
    note: str = ""  # what the log shall say beside what the address and the body do
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.query = dict(self.request.query_params)

    @cached_property
    def base(self) -> str:
        """This hub's address, as the client writes it."""
        return str(self.request.base_url).rstrip("/")

    @cached_property
    def permissions(self) -> Permissions:
        """What the caller may do."""
        return Permissions(self.user, self.hub.may_write, self.hub.assignments.all())

    @cached_property
    def id(self) -> RepoId:
        """The repository that the address names, in the capitals that it was created with.

        Raises:
            Refusal: 404 or 401, for no repository can be called so.
        """
        kind, namespace, name = (self.params.get(key, "") for key in ("kind", "namespace", "name"))
        if not (is_owner_name(namespace) and is_name(name)):
            raise repository_not_found(known_user=self.user is not None)
        return self.hub.folder.written(RepoId("datasets" if kind == "datasets" else "models", namespace, name))

    def repository(self, *, write: bool = False, folder: bool = False, read_files: bool = False) -> Repository:
        """The repository, if this caller may do that with it.

        Args:
            write: to change it. With `folder` it is enough that one folder of it may be changed; `check_paths` then
                tells whether a file is in that.
            read_files: to load from it, and not only to look at it.

        Raises:
            Moved: it has another name now.
            Refusal: 401, 403 or 404.
        """
        wanted = self.id
        found = self.hub.folder.find(wanted)
        if found is None:
            self._follow_move(wanted)
            raise repository_not_found(known_user=self.user is not None)
        self.found = found
        about = found.about()
        if not self.permissions.may_see(wanted, about):
            raise repository_not_found(known_user=self.user is not None)
        if write and folder:
            self.permissions.writable(wanted, about)
        elif write:
            self.permissions.check_may_write(wanted, about)
        if read_files and about.gated and not self.permissions.belongs_to(wanted.namespace):
            check_access(found, wanted, self.user, self.base)
        return found

    def room(self, repository: Repository, size: int) -> AbstractContextManager[None]:
        """Where `size` bytes are about to be kept in the repository that the address names.

        Raises:
            Refusal: 413, the quota does not leave that much.
        """
        return self.hub.quotas.room(self.id, repository.about(), size)

    def check_may_write(self, repo: RepoId, about: About | None = None) -> User:
        """Who writes, if this caller may create a repository, or change that which `about` is of.

        Raises:
            Refusal: 401 or 403.
        """
        return self.permissions.check_may_write(repo, about)

    def check_paths(self, paths: Iterable[str]) -> None:
        """Raise Refusal, 401 or 403, unless the caller may change these files now, whatever was so a while ago."""
        repository = self.hub.folder.find(self.id)
        if repository is None:
            raise repository_not_found(known_user=self.user is not None)
        permissions = Permissions(self.user, self.hub.may_write, self.hub.assignments.all())
        permissions.check_paths(self.id, repository.about(), paths)

    def may_see(self, repo: RepoId, repository: Repository) -> bool:
        """Whether the caller may know of a repository."""
        try:
            return self.permissions.may_see(repo, repository.about())
        except Refusal:  # deleted meanwhile
            return False

    def _follow_move(self, wanted: RepoId) -> None:
        target = self.hub.users.moved(wanted)
        there = None if target is None else self.hub.folder.find(target)
        if target is not None and there is not None and self.may_see(target, there):
            raise Moved(wanted, target)

    def json(self, kind: type[Any]) -> Any:
        """The body as one of our types.

        Raises:
            Refusal: 400.
        """
        return decode(self.body or b"{}", kind)


class Moved(Exception):
    """The repository has another name now; the client is sent there."""

    def __init__(self, source: RepoId, target: RepoId) -> None:
        super().__init__(f"{source} is now {target}")
        self.source = source
        self.target = target


def decode(data: bytes | msgspec.Raw, kind: type[Any]) -> Any:
    """JSON from a stranger.

    Raises:
        Refusal: 400, it is none, or does not fit `kind`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body does not fit: {error}") from None


class Json(Response):
    """JSON in ASCII, for names from git may hold what UTF-8 cannot."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()
