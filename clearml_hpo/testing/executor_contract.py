"""What must hold of every executor, as tests (needs pytest).

Derive a class from :class:`ExecutorContract`, or from :class:`ProcessContract` if the executor runs the tasks' scripts,
and give it the fixture ``executor``::

    class TestMyExecutor(ProcessContract):
        @pytest.fixture
        def executor(self, stage):
            executor = MyExecutor(stage.api, slots=stage.slots)
            yield executor
            executor.close()

The fixture ``api`` comes from the surrounding tests: a connection to a server that the tests may fill.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.executors import Executor

DEADLINE_S = 60.0
"""Longest wait for what an executor is to do."""
PROJECT = "contract"
"""The ClearML project of the tasks."""

_LOOK_S = 0.02
"""Pause between two looks at whether it has."""
_UNKNOWN = "0" * 32
_HELD = """\
import os, pathlib, time
folder, name = pathlib.Path({folder!r}), {name!r}
def say(word):
    with (folder / "log").open("a") as log:
        log.write(word + " " + name + "\\n")
say("begins")
while not (folder / ("release-" + name)).exists():
    time.sleep(0.02)
say("ends")
"""
"""Waits until it is released; what happens when is in the log."""


def eventually(happened: Callable[[], object], what: str, found: Callable[[], object] = str) -> None:
    """Waits until it has happened; fails after :data:`DEADLINE_S` with ``what`` and with what is ``found`` then."""
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, f"did not happen in {DEADLINE_S:.0f} s: {what}\n{found()}"
        time.sleep(_LOOK_S)


@dataclass
class Stage:
    """Tasks for an executor, and what became of them.

    Attributes:
        folder: where tasks write what they do, and where they look whether they may end.
        queue: name of a queue of this test's own, which does not exist yet.
        slots: how many tasks the executor is to run at once.
    """

    api: Api
    folder: Path
    queue: str
    slots: int

    def held(self, name: str) -> str:
        """Id of a task that runs until it is released."""
        return self.script(_HELD.format(folder=str(self.folder), name=name), name=name)

    def script(self, text: str, *, name: str = "trial", params: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Id of a task that carries a script."""
        values = {"name": name, **(params or {})}
        entries = {
            key: {"section": "General", "name": key, "value": str(value), "type": type(value).__name__}
            for key, value in values.items()
        }
        script = {"entry_point": "trial.py", "working_dir": ".", "diff": text, "binary": "python3"}
        body = {
            "name": f"contract {name}",
            "type": "training",
            "project": ensure_project(self.api, PROJECT),
            "script": script,
            "hyperparams": {"General": entries},
        }
        return str(self.api.call("tasks.create", **{**body, **fields})["id"])

    def training(self, params: Mapping[str, str]) -> Iterator[Mapping[str, float]]:
        """What :meth:`held` does, for agents that play."""
        name = params["General/name"]
        self._say(f"begins {name}")
        while not (self.folder / f"release-{name}").exists():
            time.sleep(_LOOK_S)
            yield {}
        self._say(f"ends {name}")

    def release(self, *names: str) -> None:
        """Lets tasks end."""
        for name in names:
            (self.folder / f"release-{name}").touch()

    @property
    def log(self) -> list[str]:
        """What has happened, such as ``begins a``."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def begun(self) -> list[str]:
        """Names of the tasks that began, in their order."""
        return [line.partition(" ")[2] for line in self.log if line.startswith("begins ")]

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as the server has it; {} if it has none."""
        fields = ["id", "status", "status_reason", "status_message", "last_metrics", "last_worker"]
        found = self.api.call("tasks.get_all", id=[task_id], only_fields=fields)["tasks"]
        return dict(found[0]) if found else {}

    def status(self, task_id: str) -> str:
        """A task's status; empty if it was deleted."""
        return str(self.task(task_id).get("status", ""))

    def console(self, task_id: str) -> str:
        """What a task has printed."""
        events = self.api.call("events.get_task_log", task=task_id, batch_size=500, navigate_earlier=True)["events"]
        return "\n".join(str(event["msg"]) for event in sorted(events, key=lambda event: float(event["timestamp"])))

    def until(self, status: str, *task_ids: str) -> None:
        """Waits until all these tasks have a status."""
        eventually(
            lambda: all(self.status(task_id) == status for task_id in task_ids),
            f"all tasks are {status}",
            lambda: "\n".join(f"{self.task(task_id)}\n{self.console(task_id)}" for task_id in task_ids),
        )

    def until_begun(self, *names: str) -> None:
        """Waits until all these tasks have begun."""
        eventually(lambda: set(names) <= set(self.begun), f"{names} begin", lambda: self.log)

    def _say(self, line: str) -> None:
        with (self.folder / "log").open("a") as log:
            log.write(f"{line}\n")


