"""A study file from start to result, on the embedded server with played agents."""

from __future__ import annotations

import re
import threading
import time

import pytest
import requests

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.hyperparameters import flatten, user_properties
from clearml_hpo.backend.names import find_project
from clearml_hpo.controller.check import check_study
from clearml_hpo.controller.reports import StudyReports
from clearml_hpo.core.errors import ApiError, InputError, StudyError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.report import figures
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, run


def tasks_of(api, outcome):
    ids = [trial.task_id for trial in outcome.trials]
    tasks = api.call("tasks.get_all", id=ids, page=0, page_size=500)["tasks"]
    return {task["id"]: task for task in tasks}


@pytest.mark.long
def test_a_first_run_whose_submission_is_not_answered_runs_once(study_file, api, agent, monkeypatch):
    call, lost = Api.call, []

    def answered(self, endpoint, **body):
        answer = call(self, endpoint, **body)
        if endpoint == "tasks.enqueue" and not lost:
            lost.append(body["task"])
            raise ApiError(endpoint, 503, 0, "the answer was lost")
        return answer

    monkeypatch.setattr(Api, "call", answered)
    outcome = run(study_file, api)
    assert outcome.trials[0].task_id == lost[0]
    assert len(agent.ran) == len(outcome.trials) == 6


def test_every_trial_is_a_clone_with_its_parameters_and_identity(study_file, api, agent):
    outcome = run(study_file, api)
    assert outcome.status == "completed"
    assert [trial.number for trial in outcome.trials] == list(range(6))
    tasks = tasks_of(api, outcome)
    controller_id = outcome.result["controller_task_id"]
    for trial in outcome.trials:
        task = tasks[trial.task_id]
        assert task["status"] == "completed" and task["parent"] == controller_id
        properties = user_properties(task["hyperparams"])
        assert (properties["study"], properties["trial"]) == (controller_id, str(trial.number))
        assert properties["attempt"] == "1" and task["name"] == f"train #{trial.number}"
        texts = flatten(task["hyperparams"])
        for name, value in trial.params.items():
            assert texts[name] == str(value)
        assert texts["General/other"] == "True", "what the space does not name stays the template's"


@pytest.mark.long
def test_a_baseline_whose_value_is_none_of_the_choices_is_drawn(study_file, api, agent):
    text = study_file.read_text()
    study_file.write_text(text.replace("[a, b]", "[SGD, AdamW]"))
    listener = Listener()
    outcome = run(study_file, api, view=listener)
    assert (outcome.status, outcome.trials[0].params["General/kind"]) == ("completed", "a")
    assert not [note for note in listener.notes if "missing" in note or "behind" in note]
    again = run(study_file, api, view=listener, overrides=("budget.trials=7",))
    assert (again.status, len(again.trials)) == ("completed", 7), "and the study goes on"


def test_nothing_that_is_shown_or_drawn_ends_a_study(study_file, api, agent, monkeypatch):
    class Broken(Listener):
        def progress(self, progress):
            raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range")

    monkeypatch.setattr(figures, "timeline_figure", lambda *_: {}["auto"])
    outcome = run(study_file, api, view=Broken())
    assert (outcome.status, len(outcome.trials)) == ("completed", 6)
    events = api.call("events.get_task_log", task=outcome.result["controller_task_id"], batch_size=500)["events"]
    log = "".join(event["msg"] for event in events)
    assert log.count("the plot 'timeline/slots' is missing: KeyError: 'auto'") == 1
    assert log.count("the screen is behind: UnicodeEncodeError") == 1


def test_trial_0_is_the_baseline_and_the_best_beats_it(study_file, api, agent):
    outcome = run(study_file, api)
    assert outcome.trials[0].params == {"General/x": 0.9, "General/depth": 4, "General/kind": "a"}
    assert outcome.best.value < outcome.trials[0].value
    best_task = tasks_of(api, outcome)[outcome.best.task_id]
    (loss,) = [v for m in best_task["last_metrics"].values() for v in m.values() if v["metric"] == "validation"]
    assert outcome.best.value == loss["value"]


