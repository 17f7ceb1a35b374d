"""zoo features"""

import json
from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import input_option, input_steps, load_for
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import device_option, examples, talk

BATCH = 32  # images at a time


@click.command(
    epilog=examples(
        "zoo features digit-classifier *.png -o features.safetensors",
        "zoo features resnet9 cat.png --layer layer1 -o f.safetensors",
    )
)
@reference_argument()
@click.argument("images", metavar="IMAGE…", nargs=-1, required=True)
@click.option(
    "--layer", "layers", multiple=True, default=("penultimate",), show_default=True, help="A layer; may be repeated."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The safetensors file to write.",
)
@input_option
@device_option
@hub_options
def features(
    reference: str, images: tuple[str, ...], layers: tuple[str, ...], output: Path, steps: tuple[str, ...], device: str
) -> None:
    """Write the outputs of layers of REFERENCE for IMAGES: a tensor [N, …] for each --layer, in the order of IMAGES.

    A layer is a submodule (`zoo summary REFERENCE` lists them); "penultimate", the input of the head; or a name from
    the paper, such as conv4_2, if the model knows it. The metadata of the file hold the names of the images ("files",
    JSON).
    """
    import torch
    from safetensors.torch import save

    from zoo_core.hub.atomic import check_output, write_atomically
    from zoo_core.inputs import input_batches

    check_output(output, ".safetensors")
    model, _ = load_for("FeatureExtractor", reference, device)
    parts: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    with torch.no_grad():
        for inputs in input_batches(model, images, input_steps(steps), size=BATCH):
            for layer, values in model.extract_features(inputs.x, list(layers)).items():
                parts[layer].append(values.cpu())
    tensors = {layer: torch.cat(values).contiguous() for layer, values in parts.items()}
    metadata = {"files": json.dumps(images)}  # one entry: of several the order is random, and so the bytes
    write_atomically(output, save(tensors, metadata=metadata))
    shapes = ", ".join(f"{layer} {list(tensor.shape)}" for layer, tensor in tensors.items())
    talk(f"Wrote {output}: {shapes}.")
