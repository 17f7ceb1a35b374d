"""ResNet-50 against timm: from a file of 100 MB to a model that is ready, and the forward pass.

    python -m venv PLACE && PLACE/bin/pip install torch==2.13.0 timm && PLACE/bin/pip install --no-deps torchvision
    PLACE/bin/pip install -e . -e plugins/convnets
    PLACE/bin/python plugins/convnets/benchmarks/resnet50.py [loading] [forward]

Both sides have the same weights, random ones, from the same safetensors file, and one thread. Prints ratios of CPU
seconds; they carry over to processors of the same kind.

Loading: `zoo_core.load` of a release whose verdict is remembered, with all its other checks, against timm's
`create_model` in both of its ways to a local file. Each in fresh processes, in turns, from all imports done (timm, the
plugin that has the model) to a model of which one value a page was read. The ratio is that of the medians, to the
faster of timm's ways.
Forward: the two loaded models in one process, in turns, with the same images, dtype and memory layout, without a graph,
in evaluation mode. They must first give the same logits. The ratio is the median over rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from time import process_time

import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from loading import private_mib, touch
from sides import in_turns, line, peak_megabytes, ratio

from zoo_core import create, default_registry, load
from zoo_core.releases.licence import Licence
from zoo_core.releases.release import MODEL
from zoo_core.releases.writing import write_release

HOW = "Run it with the interpreter of an environment that has both; its first lines say how to make one."
SIZE = 224  # pixels a side
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
DTYPES = ("float32", "bfloat16")

# torchvision's wheels beside a CPU-only torch lack their compiled operators, and timm, which imports torchvision, needs
# these two declared; nothing here calls them.
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

try:
    import timm
except ImportError as error:
    raise SystemExit(f"timm cannot be imported: {error}\n{HOW}") from None


def by_zoo(folder: Path) -> nn.Module:
    return load(str(folder))


def by_checkpoint(folder: Path) -> nn.Module:
    return timm.create_model("resnet50", checkpoint_path=str(folder / MODEL))


def by_overlay(folder: Path) -> nn.Module:
    return timm.create_model("resnet50", pretrained=True, pretrained_cfg_overlay={"file": str(folder / MODEL)})


OURS = "zoo_core.load"
WAYS: dict[str, Callable[[Path], nn.Module]] = {
    OURS: by_zoo,
    "timm, checkpoint_path": by_checkpoint,
    "timm, pretrained_cfg_overlay": by_overlay,
}


def measure(way: str, folder: Path) -> dict[str, float]:
    """One load in this process: CPU seconds with and without touching all pages, and private MiB that stay."""
    registry = default_registry()
    registry.model_class(registry.model("resnet50"))  # imports the plugin, as `import timm` does all its models
    touch(nn.Conv2d(8, 8, 1))  # what torch sets up on first use
    before = private_mib("Private_Dirty")
    start = process_time()
    model = WAYS[way](folder)
    loaded = process_time()
    touch(model)
    touched = process_time()
    return {"load": loaded - start, "touched": touched - start, "dirty": private_mib("Private_Dirty") - before}


def in_fresh_process(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", way, "--folder", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def loading(folder: Path, arguments: argparse.Namespace) -> None:
    first = in_fresh_process(OURS, folder)  # hashes, and remembers the verdict
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.processes):
        for way in WAYS:
            found[way].append(in_fresh_process(way, folder))
    middle = {way: {key: median(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    print(f"Loading {(folder / MODEL).stat().st_size / 1e6:.0f} MB, to ready and touched; CPU ms:")
    for way, numbers in middle.items():
        said = f"without touching {1000 * numbers['load']:.0f}; private memory {numbers['dirty']:.0f} MiB"
        line(way, 1000 * numbers["touched"], 0, said)
    line("the first time, with sha256", 1000 * first["touched"], 0)
    faster = min(numbers["touched"] for way, numbers in middle.items() if way != OURS)
    line("ratio, to the faster of timm's", middle[OURS]["touched"] / faster, 3, "(target <= 0.2)")


def forward(folder: Path, arguments: argparse.Namespace) -> None:
    sides = {"ours": by_zoo(folder), "timm": by_checkpoint(folder).eval()}
    images = torch.rand(arguments.batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    print(f"Forward pass, batch {arguments.batch}, {SIZE} x {SIZE}, one thread; images per CPU second:")
    with torch.no_grad():
        ours, theirs = (model(images) for model in sides.values())
        difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        assert difference < 1e-4, f"the two sides do not compute the same: logits differ by {difference:.2g}"
        line("largest relative difference of a logit", difference, 8)
        for dtype in DTYPES:
            for name, layout in LAYOUTS.items():
                models = {
                    side: model.to(dtype=getattr(torch, dtype)).to(memory_format=layout)
                    for side, model in sides.items()
                }
                x = images.to(getattr(torch, dtype)).to(memory_format=layout)
                ways = {side: partial(model, x) for side, model in models.items()}
                found = in_turns(ways, arguments.rounds, calls=1)
                for side, seconds in found.items():
                    said = f"its tensors {peak_megabytes(ways[side]):.0f} MiB at most"
                    line(f"{side}, {dtype}, {name}", arguments.batch / median(seconds), 2, said)
                each = [a / b for a, b in zip(found["timm"], found["ours"], strict=True)]
                low, _, high = quantiles(each, n=4)
                said = f"(target >= 0.97; half of the rounds from {low:.2f} to {high:.2f})"
                line(f"ratio, {dtype}, {name}", ratio(found["timm"], found["ours"]), 3, said)


def write(folder: Path) -> None:
    """A release with random weights."""
    folder.mkdir()
    example = {"image": torch.rand(1, 3, SIZE, SIZE), "label": torch.tensor([0])}
    licence = Licence(code="Apache-2.0", weights="CC0-1.0", data="CC0-1.0")
    registration = default_registry().model("resnet50")
    write_release(folder, create("resnet50"), registration, summary="Random numbers", licence=licence, example=example)


SECTIONS = {"loading": loading, "forward": forward}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: both)")
    parser.add_argument("--processes", type=int, default=11, help="of each kind, for loading")
    parser.add_argument("--batch", type=int, default=4, help="images of a forward pass")
    parser.add_argument("--rounds", type=int, default=21, help="of forward passes, one of each side")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be at least 2, for ratios with a spread")
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.measure:
        return print(json.dumps(measure(arguments.measure, arguments.folder)))
    with tempfile.TemporaryDirectory(prefix="zoo-benchmark-") as temporary:
        os.environ["ZOO_CACHE"] = str(Path(temporary) / "cache")  # verdicts
        folder = Path(temporary) / "release"
        write(folder)
        for name in arguments.sections or SECTIONS:
            SECTIONS[name](folder, arguments)


if __name__ == "__main__":
    main()