def test_each_task_ran_once(study_file, api, agent):
    outcome = run(study_file, api)
    assert sorted(agent.ran) == sorted(trial.task_id for trial in outcome.trials)


def test_one_clone_and_one_enqueue_per_trial(study_file, api, agent):
    outcome = run(study_file, api, overrides=["pruner=none"])
    calls = outcome.result["api_calls"]
    assert calls["tasks.clone"] == calls["tasks.enqueue"] == 6
    assert calls["events.multi_task_scalar_metrics_iter_histogram"] == 1, "for the report at the end"
    assert calls["tasks.get_all"] < 6 * 10


def test_the_controller_task_has_plots_table_and_best_parameters(study_file, api, agent):
    outcome = run(study_file, api)
    task = api.call("tasks.get_by_id", task=outcome.result["controller_task_id"])["task"]
    assert (task["type"], task["status"]) == ("optimizer", "completed")
    assert "General/x" in task["configuration"]["best"]["value"]
    assert "study: quadratic" in task["configuration"]["study"]["value"]
    plots = api.call("events.get_task_plots", task=task["id"], iters=1, no_scroll=True)["plots"]
    assert {plot["metric"] for plot in plots} >= {"summary", "optimization history", "parallel coordinates"}


def templates(api, path):
    spec = load_study(path).spec
    project_id = find_project(api, spec.project)
    tasks = api.call("tasks.get_all", project=[project_id], tags=["template"])["tasks"]
    return [task for task in tasks if task["status"] == "created"]


def test_the_second_study_of_a_script_knows_the_template(study_file, api, agent):
    first, view = run(study_file, api), Listener()
    second = run(study_file, api, view=view, overrides=["budget.trials=2"])
    assert first.trials[0].params == second.trials[0].params
    assert not [note for note in view.notes if "is new" in note]
    (template,) = templates(api, study_file)
    assert flatten(template["hyperparams"]) == {name: text for name, (_, text) in CONNECTS.items()}


def test_a_template_by_id_and_by_name(study_file, api, agent):
    outcome = run(study_file, api, overrides=["budget.trials=2"])
    spec = load_study(study_file).spec
    task_id, text = outcome.best.task_id, study_file.read_text()
    name = api.call("tasks.get_by_id", task=task_id)["task"]["name"]
    for way in (f"task: {task_id}", f"project: {spec.project}\n  name: '{name}'"):
        study_file.write_text(text.replace("script: train.py", way))
        again = run(study_file, api, overrides=["budget.trials=3"], new=True)
        assert [trial.state for trial in again.trials] == [TrialState.COMPLETED] * 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  depth:",
            "  deph:",
            "study.yaml:7: search_space.General/deph: the template 'train' has no such parameter; did",
        ),
        (
            "depth: {type: int, low: 2, high: 8}",
            "depth: {type: float, low: 2, high: 8}",
            "the template's value is an int",
        ),
        (
            "validation/loss",
            "validation/los",
            "study.yaml:9: objective.metric: 'validation/los' was never reported; did",
        ),
        ("script: train.py", "task: nonsense", "no task nonsense on the server"),
        ("queue: ", "queue: x", "execution.queue: no queue 'x"),
    ],
)
def test_what_the_server_does_not_have_is_said_and_nothing_goes_on(study_file, api, queue, agent, old, new, said):
    text = study_file.read_text()
    assert old in text
    study_file.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        run(study_file, api)
    assert said in str(caught.value).replace(f"{study_file.parent}/", "")
    queued = api.call("queues.get_all", name=f"^{queue}$", only_fields=["entries"])["queues"]
    assert not any(queue.get("entries") for queue in queued)


