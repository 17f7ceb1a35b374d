"""What .gitignore says of paths, as git reads it."""

import re
from io import BytesIO

from dulwich.ignore import IgnoreFilter, read_ignore_patterns

from zoo_hub_server.lfs import is_quick


def read_ignored(text: bytes) -> IgnoreFilter:
    """The rules of a .gitignore file; a pattern that git would not understand is left out, and so is one that would
    keep the hub busy."""
    rules = IgnoreFilter([])
    for pattern in read_ignore_patterns(BytesIO(text)):
        try:
            if is_quick(pattern):
                rules.append_pattern(pattern)
        except (re.error, ValueError):
            continue
    return rules


def is_ignored(path: str, rules: IgnoreFilter) -> bool:
    """Whether a file, or a folder that it is in, is ignored; a file of an ignored folder is never taken in again."""
    parts = path.split("/")
    folders = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]
    return any(rules.is_ignored(one) for one in [*folders, path])
