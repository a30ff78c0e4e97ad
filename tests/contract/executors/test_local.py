"""The contract on processes of this machine, and what is special to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from clearml_hpo.backend.hyperparameters import with_values
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.errors import InputError
from clearml_hpo.executors.local import LOCAL, LocalExecutor
from clearml_hpo.machine import gpus
from clearml_hpo.machine.background import is_running
from clearml_hpo.testing.executor_contract import ProcessContract, Stage, eventually
from clearml_hpo.workers import task_process
from clearml_hpo.workers.recovery import worker_id
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import Slot, plan_slots
from clearml_hpo.workers.task_source import QueueSource
from tests import place

GPU = "0, GPU-7e3c9f5a, {free}\n"


@pytest.fixture(params=["cold", "warm"])
def warm(request):
    return request.param == "warm"


class TestLocalExecutor(ProcessContract):
    @pytest.fixture
    def executor(self, stage, warm):
        notes = []
        executor = LocalExecutor(
            stage.api, plan_slots(cpu=stage.slots, threads=1), queue=stage.queue, warm=warm, on_note=notes.append
        )
        yield executor
        executor.close()
        assert notes == []


@pytest.fixture
def stage(api, tmp_path, request):
    return Stage(api, tmp_path, place.queue(f"local-{request.node.name[:30]}"), 2)


@pytest.fixture
def make(stage, warm):
    """Makes an executor that ends with the test."""
    made = []

    def make(slots=(), **options):
        given = {"queue": stage.queue, "warm": warm, **options}
        made.append(LocalExecutor(stage.api, slots or plan_slots(cpu=2, threads=1), **given))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def _pid(stage, name="pid"):
    path = stage.folder / name
    eventually(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is written")
    return int(path.read_text())


def _writes_pid(stage, then="", name="pid"):
    path = str(stage.folder / name)
    return f"import os, pathlib, time\npathlib.Path({path!r}).write_text(f'{{os.getpid()}}\\n')\n{then}"


def _is_gone(pid):
    return not is_running(pid)


# --- how a task ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def train():\n    raise ValueError('no such depth')\ntrain()\n", "ValueError: no such depth (exit code 1)"),
        ("import sys\nprint('the disk is full', flush=True)\nsys.exit(3)\n", "the disk is full (exit code 3)"),
        ("import os\nos._exit(4)\n", "no output (exit code 4)"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
            "ended by SIGKILL, signal 9 (was it out of memory?)",
        ),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", "lost: ended by SIGTERM, signal 15"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ended by SIGSEGV, signal 11"),
        ("import os\nos.kill(os.getpid(), 35)\n", "ended by signal 35"),
        ("a = = 1\n", "SyntaxError: invalid syntax (exit code 1)"),
        ("import a_package_that_is_not_there\n", "No module named 'a_package_that_is_not_there' (exit code 1)"),
    ],
)
def test_the_reason_of_a_failure(stage, make, script, reason):
    task = stage.script(script)
    make().submit(task)
    stage.until("failed", task)
    assert stage.task(task)["status_reason"].endswith(reason)


CRASHES = {
    "read": "import ctypes; ctypes.string_at(0)",
    "sent": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV); import time; time.sleep(60)",
}


@pytest.mark.long
@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_ends_a_script_that_uses_the_sdk(stage, make, crash):
    """The SDK catches the signal: a real crash would repeat for ever, one that is sent would be a normal end."""
    task = stage.script(f"from clearml import Task\nTask.init()\n{CRASHES[crash]}\n")
    make().submit(task)
    stage.until("failed", task)
    assert stage.task(task)["status_reason"] == "ended by SIGSEGV, signal 11"


ARGUMENTS = {
    "click": """
        import click
        from clearml import Task

        @click.command()
        @click.option("--lr", type=float, default=0.5)
        @click.option("--layers", multiple=True, type=int, default=[1, 2])
        @click.option("--none", multiple=True, type=int)
        @click.option("--zero", type=int, default=0)
        @click.option("--limit", type=float, default=None)
        @click.option("--text", default=None)
        @click.option("--amp/--no-amp", default=False)
        def main(**options):
            Task.init()
            print("GOT", *options.values())

        if __name__ == "__main__":
            main()
        """,
    "fire": """
        import fire
        from clearml import Task

        def main(lr=0.5, none=None, amp=False):
            print("GOT", lr, none, amp)

        Task.init()
        fire.Fire(main)
        """,
    "jsonargparse": """
        from clearml import Task
        from jsonargparse import ArgumentParser

        Task.init()
        parser = ArgumentParser()
        parser.add_argument("--lr", type=float, default=0.5)
        parser.add_argument("--none", type=int, default=None)
        parser.add_argument("--amp", type=bool, default=False)
        found = parser.parse_args()
        print("GOT", found.lr, found.none, found.amp)
        """,
}
NOTED = {
    "click": {"lr": "0.5", "layers": "(1, 2)", "none": "()", "zero": "0", "limit": "", "text": "", "amp": "False"},
    "fire": {"lr": "0.5", "none": "", "amp": "False"},
    "jsonargparse": {"lr": "0.5", "none": "", "amp": "False"},
}
GOT = {"click": "(1, 2) () 0 None None", "fire": "None", "jsonargparse": "None"}


@pytest.mark.long
def test_a_first_run_notes_arguments_and_its_clones_get_them(stage, make):
    """Of a task without any the SDK would hand over none, or end with a KeyError."""
    for library in ARGUMENTS:
        pytest.importorskip(library)
    executor = make()
    first = {library: stage.script(textwrap.dedent(script)) for library, script in ARGUMENTS.items()}
    for task in first.values():
        executor.submit(task)
    stage.until("completed", *first.values())
    clones = {}
    for library, task in first.items():
        assert f"GOT 0.5 {GOT[library]} False" in stage.console(task)
        hyperparams = stage.api.call("tasks.get_by_id", task=task)["task"]["hyperparams"]
        noted = {name: entry.get("value") or "" for name, entry in hyperparams["Args"].items()}
        assert {name: noted[name] for name in NOTED[library]} == NOTED[library]
        changed = with_values(hyperparams, {"Args/lr": 0.25, "Args/amp": True})
        clones[library] = stage.api.call("tasks.clone", task=task, new_task_hyperparams=changed)["id"]
        executor.submit(clones[library])
    stage.until("completed", *clones.values())
    for library, task in clones.items():
        assert f"GOT 0.25 {GOT[library]} True" in stage.console(task)


POOLS = """
import multiprocessing
from clearml import Task

