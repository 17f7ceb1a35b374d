"""Which hub is talked to, with which token, and where its files are kept.

A token is a key: HF_TOKEN (or `--token`) is for the hub that HF_ENDPOINT (or `--endpoint`) names, and a token that
`hf auth login` saved is for huggingface.co alone. Each hub has a cache of its own, for the client's cache knows
repositories by their name only, and two hubs may have the same name for different things.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from zoo_core.errors import UsageError, ZooError

PUBLIC = "https://huggingface.co"
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Endpoint(NamedTuple):
    """A hub.

    Attributes:
        url: without a slash at the end.
        token: what huggingface_hub is given: a token, None for the one that the client has saved, False for none.
        cache: the folder of its files; None for the client's own.
    """

    url: str
    token: str | bool | None
    cache: Path | None

    def __repr__(self) -> str:  # the token must never be printed
        return f"Endpoint({self.url})"

    @property
    def root(self) -> Path:
        """The folder of its files, where the client's own is meant too."""
        from huggingface_hub import constants

        return self.cache or Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether the user has asked, by HF_HUB_OFFLINE, that nothing be downloaded."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def current_endpoint() -> Endpoint:
    """The hub that HF_ENDPOINT and HF_TOKEN say, read now; `--endpoint` and `--token` set them.

    Raises:
        UsageError: the address is not that of a hub, the token is malformed, or it would be sent unencrypted.
    """
    url = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or PUBLIC
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise UsageError(
            f"'{_without_password(url)}' is not the address of a hub", "For example: http://lab-server:8000"
        )
    token = os.environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise UsageError("HF_TOKEN is not a token: it holds spaces or characters that no token has")
    if url == PUBLIC:
        return Endpoint(url, token or None, None)
    if token and parts.scheme == "http" and parts.hostname not in _LOCAL and not os.environ.get("ZOO_INSECURE"):
        raise UsageError(
            f"the token would go to {url} readable by everyone on the way",
            "Use https, leave the token out, or allow it: --insecure",
        )
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return Endpoint(url, token or False, home / "zoo" / re.sub(r"[^A-Za-z0-9.-]+", "_", url))


def check_space(folder: Path, needed: int) -> None:
    """Raise an error if the disk of `folder`, which need not exist yet, has fewer free bytes than this.

    Raises:
        ZooError: it has not.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ZooError(
            f"{needed / 1e6:,.0f} MB are to be written, and '{folder}' has {free / 1e6:,.0f} MB left",
            "Free some space, or set HF_HOME and ZOO_CACHE to folders on another disk.",
        )


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)
