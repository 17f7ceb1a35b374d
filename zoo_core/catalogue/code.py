"""The files that a model consists of, found by reading its import statements: no module is imported."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path


def files_of(module: str) -> dict[str, Path]:
    """The files of a module and of all modules of the same package that it imports, directly or through others.

    The result maps module to file, in the order in which they are found. Imports for types only do not count.

    Empty if the module's own file cannot be found.
    """
    package = module.partition(".")[0]
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop(0)
        if name in files or (path := _file(name)) is None:
            continue
        text = path.read_text(encoding="utf-8")
        if name == module or text.strip():  # an empty __init__.py says nothing
            files[name] = path
            within = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += [one for one in _imports(ast.parse(text), within) if one.partition(".")[0] == package]
    return files


def _file(module: str) -> Path | None:
    """Only the top-level package is looked up: find_spec would import the parents of any other module."""
    package, *parts = module.split(".")
    found = find_spec(package)
    if found is None:
        return None
    if not parts:
        return None if found.origin is None else Path(found.origin)
    for folder in found.submodule_search_locations or ():
        path = Path(folder, *parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def _imports(tree: ast.AST, within: str) -> Iterator[str]:
    """The modules that may be meant: of `from a import b` both a and a.b, which may be a module or not."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=orelse):
                yield from _imports(ast.Module(orelse, []), within)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=name, names=names, level=level):
                parents = within.split(".")[: len(within.split(".")) - level + 1] if level else []
                origin = ".".join([*parents, *([name] if name else [])])
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in names)
            case _:
                yield from _imports(node, within)
