"""How long files and functions may be: what a reader can hold at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import zoo_core

ROOT = Path(zoo_core.__file__).parents[1]
SOURCES = sorted(
    path.relative_to(ROOT)
    for pattern in ("zoo_core/**/*.py", "plugins/*/zoo_*/**/*.py", "benchmarks/*.py", "plugins/*/benchmarks/*.py")
    for path in ROOT.glob(pattern)
)
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 60


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file with its lines, but for those that declare: a command's options, which are decorators,
    and the docstring. In a plugin.py everything declares."""
    if path.name == "plugin.py":
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                assert docstring.end_lineno is not None
                lines -= docstring.end_lineno - docstring.lineno + 1
            yield node.name, lines


def test_files_and_functions_stay_short() -> None:
    files = {path: len((ROOT / path).read_text().splitlines()) for path in SOURCES}
    assert {str(path): lines for path, lines in files.items() if lines > LINES_OF_A_FILE} == {}
    long = {(str(path), name): n for path in SOURCES for name, n in functions(path) if n > LINES_OF_A_FUNCTION}
    assert long == {}


def test_every_part_of_the_project_is_measured() -> None:
    assert len(SOURCES) > 200 and {path.parts[0] for path in SOURCES} == {"zoo_core", "plugins", "benchmarks"}
    assert dict(functions(Path("zoo_core/training/train.py")))["train"] > 40  # without its docstring
