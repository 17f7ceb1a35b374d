"""zoo pull"""

import sys
from typing import Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import references_argument
from zoo_core.cli.printing import bytes_bar, examples, print_json
from zoo_core.cli.table import print_table, table_options


@click.command(epilog=examples("zoo pull 'pixelrnn*'", "zoo pull vae resnet20 --licence-policy permissive"))
@references_argument(required=True)
@click.option(
    "--licence-policy",
    type=click.Choice(["any", "permissive"]),
    default="any",
    show_default=True,
    help="permissive: refuse weights that are under no permissive licence, such as MIT or CC-BY-4.0.",
)
@hub_options
@table_options
def pull(references: tuple[str, ...], licence_policy: str, as_json: bool) -> None:
    """Download and verify releases, to load them later without a network. REFERENCE may be a glob: 'pixelrnn*'."""
    from zoo_core.errors import ZooError
    from zoo_core.weights.pull import matching
    from zoo_core.weights.pull import pull as pull_release

    results: list[dict[str, Any]] = []
    names = matching(references)
    for name in names:
        with bytes_bar(name) as on_bytes:
            try:
                found = pull_release(name, permissive_only=licence_policy == "permissive", on_bytes=on_bytes)
            except ZooError as error:
                if len(names) == 1:
                    raise
                results.append({"reference": name, "ok": False, "source": None, "error": error.message})
                continue
        results.append(
            {"reference": name, "ok": True, "source": found.source, "folder": str(found.folder), "error": None}
        )
    if as_json:
        print_json(results)
    else:
        rows = [[r["reference"], "ok" if r["ok"] else "FAILED", r["source"] or r["error"]] for r in results]
        print_table(["reference", "verdict", "source"], rows)
    if not all(result["ok"] for result in results):
        sys.exit(1)
