"""The state that torch keeps for the whole process: threads, random generators, default dtype and device. It belongs to
the caller, so functions of zoo restore it."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from zoo_core.interfaces.model import Model

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def torch_state_kept(device: str = "cpu") -> Iterator[None]:
    """In this context torch makes float32 tensors on the CPU by default; afterwards its state is as before.

    `device` is "auto", "cpu", "cuda", …: the random generators of these devices are restored too, and always that of
    the CPU.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    elsewhere = torch.get_default_device().type != "cpu"  # else nothing stands in the way of every single operation
    accelerator = _accelerator(device)
    random_states = None if accelerator is None else accelerator.get_rng_state_all()
    with torch.random.fork_rng(devices=[]), torch.device("cpu") if elsewhere else nullcontext():
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if accelerator is not None:
                accelerator.set_rng_state_all(random_states)


def keeps_torch_state(function: Callable[P, R]) -> Callable[P, R]:
    """`torch_state_kept` around every call of a function that takes a `device` by name."""
    default = inspect.signature(function).parameters["device"].default

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch_state_kept(str(kwargs.get("device", default))):
            return function(*args, **kwargs)

    return kept


def use_threads_of(model: Model) -> None:
    """Use from now on as many threads as the model is fastest with, if it says how many."""
    if model.cpu_threads and model.device.type == "cpu":
        torch.set_num_threads(model.cpu_threads)


def _accelerator(device: str) -> Any:
    """torch's module for the kind of device, such as `torch.cuda`; None for the CPU, and for what is not here."""
    module = getattr(torch, "cuda" if device == "auto" else device.partition(":")[0], None)
    has_generators = module is not None and hasattr(module, "get_rng_state_all") and module.is_available()
    return module if has_generators else None
