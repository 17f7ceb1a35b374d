"""The file of a published data set: in a local mirror of the hub, else from the hub itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_core.errors import DataError, UsageError
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.endpoint import current_endpoint
from zoo_core.hub.endpoint import is_offline as is_offline
from zoo_core.hub.repository import FIRST_ANSWER, guard_headers


def own_mirror() -> Path:
    """The mirror in our cache, which `zoo data get` fills; it may not exist yet."""
    return cache_folder() / "mirror"


_first: list[Path] = []


@contextmanager
def mirror_first(folder: Path) -> Iterator[None]:
    """While this lasts, data files are looked for in this folder before all others."""
    _first.append(folder)
    try:
        yield
    finally:
        _first.remove(folder)


def find_in_mirror(repo_id: str, path: str) -> Path | None:
    """A file of a published data set in a local mirror: `datasets/<repo_id>/<path>` in the folder ZOO_MIRROR, or
    otherwise in the mirror that `zoo data get` fills; None if neither has it."""
    mirror = os.environ.get("ZOO_MIRROR")
    for folder in (*_first, *([Path(mirror).expanduser()] if mirror else []), own_mirror()):
        found = folder / "datasets" / repo_id / path
        if found.is_file():
            return _noted(repo_id, path, found)
    return None


def find_data_file(repo_id: str, path: str, *, revision: str | None = None) -> Path:
    """A file of a published data set on this machine: from a local mirror, or otherwise downloaded, once.

    The settings of the hub's client hold: HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.

    Args:
        repo_id: the repository of the data set on the hub.
        path: the file in it.
        revision: a branch, tag or commit.

    Raises:
        DataError: neither place has it. The message says what is missing and why, and the hint how to get it.
        UsageError: HF_ENDPOINT is not the address of a hub, or the token would be sent unencrypted.
    """
    in_mirror = find_in_mirror(repo_id, path)
    if in_mirror is not None:
        return in_mirror
    try:
        return _noted(repo_id, path, _from_hub(repo_id, path, revision))
    except UsageError:
        raise
    except Exception as error:  # the hub's client raises its own, the HTTP library's and the system's errors
        raise missing_data(f"{repo_id}/{path}", why_not_from_hub(error)) from error


def is_in_hub_cache(place: str) -> bool:
    """Whether the hub's client has kept the file `<repo_id>/<path>` of a data set; no network is asked."""
    parts = place.split("/")
    return any(
        any(current_endpoint().root.glob(f"datasets--{'--'.join(parts[:k])}/snapshots/*/{'/'.join(parts[k:])}"))
        for k in (1, 2)  # the repo's name has an owner or not
    )


_records: list[dict[str, Path]] = []


@contextmanager
def recorded_data_files() -> Iterator[dict[str, Path]]:
    """The data files that are found while this lasts: `<repo_id>/<path>` and where it is."""
    record: dict[str, Path] = {}
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def _noted(repo_id: str, path: str, found: Path) -> Path:
    for record in _records:
        record[f"{repo_id}/{path}"] = found
    return found


def _from_hub(repo_id: str, path: str, revision: str | None) -> Path:
    """The hub's copy, from its client's cache where it is there; fails at once, not after retries, with no network."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    endpoint = current_endpoint()
    guard_headers()

    def download(local_files_only: bool) -> Path:
        return Path(
            hf_hub_download(
                repo_id,
                path,
                repo_type="dataset",
                revision=revision,
                endpoint=endpoint.url,
                cache_dir=endpoint.cache,
                token=endpoint.token,
                local_files_only=local_files_only,
            )
        )

    try:
        return download(local_files_only=True)
    except LocalEntryNotFoundError:
        if is_offline():
            raise
    url = hf_hub_url(repo_id, path, repo_type="dataset", revision=revision, endpoint=endpoint.url)
    # One request first, for the download itself retries for 20 s.
    get_hf_file_metadata(url, token=endpoint.token, timeout=FIRST_ANSWER)
    return download(local_files_only=False)


def missing_data(what: str, why: str, *, published: bool = True, get: str = "", also: str = "") -> DataError:
    """The error for a data file that is nowhere, with a hint how to get it; the caller raises it.

    Args:
        what: the file, "<repo id>/<path>".
        why: why the network did not give it, as the end of a sentence.
        published: whether it could be downloaded with a network.
        get: the name of the data set, if `zoo data get` can make the file.
        also: another way to get it, one sentence.
    """
    mirror = os.environ.get("ZOO_MIRROR")
    place = f"not in ZOO_MIRROR ({mirror})" if mirror else "ZOO_MIRROR is not set"
    ways = f"Run 'zoo data get {get}', or set" if get else "Connect to the network, or set" if published else "Set"
    hint = f"{ways} ZOO_MIRROR to a folder that holds datasets/<repo>/<file>, as on the hub."
    return DataError(f"data file '{what}' is missing: {place}, {why}", f"{hint} {also}".rstrip())


def why_not_from_hub(error: Exception) -> str:
    """In a few words, why the hub's client gave no file."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub = current_endpoint().url
    if is_offline():
        return "and HF_HUB_OFFLINE forbids the download"
    if isinstance(error, GatedRepoError):
        return "and the hub asks to accept its terms first"
    if isinstance(error, LocalEntryNotFoundError):  # an EntryNotFoundError too: "no answer, and not in the cache"
        return f"and {hub} cannot be reached"
    if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError):
        return f"and {hub} does not have it"
    if isinstance(error, HfHubHTTPError):
        return f"and the download failed ({_one_line(error)})"
    return f"and {hub} cannot be reached ({_one_line(error)})"


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
