"""How a run trains, in words: known before its first step."""

import inspect
from typing import TYPE_CHECKING, Any

from zoo_core.interfaces.model import Model
from zoo_core.steps.notation import plain_step, step_text

if TYPE_CHECKING:
    from zoo_core.training.run import Run


def method_of(run: "Run") -> dict[str, Any]:
    """Loss, optimizers, precision and augmentation, as `zoo info` tells them of a run and of its release.

    The loss of a model that has none but objectives is the names of these.
    """
    arguments, loop = run.arguments, run.loop
    optimizers = [
        f"{o.kind}, lr {o.lr:g}, batch {arguments.batch or run.model.streams(0.0)[loop.main].batch}, "
        f"{o.decay.__name__}" + (f", gradient norm at most {o.clip:g}" if o.clip else "")
        for o in (optimizer.declared for optimizer in loop.optimizers.values())
    ]
    has_one = type(run.model).loss is not Model.loss
    objectives = ", ".join(objective.name for objective in run.model.objectives())
    return {
        "loss": (inspect.getdoc(run.model.loss) or "").partition("\n")[0] if has_one else objectives,
        "optimizer": "; ".join(optimizers),
        "precision": loop.precision,
        "augmentation": "; ".join(step_text(plain_step(step)) for step in run.augmentation) or "none",
    }
