"""Artifacts: what belongs to a model's weights and is no tensor, such as a vocabulary. JSON, one file for each.

They are written from `Model.artifacts`, and given back to `Model.load_artifacts` before the tensors are filled in.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_core.errors import WeightsError, ZooError
from zoo_core.hub.atomic import write_atomically
from zoo_core.hub.integrity import FileEntry
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import to_plain
from zoo_core.releases.tensors import no_duplicates

MAX_ARTIFACT_BYTES = 16_000_000
_FILE = re.compile(r"artifact\.([a-z0-9][a-z0-9_-]*)\.json")


def artifacts_of(model: Model) -> dict[str, Any]:
    """The model's artifacts as they are after writing and reading JSON.

    Raises:
        WeightsError: an artifact has a name that no file can have, or is not JSON.
    """
    return {name: json.loads(_encoded(name, value)) for name, value in model.artifacts().items()}


def write_artifacts(model: Model, folder: Path) -> list[str]:
    """Write a file for each artifact, and return the names of the files."""
    files = {f"artifact.{name}.json": _encoded(name, value) for name, value in model.artifacts().items()}
    for file, content in files.items():
        write_atomically(folder / file, content)
    return list(files)


def read_artifacts(folder: Path, files: Mapping[str, FileEntry]) -> dict[str, Any]:
    """The artifacts among the files that a release lists, by name; each is compared with its hash.

    Raises:
        WeightsError: an artifact is missing, changed, too large, or not JSON.
    """
    found = {}
    for file, entry in files.items():
        if (match := _FILE.fullmatch(file)) is None:
            continue
        path = folder / file
        if entry.bytes > MAX_ARTIFACT_BYTES:
            raise WeightsError(
                f"'{path}' has {entry.bytes:,} bytes, and an artifact has {MAX_ARTIFACT_BYTES:,} at most"
            )
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"'{path}' cannot be read: {error.strerror or error}") from None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise WeightsError(f"'{path}' is not the file that the release lists", "Download the release again.")
        try:
            found[match[1]] = json.loads(content, object_pairs_hook=no_duplicates)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"'{path}' is not JSON: {error}") from None
    return found


def load_artifacts(model: Model, artifacts: Mapping[str, Any], where: str, hint: str | None = None) -> None:
    """Give a model its artifacts back. It must then have just these.

    Args:
        where: what they were read from, for messages.
        hint: what to say where they do not fit.

    Raises:
        WeightsError: the model takes other artifacts.
    """
    kind = type(model).__name__
    try:
        model.load_artifacts(artifacts)
        now = artifacts_of(model)
    except ZooError as error:
        raise WeightsError(f"'{where}': {error.message}", error.hint or hint) from None
    except Exception as error:  # what a model's own code makes of JSON that it did not expect
        reason = f"there is no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise WeightsError(f"'{where}': the artifacts do not fit {kind}: {reason}", hint) from error
    missing, extra = sorted(now.keys() - artifacts.keys()), sorted(artifacts.keys() - now.keys())
    problems = [f"missing '{name}'" for name in missing] + [f"unexpected '{name}'" for name in extra]
    problems = problems or [f"'{name}' comes back changed" for name in now if now[name] != artifacts[name]]
    if problems:
        raise WeightsError(f"'{where}': the artifacts do not fit {kind}: {', '.join(problems)}", hint)


def _encoded(name: str, value: Any) -> bytes:
    if _FILE.fullmatch(f"artifact.{name}.json") is None:
        raise WeightsError(f"an artifact cannot be called '{name}': a name has a-z 0-9 - _ and begins with none of - _")
    try:
        text = json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False, indent=1)
        content = text.encode()
        if json.loads(text) != to_plain(value):
            raise ValueError("its keys are not texts")
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"the artifact '{name}' is not JSON: {error}") from None
    if len(content) > MAX_ARTIFACT_BYTES:
        raise WeightsError(
            f"the artifact '{name}' has {len(content):,} bytes, more than {MAX_ARTIFACT_BYTES:,}",
            "What is large belongs into a buffer.",
        )
    return content