def square(number):
    return number * number

Task.init()
for _ in range(20):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(square, range(4)) == [0, 1, 4, 9]
"""


@pytest.mark.long
def test_pools_of_forks_end(stage, make):
    """Each is ended by SIGTERM; with the SDK's own handler and locks every second run of these hangs."""
    task = stage.script(POOLS)
    make().submit(task)
    stage.until("completed", task)


@pytest.mark.long
@pytest.mark.agent
def test_a_crash_under_clearml_agent_execute_has_the_same_reason(stage, monkeypatch):
    monkeypatch.setenv("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1")
    script = f"from clearml import Task\nTask.init()\n{CRASHES['read']}\n"
    carried = {"entry_point": "trial.py", "working_dir": ".", "diff": script, "binary": "python3"}
    task = stage.script("", script={**carried, "requirements": {"pip": "a-package-that-is-not-there"}})
    queue = ensure_queue(stage.api, stage.queue)
    workers = LocalWorkers(plan_slots(cpu=1, threads=1), QueueSource([queue], print), "crash", venv=True, on_note=print)
    try:
        stage.api.call("tasks.enqueue", task=task, queue=queue)
        stage.until("failed", task)
    finally:
        workers.close()
    assert stage.task(task)["status_reason"] == "ended by SIGSEGV, signal 11"


def test_the_console_has_what_any_process_of_the_task_prints(stage, make):
    script = """
        import os, subprocess, sys
        print("a line")
        print("at once", file=sys.stderr)
        for i in range(101):
            print(f"\\r{i}%", end="")
        print()
        subprocess.run(["echo", "from a child"])
        print("no end of line", end="")
    """
    task = stage.script(textwrap.dedent(script))
    make().submit(task)
    stage.until("completed", task)
    lines = stage.console(task).split("\n")
    assert [line for line in lines if line] == ["a line", "at once", "100%", "from a child", "no end of line"]


