"""The golden test: does this machine compute what the release's maker computed?

It catches a wrong tensor layout, wrong preprocessing and a library that changed, in a second and without data.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo_core.errors import WeightsError
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import evaluation_generator
from zoo_core.releases.release import GOLDEN, Golden

# By capability, the method whose output is recorded: a release has that of the first capability its model has.
GOLDEN_METHODS = {
    "Density": "log_prob",
    "Classifier": "logits",
    "Regressor": "predict",
    "Reconstructor": "reconstruct",
    "Encoder": "encode",
    "OutlierScorer": "outlier_score",
}


@torch.no_grad()
def run_golden(model: Model, golden: Golden, fields: Mapping[str, Tensor]) -> Tensor:
    """The output of the golden method for a raw batch, float32 on the CPU."""
    if golden.method not in GOLDEN_METHODS.values():  # config.json is data: it may not call just anything
        raise WeightsError(f"'{golden.method}' is not one of the golden methods: {', '.join(GOLDEN_METHODS.values())}")
    training, device = model.training, model.device
    model.eval()
    try:
        batch = model.preprocess(fields, generator=evaluation_generator(model.input))
        output: Tensor = getattr(model, golden.method)(*(batch[name].to(device) for name in golden.arguments))
    finally:
        model.train(training)
    return output.float().cpu()


def check_golden(model: Model, folder: Path, golden: Golden) -> float:
    """The largest difference from the recorded output.

    Raises:
        WeightsError: it is larger than the release allows.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(folder / GOLDEN)
        fields = {name.removeprefix("input."): tensor for name, tensor in tensors.items() if name.startswith("input.")}
        recorded = tensors[f"output.{golden.method}"]
        found = run_golden(model, golden, fields)
    except (SafetensorError, OSError, KeyError, AttributeError) as error:
        raise WeightsError(f"'{folder}' has no golden output that this model can compute: {error}") from None
    if found.shape != recorded.shape:
        raise WeightsError(
            f"'{folder}' fails its golden test: the shape is {tuple(found.shape)}, not {tuple(recorded.shape)}"
        )
    difference = (found - recorded).abs().max().item()
    if not torch.allclose(found, recorded, rtol=golden.rtol, atol=golden.atol):
        raise WeightsError(
            f"'{folder}' fails its golden test: {golden.method} differs by {difference:.3g} from the recorded output",
            "The installed plugin computes something else than the one that made the weights.",
        )
    return difference
