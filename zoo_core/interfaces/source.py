"""`Source`: where the batches of a stream come from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Generator

if TYPE_CHECKING:
    from zoo_core.interfaces.any_model import AnyModel


class Source(ABC):
    """Where the training loop gets the batches of a stream.

        class Play(Source):
            def next(self, n, *, model, progress, generator):
                seeds = torch.randint(2**31, (n,), generator=generator)
                return {"observation": torch.stack([play(model, int(seed)) for seed in seeds])}

    By default a stream reads a data set in a seeded random order. A model that learns from something else, such as an
    environment or its own samples, returns a source from `Model.source`. The loop asks for it once a run, and then
    calls `next` once in each step.

    With several processes, each has its own source, asks it for the whole batch, and uses its part of it. So a batch
    may depend on the arguments of `next`, on the state of the source and on the parameters of the model, which are
    the same in all processes, and on nothing else.

    Attributes:
        one_process: True for a source that would give different batches in different processes. Training with more
            than one process is then refused.
    """

    one_process: ClassVar[bool] = False

    @abstractmethod
    def next(self, n: int, *, model: "AnyModel", progress: float, generator: Generator) -> Mapping[str, Any]:
        """The next batch. It is called once in each step, without gradients.

        Args:
            n: how many examples to return. Only at the end of an epoch may there be fewer.
            model: the model as it is before this step, in training mode, on its device.
            progress: the part of the run that is done, in [0, 1).
            generator: the source of all random numbers. It is seeded anew in each step, so that a resumed run gets the
                same numbers as one that was never interrupted.

        Returns:
            Raw examples on the CPU, by field name, as `Dataset.batch` returns them: [n, …] each. Augmentation and
            preprocessing come afterwards.
        """

    @property
    def epochs_done(self) -> float | None:
        """How many epochs are done, with the fraction of the current one; None, the default, for a source without an
        end. Such a run is given its length in steps."""
        return None

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint must hold of this source, by name: tensors, and values that JSON knows. By
        default it is empty."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027  most have no state
        """Restore what `state` returned; called when a run is resumed."""
