"""Files that have an address of their own, outside any hub."""

import urllib.request

from zoo_core import DataError

TIMEOUT = 5  # seconds, of each wait for the network


def fetch(url: str, most_bytes: int) -> bytes:
    """The whole file at `url`, in memory: only what is decoded from it is kept, in the cache.

    Raises:
        DataError: it has more than `most_bytes`.
        OSError, ValueError: no network, no such file, a broken answer.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        content: bytes = answer.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise DataError(f"{url} is larger than {most_bytes:,} bytes, so it is not the file expected")
    return content
