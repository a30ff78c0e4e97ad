"""What users do with studies and campaigns on their ClearML server, from beginning to end, by the command line."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections import Counter

import pytest
import yaml

from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.testing.executor_contract import eventually
from tests import place
from tests.integration.campaign.conftest import CAMPAIGN
from tests.integration.campaign.conftest import SCRIPT as CAMPAIGN_SCRIPT

from .conftest import Machine

SCRIPT = '''\
"""{tag}"""
import os
import time

from clearml import Task

Task.force_store_standalone_script()
task = Task.init("{project}", "train", auto_connect_frameworks=False)
params = task.connect({{"x": 0.5, "good": 9.0, "gate": "none", "broken": "none"}})
if os.path.exists(params["broken"]):
    raise ValueError("the data are broken")
loss = (params["x"] - 0.3) ** 2
for iteration in range(3):
    task.get_logger().report_scalar("validation", "loss", loss, iteration)
print("loss is", loss)
with open("submission.csv", "w") as file:
    file.write("id,y\\n1,2\\n")
task.upload_artifact("submission", "submission.csv", wait_on_upload=True)
while loss > params["good"] and not os.path.exists(params["gate"]):
    time.sleep(0.02)
'''
STUDY = """\
study: {name}
project: {project}
template: {{script: {script}}}
search_space:
  x: {{type: float, low: 0.0, high: 1.0}}
  {constants}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: random, seed: 1}}
budget: {{trials: 3}}
execution: {{queue: {queue}, poll_interval: 0.2}}
"""


@pytest.fixture(scope="module")
def user(server_environ, tmp_path_factory):
    """A user's machine, on which the server is configured."""
    machine = Machine(tmp_path_factory.mktemp("user"), **server_environ)
    yield machine
    machine.wait_until_nothing_runs()


@pytest.fixture(scope="module")
def api(server_environ):
    """What the server has, whatever the product says."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server_environ.items():
            patch.setenv(name, value)
        from clearml_hpo.backend.api import Api

        yield Api()


@pytest.fixture(scope="module")
def queue(user):
    """A queue that a worker with two slots serves."""
    name = place.queue("flows")
    worker = user.start("worker", "--queue", name, "--cpu", "2", "--threads", "1")
    until(worker, r"2 slot\(s\) serve")
    yield name
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("flows") / "train.py"
    path.write_text(SCRIPT.format(tag=place.ROOT, project=place.project("flows")))
    return path


@pytest.fixture
def study(request, script, queue, tmp_path):
    """Writes a study file; its trials have these constants, and wait at the gate if their loss is not good."""

    def study(**constants):
        name = f"{request.node.name.removeprefix('test_').replace('_', ' ')[:40]} {len([*tmp_path.glob('*.yaml')])}"
        lines = "\n  ".join(f"{key}: {value}" for key, value in constants.items())
        path = tmp_path / f"{name}.yaml"
        place_of = {"project": place.project("flows"), "script": script, "queue": queue}
        path.write_text(STUDY.format(name=name, constants=lines, **place_of))
        return str(path)

    return study


@pytest.fixture
def gate(tmp_path):
    """Trials of the constants ``good: -1`` and this ``gate`` wait until there is such a file."""
    return tmp_path / "gate"


@pytest.fixture
def run(user, tmp_path):
    """Runs a command that ends as it is said; what it printed, and the JSON that it wrote."""

    def run(*arguments, code=0, **options):
        out = tmp_path / "out.json"
        got, output = user.run(*map(str, arguments), "--json", str(out), **options)
        assert got == code, output
        return output, json.loads(out.read_text())

    return run


@pytest.fixture
def say(user):
    """What a command prints."""

    def say(*arguments, code=0):
        got, output = user.run(*map(str, arguments))
        assert got == code, output
        return output

    return say


def until(process, pattern):
    """What a process has said up to a line with ``pattern``."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return "".join(seen)
    raise AssertionError(f"it ended without {pattern!r}: {''.join(seen)}")


def rest(process, seen, code):
    output = seen + "".join(process.stdout)
    assert process.wait(timeout=60) == code, output
    return output


