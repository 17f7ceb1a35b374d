"""Releases that are elsewhere: fetched into a cache, a file at a time, and nothing but a release's files.

What comes back is a folder whose files have the names and sizes that the release (or the manifest) lists. Their content
is checked by `sources`, like that of every other release.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.datafiles import is_offline
from zoo_core.hub.endpoint import current_endpoint
from zoo_core.hub.integrity import FileEntry
from zoo_core.hub.repository import check_space, commit_of, download
from zoo_core.weights.reference import HubReference, UrlReference
from zoo_core.weights.release import CONFIG, read_release

MAX_CONFIG_BYTES = 1_000_000
KINDS = (".safetensors", ".json", ".md", ".png")  # what a release may consist of; never a pickle, never code
PARALLEL = 4

OnBytes = Callable[[float, float], None]  # bytes of this much, of so many in all


class Fetched(NamedTuple):
    """A release that is in the cache now."""

    folder: Path
    source: str  # with the commit


def fetch(
    reference: HubReference | UrlReference,
    files: Mapping[str, FileEntry] | None = None,
    *,
    again: bool = False,
    on_bytes: OnBytes = lambda n, total: None,
) -> Fetched:
    """Bring the release of `reference` into the cache, where it is not there already.

    Args:
        files: what a manifest pins; by default what the release itself lists.
        again: download even what is in the cache, for it turned out to be damaged.

    Raises:
        ZooError: it is not there, is no release, holds other than a release's files, or cannot be fetched.
    """
    if isinstance(reference, UrlReference):
        return _from_url(reference, files, again, on_bytes)
    if (mirrored := _in_mirror(reference)) is not None:
        return Fetched(mirrored, f"hf:{reference.repo} in ZOO_MIRROR")
    endpoint = current_endpoint()
    commit = commit_of(endpoint, reference.repo, reference.revision)
    try:
        config = download(endpoint, reference.repo, commit, CONFIG, again=again)
    except WeightsError as error:
        if "has no file" in error.message:
            raise WeightsError(f"{reference.repo} at {endpoint.url} is not a zoo release: it has no {CONFIG}") from None
        raise
    wanted = _wanted(config.parent, files)
    missing = {name: entry for name, entry in wanted.items() if again or not (config.parent / name).exists()}
    total = sum(entry.bytes for entry in missing.values())
    check_space(endpoint, total)

    def one(name: str) -> None:
        download(endpoint, reference.repo, commit, name, again=again, on_bytes=lambda n: on_bytes(n, total))

    with ThreadPoolExecutor(PARALLEL) as pool:
        for _ in pool.map(one, missing):
            pass
    return Fetched(config.parent, f"hf:{reference.repo}@{commit} at {endpoint.url}")


def _in_mirror(reference: HubReference) -> Path | None:
    """The release in the folder ZOO_MIRROR, if its repository is there and is not asked for at another commit than its
    bundle.json says."""
    mirror = os.environ.get("ZOO_MIRROR")
    if not mirror:
        return None
    folder = Path(mirror).expanduser() / reference.repo
    if not (folder / CONFIG).is_file():
        return None
    if reference.revision in (None, "main"):
        return folder
    try:
        listing = json.loads((Path(mirror).expanduser() / "bundle.json").read_text())
        return folder if f"@{reference.revision}" in listing["releases"][reference.repo] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _wanted(folder: Path, files: Mapping[str, FileEntry] | None) -> dict[str, FileEntry]:
    """The files to fetch beside config.json."""
    if (folder / CONFIG).stat().st_size > MAX_CONFIG_BYTES:
        raise WeightsError(f"'{folder / CONFIG}' is larger than {MAX_CONFIG_BYTES} bytes, and no release's is")
    listed = dict(files if files is not None else read_release(folder).files)
    listed.pop(CONFIG, None)
    for name in listed:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or not name.endswith(KINDS):
            raise WeightsError(f"the release lists '{name}', which is no file of a release", f"They end in {KINDS}.")
    return listed


def _from_url(
    reference: UrlReference, files: Mapping[str, FileEntry] | None, again: bool, on_bytes: OnBytes
) -> Fetched:
    """From any file system that fsspec knows. Its copy is kept under the digest of its config.json, so that a release
    which is replaced there is another one here; with no network, the last one seen is taken."""
    url = reference.url.rstrip("/")
    seen = cache_folder() / "urls" / hashlib.sha256(url.encode()).hexdigest()
    try:
        if is_offline() and not url.startswith(("file://", "memory://")):
            raise ConnectionError("HF_HUB_OFFLINE forbids it")
        files_at = _file_system(url)
        raw = files_at.cat_file(f"{_path_at(url)}/{CONFIG}", end=MAX_CONFIG_BYTES + 1)
        digest = hashlib.sha256(raw).hexdigest()
    except FileNotFoundError:
        raise WeightsError(f"'{url}' is not a release: it has no {CONFIG}") from None
    except ZooError:
        raise
    except Exception as error:
        if not seen.is_file():
            raise ZooError(f"'{url}' cannot be read: {type(error).__name__}: {error}") from error
        folder = cache_folder() / "releases" / seen.read_text()
        return Fetched(folder, f"{url}, as last seen")
    folder = cache_folder() / "releases" / digest
    folder.mkdir(parents=True, exist_ok=True)
    if again or not (folder / CONFIG).exists():
        write_atomically(folder / CONFIG, raw)
    wanted = _wanted(folder, files)
    total = sum(entry.bytes for entry in wanted.values())
    for name, entry in wanted.items():
        if again or not (folder / name).exists():
            with (
                replacing(folder / name) as beside,
                files_at.open(f"{_path_at(url)}/{name}", "rb") as far,
                open(beside, "wb") as near,
            ):
                shutil.copyfileobj(far, near, 1 << 20)
            on_bytes(entry.bytes, total)
    seen.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(seen, digest)
    return Fetched(folder, url)


def _file_system(url: str) -> Any:
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:
        raise UsageError(f"'{url}' cannot be opened: {error}") from None


def _path_at(url: str) -> str:
    import fsspec

    return str(fsspec.core.url_to_fs(url)[1]).rstrip("/")
