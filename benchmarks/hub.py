"""Fetching a release of 500 MB from a hub and verifying it, against the bare download by the ordinary client.

    python benchmarks/hub.py

The peer is `huggingface_hub.hf_hub_download` as it comes: it checks the length of a file and no more. Ours is
`zoo pull`'s function, which uses the same client and then hashes every byte. Each is measured in fresh processes, in
turns, with empty caches and from the same hub on this machine; CPU seconds of the process from after its imports.
Ratios carry over to other machines; seconds do not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from time import process_time

from sides import line, ratio

from zoo_core import Model, ModelSpec, Record, Registry
from zoo_core.discovery.loader import Plugin
from zoo_core.releases.licence import Licence
from zoo_core.releases.release import MODEL

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "toy"))
from zoo_toy.peer import Peer  # the hub of the tests

MEGABYTES = 500


def write(folder: Path) -> None:
    """A release of one large tensor."""
    import torch

    from zoo_core.releases.writing import write_release

    class Wide(Model):
        Config = Record

        def __init__(self, config: Record) -> None:
            super().__init__(config)
            self.weight = torch.nn.Parameter(torch.randn(MEGABYTES * 250, 1000))

    plugin = Plugin("benchmark", "zoo-benchmark", "0.1")
    plugin.declared["zoo_models"] = [ModelSpec(name="wide", target="nowhere:Wide", summary="One large tensor")]
    licence = Licence(code="Apache-2.0", weights="CC0-1.0", data="CC0-1.0")
    folder.mkdir()
    registration = Registry([plugin]).model("wide")
    write_release(folder, Wide(Record()), registration, summary="Random numbers", licence=licence, example={})


def by_client() -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/wide", MODEL, token=False)


def by_zoo() -> None:
    from zoo_core.weights.pull import pull

    pull("hf:org/wide")


WAYS: dict[str, Callable[[], None]] = {"hf_hub_download": by_client, "zoo pull": by_zoo}


def measure(way: str) -> float:
    """CPU seconds of one download in this process."""
    import_module("zoo_core.weights.pull")
    import_module("huggingface_hub.file_download")
    import_module("huggingface_hub.hf_api")
    start = process_time()
    WAYS[way]()
    return process_time() - start


def in_fresh_process(way: str, url: str) -> float:
    with tempfile.TemporaryDirectory(prefix="zoo-benchmark-") as home:
        environment = os.environ | {"HF_HOME": home, "ZOO_CACHE": f"{home}/zoo-cache", "HF_ENDPOINT": url}
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "ZOO_MIRROR"):
            environment.pop(name, None)
        command = [sys.executable, __file__, "--measure", way]
        found: float = json.loads(subprocess.run(command, env=environment, check=True, stdout=-1).stdout)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=7, help="of each kind")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        return write(arguments.write)
    if arguments.measure:
        return print(json.dumps(measure(arguments.measure)))

    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="zoo-benchmark-") as temporary, Peer() as hub:
        folder = Path(temporary) / "release"
        subprocess.run([sys.executable, __file__, "--write", str(folder)], check=True)
        hub.add("org/wide", {path.name: path.read_bytes() for path in folder.iterdir()})
        for _ in range(arguments.processes):
            for way, found in seconds.items():
                found.append(in_fresh_process(way, hub.url))
    print(f"A release of {MEGABYTES} MB from a hub on this machine; CPU seconds:")
    for way, found in seconds.items():
        line(way, median(found), 2)
    line("pull and verify, against the download", ratio(seconds["zoo pull"], seconds["hf_hub_download"]), 2, "<= 1.3")


if __name__ == "__main__":
    main()
