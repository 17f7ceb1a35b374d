"""Loading a release of 1 GiB, against the leanest way that torch and safetensors offer, written by hand.

    python benchmarks/loading.py

The peer checks nothing: it skips initialisation, memory-maps the file and assigns its tensors. Ours is `zoo_core.load`
with all its checks, the sha256 remembered from an earlier load. Each is measured in fresh processes, in turns, with the
same imports done before: CPU seconds from the class to a model of which one value a page was read, and the private
memory that loading takes. Ratios carry over to other machines; seconds do not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from zoo_core import Model, ModelSpec, Record, Registry, load
from zoo_core.discovery.loader import Plugin
from zoo_core.releases.licence import Licence
from zoo_core.releases.release import MODEL
from zoo_core.releases.writing import write_release

PAGE = 4096  # bytes


class WideConfig(Record, kw_only=True):
    layers: int = 16
    width: int = 4096


class Wide(Model):
    """16 linear layers of 4096 x 4096: 32 tensors, 1 GiB in float32."""

    Config = WideConfig

    def __init__(self, config: WideConfig) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(*(nn.Linear(config.width, config.width) for _ in range(config.layers)))


PLUGIN = Plugin("benchmark", "zoo-benchmark", "0.1")
PLUGIN.declared["zoo_models"] = [ModelSpec(name="wide", target=f"{__name__}:Wide", summary="Linear layers")]
REGISTRY = Registry([PLUGIN])


class NoInitialisation(TorchFunctionMode):
    """Drops what torch.nn.init would do. Knows linear layers only, and so is the least that can be done."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return None
        return func(*args, **(kwargs or {}))


def by_hand(folder: Path) -> nn.Module:
    """Initialisation skipped, memory-mapped, assigned; nothing is checked."""
    with NoInitialisation():
        model = Wide(WideConfig())
    model.load_state_dict(safetensors.torch.load_file(folder / MODEL), strict=True, assign=True)
    return model.eval()


def by_zoo(folder: Path) -> nn.Module:
    return load(str(folder), registry=REGISTRY)


WAYS: dict[str, Callable[[Path], nn.Module]] = {"by hand": by_hand, "zoo_core.load": by_zoo}


def touch(model: nn.Module) -> float:
    """Read one value of every page of every tensor."""
    return sum(
        float(tensor.flatten()[:: PAGE // tensor.element_size()].sum()) for tensor in model.state_dict().values()
    )


def private_mib(*kinds: str) -> float:
    """Memory of this process that no other shares, in MiB (Linux)."""
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) / 1024


def measure(way: str, folder: Path) -> dict[str, float]:
    """One load in this process.

    Pages of the file that were read are clean and evictable, so private memory is looked at before `touch`; what is
    dirty after it is this process's own to the end.
    """
    torch.set_num_threads(1)
    touch(nn.Linear(8, 8))  # what torch sets up on first use
    before = private_mib("Private_Clean", "Private_Dirty")
    before_dirty = private_mib("Private_Dirty")
    start = process_time()
    model = WAYS[way](folder)
    loaded = process_time()
    grown = private_mib("Private_Clean", "Private_Dirty") - before
    resumed = process_time()
    touch(model)
    touched = process_time()
    dirty = private_mib("Private_Dirty") - before_dirty
    return {
        "load": loaded - start,
        "load and touch": loaded - start + touched - resumed,
        "private": grown,
        "dirty": dirty,
    }


def in_fresh_process(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", way, "--folder", str(folder)]
    environment = os.environ | {"ZOO_CACHE": str(folder.parent / "cache")}
    found: dict[str, float] = json.loads(subprocess.run(command, env=environment, check=True, stdout=-1).stdout)
    return found


def write(folder: Path) -> None:
    folder.mkdir()
    licence = Licence(code="Apache-2.0", weights="CC0-1.0", data="CC0-1.0")
    registration = REGISTRY.model("wide")
    write_release(folder, Wide(WideConfig()), registration, summary="Random numbers", licence=licence, example={})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=11, help="of each kind")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        return write(arguments.folder)
    if arguments.measure:
        return print(json.dumps(measure(arguments.measure, arguments.folder)))

    with tempfile.TemporaryDirectory(prefix="zoo-benchmark-") as temporary:
        folder = Path(temporary) / "release"
        subprocess.run([sys.executable, __file__, "--write", "--folder", str(folder)], check=True)
        first = in_fresh_process("zoo_core.load", folder)  # hashes, and remembers the verdict
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(arguments.processes):
            for way in WAYS:
                found[way].append(in_fresh_process(way, folder))
    middle = {way: {key: median(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    hand, zoo = middle["by hand"], middle["zoo_core.load"]
    print("Loading 1 GiB of float32, 32 tensors; CPU ms:")
    for way, numbers in middle.items():
        print(
            f"  {way:14s} load {1000 * numbers['load']:7.1f}   load and touch {1000 * numbers['load and touch']:7.1f}"
        )
    print(f"  first load, with sha256 and the search for NaN: {1000 * first['load and touch']:.0f}")
    print(f"  ratio, load and touch         {zoo['load and touch'] / hand['load and touch']:6.2f}   (target <= 1.2)")
    print(f"  private memory after load     {zoo['private']:6.1f} MiB (by hand {hand['private']:.1f}; target < 50)")
    print(f"  of it dirty, after touch      {zoo['dirty']:6.1f} MiB (by hand {hand['dirty']:.1f})")


if __name__ == "__main__":
    main()
