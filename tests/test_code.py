"""`zoo code --all`: which files run for a model, told from their imports alone."""

from pathlib import Path

import pytest

from zoo_core.catalogue.code import files_of
from zoo_core.cli.main import main

FILES = {
    "__init__.py": "",
    "model.py": """
import json
from typing import TYPE_CHECKING

import codebook.deep
from codebook import helpers
from codebook.base import Base
from json import codebook_is_not_here

if TYPE_CHECKING:
    from codebook.types_only import Word


def later():
    from codebook.lazy import late
""",
    "helpers.py": "from . import cousin\nfrom .deep.inner import x",
    "base.py": "from codebook import model",  # a circle
    "cousin.py": "",
    "lazy.py": "late = 1",
    "types_only.py": "Word = str",
    "not_used.py": "x = 1",
    "deep/__init__.py": "from .inner import x",
    "deep/inner.py": "from .. import cousin\nx = raise_if_run()",
}


@pytest.fixture
def codebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "codebook" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or ("x = 1" if name == "cousin.py" else ""), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "codebook"


def test_the_files_are_the_model_and_what_it_imports_in_turn(codebook: Path) -> None:
    files = files_of("codebook.model")
    assert next(iter(files)) == "codebook.model"
    names = {name.removeprefix("codebook.") for name in files}
    assert names == {"model", "helpers", "base", "cousin", "lazy", "deep", "deep.inner"}
    assert files["codebook.deep"] == codebook / "deep" / "__init__.py"


def test_a_module_that_is_not_there_has_no_files() -> None:
    assert files_of("no_such_package.model") == {} == files_of("json.no_such_module")


def test_all_files_of_a_model_are_printed_its_own_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["code", "nade", "--all"])
    assert not done.value.code
    text = capsys.readouterr().out
    assert text.index("\nclass NADE(") < text.index("\nclass _Recurrence(")
    assert text.startswith("# ===== zoo_autoregressive.nade =====\n")
    assert "\n# ===== zoo_autoregressive.sampling.nade =====\n" in text