class ExecutorContract:
    """Of every executor with ``slots`` slots on one queue, the first that ``workers()`` lists."""

    slots = 2

    @pytest.fixture
    def stage(self, api: Api, tmp_path: Path) -> Stage:
        """A fresh one for each test."""
        return Stage(api, tmp_path, f"{PROJECT.replace('/', '-')}-{uuid.uuid4().hex[:8]}", self.slots)

    @pytest.fixture
    def submit(self, executor: Executor) -> Callable[..., None]:
        """Submits tasks, in their order."""
        (queue,) = executor.workers()

        def submit(*task_ids: str) -> None:
            for task_id in task_ids:
                executor.submit(task_id, queue)

        return submit

    @pytest.fixture
    def busy(self, stage: Stage, submit: Callable[..., None]) -> Sequence[str]:
        """Names of tasks that take all slots, until they are released."""
        names = [f"busy{i}" for i in range(self.slots)]
        submit(*map(stage.held, names))
        stage.until_begun(*names)
        return names

    def test_workers_are_the_slots(self, executor: Executor) -> None:
        """Each counts once."""
        eventually(lambda: list(executor.workers().values()) == [self.slots], f"{self.slots} workers")

    def test_what_is_submitted_runs_once(self, stage: Stage, submit: Callable[..., None]) -> None:
        """And is completed then."""
        task = stage.held("a")
        stage.release("a")
        submit(task)
        stage.until("completed", task)
        assert stage.log == ["begins a", "ends a"]

    def test_order_and_concurrency(self, stage: Stage, submit: Callable[..., None], executor: Executor) -> None:
        """First come, first served; all slots are used, and never more."""
        names = [f"t{i}" for i in range(self.slots + 3)]
        tasks = [stage.held(name) for name in names]
        submit(*tasks)
        stage.until_begun(*names[: self.slots])
        eventually(lambda: set(executor.waiting()) == set(tasks[self.slots :]), "the others wait")
        for i, name in enumerate(names[: -self.slots]):
            assert sorted(stage.begun[: self.slots]) == names[: self.slots]
            assert stage.begun[self.slots :] == names[self.slots : self.slots + i]
            stage.release(name)
            stage.until_begun(*names[: self.slots + i + 1])
        stage.release(*names)
        stage.until("completed", *tasks)
        running = [0]
        for line in stage.log:
            running.append(running[-1] + (1 if line.startswith("begins") else -1))
        assert max(running) == self.slots
        assert not executor.waiting()

    def test_withdrawn_it_does_not_start(
        self, stage: Stage, submit: Callable[..., None], busy: Sequence[str], executor: Executor
    ) -> None:
        """And may be submitted anew."""
        withdrawn, after = stage.held("withdrawn"), stage.held("after")
        submit(withdrawn)
        assert executor.withdraw([withdrawn]) == {}
        assert stage.status(withdrawn) == "created"
        submit(after)
        stage.release(*busy, "after")
        stage.until("completed", after)
        assert "withdrawn" not in stage.begun
        submit(withdrawn)
        stage.release("withdrawn")
        stage.until("completed", withdrawn)

    def test_moved_to_another_queue(
        self, stage: Stage, submit: Callable[..., None], busy: Sequence[str], executor: Executor
    ) -> None:
        """It is elsewhere; what waits, or nowhere, is not."""
        moved, kept, draft = stage.held("moved"), stage.held("kept"), stage.held("draft")
        submit(moved, kept)
        other = stage.api.call("queues.create", name=f"{stage.queue}-other")["id"]
        stage.api.call("tasks.dequeue", task=moved)
        stage.api.call("tasks.enqueue", task=moved, queue=other)
        assert set(executor.elsewhere([moved, kept, draft, _UNKNOWN])) == {moved}
        assert set(executor.waiting()) == {kept}

    def test_withdrawing_leaves_alone_what_runs(
        self, stage: Stage, submit: Callable[..., None], executor: Executor
    ) -> None:
        """It is too late to take it back."""
        task = stage.held("a")
        submit(task)
        stage.until_begun("a")
        assert executor.withdraw([task, stage.held("draft"), _UNKNOWN]) == {task: "in_progress"}
        assert stage.status(task) == "in_progress"
        stage.release("a")
        stage.until("completed", task)

    def test_aborted_while_it_runs(self, stage: Stage, submit: Callable[..., None], executor: Executor) -> None:
        """It does not come to its end, and its slot is free again."""
        task = stage.held("a")
        submit(task)
        stage.until_begun("a")
        executor.abort([task], "not promising")
        stage.until("stopped", task)
        after = [stage.held(f"after{i}") for i in range(self.slots)]
        submit(*after)
        stage.until_begun(*(f"after{i}" for i in range(self.slots)))
        stage.release("a", *(f"after{i}" for i in range(self.slots)))
        stage.until("completed", *after)
        assert stage.status(task) == "stopped"
        assert "ends a" not in stage.log

    def test_aborted_while_it_waits(
        self, stage: Stage, submit: Callable[..., None], busy: Sequence[str], executor: Executor
    ) -> None:
        """It does not start."""
        task, after = stage.held("aborted"), stage.held("after")
        submit(task, after)
        executor.abort([task], "no longer wanted")
        stage.release(*busy, "after")
        stage.until("completed", after)
        assert stage.status(task) == "stopped"
        assert "aborted" not in stage.begun

    def test_submitted_twice_it_runs_once(
        self, stage: Stage, submit: Callable[..., None], busy: Sequence[str], executor: Executor
    ) -> None:
        """Whether it waits or runs at the second time."""
        task = stage.held("a")
        submit(task, task)
        stage.release(*busy)
        stage.until_begun("a")
        submit(task)
        stage.release("a")
        stage.until("completed", task)
        submit(task)
        assert stage.status(task) == "completed"
        assert stage.begun.count("a") == 1

    def test_tasks_that_do_not_exist(self, stage: Stage, submit: Callable[..., None], executor: Executor) -> None:
        """They are passed over; those beside them are not."""
        submit(_UNKNOWN)
        executor.withdraw([_UNKNOWN])
        task = stage.held("a")
        submit(task)
        stage.until_begun("a")
        executor.abort([_UNKNOWN, task], "because")
        stage.until("stopped", task)

    def test_no_tasks(self, executor: Executor) -> None:
        """Nothing happens."""
        executor.withdraw([])
        executor.abort([], "because")

    def test_tasks_that_have_ended(self, stage: Stage, submit: Callable[..., None], executor: Executor) -> None:
        """They stay as they are."""
        task = stage.held("a")
        stage.release("a")
        submit(task)
        stage.until("completed", task)
        executor.withdraw([task])
        executor.abort([task], "too late")
        assert stage.status(task) == "completed"

    def test_deleted_while_it_waits(self, stage: Stage, submit: Callable[..., None], busy: Sequence[str]) -> None:
        """The next one runs."""
        deleted, after = stage.held("deleted"), stage.held("after")
        submit(deleted, after)
        stage.api.call("tasks.delete", task=deleted, force=True)
        stage.release(*busy, "after")
        stage.until("completed", after)
        assert "deleted" not in stage.begun