def test_a_flood_of_output_is_cut(stage, make):
    task = stage.script("print('first')\nfor i in range(300_000): print('0123456789' * 2)\nprint('last')\n")
    make().submit(task)
    stage.until("completed", task)
    text = stage.console(task)
    assert text.endswith("last\n") and "bytes left out" in text
    assert len(text) < 4 * 1024 * 1024


@pytest.mark.long
def test_the_status_that_a_script_sets_itself_stays(stage, make):
    script = (
        "from clearml import Task\ntask = Task.init('contract', 'fails')\ntask.mark_failed(status_reason='by design')\n"
    )
    task = stage.script(script)
    make().submit(task)
    eventually(lambda: stage.status(task) == "failed", "the script marks itself failed")
    assert stage.task(task)["status_reason"] == "by design"


def test_what_a_task_leaves_running_ends_with_it(stage, make):
    child = _writes_pid(stage, "time.sleep(600)", "child")
    then = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
    then += f"while not os.path.exists({str(stage.folder / 'child')!r}): time.sleep(0.02)\n"
    task = stage.script(_writes_pid(stage, then))
    make().submit(task)
    stage.until("completed", task)
    assert _is_gone(_pid(stage, "child"))


# --- how it is ended ----------------------------------------------------------------------------------------------


def test_a_task_that_does_not_heed_is_killed(stage, make, monkeypatch):
    monkeypatch.setattr(task_process, "GRACE_S", 0.3)
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    task = stage.script(deaf + _writes_pid(stage, "time.sleep(600)"))
    executor = make()
    executor.submit(task)
    pid = _pid(stage)
    executor.abort([task], "pruned at iteration 3")
    stage.until("stopped", task)
    assert stage.task(task)["status_reason"] == "pruned at iteration 3"
    assert _is_gone(pid)


HANGS = {
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "in a session of its own": "subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)",
}


@pytest.mark.parametrize("how", HANGS)
def test_whatever_hangs_is_ended(stage, make, monkeypatch, how):
    """The task, and a process of it that heeds no SIGTERM, also where that is no longer in the task's session."""
    monkeypatch.setattr(task_process, "GRACE_S", 0.5)
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    child = deaf + _writes_pid(stage, "time.sleep(600)", "child")
    script = "import signal, subprocess, sys\n" + _writes_pid(stage) + HANGS[how].format(child=child)
    task = stage.script(script + "\ntime.sleep(600)\n")
    executor = make()
    executor.submit(task)
    pids = [_pid(stage)] + ([_pid(stage, "child")] if "child" in HANGS[how] else [])
    executor.abort([task], "pruned at iteration 3")
    stage.until("stopped", task)
    assert [pid for pid in pids if not _is_gone(pid)] == []
    after = stage.held("after")
    stage.release("after")
    executor.submit(after)
    stage.until("completed", after)


# --- memory that runs out -----------------------------------------------------------------------------------------


def test_memory_that_is_limited(stage, make):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\nheld = bytearray(4 << 30)\n"
    task, beside = stage.script(limit), stage.held("beside")
    executor = make()
    for each in (beside, task):
        executor.submit(each)
    stage.until_begun("beside")
    stage.until("failed", task)
    assert stage.task(task)["status_reason"] == "MemoryError (exit code 1)"
    stage.release("beside")
    stage.until("completed", beside)


