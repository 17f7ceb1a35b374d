"""A repository on a hub: the commit of a revision, and its files, by the ordinary huggingface_hub client.

The client checks the length of what it downloads, but not the content: `integrity` does that afterwards.
"""

import errno
import re
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from zoo_core.errors import UnknownName, WeightsError, ZooError
from zoo_core.hub.endpoint import PUBLIC, Endpoint, is_offline

T = TypeVar("T")

TRIES = 3
FIRST_ANSWER = 10.0  # seconds to wait for it
CHUNK = 1 << 18  # bytes that the client takes at a time; its own 10 MB cost it more than the network does
_SAFE_NAME = re.compile(r"[0-9A-Za-z_.:-]{1,200}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class NotCached(WeightsError):
    """It is not on this machine, and there is no network."""


class Unreachable(ZooError):
    """The hub does not answer, or must not be asked."""


class NoSuchFile(WeightsError):
    """The repository has no file of that name."""


def commit_of(endpoint: Endpoint, repo: str, revision: str | None) -> str:
    """The commit that a branch, a tag or the beginning of a commit means now.

    For a complete commit that is in the cache, no request is made. Without a network, or if the hub is out of order,
    the commit that the cache saw last is taken, and a line on stderr says so.

    Raises:
        UnknownName: there is no such repository or revision.
        ZooError: the hub refuses the request, or it cannot be reached and nothing is cached.
    """
    if revision is not None and (revision.startswith("/") or ".." in revision):
        raise UnknownName(f"'{revision}' cannot be a revision", "It is a branch, a tag or a commit.")
    if revision is not None and _COMMIT.fullmatch(revision) and (is_offline() or _has(endpoint, repo, revision)):
        return revision
    why = None
    if not is_offline():
        try:
            commit = _ask_commit(endpoint, repo, revision)
            _remember_commit(endpoint, repo, revision, commit)
            return commit
        except ZooError:
            raise
        except Exception as error:
            if not (_is_connection(error) or _status(error) >= 500):
                raise explained(error, endpoint, repo, revision) from error
            why = error
    seen = _commit_file(endpoint, repo, revision)
    if seen.is_file() and _COMMIT.fullmatch(commit := seen.read_text().strip()):
        if why is not None:
            problem = explained(why, endpoint, repo, revision).message
            print(f"{problem}; taking {repo} as last seen, {commit[:12]}.", file=sys.stderr)
        return commit
    if why is not None:
        raise explained(why, endpoint, repo, revision) from why
    raise NotCached(
        f"{repo} is not in the cache, and HF_HUB_OFFLINE forbids the download", f"With a network: zoo pull hf:{repo}"
    )


def download(
    endpoint: Endpoint,
    repo: str,
    commit: str,
    name: str,
    *,
    limit: int,
    on_bytes: Callable[[float], None] = lambda n: None,
) -> Path:
    """The local copy of one file at a commit: from the cache, without a request, or a new one.

    Args:
        limit: how many bytes it may have at most; a longer file is not downloaded.
        on_bytes: called with the number of bytes that have come since the last call.

    Raises:
        ZooError: the hub does not have it, refuses, or cannot be reached; it is too long; the disk is full.
    """
    from huggingface_hub import constants, hf_hub_download

    guard_headers()
    if getattr(constants, "DOWNLOAD_CHUNK_SIZE", 0) > CHUNK:
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK

    def take(n: float, so_far: float) -> None:
        if so_far > limit:
            raise WeightsError(f"'{name}' of {repo} at {endpoint.url} is longer than {limit} bytes, and must not be")
        on_bytes(n)

    def fetch() -> Path:
        found = hf_hub_download(
            repo,
            name,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache,
            local_files_only=is_offline(),
            tqdm_class=_silent_progress(take),
        )
        return Path(found)

    try:
        return _tried(fetch)
    except ZooError:
        raise
    except Exception as error:
        raise explained(error, endpoint, repo, commit, name) from error


def digest_of_hub(path: Path) -> str | None:
    """The digest that the hub says of a file in the cache: a sha256 (64 digits), or git's sha1 (40); None if unknown.

    The client calls its copy by that name, and links to it. Where a system has no links nothing is known.
    """
    name = path.resolve().name
    return name if path.is_symlink() and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def discard(path: Path) -> None:
    """Remove a file from the cache, with the copy that it is a link to. A cache that cannot be written stays as it is.

    Raises:
        ZooError: that cache holds the damaged file, so it would be found again and again.
    """
    copy = path.resolve()
    try:
        path.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    except OSError as error:
        raise ZooError(
            f"'{path}' is damaged and cannot be replaced: {error.strerror}",
            "Tell the owner of that cache, or set HF_HOME to a folder of your own.",
        ) from error


class _Asked(NamedTuple):
    """What was asked of a hub."""

    endpoint: Endpoint
    repo: str
    revision: str | None
    name: str | None  # of a file

    @property
    def where(self) -> str:
        return f"{self.repo} at {self.endpoint.url}"


def explained(
    error: Exception, endpoint: Endpoint, repo: str, revision: str | None = None, name: str | None = None
) -> ZooError:
    """The error that tells the user what a failure of the client means."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = error.__cause__
    if isinstance(cause, Exception):
        answered = isinstance(error, LocalEntryNotFoundError) and _status(cause)
        if isinstance(error, RuntimeError) or answered:  # "Error while uploading …"; "not in the cache"
            return explained(cause, endpoint, repo, revision, name)
    asked = _Asked(endpoint, repo, revision, name)
    return (
        _by_type(error, asked)
        or _by_status(error, asked)
        or _by_system(error, asked)
        or ZooError(f"{asked.where} gives trouble: {type(error).__name__}: {_first_line(error)}")
    )


def _by_type(error: Exception, asked: _Asked) -> ZooError | None:
    """Of the kinds that the client tells apart; the first that fits, for some are kinds of others."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    url, repo, where = asked.endpoint.url, asked.repo, asked.where
    if isinstance(error, GatedRepoError):
        return WeightsError(
            f"{where} is gated: its owner asks you to accept terms",
            f"Open {url}/{repo}, then give a token of yours: HF_TOKEN or --token.",
        )
    if isinstance(error, RevisionNotFoundError):
        return UnknownName(f"{where} has no branch, tag or commit '{asked.revision}'", f"Look at {url}/{repo}")
    if isinstance(error, LocalEntryNotFoundError):
        reason = "HF_HUB_OFFLINE forbids the download" if is_offline() else f"{url} cannot be reached"
        return NotCached(
            f"'{asked.name}' of {repo} is not in the cache, and {reason}", f"With a network: zoo pull hf:{repo}"
        )
    if isinstance(error, EntryNotFoundError):
        return NoSuchFile(f"{where} has no file '{asked.name}'")
    if _status(error) == 401 and "invalid credentials" in str(error).lower():  # a hub says it by no other sign
        return ZooError(f"{url} does not know this token", "Check HF_TOKEN, or run: hf auth login")
    if isinstance(error, RepositoryNotFoundError) or _status(error) == 404:
        return UnknownName(
            f"there is no {where}, or it is private and this token may not see it",
            "Check the name, and HF_TOKEN or 'hf auth login'.",
        )
    if isinstance(error, HFValidationError):
        return UnknownName(f"'{repo}' cannot be the name of a repository", "It is org/name.")
    return None


def _by_status(error: Exception, asked: _Asked) -> ZooError | None:
    """Of an answer that says no."""
    status, url, repo = _status(error), asked.endpoint.url, asked.repo
    if status in (401, 403):
        if not asked.endpoint.token and url != PUBLIC:
            return ZooError(f"{url} wants a token for that ({status})", "Set HF_TOKEN, or give --token.")
        return ZooError(
            f"{url} does not let this token do that with {repo} ({status})",
            "It needs the right to write, and you a place in the organisation.",
        )
    if status == 429:
        return ZooError(f"{url} has had too many requests from here (429)", "Wait some minutes.")
    if status >= 500:
        return ZooError(f"{url} is out of order: it answered {status} for {repo}", "Try again later.")
    if status:
        return ZooError(f"{url} answered {status} for {repo}: {_first_line(error)}", "Is it a hub at all?")
    return None


def _by_system(error: Exception, asked: _Asked) -> ZooError | None:
    """Of the disk, the line, and what came along it."""
    url = asked.endpoint.url
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return ZooError("the disk is full", "Free some space, or set HF_HOME to another disk.")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ZooError(
            f"{asked.repo} is not whole in the cache '{asked.endpoint.root}', which cannot be written",
            "Let its owner run 'zoo pull', or set HF_HOME to a folder of your own.",
        )
    if _is_other_length(error):
        return WeightsError(f"'{asked.name}' of {asked.where} came in another length than the hub says", "Try again.")
    if _is_connection(error) and is_offline():
        return Unreachable(f"HF_HUB_OFFLINE forbids to ask {url}", "Unset it, to use the network.")
    if _is_connection(error):
        return Unreachable(f"{url} cannot be reached", "Check the network, and HF_ENDPOINT or --endpoint.")
    if isinstance(error, ValueError):  # no JSON
        return ZooError(f"{url} does not answer as a hub does", "Check HF_ENDPOINT or --endpoint.")
    return None


def _ask_commit(endpoint: Endpoint, repo: str, revision: str | None) -> str:
    from huggingface_hub import HfApi

    guard_headers()
    api = HfApi(endpoint=endpoint.url, token=endpoint.token)
    commit: str | None = api.model_info(repo, revision=revision, timeout=FIRST_ANSWER).sha
    if commit is None or not _COMMIT.fullmatch(commit):  # it becomes the name of a folder
        raise ZooError(f"{endpoint.url} names no commit of {repo}, and nothing was stored", "Is it a hub at all?")
    return commit


def _tried(action: Callable[[], T]) -> T:
    """`action`, again where the connection broke while a file came. The client itself tries the rest again."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    for attempt in range(1, TRIES + 1):
        try:
            return action()
        except LocalEntryNotFoundError:
            raise
        except Exception as error:
            if attempt == TRIES or not (_is_connection(error) or _is_other_length(error)):
                raise
            time.sleep(0.5 * attempt)
    raise AssertionError


def _status(error: Exception) -> int:
    """The HTTP status of the hub's answer; 0 where there was none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _is_other_length(error: Exception) -> bool:
    """Whether a file came in another length than the hub says. The client has no type of its own for it: what it raises
    is an OSError without the number that those of the system have."""
    return type(error) is OSError and error.errno is None


def _is_connection(error: Exception) -> bool:
    """Whether nobody answered, or the line broke; an answer that says no is another matter."""
    seen: BaseException | None = error
    while seen is not None:
        if "TransportError" in {kind.__name__ for kind in type(seen).__mro__}:  # of the client's HTTP library
            return True
        if isinstance(seen, ConnectionError | TimeoutError):
            return True
        seen = seen.__cause__
    return False


@cache
def guard_headers() -> None:
    """Refuse, from now on, answers whose headers would become unsafe file names in the client's cache."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY  # there is no public way to keep what the user has set

    def check(response: Any) -> None:
        if response.request.method != "HEAD":  # the client takes names from those answers alone
            return
        for header in ("etag", "x-linked-etag", "x-repo-commit"):
            value = response.headers.get(header)
            if value is None:
                continue
            name = value.removeprefix("W/").strip('"')
            if not _SAFE_NAME.fullmatch(name) or ".." in name:
                raise ZooError(f"{response.url.host} sent an unsafe header {header}, and nothing was stored")

    def factory() -> Any:
        client = before()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks.get("response", []), check]}
        return client

    set_client_factory(factory)


def _silent_progress(take: Callable[[float, float], None]) -> Any:
    from tqdm import tqdm  # comes with huggingface_hub, which takes a subclass of it

    class Progress(tqdm):  # type: ignore[misc]
        """Reports how many bytes have come, and shows nothing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self.so_far = 0.0

        def update(self, n: float | None = 1) -> None:
            self.so_far += n or 0
            take(n or 0, self.so_far)

    return Progress


def is_cached(endpoint: Endpoint, repo: str) -> bool:
    """Whether the cache has anything of the repository."""
    return _storage(endpoint, repo).is_dir()


def _has(endpoint: Endpoint, repo: str, commit: str) -> bool:
    return (_storage(endpoint, repo) / "snapshots" / commit).is_dir()


def _commit_file(endpoint: Endpoint, repo: str, revision: str | None) -> Path:
    return _storage(endpoint, repo) / "refs" / (revision or "main")


def _storage(endpoint: Endpoint, repo: str) -> Path:
    return endpoint.root / f"models--{repo.replace('/', '--')}"


def _remember_commit(endpoint: Endpoint, repo: str, revision: str | None, commit: str) -> None:
    """As the client does when it downloads by a branch, so that both find it with no network."""
    from zoo_core.hub.atomic import write_atomically

    place = _commit_file(endpoint, repo, revision)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, commit)
    except (OSError, ZooError):
        pass  # a cache that is shared and read-only


def _first_line(error: Exception) -> str:
    said = getattr(error, "server_message", None) or str(error)
    lines = str(said).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
