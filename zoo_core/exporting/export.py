"""`export`: writes one method of a release to a file that other software can run."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError, ZooError
from zoo_core.exporting.formats import Format, Program, choose_format, quietly
from zoo_core.exporting.program import choose_method, inputs_of, trace
from zoo_core.hub.atomic import replacing
from zoo_core.interfaces.capability_table import CapabilitySpec
from zoo_core.interfaces.record import to_plain
from zoo_core.releases.golden import check_golden, golden_subject, read_golden
from zoo_core.releases.release import MODEL, Golden
from zoo_core.steps.notation import plain_step
from zoo_core.torch_state import torch_state_kept
from zoo_core.weights.loading import load_located
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import Located, locate


class Exported(NamedTuple):
    """What was written.

    Attributes:
        path: the file.
        format: "onnx" or "torch".
        method: what it computes.
        inputs: the names of the tensors that it takes.
        preprocessing: the steps that an example needs before, as in config.json; the program is without them.
        difference: the largest one from the output that the release records, or from the model's own where the
            release records another method.
        usage: Python that runs it.
    """

    path: Path
    format: str
    method: str
    inputs: tuple[str, ...]
    preprocessing: list[dict[str, Any]]
    difference: float
    usage: str


def export(
    reference: str,
    output: str | Path,
    *,
    format: str | None = None,
    method: str | None = None,
    force: bool = False,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    on_stage: Callable[[float, str], None] = lambda done, text: None,
) -> Exported:
    """Write one method of a release, with the weights, as a program that runs without zoo.

    The program takes any number of preprocessed examples. Before the file appears it is run, and must compute what the
    release records. Its metadata, JSON, name the release, the method, the fields and the preprocessing. Unlike the
    model, it does not check the values that it is given.

    Args:
        reference: as for `load`.
        output: the new file, .onnx or .pt2.
        format: "onnx" or "torch"; by default what the suffix of `output` says.
        method: the method of a capability, such as "log_prob"; by default the one whose output the release records.
        force: whether a file that exists is replaced.
        on_stage: called with about the part of the work that is done, and what comes next.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UsageError: an unknown format or method, a method that is not a program of tensors, or a file that cannot be
            created.
        ZooError: packages are missing, what the method does depends on values, or the file computes something else.
        WeightsError: the release cannot be found, or fails its golden test.
    """
    registry = registry or default_registry()
    output = Path(output)
    kind = choose_format(format, output)
    _check_output(output, force)
    located = locate(reference, registry, manifest)
    golden = located.release.golden
    if golden is None:
        raise UsageError(f"'{reference}' records no output that an exported file could be compared with")
    model: Any = load_located(located, reference, registry=registry, manifest=manifest)
    spec = choose_method(model, method or golden.method, registry)
    with torch_state_kept(), torch.no_grad(), quietly():
        check_golden(model, located.folder, golden)
        fields, recorded = read_golden(located.folder, golden)
        inputs = inputs_of(model, spec, golden_subject(model, golden, fields))
        expected = _answer(model, spec, list(inputs.values()))
        if spec.method == golden.method:
            expected = recorded
        on_stage(0.0, f"tracing {spec.method}")
        program = trace(model, spec, inputs)
        on_stage(0.4, f"writing {len(program.graph.graph.nodes):,} operations")
        with replacing(output) as beside:
            run = _write(kind, program, _description(model, spec, located), beside)
            on_stage(0.9, "comparing")
            difference = _compared(run, list(inputs.values()), expected, golden, f"{kind.name} file")
    return Exported(
        output,
        kind.name,
        spec.method,
        program.inputs,
        _preprocessing(model),
        difference,
        _usage(kind, output, program.inputs),
    )


def _check_output(output: Path, force: bool) -> None:
    """UsageError where the file could not be made, before the work."""
    if output.is_dir():
        raise UsageError(f"'{output}' is a folder", "Name a file.")
    if output.exists() and not force:
        raise UsageError(f"'{output}' exists already", "Choose another name, or add --force to replace it.")
    if not output.parent.is_dir():
        raise UsageError(f"the folder '{output.parent}' does not exist", "Make it first, or choose another output.")


def _answer(model: Any, spec: CapabilitySpec, inputs: list[Tensor]) -> Tensor:
    """What the model itself gives.

    Raises:
        UsageError: it is not a tensor with one row for each example.
    """
    found = getattr(model, spec.method)(*inputs)
    if not isinstance(found, Tensor) or found.shape[:1] != inputs[0].shape[:1]:
        raise UsageError(f"{spec.method} cannot be exported: its answer is not a tensor with a row for each example")
    return found


def _write(
    kind: Format, program: Program, description: dict[str, Any], path: Path
) -> Callable[[Sequence[Tensor]], Tensor]:
    """Write the program and open it again; what comes back runs the file."""
    try:
        kind.write(program, json.dumps(description, ensure_ascii=False), path)
        return kind.open(path)
    except (ZooError, OSError):
        raise
    except Exception as error:  # of the exporters, of many kinds
        raise _not_written(error, description["method"], kind) from error


def _not_written(error: Exception, method: str, kind: Format) -> ZooError:
    """The error for a program that an exporter could not write."""
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(error))
    if missing:
        return ZooError(f"{method} cannot be exported: ONNX has no operation {missing[1]}", "Use --format torch.")
    return ZooError(f"{method} cannot be exported as {kind.name}: {str(error).strip().splitlines()[0]}")


def _compared(
    run: Callable[[Sequence[Tensor]], Tensor], inputs: list[Tensor], expected: Tensor, golden: Golden, what: str
) -> float:
    """The largest difference of a file from what is expected: of all examples at once, and of the first alone.

    Raises:
        ZooError: it is larger than the release allows.
    """
    largest = 0.0
    for n in (len(expected), 1):
        try:
            found, wanted = run([tensor[:n] for tensor in inputs]).float(), expected[:n].float()
        except Exception as error:  # of each format, other ones
            raise ZooError(f"the {what} cannot compute a batch of {n}: {str(error).splitlines()[0]}") from error
        if found.shape != wanted.shape:
            raise ZooError(f"the {what} gives the shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
        largest = max(largest, (found - wanted).abs().max().item())
        if not torch.allclose(found, wanted, rtol=golden.rtol, atol=golden.atol):
            raise ZooError(
                f"the {what} computes something else than the model: the largest difference is {largest:.3g}",
                "Nothing was written.",
            )
    return largest


def _preprocessing(model: Any) -> list[dict[str, Any]]:
    return [plain_step(step) for step in model.input]


def _description(model: Any, spec: CapabilitySpec, located: Located) -> dict[str, Any]:
    """What the file says about itself."""
    release = located.release
    return {
        "release": located.name,
        "summary": release.summary,
        "model": release.zoo.model,
        "plugin": f"{release.zoo.plugin} {release.zoo.plugin_version}",
        "model_sha256": release.files[MODEL].sha256,
        "licence": to_plain(release.licence),
        "method": spec.method,
        "answers": spec.summary,
        "preprocessing": _preprocessing(model),
        "fields": {name: to_plain(field) for name, field in model.signature().items()},
    }


def _usage(kind: Format, output: Path, names: tuple[str, ...]) -> str:
    inputs = ", ".join(f"'{name}': {name}" if kind.name == "onnx" else name for name in names)
    return kind.usage.format(file=output, inputs=inputs)
