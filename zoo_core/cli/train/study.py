"""zoo study"""

from pathlib import Path

import click

from zoo_core.cli.assignments import read_assignments, show_fields
from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options


@click.command(
    epilog=examples("zoo study masks -o report", "zoo study why-not-an-autoencoder --set likelihood=gaussian -o report")
)
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder of the report. If the command is repeated, it goes on there.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a value of the study: --set seed=1. May be repeated.",
)
@click.option("--help-config", is_flag=True, help="Show the values that --set takes.")
@table_options
def study(
    name: str | None, output: Path | None, assignments: tuple[str, ...], help_config: bool, as_json: bool
) -> None:
    """Make the study NAME: train and measure what it needs, and write a report with pictures into a folder.

    Without NAME, list the studies.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError
    from zoo_core.interfaces.record import to_plain

    registry = default_registry()
    if name is None:
        registrations = registry.studies()
        if as_json:
            print_json(
                [{**to_plain(registration.spec), "plugin": registration.plugin.label} for registration in registrations]
            )
        else:
            rows = [[o.spec.name, o.spec.summary, f"{o.spec.minutes:g} min", o.plugin.label] for o in registrations]
            print_table(["study", "what it shows", "about", "plugin"], rows)
        return
    registration = registry.study(name)
    kind = registry.study_class(registration)
    if help_config:
        show_fields(kind)
        return
    if output is None:
        raise UsageError(f"where should the report of '{registration.spec.name}' go?", "Give a folder: -o report")

    from zoo_core.training.memory import keep_freed_memory
    from zoo_core.training.progress import train_and_watch
    from zoo_core.training.study import REPORT, Report

    values = read_assignments(assignments, kind)
    talk(f"{registration.spec.name}: {registration.spec.summary} (about {registration.spec.minutes:g} min on one core)")
    report = Report(output, registry=registry, run_one=train_and_watch)
    keep_freed_memory()
    report.write(f"{registration.spec.name}: {registration.spec.summary}", kind(**values))
    if as_json:
        print_json(report.tables)
    talk(f"Wrote {output / REPORT}.")