def test_check_says_the_same_once_the_template_is_known(study_file, api, agent):
    run(study_file, api, overrides=["budget.trials=2"])
    assert check_study(load_study(study_file), api).faults == []
    study_file.write_text(
        study_file.read_text().replace("  depth:", "  deph:").replace("validation/loss", "valid/loss")
    )
    said = [str(fault) for fault in check_study(load_study(study_file), api).faults]
    assert "did you mean 'General/depth'" in said[0]
    assert "did you mean 'validation/loss'" in said[1]


def test_a_script_that_reports_nothing_is_told_what_to_do_by_run_and_then_by_check(study_file, api, queue):
    with PlayedAgent(lambda params: [], queue=queue, connects=CONNECTS), pytest.raises(InputError) as caught:
        run(study_file, api)
    said = "reported: nothing; have the script report it: "
    call = "task.get_logger().report_scalar('validation', 'loss', value, iteration)"
    assert f"'validation/loss' was never reported; {said}{call}\nits console: http" in str(caught.value)
    (fault,) = check_study(load_study(study_file), api).faults
    assert f"{said}{call}; a run that completed: http" in fault.text
    single = load_study(study_file, ["objective.metric=Summary/size"])
    assert "task.get_logger().report_single_value('size', value)" in check_study(single, api).faults[0].text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "train.py: it never calls Task.init: add `from clearml import Task`"),
        (
            "import clearml\ntask = clearml.Task.init()\n",
            'connect what is to be varied, such as task.connect({"lr": 0.1})',
        ),
    ],
)
def test_a_script_that_connects_nothing_is_told_what_to_do_by_run_and_then_by_check(study_file, api, queue, line, said):
    script = study_file.parent / "train.py"
    script.write_text(script.read_text() + line)
    with PlayedAgent(lambda params: [], queue=queue), pytest.raises(StudyError) as caught:
        run(study_file, api)
    assert said in str(caught.value)
    (fault,) = check_study(load_study(study_file), api).faults
    assert "its first run connected no hyperparameters: http" in fault.text and said in fault.text


def test_a_first_run_that_failed_says_nothing_of_what_is_reported(study_file, api, queue):
    def broken(params):
        raise RuntimeError("out of memory")
        yield

    with PlayedAgent(broken, queue=queue, connects=CONNECTS), pytest.raises(StudyError):
        run(study_file, api)
    findings = check_study(load_study(study_file), api)
    assert not findings.faults
    assert any("is known once a run of it has completed" in text for text in findings.remarks)


@pytest.mark.long
def test_check_finds_points_to_try_first_that_break_a_constraint(study_file, api, agent):
    run(study_file, api, overrides=["budget.trials=1"])
    study_file.write_text(
        study_file.read_text().replace("objective:", "parameter_constraints: ['depth < 6']\nobjective:")
        + "enqueue: [{x: 0.5}, {depth: 7}]\n"
    )
    (fault,) = check_study(load_study(study_file), api).faults
    assert fault.key == ("enqueue", 1) and "is no point of the search space" in fault.text
    with pytest.raises(InputError, match=r"study\.yaml:\d+: enqueue\.1: "):
        run(study_file, api, new=True)


def test_check_looks_at_what_a_study_starts_from_and_its_storage(study_file, api, tmp_path):
    (study_file.parent / "train.py").write_text('d = {"x": 1, "depth": 2, "kind": 3}\n')
    missing = "0123456789abcdef0123456789abcdef"
    for given, said in (
        (f"tasks: [{missing}]", f"tasks: no task {missing}"),
        ("study: x", "study: no study 'x'"),
        ("study: x, storage: a.db", r"storage: a\.db cannot be opened"),
    ):
        study_file.with_name("warm.yaml").write_text(f"{study_file.read_text()}warm_start:\n  - {{{given}}}\n")
        file = load_study(study_file.with_name("warm.yaml"))
        with pytest.raises(InputError, match=rf"warm\.yaml:\d+: warm_start\.{said}"):
            check_study(file, api)
    for url, said in (
        (f"sqlite:///{tmp_path}/none/a.db", "there is no folder"),
        ("a.db", "storage: a.db cannot be opened: .*; a file is written as sqlite:///a.db"),
    ):
        with pytest.raises(InputError, match=said):
            check_study(load_study(study_file, [f"storage={url}"]), api)
    assert not check_study(load_study(study_file, [f"storage=sqlite:///{tmp_path}/a.db"]), api).faults
    assert not (tmp_path / "a.db").exists(), "a check makes nothing"


