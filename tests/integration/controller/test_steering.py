"""A study that is driven is stopped, and its trials are run again, from outside of its controller."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clearml_hpo import Study
from clearml_hpo.core.trial import TrialState
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import DEADLINE_S, eventually, resume, run

pytestmark = pytest.mark.usefixtures("listens_often")


@pytest.fixture
def in_background():
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def the_study(path):
    project = load_study(path).spec.project
    return eventually(lambda: Study.list(name="quadratic", project=project), "the study is on the server")[0]


@pytest.mark.long
@pytest.mark.parametrize("drain", [False, True])
def test_a_driven_study_is_stopped(study_file, api, queue, in_background, drain):
    goes_on, runs = threading.Event(), threading.Event()

    def training(params):
        yield from quadratic(params)
        runs.set()
        while not goes_on.is_set():
            yield {"validation/loss": 0.5}

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.02):
        running = in_background(run, study_file, api)
        eventually(runs.is_set, "a trial runs", running)
        study = the_study(study_file)
        assert study.stop(drain=drain), "its controller was asked"
        eventually(lambda: study.refresh().record.properties["holder"] == "" or drain, "it has let go")
        if drain:
            assert not running.done()
            goes_on.set()
        assert running.result(DEADLINE_S).status == "stopped"
    expected = TrialState.COMPLETED if drain else TrialState.STOPPED
    assert study.refresh().trials[0].state is expected and study.record.status == "stopped"
    assert TrialState.RUNNING not in study.counts


def fails_once(params, seen):
    """Fails the second training of all."""
    seen.append(params)
    if len(seen) == 2:
        raise RuntimeError("CUDA out of memory")
    yield from quadratic(params)


@pytest.mark.long
def test_a_driven_study_runs_a_failed_trial_again(study_file, api, queue, in_background):
    seen, goes_on = [], threading.Event()

    def training(params):
        yield from fails_once(params, seen)
        while len(seen) == 4 and not goes_on.is_set():
            yield {"validation/loss": 0.5}

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.02):
        running = in_background(run, study_file, api, overrides=["budget.trials=4"])
        eventually(lambda: len(seen) == 4, "the last trial runs", running)
        study = the_study(study_file)
        (failed,) = [trial for trial in study.refresh().trials if trial.state is TrialState.FAILED]
        retried = study.retry()
        assert retried.is_driven and [trial.number for trial in retried.trials] == [failed.number]
        eventually(lambda: study.refresh().record.properties.get("retry") == "", "it was heard")
        goes_on.set()
        assert running.result(DEADLINE_S).status == "completed"
    again = study.refresh().trials[failed.number]
    assert (again.attempt, again.state, again.params) == (2, TrialState.COMPLETED, failed.params)
    assert [attempt.task_id for attempt in study.earlier_attempts] == [failed.task_id]


@pytest.mark.long
def test_a_finished_study_runs_a_failed_trial_again_when_it_is_resumed(study_file, api, queue):
    seen = []
    with PlayedAgent(lambda params: fails_once(params, seen), queue=queue, connects=CONNECTS):
        first = run(study_file, api, overrides=["budget.trials=3"])
        assert first.status == "completed"
        study = Study.load(first.result["study_id"])
        retried = study.retry()
        assert not retried.is_driven and len(retried.trials) == 1
        again = resume(study.study_id, api)
    assert again.status == "completed" and len(seen) == 4
    assert {trial.state for trial in again.trials} == {TrialState.COMPLETED}
    assert [trial.attempt for trial in again.trials if trial.number == retried.trials[0].number] == [2]
