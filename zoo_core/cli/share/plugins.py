"""zoo plugins"""

from typing import Any

import click

from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options

_OFFERS = {
    "zoo_models": "models",
    "zoo_datasets": "datasets",
    "zoo_metrics": "metrics",
    "zoo_weights": "manifests",
    "zoo_studies": "studies",
    "zoo_commands": "commands",
    "zoo_steps": "steps",
    "zoo_capabilities": "capabilities",
}


@click.command(epilog=examples("zoo plugins", "zoo plugins --commands"))
@click.option("--commands", "only_commands", is_flag=True, help="List only the commands that plugins add.")
@table_options
def plugins(only_commands: bool, as_json: bool) -> None:
    """List the plugins with their versions, their hooks and what each adds; for broken plugins, the reason."""
    from importlib.metadata import entry_points

    from zoo_core.discovery.loader import GROUP
    from zoo_core.discovery.registry import default_registry

    registry = default_registry()
    disabled = {entry.name for entry in entry_points(group=GROUP)} - {plugin.name for plugin in registry.plugins}
    if disabled:
        talk(f"Disabled by ZOO_DISABLE_PLUGINS: {', '.join(sorted(disabled))}.")
    if only_commands:
        commands = [(o.spec.name, o.spec.help, o.plugin.label) for o in registry.commands()]
        if as_json:
            print_json([{"command": name, "help": line, "plugin": label} for name, line, label in commands])
        else:
            print_table(["command", "help", "plugin"], [[f"zoo {name}", *rest] for name, *rest in commands])
        return
    found: list[dict[str, Any]] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "hooks": list(plugin.hooks),
            "offers": {
                label: [getattr(item, "name", str(item)) for item in plugin.declared[hook]]
                for hook, label in _OFFERS.items()
                if plugin.declared[hook]
            },
            "error": plugin.error,
            "fix": plugin.fix,
        }
        for plugin in registry.plugins
    ]
    if as_json:
        print_json(found)
        return
    rows = []
    for plugin, entry in zip(registry.plugins, found, strict=True):
        offers = "; ".join(f"{label}: {', '.join(names)}" for label, names in entry["offers"].items())
        state = f"BROKEN: {plugin.error}  Fix: {plugin.fix}" if plugin.error else offers or "nothing"
        rows.append([plugin.name, plugin.label, ", ".join(plugin.hooks) or "-", state])
    print_table(["plugin", "distribution", "hooks", "offers"], rows, drop=["hooks"])