def test_check_of_a_script_that_never_ran_looks_at_its_text(study_file, api):
    (study_file.parent / "train.py").write_text('d = {"x": 1, "depth": 2, "kinds": 3}\nreport("validation", "loss")\n')
    (fault,) = check_study(load_study(study_file), api).faults
    assert fault.key == ("search_space", "General/kind")


def test_a_baseline_that_fails_fails_the_study_with_its_reason(study_file, api, queue):
    def broken(params):
        raise RuntimeError("no such file: data.csv")
        yield

    with PlayedAgent(broken, queue=queue), pytest.raises(StudyError, match=r"no such file: data\.csv"):
        run(study_file, api)


def test_failed_trials_do_not_end_the_study(study_file, api, queue):
    def half(params):
        if float(params["General/x"]) < 0.5:
            raise RuntimeError("diverged")
        yield from quadratic(params)

    with PlayedAgent(half, queue=queue, connects=CONNECTS):
        outcome = run(study_file, api)
    states = {trial.state for trial in outcome.trials}
    assert states == {TrialState.COMPLETED, TrialState.FAILED} and len(outcome.trials) == 6
    assert "diverged" in next(t.reason for t in outcome.trials if t.state is TrialState.FAILED)


def test_pruned_trials_are_marked_in_the_table(study_file, api, queue):
    def good_or_endless(params):
        good = float(params["General/x"]) < 0.6
        for step in range(1, 4 if good else 2000):
            yield {"validation/loss": 0.1 / step if good else 1.0}

    overrides = ["pruner.name=threshold", "pruner.options={upper: 0.9}", "sampler={name: random, seed: 1}"]
    with PlayedAgent(good_or_endless, queue=queue, connects=CONNECTS, step_s=0.05):
        outcome = run(study_file, api, overrides=overrides)
    assert {trial.state for trial in outcome.trials} == {TrialState.PRUNED, TrialState.COMPLETED}
    pruned = [trial for trial in outcome.trials if trial.state is TrialState.PRUNED]
    for task in (tasks_of(api, outcome)[trial.task_id] for trial in pruned):
        assert task["status"] == "stopped"
        assert user_properties(task["hyperparams"])["state"] == "pruned"


@pytest.mark.long
@pytest.mark.parametrize("abort", [True, False])
def test_a_stop_leaves_nothing_in_the_queue(study_file, api, queue, abort):
    def endless(params):
        for step in range(1, 600):
            yield {"validation/loss": 1 / step}

    stopped = threading.Event()

    class StopsOnceOneWaits(Listener):
        def progress(self, progress):
            if {TrialState.RUNNING, TrialState.QUEUED} <= {trial.state for trial in progress.trials}:
                stopped.set()

    with PlayedAgent(endless, queue=queue, connects=CONNECTS, step_s=0.05):
        outcome = run(study_file, api, view=StopsOnceOneWaits(), stopped=stopped, aborts=lambda: abort)
        tasks = tasks_of(api, outcome)
    assert outcome.status == "stopped"
    statuses = [tasks[trial.task_id]["status"] for trial in outcome.trials]
    assert statuses[0] == ("stopped" if abort else "in_progress")
    assert "queued" not in statuses
    if not abort:
        assert {trial.state for trial in outcome.trials[2:]} <= {TrialState.ABORTED}, "taken back, and said so"
    controller = api.call("tasks.get_by_id", task=outcome.result["controller_task_id"])["task"]
    assert controller["status"] == "stopped"


