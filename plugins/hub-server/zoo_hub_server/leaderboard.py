"""Leaderboards: releases ordered by a number that they tell, on the same data, split and number of examples."""

from collections.abc import Iterable
from dataclasses import dataclass

from zoo_hub_server.catalogue import Entry, Number


@dataclass(frozen=True)
class Place:
    """A release on a leaderboard.

    Attributes:
        rank: 1 is the best; those with equal numbers share one.
        entry: the release.
        number: its number.
    """

    rank: int
    entry: Entry
    number: Number


@dataclass(frozen=True)
class Board:
    """Releases whose numbers can be compared: one metric, unit, data set, split, and number of examples.

    Attributes:
        metric: what was measured, with `unit`, `data`, `split` and `n` as in `Number`.
        places: the best first.
    """

    metric: str
    unit: str
    data: str
    split: str
    n: str
    places: list[Place]

    def measured_on(self) -> str:
        """`digits test, 300 examples`."""
        return f"{self.data} {self.split}".strip() + (f", {self.n} examples" if self.n else "")


def boards(entries: Iterable[Entry], metric: str, *, highest_first: bool, data: str = "") -> list[Board]:
    """The leaderboards of a metric, the longest first; on one data set where one is named.

    Who was there first stands first among equals, by the date of the last commit.
    """
    groups: dict[tuple[str, str, str, str], list[tuple[Entry, Number]]] = {}
    for entry in entries:
        seen = set()
        for number in entry.numbers:
            key = (number.unit, number.data, number.split, number.n)
            if number.metric == metric and data in ("", number.data) and key not in seen:
                seen.add(key)
                groups.setdefault(key, []).append((entry, number))
    found = []
    for (unit, data_set, split, n), members in groups.items():
        members.sort(key=lambda one: (-one[1].value if highest_first else one[1].value, one[0].changed))
        places: list[Place] = []
        for position, (entry, number) in enumerate(members, 1):
            same = places and places[-1].number.value == number.value
            places.append(Place(places[-1].rank if same else position, entry, number))
        found.append(Board(metric, unit, data_set, split, n, places))
    return sorted(found, key=lambda board: (-len(board.places), board.data, board.split, board.n, board.unit))


def metrics_of(entries: Iterable[Entry]) -> dict[str, int]:
    """The metrics that releases tell, with how many do; the most common first."""
    count: dict[str, int] = {}
    for entry in entries:
        for metric in {number.metric for number in entry.numbers}:
            count[metric] = count.get(metric, 0) + 1
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def higher_is_better(metric: str) -> bool | None:
    """What the installed plugins say of a metric; None if none of them knows it."""
    from zoo_core import ZooError, default_registry

    try:
        return default_registry().metric(metric).spec.higher_is_better
    except ZooError:
        return None
