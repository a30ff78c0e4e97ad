"""Studies and trials read back from the server, whatever state a controller has left them in."""

from __future__ import annotations

import re
import time
import uuid

import pytest

from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.study_records import find_studies, read_study
from clearml_hpo.backend.template import completed_run, template_by_id
from clearml_hpo.backend.trial_records import run_name
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler.endings import ending_of

from .recorded import GOAL, RecordedStudy


@pytest.fixture
def study(api, queue):
    return RecordedStudy(api, queue, name=f"study {uuid.uuid4().hex[:8]}")


def numbers(trials):
    return [trial.number for trial in trials]


def test_a_trial_is_read_with_types_values_times_and_places(study, queue):
    task_id = study.trial(0, loss=0.5, state="completed", value="0.5")
    (trial,) = study.read().settled
    assert trial.task_id == task_id and trial.attempt == 1
    assert trial.params == {"General/x": 0.25, "General/depth": 3, "General/kind": "b"}
    assert (trial.state, trial.value, trial.iteration) == (TrialState.COMPLETED, 0.5, 7)
    assert trial.queue == queue
    assert trial.queued_at <= trial.started_at <= trial.ended_at <= time.time() + 1


@pytest.mark.parametrize("state", [state.value for state in TrialState if not state.is_live])
def test_what_a_controller_has_marked_is_settled_as_it_says(study, state):
    study.trial(0, "stopped", state=state)
    assert [trial.state.value for trial in study.read().settled] == [state]


def test_the_queue_of_a_trial_is_known_once_it_is_deleted(study, api):
    known, noted = study.trial(0, "stopped", state="stopped"), study.trial(1, "stopped", state="stopped", queue="local")
    gone = api.call("queues.create", name=f"local-{study.study_id}")["id"]
    api.call("tasks.reset", task=noted, force=True)
    api.call("tasks.enqueue", task=noted, queue=gone)
    assert {trial.task_id: trial.queue for trial in study.read().latest}[noted] == "local", "by its name"
    api.call("tasks.dequeue", task=noted)
    api.call("tasks.stopped", task=noted, force=True)
    api.call("queues.delete", queue=gone, force=True)
    queues = {trial.task_id: trial.queue for trial in study.read().latest}
    assert queues[noted] == "local" and queues[known] not in ("", "local")


def test_what_a_limit_was_to_end_is_not_finite_if_its_value_is(study):
    """Its end was seen by nobody: a sampler takes no NaN, and the study could not go on."""
    marks = {"state": "completed", "value": "nan", "not_finite": '["validation/loss"]'}
    study.trial(0, "stopped", loss=0.0, **marks)
    study.trial(1, "stopped", loss=0.0, state="completed", value="0")
    assert [(trial.state.value, trial.final_values) for trial in study.read().settled] == [
        ("not_finite", None),
        ("completed", (0.0,)),
    ]


def test_only_a_whole_run_says_what_is_never_reported(study):
    """One that was ended early, or failed, may have had something to report."""
    template = template_by_id(study.api, study.template_id)
    study.trial(0, "completed", state="pruned")
    study.trial(1, "failed", state="failed")
    assert completed_run(study.api, template) == ""
    whole = study.trial(2, "completed", state="no_objective")
    assert whole in completed_run(study.api, template)


def test_what_waits_or_runs_and_what_ended_unseen_is_unsettled(study):
    study.trial(0, "queued")
    study.trial(1, "in_progress", loss=0.7)
    study.trial(2, "completed", loss=0.3)
    study.trial(3, "failed", reason="CUDA out of memory")
    records = study.read()
    assert numbers(records.unsettled) == [0, 1, 2, 3] and not records.settled
    assert [trial.state.value for trial in records.unsettled] == ["queued", "running", "running", "running"]
    assert records.unsettled[3].reason == "CUDA out of memory"
    ended = {records.unsettled[2].task_id: "completed", records.unsettled[3].task_id: "failed"}
    assert {task_id: snapshot.status for task_id, snapshot in records.unseen.items()} == ended