def outcomes(result):
    """The trials of a result as no later controller changes them."""
    kept = ("number", "attempt", "task_id", "state", "value", "params", "worker", "started_at", "ended_at", "reason")
    return [{name: trial[name] for name in kept} for trial in result["trials"]]


# --- what the server has ------------------------------------------------------------------------------------------


def task_of(api, task_id):
    return api.call("tasks.get_by_id", task=task_id)["task"]


def trials_of(api, study_id):
    """The trial tasks, in the order in which they were made."""
    asked = {"parent": study_id, "order_by": ["created"], "search_hidden": True}
    found = api.call("tasks.get_all", page=0, page_size=500, **asked)["tasks"]
    return [task for task in found if "trial" in user_properties(task.get("hyperparams") or {})]


def statuses(api, study_id):
    return Counter(task["status"] for task in trials_of(api, study_id))


@pytest.fixture(autouse=True)
def nothing_is_left_half_way(api):
    """No task of these tests waits or runs in the end, and none that ran is a draft."""
    yield
    found = api.call("projects.get_all", name=f"^{place.project('flows')}(/|$)", search_hidden=True)["projects"]
    if not found:
        return
    asked = {"project": [each["id"] for each in found], "page": 0, "page_size": 500, "search_hidden": True}
    tasks = api.call("tasks.get_all", only_fields=["id", "name", "status", "started"], **asked)["tasks"]
    assert [task for task in tasks if task["status"] in ("queued", "in_progress")] == []
    assert [task for task in tasks if task["status"] == "created" and task.get("started")] == []


def assert_is_on_record(api, result, *, trials):
    """The controller task of a completed study has all that a user looks for on the server."""
    task = task_of(api, result["controller_task_id"])
    properties = user_properties(task["hyperparams"])
    assert task["status"] == "completed" and "budget" in task["status_reason"]
    assert properties["trials"] == f"{trials}/{trials}" and not properties.get("holder")
    best = yaml.safe_load(task["configuration"]["best"]["value"])
    assert best == result["best"]["params"]
    assert int(properties["best_trial"]) == result["best"]["number"]
    assert {artifact["key"] for artifact in task["execution"]["artifacts"]} >= {"best", "summary.html", "summary.txt"}
    plots = api.call("events.get_task_plots", task=task["id"], iters=1)["plots"]
    assert plots
    for plot in plots:  # ClearML's web app shows no plot at all if one has a title that is no text
        assert isinstance(json.loads(plot["plot_str"])["layout"].get("title", ""), str), plot["metric"]
    tagged = [trial["id"] for trial in trials_of(api, task["id"]) if "best" in (trial.get("tags") or ())]
    assert tagged == [result["best"]["task_id"]]


# --- the flows ----------------------------------------------------------------------------------------------------


def test_run_with_workers_of_its_own(run, study, api):
    output, result = run("run", study(), "--cpu", "2", "--threads", "1")
    assert "2 warm workers on this machine" in output and "best: trial" in output
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 3
    assert result["trials"][0]["params"]["General/x"] == 0.5, "trial 0 has the script's own values"
    assert_is_on_record(api, result, trials=3)


@pytest.mark.long
def test_prune(run, study, api):
    """The trials that are not good enough wait for ever; the pruner ends them."""
    pruner = ("--set", 'pruner={"name": "threshold", "options": {"upper": 0.05}}', "--set", "budget.trials=6")
    _, result = run("run", study(good=0.05), *pruner)
    states = {trial["number"]: trial["state"] for trial in result["trials"]}
    pruned = {number for number, state in states.items() if state == "pruned"}
    assert pruned and set(states.values()) == {"completed", "pruned"}
    ended = [task for task in trials_of(api, result["study_id"]) if task["status"] == "stopped"]
    assert {int(user_properties(task["hyperparams"])["trial"]) for task in ended} == pruned
    assert_is_on_record(api, result, trials=6)


