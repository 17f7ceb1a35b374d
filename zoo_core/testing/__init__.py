"""Checks that any model can be run through; each raises AssertionError with one sentence on what it found."""

from zoo_core.testing.density import (
    check_batch_independence,
    check_calibration,
    check_causality,
    check_completeness,
    check_density,
    check_noise,
    check_normalisation,
    check_sampler,
    count_dependencies,
    randomise,
)

__all__ = [
    "check_batch_independence",
    "check_calibration",
    "check_causality",
    "check_completeness",
    "check_density",
    "check_noise",
    "check_normalisation",
    "check_sampler",
    "count_dependencies",
    "randomise",
]
