"""The golden test: does this machine compute what the release's maker computed?

It catches a wrong tensor layout, wrong preprocessing and a library that changed, in a second and without data.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from zoo_core.errors import WeightsError
from zoo_core.interfaces.batches import to_device, unpack_texts
from zoo_core.interfaces.capability_table import CAPABILITIES, GoldenCall
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import evaluation_generator
from zoo_core.releases.release import GOLDEN, Golden

SAMPLES = 4  # examples that a model makes for its golden output
SEED = 0


def golden_of(model: Model) -> Golden | None:
    """How the golden output of a model is made: by the first capability of the table that can give one."""
    fields = tuple(model.signature())
    for spec in CAPABILITIES:
        if spec.golden == "z" and "Prior" not in model.capabilities:
            continue  # nothing says which latents it decodes
        if spec.golden is not None and spec.name in model.capabilities:
            takes_data = spec.golden not in ("n, generator", "z")
            taken = () if not takes_data else (model.subject,) if model.subject in fields else fields
            return Golden(method=spec.method, arguments=taken, atol=1e-4, rtol=1e-4)
    return None


@torch.no_grad()
def run_golden(model: Model, golden: Golden, fields: Mapping[str, Any]) -> Tensor:
    """The output of the golden method for a raw batch, float32 on the CPU."""
    specs = {spec.method: spec for spec in CAPABILITIES if spec.golden is not None}
    if golden.method not in specs:  # config.json is data: it may not call just anything
        raise WeightsError(f"'{golden.method}' is not one of the golden methods: {', '.join(specs)}")
    training = model.training
    model.eval()
    try:
        x = golden_subject(model, golden, fields)
        call = specs[golden.method].golden
        assert call is not None
        output = _CALLS[call](model, getattr(model, golden.method), x)
    finally:
        model.train(training)
    return as_tensor(output)


def golden_subject(model: Model, golden: Golden, fields: Mapping[str, Any]) -> Any:
    """The argument of the golden method, made from a raw batch; None if it takes no data."""
    if not golden.arguments:
        return None
    prepared = model.preprocess(fields, generator=evaluation_generator(model.input))
    return model.subject_of(to_device(prepared, model.device))


def _generator() -> Generator:
    return torch.Generator().manual_seed(SEED)


def _latents(model: Any) -> Tensor:
    """Latents for a model that decodes them: of its prior."""
    prior: Tensor = model.sample_prior(SAMPLES, generator=_generator())
    return prior


def _first_half(x: Tensor) -> Tensor:
    """True for the values of the first half of each example, bool of the shape of x."""
    known = torch.zeros_like(x.flatten(1), dtype=torch.bool)
    known[:, : known.shape[1] // 2] = True
    return known.view_as(x)


# The calls that the table of capabilities names: (model, method, x) -> what the method answers.
_CALLS: dict[GoldenCall, Callable[[Model, Callable[..., Any], Any], Any]] = {
    "x": lambda model, method, x: method(x),
    "x, seed": lambda model, method, x: method(x, samples=SAMPLES, seed=SEED),
    "x, generator": lambda model, method, x: method(x, generator=_generator()),
    "x, known, generator": lambda model, method, x: method(x, _first_half(x), generator=_generator()),
    "n, generator": lambda model, method, x: method(SAMPLES, generator=_generator()),
    "z": lambda model, method, x: method(_latents(model)),
    "images": lambda model, method, x: method(list(x)),
    "x, x": lambda model, method, x: method(x, x.flip(0)),
}


def as_tensor(output: Any) -> Tensor:
    """Any result of a capability as one float32 tensor on the CPU: several tensors one after the other, texts as their
    bytes."""
    if isinstance(output, Tensor):
        return output.float().cpu()
    if isinstance(output, str):
        return torch.tensor(list(output.encode()), dtype=torch.float32)
    if isinstance(output, Mapping):
        output = output.values()
    parts = [as_tensor(part).flatten() for part in output]
    return torch.cat(parts) if parts else torch.zeros(0)


def read_golden(folder: Path, golden: Golden) -> tuple[dict[str, Any], Tensor]:
    """The raw batch that a release records, and its output."""
    from safetensors.torch import load_file

    tensors = load_file(folder / GOLDEN)
    inputs = {name.removeprefix("input."): tensor for name, tensor in tensors.items() if name.startswith("input.")}
    return unpack_texts(inputs), tensors[f"output.{golden.method}"]


def check_golden(model: Model, folder: Path, golden: Golden) -> float:
    """The largest difference from the recorded output.

    Raises:
        WeightsError: it is larger than the release allows.
    """
    from safetensors import SafetensorError

    try:
        fields, recorded = read_golden(folder, golden)
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
