from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.workers.programs import prepare
from clearml_hpo.workers.task_process import reason_of


def _script(**fields: Any) -> dict[str, Any]:
    return {"script": {"entry_point": "train.py", "working_dir": ".", "binary": "python3.11", **fields}}


@pytest.mark.parametrize(
    ("entry_point", "file", "words"),
    [
        ("train.py", "train.py", ["train.py"]),
        ("deep/in a/train.py", "train.py", ["train.py"]),
        ("", "untitled.py", ["untitled.py"]),
        ("-m package.train --deep 'a b'", "untitled.py", ["-m", "package.train", "--deep", "a b"]),
    ],
)
def test_a_script_in_the_task(tmp_path: Path, entry_point: str, file: str, words: list[str]) -> None:
    program = prepare(_script(entry_point=entry_point, diff="print('é')"), tmp_path / "place", tmp_path)
    assert program.command == [sys.executable, "-u", *words]
    assert (program.folder / file).read_text(encoding="utf-8") == "print('é')"


def test_a_module_that_is_installed(tmp_path: Path) -> None:
    program = prepare(_script(entry_point="-m package.train"), tmp_path / "place", tmp_path)
    assert program.command == [sys.executable, "-u", "-m", "package.train"]
    assert list(program.folder.iterdir()) == []


def test_the_place_is_made_anew(tmp_path: Path) -> None:
    program = prepare(_script(diff="1"), tmp_path / "place", tmp_path)
    (program.folder / "checkpoint").touch()
    prepare(_script(diff="1"), tmp_path / "place", tmp_path)
    assert [path.name for path in program.folder.iterdir()] == ["train.py"]


def test_a_repository_is_left_to_the_process(tmp_path: Path) -> None:
    fields = {"repository": "https://example.org/r.git", "version_num": "abc", "branch": "main", "diff": "diff --git"}
    place, mirrors = tmp_path / "place", tmp_path / "mirrors"
    program = prepare(_script(**fields, working_dir=""), place, mirrors)
    assert program.command[:3] == [sys.executable, "-m", "clearml_hpo.workers.checkout"]
    plan = json.loads(Path(program.command[3]).read_text())
    assert (plan["repository"], plan["revision"], plan["branch"]) == ("https://example.org/r.git", "abc", "main")
    assert (plan["working_dir"], plan["entry_point"]) == (".", "train.py")
    assert Path(plan["patch"]).read_text() == "diff --git\n"
    assert Path(plan["mirror"]).parent == mirrors


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (_script(), "script: the task has neither a repository nor a script of its own"),
        ({}, "script: the task has neither a repository nor a script of its own"),
        (_script(version_num="abc"), "script: the task was run in a git repository without a remote"),
        (_script(version_num="abc", diff="diff --git a/a.py b/a.py"), "in a git repository without a remote, so"),
        (_script(diff="1", binary="/bin/bash"), "script.binary: '/bin/bash'"),
        (_script(diff="1", entry_point="a.ipynb"), "script.entry_point: 'a.ipynb'"),
        (_script(diff="1") | {"container": {"image": "cuda:12"}}, "container.image: the task asks for 'cuda:12'"),
        (_script(diff="1") | {"execution": {"docker_cmd": "cuda:12"}}, "container.image: the task asks for 'cuda:12'"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, task: dict[str, Any], said: str) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(InputError, match=said):
        prepare(task, tmp_path / "place", tmp_path)
    assert not (tmp_path / "place").exists()


TRACEBACK = """\
epoch 1
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    x = int("a")
ValueError: invalid literal

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    raise KeyError("depth")
KeyError: 'depth'
ClearML Monitor: could not detect iteration reporting
"""


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        (TRACEBACK, 1, "KeyError: 'depth' (exit code 1)"),
        ("one\ntwo\n\n", 2, "two (exit code 2)"),
        ("", 2, "no output (exit code 2)"),
        ("Traceback (most recent call last):\n  File", 1, "  File (exit code 1)"),
        (TRACEBACK, -15, "lost: ended by SIGTERM, signal 15"),
        ("", -9, "ended by SIGKILL, signal 9 (was it out of memory?)"),
    ],
)
def test_reasons(output: str, code: int, reason: str) -> None:
    assert reason_of(output, code) == reason