def test_a_trial_that_was_dequeued_while_it_ran_is_no_draft(study):
    """A report would show it as one that runs for ever, and a successor would run it as one that never did."""
    draft, ran = study.trial(0, "created"), study.trial(1, "in_progress", loss=0.7)
    study.api.call("tasks.dequeue", task=ran)
    records = study.read()
    assert [trial.task_id for trial in records.drafts] == [draft]
    assert [trial.task_id for trial in records.unsettled] == [ran] == [*records.unseen]
    assert ending_of(records.unsettled[0], records.unseen[ran], GOAL, None) == (
        TrialState.ABORTED,
        "it was taken out of its queue while it ran",
    )


def test_a_trial_that_was_stopped_while_nobody_reported_it_has_an_end(study):
    task_id = study.trial(0, "in_progress", loss=0.7)
    study.api.call("tasks.stop", task=task_id)
    (trial,) = study.read().unsettled
    assert trial.started_at is not None and trial.ended_at is not None and trial.ended_at >= trial.started_at
    assert study.read(stopping=trial.started_at - 1).settled[0].state is TrialState.STOPPED


def test_studies_of_one_name_are_told_apart_by_when_they_were_made(api, queue):
    name = f"twins {uuid.uuid4().hex[:8]}"
    older, newest = (RecordedStudy(api, queue, name=name).study_id for _ in range(2))
    found = read_study(api, name)
    assert found.study_id == newest
    assert re.fullmatch(rf"{older} \(made {time.strftime('%Y-')}\d\d-\d\d \d\d:\d\d\)", found.namesakes)


def test_a_marked_trial_that_waits_again_was_requeued_by_a_person(study):
    task_id = study.trial(0, "failed", state="failed")
    study.api.call("tasks.enqueue", task=task_id, queue=study.queue_id)
    records = study.read()
    assert numbers(records.unsettled) == [0] and not records.wishes
    study.api.call("tasks.started", task=task_id, force=True)
    assert not study.read().wishes


@pytest.mark.parametrize("state", ["pruned", "completed"])
def test_a_controller_that_died_between_marking_and_stopping_leaves_its_wish(study, state):
    task_id = study.trial(0, "in_progress", state=state)
    records = study.read()
    assert numbers(records.unsettled) == [0]
    assert records.wishes == {task_id: TrialState(state)}


@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_a_wish_is_for_the_run_that_was_to_end_and_not_for_the_next_one(study, state):
    task_id = study.trial(0, "in_progress", loss=0.5)
    (trial,) = study.read().unsettled
    study.tasks.mark(task_id, state=state, wished_run=run_name(trial.started_at))
    assert study.read().wishes == {task_id: TrialState(state)}
    study.api.call("tasks.stopped", task=task_id, force=True)
    study.api.call("tasks.enqueue", task=task_id, queue=study.queue_id)
    study.api.call("tasks.started", task=task_id, force=True)
    records = study.read()
    assert numbers(records.unsettled) == [0] and not records.wishes, "a person has it run once more"


def test_what_a_worker_says_of_a_completed_task_is_no_reason(study):
    study.trial(0, "completed", loss=0.5, state="completed", reason="its process ended")
    assert study.read().settled[0].reason == ""


def test_a_failed_trial_keeps_the_reason_that_its_controller_has_found(study):
    study.trial(0, "failed", state="failed", reason="worker execution exit code 1")
    study.tasks.mark(study.read().settled[0].task_id, reason="ValueError: no depth (exit code 1)")
    assert study.read().settled[0].reason == "ValueError: no depth (exit code 1)"


def test_what_was_stopped_once_the_study_was_ending_ended_with_it(study):
    study.trial(0, "stopped")
    between = time.time()
    study.trial(1, "stopped")
    records = study.read(stopping=between)
    assert numbers(records.unsettled) == [0], "stopped before: by a person"
    assert [(trial.number, trial.state) for trial in records.settled] == [(1, TrialState.STOPPED)]


