"""Start-up: `zoo --help` and `zoo list` against a bare Python.

    python benchmarks/startup.py

Prints ratios of CPU seconds: the median over fresh processes, taken in turns. Ratios carry over to other machines;
seconds do not.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

# What was imported once is compiled, as on a user's machine.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

# name -> (arguments of Python, target ratio)
COMMANDS = {
    "python -c pass": (["-c", "pass"], 1),
    "zoo --help": (["-c", "from zoo_core.cli.main import main; main(['--help'])"], 6),
    "zoo list": (["-c", "from zoo_core.cli.main import main; main(['list'])"], 12),
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one fresh Python process."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python {' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=11, help="of each kind")
    count = parser.parse_args().processes
    for arguments, _ in COMMANDS.values():  # warm-up
        cpu_seconds(arguments)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(count):
        for name, (arguments, _) in COMMANDS.items():
            seconds[name].append(cpu_seconds(arguments))
    bare = median(seconds["python -c pass"])
    for name, (_, target) in COMMANDS.items():
        cpu = median(seconds[name])
        said = f"{cpu / bare:5.1f}x   (target <= {target}x)" if target > 1 else ""
        print(f"{name:15s} {1000 * cpu:6.1f} ms CPU {said}".rstrip())


if __name__ == "__main__":
    main()
