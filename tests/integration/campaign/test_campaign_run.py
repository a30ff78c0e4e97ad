"""A campaign from start to end, stopped, killed, continued; and what the server tells of it afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
import zipfile

import pytest
from clearml import StorageManager

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import find_campaign
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.backend.outputs import console_log
from clearml_hpo.backend.study_records import find_studies
from clearml_hpo.campaign.folder import write_folder
from clearml_hpo.campaign.opening import CampaignOpening
from clearml_hpo.campaign.report import read_campaign_state, report_of
from clearml_hpo.core.errors import HeldError, InputError
from clearml_hpo.study_file import load_campaign
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import QueueSource
from tests.receivers import HttpReceiver

from .conftest import TRIALS, Listener, run, trials_of

pytestmark = pytest.mark.long

STUDIES = ["apples-fast", "apples-slow", "pears-fast", "pears-slow"]
ALL = {name: list(range(TRIALS)) for name in STUDIES}


def test_every_study_is_an_ordinary_one_under_the_campaign(campaign_file, api):
    view = Listener()
    outcome = run(campaign_file, api, view=view)
    assert outcome.status == "completed", outcome.reason
    assert trials_of(api, outcome.campaign_id) == ALL
    studies = find_studies(api, campaign=outcome.campaign_id)
    assert {study.name: study.status for study in studies} == dict.fromkeys(STUDIES, "completed")
    assert all(study.best_value is not None and not study.holder for study in studies)

    report = report_of(read_campaign_state(api, outcome.campaign_id))
    assert report.status == "completed" and report.trials == 4 * TRIALS and not report.misplaced
    assert {use.name: use.most_at_once for use in report.resources} == {"one": 1, "two": 1}
    assert set(report.resources[1].trials_of_model) == {"slow"}
    assert [(best.dataset, best.model) for best in report.best] == [tuple(name.split("-")) for name in STUDIES]
    assert all(0 < use.busy_share <= 1 for use in report.resources)
    begun = {study.name: study.started_at for study in studies}
    assert max(begun["apples-fast"], begun["apples-slow"]) < min(begun["pears-fast"], begun["pears-slow"])
    queues = api.call("queues.get_all", only_fields=["name"])["queues"]
    assert not [queue for queue in queues if outcome.campaign_id[:8] in queue["name"]], "its queues are gone"


def test_each_study_sends_its_own_notifications(campaign_file, api, monkeypatch):
    with HttpReceiver() as receiver:
        monkeypatch.setenv("HOOK_URL", receiver.url)
        campaign_file.write_text(f"{campaign_file.read_text()}\nnotify: {{webhook: {{url_env: HOOK_URL}}}}\n")
        assert run(campaign_file, api).status == "completed"
    told = {(message["study"], message["event"], message["status"]) for message in receiver.received}
    assert told == {(name, "ended", "completed") for name in STUDIES} and len(receiver.received) == len(STUDIES)


def test_a_queue_that_others_serve_is_a_resource_as_large_as_its_workers(campaign_file, api):
    name = f"farm-{uuid.uuid4().hex[:8]}"
    workers = LocalWorkers(
        plan_slots(cpu=2, threads=1), QueueSource([ensure_queue(api, name)], print), name, on_note=print
    )
    try:
        campaign_file.write_text(campaign_file.read_text().replace("two: {threads: 1}", f"two: {{queue: {name}}}"))
        outcome = run(campaign_file, api, overrides=["models.slow.resources=[two]", "datasets.pears.seconds=2"])
    finally:
        workers.close()
    assert outcome.status == "completed", outcome.reason
    report = report_of(read_campaign_state(api, outcome.campaign_id))
    assert not report.misplaced
    assert {use.name: (use.takes, use.most_at_once) for use in report.resources} == {"one": (1, 1), "two": (2, 2)}
    assert api.call("queues.get_all", name=f"^{name}$", only_fields=["id"])["queues"], "it is not the campaign's"


def test_what_is_finished_is_not_run_again_and_a_larger_budget_goes_on(campaign_file, api):
    first = run(campaign_file, api)
    view = Listener()
    again = run(campaign_file, api, view=view)
    assert again.campaign_id == first.campaign_id and again.status == "completed"
    assert any("is finished" in note for note in view.notes)
    assert trials_of(api, first.campaign_id) == ALL
    more = run(campaign_file, api, overrides=[f"budget.trials={TRIALS + 1}"])
    assert more.campaign_id == first.campaign_id
    assert trials_of(api, first.campaign_id) == {name: list(range(TRIALS + 1)) for name in STUDIES}
    other = run(campaign_file, api, new=True, overrides=["budget.trials=1"])
    assert other.campaign_id != first.campaign_id
    assert trials_of(api, other.campaign_id) == {name: [0] for name in STUDIES}


def test_what_is_fixed_in_a_study_is_refused_before_anything_is_changed(campaign_file, api):
    before = run(campaign_file, api)
    state = read_campaign_state(api, before.campaign_id)
    script = campaign_file.parent / "slow.py"
    script.write_text(script.read_text() + "# another one\n")
    with pytest.raises(
        InputError, match="study 'pears-slow' exists already, with another objective and template"
    ) as raised:
        run(campaign_file, api, overrides=["objective.direction=maximize"])
    message = str(raised.value)
    assert "study 'apples-fast' exists already, with another objective\n" in message
    assert "campaign run --new" in message and f"clearml-hpo campaign resume {before.campaign_id}" in message
    after = read_campaign_state(api, before.campaign_id)
    assert (after.record.text, after.record.status) == (state.record.text, "completed")
    opened = CampaignOpening(api, print, threading.Event().wait).by_id(before.campaign_id)
    assert all(opened.finished(name) for name in STUDIES), "it goes on as it is"


def test_a_stopped_campaign_goes_on(campaign_file, api):
    stopped = threading.Event()
    view = Listener(lambda progress: stopped.set() if progress.trials >= 2 else None)
    outcome = run(campaign_file, api, view=view, stopped=stopped)
    assert outcome.status == "stopped"
    state = read_campaign_state(api, outcome.campaign_id)
    assert state.record.status == "stopped" and not [each for each in state.runs if each.is_live]
    assert run(campaign_file, api).status == "completed"
    assert trials_of(api, outcome.campaign_id) == ALL


def test_killed_and_resumed_nothing_is_run_twice(campaign_file, api, command, server_environ, tmp_path):
    environ = {**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "state")}
    arguments = ["campaign", "run", str(campaign_file), "--set", "datasets.apples.seconds=0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "clearml_hpo", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if "apples-fast completed" in line:
            break
    process.kill()
    process.wait()
    before = _newest(api, campaign_file)
    done = {each.task_id for each in before.runs if each.status == "completed"}
    assert done and before.studies["apples-fast"].status == "completed"

    code, output = command("campaign", "resume", before.record.campaign_id)
    assert code == 0, output
    after = read_campaign_state(api, before.record.campaign_id)
    assert trials_of(api, before.record.campaign_id) == ALL
    assert done <= {each.task_id for each in after.runs if each.status == "completed"}
    assert after.studies["apples-fast"].study_id == before.studies["apples-fast"].study_id
    assert after.studies["apples-fast"].ended_at == before.studies["apples-fast"].ended_at, "it was left alone"
    assert not report_of(after).misplaced


def _newest(api, campaign_file):
    spec = load_campaign(campaign_file).spec
    return read_campaign_state(api, find_campaign(api, spec.campaign, spec.project).campaign_id)


def test_two_processes_never_drive_one_campaign(campaign_file, api):
    refused = []

    def second():
        try:
            run(campaign_file, Api())
        except HeldError as error:
            refused.append(str(error))

    thread = threading.Thread(target=second)

    def begin(progress):
        if progress.trials and thread.ident is None:
            thread.start()

    outcome = run(campaign_file, api, view=Listener(begin), overrides=["datasets.pears.seconds=5"])
    thread.join()
    assert outcome.status == "completed"
    assert refused and "campaign resume" in refused[0] and "--take-over" in refused[0]


def test_another_process_takes_over(campaign_file, api):
    outcomes, displaced, slow = [], [], ["datasets.apples.seconds=6"]

    def second():
        outcomes.append(run(campaign_file, Api(), overrides=slow, take_over=True))

    thread = threading.Thread(target=second)

    def begin(progress):
        if progress.trials and thread.ident is None:
            thread.start()

    try:
        run(campaign_file, api, view=Listener(begin), overrides=slow)
    except HeldError as error:
        displaced.append(str(error))
    thread.join()
    assert displaced and "taken over" in displaced[0]
    assert outcomes[0].status == "completed", outcomes[0].reason
    assert trials_of(api, outcomes[0].campaign_id) == ALL
    assert not report_of(read_campaign_state(api, outcomes[0].campaign_id)).misplaced


def test_stopped_from_elsewhere_it_goes_on_later(campaign_file, api, command):
    name, said, slow = f"stopped-{uuid.uuid4().hex[:8]}", [], ["datasets.pears.seconds=7"]
    campaign_file.write_text(campaign_file.read_text().replace("two-by-two", name))

    def stop(progress):
        if progress.trials and not said:
            said.append(command("campaign", "stop", name))

    outcome = run(campaign_file, api, view=Listener(stop), overrides=slow)
    assert said[0][0] == 0 and f"to stop campaign {name}" in said[0][1], said
    assert (outcome.status, outcome.reason) == ("stopped", "a user asked for it to stop")
    code, output = command("campaign", "list", "--format", "json")
    found = next(each for each in json.loads(output) if each["name"] == name)
    assert (code, found["status"], found["holder"]) == (0, "stopped", "")
    assert found["campaign_id"][:8] in command("campaign", "list")[1]
    assert command("campaign", "stop", name) == (0, f"campaign {name}: no controller drives it; it is stopped\n")
    again = run(campaign_file, api, overrides=slow)
    assert again.status == "completed" and trials_of(api, outcome.campaign_id) == ALL


def test_a_study_that_fails_does_not_take_the_others_along(campaign_file, api):
    script = campaign_file.parent / "slow.py"
    script.write_text(script.read_text().replace("import time\n", "import time\nraise SystemExit('no data here')\n"))
    outcome = run(campaign_file, api)
    assert outcome.status == "failed"
    assert "apples-slow" in outcome.reason and "pears-slow" in outcome.reason and "-fast" not in outcome.reason
    states = {study.name: study.state for study in outcome.progress.studies}
    assert states == {
        "apples-fast": "completed",
        "pears-fast": "completed",
        "apples-slow": "failed",
        "pears-slow": "failed",
    }
    seen = read_campaign_state(api, outcome.campaign_id).progress
    assert {study.name: study.state for study in seen.studies} == states


def test_status_and_report_from_the_server(campaign_file, api, command, tmp_path):
    campaign_id = run(campaign_file, api, overrides=["budget.trials=2"]).campaign_id
    code, output = command("campaign", "status", campaign_id[:10])
    assert code == 0 and "apples" in output and "ended" in output, output
    code, output = command("campaign", "status", campaign_id, "--json")
    found = json.loads(output)
    assert found["status"] == "completed" and found["trials"] == 8
    assert [study["state"] for study in found["studies"]] == ["completed"] * 4

    code, output = command("campaign", "report", campaign_id, "--output", str(tmp_path / "report"))
    assert code == 0 and "every trial ran where its model may" in output, output
    assert max(map(len, output.splitlines())) <= 80 or str(tmp_path) in output
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert {use["name"] for use in report["resources"]} == {"one", "two"}
    scores = sorted(path.name for path in (tmp_path / "report/scores").iterdir())
    assert [name.partition("-validation_loss-")[0] for name in scores] == STUDIES
    for best in report["best"]:
        name = f"{best['dataset']}-{best['model']}-validation_loss-{best['value']:.6g}.csv"
        assert (tmp_path / "report/scores" / name).read_text() == "id,y\n1,2\n"
    page = (tmp_path / "report/summary.html").read_text()
    assert all(name in page for name in STUDIES) and "Compared: apples" in page and "Compared: pears" in page
    logs = {path.name: sorted(log.name for log in path.iterdir()) for path in (tmp_path / "report/logs").iterdir()}
    assert logs.keys() == {*STUDIES} and all(
        {"trial-0000.log", "trial-0001.log"} <= {*found} for found in logs.values()
    )

    task = api.call("tasks.get_by_id", task=campaign_id)["task"]
    artifacts = {artifact["key"]: artifact["uri"] for artifact in task["execution"]["artifacts"]}
    texts = {"summary.html", "report.txt", "report.json"}
    assert artifacts.keys() == {*texts, *(f"scores/{name}" for name in scores), "logs.zip"}
    packed = zipfile.ZipFile(StorageManager.get_local_copy(artifacts["logs.zip"], extract_archive=False))
    assert {name.removeprefix("logs/") for name in packed.namelist() if name.endswith(".log")} == {
        f"{study}/{name}" for study, names in logs.items() for name in names
    }


def test_the_summary_is_on_the_campaigns_task_before_it_ends(campaign_file, api, sent):
    """Of a task that has ended ClearML's server takes no artifacts."""
    view = Listener()
    outcome = run(campaign_file, api, view=view, overrides=["budget.trials=1"])
    task = api.call("tasks.get_by_id", task=outcome.campaign_id)["task"]
    artifacts = {artifact["key"] for artifact in task["execution"]["artifacts"]}
    assert task["status"] == outcome.status == "completed"
    assert {"summary.html", "report.txt", "report.json", "logs.zip"} <= artifacts
    assert not any("no summary" in note or "is missing" in note for note in view.notes)
    on_it = [endpoint for endpoint, body in sent if body.get("task") == outcome.campaign_id]
    assert "tasks.edit" not in on_it[on_it.index("tasks.completed") :]
    lines = [*console_log(api, outcome.campaign_id)]
    assert lines[0].startswith("campaign two-by-two: ") and lines[-1].startswith("completed: ")
    assert outcome.url.endswith(f"/tasks/{outcome.campaign_id}/output/log")


