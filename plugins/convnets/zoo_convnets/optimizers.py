"""How these networks are trained: optimizers by the names that `--set optimizer=` takes, and their learning rate."""

from zoo_core import Optimizer

RISE = 0.25  # the part of the run in which one_cycle goes up


def one_cycle(progress: float) -> float:
    """From 0 up in a straight line, then down to 0 (Smith and Topin, 2017, arXiv:1708.07120)."""
    return progress / RISE if progress < RISE else (1 - progress) / (1 - RISE)


NESTEROV = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
OPTIMIZERS = {
    "sgd": Optimizer(kind="sgd", lr=0.1, options=NESTEROV, decay=one_cycle),
    "adamw": Optimizer(kind="adamw", lr=3e-3, options={"weight_decay": 0.05}, decay=one_cycle),
    "muon": Optimizer(kind="muon", lr=0.03, options={"weight_decay": 0.05}, decay=one_cycle),
}