def test_a_task_that_was_never_submitted_is_a_draft(study):
    study.trial(0, "created")
    study.trial(1, "created", state="aborted")
    records = study.read()
    assert numbers(records.drafts) == [0]
    assert numbers(records.settled) == [1], "taken out of its queue by a person, which was seen"


def test_the_latest_attempt_counts_and_the_earlier_ones_are_kept(study):
    study.trial(4, "failed", state="failed", reason="first")
    study.trial(4, "failed", attempt=2)
    study.trial(4, "completed", loss=0.1, attempt=3, state="completed")
    study.trial(2, "completed", loss=0.2, state="completed")
    records = study.read()
    assert [(trial.number, trial.attempt) for trial in records.latest] == [(2, 1), (4, 3)]
    earlier = [(trial.attempt, trial.state.value) for trial in records.earlier]
    assert earlier == [(1, "failed"), (2, "lost")], "what nobody saw end, and was run again, was lost"


def test_a_clone_whose_answer_was_lost_is_an_orphan(study):
    orphan = study.trial(0, "created")
    study.trial(0, "queued")
    draft, twin = study.trial(1, "created"), study.trial(1, "created")
    records = study.read()
    assert numbers(records.unsettled) == [0]
    assert [trial.task_id for trial in records.drafts] == [draft]
    assert records.orphans == (orphan, twin)


def test_a_persons_copy_of_an_ended_trial_is_neither_trial_nor_orphan(study):
    task_id = study.trial(0, loss=0.5, state="completed")
    copy = study.api.call("tasks.clone", task=task_id, new_task_name="my own look at it")["id"]
    records = study.read()
    assert [trial.task_id for trial in records.latest] == [task_id] and not records.orphans
    study.api.call("tasks.started", task=copy, force=True)
    assert [trial.task_id for trial in study.read().latest] == [task_id]


def test_a_look_at_the_scripts_parameters_is_no_trial(study):
    study.trial(0, attempt=0)
    study.trial(0, loss=0.5, state="completed")
    assert [trial.attempt for trial in study.read().latest] == [1]


def test_a_trial_that_was_reset_keeps_the_value_that_was_seen(study):
    task_id = study.trial(0, loss=0.5, state="completed", value="0.5")
    study.api.call("tasks.reset", task=task_id)
    (trial,) = study.read().settled
    assert trial.final_values == (0.5,)


def test_trials_of_other_studies_are_left_out(study, api, queue):
    other = RecordedStudy(api, queue)
    other.trial(0)
    assert study.read().latest == ()


def test_more_trials_than_a_page(study, monkeypatch):
    monkeypatch.setattr("clearml_hpo.backend.lists.MOST_ROWS", 3)
    for number in range(7):
        study.trial(number, state="completed")
    before = study.api.calls["tasks.get_all"]
    assert numbers(study.read().latest) == list(range(7))
    assert study.api.calls["tasks.get_all"] - before == 3


def test_a_study_is_found_by_id_prefix_and_name(study):
    for wanted in (study.study_id, study.study_id[:12], study.name):
        record = read_study(study.api, wanted)
        assert (record.study_id, record.name, record.project) == (study.study_id, study.name, study.project)
        assert record.status == "created" and "metric: validation/loss" in record.study_yaml
        assert study.study_id in record.url


def test_who_drives_a_study_and_for_how_long(study):
    study.held("gpu-1 pid 12")
    study.tasks.mark(study.study_id, driven_s="12.5", best_value="0.25")
    record = read_study(study.api, study.study_id)
    assert (record.holder, record.driven_s, record.best_value) == ("gpu-1 pid 12", 12.5, 0.25)


def test_a_copy_of_a_controller_has_nothing_of_its_sources_history(study):
    study.held()
    study.tasks.mark(study.study_id, controller=study.study_id, driven_s="12.5", best_value="0.25")
    copy = study.api.call("tasks.clone", task=study.study_id, new_task_name="another one")["id"]
    record = read_study(study.api, copy)
    assert (record.holder, record.driven_s, record.best_value) == ("", 0.0, None)
    assert read_study(study.api, study.study_id).driven_s == 12.5


