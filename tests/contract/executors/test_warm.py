"""What is special to tasks that are forks of warm parents."""

from __future__ import annotations

import json
import os
import re
import signal
import textwrap
from functools import partial
from pathlib import Path

import psutil
import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors.local import LocalExecutor
from clearml_hpo.machine.background import is_running
from clearml_hpo.testing.executor_contract import Stage, eventually
from clearml_hpo.workers import forks, programs, protocol, task_source
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import QueueSource
from tests import place
from tests.children import children_running

FOUND = """
import json, os, pathlib, random, signal, sys, threading, __main__
folder = pathlib.Path({folder!r})
def tell(**found):
    (folder / os.environ["CLEARML_TASK_ID"]).write_text(json.dumps(found))
"""


@pytest.fixture
def stage(api, tmp_path, request):
    return Stage(api, tmp_path, place.queue(f"warm-{request.node.name[:30]}"), 1)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def executor(stage, notes):
    executor = LocalExecutor(stage.api, plan_slots(cpu=1, threads=1), queue=stage.queue, on_note=notes.append)
    yield executor
    executor.close()


@pytest.fixture
def run(stage, executor):
    """Runs a script as often as is said, one run after the other; what each of them tells."""

    def run(script, times=1, **fields):
        text = FOUND.format(folder=str(stage.folder)) + textwrap.dedent(script)
        tasks = [stage.script(text, **fields) for _ in range(times)]
        for task in tasks:
            executor.submit(task)
        stage.until("completed", *tasks)
        return [json.loads((stage.folder / task).read_text()) for task in tasks]

    return run


def _parents():
    return children_running("clearml_hpo.workers.warm.parent")


def test_runs_of_a_template_are_forks_of_one_process(run, notes):
    found = run("tell(parent=os.getppid(), pid=os.getpid(), session=os.getsid(0))", times=3)
    (parent,) = _parents()
    assert {each["parent"] for each in found} == {parent.pid}
    assert len({each["pid"] for each in found}) == 3
    assert all(each["session"] == each["pid"] for each in found)
    assert notes == []


def test_another_template_has_another_parent(run):
    (first,) = run("tell(parent=os.getppid())")
    (second,) = run("tell(parent=os.getppid())  # changed")
    assert first["parent"] != second["parent"]


def test_no_run_sees_anything_of_the_one_before(run):
    script = """
        import json as module
        threads = len(threading.enumerate())
        before = [hasattr(module, "mark"), os.environ.get("MARK"), os.getcwd(), os.listdir(), threads]
        module.mark = True
        os.environ["MARK"] = "set"
        pathlib.Path("file").touch()
        os.chdir("/")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=print, daemon=True).start()
        tell(before=before)
    """
    first, second = run(script, times=2)
    assert first == second
    assert first["before"][:2] == [False, None] and first["before"][3:] == [["trial.py"], 1]


def test_no_two_runs_draw_the_same_numbers(run):
    script = "import numpy as np\ntell(drawn=[random.random(), np.random.random(), os.urandom(4).hex()])"
    found = run(script, times=3)
    for drawn in zip(*(each["drawn"] for each in found), strict=True):
        assert len(set(drawn)) == 3


PLACE = """
class A: pass
tell(
    argv=sys.argv, path=sys.path, name=__name__, file=__file__, spec=repr(__spec__), doc=__doc__,
    main=sorted(vars(__main__)), orig=sys.orig_argv,
    signals=[str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
    fds=len(os.listdir("/proc/self/fd")), stdin=os.readlink("/proc/self/fd/0"), cwd=os.getcwd(),
    unbuffered=sys.stdout.write_through,
    flags=repr(sys.flags), environ={k: v for k, v in os.environ.items() if not k.startswith("CLEARML_TASK")},
    threads=len(os.listdir("/proc/self/task")), leader=os.getsid(0) == os.getpid() == os.getpgid(0), umask=os.umask(0),
)
"""


def test_it_finds_what_it_finds_in_a_process_of_its_own(stage):
    found = {}
    for is_warm in (False, True):
        executor = LocalExecutor(stage.api, plan_slots(cpu=1, threads=1), queue=stage.queue, warm=is_warm)
        task = stage.script(FOUND.format(folder=str(stage.folder)) + PLACE)
        executor.submit(task)
        stage.until("completed", task)
        executor.close()
        found[is_warm] = json.loads((stage.folder / task).read_text())
    for name in found[False]:
        assert _told(found[False], name) == _told(found[True], name), name


