"""Which files belong to a script."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.scripts import code as code_module
from clearml_hpo.scripts.code import collect
from clearml_hpo.scripts.entry import Entry


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def of_script(folder: Path, name: str = "train.py", **given):
    return collect(Entry(folder / name, given.pop("directory", (folder / name).parent), **given))


def test_a_script_alone(tmp_path):
    write(tmp_path, {"train.py": "import os\nprint('nothing')\n", "other.py": "", "notes.txt": ""})
    code = of_script(tmp_path)
    assert [*code.files] == ["train.py"] and code.is_script_alone and code.words == ["train.py"]
    assert code.left_out == {} and code.root == tmp_path


def test_what_it_imports_and_names(tmp_path):
    reads = "open('rows.csv'), open('nothing.csv'), open('/etc/hosts'), open('out.txt', 'w')"
    source = f"import helper, package.inner, yaml, data\n{reads}\n"
    files = {
        "train.py": source,
        "helper.py": "import deeper\nprint('words.txt')",
        "deeper.py": "",
        "words.txt": "",
        "package/inner.py": "from . import other",
        "package/other.py": "",
        "package/model.yaml": "a: 1",
        "package/weights.bin": "",
        "package/__pycache__/inner.pyc": "",
        "yaml/made.py": "",  # a folder of outputs: that package is installed
        "data/rows.bin": "",
        "rows.csv": "1",
        "out.txt": "",
        "unused.py": "",
    }
    write(tmp_path, files)
    code = of_script(tmp_path)
    travel = "deeper.py helper.py package/inner.py package/model.yaml package/other.py rows.csv train.py words.txt"
    assert [*code.files] == travel.split() and not code.is_script_alone
    assert {each.name for each in code.imported} == {"yaml", "data"}


def test_folders_of_configuration_travel_others_are_said(tmp_path):
    write(tmp_path, {"train.py": "main('conf', 'images', '../shared')", "conf/a.yaml": "", "conf/db/b.yaml": "x: 1"})
    write(tmp_path, {"images/1.png": "123", "../shared/x.bin": "1"})
    code = of_script(tmp_path)
    assert [*code.files] == ["conf/a.yaml", "conf/db/b.yaml", "train.py"]
    assert code.left_out == {str(tmp_path / "images"): 3, str(tmp_path.parent / "shared"): 1}
    assert code.place == tmp_path.parent, "a run on this machine sees what it names"


def test_hidden_files_travel_only_if_they_are_listed(tmp_path):
    write(tmp_path, {"train.py": "open('.env')", ".env": "PASSWORD=1"})
    assert [*of_script(tmp_path).files] == ["train.py"]
    assert [*of_script(tmp_path, files=[tmp_path / ".env"]).files] == [".env", "train.py"]


def test_what_the_study_file_lists_and_arguments_name(tmp_path):
    write(tmp_path, {"src/train.py": "", "data.csv": "1", "extra/a/b.bin": "2", "extra/.git/x": ""})
    code = of_script(
        tmp_path,
        "src/train.py",
        directory=tmp_path,
        arguments=["--data=data.csv", "--epochs", "3"],
        files=[tmp_path / "extra"],
    )
    assert [*code.files] == ["data.csv", "extra/a/b.bin", "src/train.py"]
    assert (code.words, code.directory) == (["src/train.py", "--data=data.csv", "--epochs", "3"], ".")


def test_a_module(tmp_path):
    write(tmp_path, {"package/__init__.py": "", "package/train.py": "from .deep import x", "package/deep/x.py": ""})
    code = collect(Entry(None, tmp_path, "package.train", ["--fast"]))
    assert [*code.files] == ["package/__init__.py", "package/deep/x.py", "package/train.py"]
    assert code.words == ["-m", "package.train", "--fast"] and "from .deep" in code.source
    for name, said in (
        ("package.deep", "'package' has no module 'package.deep'"),
        ("nowhere.x", "no module 'nowhere.x'"),
    ):
        with pytest.raises(InputError, match=said):
            collect(Entry(None, tmp_path, name))


def test_an_installed_module_is_a_requirement(tmp_path):
    code = collect(Entry(None, tmp_path, "yaml"))
    assert code.files == {} and code.requirements() == [f"PyYAML=={version('PyYAML')}"]


def test_modules_of_other_folders_are_found_there_too(tmp_path, monkeypatch):
    write(
        tmp_path,
        {"scripts/train.py": "import sys\nsys.path.append('../lib')\nimport mine, editable", "lib/mine.py": ""},
    )
    write(tmp_path, {"elsewhere/editable/__init__.py": ""})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "elsewhere")])  # as pip install -e does
    code = of_script(tmp_path, "scripts/train.py")
    assert [*code.files] == ["elsewhere/editable/__init__.py", "lib/mine.py", "scripts/train.py"]
    assert sorted(code.paths) == ["elsewhere", "lib"] and code.directory == "scripts"


def test_requirements_are_what_the_sources_import_as_installed_here(tmp_path):
    source = "import os, yaml\nfrom sklearn.metrics import log_loss\nimport not_here.x\nfrom . import y\n"
    write(tmp_path, {"train.py": f"{source}try:\n    import perhaps\nexcept ImportError: pass\n"})
    learn, yaml = (f"{name}=={version(name)}" for name in ("scikit-learn", "PyYAML"))
    assert of_script(tmp_path).requirements() == ["not_here", learn, yaml]


def test_the_identity_follows_all_that_decides_a_run(tmp_path):
    def identity(**given):
        return of_script(tmp_path, **given).identity

    write(tmp_path, {"train.py": "import helper", "helper.py": "1", "beside.txt": "1"})
    first = identity()
    write(tmp_path, {"beside.txt": "2"})
    assert identity() == first
    others = [
        identity(arguments=["--fast"]),
        identity(launcher=["torchrun"]),
        identity(files=[tmp_path / "beside.txt"]),
        identity(directory=tmp_path.parent),
    ]
    write(tmp_path, {"helper.py": "2"})
    assert len({first, identity(), *others}) == 6


def test_a_script_alone_is_known_by_its_content(tmp_path):
    write(tmp_path, {"a.py": "x = 1", "sub/b.py": "x = 1", "c.py": "x = 2"})
    one, same, other = (of_script(tmp_path, name).identity for name in ("a.py", "sub/b.py", "c.py"))
    assert one == same != other


def test_too_much_is_refused_with_the_largest_folders(tmp_path, monkeypatch):
    write(tmp_path, {"train.py": "", "data/rows.bin": "x" * 5000})
    monkeypatch.setattr(code_module, "MOST_BYTES", 2000)
    with pytest.raises(InputError, match=f"more than 0 belong to train.py; the largest folders: {tmp_path / 'data'}"):
        of_script(tmp_path, files=[tmp_path / "data"])
    monkeypatch.setattr(code_module, "MOST_FILES", 1)
    with pytest.raises(InputError, match="more than 1 files"):
        of_script(tmp_path, files=[tmp_path / "data"])


def test_the_archive_is_the_same_for_the_same_files(tmp_path):
    write(tmp_path, {"train.py": "import helper", "helper.py": "1"})
    one = of_script(tmp_path).archive()
    (tmp_path / "train.py").touch()
    assert of_script(tmp_path).archive() == one
    names = zipfile.ZipFile(io.BytesIO(one)).namelist()
    assert names == ["helper.py", "train.py", ".clearml-hpo/sitecustomize.py"]


def test_bindings_that_need_mending_under_any_agent_take_the_mends_along(tmp_path):
    write(tmp_path, {"train.py": "import click"})
    assert not of_script(tmp_path).is_script_alone
