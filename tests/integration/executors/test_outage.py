"""The local executor and a server that goes away."""

from __future__ import annotations

import psutil
import pytest

from clearml_hpo import server as embedded
from clearml_hpo.executors.local import LocalExecutor
from clearml_hpo.server.state import DataDir, Listening
from clearml_hpo.testing.executor_contract import Stage, eventually
from clearml_hpo.workers import service, task_process
from clearml_hpo.workers.slots import plan_slots
from tests.children import children_running


@pytest.fixture
def data_dir(tmp_path):
    data_dir = tmp_path / "server"
    data = DataDir(data_dir)
    data.make()
    data.note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield data_dir
    embedded.stop(data_dir)


@pytest.fixture
def stage(data_dir, server_environ, tmp_path, monkeypatch):
    address = embedded.start(data_dir, with_parent=True).address
    for name, value in {**server_environ, **address.environ()}.items():
        monkeypatch.setenv(name, value)
    from clearml_hpo.backend.api import Api

    return Stage(Api(), tmp_path, "outage", 1)


@pytest.mark.long
def test_a_task_that_ends_during_an_outage_is_completed_after_it(stage, data_dir):
    notes = []
    executor = LocalExecutor(stage.api, plan_slots(cpu=1), queue=stage.queue, on_note=notes.append)
    task = stage.held("a")
    executor.submit(task)
    stage.until_begun("a")
    embedded.stop(data_dir)
    stage.release("a")
    eventually(lambda: "ends a" in stage.log, "it goes on without a server")
    embedded.start(data_dir, with_parent=True)
    stage.until("completed", task)
    executor.close()


@pytest.mark.long
def test_close_ends_what_runs_without_a_server(stage, data_dir, monkeypatch):
    monkeypatch.setattr(task_process, "GRACE_S", 0.2)
    monkeypatch.setattr(service, "GRACE_S", 0.2)
    executor = LocalExecutor(stage.api, plan_slots(cpu=1), queue=stage.queue)
    executor.submit(stage.held("a"))
    stage.until_begun("a")
    (parent,) = children_running("clearml_hpo.workers.warm.parent")
    (task,) = parent.children()
    embedded.stop(data_dir)
    executor.close()
    assert not task.is_running() or task.status() == psutil.STATUS_ZOMBIE
    embedded.start(data_dir, with_parent=True)  # the executor's thread still has something to tell it
    stage.until("stopped", *(each["id"] for each in stage.api.call("tasks.get_all", only_fields=["id"])["tasks"]))