@pytest.mark.long
def test_a_finished_study_is_shown_and_a_larger_budget_goes_on(run, study, say, api):
    file = study()
    _, first = run("run", file)
    output, same = run("run", file)
    assert outcomes(same) == outcomes(first) and "larger budget" in output
    _, more = run("run", file, "--set", "budget.trials=4")
    _, most = run("resume", first["study_id"], "--set", "budget.trials=5")
    assert outcomes(most)[:4] == outcomes(more) and outcomes(more)[:3] == outcomes(first)
    assert most["study_id"] == more["study_id"] == first["study_id"] and len(most["trials"]) == 5
    assert_is_on_record(api, most, trials=5)
    kept = yaml.safe_load(say("study", "show", first["study_id"], "--file"))
    assert kept["budget"]["trials"] == 5, "the task has the study as it is now"


@pytest.mark.long
def test_ctrl_c_and_resume(run, user, study, gate, tmp_path, api):
    """What runs is ended, and run again when the study goes on."""
    out = tmp_path / "interrupted.json"
    driving = user.start("run", study(good=-1, gate=gate), "--json", str(out))
    seen = until(driving, r"trial \d+ runs on")
    driving.send_signal(signal.SIGINT)
    output = rest(driving, seen, 130)
    stopped = json.loads(out.read_text())
    assert stopped["status"] == "stopped" and f"clearml-hpo resume {stopped['study_id']}" in output
    assert set(statuses(api, stopped["study_id"])) <= {"stopped", "created"}
    assert task_of(api, stopped["study_id"])["status"] == "stopped"
    gate.touch()
    _, result = run("resume", stopped["study_id"])
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 3
    assert result["trials"][0]["attempt"] == 2
    assert_is_on_record(api, result, trials=3)


@pytest.mark.long
def test_a_controller_that_was_killed_and_the_same_run_again(run, user, study, gate, api):
    """Its trials go on in the worker; the next controller adopts them."""
    file = study(good=-1, gate=gate)
    driving = user.start("run", file)
    seen = until(driving, r"trial \d+ runs on")
    driving.kill()
    rest(driving, seen, -signal.SIGKILL)
    gate.touch()
    _, result = run("run", file)
    assert [(trial["state"], trial["attempt"]) for trial in result["trials"]] == [("completed", 1)] * 3
    assert statuses(api, result["study_id"]) == {"completed": 3}
    assert_is_on_record(api, result, trials=3)


@pytest.mark.long
def test_a_failure_retry_and_resume(run, study, say, gate, api):
    """A study that ends by failures says why; when their cause is mended, the trials are run again."""
    gate.touch()
    file = study(broken=gate)
    output, failed = run("run", file, "--set", "failures.stop_after=2", code=1)
    study_id = failed["study_id"]
    assert failed["status"] == "failed" and "ValueError: the data are broken" in output
    assert statuses(api, study_id)["failed"] >= 2 and task_of(api, study_id)["status"] == "failed"
    assert "the data are broken" in say("study", "show", study_id)
    gate.unlink()
    assert f"clearml-hpo resume {study_id}" in say("study", "retry", study_id)
    _, result = run("resume", study_id)
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 3
    assert {trial["attempt"] for trial in result["trials"]} >= {2}
    assert_is_on_record(api, result, trials=3)


@pytest.mark.long
def test_stop_from_another_machine(run, user, study, say, gate, api):
    """One study ends at once, one when what runs has ended; both go on."""
    files = {"abort": study(good=-1, gate=gate), "drain": study(good=-1, gate=f"{gate}-drain")}
    driving = {how: user.start("run", file, "--set", "execution.concurrency=1") for how, file in files.items()}
    seen = {how: until(process, r"trial \d+ runs on") for how, process in driving.items()}
    ids = {how: re.search(r"/tasks/([0-9a-f]{32})/", text)[1] for how, text in seen.items()}
    for how, study_id in ids.items():
        assert f"to {how} study" in say("study", "stop", study_id, f"--{how}")
    rest(driving["abort"], seen["abort"], 130)
    assert statuses(api, ids["abort"])["stopped"] == 1
    seen["drain"] += until(driving["drain"], "asked to stop: .* waiting for what runs")
    gate.with_name(f"{gate.name}-drain").touch()
    rest(driving["drain"], seen["drain"], 130)
    assert statuses(api, ids["drain"])["completed"] == 1 and not statuses(api, ids["drain"])["stopped"]
    gate.touch()
    for study_id in ids.values():
        _, result = run("resume", study_id)
        assert_is_on_record(api, result, trials=3)


