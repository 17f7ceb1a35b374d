"""What may import what: floors, plugins, and what light commands must never touch."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import zoo_core
from zoo_core.interfaces import capabilities

CORE = Path(zoo_core.__file__).parent
ROOT = CORE.parent
PLUGINS = ROOT / "plugins"

# Heavy, or able to reach the network; `zoo list` and its like get along without.
HEAVY = (
    "torch", "numpy", "huggingface_hub.hf_api", "huggingface_hub.file_download", "httpx", "httpx2", "requests",
    "matplotlib", "PIL", "sklearn", "pyarrow", "torchmetrics", "accelerate",
)  # fmt: skip

# `model.prepare(x)` is `prepare(model, x)` of the room that opens what people have: a convenience, and the only way up.
UP = {("zoo_core.interfaces.model", "zoo_core.inputs.prepare")}


def floor(module: str) -> int:
    """The floor of a module of the core; 7 is the roof, which imports lazily."""
    if module == "zoo_core":
        return 7
    return {
        "interfaces": 1, "errors": 1,
        "discovery": 2, "hub": 2, "processes": 2, "steps": 2, "row_files": 2,
        "torch_state": 2, "notebook": 2, "progress": 2, "inputs": 3,
        "datasets": 3, "pictures": 3, "releases": 3, "weights": 3, "catalogue": 3,
        "measuring": 4, "exporting": 4,
        "training": 5, "publishing": 5, "testing": 5,
        "cli": 6, "command_line": 6, "__main__": 6,
    }[module.split(".")[1]]  # fmt: skip


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[str]:
    """Every module that a file imports, inside functions too; not what only type checkers see."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


CORE_FILES = sorted(CORE.rglob("*.py"))


def test_imports_point_down_the_floors() -> None:
    wrong = []
    for path in CORE_FILES:
        here = module_name(path)
        if here == "zoo_core":
            continue
        for target in imports(path):
            if (here, target) in UP or not target.startswith("zoo_core.") or target == "zoo_core.__version__":
                continue
            if floor(target) > floor(here):
                wrong.append(f"{here} (floor {floor(here)}) imports {target} (floor {floor(target)})")
    assert wrong == []


def test_imports_run_in_no_circle() -> None:
    """Between the rooms of one floor too."""
    rooms: dict[str, set[str]] = {}
    for path in CORE_FILES:
        here = module_name(path)
        if here != "zoo_core":
            room = here.split(".")[1]
            found = [target for target in imports(path) if target.startswith("zoo_core.") and (here, target) not in UP]
            targets = {target.split(".")[1] for target in found}
            rooms.setdefault(room, set()).update(targets - {room, "__version__"})
    while rooms:
        done = [room for room, targets in rooms.items() if not targets & rooms.keys()]
        assert done, f"these import each other: {rooms}"
        for room in done:
            del rooms[room]


def test_the_core_never_imports_a_plugin() -> None:
    packages = {path.parent.name for path in PLUGINS.glob("*/zoo_*/plugin.py")}
    assert len(packages) >= 3
    wrong = [f"{path}: {target}" for path in CORE_FILES for target in imports(path) if target.split(".")[0] in packages]
    assert wrong == []


def test_a_plugin_never_imports_another() -> None:
    wrong = []
    packages = {path.parent.name for path in PLUGINS.glob("*/zoo_*/plugin.py")}
    for package in PLUGINS.glob("*/zoo_*"):
        for path in package.rglob("*.py"):
            others = {target.split(".")[0] for target in imports(path)} & packages - {package.name}
            wrong += [f"{path}: {other}" for other in others]
    assert wrong == []


def test_plugins_import_public_names_only() -> None:
    """Of zoo_core itself, of the kit for tests, and of what commands share."""
    public = {
        name: set(import_module(name).__all__) for name in ("zoo_core", "zoo_core.testing", "zoo_core.command_line")
    }
    paths = [path for package in PLUGINS.glob("*/zoo_*") for path in package.rglob("*.py")]
    used = [(path, target) for path in paths for target in imports(path) if target.split(".")[0] == "zoo_core"]
    assert len(used) > 100
    wrong = []
    for path, target in used:
        module, _, name = target.rpartition(".")
        if target not in public and name not in public.get(module, ()):
            wrong.append(f"{path}: {target}")
    assert wrong == []