def test_a_better_submission_takes_the_place_of_the_one_before(campaign_file, api, tmp_path):
    folder = tmp_path / "report"

    def scores(campaign_id):
        write_folder(api, read_campaign_state(api, campaign_id), folder, logs=False)
        task = api.call("tasks.get_by_id", task=campaign_id)["task"]
        keys = {artifact["key"].removeprefix("scores/") for artifact in task["execution"]["artifacts"]}
        return {path.name for path in (folder / "scores").iterdir()}, {key for key in keys if key.endswith(".csv")}

    first = run(campaign_file, api, overrides=["budget.trials=1"])
    before, on_task = scores(first.campaign_id)
    assert before == on_task and len(before) == 4
    (folder / "scores/mine.csv").write_text("another's")
    run(campaign_file, api)
    after, on_task = scores(first.campaign_id)
    assert after - on_task == {"mine.csv"} and on_task < after
    assert len(on_task) == 4 and on_task != before


def test_a_campaign_is_watched(campaign_file, api, command):
    stopped, outcomes = threading.Event(), []
    view = Listener()
    thread = threading.Thread(target=lambda: outcomes.append(run(campaign_file, api, view=view, stopped=stopped)))
    thread.start()
    try:
        while not view.seen:
            time.sleep(0.1)
        campaign_id = view.notes[0].rpartition("/tasks/")[2].partition("/")[0]
        code, output = command("watch", campaign_id, "--once")
        assert code == 0 and "apples" in output and "resource" in output, output
        code, output = command("watch", campaign_id, "--json")
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert code == 0 and lines[-1]["note"].startswith("completed"), output
        assert lines[-2]["trials"] == 4 * TRIALS
    finally:
        stopped.set()
        thread.join(120)
    code, output = command("watch", "no-such-thing")
    assert code == 2 and "no study 'no-such-thing'" in output


def test_an_unknown_campaign_is_said_to_be_so(campaign_file, api, command):
    run(campaign_file, api, overrides=["budget.trials=1", "campaign=pommes-frites"])
    code, output = command("campaign", "status", "pommes-frits")
    assert code == 2 and "did you mean 'pommes-frites'?" in output


def test_a_campaign_file_is_checked_against_the_server(campaign_file, api, command):
    run(campaign_file, api, overrides=["budget.trials=1"])
    code, output = command("check", str(campaign_file))
    assert code == 0 and "pears-slow: sound: 1 parameter, minimize validation/loss" in output, output
    campaign_file.write_text(campaign_file.read_text().replace("{data: apples.csv}", "{date: apples.csv}"))
    code, output = command("check", str(campaign_file))
    assert code == 2 and "campaign.yaml:16: search_space.General/date: the template 'fast'" in output, output
    campaign_file.write_text(campaign_file.read_text().replace("two: {threads: 1}", "two: {queue: nobodys}"))
    code, output = command("check", str(campaign_file))
    assert code == 2 and "resources: no queue 'nobodys' on the server" in output, output
