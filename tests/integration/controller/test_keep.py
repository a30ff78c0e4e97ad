"""``keep``: what becomes of models and artifacts when a study has ended, on a server with real files."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from clearml_hpo.backend.names import ensure_project
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import run

LOSS = Goal((Objective("validation", "loss"),))
TWO = Goal((Objective("validation", "loss"), Objective("test", "time")))


@pytest.fixture
def project(api):
    return ensure_project(api, f"tests/{uuid.uuid4().hex[:8]}")


@pytest.fixture
def study_id():
    return uuid.uuid4().hex


@pytest.fixture
def keep(api, study_id):
    """Plans, and does it."""
    from clearml_hpo.backend import cleanup

    def keep(trials, top, others="delete", goal=LOSS):
        plan = cleanup.plan(api, study_id, trials, goal, top)
        return plan, cleanup.apply(api, plan, others)

    return keep


@pytest.fixture
def upload(api, tmp_path):
    from clearml import StorageManager

    def upload(address, size=1000):
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(b"x" * size)
        assert StorageManager.upload_file(str(path), f"{api.files}/{address}")
        return f"{api.files}/{quote(address)}"

    return upload


@pytest.fixture
def make_trial(api, project, study_id, upload):
    """Makes a trial that has uploaded a model and an artifact, at addresses as the SDK chooses them."""

    def make(number, *values, state=TrialState.COMPLETED, study=study_id, status="completed", **fields):
        properties = {"study": study, "trial": str(number)}
        task_id = api.call(
            "tasks.create",
            name=f"trial {number}",
            type="training",
            project=project,
            hyperparams={
                "properties": {n: {"section": "properties", "name": n, "value": v} for n, v in properties.items()}
            },
        )["id"]
        api.call("tasks.started", task=task_id)
        folder = f"a project/trial {number}.{task_id}"
        add_artifact(api, task_id, "data", upload(f"{folder}/artifacts/data/data.csv", 500), 500)
        add_model(api, task_id, "weights", upload(f"{folder}/models/weights.bin"))
        for action in {"in_progress": (), "publish": ("completed", "publish")}.get(status, (status,)):
            api.call(f"tasks.{action}", task=task_id)
        return Trial(number, {"General/x": number / 10}, task_id, state=state, values=values, **fields)

    return make


def add_artifact(api, task_id, key, uri, size=None):
    """Whatever the task's status."""
    artifact = {"key": key, "type": "custom", "uri": uri, "mode": "output", "content_size": size}
    execution = task_of(api, task_id)["execution"]
    artifacts = [*(execution.get("artifacts") or []), artifact]
    api.call("tasks.edit", task=task_id, force=True, execution={**execution, "artifacts": artifacts})


def add_model(api, task_id, name, uri):
    model = api.call("models.create", name=f"a model {name}", uri=uri, task=task_id, ready=False)["id"]
    output = [{"name": each["name"], "model": each["model"]} for each in task_of(api, task_id)["models"]["output"]]
    models = {"input": [], "output": [*output, {"name": name, "model": model}]}
    api.call("tasks.edit", task=task_id, force=True, models=models)
    return model


def task_of(api, task_id):
    return api.call("tasks.get_by_id", task=task_id)["task"]


def uris_of(api, task_id):
    artifacts = [artifact["uri"] for artifact in task_of(api, task_id)["execution"].get("artifacts", [])]
    return artifacts + [model["uri"] for model in api.call("models.get_all", task=[task_id])["models"]]


def properties_of(api, task_id):
    return {name: entry["value"] for name, entry in task_of(api, task_id)["hyperparams"]["properties"].items()}


def on_disk(server):
    return sum(path.stat().st_size for path in (Path(server.data_dir) / "files").rglob("*") if path.is_file())


