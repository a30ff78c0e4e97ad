"""What the file that Python runs first in trials makes of ClearML's SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from clearml_hpo.core.not_finite import Replaced
from clearml_hpo.scripts import startup
from clearml_hpo.scripts.startup import with_startup

sitecustomize = Path(startup.__file__).with_name("sitecustomize.py")

SENDS = """
from clearml import Logger
from clearml.backend_interface.metrics.events import ScalarEvent
nan, inf = float("nan"), float("inf")
def send(metric, variant, value):
    return ScalarEvent(metric=metric, variant=variant, value=value, iter=1).get_api_event().value
"""


def output_of(text, **environ):
    given = with_startup({**os.environ, **environ})
    done = subprocess.run([sys.executable, "-c", SENDS + text], env=given, capture_output=True, text=True, check=True)
    assert "leaves" not in done.stderr and "sitecustomize" not in done.stderr, done.stderr
    return done.stdout


def test_the_console_names_each_scalar_that_is_not_finite_once():
    output = output_of("""
assert [send("a", "loss", nan), send("a", "loss", inf), send('é"/', "x\\ny", -inf)] == [0, 0, 0]
assert send("a", "fine", 0.5) == 0.5
""")
    assert Replaced.told_by([output]) == Replaced(frozenset({"a/loss", 'é"//x\ny'}))
    assert output.count('"a/loss"') == 1 and "a/fine" not in output


def test_a_value_that_the_script_has_chosen_is_sent_unless_a_server_refuses_it():
    output = output_of("""
Logger.set_reporting_nan_value(1000.0)
assert send("a", "chosen", nan) == 1000
Logger.set_reporting_nan_value(nan)
assert send("a", "loss", nan) == 0
""")
    assert Replaced.told_by([output]) == Replaced(frozenset({"a/loss"}))


def test_of_very_many_scalars_the_last_ones_have_no_name():
    output = output_of("""
for i in range(200):
    send("a", str(i), nan)
""")
    found = Replaced.told_by([output])
    assert output.count("Not finite") == 101 and found.is_any


def test_the_line_has_its_end_in_the_same_write():
    """A worker shows the last state of a line: a progress bar's return before the end would hide all of it."""
    output_of("""
import sys
class Writes(list):
    write, flush = list.append, lambda self: None
sys.__stdout__, writes = (Writes(),) * 2
send("a", "loss", nan)
assert [text.endswith("'0.0'\\n") for text in writes if text] == [True], writes
""")


def test_a_startup_file_of_the_users_runs_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['behind'], found = sys, __file__\n")
    output_of(
        "import behind, sitecustomize\n"
        f"assert sitecustomize.found == {str(tmp_path / 'sitecustomize.py')!r}\n"
        "assert send('a', 'loss', nan) == 0",
        PYTHONPATH=str(tmp_path),
    )


def test_several_installations_bear_each_other(tmp_path):
    """An agent of one installation has a pilot of another, which runs trials."""
    folders = [tmp_path / name for name in ("pilot", "agent", "user")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[:2]:
        shutil.copy(sitecustomize, folder)
    (folders[2] / "sitecustomize.py").write_text("import sys\nsys.modules['behind'] = sys\n")
    path = os.pathsep.join(map(str, folders))
    output = output_of("import behind\nassert send('a', 'loss', nan) == 0", PYTHONPATH=path)
    assert output.count("Not finite") == 1


def test_threads_that_ask_at_the_same_time_have_one_lock_of_a_task():
    """At the end of ``Task.init`` the main thread and the SDK's monitor ask; with two locks they wait for ever."""
    output_of("""
import threading, time
from clearml.backend_interface.task import task as tasks
RLock = tasks.RLock
def made_slowly():
    time.sleep(0.2)
    return RLock()
tasks.RLock = made_slowly
class Made(tasks.Task):
    def __init__(self):
        self._edit_lock = None
made, found = Made(), []
threads = [threading.Thread(target=lambda: found.append(made._edit_lock)) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert found[0] is found[1]
made._edit_lock = False  # as the SDK does at the end of a script: each has a lock of its own
assert made._edit_lock is not made._edit_lock
""")