@pytest.fixture
def small():
    """A group of processes that has 64 MiB: its file of pids; what is more than that, the kernel kills."""
    mine = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    where = next((Path("/sys/fs/cgroup/memory" + path) for _, kinds, path in mine if kinds == "memory"), None)
    where = where or next((Path("/sys/fs/cgroup" + path) for number, _, path in mine if number == "0"), Path("/none"))
    group = where / f"clearml-hpo-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text(str(64 * 1024 * 1024))
                break
        else:
            group.rmdir()
            pytest.skip("memory cannot be limited here")
    except OSError as error:
        pytest.skip(f"no group of processes can be made here: {error}")
    yield group / "cgroup.procs"
    eventually(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
    group.rmdir()


def test_memory_that_runs_out(stage, make, small):
    """The kernel ends the task, and it alone."""
    script = (
        f"import os\nopen({str(small)!r}, 'w').write(str(os.getpid()))\nheld = bytearray(os.urandom(1 << 20)) * 4096\n"
    )
    task, beside, after = stage.script(script), stage.held("beside"), stage.held("after")
    executor = make()
    for each in (beside, task):
        executor.submit(each)
    stage.until_begun("beside")
    stage.until("failed", task)
    assert stage.task(task)["status_reason"] == "ended by SIGKILL, signal 9 (was it out of memory?)"
    stage.release("beside", "after")
    executor.submit(after)
    stage.until("completed", beside, after)


# --- how it is ended, and by whom ---------------------------------------------------------------------------------


def test_a_task_may_tidy_up_when_it_is_aborted(stage, make):
    path = str(stage.folder / "tidy")
    tidy = f"import signal, sys\ndef tidy(*_):\n    open({path!r}, 'w')\n    sys.exit(0)\n"
    tidy += "signal.signal(signal.SIGTERM, tidy)\n"
    task = stage.script(tidy + _writes_pid(stage, "time.sleep(600)"))
    executor = make()
    executor.submit(task)
    _pid(stage)
    executor.abort([task], "enough")
    stage.until("stopped", task)
    assert (stage.folder / "tidy").exists()


def test_an_abort_in_the_web_page(stage, make):
    task = stage.script(_writes_pid(stage, "time.sleep(600)"))
    make().submit(task)
    pid = _pid(stage)
    stage.api.call("tasks.stop", task=task)
    stage.until("stopped", task)
    assert _is_gone(pid)


def test_deleted_while_it_runs_it_frees_its_slot(stage, make):
    task, after = stage.script(_writes_pid(stage, "time.sleep(600)")), stage.held("after")
    executor = make(plan_slots(cpu=1))
    executor.submit(task)
    executor.submit(after)
    pid = _pid(stage)
    stage.api.call("tasks.delete", task=task, force=True)
    stage.release("after")
    stage.until("completed", after)
    assert _is_gone(pid)


@pytest.mark.parametrize("slots", [1, 2])
def test_put_back_into_the_queue_while_it_runs_it_starts_again(stage, make, slots):
    begins = f"with open({str(stage.folder / 'runs')!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
    release = f"while not os.path.exists({str(stage.folder / 'release')!r}): time.sleep(0.02)\n"
    task = stage.script("import os, time\n" + begins + release)
    make(plan_slots(cpu=slots)).submit(task)
    runs = stage.folder / "runs"
    eventually(runs.exists, "it runs")
    stage.api.call("tasks.reset", task=task, force=True)
    stage.api.call("tasks.enqueue", task=task, queue_name=stage.queue)
    eventually(lambda: len(runs.read_text().split()) == 2, "it runs again")
    first, second = map(int, runs.read_text().split())
    eventually(lambda: _is_gone(first), "the first run is ended")
    assert stage.status(task) == "in_progress" and not _is_gone(second)
    (stage.folder / "release").touch()
    stage.until("completed", task)


# --- closing and dying --------------------------------------------------------------------------------------------


def test_close_ends_what_runs_and_keeps_what_waits(stage, make):
    runs, waits = stage.script(_writes_pid(stage, "time.sleep(600)")), stage.held("waits")
    first = make(plan_slots(cpu=1))
    first.submit(runs)
    first.submit(waits)
    pid = _pid(stage)
    first.close()
    assert (stage.status(runs), stage.status(waits)) == ("stopped", "queued")
    assert stage.task(runs)["status_reason"] == "its controller ended"
    assert _is_gone(pid)
    stage.release("waits")
    make(plan_slots(cpu=1))
    stage.until("completed", waits)
    first.close()
    assert stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"], "it is the other one's now"


def test_a_queue_of_its_own_goes_with_it(stage, make):
    make().close()
    assert stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"] == []


def test_a_queue_of_somebody_else_stays(stage, make):
    stage.api.call("queues.create", name=stage.queue)
    make().close()
    assert len(stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"]) == 1


CONTROLLER = """
import sys, time
from clearml_hpo.backend.api import Api
from clearml_hpo.executors.local import LocalExecutor
from clearml_hpo.workers.slots import plan_slots
executor = LocalExecutor(Api(), plan_slots(cpu=1), queue=sys.argv[1])
for task in sys.argv[2:]:
    executor.submit(task)
print(executor._workers._runner.folder, flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_killed_controller_and_the_next_one_finds_what_it_left(stage, make):
    deaf = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    runs, waits = stage.script(deaf + _writes_pid(stage, "time.sleep(600)")), stage.held("waits")
    command = [sys.executable, "-c", CONTROLLER, stage.queue, runs, waits]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as controller:
        folder = controller.stdout.readline().strip()
        pid = _pid(stage)
        assert stage.status(runs) == "in_progress"
        controller.send_signal(signal.SIGKILL)
    eventually(lambda: _is_gone(pid), "the task's process is gone")
    eventually(lambda: not Path(folder).exists(), "its folder is gone")
    assert (stage.status(runs), stage.status(waits)) == ("in_progress", "queued")
    stage.release("waits")
    make()
    stage.until("failed", runs)
    assert stage.task(runs)["status_reason"].startswith("lost: worker ")
    stage.until("completed", waits)


def test_a_task_whose_worker_died_at_its_start_is_lost(stage, make):
    with subprocess.Popen(["true"]) as dead:
        pass
    task = stage.held("started")
    queue = stage.api.call("queues.create", name=stage.queue)["id"]
    stage.api.call("tasks.enqueue", task=task, queue=queue)
    stage.api.call("queues.get_next_task", queue=queue)
    worker = worker_id(stage.queue, dead.pid, Slot("cpu0"))
    stage.api.call("tasks.started", task=task, status_reason=f"pulled by {worker}")  # and dies
    make()
    stage.until("failed", task)
    assert stage.task(task)["status_reason"] == f"lost: worker {worker} died"


def test_what_runs_elsewhere_on_the_queue_is_left_alone(stage, make):
    ids = [stage.held(name) for name in ("elsewhere", "alive", "next")]
    queue = stage.api.call("queues.create", name=stage.queue)["id"]
    with subprocess.Popen(["sleep", "600"]) as alive:
        workers = ["another-host:agent:0", worker_id(stage.queue, alive.pid, Slot("cpu0"))]
        for task, worker in zip(ids, workers, strict=False):
            stage.api.call("tasks.enqueue", task=task, queue=queue)
            stage.api.call("queues.get_next_task", queue=queue)
            stage.api.call("tasks.started", task=task, status_reason=f"pulled by {worker}")
        stage.release("next")
        make().submit(ids[2])
        stage.until("completed", ids[2])
        alive.kill()
    assert [stage.status(task) for task in ids[:2]] == ["in_progress", "in_progress"]


_IN_A_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c"]


@pytest.mark.skipif(
    subprocess.run([*_IN_A_CONTAINER, ""], capture_output=True, check=False).returncode != 0,
    reason="no pid namespace can be made here",
)
def test_a_worker_in_a_container_of_the_same_host_name_leaves_alone_what_runs_outside(stage, make):
    """Its pids say nothing about those outside."""
    outside, inside = stage.held("outside"), stage.held("inside")
    make(plan_slots(cpu=1)).submit(outside)
    stage.until_begun("outside")
    command = [*_IN_A_CONTAINER, CONTROLLER, stage.queue, inside]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as container:
        stage.until_begun("inside")
        statuses = [stage.status(task) for task in (outside, inside)]
        container.kill()
    assert statuses == ["in_progress", "in_progress"]


def test_a_task_that_was_taken_and_never_started_is_put_back(stage, make):
    task = stage.held("taken")
    stage.release("taken")
    queue = stage.api.call("queues.create", name=stage.queue)["id"]
    stage.api.call("tasks.enqueue", task=task, queue=queue)
    stage.api.call("queues.get_next_task", queue=queue)  # and dies
    make()
    stage.until("completed", task)


# --- what runs ----------------------------------------------------------------------------------------------------


def _git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with a package, and a script in a folder that imports it; its head has moved on since."""
    folder = tmp_path / "repository"
    (folder / "scripts").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "model" / "__init__.py").write_text("NAME = 'committed'\n")
    (folder / "model" / "train.py").write_text("import sys, model\nprint('module', model.NAME, sys.argv[1:])\n")
    (folder / "scripts" / "train.py").write_text("import os, model\nprint(model.NAME, os.path.basename(os.getcwd()))\n")
    _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "first")
    first = _git(folder, "rev-parse", "HEAD")
    (folder / "model" / "__init__.py").write_text("NAME = 'newer'\n")
    _git(folder, "commit", "--quiet", "-am", "second")
    return folder, first


