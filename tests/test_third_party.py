"""A stranger's plugin: built, trained, installed, used, broken and removed, all through the real command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core.hub.integrity import sha256_of
from zoo_core.releases.release import read_release

PLUGIN = Path(__file__).parent / "third-party"
RELEASE = ("model.safetensors", "golden.safetensors", "README.md", "config.json")
CHECKS = """
from zoo_core import create
from zoo_core.testing import check_density

def coin(*, channels, height, width, levels):
    return create("coin", config={"channels": channels, "height": height, "width": width})

check_density(coin, levels=(2,))
"""


class Place:
    """A folder that plugins are installed into, and commands that run with it on Python's path."""

    def __init__(self, site: Path | None, work: Path) -> None:
        self.site, self.work = site, work

    def python(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        hidden = ("PYTHONPATH", "ZOO_DISABLE_PLUGINS")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"ZOO_CACHE": str(self.work / "cache"), "OMP_NUM_THREADS": "1"}
        if self.site is not None:
            environment["PYTHONPATH"] = str(self.site)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.work, env=environment, timeout=120)

    def zoo(self, *arguments: str | Path, code: int = 0) -> str:
        """What `zoo` says, stdout then stderr; it must exit with `code`."""
        done = self.python("-m", "zoo_core.cli.main", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def install(source: Path, site: Path) -> None:
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--upgrade", "--target", str(site), str(source)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def pin(release: Path, manifest: Path) -> None:
    """Write the manifest entry of a release that ships in the package."""
    config = json.loads((release / "config.json").read_text())
    licence = ", ".join(f'{name} = "{spdx}"' for name, spdx in config["licence"].items())
    lines = [f'["{release.name}"]', f'summary = "{config["summary"]}"', 'plugin = "zoo-coin>=0.3"']
    lines += [f"licence = {{{licence}}}", f'sources = ["package:zoo_coin/weights/{release.name}"]']
    lines += [f'recipe = "{read_release(release).recipe_text}"', f'["{release.name}".files]']
    for file in map(release.joinpath, RELEASE):
        lines.append(f'"{file.name}" = {{sha256 = "{sha256_of(file)}", bytes = {file.stat().st_size}}}')
    for entry in config["metrics"]:
        lines.append(f'[["{release.name}".metrics]]')
        lines += [f"{key} = {json.dumps(entry[key])}" for key in ("metric", "value", "unit", "stderr", "tolerance")]
        protocol = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entry["protocol"].items())
        lines.append(f"protocol = {{{protocol}}}")
    manifest.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """zoo-coin with weights: installed without, trained, pinned, and installed again as it would be published."""
    work = tmp_path_factory.mktemp("third-party")
    source = work / "zoo-coin"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__"))
    place = Place(work / "site", work)
    install(source, work / "site")
    said = place.zoo("train", "coin", "--data", "coin-bits", "--epochs", "3", "--licence", "CC0-1.0", "-o", "run")
    assert "is a release" in said

    release = source / "zoo_coin" / "weights" / "coin.coin-bits"
    release.mkdir()
    for name in RELEASE:
        shutil.copy2(work / "run" / name, release / name)
    pin(release, release.parent / "coin.toml")
    shutil.rmtree(work / "site")
    install(source, work / "site")
    return place


def test_it_is_found_and_listed(installed: Place) -> None:
    plugins = {plugin["name"]: plugin for plugin in json.loads(installed.zoo("plugins", "--json"))}
    coin = plugins["coin"]
    assert (coin["distribution"], coin["version"], coin["error"]) == ("zoo-coin", "0.3.0", None)
    assert coin["hooks"] == ["zoo_models", "zoo_datasets", "zoo_weights", "zoo_commands"]
    assert (coin["offers"]["models"], coin["offers"]["datasets"]) == (["coin"], ["coin-bits"])

    (row,) = json.loads(installed.zoo("list", "coin", "--json"))
    assert (row["reference"], row["plugin"], row["install"]) == ("coin.coin-bits", "zoo-coin", None)
    listed = {line.partition("\t")[0].partition(".")[0] for line in installed.zoo("list").splitlines()}
    assert {"coin", "pixelrnn"} <= listed


def test_it_is_loaded_and_verified(installed: Place) -> None:
    said = installed.zoo("load", "coin")
    assert said.startswith("coin.coin-bits: ") and "every file is the one that the manifest pins" in said
    assert "6 parameters" in installed.zoo("load", "coin:bernoulli")
    (verdict,) = json.loads(installed.zoo("verify", "coin", "--json"))
    assert verdict["ok"] and "log_prob as recorded" in verdict["details"]
    known = json.loads(installed.zoo("info", "coin", "--json"))
    assert (known["class"], known["licence"]["weights"]) == ("zoo_coin.model:Coin", "CC0-1.0")


def test_its_number_is_measured_again(installed: Place) -> None:
    (nll,) = json.loads(installed.zoo("eval", "coin", "--check", "--metric", "nll", "--json"))
    assert nll["verdict"] == "same" and nll["measured"]["protocol"]["n"] == 256
    entropy = 3.13  # of the coins of coin-bits, in nats; fair ones have 6 ln 2 = 4.16
    assert nll["measured"]["value"] == pytest.approx(entropy, abs=0.2)


def test_it_is_sampled(installed: Place) -> None:
    installed.zoo("sample", "coin", "-n", "4", "-o", "coins.png")
    assert (installed.work / "coins.png").read_bytes().startswith(b"\x89PNG")


def test_its_command_is_one_of_zoo(installed: Place) -> None:
    assert installed.zoo("coin-hello", "--name", "you") == "Hello, you.\n"
    assert "zoo coin-hello\tSay hello.\tzoo-coin 0.3.0" in installed.zoo("plugins", "--commands")
    assert "Did you mean 'coin-hello'?" in installed.zoo("coin-helo", code=2)


def test_its_model_passes_the_checks_of_a_density(installed: Place) -> None:
    done = installed.python("-c", CHECKS)
    assert done.returncode == 0, done.stderr


def test_without_it_its_names_are_unknown(tmp_path: Path) -> None:
    bare = Place(None, tmp_path)
    assert "no model named 'coin'" in bare.zoo("load", "coin", code=2)
    assert "no command named 'coin-hello'" in bare.zoo("coin-hello", code=2)


@pytest.mark.parametrize(
    "line, reason",
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("def\n", "SyntaxError: "),
    ],
)
def test_a_broken_copy_is_named_and_harms_nothing_else(
    line: str, reason: str, installed: Place, tmp_path: Path
) -> None:
    assert installed.site is not None
    broken = Place(shutil.copytree(installed.site, tmp_path / "site"), tmp_path)
    plugin = tmp_path / "site" / "zoo_coin" / "plugin.py"
    plugin.write_text(line + plugin.read_text())

    said = broken.zoo("plugins")
    (row,) = [row for row in said.splitlines() if row.startswith("coin\t")]
    assert f"BROKEN: {reason}" in row
    listed = broken.zoo("list")
    assert "\npixelrnn" in "\n" + listed and f"Warning: plugin zoo-coin 0.3.0 was skipped: {reason}" in listed
    assert "no model named 'coin'" in broken.zoo("info", "coin", code=2)
    assert "PixelRNN" in broken.zoo("info", "pixelrnn")
