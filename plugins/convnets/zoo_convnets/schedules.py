"""How the learning rate moves over a run: progress in [0, 1] to a factor of the highest rate."""

RISE = 0.25  # the part of the run in which one_cycle goes up


def one_cycle(progress: float) -> float:
    """From 0 up in a straight line, then down to 0 (Smith and Topin, 2017, arXiv:1708.07120)."""
    return progress / RISE if progress < RISE else (1 - progress) / (1 - RISE)