class ProcessContract(ExecutorContract):
    """Of executors that run the tasks' scripts in processes, on slots without a GPU."""

    def test_an_exception_fails_the_task(self, stage: Stage, submit: Callable[..., None]) -> None:
        """The traceback is in its console."""
        task = stage.script("def train():\n    raise ValueError('no such depth')\ntrain()\n")
        submit(task)
        stage.until("failed", task)
        eventually(lambda: "ValueError: no such depth" in stage.console(task), "the traceback is in the console")

    def test_an_exit_code_fails_the_task(self, stage: Stage, submit: Callable[..., None]) -> None:
        """Whatever it has printed."""
        task = stage.script("import sys\nprint('half done')\nsys.exit(3)\n")
        submit(task)
        stage.until("failed", task)

    def test_a_signal_fails_the_task(self, stage: Stage, submit: Callable[..., None]) -> None:
        """As when memory runs out."""
        task = stage.script("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
        submit(task)
        stage.until("failed", task)

    def test_the_environment(self, stage: Stage, submit: Callable[..., None]) -> None:
        """No GPU is seen, threads are limited, and the task is known."""
        found = stage.folder / "environ.json"
        names = ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CLEARML_TASK_ID"]
        task = stage.script(
            "import json, os, pathlib\n"
            f"seen = {{name: os.environ.get(name) for name in {names!r}}}\n"
            f"pathlib.Path({str(found)!r}).write_text(json.dumps(seen))\n"
        )
        submit(task)
        stage.until("completed", task)
        seen = json.loads(found.read_text())
        assert seen["CUDA_VISIBLE_DEVICES"] in ("", "none")
        assert int(seen["OMP_NUM_THREADS"]) == int(seen["MKL_NUM_THREADS"]) >= 1
        assert seen["CLEARML_TASK_ID"] == task

    def test_hyperparameters_come_from_the_server(self, stage: Stage, submit: Callable[..., None]) -> None:
        """What the script connects has the task's values, and its scalars arrive."""
        script = (
            "from clearml import Task\n"
            "task = Task.init('contract', 'connects')\n"
            "values = task.connect({'depth': 4, 'rate': 0.5})\n"
            "task.get_logger().report_scalar('validation', 'loss', values['depth'] + values['rate'], 1)\n"
            "print('depth is', values['depth'])\n"
        )
        task = stage.script(script, params={"depth": 7, "rate": 0.25})
        submit(task)
        stage.until("completed", task)
        (variants,) = stage.task(task)["last_metrics"].values()
        (loss,) = [variant for variant in variants.values() if variant["variant"] == "loss"]
        assert loss["value"] == 7.25
        assert "depth is 7" in stage.console(task)
