"""Who did what: log.jsonl in the hub's folder, a line of JSON for each change, and for each that was refused.

Lines are only ever added. The server writes what came over the network, and the commands what the hub's keeper does.
"""

import getpass
import json
import os
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

TEXT_UP_TO = 300  # characters of a title or a message


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the log.

    Attributes:
        when: ISO 8601 in UTC.
        who: the user; "keeper NAME" is an account of the machine that ran a command.
        did: such as "commit", "create", "add-user".
        what: the repository, or the user or team.
        more: the title of a commit, the new name of a moved repository, …
        refused: why it was not done, where it was not.
        address: the network address that the request came from.
    """

    when: str
    who: str
    did: str
    what: str = ""
    more: str = ""
    refused: str = ""
    address: str = ""


class Log:
    """The file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"

    def add(self, event: Event) -> None:
        """One more line: a single write, so that lines of several processes do not mix.

        Raises:
            OSError: the disk is full, …
        """
        line = json.dumps(msgspec.to_builtins(event)).encode() + b"\n"  # ASCII: no control characters
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def kept(self, did: str, what: str, more: str = "") -> None:
        """What the hub's keeper did by a command."""
        try:
            account = getpass.getuser()
        except (OSError, KeyError):  # no such account
            account = "?"
        self.add(Event(now(), f"keeper {account}", did, what, more[:TEXT_UP_TO]))

    def read(self, *, who: str = "", what: str = "", last: int | None = None) -> list[Event]:
        """The events of a user (`who`), or that concern a user, team or repository (`what`), oldest first."""
        found: deque[Event] = deque(maxlen=last)
        for event in self._events():
            if who.lower() in ("", event.who.lower()) and what.lower() in ("", *_named(event)):
                found.append(event)
        return list(found)

    def _events(self) -> Iterator[Event]:
        """All of them; a line that a full disk cut short is left out."""
        try:
            with open(self.path, "rb") as file:
                for line in file:
                    try:
                        yield msgspec.json.decode(line, type=Event)
                    except (msgspec.MsgspecError, UnicodeDecodeError):
                        continue
        except FileNotFoundError:
            return


def now() -> str:
    """The time as the log writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _named(event: Event) -> tuple[str, ...]:
    """What an event is about, in the ways that one may ask for it."""
    what = event.what.lower()
    return what, what.removeprefix("datasets/"), what.removeprefix("datasets/").partition("/")[0]
