"""What is in a Debian package: an archive of the kind `ar`, and in that the files, as a compressed archive of `tar`."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo_core import DataError

HEADER = 60  # bytes: name 16, time 12, owner 6, group 6, mode 8, size 10, end 2


def files_of(package: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The files of a package that are wanted, by their path without the leading slash: path and content.

    Links are left out.

    Raises:
        DataError: it is no Debian package, or compressed in a way that Python cannot read.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(package.read_bytes()))) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isfile() and wanted(name) and (file := tar.extractfile(member)) is not None:
                    yield name, file.read()
    except (tarfile.TarError, ValueError) as error:
        raise DataError(f"'{package}' cannot be read as a Debian package: {error}") from error


def _data(content: bytes) -> bytes:
    """The archive of the files in a package."""
    if not content.startswith(b"!<arch>\n"):
        raise ValueError("it does not begin like one")
    place = 8
    while place < len(content):
        name, size = content[place : place + 16].strip(), int(content[place + 48 : place + 58])
        place += HEADER
        if name.startswith(b"data.tar"):
            return content[place : place + size]
        place += size + size % 2
    raise ValueError("it holds no files")
