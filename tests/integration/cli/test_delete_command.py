"""``clearml-hpo study delete``, on a server with real files."""

from __future__ import annotations

import uuid

import pytest

from clearml_hpo.backend.removal import plan_removal, remove
from tests.integration.controller.recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue):
    return RecordedStudy(api, queue, name=f"study-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def store(api, recorded, tmp_path):
    """Uploads a file as the SDK does and notes it on a task, as artifact or as model; returns its address."""
    from clearml import StorageManager

    def store(task_id, kind, *, folder=None):
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(b"x" * 100)
        uri = StorageManager.upload_file(str(path), f"{api.files}/project/{folder or task_id}/{kind}/{path.name}")
        if kind == "artifact":
            recorded.artifact(task_id, path.name, uri)
        else:
            model = api.call("models.create", name=path.name, uri=uri, task=task_id, ready=False)["id"]
            models = {"input": [], "output": [{"name": path.name, "model": model}]}
            api.call("tasks.edit", task=task_id, force=True, models=models)
        return uri

    return store


@pytest.fixture
def is_there(api):
    return lambda uri: api.file_server.size(uri) is not None


def tasks_left(api, *ids):
    return {task["id"] for task in api.call("tasks.get_all", id=list(ids), only_fields=["id"])["tasks"]}


def test_tasks_models_and_files_go(command, recorded, api, store, is_there):
    look = recorded.trial(0, attempt=0)
    first = recorded.trial(0, "failed", state="failed")
    second = recorded.trial(0, attempt=2, loss=0.5, state="completed")
    draft, orphan = recorded.trial(1, "created"), recorded.trial(1, "created")
    uris = [store(second, "model"), store(second, "artifact"), store(recorded.study_id, "artifact")]
    assert all(map(is_there, uris))
    code, output = command("study", "delete", recorded.study_id, "--dry-run")
    assert code == 0 and "6 tasks, 3 models and artifacts" in output and all(uri in output for uri in uris)
    assert all(map(is_there, uris))
    code, output = command("study", "delete", recorded.study_id, "--yes")
    assert code == 2 and "has 1 that wait or run (trial 1)" in output, "a draft is a trial that waits"
    code, output = command("study", "delete", recorded.study_id, "--yes", "--force")
    assert code == 0 and output.endswith("deleted\n")
    gone = (look, first, second, draft, orphan, recorded.study_id)
    assert tasks_left(api, *gone, recorded.template_id) == {recorded.template_id}
    assert not any(map(is_there, uris))
    assert not api.call("models.get_all", task=[second], only_fields=["id"])["models"]


def test_what_is_published_and_what_others_made_stays(command, recorded, api, store, is_there):
    published, foreign = recorded.trial(0, state="completed"), recorded.trial(1, state="completed")
    kept = store(published, "model")
    (model,) = api.call("models.get_all", task=[published], only_fields=["id"])["models"]
    api.call("models.set_ready", model=model["id"], force_publish_task=False, publish_task=False)
    data = store(foreign, "artifact", folder="data-of-mine")
    copy = api.call("tasks.clone", task=foreign, new_task_name="my own look")["id"]
    code, output = command("study", "delete", recorded.study_id, "--yes")
    assert code == 0 and "1 published ones stay" in output
    assert tasks_left(api, published, foreign, copy, recorded.study_id) == {published, copy}
    assert is_there(kept) and is_there(data)


def test_what_a_user_deletes_at_the_same_moment_is_gone_too(recorded, api):
    first, second, notes = recorded.trial(0, state="completed"), recorded.trial(1, state="completed"), []
    removal = plan_removal(api, recorded.study_id, recorded.read())
    api.call("tasks.delete", task=first, force=True)
    assert remove(api, removal, notes.append) and notes == []
    assert tasks_left(api, first, second, recorded.study_id) == set()


def test_a_study_that_is_driven_or_has_running_trials_is_not_deleted(command, recorded, api):
    recorded.trial(0, "in_progress")
    code, output = command("study", "delete", recorded.study_id, "--yes")
    assert code == 2 and "clearml-hpo study stop" in output and "--force" in output
    recorded.held("gpu-1 pid 12")
    code, output = command("study", "delete", recorded.study_id, "--yes")
    assert code == 2 and "driven by gpu-1 pid 12" in output
    assert tasks_left(api, recorded.study_id) == {recorded.study_id}
    assert command("study", "delete", recorded.study_id, "--yes", "--force")[0] == 0
    assert tasks_left(api, recorded.study_id) == set()


def test_it_asks_first(command, recorded, api):
    code, output = command("study", "delete", recorded.study_id)
    assert code == 130 and "delete them?" in output, "no answer is no"
    assert tasks_left(api, recorded.study_id) == {recorded.study_id}


def test_a_name_of_several_studies_deletes_none(recorded, api, queue, command):
    twin = RecordedStudy(api, queue, name=recorded.name)
    code, output = command("study", "delete", recorded.name, "--yes")
    assert code == 2 and "several studies are called" in output
    code, output = command("study", "show", recorded.name)
    assert code == 0 and twin.study_id in output, "the newest"
