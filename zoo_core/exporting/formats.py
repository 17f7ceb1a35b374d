"""The files that a program of tensors is written to, and how each is run again."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from zoo_core.discovery.registry import unknown
from zoo_core.errors import UsageError, ZooError

Run = Callable[[Sequence[Tensor]], Tensor]

METADATA = "zoo.json"  # of a torch file, the extra file; of an ONNX file, the property is called "zoo"
ONNX_LIMIT = 2_000_000_000  # bytes of one file
_TALKERS = ("torch.onnx", "onnxscript", "onnx_ir")  # loggers of the exporter


class Program(NamedTuple):
    """A method as operations on tensors.

    Attributes:
        graph: what torch.export made of it; its weights are in it.
        inputs: the name of each tensor that it takes.
        output: the name of the tensor that it gives.
        axes: of each input, the axes that may have any size, by number, with a name for the size.
    """

    graph: ExportedProgram
    inputs: tuple[str, ...]
    output: str
    axes: tuple[dict[int, str], ...]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        name: as users write it.
        suffix: of such files.
        needs: the packages that it needs; pip knows them as the extra `export`.
        write: a program and its description, JSON, into a file.
        open: the file as a function of its inputs.
        usage: Python that runs the file; `export` fills in {file} and {inputs}.
    """

    name: str
    suffix: str
    needs: tuple[str, ...]
    write: Callable[[Program, str, Path], None]
    open: Callable[[Path], Run]
    usage: str


def choose_format(name: str | None, output: Path) -> Format:
    """The format of this name; without a name, the one that the suffix of the file means.

    Raises:
        UnknownName: there is no such format.
        UsageError: the suffix means no format.
        ZooError: the packages that it needs are not installed.
    """
    if name is None:
        found = next((format for format in FORMATS.values() if format.suffix == output.suffix), None)
        if found is None:
            suffixes = " or ".join(format.suffix for format in FORMATS.values())
            raise UsageError(f"'{output}' does not say its format", f"Let it end in {suffixes}, or give --format.")
    elif name in FORMATS:
        found = FORMATS[name]
    else:
        raise unknown("format", name, FORMATS)
    missing = [package for package in found.needs if find_spec(package) is None]
    if missing:
        raise ZooError(
            f"the format {found.name} needs {', '.join(missing)}: not installed",
            f"Install them: pip install {' '.join(found.needs)}",
        )
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Hide the warnings and logs of exporters, which are about their own internals."""
    levels = {name: logging.getLogger(name).level for name in _TALKERS}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _write_torch(program: Program, metadata: str, path: Path) -> None:
    with open(path, "wb") as file:
        torch.export.save(program.graph, file, extra_files={METADATA: metadata})


def _open_torch(path: Path) -> Run:
    with open(path, "rb") as file:
        module = torch.export.load(file).module()
    return lambda inputs: module(*inputs)


def _write_onnx(program: Program, metadata: str, path: Path) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.graph.state_dict.values())
    if size > ONNX_LIMIT:
        raise ZooError(f"an ONNX file holds 2 GB, and these weights have {size / 1e9:.1f}", "Use --format torch.")
    converted = torch.onnx.export(
        program.graph,
        dynamo=True,
        verbose=False,
        input_names=program.inputs,
        output_names=(program.output,),
        dynamic_shapes=(program.axes,),
        custom_translation_table={torch.ops.aten.log_sigmoid.default: _log_sigmoid},
    )
    assert converted is not None
    converted.model.metadata_props["zoo"] = metadata
    converted.save(path, external_data=False)


def _log_sigmoid(x: Any) -> Any:
    """torch has it as the logarithm of a sigmoid, which is -infinity from about -100 on, and inexact before that."""
    from onnxscript import opset18 as op

    return op.Neg(op.Softplus(op.Neg(x)))


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [taken.name for taken in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> Tensor:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return run


FORMATS = {
    format.name: format
    for format in (
        Format(
            name="onnx",
            suffix=".onnx",
            needs=("onnx", "onnxscript", "onnxruntime"),
            write=_write_onnx,
            open=_open_onnx,
            usage="onnxruntime.InferenceSession('{file}').run(None, {{{inputs}}})",
        ),
        Format(
            name="torch",
            suffix=".pt2",
            needs=(),
            write=_write_torch,
            open=_open_torch,
            usage="torch.export.load('{file}').module()({inputs})",
        ),
    )
}
