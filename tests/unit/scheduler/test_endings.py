"""How a trial has ended, from the server's words and our own wishes."""

from __future__ import annotations

import math

import pytest

from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.endings import Streak, ending_of, is_back
from clearml_hpo.scheduler.heartbeats import HangDetector, Heartbeats
from clearml_hpo.scheduler.roster import AttemptMemo

GOAL = Goal((Objective("validation", "loss"),))
PRUNE = (TrialState.PRUNED, "pruned at iteration 3")
LIMIT = (TrialState.COMPLETED, "stopped after 5 s")
STOP = (TrialState.STOPPED, "enough")
KILLED = "ended by SIGKILL, signal 9 (was it out of memory?)"


def ended(status, reason="", *, value=0.5, wish=None):
    return ending_of(Trial(0, {}, "t", values=(value,)), TaskSnapshot("t", status, reason=reason), GOAL, wish)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
@pytest.mark.parametrize("wish", [None, PRUNE, STOP])
def test_what_lives_has_not_ended(status, wish):
    assert ended(status, wish=wish) is None


@pytest.mark.parametrize("wish", [None, PRUNE, STOP])
def test_what_the_kubernetes_agent_moves_to_its_own_queue_has_not_ended(wish):
    assert ended("stopped", "moving to k8s pending queue", wish=wish) is None


@pytest.mark.parametrize("status", ["completed", "publishing", "published", "closed"])
@pytest.mark.parametrize("wish", [None, PRUNE, LIMIT, STOP])
def test_what_is_completed_is_completed_whatever_was_wished(status, wish):
    assert ended(status, wish=wish) == (TrialState.COMPLETED, "")


@pytest.mark.parametrize(
    ("status", "reason", "wish", "expected"),
    [
        ("failed", "exit code 1", None, (TrialState.FAILED, "exit code 1")),
        ("failed", "lost: agent died", None, (TrialState.LOST, "lost: agent died")),
        ("failed", "ended by SIGSEGV, signal 11", None, (TrialState.FAILED, "ended by SIGSEGV, signal 11")),
        ("failed", KILLED, None, (TrialState.KILLED, KILLED)),
        *(
            ("failed", f"worker execution exit code {code}", None, (state, f"worker execution exit code {code}"))
            for code, state in {
                -9: TrialState.KILLED,
                137: TrialState.KILLED,
                247: TrialState.KILLED,
                -11: TrialState.FAILED,
                9: TrialState.FAILED,
            }.items()
        ),
        ("failed", "it was lost: really", None, (TrialState.FAILED, "it was lost: really")),
        (
            *("stopped", "stopped as non-responsive; nothing was heard", None),
            (TrialState.LOST, "the server heard nothing of it (stopped as non-responsive; nothing was heard)"),
        ),
        (
            *("stopped", "Forced stop (non-responsive)", None),  # ClearML's own server
            (TrialState.LOST, "the server heard nothing of it (Forced stop (non-responsive))"),
        ),
        ("stopped", "by ada: it was non-responsive", None, (TrialState.ABORTED, "by ada: it was non-responsive")),
        ("stopped", "stopped as non-responsive", PRUNE, PRUNE),
        ("stopped", "by ada", None, (TrialState.ABORTED, "by ada")),
        ("stopped", "its controller ended", None, (TrialState.LOST, "its controller ended")),
        ("stopped", "its controller ended", STOP, STOP),
        ("stopped", "", None, (TrialState.ABORTED, "stopped by a user")),
        ("created", "", None, (TrialState.ABORTED, "it was taken out of its queue")),
        ("unknown", "", None, (TrialState.ABORTED, "stopped by a user")),
        ("stopped", "", PRUNE, PRUNE),
        ("failed", "killed", PRUNE, PRUNE),
        ("stopped", "", LIMIT, LIMIT),
        ("created", "", STOP, STOP),
        ("stopped", "", STOP, STOP),
    ],
)
def test_other_ends(status, reason, wish, expected):
    assert ended(status, reason, wish=wish) == expected


@pytest.mark.parametrize(
    ("value", "state"),
    [(None, TrialState.NO_OBJECTIVE), (math.nan, TrialState.NOT_FINITE), (-math.inf, TrialState.NOT_FINITE)],
)
def test_completed_without_a_value_is_a_class_of_its_own(value, state):
    assert ended("completed", value=value)[0] is state
    assert ended("stopped", value=value, wish=LIMIT) == (state, LIMIT[1])


def test_which_ends_are_without_a_value():
    failures = {"failed", "killed", "lost", "no_objective", "not_finite"}
    assert {state.value for state in TrialState if state.is_failure} == failures
    assert {state.value for state in TrialState if state.is_retryable} == {*failures, "aborted"}
    assert {state.value for state in TrialState if state.is_without_value} == {*failures, "aborted", "stopped"}