def _of_repository(stage, repository, script):
    own = {"repository": str(repository), "working_dir": ".", "binary": "python3", "diff": ""}
    return stage.script("", script=own | script)


def test_a_commit_of_a_repository_with_uncommitted_changes(stage, make, repository):
    folder, first = repository
    changed = folder / "model" / "__init__.py"
    _git(folder, "checkout", "--quiet", first)
    changed.write_text("NAME = 'uncommitted'\n")
    diff = _git(folder, "diff")
    _git(folder, "checkout", "--quiet", "--force", "main")
    executor = make()
    tasks = {
        "committed scripts": {"version_num": first, "entry_point": "train.py", "working_dir": "scripts"},
        "uncommitted scripts": {
            "version_num": first,
            "diff": diff,
            "entry_point": "train.py",
            "working_dir": "scripts",
        },
        "newer scripts": {"branch": "main", "entry_point": "train.py", "working_dir": "scripts"},
        "newer tree": {"entry_point": "scripts/train.py"},
        "module newer ['--deep', 'a b']": {"entry_point": "-m model.train --deep 'a b'"},
    }
    ids = {printed: _of_repository(stage, folder, script) for printed, script in tasks.items()}
    for task in ids.values():
        executor.submit(task)
    stage.until("completed", *ids.values())
    assert {printed: stage.console(task).strip() for printed, task in ids.items()} == {name: name for name in ids}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"version_num": "0" * 40, "entry_point": "a.py"}, f"script.version_num: no '{'0' * 40}' in "),
        ({"branch": "mian", "entry_point": "a.py"}, "script.branch: no 'mian' in "),
        ({"working_dir": "srcipts", "entry_point": "a.py"}, "script.working_dir: no folder 'srcipts' at "),
        ({"diff": "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n", "entry_point": "a.py"}, "git apply: "),
        ({"repository": "/nonexistent/repository", "entry_point": "a.py"}, "git clone: "),
        ({"entry_point": "nothing.py"}, "can't open file"),
    ],
)
def test_code_that_cannot_be_had(stage, make, repository, script, reason):
    task = _of_repository(stage, repository[0], script)
    make().submit(task)
    stage.until("failed", task)
    assert reason in stage.task(task)["status_reason"]