def test_constants_reach_every_trial(study_file, api, agent):
    study_file.write_text(study_file.read_text().replace("  kind: {type: categorical, choices: [a, b]}", "  kind: b"))
    outcome = run(study_file, api, overrides=["budget.trials=3"])
    for task in tasks_of(api, outcome).values():
        assert flatten(task["hyperparams"])["General/kind"] == "b"
    names = [task["name"] for task in api.call("tasks.get_all", parent=outcome.result["controller_task_id"])["tasks"]]
    assert sorted(names) == ["train #0", "train #1", "train #2", "train: first run"]


def test_the_servers_table_shows_the_trials_of_a_study(study_file, server, api, agent):
    outcome = run(study_file, api, overrides=["budget.trials=3"])
    project = find_project(api, load_study(study_file).spec.project)
    page = requests.get(f"{server.address.web}/projects/{project}", timeout=60).text
    assert sorted(re.findall(r"choose (train[^\"]*)\"", page)) == ["train #0", "train #1", "train #2"]
    assert f'class="chip" href="/tasks/{outcome.result["controller_task_id"]}"' in page
    headings = re.findall(r"<th[^>]*><a [^>]*>([^<]*)</a>", page)
    assert headings[:4] == ["name", "status", "trial", "value"]
    assert set(headings[4:7]) == {"General/x", "General/depth", "General/kind"}
    assert f"{outcome.best.value:.10g}" in page


def test_constants_stay_out_of_the_template(study_file, api, agent):
    text = study_file.read_text()
    study_file.write_text(text.replace("  kind: {type: categorical, choices: [a, b]}", "  kind: b"))
    outcome = run(study_file, api, overrides=["budget.trials=3"])
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 3
    assert outcome.trials[0].params == {"General/x": 0.9, "General/depth": 4}
    (template,) = templates(api, study_file)
    assert flatten(template["hyperparams"])["General/kind"] == "a"


def test_a_misspelt_constant_is_found_too(study_file, api, agent):
    study_file.write_text(study_file.read_text().replace("  kind: {type: categorical, choices: [a, b]}", "  kidn: b"))
    with pytest.raises(InputError, match=r"General/kidn: .* did you mean 'General/kind'"):
        run(study_file, api)


@pytest.mark.long
def test_what_a_script_connects_after_its_first_report_belongs_to_the_template(study_file, api, queue):
    def late(params):
        yield {"validation/loss": 1.0}
        api.call(
            "tasks.edit_hyper_params",
            task=agent.ran[-1],
            force=True,
            hyperparams=[{"section": "General", "name": "late", "type": "int", "value": "3"}],
        )
        yield {"validation/loss": 0.5}

    with PlayedAgent(late, queue=queue, connects=CONNECTS, step_s=0.3) as agent:
        run(study_file, api, overrides=["budget.trials=2"])
    (template,) = templates(api, study_file)
    assert flatten(template["hyperparams"])["General/late"] == "3"


def test_what_is_not_finite_is_as_if_it_had_not_been_reported(study_file, api, queue):
    """A server refuses it, with all else that is in its batch."""

    def diverges(params):
        if float(params["General/x"]) >= 0.5:
            yield {"validation/loss": 0.1}
        yield {"validation/loss": float("nan")}

    with PlayedAgent(diverges, queue=queue, connects=CONNECTS):
        outcome = run(study_file, api)
    assert outcome.status == "completed" and len(outcome.trials) == 6
    values = {trial.params["General/x"] >= 0.5: (trial.state, trial.final_values) for trial in outcome.trials}
    assert values == {True: (TrialState.COMPLETED, (0.1,)), False: (TrialState.NO_OBJECTIVE, None)}


