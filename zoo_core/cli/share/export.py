"""zoo export"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import examples, progress_bar, talk


@click.command(
    "export", epilog=examples("zoo export nade -o nade.onnx", "zoo export resnet20 --method logits -o resnet20.pt2")
)
@reference_argument()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write: .onnx or .pt2."
)
@click.option("--format", help="onnx or torch; by default as the suffix says.")
@click.option(
    "--method", help="The method that the file computes, such as log_prob; by default the one that the release records."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@hub_options
def export_command(reference: str, output: Path, format: str | None, method: str | None, force: bool) -> None:
    """Write one method of REFERENCE as a program for other software: ONNX, or torch.export.

    The program takes any number of preprocessed examples, and does not check their values. Before the file appears, the
    output of the program is compared with the one that the release records. The metadata of the file describe the
    method and the preprocessing: under "zoo" in an ONNX file, "zoo.json" in a torch file.

    A recurrence is written out step after step. For the 784 pixels of MNIST that takes minutes, for ONNX longest.
    """
    from zoo_core.exporting.export import export
    from zoo_core.steps.notation import step_text

    with progress_bar("exporting") as show:
        done = export(reference, output, format=format, method=method, force=force, on_stage=show)
    talk(f"Wrote {output}: {done.method}, as the model computes it to {done.difference:.1g}.")
    if done.preprocessing:
        talk(f"An example goes through this before: {' '.join(map(step_text, done.preprocessing))}")
    talk(f"Run it: {done.usage}")
