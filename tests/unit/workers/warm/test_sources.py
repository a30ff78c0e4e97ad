"""Which of a script's own modules may change settings before ClearML's SDK reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.workers.warm.sources import own_sources

MODULES = {
    "settings.py": "CLEARML_A = 1",
    "package/__init__.py": "PACKAGE = 1",
    "package/inner.py": "from . import sibling",
    "package/sibling.py": "from ..settings import CLEARML_A",
    "unused.py": "CLEARML_UNUSED = 1",
    "src/hidden/__init__.py": "from . import deep",
    ".venv/json.py": "NOT_OURS = 1",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("import json\n", []),
        ("import settings\n", ["CLEARML_A"]),
        ("def f():\n    from settings import CLEARML_A\n", ["CLEARML_A"]),
        ("import package.inner\n", ["PACKAGE", "CLEARML_A"]),
        ("from package import sibling\n", ["PACKAGE", "CLEARML_A"]),
        ("from package import *\n", ["PACKAGE"]),
        ("import unused as other\n", ["CLEARML_UNUSED"]),
    ],
)
def test_modules_that_imports_lead_to(folder: Path, script: str, found: list[str]) -> None:
    (folder / "train.py").write_text(script)
    text = own_sources(folder / "train.py", [folder])
    assert text.startswith(script)
    assert {word for word in ("CLEARML_A", "PACKAGE", "CLEARML_UNUSED") if f"{word} =" in text} == set(found)


@pytest.mark.parametrize(
    "script",
    [
        "__import__(name)\n",
        "exec(open(name).read())\n",
        "import importlib\nimportlib.import_module(name)\n",
        "from importlib import import_module as load\nload(name)\n",
        "import importlib.util\n",
        "import sys\nsys.path.insert(0, 'src')\n",
        "import hidden\n",
        "from hidden.deep import thing\n",
        "a = = 1\n",
    ],
)
def test_all_modules_count_where_an_import_cannot_be_followed(folder: Path, script: str) -> None:
    (folder / "train.py").write_text(script)
    text = own_sources(folder / "train.py", [folder / "elsewhere", folder])
    assert "CLEARML_UNUSED" in text and "PACKAGE" in text and "NOT_OURS" not in text


def test_a_script_in_a_folder_beside_its_package(folder: Path) -> None:
    (folder / "scripts").mkdir()
    script = folder / "scripts" / "train.py"
    script.write_text("from package.inner import sibling\n")
    assert "CLEARML_A = 1" in own_sources(script, [folder / "scripts", folder])
    assert "CLEARML_UNUSED" not in own_sources(script, [folder / "scripts", folder])


def test_modules_that_import_each_other(folder: Path) -> None:
    (folder / "settings.py").write_text("import train")
    (folder / "train.py").write_text("import settings\n")
    assert own_sources(folder / "train.py", [folder]).count("import train") == 1