@pytest.mark.long
def test_keep_report_export_and_delete(run, study, say, user, tmp_path, api):
    """What stays of a study: the best submission, a folder with all of it, and at last nothing."""
    _, result = run("run", study())
    study_id, best = result["study_id"], result["best"]["number"]
    uris = {
        trial["number"]: task_of(api, trial["task_id"])["execution"]["artifacts"][0]["uri"]
        for trial in result["trials"]
    }
    assert all(api.file_server.size(uri) for uri in uris.values())
    assert "keep: 2 models and artifacts are deleted" in say("study", "keep", study_id, "--top", 1, "--yes")
    assert [number for number, uri in uris.items() if api.file_server.size(uri)] == [best]
    listed = [trial["id"] for trial in trials_of(api, study_id) if trial["execution"].get("artifacts")]
    assert listed == [result["best"]["task_id"]]
    assert "0 models and artifacts" in say("study", "keep", study_id, "--top", 1, "--yes"), "it can be repeated"

    folder = tmp_path / "report"
    say("study", "report", study_id, "--output", folder)
    assert {"summary.html", "summary.txt", "trials.csv", "best.yaml"} <= {path.name for path in folder.iterdir()}
    assert [path.read_text() for path in (folder / "scores").iterdir()] == ["id,y\n1,2\n"]
    logs = sorted((folder / "logs").iterdir())
    assert len(logs) == 3 and all("loss is" in path.read_text() for path in logs)
    say("study", "export", study_id, tmp_path / "trials.csv")
    rows = [*csv.DictReader((tmp_path / "trials.csv").open())]
    assert [row["state"] for row in rows] == ["completed"] * 3
    assert [float(row["params.General/x"]) for row in rows] == [
        trial["params"]["General/x"] for trial in result["trials"]
    ]

    assert say("study", "delete", study_id, "--yes").endswith("deleted\n")
    gone = [study_id, *(trial["task_id"] for trial in result["trials"])]
    assert api.call("tasks.get_all", id=gone, search_hidden=True)["tasks"] == []
    assert not any(api.file_server.size(uri) for uri in uris.values())
    assert user.run("study", "show", study_id)[0] == 2


@pytest.mark.long
def test_launch_and_clone(user, study, say, api, tmp_path):
    """A worker drives the study; a copy of its task, edited and enqueued, is another study."""
    services = place.queue("services")
    driver = user.start("worker", "--queue", services, "--cpu", "1")
    seen = until(driver, r"slot\(s\) serve")
    say("launch", study(), "--queue", services, "--output", tmp_path / "launch.json")
    launched = json.loads((tmp_path / "launch.json").read_text())["study_id"]
    assert "completed: the budget of 3 trials" in say("watch", launched)
    copy = api.call("tasks.clone", task=launched, new_task_name="a copy")["id"]
    kept = task_of(api, copy)["configuration"]["study"]
    changed = {**yaml.safe_load(kept["value"]), "budget": {"trials": 2}}
    kept = {**kept, "name": "study", "value": yaml.safe_dump(changed)}
    api.call("tasks.edit_configuration", task=copy, configuration=[kept])
    api.call("tasks.enqueue", task=copy, queue_name=services)
    assert "completed: the budget of 2 trials" in say("watch", copy)
    for study_id, trials in ((launched, 3), (copy, 2)):
        say("study", "export", study_id, tmp_path / "study.json")
        result = json.loads((tmp_path / "study.json").read_text())
        assert_is_on_record(api, {**result, "controller_task_id": study_id}, trials=trials)
        assert statuses(api, study_id) == {"completed": trials}
    driver.send_signal(signal.SIGTERM)
    rest(driver, seen, 0)