@pytest.mark.long
def test_a_first_run_that_hangs_without_output_ends_the_study(study_file, api, queue):
    def hangs(params):
        while True:
            yield {}

    with PlayedAgent(hangs, queue=queue, connects=CONNECTS, step_s=0.05) as agent:
        with pytest.raises(
            StudyError, match=r"first run of train hangs: no line and no scalar for 2 s \(silent_after\)"
        ):
            run(study_file, api, overrides=["failures.silent_after=2"])
        (task_id,) = agent.ran
        deadline = time.monotonic() + 20
        while api.call("tasks.get_by_id", task=task_id)["task"]["status"] == "in_progress":
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_time_budget_counts_while_the_first_run_waits(study_file, api, queue):
    outcome = run(study_file, api, overrides=["budget.time=1"])
    assert outcome.status == "failed" and "time budget" in outcome.reason
    (trial,) = outcome.trials
    assert trial.state is TrialState.STOPPED
    entries = [q["entries"] for q in api.call("queues.get_all", name=f"^{queue}$")["queues"]]
    assert entries == [[]]


def test_an_unexpected_error_leaves_nothing_running_or_waiting(study_file, api, queue, monkeypatch):
    def endless(params):
        for step in range(1, 600):
            yield {"validation/loss": 1 / step}

    def broken(reports, scheduler):
        if scheduler.trials[0].state is TrialState.RUNNING:
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(StudyReports, "follow", broken)
    with PlayedAgent(endless, queue=queue, connects=CONNECTS, step_s=0.05) as agent:
        with pytest.raises(ZeroDivisionError):
            run(study_file, api)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            statuses = {t["status"] for t in api.call("tasks.get_all", id=agent.ran)["tasks"]}
            if "in_progress" not in statuses:
                break
            time.sleep(0.1)
    assert statuses == {"stopped"}
    assert api.call("queues.get_all", name=f"^{queue}$")["queues"][0]["entries"] == []


def test_a_task_of_a_persons_own_is_not_edited(study_file, api, agent):
    project_id = api.call("projects.create", name=f"own/{study_file.parent.name}")["id"]
    script = {"entry_point": "a.py", "diff": "print(1)", "repository": "", "working_dir": "."}
    task_id = api.call("tasks.create", name="mine", type="training", project=project_id, script=script)["id"]
    study_file.write_text(study_file.read_text().replace("script: train.py", f"task: {task_id}"))
    outcome = run(study_file, api, overrides=["budget.trials=3"])
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 3
    assert not api.call("tasks.get_by_id", task=task_id)["task"].get("hyperparams")


class LosesRuns(PlayedAgent):
    """Its first runs end before their script begins."""

    reasons = ("lost: its agent died", "worker execution exit code 1")

    def _run(self, task_id):
        if len(self.ran) >= len(self.reasons):
            return super()._run(task_id)
        words = "clearml.backend_api.session.session.LoginError: Failed getting token (error 502 from http://a:8008)"
        text = f"Traceback (most recent call last):\n  File 'train.py'\n{words}\n"
        line = {"type": "log", "task": task_id, "timestamp": int(time.time() * 1000), "worker": "w", "msg": text}
        self._call("tasks.started", task=task_id, force=True)
        self._api.send_events([line])
        self._call("tasks.failed", task=task_id, force=True, status_reason=self.reasons[len(self.ran)])
        self.ran.append(task_id)


def test_a_first_run_that_is_lost_runs_again(study_file, api, queue):
    view = Listener()
    with LosesRuns(quadratic, queue=queue, connects=CONNECTS) as agent:
        outcome = run(study_file, api, view=view)
    assert outcome.status == "completed", outcome.reason
    assert [(trial.number, trial.attempt) for trial in outcome.trials] == [(0, 3), *((n, 1) for n in range(1, 6))]
    assert sum("it runs once more" in note for note in view.notes) == 2
    states = [user_properties(api.call("tasks.get_by_id", task=task)["task"]["hyperparams"]) for task in agent.ran[:3]]
    assert [(one["attempt"], one.get("state")) for one in states] == [("1", "lost"), ("2", "lost"), ("3", "completed")]


def test_a_first_run_that_is_lost_too_often_ends_the_study(study_file, api, queue):
    with (
        LosesRuns(quadratic, queue=queue, connects=CONNECTS) as agent,
        pytest.raises(StudyError, match="lost: its agent"),
    ):
        run(study_file, api, overrides=["failures.lost=0"])
    assert len(agent.ran) == 1
