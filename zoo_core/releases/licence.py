"""Licences: of a release's code, its weights and the data that it was trained on, as SPDX expressions."""

import re
from importlib.metadata import metadata
from typing import Annotated

from msgspec import Meta

from zoo_core.errors import UsageError
from zoo_core.interfaces.record import Record

UNKNOWN = "NOASSERTION"  # what SPDX calls a licence that nobody has stated
_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


class Licence(Record, kw_only=True):
    """Three licences, each an SPDX expression, or UNKNOWN where nobody has stated one.

    Attributes:
        code: of the plugin that defines the model.
        weights: of the weights.
        data: of the data that it was trained on; "NONE" for a model that needs no data.
    """

    code: Annotated[str, Meta(min_length=1)]
    weights: Annotated[str, Meta(min_length=1)]
    data: Annotated[str, Meta(min_length=1)]

    @property
    def missing(self) -> list[str]:
        """The parts without a stated licence: "weights", "code", "data"."""
        return [what for what in ("weights", "code", "data") if getattr(self, what) == UNKNOWN]


def check_licence(text: str) -> None:
    """Raise a UsageError unless the text looks like an SPDX licence expression."""
    if _SPDX.fullmatch(text) is None:
        raise UsageError(f"'{text}' is not an SPDX licence", "For example BSD-3-Clause; MIT OR Apache-2.0.")


def code_licence(distribution: str) -> str:
    """The SPDX licence that a plugin's distribution declares."""
    declared = metadata(distribution)
    return str(declared.get("License-Expression") or UNKNOWN)  # type: ignore[attr-defined]


def ways_to_state(licence: Licence, distribution: str) -> str:
    """What to do about the licences that are missing, a sentence for each; the code is that of `distribution`."""
    ways = {
        "weights": "The weights are yours, so choose one: zoo push … --licence Apache-2.0.",
        "code": f"{distribution} states that of its code in its pyproject.toml; install it again then.",
        "data": "Find out that of the data: zoo push … --data-licence SPDX-ID.",
    }
    return " ".join(ways[what] for what in licence.missing)
