"""Downloading releases into a cache, file by file, and nothing but the files of a release.

The result is a folder whose files have the names that the release (or the manifest) lists. Their content is
checked by `sources`, like that of every other release; only config.json, which lists the others, is checked here.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.endpoint import Endpoint, check_space, current_endpoint, is_offline
from zoo_core.hub.integrity import Damaged, FileEntry, check_file, is_git_blob, sha256_of
from zoo_core.hub.repository import NoSuchFile, commit_of, digest_of_hub, discard, download
from zoo_core.releases.release import CONFIG, read_release
from zoo_core.weights.reference import HubReference, UrlReference

MAX_CONFIG_BYTES = 1_000_000
KINDS = (".safetensors", ".json", ".md", ".png")  # what a release may consist of; never a pickle, never code
PARALLEL = 4

OnBytes = Callable[[float, float], None]  # bytes of this much, of so many in all


class Fetched(NamedTuple):
    """A release that is on this machine now.

    Attributes:
        folder: where it is.
        source: where it came from; from a hub, with the commit.
        ours: whether it is in a cache, where a damaged file may be deleted.
    """

    folder: Path
    source: str
    ours: bool


def fetch(
    reference: HubReference | UrlReference,
    files: Mapping[str, FileEntry] | None = None,
    *,
    on_bytes: OnBytes = lambda n, total: None,
) -> Fetched:
    """Download the release of `reference` into the cache, unless it is there already.

    `files` are those that a manifest pins; by default those that the release itself lists.

    Raises:
        ZooError: it does not exist, is not a release, has other files than a release, or cannot be downloaded.
    """
    if isinstance(reference, UrlReference):
        return _from_url(reference, files, on_bytes)
    return _in_mirror(reference) or _from_hub(reference, files, on_bytes)


def check_names(names: Iterable[str]) -> None:
    """Raise an error if a file of a release must not have this name.

    Raises:
        WeightsError: it could lead to another folder, or is that of a file which is never loaded, such as a pickle.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or not name.endswith(KINDS):
            raise WeightsError(
                f"the release lists '{name}', which is not a file of a release",
                f"Their names hold A-Z a-z 0-9 . _ - and end in {' '.join(KINDS)}",
            )


def _from_hub(reference: HubReference, files: Mapping[str, FileEntry] | None, on_bytes: OnBytes) -> Fetched:
    endpoint, repo = current_endpoint(), reference.repo
    commit = commit_of(endpoint, repo, reference.revision)
    config = _config_of(endpoint, repo, commit)
    wanted = _wanted(config.parent, f"{repo} at {endpoint.url}", files)
    missing = {name: entry for name, entry in wanted.items() if not (config.parent / name).exists()}
    total = sum(entry.bytes for entry in missing.values())
    check_space(endpoint.root, total)
    given_up = False

    def count(n: float) -> None:
        if given_up:
            raise KeyboardInterrupt  # ends a download that nobody waits for any more
        on_bytes(n, total)

    from concurrent.futures import ThreadPoolExecutor  # here, for what only looks should start fast

    with ThreadPoolExecutor(PARALLEL) as pool:
        downloads = [
            pool.submit(download, endpoint, repo, commit, name, limit=entry.bytes, on_bytes=count)
            for name, entry in missing.items()
        ]
        try:
            for one in downloads:
                one.result()
        except BaseException:
            given_up = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Fetched(config.parent, f"hf:{repo}@{commit} at {endpoint.url}", ours=True)


def _config_of(endpoint: Endpoint, repo: str, commit: str) -> Path:
    """The config.json at a commit, compared with the digest that the hub says."""
    for _ in range(2):  # a copy that the line or the disk has damaged is fetched again, once
        try:
            config = download(endpoint, repo, commit, CONFIG, limit=MAX_CONFIG_BYTES)
        except NoSuchFile:
            raise WeightsError(f"{repo} at {endpoint.url} is not a zoo release: it has no {CONFIG}") from None
        digest = digest_of_hub(config)
        if digest is None or (is_git_blob(config, digest) if len(digest) == 40 else sha256_of(config) == digest):
            return config
        if is_offline():
            break
        discard(config)
    raise WeightsError(
        f"the {CONFIG} of {repo} at {endpoint.url} is not the file that was published: its digest is another",
        "Try again; where that does not help, tell the owner of the hub.",
    )


