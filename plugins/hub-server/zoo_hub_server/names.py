"""Names that come from strangers: repositories, users, branches, paths. Each is checked before it is used."""

import re
from dataclasses import dataclass
from typing import Literal

from dulwich.refs import Ref, check_ref_format

from zoo_hub_server.errors import bad_request, unprocessable

Kind = Literal["models", "datasets"]
KINDS: tuple[Kind, ...] = ("models", "datasets")

MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What Windows does not allow as a folder, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# First segments of this hub's own addresses; nobody may be called so.
_RESERVED = {"api", "datasets", "lfs", "login", "models", "resolve", "simple", "spaces", "static", "wheels"}


@dataclass(frozen=True)
class RepoId:
    """`alice/digits`, a model or a data set."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def page(self) -> str:
        """Its address under the hub's root."""
        return f"/{'datasets/' if self.kind == 'datasets' else ''}{self.namespace}/{self.name}"


def is_name(text: str) -> bool:
    """Whether `text` may be a name: what huggingface_hub's validate_repo_id allows, and is safe as a folder."""
    return (
        _NAME.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.lower().endswith((".git", ".ipynb", ".lock"))
        and _DEVICE.fullmatch(text) is None
    )


def is_owner_name(text: str) -> bool:
    """Whether `text` may be a user or a team."""
    return is_name(text) and text.lower() not in _RESERVED


def repo_id(kind: str, namespace: str, name: str) -> RepoId:
    """A checked repository id.

    Raises:
        Refusal: 400, not a name this hub could hold.
    """
    if kind not in KINDS:
        raise bad_request(f"This hub holds models and datasets, no {_short(kind)}.")
    if not (is_owner_name(namespace) and is_name(name)):
        raise bad_request(
            f"'{_short(namespace)}/{_short(name)}' is not a repository name: letters, digits, '-', '_' and '.', at "
            "most 96, no '--' or '..', beginning with a letter or digit, not ending in '.git'."
        )
    return RepoId(kind, namespace, name)


def checked_path(path: str) -> str:
    """A path inside a repository that is safe on every system that may load it.

    Raises:
        Refusal: 422.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise unprocessable("A path is not valid Unicode.") from None
    segments = path.split("/")
    if not path or size > MAX_PATH_BYTES or any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in segments):
        raise unprocessable(f"A path has 1 to {MAX_PATH_BYTES} bytes, and {MAX_SEGMENT_BYTES} in each part.")
    if _CONTROL.search(path) or "\\" in path:
        raise unprocessable(f"'{_short(path)}' holds a control character or a backslash.")
    for segment in segments:
        if segment in ("", ".", ".."):
            raise unprocessable(f"'{_short(path)}' is not a path inside a repository.")
        if segment.lower().rstrip(". ") in (".git", "git~1"):
            raise unprocessable(f"'{_short(path)}': '.git' is git's own.")
    return path


def branch_ref(name: str) -> Ref:
    """refs/heads/NAME, checked."""
    return _ref("heads", name)


def tag_ref(name: str) -> Ref:
    """refs/tags/NAME, checked."""
    return _ref("tags", name)


def is_commit(text: str) -> bool:
    """Whether `text` is a full commit id."""
    return _COMMIT.fullmatch(text) is not None


def _ref(folder: str, name: str) -> Ref:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        encoded = b""
    ref = Ref(b"refs/" + folder.encode() + b"/" + encoded)
    # A name that looks like a commit, or like another ref, would be two things at once.
    if (
        not 0 < len(encoded) <= 200
        or not check_ref_format(ref)
        or is_commit(name)
        or name.startswith("refs/")
        or name.upper() == "HEAD"
        or any(len(part) > MAX_SEGMENT_BYTES - len(".lock") or _DEVICE.fullmatch(part) for part in name.split("/"))
    ):
        raise bad_request(f"'{_short(name)}' is not a name for a branch or a tag.")
    return ref


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
