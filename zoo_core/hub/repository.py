"""A repository on a hub: which commit a revision is, and its files, by the ordinary huggingface_hub client.

The client checks the length of what it downloads, not the content; that is `integrity`'s, over the files that come
from here.
"""

import errno
import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from zoo_core.errors import UnknownName, WeightsError, ZooError
from zoo_core.hub.datafiles import is_offline
from zoo_core.hub.endpoint import Endpoint

T = TypeVar("T")

TRIES = 3
FIRST_ANSWER = 10.0  # seconds to wait for it
_SAFE_HEADER = re.compile(r'[0-9A-Za-z_.:"/-]{0,200}')  # of those that become file names in the client's cache


def commit_of(endpoint: Endpoint, repo: str, revision: str | None) -> str:
    """The commit that a branch, a tag or the start of a commit stands for, now; 40 hex digits are taken as they are.

    With no network, what the cache last saw is taken, and a line on stderr says so.

    Raises:
        UnknownName: there is no such repository or revision, or no release in it.
        ZooError: the hub refuses, or cannot be reached and nothing is cached.
    """
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi

    _guard_headers()
    why: Exception | None = None
    if not is_offline():
        try:
            commit = (
                HfApi(endpoint=endpoint.url, token=endpoint.token)
                .model_info(repo, revision=revision, timeout=FIRST_ANSWER)
                .sha
            )
            assert commit is not None
            _remember_commit(endpoint, repo, revision, commit)
            return commit
        except Exception as error:
            if not _is_connection(error):
                raise explained(error, endpoint, repo, revision) from error
            why = error
    known = _commit_file(endpoint, repo, revision)
    if known.is_file():
        commit = known.read_text().strip()
        if why is not None:
            print(f"{endpoint.url} cannot be reached; taking {repo} as last seen, {commit[:12]}.", file=sys.stderr)
        return commit
    if why is not None:
        raise explained(why, endpoint, repo, revision) from why
    raise WeightsError(
        f"{repo} is not in the cache, and HF_HUB_OFFLINE forbids the download", f"With a network: zoo pull hf:{repo}"
    )


def download(
    endpoint: Endpoint,
    repo: str,
    commit: str,
    name: str,
    *,
    again: bool = False,
    on_bytes: Callable[[float], None] = lambda n: None,
) -> Path:
    """The local copy of one file at a commit: the cache's, with no request, or a new one (always, with `again`).

    Raises:
        ZooError: the hub does not have it, refuses, or cannot be reached; the disk is full.
    """
    from huggingface_hub import hf_hub_download

    _guard_headers()

    def fetch() -> Path:
        found = hf_hub_download(
            repo,
            name,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache,
            force_download=again,
            local_files_only=is_offline(),
            tqdm_class=_silent_progress(on_bytes),
        )
        return Path(found)

    try:
        return _tried(fetch)
    except Exception as error:
        raise explained(error, endpoint, repo, commit, name) from error


def check_space(endpoint: Endpoint, needed: int) -> None:
    """Raise where the cache's disk has not so many bytes left."""
    from huggingface_hub import constants

    folder = endpoint.cache or Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ZooError(
            f"{needed / 1e6:,.0f} MB are to be downloaded, and '{folder}' has {free / 1e6:,.0f} MB left",
            "Free some space, or set HF_HOME to another disk.",
        )


def explained(
    error: Exception, endpoint: Endpoint, repo: str, revision: str | None = None, name: str | None = None
) -> ZooError:
    """What a failure of the client means for the user."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, ZooError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    where = f"{repo} at {endpoint.url}"
    if isinstance(error, GatedRepoError):
        return WeightsError(f"{where} is gated: its owner asks you to accept terms", f"Open {endpoint.url}/{repo}")
    if isinstance(error, RevisionNotFoundError):
        return UnknownName(f"{where} has no branch, tag or commit '{revision}'")
    if isinstance(error, LocalEntryNotFoundError):
        return WeightsError(f"'{name}' of {repo} is not in the cache, and {endpoint.url} cannot be reached")
    if isinstance(error, EntryNotFoundError):
        return WeightsError(f"{where} has no file '{name}'")
    if status == 401 and "credentials" in str(error).lower():
        return ZooError(f"{endpoint.url} does not know this token", "Check HF_TOKEN, or run: hf auth login")
    if isinstance(error, RepositoryNotFoundError):
        return UnknownName(
            f"there is no {where}, or it is private and this token may not see it",
            "Check the name, and HF_TOKEN or 'hf auth login'.",
        )
    if isinstance(error, HFValidationError):
        return UnknownName(f"'{repo}' cannot be the name of a repository: it is org/name")
    if status == 401 or status == 403:
        return ZooError(f"{endpoint.url} does not let this token do that with {repo} ({status})")
    if status == 429:
        return ZooError(f"{endpoint.url} has had too many requests from here (429)", "Wait some minutes.")
    if isinstance(error, HfHubHTTPError) and status is not None:
        return ZooError(f"{endpoint.url} answered {status} for {repo}: {_first_line(error)}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return ZooError("the disk is full", "Free some space, or set HF_HOME to another disk.")
    if _is_connection(error):
        return ZooError(f"{endpoint.url} cannot be reached", "Check the network, and HF_ENDPOINT or --endpoint.")
    return ZooError(f"{repo} could not be fetched from {endpoint.url}: {type(error).__name__}: {_first_line(error)}")


def _tried(action: Callable[[], T]) -> T:
    """`action`, again where the connection broke."""
    for attempt in range(1, TRIES + 1):
        try:
            return action()
        except Exception as error:
            if attempt == TRIES or not (_is_connection(error) or "Consistency check failed" in str(error)):
                raise
            time.sleep(0.5 * attempt)
    raise AssertionError


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
def _guard_headers() -> None:
    """Refuse answers whose headers would become unsafe file names in the client's cache."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def check(response: Any) -> None:
        for header in ("etag", "x-linked-etag", "x-repo-commit"):
            value = response.headers.get(header, "")
            plain = value.removeprefix("W/").strip('"')
            if not _SAFE_HEADER.fullmatch(value) or ".." in plain or "/" in plain:
                raise ZooError(f"{response.url.host} sent an unsafe header {header}, and nothing was stored")

    def factory() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks.get("response", []), check]}
        return client

    set_client_factory(factory)


def _silent_progress(on_bytes: Callable[[float], None]) -> Any:
    from tqdm import tqdm  # comes with huggingface_hub, which takes a subclass of it

    class Progress(tqdm):  # type: ignore[misc]
        """Tells how many bytes have come, and draws nothing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            on_bytes(n or 0)

    return Progress


def _commit_file(endpoint: Endpoint, repo: str, revision: str | None) -> Path:
    from huggingface_hub import constants

    root = endpoint.cache or Path(constants.HF_HUB_CACHE)
    return root / f"models--{repo.replace('/', '--')}" / "refs" / (revision or "main")


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
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
