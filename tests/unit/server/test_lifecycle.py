"""A task's status and its place in a queue."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from .server_without_sockets import Api, Refused


def refused(api: Api, endpoint: str, **data: object) -> tuple[int, int]:
    with pytest.raises(Refused) as error:
        api.call(endpoint, **data)
    return error.value.code


def entries(api: Api, queue: str) -> list[str]:
    return [entry["task"] for entry in api.call("queues.get_by_id", queue=queue)["queue"]["entries"]]


def test_enqueue_pop_start_complete(api: Api) -> None:
    queue, task = api.queue(), api.task()
    assert api.call("tasks.enqueue", task=task, queue=queue)["fields"]["enqueue_status"] == "created"
    assert entries(api, queue) == [task]
    assert api.call("queues.get_next_task", queue=queue)["entry"]["task"] == task
    assert api.get(task)["status"] == "queued"
    assert api.call("queues.get_next_task", queue=queue) == {}
    assert "started" in api.call("tasks.started", task=task, force=True)["fields"]
    assert "started" not in api.call("tasks.started", task=task, force=True)["fields"]
    api.now += timedelta(seconds=20)
    assert api.get(task)["active_duration"] == 20
    api.call("tasks.completed", task=task)
    api.now += timedelta(seconds=20)
    assert (api.get(task)["status"], api.get(task)["active_duration"]) == ("completed", 20)


def test_without_a_queue_the_default_one_is_used(api: Api) -> None:
    task = api.task()
    queue = api.call("tasks.enqueue", task=task)["fields"]["execution.queue"]
    assert queue == api.call("queues.get_default")["id"]
    assert api.get(task)["execution"]["queue"] == queue


def test_a_task_is_queued_once(api: Api) -> None:
    task = api.task()
    api.call("tasks.enqueue", task=task)
    assert refused(api, "tasks.enqueue", task=task) == (400, 706)


def test_dequeue_restores_the_status(api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.failed", task=task)
    api.call("tasks.enqueue", task=task, queue=queue)
    assert api.call("tasks.dequeue", task=task)["fields"]["status"] == "failed"
    assert entries(api, queue) == []
    for more in ({}, {"new_status": "in_progress"}):
        assert api.call("tasks.dequeue", task=task, **more) == {"dequeued": 1, "fields": {}, "updated": 0}


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        ("completed", "stopped", (400, 110)),
        ("completed", "failed", (400, 110)),
        ("completed", "enqueue", (400, 110)),
        ("failed", "completed", (400, 110)),
    ],
)
def test_refused_changes(first: str, then: str, code: tuple[int, int], api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call(f"tasks.{first}", task=task)
    assert refused(api, f"tasks.{then}", task=task) == code


def test_a_status_may_be_set_to_itself(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.completed", task=task)
    assert api.call("tasks.completed", task=task)["updated"] == 1


@pytest.mark.parametrize("change", ["stopped", "failed", "started", "completed", "publish", "close"])
def test_an_entry_outlives_the_status_and_is_handed_out(change: str, api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.enqueue", task=task, queue=queue)
    api.call(f"tasks.{change}", task=task, force=True)
    assert entries(api, queue) == [task]
    status = api.get(task)["status"]
    assert api.call("queues.get_next_task", queue=queue)["entry"]["task"] == task
    assert api.get(task)["status"] == status


def test_an_entry_of_its_own_leaves_the_status_alone(api: Api) -> None:
    first, second, task = api.queue(), api.queue(), api.task()
    for queue in (first, second):
        api.call("queues.add_task", queue=queue, task=task)
    api.call("queues.add_task", queue=first, task="unknown")
    assert refused(api, "queues.add_task", queue=first, task=task) == (400, 706)
    assert entries(api, first) == [task, "unknown"] and entries(api, second) == [task]
    assert api.get(task)["status"] == "created" and api.get(task)["execution"]["queue"] == second
    assert [queue["entries"][0]["task"] for queue in api.call("queues.get_all_ex")["queues"] if queue["entries"]]


@pytest.mark.parametrize(("asked", "status"), [({}, "queued"), ({"update_task_status": True}, "stopped")])
def test_an_entry_is_removed(asked: dict[str, Any], status: str, api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.stopped", task=task)
    api.call("tasks.enqueue", task=task, queue=queue)
    api.call("queues.remove_task", queue=queue, task=task, **asked)
    assert api.get(task)["status"] == status and entries(api, queue) == []
    assert refused(api, "queues.remove_task", queue=queue, task=task) == (400, 703)
    assert refused(api, "queues.remove_task", queue="unknown", task=task) == (400, 703)


def test_a_named_task_is_taken_if_it_is_the_first(api: Api) -> None:
    queue, first, second = api.queue(), api.task(), api.task()
    api.call("tasks.enqueue_many", ids=[first, second], queue=queue)
    assert api.call("queues.get_next_task", queue=queue, task=second) == {}
    assert api.call("queues.get_next_task", queue=queue, task=first)["entry"]["task"] == first
    assert api.call("tasks.enqueue", task=first, queue=queue)["queued"] == 1  # it was taken and not started
    assert entries(api, queue) == [second, first]


def test_stop_of_a_task_that_a_live_worker_runs(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("workers.register", worker="w:0", queues=[], timeout=60)
    api.call("workers.status_report", worker="w:0", timestamp=1, task=task)
    fields = api.call("tasks.stop", task=task)["fields"]
    assert (fields["status"], fields["status_message"]) == ("in_progress", "stopping")
    api.now += timedelta(seconds=61)
    assert api.call("tasks.stop", task=task)["fields"]["status"] == "stopped"


def test_stop_of_a_task_that_nobody_runs(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    assert api.call("tasks.stop", task=task)["fields"]["status"] == "stopped"


def test_reset_clears_the_results(api: Api) -> None:
    task = api.task(hyperparams={"General": {"lr": {"section": "General", "name": "lr", "value": "1"}}})
    api.call("tasks.started", task=task)
    api.report(task, (3, 1.0))
    api.call("tasks.add_or_update_artifacts", task=task, artifacts=[{"key": "a", "type": "t", "uri": "u"}])
    api.call("tasks.completed", task=task)
    api.call("tasks.reset", task=task)
    found = api.get(task)
    assert (found["status"], found["last_metrics"], found["last_iteration"]) == ("created", {}, 0)
    assert found["execution"]["artifacts"] == [] and found["hyperparams"]["General"]["lr"]["value"] == "1"
    assert not {"started", "completed"} & found.keys()
    assert api.call("events.scalar_metrics_iter_histogram", task=task) == {}


def test_delete_needs_force_unless_created(api: Api) -> None:
    task = api.task()
    child = api.task(parent=task)
    api.call("tasks.enqueue", task=task)
    assert refused(api, "tasks.delete", task=task) == (400, 123)
    assert api.call("tasks.delete", task=task, force=True)["deleted"]
    assert refused(api, "tasks.get_by_id", task=task) == (400, 101)
    assert api.get(child)["parent"] == f"__DELETED__{task}"


def test_many_answers_for_each(api: Api) -> None:
    tasks = [api.task(), api.task()]
    answer = api.call("tasks.enqueue_many", ids=[*tasks, "unknown"])
    assert [each["id"] for each in answer["succeeded"]] == tasks
    assert [each["error"]["codes"] for each in answer["failed"]] == [[400, 101]]
    assert len(api.call("tasks.stop_many", ids=tasks)["succeeded"]) == 2
    assert len(api.call("tasks.delete_many", ids=tasks, force=True)["succeeded"]) == 2


@pytest.mark.parametrize(
    ("action", "succeeds", "refused_with"),
    [
        ("stop_many", ["failed", "in_progress"], {"created": 110, "unknown": 101}),
        ("reset_many", ["created", "failed", "in_progress"], {"unknown": 101}),
        ("dequeue_many", ["created", "failed", "in_progress", "unknown"], {}),
        ("delete_many", ["created"], {"failed": 123, "in_progress": 123, "unknown": 101}),
    ],
)
def test_what_is_done_to_many_without_force(
    action: str, succeeds: list[str], refused_with: dict[str, int], api: Api
) -> None:
    named = {api.task(): "created", api.task(): "failed", api.task(): "in_progress", "0" * 32: "unknown"}
    for task, status in named.items():
        if status in ("failed", "in_progress"):
            api.call("tasks.started", task=task)
        if status == "failed":
            api.call("tasks.failed", task=task)
    answer = api.call(f"tasks.{action}", ids=list(named))
    assert [named[each["id"]] for each in answer["succeeded"]] == succeeds
    assert {named[each["id"]]: each["error"]["codes"][1] for each in answer["failed"]} == refused_with


@pytest.mark.parametrize(
    ("action", "fields", "reason"),
    [
        ("remove_task", {"update_task_status": True}, "Task was removed from the queue {}"),
        ("clear_queue", {}, "Queue {} was cleared"),
        ("delete", {"force": True}, "Queue {} was deleted"),
    ],
)
def test_why_a_task_waits_no_longer(action: str, fields: dict[str, Any], reason: str, api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.enqueue", task=task, queue=queue)
    about = {"task": task} if action == "remove_task" else {}
    api.call(f"queues.{action}", queue=queue, **about, **fields)
    found = api.get(task)
    assert (found["status"], found["status_reason"]) == ("created", reason.format(queue))
    assert "queue" not in found["execution"] and "enqueue_status" not in found


def test_whether_a_queue_is_watched_is_said_when_asked(api: Api) -> None:
    queue, task, other = api.queue(), api.task(), api.task()
    assert not api.call("tasks.enqueue", task=task, queue=queue, verify_watched_queue=True)["queue_watched"]
    api.call("workers.register", worker="box:0", queues=[queue])
    assert api.call("tasks.enqueue", task=other, queue=queue, verify_watched_queue=True)["queue_watched"]


def test_a_worker_is_that_of_a_task_from_its_report_on(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    assert "last_worker" not in api.get(task)
    api.call("workers.status_report", worker="box:0", timestamp="1", task=task)
    assert api.get(task)["last_worker"] == "box:0"


def test_a_queue_with_tasks_is_deleted_by_force_only(api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.enqueue", task=task, queue=queue)
    assert refused(api, "queues.delete", queue=queue)[0] == 400
    api.call("queues.delete", queue=queue, force=True)
    assert api.get(task)["status"] == "created"


def test_moves_within_a_queue(api: Api) -> None:
    queue, tasks = api.queue(), [api.task() for _ in range(4)]
    for task in tasks:
        api.call("tasks.enqueue", task=task, queue=queue)
    assert api.call("queues.move_task_to_front", queue=queue, task=tasks[3]) == {"position": 0}
    assert api.call("queues.move_task_backward", queue=queue, task=tasks[3], count=2) == {"position": 2}
    assert entries(api, queue) == [tasks[0], tasks[1], tasks[3], tasks[2]]
    assert api.call("queues.move_task_to_back", queue=queue, task=tasks[0]) == {"position": 3}
    assert api.call("queues.move_task_forward", queue=queue, task=tasks[0], count=9) == {"position": 0}


def test_two_agents_never_get_the_same_task(api: Api) -> None:
    queue = api.queue()
    tasks = [api.task() for _ in range(60)]
    for task in tasks:
        api.call("tasks.enqueue", task=task, queue=queue)
    taken: list[str] = []

    def agent() -> None:
        while entry := api.call("queues.get_next_task", queue=queue).get("entry"):
            taken.append(entry["task"])

    agents = [threading.Thread(target=agent) for _ in range(4)]
    for each in agents:
        each.start()
    for each in agents:
        each.join()
    assert sorted(taken) == sorted(tasks)


def test_clone_takes_the_set_up_and_leaves_the_results(api: Api) -> None:
    source = api.task(script={"diff": "print(1)"}, tags=["a"], system_tags=["development"], comment="c")
    api.call("tasks.started", task=source)
    api.call("tasks.edit", task=source, force=True, runtime={"x": 1}, configuration={"c": {"name": "c", "value": "1"}})
    api.report(source, (1, 1.0))
    found = api.get(api.call("tasks.clone", task=source, new_task_name="the clone")["id"])
    assert (found["name"], found["status"], found["parent"]) == ("the clone", "created", source)
    assert (found["tags"], found["system_tags"], found["runtime"], found["last_metrics"]) == (["a"], [], {}, {})
    assert found["script"]["diff"] == "print(1)" and found["configuration"]["c"]["value"] == "1"
    again = api.get(api.call("tasks.clone", task=found["id"])["id"])
    assert (again["parent"], again["name"]) == (source, "the clone")


def test_clone_with_hyperparameters_and_a_new_project(api: Api) -> None:
    section = {"lr": {"section": "General", "name": "lr", "value": "9"}}
    answer = api.call(
        "tasks.clone",
        task=api.task(hyperparams={"Old": {"x": {"section": "Old", "name": "x", "value": "1"}}}),
        new_task_hyperparams={"General": section},
        new_project_name="made/for it",
        new_task_parent=None,
    )
    assert answer["new_project"]["name"] == "made/for it"
    assert api.get(answer["id"])["hyperparams"] == {"General": section}
    assert refused(api, "tasks.clone", task=answer["id"], new_task_name="c0") == (400, 800)


def test_clone_with_another_set_up(api: Api) -> None:
    source, model = api.task(execution={"parameters": {"a": "1"}, "framework": "f"}), api.model()
    answer = api.call(
        "tasks.clone",
        task=source,
        execution_overrides={"parameters": {"b": "2"}},
        new_task_input_models=[{"name": "the model", "model": model}],
    )
    found = api.get(answer["id"])
    assert (found["execution"]["parameters"], found["execution"]["framework"]) == ({"b": "2"}, "f")
    [given] = found["models"]["input"]
    assert (given["name"], given["model"], found["models"]["output"]) == ("the model", model, [])
    assert refused(api, "tasks.clone", task=source, execution_overrides={"artifacts": 1}) == (400, 800)


def test_a_batch_of_updates_is_done_as_a_whole_or_not_at_all(api: Api) -> None:
    tasks = [api.task(), api.task()]

    def update(*lines: object) -> dict[str, Any]:
        return api.send("/tasks.update_batch", "\n".join(map(json.dumps, lines)).encode(), "application/json-lines")

    assert update(*({"task": task, "comment": "new"} for task in tasks)) == {"updated": 2}
    assert {api.get(task)["comment"] for task in tasks} == {"new"}
    for bad, code in (({"task": "unknown"}, (400, 101)), ({"comment": "x"}, (400, 12)), ([], (400, 0))):
        with pytest.raises(Refused) as error:
            update({"task": tasks[0], "comment": "newer"}, bad)
        assert error.value.code == code
    assert api.get(tasks[0])["comment"] == "new"


def test_validate_makes_nothing(api: Api) -> None:
    assert api.call("tasks.validate", name="long enough", type="training") == {}
    assert refused(api, "tasks.validate", name="x", type="training") == (400, 800)
    assert refused(api, "tasks.validate", name="long enough", type="training", project="unknown") == (400, 16)
    assert api.names() == []


def test_a_pipeline_is_started_again(api: Api) -> None:
    arguments = {"lr": {"section": "Args", "name": "lr", "value": "1", "type": "float"}}
    pipeline, queue = api.task(type="controller", hyperparams={"Args": arguments}), api.queue()
    given = [{"name": "lr", "value": "2"}, {"name": "new", "value": "x"}]
    answer = api.call("pipelines.start_pipeline", task=pipeline, queue=queue, args=given)
    section = api.get(answer["pipeline"])["hyperparams"]["Args"]
    assert answer["enqueued"] and entries(api, queue) == [answer["pipeline"]]
    assert (section["lr"], section["new"]["value"]) == ({**arguments["lr"], "value": "2"}, "x")
    assert refused(api, "pipelines.start_pipeline", task=api.task(), queue=queue) == (400, 800)
    assert refused(api, "pipelines.start_pipeline", task=pipeline) == (400, 12)


def test_edit_replaces_and_edit_hyper_params_merges(api: Api) -> None:
    task = api.task(hyperparams={"General": {"lr": {"section": "General", "name": "lr", "value": "1"}}})
    api.call("tasks.edit_hyper_params", task=task, hyperparams=[{"section": "General", "name": "z.$/", "value": "2"}])
    assert list(api.get(task)["hyperparams"]["General"]) == ["lr", "z.$/"]
    api.call("tasks.edit", task=task, hyperparams={"Other": {}})
    assert api.get(task)["hyperparams"] == {"Other": {}}
    api.call("tasks.enqueue", task=task)
    assert refused(api, "tasks.edit", task=task, hyperparams={}) == (400, 110)
    properties = [{"section": "properties", "name": "trial", "value": "3"}]
    api.call("tasks.edit_hyper_params", task=task, hyperparams=properties)
    assert api.get(task)["hyperparams"]["properties"]["trial"]["value"] == "3"


def test_a_dequeue_that_starts_a_task_notes_when(api: Api) -> None:
    task = api.task()
    api.call("tasks.enqueue", task=task)
    assert "started" in api.call("tasks.dequeue", task=task, new_status="in_progress")["fields"]
    assert "started" in api.get(task)


def test_a_dequeue_does_not_bring_a_finished_task_back(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.completed", task=task)
    assert api.call("tasks.dequeue", task=task, new_status="in_progress")["updated"] == 0
    assert api.get(task)["status"] == "completed"


def test_stopping_twice_keeps_the_end(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.stopped", task=task)
    ended = api.get(task)["completed"]
    api.call("tasks.stop", task=task)
    assert api.get(task)["completed"] == ended


def test_publish_makes_the_models_ready_that_are_still_there(api: Api) -> None:
    task, kept, gone = api.task(), api.model(ready=False), api.model()
    for model in (kept, gone):
        api.call("tasks.add_or_update_model", task=task, name=model, model=model, type="output")
    api.call("models.delete", model=gone, force=True)
    api.call("tasks.started", task=task)
    assert api.call("tasks.completed", task=task, publish=True)["published"] == 1
    assert api.get(task)["status"] == "published"
    assert api.call("models.get_by_id", model=kept)["model"]["ready"] is True


def test_completed_and_published_or_neither(api: Api) -> None:
    task = api.task()
    assert refused(api, "tasks.completed", task=task, publish=True) == (400, 110)
    assert api.get(task)["status"] == "created"


def test_names_of_queues_and_projects_keep_their_rules_when_changed(api: Api) -> None:
    project = api.call("projects.create", name="above")["id"]
    assert refused(api, "projects.update", project=project, name="above/below") == (400, 408)
    assert refused(api, "queues.update", queue=api.queue(), name="q") == (400, 800)