@pytest.mark.long
def test_pilots(run, user, study, api):
    """A worker as a task, which a plain worker or agent has started, runs the trials and leaves with the study."""
    agents = place.queue("agents")
    agent = user.start("worker", "--queue", agents, "--cpu", "1")
    seen = until(agent, r"slot\(s\) serve")
    _, result = run("run", study(), "--set", f"execution.queue={agents}", "--set", "execution.pilots=1")
    assert_is_on_record(api, result, trials=3)
    workers = {task["last_worker"] for task in trials_of(api, result["study_id"])}
    assert len(workers) == 1 and ":pilot-" in workers.pop()
    pilots = api.call("tasks.get_all", parent=result["study_id"], search_hidden=True, page=0, page_size=500)["tasks"]
    eventually(lambda: {task_of(api, each["id"])["status"] for each in pilots} == {"completed"}, "the pilot leaves")
    assert api.call("queues.get_all", name=result["study_id"])["queues"] == []
    agent.send_signal(signal.SIGTERM)
    rest(agent, seen, 0)


@pytest.mark.long
def test_a_worker_alone(user, api):
    """Tasks of the user's own: run once, in their order; then the worker leaves, and no trace of it is left."""
    from clearml_hpo.backend.names import ensure_project

    queue = place.queue("alone")
    script = {"binary": "python3", "entry_point": "a.py", "diff": "print('six')\n"}
    about = {"type": "training", "project": ensure_project(api, place.project("flows")), "script": script}
    tasks = [api.call("tasks.create", name=f"task {i}", **about)["id"] for i in range(3)]
    for task in tasks:
        api.call("tasks.enqueue", task=task, queue_name=queue)
    code, output = user.run("worker", "--queue", queue, "--cpu", "1", "--once")
    assert code == 0, output
    ended = [task_of(api, task) for task in tasks]
    assert [task["status"] for task in ended] == ["completed"] * 3
    assert [task["started"] for task in ended] == sorted(task["started"] for task in ended)
    assert [each["msg"] for each in api.call("events.get_task_log", task=tasks[0])["events"]] == ["six\n"]
    workers = api.call("workers.get_all")["workers"]
    assert not [worker for worker in workers if queue in (each.get("name") for each in worker.get("queues") or ())]


@pytest.mark.long
def test_a_campaign_and_its_going_on(run, user, say, tmp_path, api):
    """Interrupted in the midst, shown, gone on with; a campaign that is finished is left as it is."""
    for model in ("fast", "slow"):
        script = CAMPAIGN_SCRIPT.format(tag=place.ROOT, model=model)
        (tmp_path / f"{model}.py").write_text(script.replace('"tests"', repr(place.project("flows", "campaign"))))
    file = tmp_path / "campaign.yaml"
    text = CAMPAIGN.format(project=place.project("flows", "campaign"), trials=2)
    file.write_text(text.replace("two-by-two", place.ROOT))  # its queues have its name
    driving = user.start("campaign", "run", str(file))
    seen = until(driving, "apples-slow: slow is new")
    driving.send_signal(signal.SIGINT)
    output = rest(driving, seen, 130)
    campaign_id = re.search("to go on: clearml-hpo campaign resume (.*)", output)[1]
    assert task_of(api, campaign_id)["status"] == "stopped"
    assert re.search("^stopped ", say("campaign", "status", campaign_id), re.M)
    _, report = run("campaign", "resume", campaign_id)
    assert report["trials"] == 8 and report["misplaced"] == []
    task = task_of(api, campaign_id)
    assert task["status"] == "completed"
    assert {"summary.html", "report.json"} <= {artifact["key"] for artifact in task["execution"]["artifacts"]}
    studies = api.call("tasks.get_all", parent=campaign_id, search_hidden=True, page=0, page_size=500)["tasks"]
    assert [each["status"] for each in studies] == ["completed"] * 4
    assert "is finished" in say("campaign", "resume", campaign_id)
    say("campaign", "report", campaign_id, "--output", tmp_path / "report")
    assert len([*(tmp_path / "report" / "scores").iterdir()]) == 4
