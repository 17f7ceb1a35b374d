"""zoo code"""

from pathlib import Path

import click

from zoo_core.cli.printing import examples, talk


@click.command(epilog=examples("zoo code nade", "zoo code pixelcnn -o pixelcnn.py"))
@click.argument("model")
@click.option("--all", "everything", is_flag=True, help="Print every other file of its plugin that it uses, too.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
def code(model: str, everything: bool, output: Path | None) -> None:
    """Print the file that defines MODEL: its paper, what it reaches, and the algorithm."""
    from zoo_core.catalogue.code import files_of
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError, ZooError
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.weights.reference import NameReference, parse_reference

    reference = parse_reference(model)
    if not isinstance(reference, NameReference):
        raise UsageError(f"'{model}' is not the name of a model", "Run 'zoo list' to see the names.")
    name = f"{reference.family}:{reference.model}" if reference.family else reference.model
    spec = default_registry().model(name).spec
    module = spec.target.partition(":")[0]
    files = files_of(module)
    if module not in files:
        raise ZooError(f"the file of '{spec.name}' cannot be found: {spec.target}")
    if everything:
        text = "\n\n".join(
            f"# ===== {name} =====\n\n{path.read_text(encoding='utf-8')}" for name, path in files.items()
        )
    else:
        text = files[module].read_text(encoding="utf-8")
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
        talk(f"Wrote {output}.")
