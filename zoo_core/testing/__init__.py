"""Checks for any model; each raises an AssertionError with one sentence about what it found."""

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