def _told(found, name):
    """Without the folder that each executor has for itself."""
    folder = str(Path(found["cwd"]).parents[1])
    return json.loads(json.dumps(found[name]).replace(folder, "FOLDER"))


# --- how it ends --------------------------------------------------------------------------------------------------


ENDS = {
    "exception": "def train():\n    raise ValueError('no such depth')\ntrain()\n",
    "caused": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error\n",
    "syntax": "a = = 1\n",
    "code": "import sys\nsys.exit(3)\n",
    "large code": "import sys\nsys.exit(256 + 4)\n",
    "words": "import sys\nsys.exit('the disk is full')\n",
    "interrupt": "raise KeyboardInterrupt\n",
    "hook": "import sys\nsys.excepthook = lambda *found: print('hooked', found[0].__name__)\n1 / 0\n",
    "at exit": "import atexit\natexit.register(print, 'at exit')\nopen('kept', 'w').write('x')\nprint('ends')\n",
    "thread": (
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('the thread ends'))).start()\nprint('ends')\n"
    ),
    "pool": (
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n        print(pool.map(abs, [-1, -2]))\n"
    ),
    "spawned": (
        "import multiprocessing\ndef double(x):\n    return 2 * x\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(double, [1, 2]))\n"
    ),
    "output of C": "import ctypes\nctypes.CDLL(None).puts(b'from C')\nprint('from Python')\n",
}


@pytest.mark.long
def test_it_ends_as_a_process_of_its_own_ends(stage):
    seen = {}
    for is_warm in (False, True):
        executor = LocalExecutor(stage.api, plan_slots(cpu=2, threads=1), queue=stage.queue, warm=is_warm)
        tasks = {name: stage.script(script) for name, script in ENDS.items()}
        for task in tasks.values():
            executor.submit(task)
        for task in tasks.values():
            eventually(partial(_has_ended, stage, task), "it ends")
        executor.close()
        seen[is_warm] = {name: _end(stage, task) for name, task in tasks.items()}
    for name in ENDS:
        assert seen[False][name] == seen[True][name], name


def _has_ended(stage, task):
    return stage.status(task) in ("completed", "failed")


def _end(stage, task):
    found = stage.task(task)
    console = re.sub(r"/\S*/clearml-hpo-local-\w+/cpu\d", "FOLDER", stage.console(task))
    reason = re.sub(r"/\S*/clearml-hpo-local-\w+/cpu\d", "FOLDER", found["status_reason"])
    return found["status"], reason, [line for line in console.splitlines() if line]  # lines may come one by one


def test_a_file_that_is_left_open_is_written(run, stage):
    run("file = open(folder / 'left', 'w')\nfile.write('all of it')\ntell()")
    assert (stage.folder / "left").read_text() == "all of it"


@pytest.mark.long
def test_a_script_that_reports_is_aborted_with_all_that_it_has_reported(stage, executor):
    script = (
        "import pathlib, time\nfrom clearml import Task\ntask = Task.init('contract', 'aborted')\n"
        "for i in range(20):\n    task.get_logger().report_scalar('validation', 'loss', 1 / (i + 1), i)\n"
        "task.flush(wait_for_uploads=True)\n"
        f"pathlib.Path({str(stage.folder / 'reported')!r}).touch()\ntime.sleep(600)\n"
    )
    task = stage.script(script)
    executor.submit(task)
    eventually((stage.folder / "reported").exists, "it has reported")
    executor.abort([task], "pruned at iteration 19")
    stage.until("stopped", task)
    assert stage.task(task)["status_reason"] == "pruned at iteration 19"
    assert _scalars(stage, task)["validation"]["loss"]["x"] == list(range(20))
    (parent,) = _parents()
    eventually(lambda: parent.children() == [], "it is gone, and no zombie")


def test_a_run_whose_parent_dies_is_lost_and_the_next_one_has_another(stage, executor, run):
    runs = stage.held("runs")
    executor.submit(runs)
    stage.until_begun("runs")
    (parent,) = _parents()
    parent.kill()
    stage.until("failed", runs)
    assert stage.task(runs)["status_reason"] == "lost: the warm process that it was forked from has died"
    assert "ends runs" not in stage.log
    (found,) = run("tell(parent=os.getppid())")
    assert found["parent"] in {each.pid for each in _parents()}


