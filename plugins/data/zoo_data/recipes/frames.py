"""Tables that pandas has pickled, read without unpickling.

The instructions of the pickle are followed, and what it would call is only noted: so nothing in such a file can run.

Only the instructions and objects that a pandas.DataFrame of numbers and texts needs are known.
"""

import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_core import DataError

Array = NDArray[Any]

_LITERALS = {
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BININT",
    "BININT1", "BININT2", "LONG1", "BINFLOAT",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Any] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}


@dataclass
class Call:
    """What unpickling would call: its name, what with, and the state that it would be given then."""

    name: Any
    arguments: tuple[Any, ...]
    state: Any = None


def read_frame(content: bytes) -> dict[str, Array]:
    """The columns of a pickled DataFrame by name: numbers, or texts as objects.

    Raises:
        DataError: it is not one, or holds something unknown.
    """
    try:
        blocks, axes = _follow(content).state["_mgr"].arguments
        names = _labels(axes[0])
        columns: dict[int, Array] = {}
        for block in blocks:
            values, places, _ = block.arguments
            rows = _array(values)  # [columns, rows]
            columns |= {place: rows[k] for k, place in enumerate(_places(places))}
        return {name: columns[k] for k, name in enumerate(names)}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"this is not a table that can be read: {error}") from error


def _follow(content: bytes) -> Any:
    """What a pickle makes, with a `Call` in place of each object."""
    stack: list[Any] = []
    memo: list[Any] = []
    marks: list[int] = []

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for instruction, argument, _ in pickletools.genops(content):
        match instruction.name:
            case name if name in _LITERALS:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _EMPTY:
                stack.append(_EMPTY[name]())
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                size = int(name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "MEMOIZE":
                memo.append(stack[-1])
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[int(argument or 0)])
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(f"{module}.{attribute}")
            case "REDUCE" | "NEWOBJ":
                arguments, called = stack.pop(), stack.pop()
                stack.append(Call(called, arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].state = state
            case "STOP":
                return stack.pop()
            case name:
                raise ValueError(f"its instruction {name} is not known")
    raise ValueError("it has no end")


def _array(call: Call) -> Array:
    """An array of numpy."""
    if call.name.endswith("._frombuffer"):
        buffer, kind, shape, order = call.arguments
        return np.frombuffer(bytes(buffer), _dtype(kind)).reshape(shape, order=order)
    if call.name.endswith("._reconstruct"):
        _, shape, kind, by_column, content = call.state
        if isinstance(content, list):
            flat = np.empty(len(content), object)
            flat[:] = content
        else:
            flat = np.frombuffer(content, _dtype(kind))
        return flat.reshape(shape, order="F" if by_column else "C")
    raise ValueError(f"a column is made by {call.name}")


def _dtype(call: Call) -> "np.dtype[Any]":
    kind: np.dtype[Any] = np.dtype(call.arguments[0])
    return kind


def _labels(call: Call) -> list[str]:
    """The texts of an index."""
    return list(_array(call.arguments[1]["data"]))


def _places(call: Call) -> list[int]:
    """Which columns a block holds."""
    return list(range(*call.arguments)) if call.name == "builtins.slice" else _array(call).tolist()
