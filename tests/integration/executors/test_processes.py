from __future__ import annotations

import subprocess
import sys

from clearml_hpo.machine.watchdog import Watchdog
from clearml_hpo.testing.executor_contract import eventually
from clearml_hpo.workers.programs import Program
from clearml_hpo.workers.task_process import TaskProcess

DIES = """
import os, sys
from pathlib import Path
from clearml_hpo.workers.task_process import TaskProcess
from clearml_hpo.workers.programs import Program
class Dies:
    def watch(self, leader):
        print(leader, flush=True)
        os._exit(0)
folder = Path(sys.argv[1])
TaskProcess(Program(["touch", "started"], folder), os.environ, folder / "log", Dies())
"""


def test_nothing_starts_if_the_starter_dies_before_it_is_watched(tmp_path):
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], capture_output=True, text=True, check=True)
    shell = int(done.stdout)
    eventually(lambda: subprocess.run(["kill", "-0", str(shell)], stderr=subprocess.DEVNULL).returncode, "it is gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


def test_output_comes_in_whole_lines_and_once(tmp_path):
    watchdog = Watchdog(tmp_path / "none")
    process = TaskProcess(Program(["printf", "one\\ntw"], tmp_path), {}, tmp_path / "log", watchdog)
    eventually(lambda: process.step() or process.code == 0, "it ends")
    process.code = None  # as if it ran still
    assert process.new_output() == process.new_output() == "one\n"
    process.output_taken()
    assert process.new_output() == ""
    process.code = 0
    assert process.new_output() == "tw"
    process.output_taken()
    assert process.new_output() == ""
    process.close()
    watchdog.close()