def test_whoever_drives_a_copy_drives_a_study_of_its_own(study):
    source = Lease(study.api, study.study_id, wait=lambda seconds: None)
    source.acquire()
    study.tasks.mark(study.study_id, driven_s="3600", stopping="1.5", best_value="0.25", retry="3")
    copy = study.api.call("tasks.clone", task=study.study_id, new_task_name="another one")["id"]
    assert source.is_held() and not Lease(study.api, copy).is_held()
    Lease(study.api, copy, wait=lambda seconds: None).acquire()
    record = read_study(study.api, copy)
    assert record.holder and record.driven_s == 0.0 and record.properties["controller"] == copy
    assert {record.properties[name] for name in ("stopping", "best_value", "retry")} == {""}
    assert read_study(study.api, study.study_id).holder == source.me


def test_two_studies_of_one_name_are_told_apart(api, queue):
    one, other = RecordedStudy(api, queue, name="twins of a kind"), RecordedStudy(api, queue, name="twins of a kind")
    found = read_study(api, "twins of a kind")
    assert found.study_id == other.study_id and found.namesakes.startswith(one.study_id), "the newest"
    assert read_study(api, "twins of a kind", project=one.project).study_id == one.study_id


def test_an_unknown_study_is_told_with_the_nearest_name(study):
    with pytest.raises(InputError, match=f"did you mean '{study.name}'"):
        read_study(study.api, study.name + "x")
    with pytest.raises(InputError, match="no study"):
        read_study(study.api, "0" * 32)


def test_a_task_that_is_no_study_is_refused(study):
    with pytest.raises(InputError, match=r"'template'.* is no study"):
        read_study(study.api, study.template_id)


def test_studies_are_listed_newest_first(study, api, queue):
    newer = RecordedStudy(api, queue, name=study.name)
    found = find_studies(api, name=study.name)
    assert [record.study_id for record in found] == [newer.study_id, study.study_id]
    assert [record.study_id for record in find_studies(api, limit=1)] == [newer.study_id]
    assert [record.project for record in find_studies(api, project=study.project)] == [study.project]


def test_an_unknown_project_is_told_with_the_nearest_one(study):
    with pytest.raises(InputError, match=f"no project .* did you mean '{study.project}'"):
        find_studies(study.api, project=study.project + "x")


def test_a_deleted_trial_leaves_the_others_their_histories(study):
    kept, deleted = study.trial(0, loss=0.5), study.trial(1, loss=0.25)
    study.api.call("tasks.delete", task=deleted, force=True)
    assert study.tasks.histories([deleted, kept]) == {kept: [(7, 0.5)]}
    assert study.tasks.histories([deleted]) == {}


def test_a_trial_that_was_completed_after_its_mark_is_unsettled(study):
    study.trial(0, "completed", loss=0.5, state="pruned", value="0.7")
    records = study.read()
    assert [(trial.state, trial.value) for trial in records.unsettled] == [(TrialState.RUNNING, 0.5)]
    assert not records.settled and len(records.unseen) == 1


def test_a_paused_trial_and_what_goes_on_from_it_are_read_back(study):
    first = study.trial(0, loss=0.5, state="paused", value="0.25", length=2)
    study.trial(0, loss=0.5, attempt=2, state="paused", value="0.2", length=6, continues=first)
    study.trial(1, loss=0.7, state="paused", value="0.7", length=2)
    draft = study.trial(1, "created", attempt=2, length=6, continues="abc")
    found = study.read()
    (trial,) = found.settled
    assert (trial.state, trial.length, trial.continues, trial.value) == (TrialState.PAUSED, 6, first, 0.2)
    assert [(t.number, t.state, t.length) for t in found.earlier] == [
        (0, TrialState.PAUSED, 2),
        (1, TrialState.PAUSED, 2),
    ]
    assert [(t.task_id, t.length, t.continues) for t in found.drafts] == [(draft, 6, "abc")]
