"""What is read from a Python source."""

from __future__ import annotations

import ast

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.scripts.sources import Imported, changes_path, climbs, imports_of, named_files, parse, source_of


def test_imports():
    tree = ast.parse(
        "import os.path, yaml\nfrom a.b import c\nfrom . import d\ntry:\n    import fast\nexcept ImportError: 0"
    )
    assert {*imports_of(tree)} == {*map(Imported, ("os", "yaml", "a")), Imported("fast", is_optional=True)}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('open("data/train.csv")', {"data/train.csv"}),
        ('open("data.csv", "r")', {"data.csv", "r"}),
        ('open("log.txt", "w")', set()),
        ('open("log.txt", mode="ab")', set()),
        ('torch.save(model, "best.pt")', set()),
        ('torch.save(model, "best.pt"); torch.load("best.pt")', set()),
        ('Path("out").mkdir(); frame.to_csv("out.csv")', set()),
        ('print("", ".", "..", "a\\nb", "' + "x" * 300 + '")', set()),
    ],
)
def test_files_that_are_read(source, named):
    assert named_files(ast.parse(source)) == named


def test_a_source_that_changes_the_path():
    assert changes_path(ast.parse("import sys\nsys.path.append('..')"))
    assert not changes_path(ast.parse("import os\nos.path.join('a')"))


def test_a_source_that_looks_above_its_folder():
    assert climbs(ast.parse("Path(__file__).resolve().parent.parent / 'settings'"))
    assert not climbs(ast.parse("open('settings')"))


def test_a_script_that_is_not_python():
    with pytest.raises(InputError, match="line 2"):
        parse("a = 1\nb = = 2\n")
    with pytest.raises(InputError, match="not Python"):
        parse(f"x = {'+'.join(['1'] * 5000)}\n")


def test_a_script_is_utf_8(tmp_path):
    script = tmp_path / "train.py"
    for text in ("print('größe')\n", "# coding: latin-1\nprint('plain')\n", "\ufeffprint('ö')\n"):
        written = text.encode()
        script.write_bytes(written)
        assert source_of(script) == written.decode("utf-8-sig")
    for written, said in (
        ("print('größe')\n".encode("latin-1"), "save it as UTF-8"),
        ("# coding: latin-1\nprint('größe')\n".encode("latin-1"), "written in iso-8859-1; save it as UTF-8"),
        (b"# coding: nothing\n", "save it as UTF-8"),
        (b"print(1)\n\0", "no text"),
    ):
        script.write_bytes(written)
        with pytest.raises(InputError, match=f"template.script: {script}.*{said}"):
            source_of(script)
