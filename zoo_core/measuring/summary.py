"""`summarise`: the layers of a model with what each makes, holds, costs and sees, measured on a random batch."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zoo_core.errors import UsageError
from zoo_core.interfaces.capability_table import CAPABILITIES
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.random_batch import FREE_SIZE, random_batch, shapes
from zoo_core.interfaces.record import Record

# Receptive fields: rounds of random images, until so many rounds in a row show nothing new.
IMAGES, QUIET_ROUNDS, MAX_ROUNDS = 4, 8, 60
MAX_SIDE = 512  # pixels; no receptive field of a larger image is measured
MAX_FLOPS = 1e12  # nor one that may cost more, some ten seconds of one core


class Layer(Record, kw_only=True):
    """One module of a model; the first layer, with the name "", is the whole model.

    Attributes:
        name: its name in the state dict.
        type: the name of its class.
        calls: how often it was called as a module; 0 also where only its parameters are used.
        output: the shape of the output of its last call, with the batch axis; the first one, if there are several; None
            if it was never called.
        parameters: how many numbers the parameters of this module and of all modules in it hold; a tensor that is held
            twice counts once.
        shared: how many of them an earlier layer holds too (tied weights).
        flops: floating-point operations of all its calls together, for the batch; None if it was never called.
        receptive_field: height and width, in pixels of the input, of what the last call sees; None where there is none.
    """

    name: str
    type: str
    calls: int
    output: tuple[int, ...] | None
    parameters: int
    shared: int
    flops: int | None
    receptive_field: tuple[int, int] | None


class Summary(Record, kw_only=True):
    """The layers of a model, in the order of its state dict, and totals.

    Attributes:
        model: the name of the class.
        measured: the method that was run; None if the model has none that takes a batch.
        batch: how many examples were run.
        input: the shape of each field of the random batch; for texts, how many there were.
        layers: the modules.
        parameters: how many numbers all parameters hold; shared ones count once.
        trainable: how many of them require a gradient.
        buffer_bytes: the size of all buffers, in bytes.
        flops: floating-point operations for the batch; None if nothing was run.
        flops_per_example: the same for one example.
        no_receptive_fields: why no receptive field was measured; None if they were.
    """

    model: str
    measured: str | None
    batch: int
    input: dict[str, tuple[int, ...]]
    layers: list[Layer]
    parameters: int
    trainable: int
    buffer_bytes: int
    flops: int | None
    flops_per_example: float | None
    no_receptive_fields: str | None = None


def summarise(model: Model, *, batch: int = 1) -> Summary:
    """Runs a copy of the model, in float32 on the CPU and in eval mode, on a random batch. The model itself and torch's
    random state are left as they are.

    FLOPs are those of matrix products and convolutions, 2 for a multiply-add, as torch counts them: a weight that a
    mask sets to zero is multiplied too.

    The receptive field of a layer is the part of the image that the central location of its output map [B, C, h, w]
    depends on: the height and width of the box around all pixels where the gradient of that location is not zero. It
    is measured, so it holds for any graph; it ends at the border of the image. A closed ReLU or a maximum hides pixels
    for one image and one set of weights, so the copy is tried with random images, 4 at a time, and random signs of its
    weights and biases, until 8 rounds in a row show nothing new. Parameters that are all zero, as some begin, hide
    pixels always, and are made random first.

    No receptive field is measured where a side of the image is longer than 512 pixels, or where that could take more
    than 1e12 FLOPs. A gradient smaller than the least float32 is not seen.

    Args:
        batch: how many examples are run to count FLOPs.

    Raises:
        UsageError: `batch` is below 1.
    """
    if batch < 1:
        raise UsageError(f"batch must be at least 1, got {batch}")
    method = _method(model)
    signature = model.signature() if method else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        copy = deepcopy(model).cpu().float().eval().requires_grad_(False)
        examples = random_batch(signature, batch)
        counts = _count(copy, method, examples)
        fields, reason = _receptive_fields(copy, method, counts, batch)
    parameters = list(model.parameters())  # each once
    return Summary(
        model=type(model).__name__,
        measured=method,
        batch=batch,
        input=shapes(examples),
        layers=_layers(model, counts, fields),
        parameters=_numbers(parameters),
        trainable=_numbers(parameter for parameter in parameters if parameter.requires_grad),
        buffer_bytes=sum(buffer.numel() * buffer.element_size() for buffer in model.buffers()),
        flops=counts.flops.get(""),
        flops_per_example=counts.flops[""] / batch if method else None,
        no_receptive_fields=reason,
    )


def _method(model: Model) -> str | None:
    fitted = getattr(model, "fitted", None)
    if isinstance(fitted, Tensor) and not fitted:  # it would refuse to say anything
        return None
    for spec in CAPABILITIES:
        if spec.golden in ("x", "x, generator", "images") and spec.name in model.capabilities:
            return spec.method
    if type(model).loss is not Model.loss:
        return "loss"
    return None if type(model).forward is nn.Module.forward else "forward"


def _run(model: Model, method: str, examples: Mapping[str, Any]) -> Any:
    if method == "loss":
        return model.loss(examples)
    x = model.subject_of(examples)
    if any(spec.method == method and spec.golden == "images" for spec in CAPABILITIES):
        x = list(x)  # images of many sizes, in general
    return (model if method == "forward" else getattr(model, method))(x)


# Parameters, calls, shapes, FLOPs.


class _Counts(NamedTuple):
    """What one run showed, by layer."""

    calls: Counter[str]
    outputs: dict[str, tuple[int, ...]]
    flops: dict[str, int]


def _count(model: Model, method: str | None, examples: Mapping[str, Any]) -> _Counts:
    """Runs the method once, and counts in hooks around every module.

    The names that FlopCounterMode gives to modules are unique only below a module that was called, and a capability
    method is no call of its model; so only its total is used, and a layer has what the total grew by.
    """
    counts = _Counts(Counter(), {}, {})
    if method is None:
        return counts
    depth: Counter[str] = Counter()  # calls that are running in each layer
    start: dict[str, int] = {}
    counter: FlopCounterMode

    def enter(name: str, *_: object) -> None:
        counts.calls[name] += 1
        for layer in _path(name):  # containers that are only iterated over, such as a ModuleList, count too
            if depth[layer] == 0:
                start[layer] = counter.get_total_flops()
            depth[layer] += 1

    def leave(name: str, module: nn.Module, inputs: object, output: object) -> None:
        if (tensor := _first_tensor(output)) is not None:
            counts.outputs[name] = tuple(tensor.shape)
        for layer in _path(name):
            depth[layer] -= 1
            if depth[layer] == 0:
                counts.flops[layer] = counts.flops.get(layer, 0) + counter.get_total_flops() - start[layer]

    with _hooks(model, enter, leave), torch.no_grad(), flop_counter() as counter:
        output = _first_tensor(_run(model, method, examples))
    counts.calls[""] = 1  # the method, whether or not it calls the model
    counts.flops[""] = counter.get_total_flops()
    if output is not None:
        counts.outputs[""] = tuple(output.shape)
    return counts


def _path(name: str) -> Iterator[str]:
    """ "a.b.c" -> "a", "a.b", "a.b.c"."""
    return accumulate(name.split("."), "{}.{}".format)


def _first_tensor(output: object) -> Tensor | None:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


@contextmanager
def _hooks(model: Model, enter: Callable[..., None] | None, leave: Callable[..., None]) -> Iterator[None]:
    """Calls `enter(name, module, inputs)` and `leave(name, module, inputs, output)` around every call of a layer."""
    handles = []
    for name, module in list(model.named_modules())[1:]:
        if enter is not None:
            handles.append(module.register_forward_pre_hook(partial(enter, name)))
        handles.append(module.register_forward_hook(partial(leave, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def flop_counter() -> Iterator[FlopCounterMode]:
    """Counts what runs meanwhile: matrix products and convolutions, 2 for a multiply-add.

    The fused kernels of attention and LSTMs, which torch's counter takes for no work at all, are turned off.
    """
    fast_attention, mkldnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        torch.backends.mkldnn.enabled = mkldnn


def _layers(model: Model, counts: _Counts, fields: Mapping[str, tuple[int, int]]) -> list[Layer]:
    holder: dict[nn.Parameter, str] = {}  # the first layer that holds a parameter itself
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holder.setdefault(parameter, name)
    layers = []
    for name, module in model.named_modules():
        parameters = list(module.parameters())
        layers.append(
            Layer(
                name=name,
                type=type(module).__name__,
                calls=counts.calls[name],
                output=counts.outputs.get(name),
                parameters=_numbers(parameters),
                shared=_numbers(parameter for parameter in parameters if not _within(holder[parameter], name)),
                flops=counts.flops.get(name),
                receptive_field=fields.get(name),
            )
        )
    return layers


def _within(part: str, whole: str) -> bool:
    """Whether a layer is another one, or in it."""
    return not whole or f"{part}.".startswith(f"{whole}.")


def _numbers(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


# Receptive fields.


def _receptive_fields(
    model: Model, method: str | None, counts: _Counts, batch: int
) -> tuple[dict[str, tuple[int, int]], str | None]:
    """The receptive field of each layer that has one; or none, and why. Changes the parameters."""
    maps = {name: shape[1:] for name, shape in counts.outputs.items() if len(shape) == 4 and shape[0] == batch}
    if not maps or method is None:
        return {}, None
    image = model.signature()[model.subject]
    if image.kind != "image" or len(image.shape) != 3:
        return {}, None
    height, width = (size or FREE_SIZE for size in image.shape[1:])
    if max(height, width) > MAX_SIDE:
        return {}, f"the image is {height} x {width} pixels, more than {MAX_SIDE} a side"
    # A round is a forward, and for each map a backward from there; one round finds, and the others confirm.
    cost = (1 + QUIET_ROUNDS) * (1 + len(maps) / 2) * max(1.0, counts.flops[""] / batch)
    images = min(IMAGES, int(MAX_FLOPS / cost))
    if images == 0:
        return {}, f"it could take {cost:.1e} FLOPs, more than {MAX_FLOPS:.0e}"
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)
    seen = {name: torch.zeros(height, width, dtype=torch.bool) for name in maps}  # pixels that were found to matter
    quiet = 0
    try:
        for _ in range(MAX_ROUNDS):
            before = {name: _box(pixels) for name, pixels in seen.items()}
            growing = {name: maps[name] for name, box in before.items() if box != (height, width)}
            for name, pixels in _pixels_that_matter(model, method, growing, images).items():
                seen[name] |= pixels
            quiet = quiet + 1 if all(_box(pixels) == before[name] for name, pixels in seen.items()) else 0
            if quiet == QUIET_ROUNDS or not growing:
                break
            _flip_signs(model)
    except RuntimeError as error:  # an operation without a gradient; all else in the summary stands
        return {}, str(error).splitlines()[0]
    return {name: _box(pixels) for name, pixels in seen.items() if pixels.any()}, None


def _flip_signs(model: Model) -> None:
    """Gives weights and biases random signs; not other vectors, some of which must be positive, such as scales."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith("bias"):
            parameter.mul_(torch.randint_like(parameter, 2) * 2 - 1)


