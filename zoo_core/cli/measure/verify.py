"""zoo verify"""

import sys

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import references_argument
from zoo_core.cli.printing import examples, print_json
from zoo_core.cli.table import print_table, table_options


@click.command(epilog=examples("zoo verify", "zoo verify pixelrnn nade --json"))
@references_argument("[REFERENCE…]")
@hub_options
@table_options
def verify(references: tuple[str, ...], as_json: bool) -> None:
    """Check the files of REFERENCES against their hashes, and the output of each model against the recorded one.

    Without REFERENCES, check every release that is on this machine."""
    from zoo_core.catalogue.listing import releases_here
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UnknownName, ZooError
    from zoo_core.releases.golden import check_golden
    from zoo_core.weights.loading import load_located
    from zoo_core.weights.sources import locate

    registry = default_registry()
    if not references:
        references = tuple(releases_here(registry))
    results = []
    for reference in references:
        try:
            located = locate(reference, registry, trust_verdict=False)
            model = load_located(located, reference, registry=registry)
            size = sum(entry.bytes for entry in located.release.files.values())
            said = f"{len(located.release.files) + 1} files, {size / 1e6:.2f} MB"
            if located.release.golden is not None:
                difference = check_golden(model, located.folder, located.release.golden)
                said += f"; {located.release.golden.method} as recorded to {difference:.1g}"
            results.append((reference, "ok", said))
        except ZooError as error:
            if isinstance(error, UnknownName) and len(references) == 1:
                raise
            results.append((reference, "FAILED", error.message))
    if as_json:
        print_json([{"reference": r, "ok": verdict == "ok", "details": said} for r, verdict, said in results])
    else:
        print_table(["reference", "verdict", "details"], results)
    if any(verdict != "ok" for _, verdict, _ in results):
        sys.exit(1)
