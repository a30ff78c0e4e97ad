"""How trial tasks are read, without a server."""

from __future__ import annotations

from clearml_hpo.backend.template import Template
from clearml_hpo.backend.trial_tasks import TrialTasks, end_of, epoch
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.space import Constant, SearchSpace


class Recorder:
    """Stands in for the connection: answers with nothing, remembers the calls."""

    def __init__(self):
        self.calls = []

    def call(self, endpoint, **body):
        self.calls.append((endpoint, body))
        return {"metrics": {}, "tasks": [], "id": "new"}


def tasks(api, **more):
    template = Template("t", "train", "p")
    return TrialTasks(
        api,
        {"": template},
        Goal((Objective("a", "b"),)),
        study="s",
        parent_id="c",
        project_id="p",
        name_of=lambda n, p: f"trial {n}",
        **more,
    )


def test_many_tasks_are_read_in_chunks_that_servers_take():
    api = Recorder()
    ids = [str(number) for number in range(1001)]
    tasks(api).poll(ids)
    assert [len(body["id"]) for _, body in api.calls] == [500, 500, 1]
    api.calls.clear()
    tasks(api).histories(ids[:250])
    assert [len(body["tasks"]) for _, body in api.calls] == [100, 100, 50]


def test_no_tasks_no_calls():
    api = Recorder()
    assert tasks(api).poll([]) == {} and tasks(api).histories([]) == {}
    assert api.calls == []


def test_what_was_stopped_from_outside_ended_when_its_status_changed():
    """Nobody notes the end of a task that a person stops, archives or dequeues while it runs."""
    at = "2026-01-02T03:04:05.000000+00:00"
    stopped = {"status": "stopped", "started": at, "status_changed": at}
    assert end_of(stopped) == end_of({**stopped, "status": "created"}) == epoch(at)
    assert end_of({**stopped, "completed": "2026-01-02T03:04:04+00:00"}) == epoch(at) - 1
    assert end_of({**stopped, "status": "in_progress"}) is None
    assert end_of({"status": "created", "status_changed": at}) is None


def test_an_attempt_is_told_how_long_it_trains_and_from_which_task_it_goes_on():
    api, fidelity = Recorder(), Fidelity("General/epochs", (1, 3), 3)
    space = SearchSpace({name: Constant(value) for name, value in fidelity.defaults.items()})
    made = tasks(api, fidelity=fidelity, space=space)
    made.create(4, 1, {}, length=1)
    made.create(4, 2, {}, length=3, continues="abc")
    made.create(5, 0, {})
    given = [body["new_task_hyperparams"] for _, body in api.calls]
    general = [{name: entry["value"] for name, entry in each["General"].items()} for each in given]
    assert general == [
        {"epochs": "1", "continue_from": "", "save_checkpoint": "True"},
        {"epochs": "3", "continue_from": "abc", "save_checkpoint": "False"},
        {"epochs": "3", "continue_from": "", "save_checkpoint": "False"},
    ]
    said = [{name: entry["value"] for name, entry in each["properties"].items()} for each in given]
    assert [(each.get("length"), each.get("continues")) for each in said] == [("1", None), ("3", "abc"), (None, None)]