def _pixels_that_matter(
    model: Model, method: str, maps: Mapping[str, tuple[int, ...]], images: int
) -> dict[str, Tensor]:
    """For each map, where in the image the gradient of its central location is not zero, [H, W] bool."""
    centres: dict[str, Tensor] = {}

    def keep_centre(name: str, module: nn.Module, inputs: object, output: object) -> None:
        tensor = _first_tensor(output)
        if name in maps and tensor is not None and tuple(tensor.shape) == (images, *maps[name]):
            height, width = tensor.shape[2:]
            centres[name] = tensor[:, :, height // 2, width // 2].clone()  # before anything changes it in place

    examples = random_batch(model.signature(), images)
    image = examples[model.subject].requires_grad_()
    examples[model.subject] = image.clone()  # which the model may change in place
    with _hooks(model, None, keep_centre), torch.enable_grad():
        output = _run(model, method, examples)
        keep_centre("", model, None, output)
    found = {}
    for name, centre in centres.items():
        if centre.requires_grad:
            # Random weights, so that the channels do not cancel.
            weights = torch.randn_like(centre)
            (gradient,) = torch.autograd.grad(centre, image, weights, retain_graph=True, allow_unused=True)
            if gradient is not None:
                found[name] = (gradient.abs() > 0).any(0).any(0)
    return found


def _box(pixels: Tensor) -> tuple[int, int]:
    """Height and width of the box around all True pixels: [H, W] -> pixels."""

    def extent(line: Tensor) -> int:
        places = line.nonzero()
        return int(places.max() - places.min()) + 1 if len(places) else 0

    return extent(pixels.any(1)), extent(pixels.any(0))
