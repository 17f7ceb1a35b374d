"""Ctrl-C and SIGTERM during training: the step in progress is finished, so that a checkpoint can be written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo_core.training.loop import Loop


class Interrupted(KeyboardInterrupt):
    """Training was interrupted, and its checkpoint is written unless the message says otherwise."""


@contextmanager
def interrupt_requests(loop: Loop) -> Iterator[None]:
    """In this context, the first SIGINT or SIGTERM asks the loop to stop, and a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if loop.requests["stop"]:
            raise KeyboardInterrupt
        loop.requests["stop"] = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
