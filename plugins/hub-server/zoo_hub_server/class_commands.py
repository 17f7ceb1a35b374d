"""`zoo hub set-assignment`, `leaderboard`, `log`: what a teacher does with a class. All work while the server runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from zoo_core import UnknownName, UsageError
from zoo_core.command_line import examples, print_json, print_table, table_options, talk
from zoo_hub_server.user_commands import folder_argument

if TYPE_CHECKING:
    from zoo_hub_server.catalogue import Entry
    from zoo_hub_server.folder import HubFolder


@click.command(
    "set-assignment",
    epilog=examples(
        'zoo hub set-assignment ./hub class/hw1 --deadline "2026-12-04 18:00"',
        "zoo hub set-assignment ./hub class/hw1 --release",
    ),
)
@folder_argument
@click.argument("name", metavar="TEAM/NAME")
@click.option("--deadline", metavar="TIME", help="When pushes end, in this machine's time zone; 'none' is no deadline.")
@click.option("--release/--hide", "released", default=None, help="Let others see the hand-ins, or not any more.")
def set_assignment(folder: Path, name: str, deadline: str | None, released: bool | None) -> None:
    """Add an assignment, or change its deadline, or release it.

    Contributors of TEAM hand in by pushing to TEAM/NAME-user, each to their own. After the deadline only owners of
    TEAM may push. Until the release a hand-in is seen by its author and by the owners alone.
    """
    from zoo_hub_server.assignments import Assignment, Assignments, parse_time
    from zoo_hub_server.folder import HubFolder

    place = HubFolder(folder)
    assignments = Assignments(place.database)
    team, _, work = name.partition("/")
    assignment = assignments.named(name) or Assignment(team, work)
    if deadline is not None:
        when = None if deadline.lower() == "none" else parse_time(deadline)
        assignment = dataclasses.replace(assignment, deadline=when)
    if released is not None:
        assignment = dataclasses.replace(assignment, released=released)
    assignments.set(assignment)
    seen = "released" if assignment.released else "hidden"
    place.log.kept("set-assignment", str(assignment), f"{assignment.due()}, {seen}")
    over = ", which has passed" if assignment.is_over() else ""
    talk(f"{assignment}: {assignment.due()}{over}; hand-ins are {seen}. Push to {assignment}-USER.")


@click.command("list-hand-ins", epilog=examples("zoo hub list-hand-ins ./hub", "zoo hub list-hand-ins ./hub class/hw1"))
@folder_argument
@click.argument("name", metavar="[TEAM/NAME]", required=False)
@table_options
def list_hand_ins(folder: Path, name: str | None, as_json: bool) -> None:
    """List the assignments; or who handed one in, and when."""
    from zoo_hub_server.assignments import Assignments
    from zoo_hub_server.folder import HubFolder
    from zoo_hub_server.hand_ins import hand_ins

    place = HubFolder(folder)
    known = Assignments(place.database).all()
    if name is None:
        rows = [(one, [x for x in hand_ins(place, one) if x.last_push]) for one in known]
        if as_json:
            print_json(
                [
                    {"assignment": str(one), "deadline": one.deadline, "released": one.released, "handed_in": len(done)}
                    for one, done in rows
                ]
            )
            return
        table = [[str(one), one.due(), "yes" if one.released else "no", str(len(done))] for one, done in rows]
        print_table(["assignment", "deadline", "released", "handed in"], table)
        return
    assignment = next((one for one in known if str(one).lower() == name.lower()), None)
    if assignment is None:
        raise UnknownName(f"no assignment '{name}'", f"There are: {', '.join(map(str, known)) or 'none'}.")
    found = hand_ins(place, assignment)
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
        return
    print_table(
        ["user", "repository", "last push", "title"],
        [[one.user, one.repository, one.last_push or "missing", printable(one.title)] for one in found],
    )


@click.command(
    epilog=examples(
        "zoo hub leaderboard ./hub accuracy --data mnist", "zoo hub leaderboard ./hub nll --assignment class/hw1 --json"
    )
)
@folder_argument
@click.argument("metric")
@click.option("--data", default="", help="Only numbers on this data set.")
@click.option("--namespace", default="", help="Only repositories of this user or team.")
@click.option("--assignment", default="", metavar="TEAM/NAME", help="Only its hand-ins.")
@click.option(
    "--highest-first/--lowest-first",
    "highest_first",
    default=None,
    help="Which is better; by default what the installed plugins say.",
)
@table_options
def leaderboard(
    folder: Path,
    metric: str,
    data: str,
    namespace: str,
    assignment: str,
    highest_first: bool | None,
    as_json: bool,
) -> None:
    """Order the releases on the hub by a number that they tell.

    The numbers are those in each config.json, as pushed: `zoo eval hf:… --check` measures one again. Only numbers on
    the same data, split and count of examples are compared.
    """
    from zoo_hub_server.folder import HubFolder
    from zoo_hub_server.leaderboard import boards, higher_is_better, metrics_of

    found = _chosen(HubFolder(folder), namespace, assignment)
    known = metrics_of(found)
    if metric not in known:
        raise UnknownName(f"no release here tells '{metric}'", f"They tell: {', '.join(known) or 'nothing'}.")
    best = higher_is_better(metric) if highest_first is None else highest_first
    if best is None:
        raise UsageError(
            f"no installed plugin says which '{metric}' is better", "Give --highest-first or --lowest-first."
        )
    tables = boards(found, metric, highest_first=best, data=data)
    if not tables:
        raise UnknownName(f"no release here tells '{metric}' on '{data}'", "Leave --data out.")
    if as_json:
        print_json(
            [
                {
                    "rank": place.rank,
                    "repository": str(place.entry.repo),
                    **dataclasses.asdict(place.number),
                    "commit": place.entry.commit,
                    "changed": place.entry.changed,
                }
                for board in tables
                for place in board.places
            ]
        )
        return
    print_table(
        ["rank", "repository", metric, "unit", "measured on", "changed"],
        [
            [
                str(one.rank),
                str(one.entry.repo),
                one.number.text(),
                printable(board.unit),
                printable(board.measured_on()),
                one.entry.changed,
            ]
            for board in tables
            for one in board.places
        ],
    )


@click.command(epilog=examples("zoo hub log ./hub", "zoo hub log ./hub --user ada --last 20"))
@folder_argument
@click.option("--user", default="", help="Only what this user did.")
@click.option("--about", default="", metavar="NAME", help="Only what concerns this repository, user or team.")
@click.option("--last", metavar="N", type=click.IntRange(min=1), help="Only the last N.")
@table_options
def log(folder: Path, user: str, about: str, last: int | None, as_json: bool) -> None:
    """Tell who changed what and when, and what was refused.

    It is DIR/log.jsonl: a line of JSON for each event, and lines are only ever added.
    """
    from zoo_hub_server.folder import HubFolder

    events = HubFolder(folder).log.read(who=user, what=about, last=last)
    if as_json:
        print_json([msgspec.to_builtins(event) for event in events])
        return
    rows = [
        [event.when, event.who, event.did, event.what, f"refused: {event.refused}" if event.refused else event.more]
        for event in events
    ]
    print_table(["when", "who", "did", "what", "more"], [[printable(cell) for cell in row] for row in rows])


COMMANDS: Sequence[click.Command] = (set_assignment, list_hand_ins, leaderboard, log)


def printable(text: str) -> str:
    """Text of strangers for a terminal: without control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def _chosen(place: "HubFolder", namespace: str, assignment: str) -> "list[Entry]":
    """The models on the hub, of one namespace or assignment where one is named."""
    from zoo_hub_server.assignments import Assignments
    from zoo_hub_server.catalogue import entries

    found = entries(place, "models", lambda repo, repository: namespace.lower() in ("", repo.namespace.lower()))
    if not assignment:
        return found
    wanted = Assignments(place.database).named(assignment)
    if wanted is None:
        raise UnknownName(f"no assignment '{assignment}'", "See zoo hub list-hand-ins DIR.")
    return [one for one in found if wanted.author(one.repo) is not None]
