from __future__ import annotations

import threading

from clearml_hpo.workers.timed_call import TimedCall


def test_an_answer_that_comes_in_time() -> None:
    assert TimedCall(lambda: "42", timeout_s=30.0, max_age_s=60.0).answer() == "42"


def test_an_old_answer_does_not_count() -> None:
    assert TimedCall(lambda: "42", timeout_s=30.0, max_age_s=-1.0).answer() is None


def test_whoever_does_not_answer_is_not_asked_again_and_the_late_answer_counts() -> None:
    asked, answers = [], threading.Event()

    def question() -> int:
        asked.append(1)
        answers.wait()
        return len(asked)

    call = TimedCall(question, timeout_s=0.01, max_age_s=60.0)
    assert [call.answer() for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    answers.set()
    while (found := call.answer()) is None:
        pass
    assert found >= 1
