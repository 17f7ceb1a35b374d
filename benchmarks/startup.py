"""Start-up: `zoo --help`, `zoo list` and `zoo info`, also with 1,000 more models in a manifest, against a bare Python.

    python benchmarks/startup.py

Prints ratios of CPU seconds: the median over fresh processes, taken in turns. Ratios carry over to other machines;
seconds do not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# What was imported once is compiled, as on a user's machine.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

MANY = 1000

RELEASE = """
["model-{k}.digits"]
default = true
summary = "One of many"
plugin = "zoo-many>=1"
licence = {{code = "MIT", weights = "MIT", data = "MIT"}}
sources = ["hf:org/model-{k}"]
files = {{"model.safetensors" = {{sha256 = "{digest}", bytes = 1}}, "config.json" = {{sha256 = "{digest}", bytes = 1}}}}

[["model-{k}.digits".metrics]]
metric = "nll"
value = 79.03
unit = "nats/example"
tolerance = 0.01
protocol = {{dataset = "digits", split = "test", n = 300, data_sha256 = "{digest}", estimator = "exact", input = []}}
"""

PLUGIN = """
from pathlib import Path
from zoo_core import hookimpl

zoo_api = 1


@hookimpl
def zoo_weights():
    return [Path(__file__).with_name("many.toml")]
"""


def zoo(*arguments: str) -> list[str]:
    """What Python is called with to run a command."""
    return ["-c", f"from zoo_core.cli.main import main; main({list(arguments)})"]


# name -> (arguments of Python, whether the many models are there, target ratio)
COMMANDS = {
    "python -c pass": (["-c", "pass"], False, 1),
    "zoo --help": (zoo("--help"), False, 6),
    "zoo list": (zoo("list"), False, 12),
    "zoo info pixelrnn": (zoo("info", "pixelrnn"), False, 12),
    f"zoo list, {MANY:,} more": (zoo("list"), True, 15),
}


def install_many(folder: Path) -> None:
    """A plugin with a manifest of many releases, as a package that is installed in a folder."""
    (folder / "zoo_many.py").write_text(PLUGIN)
    releases = "".join(RELEASE.format(k=k, digest="0" * 64) for k in range(MANY))
    (folder / "many.toml").write_text(releases)
    an_hour_ago = time.time() - 3600
    os.utime(folder / "many.toml", (an_hour_ago, an_hour_ago))
    info = folder / "zoo_many-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-many\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.plugins]\nmany = zoo_many\n")


def cpu_seconds(arguments: list[str], path: list[str]) -> float:
    """User and system time of one fresh Python process, with folders on its path."""
    paths = os.pathsep.join([*path, *filter(None, [ENVIRONMENT.get("PYTHONPATH")])])
    environment = {**ENVIRONMENT, "PYTHONPATH": paths}
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python {' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=11, help="of each kind")
    count = parser.parse_args().processes
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        install_many(Path(folder))
        for turn in range(1 + count):
            for name, (arguments, many, _) in COMMANDS.items():
                took = cpu_seconds(arguments, [folder] if many else [])
                if turn > 0:  # the first one fills caches
                    seconds[name].append(took)
    bare = median(seconds["python -c pass"])
    for name, (_, _, target) in COMMANDS.items():
        cpu = median(seconds[name])
        said = f"{cpu / bare:5.1f}x   (target <= {target}x)" if target > 1 else ""
        print(f"{name:20s} {1000 * cpu:6.1f} ms CPU {said}".rstrip())


if __name__ == "__main__":
    main()
