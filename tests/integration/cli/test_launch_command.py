"""``clearml-hpo launch``: the controller as a task, that task run by a real agent, and copies of it."""

from __future__ import annotations

import json
import threading
import time
import uuid

import pytest
import yaml

from clearml_hpo import Study, fleet
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.core.trial import TrialState
from clearml_hpo.study_file import parse_study
from clearml_hpo.testing import PlayedAgent
from tests.integration.controller.conftest import CONNECTS, quadratic

from .web_page import Form

pytestmark = pytest.mark.long

DEADLINE_S = 180.0


@pytest.fixture
def services(api):
    name = f"services-{uuid.uuid4().hex[:8]}"
    api.call("queues.create", name=name)
    return name


def launch(command, study_file, queue, *options):
    code, output = command("launch", str(study_file), "--queue", queue, "--json", *options)
    assert code == 0, output
    return json.loads(output)


def entries(api, queue):
    (found,) = api.call("queues.get_all", name=f"^{queue}$")["queues"]
    return [entry["task"] for entry in found["entries"]]


def test_the_controller_waits_in_the_queue_with_all_that_it_needs(command, api, study_file, services):
    launched = launch(command, study_file, services, "--set", "budget.trials=3")
    assert entries(api, services) == [launched["study_id"]]
    task = api.call("tasks.get_by_id", task=launched["study_id"])["task"]
    assert (task["type"], task["status"], task["tags"]) == ("optimizer", "queued", ["clearml-hpo"])
    assert 'main(["resume"])' in task["script"]["diff"] and not task["script"]["repository"]
    assert task["script"]["requirements"]["pip"].startswith("clearml-hpo==")
    kept = parse_study(task["configuration"]["study"]["value"], "kept")
    assert kept.spec.budget.trials == 3, "overrides are applied"
    template = api.call("tasks.get_by_id", task=kept.spec.template.task)["task"]
    assert "reports validation/loss" in template["script"]["diff"], "the script itself travels in its template"
    assert "holder" not in user_properties(task["hyperparams"])


def test_what_is_said(command, api, study_file, queue, services, agent):
    code, output = command("launch", str(study_file), "--queue", services)
    assert code == 0 and f"quadratic waits in queue {services}: " in output
    assert f"no agent serves it yet: clearml-hpo agents up --queue {services}" in output
    code, output = command("launch", str(study_file), "--queue", queue, "--new")
    assert code == 0 and "its trials go to queue" in output, "the only agent of the trials would be busy"


def test_a_study_of_that_name_is_not_launched_twice(command, api, study_file, services):
    first = launch(command, study_file, services)
    code, output = command("launch", str(study_file), "--queue", services)
    assert code == 2 and f"clearml-hpo resume {first['study_id']}" in output and "--new" in output
    assert f"{study_file}:1: study: 'quadratic' exists already" in output
    assert launch(command, study_file, services, "--new")["study_id"] != first["study_id"]


def test_an_unknown_queue(command, study_file, services):
    code, output = command("launch", str(study_file), "--queue", services + "x")
    assert code == 2 and f"--queue: no queue '{services}x' on the server; did you mean '{services}'?" in output


def test_a_server_that_stays_is_needed(command, study_file, monkeypatch, tmp_path):
    monkeypatch.delenv("CLEARML_API_HOST")
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "none.conf"))
    code, output = command("launch", str(study_file))
    assert code == 2 and "clearml-hpo server start" in output


@pytest.fixture
def services_agent(server, server_environ, services, tmp_path, monkeypatch):
    """A real agent that drives studies."""
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "fleets"
    slots = fleet.plan_slots(queue=services, gpus=(), cpu=1)
    fleet.up(home, server.address, slots, name=services, timeout_s=DEADLINE_S)
    yield
    fleet.down(home, name=services, now=True, timeout_s=DEADLINE_S)


def ended(study_id):
    study = Study.load(study_id)
    until = time.monotonic() + DEADLINE_S
    while study.refresh().record.status in ("created", "queued", "in_progress") or study.record.holder:
        assert time.monotonic() < until, study.record
        time.sleep(0.5)
    return study


def console(api, task_id):
    events = api.call("events.get_task_log", task=task_id, batch_size=500)["events"]
    return "\n".join(event["msg"] for event in events)


@pytest.mark.agent
def test_an_agent_drives_it_and_an_edited_copy_of_it(server, command, api, study_file, services, agent, services_agent):
    launched = launch(command, study_file, services, "--set", "budget.trials=3")
    study = ended(launched["study_id"])
    assert study.record.status == "completed", console(api, study.study_id)
    assert [trial.state.value for trial in study.trials] == ["completed"] * 3
    assert not study.is_driven() and study.driven_s > 0

    # In the web page.
    form = Form(f"{server.address.web}/tasks/{study.study_id}/clone")
    at = form.fields.index(("object", "study")) + 1
    edited = {**yaml.safe_load(form.fields[at][1]), "budget": {"trials": 5}}
    form.fields[at] = ("text", yaml.safe_dump(edited))
    (found,) = api.call("queues.get_all", name=f"^{services}$")["queues"]
    copy = form.send(enqueue="1", queue=found["id"]).rpartition("/")[2]
    again = ended(copy)
    assert again.record.status == "completed", console(api, copy)
    assert len(again.trials) == 5 and len(study.refresh().trials) == 3
    assert {trial.task_id for trial in again.trials}.isdisjoint(trial.task_id for trial in study.trials)


@pytest.mark.agent
def test_aborting_it_in_the_web_page_ends_its_trials(command, api, study_file, services, queue, services_agent):
    runs = threading.Event()

    def training(params):
        yield from quadratic(params)
        runs.set()
        while True:
            yield {"validation/loss": 0.5}

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.05):
        launched = launch(command, study_file, services)
        assert runs.wait(DEADLINE_S), console(api, launched["study_id"])
        api.call("tasks.stop", task=launched["study_id"])
        study = ended(launched["study_id"])
    assert study.record.status == "stopped", console(api, study.study_id)
    assert not study.is_driven() and study.record.holder == ""
    assert study.trials[0].state is TrialState.STOPPED
    assert TrialState.RUNNING not in study.counts
    assert not [task_id for task_id in entries(api, queue) if task_id in {trial.task_id for trial in study.trials}]