def test_a_run_sees_nothing_of_the_one_before(stage, make):
    script = "import pathlib\npath = pathlib.Path('checkpoint')\nassert not path.exists()\npath.touch()\n"
    tasks = [stage.script(script), stage.script(script)]
    executor = make(plan_slots(cpu=1))
    for task in tasks:
        executor.submit(task)
    stage.until("completed", *tasks)


def test_a_container_is_refused_with_what_to_do(stage, make):
    task, after = stage.script("print(1)\n", container={"image": "python:3.11"}), stage.script("print(1)\n")
    executor = make()
    executor.submit(task)
    executor.submit(after)
    stage.until("failed", task)
    assert "the task asks for 'python:3.11'" in stage.task(task)["status_reason"]
    stage.until("completed", after)


@pytest.mark.long
@pytest.mark.parametrize(
    ("conf", "printed"),
    [
        ("", "False"),
        ("sdk { development { report_use_subprocess: true } }", "True"),
        ('{"sdk": {"development": {"report_use_subprocess": true}}}', "True"),
    ],
)
def test_the_sdk_reports_from_the_script_unless_its_configuration_says_otherwise(
    stage, make, monkeypatch, conf, printed
):
    path = stage.folder / "a person's.conf"
    path.write_text(conf)
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(path))
    task = stage.script("from clearml.config import config\nprint(config.get('development.report_use_subprocess'))\n")
    make().submit(task)
    stage.until("completed", task)
    assert stage.console(task).strip() == printed


