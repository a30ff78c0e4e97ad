"""Warm parents without a server."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.testing.executor_contract import eventually
from clearml_hpo.workers.forks import WarmParents
from clearml_hpo.workers.programs import Program
from tests.children import children_running

pytestmark = pytest.mark.long

RUNS = 1000
AT_ONCE = 4


@pytest.fixture
def watchdog(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    watchdog = Watchdog(folder)
    yield watchdog
    watchdog.close()


@pytest.fixture
def parents(tmp_path, watchdog):
    parents = WarmParents(tmp_path / "watched", watchdog, on_note=lambda text: pytest.fail(text))
    yield parents
    parents.close()


def _program(tmp_path, text):
    folder = tmp_path / "code"
    folder.mkdir(exist_ok=True)
    (folder / "a.py").write_text(text)
    return Program([sys.executable, "-u", "a.py"], folder, ["a.py"])


def _ends(parents, *processes):
    def step():
        parents.step(time.monotonic())
        for process in processes:
            process.step()
        return all(process.code is not None for process in processes)

    eventually(step, "all end")


def test_a_thousand_runs_leave_nothing_behind(tmp_path, parents):
    program = _program(tmp_path, "import json, socket\nopened = socket.socket()\nheld = bytearray(10_000_000)\n")
    me = psutil.Process()
    seen = []
    for i in range(RUNS // AT_ONCE):
        environ = {**os.environ, "CLEARML_TASK_ID": str(i)}
        batch = [parents.run("t", program, environ, tmp_path / f"{n}.log") for n in range(AT_ONCE)]
        _ends(parents, *batch)
        assert [process.code for process in batch] == [0] * AT_ONCE
        for process in batch:
            process.close()
        if i in (4, RUNS // AT_ONCE - 1):
            (parent,) = children_running("clearml_hpo.workers.warm.parent")
            eventually(lambda parent=parent: parent.children() == [], "all are reaped")
            seen.append((me.num_fds(), parent.num_fds(), parent.memory_info().rss))
    (mine, its, memory), (mine_then, its_then, memory_then) = seen
    assert its_then == its
    assert mine_then < mine + 10  # this process runs other tests, too; a leak would be 900 and more
    assert memory_then - memory < 4 * 1024 * 1024


def test_a_run_that_is_killed_before_its_parent_is_ready_never_begins(tmp_path, parents):
    program = _program(tmp_path, "print('begins')\n")
    first = parents.run("t", program, os.environ, tmp_path / "1.log")
    first.kill()
    second = parents.run("t", program, os.environ, tmp_path / "2.log")
    _ends(parents, second)
    assert (first.code, second.code) == (-9, 0)
    assert (first.new_output(), second.new_output()) == ("", "begins\n")


def test_a_run_that_is_killed_while_it_is_forked_never_begins_or_is_ended(tmp_path, parents):
    program = _program(tmp_path, "import time\nprint('begins')\ntime.sleep(600)\n")
    _ends(parents, warm := parents.run("t", _program(tmp_path, "pass"), os.environ, tmp_path / "0.log"))
    assert warm.code == 0
    program = _program(tmp_path, "import time\ntime.sleep(600)\n")
    for i in range(20):
        process = parents.run("t", program, os.environ, tmp_path / f"{i + 1}.log")
        if i % 2:
            process.step()
        process.kill()
        assert process.code is not None and process.code < 0
    (parent,) = children_running("clearml_hpo.workers.warm.parent")
    eventually(lambda: parents.step(time.monotonic()) or not parent.children(), "none is left")


@pytest.mark.parametrize(("beside", "reason"), [("json.py", "its own module 'json'"), ("other.py", "")])
def test_a_script_in_a_folder_has_its_own_modules_beside_it(tmp_path, beside, reason):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "train.py").write_text("import json\n")
    (scripts / beside).write_text("")
    call = f"prepare(['scripts/train.py'], [{str(tmp_path)!r}], '')"
    code = f"from clearml_hpo.workers.warm.parent import prepare\nprint({call})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said.startswith(reason) and bool(said) == bool(reason)
