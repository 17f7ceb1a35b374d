"""`Source`: where the batches of a stream come from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Generator

if TYPE_CHECKING:
    from zoo_core.interfaces.any_model import AnyModel


class Source(ABC):
    """What the training loop asks for the next batch of a stream.

    A data set walked in a seeded order is one. A model brings others along by `Model.source`: an environment that
    answers to its actions, its own samples.

    Of many processes each asks its own source for the whole batch and takes its part of it. So what a source gives may
    depend on its arguments, its state and the parameters of the model, which are the same in all of them, and on
    nothing else.
    """

    one_process: ClassVar[bool] = False  # whether other processes would come to other batches: many are refused then

    @abstractmethod
    def next(self, n: int, *, model: "AnyModel", progress: float, generator: Generator) -> Mapping[str, Any]:
        """The next batch: `n` raw examples on the CPU, as a data set gives them, or those that are left in an epoch.

        Called once a step, without gradients.

        Args:
            model: as it is before the step, in training mode, on its device.
            progress: how much of the run is done, in [0, 1).
            generator: for every random draw, seeded anew each step: a resumed run draws what the uninterrupted one
                would have drawn.
        """

    @property
    def epochs_done(self) -> float | None:
        """Epochs so far, with the fraction of the current one; None for a source that has no end."""
        return None

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold of it, by name: tensors, and values that JSON knows."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027  most have no state
        """Take back what `state` gave."""
