from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.workers.warm.imports import Import, leading_imports, load, shadowed


def _names(source: str, *roots: Path) -> list[str]:
    return [found.module for found in leading_imports(source, roots)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""A script."""\nfrom __future__ import annotations\nimport json, os.path\n', "__future__ json os.path"),
        ("import json\nSEED = 1\nLIMIT: int = -1\nimport csv\n", "json csv"),
        ("import os\nos.environ['A'] = 'b'\nimport json\n", "os"),
        ("import json\nset_up()\nimport csv\n", "json"),
        ("import json\nA = set_up()\nimport csv\n", "json"),
        ("import json\nA = [set_up() for _ in 'ab']\nimport csv\n", "json"),
        ("import json\ndef f(): set_up()\nclass A:\n    b = 1\nimport csv\n", "json csv"),
        ("import json\n@set_up\ndef f(): pass\nimport csv\n", "json"),
        ("import json\nclass A:\n    set_up()\nimport csv\n", "json"),
        ("class A:\n    @property\n    def a(self): set_up()\nimport csv\n", "csv"),
        ("import json\ntry:\n    import torch\nexcept ImportError:\n    torch = None\nimport csv\n", "json torch csv"),
        ("try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c\nimport csv\n", "a c csv"),
        ("try:\n    import a\nexcept ImportError:\n    set_up()\nimport csv\n", "a"),
        ("try:\n    set_up()\nfinally:\n    import a\nimport csv\n", ""),
        ("import json\nif __name__ == '__main__':\n    import csv\n    set_up()\n    import ast\n", "json csv"),
        ("if __name__ == '__main__':\n    import csv\nelse:\n    import ast\nimport json\n", "csv json"),
        ("if TYPE_CHECKING:\n    import csv\nimport json\n", "json"),
        ("if set_up():\n    import csv\nimport json\n", ""),
        ("from functools import cache\n@cache\ndef f(): set_up()\nimport csv\n", "functools csv"),
        ("import functools as ft\n@ft.lru_cache(maxsize=1)\ndef f(): pass\nimport csv\n", "functools csv"),
        ("from functools import cache\n@cache(set_up())\ndef f(): pass\nimport csv\n", "functools"),
        ("from functools import cache\ndef cache(f): pass\n@cache\ndef g(): pass\nimport csv\n", "functools"),
        ("import logging\nLOG = logging.getLogger(__name__)\nimport csv\n", "logging csv"),
        ("from pathlib import Path\nHERE = Path(__file__).parent\nimport csv\n", "pathlib csv"),
        ("from pathlib import Path\nHERE = Path(set_up()).parent\nimport csv\n", "pathlib"),
        ("from pathlib import Path\nHERE = Path(__file__).resolve()\nimport csv\n", "pathlib"),
        ("A = dict(a=[1])\nimport csv\n", "csv"),
        ("dict = set_up\nimport csv\nA = dict()\nimport json\n", "csv"),
        ("from . import sibling\nimport csv\n", ""),
        ("import json\na = = 1\n", ""),
        ("\0", ""),
        ("", ""),
    ],
)
def test_what_nothing_in_the_script_can_have_prepared(source: str, found: str) -> None:
    assert _names(source) == found.split()


def test_the_script_s_own_modules_end_it(tmp_path: Path) -> None:
    (tmp_path / "settings.py").touch()
    (tmp_path / "model").mkdir()
    assert _names("import json\nimport settings\nimport csv\n", tmp_path) == ["json"]
    assert _names("import json\nfrom model.net import Net\nimport csv\n", tmp_path / "none", tmp_path) == ["json"]


def test_names_may_be_modules() -> None:
    assert list(leading_imports("from xml import dom, sax\nfrom os import *\n", ())) == [
        Import("xml", ("dom", "sax")),
        Import("os"),
    ]


@pytest.mark.parametrize("name", ["there_is_no_such_module", "json.there_is_none"])
def test_what_cannot_be_imported_is_left_to_the_script(name: str) -> None:
    load(Import(name))
    load(Import("json", ("there_is_none",)))


def test_a_module_of_the_script_s_own_that_is_hidden_by_one_that_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "queue.py").touch()
    (tmp_path / "numpy").mkdir()  # without an __init__.py the library comes first
    assert shadowed(["json", "os.path", "numpy"], [tmp_path]) == ""
    assert shadowed(["json", "queue"], [tmp_path / "none", tmp_path]) == "queue"
    (tmp_path / "numpy" / "__init__.py").touch()
    assert shadowed(["numpy"], [tmp_path]) == "numpy"
