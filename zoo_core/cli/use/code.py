"""zoo code"""

from pathlib import Path

import click

from zoo_core.cli.printing import examples, talk


@click.command(epilog=examples("zoo code nade", "zoo code pixelcnn -o pixelcnn.py"))
@click.argument("model")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.")
def code(model: str, output: Path | None) -> None:
    """Print the file that is MODEL."""
    from importlib.util import find_spec

    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError, ZooError
    from zoo_core.hub.atomic import write_atomically
    from zoo_core.weights.reference import NameReference, parse_reference

    reference = parse_reference(model)
    if not isinstance(reference, NameReference):
        raise UsageError(f"'{model}' is not the name of a model", "Run 'zoo list' to see the names.")
    name = f"{reference.family}:{reference.model}" if reference.family else reference.model
    spec = default_registry().model(name).spec
    module = find_spec(spec.target.partition(":")[0])
    if module is None or module.origin is None:
        raise ZooError(f"the file of '{spec.name}' cannot be found: {spec.target}")
    text = Path(module.origin).read_text()
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
        talk(f"Wrote {output}.")
