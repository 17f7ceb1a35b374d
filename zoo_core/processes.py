"""The processes that work on one model together: one, or those that torchrun or `accelerate launch` started."""

import atexit
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from zoo_core.errors import UsageError

T = TypeVar("T")


class Processes:
    """This process among the others, and what they tell each other. Every method but `is_main` is called by all.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        device: where this process computes.
    """

    def __init__(self, device: str = "auto") -> None:
        """`device` is "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", …; of many processes, each gets its own.

        Raises:
            UsageError: no such device here.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.rank, self.count, self.device = 0, 1, check_device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from torch.distributed.nn import functional  # noqa: F401  imported later, its defaults would keep the group

            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
                torch.cuda.set_device(self.device)
            if not distributed.is_initialized():
                distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
                atexit.register(_leave)
            self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def part(self, size: int, among: int) -> slice:
        """Which of `size` examples belong to this process, if the first `among` processes share them. The parts differ
        by at most one example. Processes without examples get the first one, so that they have a batch to work on."""
        if self.rank >= among:
            return slice(0, 1)
        base, more = divmod(size, among)
        start = self.rank * base + min(self.rank, more)
        return slice(start, start + base + (self.rank < more))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    def sum_gradients(self, gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """The sum over all processes of each gradient; None where no process has one. `like` gives the shapes."""
        if self.count == 1:
            return list(gradients)
        device = like[0].device
        there = torch.tensor([gradient is not None for gradient in gradients], dtype=torch.int32, device=device)
        pieces = [torch.zeros_like(old) if new is None else new for old, new in zip(like, gradients, strict=True)]
        flat = self.sum(torch.cat([piece.reshape(-1) for piece in pieces]))  # one message instead of many
        summed = torch.split(flat, [old.numel() for old in like])
        return [
            values.view_as(old).to(old.dtype) if found else None
            for old, values, found in zip(like, summed, self.sum(there).tolist(), strict=True)
        ]

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the main process."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)

    def wait(self) -> None:
        """Wait until all processes have come to this point."""
        self.gather(None)


def _leave() -> None:
    """Left to Python's end, gloo's thread aborts the process now and then."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def emulates_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is slower than single precision there: a GPU or an x86 processor without instructions for it."""
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch cannot tell
        return False
    return torch.cpu.get_capabilities().get("avx512_bf16") is False  # other kinds of processor have no such entry


def check_device(device: str) -> torch.device:
    """The torch device of this name.

    Raises:
        UsageError: this machine has no such device.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason: Any = str(error).strip().splitlines()[:1]
        raise UsageError(f"device '{device}' cannot be used here: {''.join(reason)}") from None
    return found