def test_models_and_artifacts_of_the_others_are_gone_from_disk_and_their_tasks_stay(api, server, make_trial, keep):
    trials = [make_trial(n, value) for n, value in enumerate((0.5, 0.1, 0.3))]
    files = {trial.number: uris_of(api, trial.task_id) for trial in trials}
    before = on_disk(server)
    plan, done = keep(trials, top=1)
    assert [trial.number for trial in plan.kept] == [1]
    assert before - on_disk(server) == 2 * 1500
    for number in (0, 2):
        assert [api.file_server.size(uri) for uri in files[number]] == [None, None]
        task = task_of(api, trials[number].task_id)
        assert task["status"] == "completed" and not task["execution"]["artifacts"] and not task["models"]["output"]
        assert uris_of(api, task["id"]) == [] and properties_of(api, task["id"])["kept"] == "no"
    assert [api.file_server.size(uri) for uri in files[1]] == [500, 1000]
    assert uris_of(api, trials[1].task_id) == files[1] and "kept" not in properties_of(api, trials[1].task_id)
    assert len(done.deleted) == 4 and not done.left
    assert str(done) == "keep: 4 models and artifacts are deleted, 3 kB"


def test_once_done_there_is_nothing_left_to_do(api, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    keep(trials, top=1)
    calls = api.calls.total()
    plan, done = keep(trials, top=1)
    assert not plan.stored and not done.deleted and not done.left
    assert api.calls.total() - calls <= 2


def test_the_plan_says_what_would_go_and_touches_nothing(api, server, study_id, make_trial):
    from clearml_hpo.backend import cleanup

    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    before = on_disk(server)
    plan = cleanup.plan(api, study_id, trials, LOSS, 1).measured(api)
    data, weights = uris_of(api, trials[0].task_id)
    assert plan.text().splitlines() == [
        "keep: trials 1",
        f"trial 0: artifact data (500 B)  {data}",
        f"trial 0: model weights (1 kB)  {weights}",
        "delete: 2 models and artifacts, 1.5 kB",
    ]
    assert on_disk(server) == before and plan.size == 1500


def test_archiving_hides_tasks_and_models_and_deletes_nothing(api, server, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    before = on_disk(server)
    plan, done = keep(trials, top=1, others="archive")
    tags = {trial.number: task_of(api, trial.task_id)["system_tags"] for trial in trials}
    assert "archived" in tags[0] and "archived" not in tags[1]
    (model,) = api.call("models.get_all", task=[trials[0].task_id])["models"]
    assert "archived" in model["system_tags"]
    assert done.archived == 2 and on_disk(server) == before
    assert plan.text("archive").splitlines() == ["keep: trials 1", "archive: trials 0"]


def test_how_and_why_a_trial_ended_outlives_its_archiving(api, make_trial, keep):
    """ClearML wipes out an archived task's reason."""
    lost = make_trial(1, 0.5, state=TrialState.LOST, status="failed", reason="lost: agent gpu0 died")
    marked = make_trial(2, 0.5, state=TrialState.FAILED, status="failed", reason="exit code 1")
    noted = [{"section": "properties", "name": name, "value": "noted"} for name in ("state", "reason")]
    api.call("tasks.edit_hyper_params", task=marked.task_id, force=True, replace_hyperparams="none", hyperparams=noted)
    completed = make_trial(3, 0.9, reason="its process ended")
    keep([make_trial(0, 0.1), lost, marked, completed], top=1, others="archive")
    said = [properties_of(api, trial.task_id) for trial in (lost, marked, completed)]
    assert [(each.get("state"), each.get("reason")) for each in said] == [
        ("lost", "lost: agent gpu0 died"),
        ("noted", "noted"),
        (None, None),
    ]


def test_what_runs_again_by_now_is_not_archived(api, study_id, make_trial):
    """ClearML would stop it, and make a draft of what waits."""
    from clearml_hpo.backend import cleanup

    trials = [make_trial(n, value) for n, value in enumerate((0.1, 0.5, 0.6))]
    plan = cleanup.plan(api, study_id, trials, LOSS, 1)
    api.call("tasks.started", task=trials[1].task_id, force=True)
    done = cleanup.apply(api, plan, "archive")
    running, archived = (task_of(api, trial.task_id) for trial in trials[1:])
    assert running["status"] == "in_progress" and "archived" not in running["system_tags"]
    (model,) = api.call("models.get_all", task=[trials[1].task_id])["models"]
    assert "archived" not in model["system_tags"]
    assert "archived" in archived["system_tags"] and done.archived == 2


def test_what_lives_is_of_another_study_or_is_published_stays(api, make_trial, keep):
    best = make_trial(0, 0.1)
    safe = [
        make_trial(1, 0.5, state=TrialState.RUNNING, status="in_progress"),
        make_trial(2, 0.5, status="in_progress"),  # a person has it run once more
        make_trial(3, 0.5, study=uuid.uuid4().hex),
        make_trial(4, 0.5, status="publish"),
    ]
    plan, done = keep([best, *safe], top=1)
    assert not plan.others and not done.deleted
    for trial in (best, *safe):
        assert len(uris_of(api, trial.task_id)) == 2


def test_a_published_model_stays_and_the_rest_of_its_trial_goes(api, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    (model,) = api.call("models.get_all", task=[trials[0].task_id])["models"]
    api.call("models.set_ready", model=model["id"])
    plan, done = keep(trials, top=1)
    assert [(each.name, why) for each, why in plan.spared] == [("weights", "it is published")]
    assert [each.name for each in done.deleted] == ["data"]
    assert uris_of(api, trials[0].task_id) == [model["uri"]] and api.file_server.size(model["uri"]) == 1000


def test_the_pareto_front_stays_and_with_it_the_top(api, make_trial, keep):
    points = [(1.0, 9.0), (2.0, 2.0), (9.0, 1.0), (3.0, 3.0), (1.5, 9.5)]
    trials = [make_trial(n, *point) for n, point in enumerate(points)]
    plan, _ = keep(trials, top=1, goal=TWO)
    assert sorted(trial.number for trial in plan.kept) == [0, 1, 2]
    assert sorted(trial.number for trial in plan.others) == [3, 4]


def test_earlier_attempts_and_failures_are_among_the_others(api, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, state=TrialState.LOST, attempt=1), make_trial(1, 0.6, attempt=2)]
    plan, done = keep(trials, top=2)
    assert [(trial.number, trial.attempt) for trial in plan.others] == [(1, 1)]
    assert {each.task_id for each in done.deleted} == {trials[1].task_id}


def test_files_that_are_not_the_tasks_own_stay(api, upload, tmp_path, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    task_id = trials[0].task_id
    mine = tmp_path / "precious.csv"
    mine.write_text("a,b")
    (tmp_path / task_id).symlink_to(tmp_path, target_is_directory=True)
    addresses = {
        "shared": upload(f"datasets/{uuid.uuid4().hex}.csv"),
        "upwards": f"{api.files}/{task_id}/../datasets/other.csv",
        "local": mine.as_uri(),
        "linked": f"file://{tmp_path}/{task_id}/precious.csv",
    }
    for name, uri in addresses.items():
        add_artifact(api, task_id, name, uri)
    plan, done = keep(trials, top=1)
    assert {each.name for each, _ in plan.spared} == set(addresses)
    assert {each.name for each in done.deleted} == {"data", "weights"}
    assert str(done).endswith("1.5 kB; 4 stay: the file is not under the task's own address")
    assert mine.exists() and api.file_server.size(addresses["shared"]) == 1000
    assert {a["key"] for a in task_of(api, task_id)["execution"]["artifacts"]} == set(addresses)


def test_a_file_that_another_model_has_too_stays(api, project, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    _, weights = uris_of(api, trials[0].task_id)
    api.call("models.create", name="a copy of it", uri=weights, project=project)
    plan, _ = keep(trials, top=1)
    assert [(each.name, why) for each, why in plan.spared] == [("weights", "another model has the same file")]
    assert api.file_server.size(weights) == 1000


def test_a_file_of_this_machine_under_the_tasks_name_goes(api, tmp_path, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    path = tmp_path / f"trial 0.{trials[0].task_id}" / "model.bin"
    path.parent.mkdir()
    path.write_bytes(b"x")
    add_model(api, trials[0].task_id, "local", path.as_uri())
    _, done = keep(trials, top=1)
    assert not path.exists() and "local" in {each.name for each in done.deleted}


def test_a_file_that_is_gone_already_leaves_no_entry(api, make_trial, keep):
    from clearml.storage.helper import StorageHelper

    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    for uri in uris_of(api, trials[0].task_id):
        assert StorageHelper.get(uri).delete(uri)
    _, done = keep(trials, top=1)
    assert len(done.deleted) == 2 and not done.left
    assert uris_of(api, trials[0].task_id) == []


def test_nothing_is_forgotten_while_the_file_server_does_not_answer(api, make_trial, keep):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    task_id = trials[0].task_id
    add_model(api, task_id, "elsewhere", f"http://127.0.0.1:1/{task_id}/models/weights.bin")
    _, done = keep(trials, top=1)
    assert [each.name for each, _ in done.left] == ["elsewhere"]
    assert [model["name"] for model in api.call("models.get_all", task=[task_id])["models"]] == ["a model elsewhere"]
    assert [item["name"] for item in task_of(api, task_id)["models"]["output"]] == ["elsewhere"]


@pytest.fixture
def stuck(monkeypatch):
    """Addresses whose files no storage deletes."""
    from clearml_hpo.backend import cleanup
    from clearml_hpo.core.errors import ServerError

    delete, stuck = cleanup._delete_file, set()

    def refusing(api, uri):
        if uri in stuck:
            raise ServerError("the storage did not delete the file")
        delete(api, uri)

    monkeypatch.setattr(cleanup, "_delete_file", refusing)
    return stuck


def test_files_that_could_not_be_deleted_are_said_and_found_again(api, make_trial, keep, stuck):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    uris = uris_of(api, trials[0].task_id)
    stuck |= {*uris}
    _, done = keep(trials, top=1)
    assert {each.uri for each, _ in done.left} == {*uris} and not done.deleted
    assert uris_of(api, trials[0].task_id) == [], "an entry must not name a file that may be gone"
    stuck.clear()
    plan, done = keep(trials, top=1)
    assert {each.uri for each in plan.stored} == {each.uri for each in done.deleted} == {*uris} and not done.left
    assert [api.file_server.size(uri) for uri in uris] == [None, None]
    assert properties_of(api, trials[0].task_id)["kept"] == "no"
    assert not keep(trials, top=1)[0].stored


@pytest.mark.parametrize("step", ["tasks.edit", "models.delete", "tasks.edit_hyper_params"])
def test_killed_at_any_step_it_is_done_by_another_attempt(api, make_trial, keep, monkeypatch, step):
    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    uris, call, left = uris_of(api, trials[0].task_id), type(api).call, [1]

    def dying(self, endpoint, **body):
        answer = call(self, endpoint, **body)
        if endpoint == step and left.pop():
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(type(api), "call", dying)
        with pytest.raises(KeyboardInterrupt):
            keep(trials, top=1)
    _, done = keep(trials, top=1)
    assert not done.left and [api.file_server.size(uri) for uri in uris] == [None, None]
    assert uris_of(api, trials[0].task_id) == [] and not keep(trials, top=1)[0].stored


def test_no_file_is_deleted_of_a_task_whose_record_cannot_be_changed(api, make_trial, keep, monkeypatch):
    from clearml_hpo.core.errors import ApiError

    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    uris, call = uris_of(api, trials[0].task_id), type(api).call

    def refusing(self, endpoint, **body):
        if endpoint == "tasks.edit":
            raise ApiError(endpoint, 400, 110, "Invalid task status")
        return call(self, endpoint, **body)

    with monkeypatch.context() as patch:
        patch.setattr(type(api), "call", refusing)
        _, done = keep(trials, top=1)
    assert len(done.left) == 2 and not done.deleted
    assert uris_of(api, trials[0].task_id) == uris and [api.file_server.size(uri) for uri in uris] == [500, 1000]


def test_a_trial_that_runs_again_since_the_plan_keeps_what_it_has(api, study_id, make_trial):
    from clearml_hpo.backend import cleanup

    trials = [make_trial(0, 0.5), make_trial(1, 0.1)]
    uris = uris_of(api, trials[0].task_id)
    for others in ("delete", "archive"):
        plan = cleanup.plan(api, study_id, trials, LOSS, 1)
        api.call("tasks.started", task=trials[0].task_id, force=True)
        done = cleanup.apply(api, plan, others)
        assert not done.deleted and not done.archived
        assert task_of(api, trials[0].task_id)["status"] == "in_progress" and uris_of(api, trials[0].task_id) == uris
        api.call("tasks.stopped", task=trials[0].task_id, force=True)


def test_an_archived_trial_keeps_the_reason_of_its_end(api, make_trial, keep):
    lost = make_trial(0, state=TrialState.LOST, reason="its machine is gone")
    keep([lost, make_trial(1, 0.1)], top=1, others="archive")
    assert properties_of(api, lost.task_id)["reason"] == "its machine is gone"


_SCRIPT = """
from clearml import OutputModel, Task
task = Task.init(project_name="a project", task_name="trial #7: x=0.5", output_uri=True)
open("weights.bin", "wb").write(b"x" * 2000)
OutputModel(task=task, name="weights").update_weights("weights.bin")
task.upload_artifact("table", {"a": 1}, wait_on_upload=True)
task.set_user_properties(study=STUDY)
task.flush(wait_for_uploads=True)
print("ID", task.id)
"""


@pytest.mark.long
def test_what_the_sdk_has_uploaded_is_found_and_deleted(api, server, server_environ, study_id, tmp_path, keep):
    script = tmp_path / "train.py"
    script.write_text(_SCRIPT.replace("STUDY", repr(study_id)))
    ran = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, env=server_environ, capture_output=True, text=True, timeout=120
    )
    task_id = next((line.split()[1] for line in ran.stdout.splitlines() if line.startswith("ID ")), None)
    assert task_id, ran.stdout + ran.stderr
    uris = uris_of(api, task_id)
    assert len(uris) == 2 and all(api.file_server.size(uri) for uri in uris)
    plan, done = keep([Trial(7, {}, task_id, state=TrialState.COMPLETED, values=(0.5,), violations=(1.0,))], top=1)
    assert {each.kind for each in done.deleted} == {"model", "artifact"} and not plan.spared
    assert [api.file_server.size(uri) for uri in uris] == [None, None]


def test_a_study_with_keep_ends_with_the_files_of_its_best_alone(api, study_file, queue, upload):
    def trains(params):
        task_id = agent.ran[-1]
        folder = f"p/t.{task_id}"
        add_model(api, task_id, "weights", upload(f"{folder}/models/weights.bin"))
        yield from quadratic(params)

    study_file.write_text(study_file.read_text() + "keep: {top: 2}\n")
    with PlayedAgent(trains, queue=queue, connects=CONNECTS) as agent:
        outcome = run(study_file, api)
    ranked = sorted(outcome.trials, key=lambda trial: trial.values[0])
    assert [len(uris_of(api, trial.task_id)) for trial in ranked] == [1, 1, 0, 0, 0, 0]
    assert [properties_of(api, trial.task_id).get("kept") for trial in ranked] == [None, None, *["no"] * 4]