def test_a_template_whose_parents_die_is_not_kept_warm_for_ever(stage, executor, notes):
    script = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)\n"
    for _ in range(3):
        task = stage.script(script)
        executor.submit(task)
        stage.until("failed", task)
    assert notes == ["a template is not kept warm: its warm process has died 3 times"]
    assert _parents() == []


def test_a_parent_that_hangs_is_ended_and_its_task_has_a_process_of_its_own(stage, executor, run, monkeypatch):
    (first,) = run("tell(parent=os.getppid())")
    monkeypatch.setattr(forks, "FORK_S", 1.0)
    os.kill(first["parent"], signal.SIGSTOP)
    script = FOUND.format(folder=str(stage.folder)) + "tell(parent=os.getppid())"
    aborted, task = stage.script(script), stage.script(script)
    executor.submit(aborted)
    eventually(lambda: stage.status(aborted) == "in_progress", "it is taken")
    executor.abort([aborted], "enough")
    executor.submit(task)
    stage.until("stopped", aborted)
    stage.until("completed", task)
    assert not (stage.folder / aborted).exists()
    assert not is_running(first["parent"])
    assert json.loads((stage.folder / task).read_text())["parent"] == os.getpid()


def test_a_task_that_is_aborted_while_its_parent_prepares_does_not_begin(stage, executor, tmp_path, monkeypatch):
    module = tmp_path / "slow"
    module.mkdir()
    (module / "slow_to_import.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path)!r}, 'imports').touch()\ntime.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(module))
    other = LocalExecutor(stage.api, plan_slots(cpu=1, threads=1), queue=f"{stage.queue}-slow")
    task, after = stage.script("import slow_to_import\nprint('begins')\n"), stage.held("after")
    other.submit(task)
    eventually((tmp_path / "imports").exists, "the parent imports")
    other.abort([task], "enough")
    stage.until("stopped", task)
    stage.release("after")
    other.submit(after)
    stage.until("completed", after)
    assert stage.console(task) == ""
    other.close()


TEMPLATE = Path(__file__).resolve().parents[3] / "templates" / "catboost_train.py"


@pytest.mark.long
def test_a_training_has_the_values_that_it_has_in_a_process_of_its_own(stage):
    """Every scalar at every iteration, value for value, at equal seeds; the second run of a parent as the first."""
    params = {"iterations": 25, "depth": 3, "thread_count": 1, "bootstrap_type": "Bayesian", "seed": 5}
    seen = []
    for is_warm, times in ((False, 1), (True, 2)):
        executor = LocalExecutor(stage.api, plan_slots(cpu=1, threads=1), queue=stage.queue, warm=is_warm)
        tasks = [stage.script(TEMPLATE.read_text(), params=params) for _ in range(times)]
        for task in tasks:
            executor.submit(task)
        stage.until("completed", *tasks)
        executor.close()
        seen += [(_scalars(stage, task), _ended(stage, task)) for task in tasks]
    assert seen[0] == seen[1] == seen[2]
    histories = seen[0][0]["validation"]
    assert histories["logloss"]["x"] == list(range(25)) and histories["logloss"]["y"][-1] < histories["logloss"]["y"][0]


def _scalars(stage, task):
    found = stage.api.call("events.scalar_metrics_iter_histogram", task=task, samples=6_000)
    return {metric: series for metric, series in found.items() if metric in ("train", "validation")}


def _ended(stage, task):
    """What the task has at its end, but for times and names of this run."""
    (found,) = stage.api.call("tasks.get_all", id=[task])["tasks"]
    single = found["last_metrics"].values()
    values = sorted(
        (v["metric"], v["variant"], v["value"]) for m in single for v in m.values() if "time" not in v["variant"]
    )
    parameters = {s: {n: v["value"] for n, v in e.items()} for s, e in found["hyperparams"].items()}
    models = [model["name"] for model in found["models"]["output"]]
    kept = [value for value in values if not value[0].startswith(":monitor")]
    return found["last_iteration"], kept, parameters, models


# --- what is not kept warm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n", "1 thread(s)"),
        ("import subprocess\nsubprocess.Popen(['sleep', '600.25'])\n", "its imports have started processes"),
        ("import socket\nkept = socket.socketpair()\n", "its imports have opened a connection"),
        ("import sys\nsys.modules['tensorflow'] = sys\n", "tensorflow does not survive a fork"),
    ],
)
def test_what_must_not_be_forked_runs_in_a_process_of_its_own(stage, tmp_path, monkeypatch, text, reason):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "unsafe_to_fork.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    notes = []
    executor = LocalExecutor(stage.api, plan_slots(cpu=1), queue=stage.queue, on_note=notes.append)
    script = "import unsafe_to_fork, os\nprint(os.getppid())\nos._exit(0)\n"
    tasks = [stage.script(script) for _ in range(2)]
    for task in tasks:
        executor.submit(task)
    stage.until("completed", *tasks)
    executor.close()
    assert {stage.console(task).strip() for task in tasks} == {str(os.getpid())}
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "600.25"]]
    (note,) = notes
    assert note.startswith("a template is not kept warm") and reason in note