# --- GPUs ---------------------------------------------------------------------------------------------------------


def test_each_gpu_slot_sees_its_gpu(stage, make):
    found = {}
    slots = plan_slots(["0", "3"], per_gpu=2, present=["0", "3"])
    executor = make(slots)
    for pair in ((0, 1), (2, 3)):
        for i in pair:
            script = (
                "import os, pathlib, time\n"
                f"folder = pathlib.Path({str(stage.folder)!r})\n"
                f"(folder / 'saw{i}').write_text(os.environ['CUDA_VISIBLE_DEVICES'] + '\\n')\n"
                "while not (folder / 'release').exists(): time.sleep(0.02)\n"
            )
            found[i] = stage.script(script)
            executor.submit(found[i])
        # A GPU that is free comes before one that would be shared; of tasks taken together any may be the first.
        assert sorted(_pid(stage, f"saw{i}") for i in pair) == [0, 3]
    (stage.folder / "release").touch()
    stage.until("completed", *found.values())


def test_a_gpu_is_shared_only_if_its_memory_suffices(stage, make, monkeypatch):
    free = stage.folder / "free"
    free.write_text(GPU.format(free=15_000))
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *words: free.read_text())
    executor = make(plan_slots(["0"], per_gpu=2, present=["0"]), min_free_mb=10_000)
    first, second, third = (stage.held(name) for name in ("first", "second", "third"))
    for task in (first, second, third):
        executor.submit(task)
    stage.until_begun("first")
    for _ in range(10):
        assert executor.waiting() == {second, third}
    free.write_text(GPU.format(free=30_000))
    stage.release("first")
    stage.until_begun("second", "third")  # 30,000 MiB at rest are enough for both
    stage.release("second", "third")
    stage.until("completed", first, second, third)


def test_a_gpu_that_does_not_answer_keeps_nothing_waiting(stage, make, monkeypatch):
    answers = stage.folder / "bin"
    answers.mkdir()
    hangs = answers / "nvidia-smi"
    hangs.write_text(f"#!/bin/sh\necho $$ > {stage.folder / 'asked'}\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{answers}:{os.environ['PATH']}")
    monkeypatch.setattr(gpus, "_TIMEOUT_S", 600.0)
    executor = make([Slot("gpu0", "0")])
    asked = _pid(stage, "asked")
    first, second = stage.held("first"), stage.held("second")
    executor.submit(first)
    stage.until_begun("first")
    executor.abort([first], "enough")
    stage.until("stopped", first)
    executor.submit(second)
    stage.release("second")
    stage.until("completed", second)
    os.kill(asked, signal.SIGKILL)


def test_memory_that_nobody_tells_cannot_be_asked_for(stage, monkeypatch):
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *words: "")
    with pytest.raises(InputError, match="min_free_mb: nvidia-smi tells no free memory of GPU 'MIG-b3b2'"):
        LocalExecutor(stage.api, [Slot("a", "MIG-b3b2")], queue=stage.queue, min_free_mb=100)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"slots": []}, "slots: one or more"),
        ({"slots": [Slot("a"), Slot("a")]}, "slots: one or more with a name of its own each"),
        ({"queue": "ab"}, "queue 'ab': a ClearML queue's name has three characters or more"),
        ({"min_free_mb": 0}, "min_free_mb: 0 is too little"),
    ],
)
def test_bad_input(stage, wrong, said):
    with pytest.raises(InputError, match=said):
        LocalExecutor(stage.api, **{"slots": [Slot("a")], "queue": "abc", **wrong})
    assert LOCAL == "local"