@pytest.mark.parametrize(
    ("state", "status", "started_at", "expected"),
    [
        ("failed", "queued", 1.0, True),
        ("pruned", "in_progress", 1.0, True),
        ("lost", "completed", 1.0, True),
        ("failed", "completed", 2.0, True),
        ("aborted", "completed", 1.0, False),  # its agent's last word, after the person's
        ("no_objective", "completed", 1.0, False),
        ("no_objective", "completed", 2.0, True),
        ("pruned", "completed", 2.0, False),
        ("failed", "failed", 2.0, False),
        ("lost", "failed", 1.0, False),
        ("failed", "created", None, False),
    ],
)
def test_which_trials_are_back(state, status, started_at, expected):
    trial = Trial(0, {}, "t", state=TrialState(state), started_at=1.0)
    assert is_back(trial, TaskSnapshot("t", status, started_at=started_at)) is expected


def test_a_streak_is_of_one_class():
    streak = Streak()
    lengths = [streak.add(TrialState(state)) for state in ("failed", "failed", "lost", "failed", "failed", "failed")]
    assert lengths == [1, 2, 1, 1, 2, 3]


# --- signs of life --------------------------------------------------------------------------------------------------


def detector(rounds):
    """Seconds of detector at each round ``(time, sign)``."""
    heartbeats, found = Heartbeats(), []
    for now, sign in rounds:
        heartbeats.listen(now)
        found.append(heartbeats.silent_s("t", sign, now))
    return found


def test_silence_grows_until_there_is_a_sign():
    assert detector([(0, "a"), (10, "a"), (20, "a"), (30, "b"), (40, "b")]) == [0, 10, 20, 0, 10]


def test_a_long_gap_between_two_rounds_is_nobodys_silence():
    assert detector([(0, "a"), (2, "a"), (4, "a"), (4000, "a"), (4002, "a")]) == [0, 2, 4, 0, 2]


def test_rounds_that_are_always_far_apart_count():
    assert detector([(0, "a"), (300, "a"), (600, "a"), (900, "a")]) == [0, 0, 300, 600]


def test_some_slow_rounds_count():
    assert detector([(0, "a"), (2, "a"), (30, "a"), (32, "a")]) == [0, 2, 30, 32]


def test_a_task_that_was_forgotten_is_heard_for_the_first_time():
    heartbeats = Heartbeats()
    heartbeats.silent_s("t", "a", 0.0)
    heartbeats.forget_others({"other"})
    assert heartbeats.silent_s("t", "a", 50.0) == 0.0


def hangs_at(scalars, outputs, after_s=10):
    """Seconds at which a trial is found to hang, looked at each second, and how often its console was looked at."""
    looks = []

    def look(task_id):
        looks.append(task_id)
        return outputs(now)

    detector = HangDetector(after_s, look)
    for now in range(100):
        detector.listen(now, {"t"})
        if detector.hangs("t", scalars(now), now):
            return now, len(looks)
    return None, len(looks)


def test_a_trial_that_puts_out_nothing_hangs_and_its_console_is_looked_at_twice():
    assert hangs_at(lambda now: "same", lambda now: "same") == (15, 3)
    assert hangs_at(lambda now: min(now, 40), lambda now: "same") == (55, 3)


def test_scalars_of_the_goal_are_a_sign_without_a_look():
    assert hangs_at(lambda now: now // 4, lambda now: "same") == (None, 0)


def test_a_new_line_on_the_console_is_a_sign():
    assert hangs_at(lambda now: "same", lambda now: now // 4)[0] is None


def test_nothing_hangs_if_no_time_is_given():
    assert hangs_at(lambda now: "same", lambda now: "same", None) == (None, 0)


@pytest.mark.parametrize(
    ("started_at", "updated_at", "since"), [(100.0, 160.0, 440.0), (None, 160.0, 500.0), (100.0, None, 500.0)]
)
def test_a_running_task_has_run_for_as_long_as_the_server_says_not_its_clock(started_at, updated_at, since):
    memo = AttemptMemo()
    memo.runs(TaskSnapshot("t", "in_progress", started_at=started_at, updated_at=updated_at), 500.0)
    assert memo.running_since == since
    memo.runs(TaskSnapshot("t", "in_progress", started_at=started_at, updated_at=200.0), 600.0)
    assert memo.running_since == since


def test_a_line_since_the_last_look_keeps_a_trial():
    """Polls are not evenly apart: when the time is over, the last look may be less than half of it ago."""
    output, looks = ["a line"], []

    def look(task_id):
        looks.append(task_id)
        return output[-1]

    detector = HangDetector(30.0, look)
    for now in (0.0, 15.0, 31.0):
        detector.listen(now, {"t"})
        assert not detector.hangs("t", None, now)
    assert len(looks) == 2
    output.append("another")
    for now, has_come in ((45.5, False), (61.0, False), (76.0, True)):
        detector.listen(now, {"t"})
        assert detector.hangs("t", None, now) is has_come