def run(code: str, *arguments: str) -> list[str]:
    """The modules that are there when a process with this code ends."""
    code += "\nimport sys; print('MODULES', *sys.modules, file=sys.stderr)"
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env)
    assert found.returncode == 0, found.stderr
    return found.stderr.rpartition("MODULES ")[2].split()


COMMAND = """
from zoo_core.cli.main import main
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--sort", "nll", "--json"],
        ["info", "pixelrnn"],
        ["code", "nade", "--all"],
        ["plugins"],
        ["plugins", "--commands"],
        ["data"],
    ],
    ids=" ".join,
)
def test_commands_that_only_look_are_light(arguments: list[str]) -> None:
    modules = run(COMMAND, *arguments)
    assert "zoo_core.discovery.loader" in modules
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "pixelrn"],
        ["sample", "pixelrnn.digit", "-o", "x.png"],
        ["train", "nadde", "--data", "mnist"],
        ["train", "nade", "--data", "mnits"],
        ["eval", "pixelrn"],
        ["eval", "pixelrnn", "--metric", "nil"],
        ["train", "nade", "--data", "mnist", "--select", "nil"],
        ["train", "nade", "--data", "mnist", "--input", "binarise"],
        ["train", "nade", "--data", "mnist", "--augment", "flp"],
        ["score", "nade", "x.png", "--input", "explode"],
        ["data", "show", "mnits"],
        ["summary", "pixelrn"],
        ["verify", "pixelrn"],
    ],
    ids=" ".join,
)
def test_a_wrong_name_is_told_before_anything_heavy_is_imported(arguments: list[str]) -> None:
    modules = run(COMMAND.replace("assert not done.code", "assert done.code == 2"), *arguments)
    assert [name for name in HEAVY if name in modules] == []


def test_help_imports_no_plugin_and_no_command() -> None:
    modules = run(COMMAND, "--help")
    assert [name for name in HEAVY if name in modules] == []
    assert sorted(name for name in modules if name.startswith("zoo_")) == [
        "zoo_core", "zoo_core.cli", "zoo_core.cli.main", "zoo_core.errors",
    ]  # fmt: skip
    assert "importlib.metadata" not in modules and "pluggy" not in modules


def test_declaring_plugins_imports_nothing_heavy() -> None:
    names = [f"{path.parent.name}.plugin" for path in sorted(PLUGINS.glob("*/zoo_*/plugin.py"))]
    modules = run(f"import {', '.join(names)}, zoo_core")
    assert [name for name in HEAVY if name in modules] == []
    shared = run("import zoo_core.command_line")
    assert [name for name in HEAVY if name in shared] == []
    for name in names:  # and no other module of its own
        package = name.partition(".")[0]
        assert [m for m in modules if m.startswith(f"{package}.") and m != name] == []


def test_every_public_name_of_the_core_is_there() -> None:
    for name in zoo_core.__all__:
        assert getattr(zoo_core, name) is not None
    assert dir(zoo_core) == zoo_core.__all__ == sorted(zoo_core.__all__)
    with pytest.raises(AttributeError, match="'lode'"):
        _ = zoo_core.lode


def test_type_checkers_and_python_see_the_same_public_names() -> None:
    """`__all__`, what a type checker imports, and what is imported on first use are three lists of one thing."""
    tree = ast.parse((CORE / "__init__.py").read_text())
    (checking,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {
        alias.name: node.module
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is None
    }
    assert seen == zoo_core._MODULE_OF
    assert sorted(seen) == zoo_core.__all__


def test_a_model_of_unknown_kind_has_the_methods_of_every_capability() -> None:
    """`AnyModel` is a class for type checkers only; its bases are read in its file."""
    tree = ast.parse((CORE / "interfaces" / "any_model.py").read_text())
    (declared,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bases = [ast.unparse(base).removeprefix("capabilities.") for base in declared.bases]
    assert sorted(bases) == sorted(["Model", *capabilities.PROTOCOLS])
