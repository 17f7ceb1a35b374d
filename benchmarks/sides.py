"""What benchmarks share: several ways to do the same, measured in turns, and the ratio of two of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import process_time


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    calls: int | Mapping[str, int],
    clock: Callable[[], float] = process_time,
) -> dict[str, list[float]]:
    """Seconds of one call, of every round: in each, every way is called `calls` times in a row.

    What disturbs one way so disturbs the next one too. The default clock counts the CPU seconds of this process, all
    threads together; `time.perf_counter` is for ways that use other processes. Before, each way is called once.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            count = calls if isinstance(calls, int) else calls[name]
            start = clock()
            for _ in range(count):
                way()
            seconds[name].append((clock() - start) / count)
    return seconds


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """One side's seconds in the other's: the median over rounds."""
    return median(a / b for a, b in zip(of, to, strict=True))


def line(name: str, value: float, digits: int, said: str = "") -> None:
    """One line of a table: a name, a number, what it is or should be."""
    print(f"  {name:42s} {value:10,.{digits}f}   {said}".rstrip(), flush=True)


def peak_megabytes(call: Callable[[], object]) -> float:
    """The most memory that tensors held at once during a call, beyond what they held before."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    held = most = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / 2**20