@pytest.mark.long
def test_a_library_that_wants_the_task_while_it_is_imported_makes_none(stage, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    library = "from clearml import Task\ntask = Task.init('contract', 'of a library')\n"
    (tmp_path / "own" / "tracks_all.py").write_text(library)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    executor = LocalExecutor(stage.api, plan_slots(cpu=1), queue=stage.queue, on_note=lambda text: None)
    task = stage.script("from tracks_all import task\nprint('the task is', task.id)\n")
    executor.submit(task)
    stage.until("completed", task)
    executor.close()
    assert f"the task is {task}" in stage.console(task)
    assert stage.api.call("tasks.get_all", name="^of a library$", only_fields=["id"])["tasks"] == []


def test_a_script_with_the_name_of_a_module_runs_in_a_process_of_its_own(stage, notes, executor):
    """There, and only there, its name hides the module, which is none that Python has built in."""
    script = {
        "entry_point": "selectors.py",
        "binary": "python3",
        "diff": "import selectors\nprint(selectors.__file__)\n",
    }
    task = stage.script("", script=script)
    executor.submit(task)
    stage.until("completed", task)
    assert stage.console(task).splitlines()[0].endswith("cpu0/code/selectors.py")
    assert len(notes) == 1 and "its own module 'selectors'" in notes[0]


def test_parents_that_are_of_no_more_use_are_ended(run, monkeypatch):
    run("tell()")
    (first,) = _parents()
    monkeypatch.setattr(forks, "IDLE_S", 0.0)
    eventually(lambda: not first.is_running(), "it is ended")
    run("tell()")


def test_idle_parents_are_ended_where_memory_is_short(run, monkeypatch):
    run("tell()")
    (first,) = _parents()
    monkeypatch.setattr(forks, "LEAST_FREE", 1.1)
    eventually(lambda: not first.is_running(), "it is ended")
    run("tell()")


def test_each_gpu_has_parents_that_see_it_from_their_start(stage):
    slots = plan_slots(["0", "3"], per_gpu=2, present=["0", "3"])
    executor = LocalExecutor(stage.api, slots, queue=stage.queue)
    held = FOUND.format(folder=str(stage.folder)) + (
        "import time\nseen = pathlib.Path(f'/proc/{os.getppid()}/environ').read_bytes().decode().split('\\0')\n"
        "seen = [each for each in seen if each.startswith('CUDA_V')]\n"
        "tell(parent=os.getppid(), own=os.environ['CUDA_VISIBLE_DEVICES'], seen=seen)\n"
        "while not (folder / 'release').exists(): time.sleep(0.02)\n"
    )
    tasks = [stage.script(held) for _ in slots]
    for task in tasks:
        executor.submit(task)
    eventually(lambda: all((stage.folder / task).exists() for task in tasks), "all run at once")
    (stage.folder / "release").touch()
    stage.until("completed", *tasks)
    executor.close()
    found = [json.loads((stage.folder / task).read_text()) for task in tasks]
    assert sorted(each["own"] for each in found) == ["0", "0", "3", "3"]
    assert len({(each["own"], each["parent"]) for each in found}) == len({each["parent"] for each in found}) == 2
    assert all(each["seen"] == [f"CUDA_VISIBLE_DEVICES={each['own']}"] for each in found)


def test_idle_parents_are_few(run, monkeypatch):
    monkeypatch.setattr(forks, "MOST_PARENTS", 2)
    pids = [run(f"tell(parent=os.getppid())  # {i}")[0]["parent"] for i in range(4)]
    eventually(lambda: {each.pid for each in _parents()} == set(pids[2:]), "the last two are kept")


def test_a_task_that_cannot_be_prepared_fails_and_the_next_one_runs(stage, executor):
    broken = stage.script("", script={"entry_point": '-m mod --name "it', "binary": "python3", "diff": ""})
    task = stage.script("print('runs')\n")
    for each in (broken, task):
        executor.submit(each)
    stage.until("failed", broken)
    stage.until("completed", task)
    assert "No closing quotation" in stage.task(broken)["status_reason"]


def test_a_queue_that_was_deleted_does_not_starve_the_others(stage):
    gone, left = (stage.api.call("queues.create", name=f"{stage.queue}-{name}")["id"] for name in ("gone", "left"))
    notes = []
    two = LocalWorkers(
        plan_slots(cpu=1, threads=1), QueueSource([gone, left], notes.append), "two", on_note=notes.append
    )
    try:
        eventually(lambda: _registered(stage.api, gone), "it serves both")
        stage.api.call("queues.delete", queue=gone, force=True)
        task = stage.script("print('runs')\n")
        stage.api.call("tasks.enqueue", task=task, queue=left)
        stage.until("completed", task)
    finally:
        two.close()
    assert notes == [f"queue {gone} was deleted; it is no longer served here"]


def test_nothing_is_taken_from_a_queue_that_is_closed(stage, monkeypatch):
    """ClearML's own tag: agents heed it, too."""
    monkeypatch.setattr(task_source, "_TAGS_S", 0.5)
    closed, open_ = (stage.api.call("queues.create", name=f"{stage.queue}-{name}")["id"] for name in ("closed", "open"))
    stage.api.call("queues.update", queue=closed, tags=["force_workers:off"])
    waits, runs = stage.script("print('runs')\n"), stage.script("print('runs')\n")
    for task, queue in ((waits, closed), (runs, open_)):
        stage.api.call("tasks.enqueue", task=task, queue=queue)
    two = LocalWorkers(
        plan_slots(cpu=1, threads=1), QueueSource([closed, open_], pytest.fail), "two", on_note=pytest.fail
    )
    try:
        stage.until("completed", runs)
        assert stage.status(waits) == "queued"
        stage.api.call("queues.update", queue=closed, tags=[])
        stage.until("completed", waits)
    finally:
        two.close()


def _registered(api, queue):
    workers = api.call("workers.get_all")["workers"]
    return any(queue in [each["id"] for each in worker["queues"]] for worker in workers)


def test_console_output_that_the_server_does_not_take_keeps_no_task_waiting(stage, executor, notes, monkeypatch):
    def refuse(self, events):
        raise ApiError("events.add_batch", 500, 100, "the index is read-only")

    monkeypatch.setattr(Api, "send_events", refuse)
    tasks = [stage.script(f"print('line {i}')\n") for i in range(2)]
    for task in tasks:
        executor.submit(task)
    stage.until("completed", *tasks)
    assert any("console output is dropped" in note for note in notes)


def test_a_silent_task_shows_that_it_lives(stage, monkeypatch, request):
    def heard(task):
        found = stage.api.call("tasks.get_all", id=[task], only_fields=["last_update"])["tasks"]
        return found[0]["last_update"]

    monkeypatch.setattr(protocol, "_REPORT_S", 0.2)
    executor = request.getfixturevalue("executor")
    executor.submit(task := stage.held("silent"))
    stage.until_begun("silent")
    before = heard(task)
    eventually(lambda: heard(task) > before, "it was heard of")
    stage.release("silent")
    stage.until("completed", task)


def test_a_machine_that_cannot_keep_a_task_has_lost_it(stage, executor, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(programs, "prepare", full)
    executor.submit(task := stage.script("print('runs')\n"))
    stage.until("failed", task)
    assert stage.task(task)["status_reason"] == "lost: [Errno 28] No space left on device"