def _in_mirror(reference: HubReference) -> Fetched | None:
    """The release in the folder ZOO_MIRROR, if its repository is there and is not asked for at another commit than its
    bundle.json says."""
    mirror = os.environ.get("ZOO_MIRROR")
    if not mirror:
        return None
    folder = Path(mirror).expanduser() / reference.repo
    if not (folder / CONFIG).is_file():
        return None
    try:
        source = str(json.loads((Path(mirror).expanduser() / "bundle.json").read_text())["releases"][reference.repo])
    except (OSError, ValueError, KeyError, TypeError):
        source = f"hf:{reference.repo}"
    commit = re.search(r"@([0-9a-f]{40})\b", source)
    wanted = reference.revision
    if wanted in (None, "main") or (commit and len(wanted or "") >= 7 and commit[1].startswith(wanted or "")):
        return Fetched(folder, f"{source.removesuffix(', in ZOO_MIRROR')}, in ZOO_MIRROR", ours=False)
    return None


def _wanted(folder: Path, where: str, files: Mapping[str, FileEntry] | None) -> dict[str, FileEntry]:
    """The files to fetch beside config.json."""
    config = folder / CONFIG
    if config.stat().st_size > MAX_CONFIG_BYTES:
        raise WeightsError(f"the {CONFIG} of {where} is larger than {MAX_CONFIG_BYTES} bytes, and no release's is")
    if not _is_ours(config):
        raise WeightsError(
            f"{where} is not a zoo release: its {CONFIG} is of another library", "zoo loads what 'zoo push' published."
        )
    listed = dict(files if files is not None else read_release(folder).files)
    listed.pop(CONFIG, None)
    check_names(listed)
    return listed


def _is_ours(config: Path) -> bool:
    """Whether it has the entry by which a release is known; what cannot be read is for `read_release` to say."""
    try:
        data = json.loads(config.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(data, dict) and "zoo" in data


def _from_url(reference: UrlReference, files: Mapping[str, FileEntry] | None, on_bytes: OnBytes) -> Fetched:
    """From any file system that fsspec knows. Its copy is kept under the digest of its config.json, so that a release
    which is replaced there is another one here; with no network, the last one seen is taken."""
    import hashlib

    url = reference.url.rstrip("/")
    releases = cache_folder() / "releases"
    seen = cache_folder() / "urls" / hashlib.sha256(url.encode()).hexdigest()
    try:
        if is_offline() and not url.startswith(("file://", "memory://")):
            raise ConnectionError("HF_HUB_OFFLINE forbids it")
        files_at, root = _file_system(url)
        raw: bytes = files_at.cat_file(f"{root}/{CONFIG}", end=MAX_CONFIG_BYTES + 1)
    except ZooError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and files_at.exists(root):  # not a disk that is not there today
            raise WeightsError(f"'{url}' is not a release: it has no {CONFIG}") from None
        if not seen.is_file():
            reason = "it does not exist" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
            raise ZooError(f"'{url}' cannot be read: {reason}") from error
        return Fetched(releases / seen.read_text(), f"{url}, as last seen", ours=False)
    digest = hashlib.sha256(raw).hexdigest()
    folder = releases / digest
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).exists() or sha256_of(folder / CONFIG) != digest:
        write_atomically(folder / CONFIG, raw)
    wanted = _wanted(folder, f"'{url}'", files)
    missing = {name: entry for name, entry in wanted.items() if not (folder / name).exists()}
    total = sum(entry.bytes for entry in missing.values())
    check_space(folder, total)
    for name, entry in missing.items():
        with replacing(folder / name) as beside:
            try:
                with files_at.open(f"{root}/{name}", "rb") as far, open(beside, "wb") as near:
                    shutil.copyfileobj(far, near, 1 << 20)
                check_file(beside, entry, trust_verdict=False)  # before a wrong file has its name
            except FileNotFoundError:
                raise Damaged(folder / name, f"'{url}' is not whole: '{name}' is missing", "Push it again.") from None
            except Damaged as error:
                message = error.message.replace(f"'{beside}'", f"'{url}/{name}'")
                raise Damaged(folder / name, message, "Push it again.") from None
        on_bytes(entry.bytes, total)
    seen.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(seen, digest)
    return Fetched(folder, url, ours=True)


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"'{url}' cannot be opened: {error}") from None
    return system, str(path).rstrip("/")
