"""The check that a release must pass before it is published; it runs in a new process.

    python -m zoo_core.publishing.gate REFERENCE [--unmeasured]

It prints JSON: {"measured": true}. A failure is one line on stderr, and exit code 1.
"""

import argparse
import json
import subprocess
import sys

from zoo_core.errors import WeightsError, ZooError


def pass_gate(reference: str, *, measure: bool) -> None:
    """Load, verify and measure the release in a new process.

    Raises:
        WeightsError: what is wrong with it.
    """
    command = [sys.executable, "-m", "zoo_core.publishing.gate", reference]
    done = subprocess.run(command + ([] if measure else ["--unmeasured"]), capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the check of the release ended without a word"]
        raise WeightsError(f"not published: {lines[-1]}")


def _check(reference: str, measure: bool) -> None:
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import DataError
    from zoo_core.measuring.evaluation import evaluate, recorded_metrics
    from zoo_core.releases.golden import check_golden
    from zoo_core.weights.loading import load_located
    from zoo_core.weights.sources import locate

    registry = default_registry()
    located = locate(reference, registry, trust_verdict=False)
    model = load_located(located, reference, registry=registry)
    if located.release.golden is not None:
        check_golden(model, located.folder, located.release.golden)
    if not measure or not recorded_metrics(located):
        return
    try:
        found = evaluate(reference, registry=registry)
    except DataError as error:
        raise WeightsError(
            f"its numbers cannot be measured again: {error.message}; --unmeasured publishes without"
        ) from None
    recorded = {entry.metric for entry in recorded_metrics(located)}
    for metric, why in found.failed.items():
        if metric in recorded:
            raise WeightsError(f"a number that it records cannot be measured: {why}")
    wrong = [check.measured.metric for check in found.checks if check.verdict == "different"]
    if wrong:
        raise WeightsError(f"it does not give the numbers that it records: {', '.join(wrong)}")
    if not any(check.verdict == "same" for check in found.checks):
        raise WeightsError("none of its numbers could be measured in the recorded way; --unmeasured publishes without")


def main() -> None:
    parser = argparse.ArgumentParser(description="Check a release before it is published.")
    parser.add_argument("reference")
    parser.add_argument("--unmeasured", action="store_true")
    arguments = parser.parse_args()
    try:
        _check(arguments.reference, not arguments.unmeasured)
    except ZooError as error:
        print(error.message, file=sys.stderr)
        sys.exit(1)
    print(json.dumps({"measured": not arguments.unmeasured}))


if __name__ == "__main__":
    main()
