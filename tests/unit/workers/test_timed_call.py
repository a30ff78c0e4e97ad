from __future__ import annotations

import threading

from clearml_hpo.workers.timed_call import Beside


def test_an_answer_that_comes_in_time() -> None:
    assert Beside(lambda: "42", patience_s=30.0, good_for_s=60.0).ask() == "42"


def test_an_old_answer_does_not_count() -> None:
    assert Beside(lambda: "42", patience_s=30.0, good_for_s=-1.0).ask() is None


def test_whoever_does_not_answer_is_not_asked_again_and_the_late_answer_counts() -> None:
    asked, answers = [], threading.Event()

    def question() -> int:
        asked.append(1)
        answers.wait()
        return len(asked)

    beside = Beside(question, patience_s=0.01, good_for_s=60.0)
    assert [beside.ask() for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    answers.set()
    while (found := beside.ask()) is None:
        pass
    assert found >= 1
