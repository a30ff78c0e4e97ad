"""Lines as clearml-agent 3.0.3 writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.fleet import logtail
from clearml_hpo.fleet.logtail import LogTail

IDLE = "No tasks in queue 5e1f\nNo tasks in Queues, sleeping for 0.5 seconds\n"
PULLED = "task 11aa pulled from 5e1f by worker host:cpu0\n"
STARTED = "Running task '11aa'\n"
DONE = "DONE: Running task '11aa', exit status 0\n"


@pytest.fixture
def tail(tmp_path: Path) -> LogTail:
    return LogTail(tmp_path / "agent.log")


def _write(tail: LogTail, text: str) -> None:
    with tail.path.open("a") as file:
        file.write(text)
    tail.read()


def test_a_life(tail: LogTail) -> None:
    tail.read()  # no log yet
    _write(tail, IDLE + IDLE)
    assert (tail.idle, tail.task) == (2, None)
    _write(tail, PULLED)
    assert (tail.task, tail.started) == ("11aa", False)
    _write(tail, STARTED)
    assert (tail.task, tail.started) == ("11aa", True)
    _write(tail, DONE)
    assert (tail.task, tail.started) == (None, False)


def test_the_next_task_is_pulled_in_the_middle_of_a_line(tail: LogTail) -> None:
    _write(tail, PULLED + STARTED + DONE + "Process completed successfully" + PULLED.replace("11aa", "22bb"))
    assert (tail.task, tail.started) == ("22bb", False)
    _write(tail, STARTED.replace("11aa", "22bb"))
    assert tail.started


def test_a_line_counts_when_it_is_complete(tail: LogTail) -> None:
    _write(tail, PULLED[:10])
    assert tail.task is None
    _write(tail, PULLED[10:])
    assert tail.task == "11aa"


def test_another_tasks_lines_are_the_output_of_ours(tail: LogTail) -> None:
    _write(tail, PULLED + STARTED + DONE.replace("11aa", "22bb"))
    assert tail.task == "11aa"


def test_what_was_there_before_does_not_count(tail: LogTail) -> None:
    tail.path.write_text(PULLED)
    tail.skip()
    _write(tail, IDLE)
    assert (tail.idle, tail.task) == (1, None)


def test_rotation_keeps_reading(tail: LogTail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtail, "ROTATE_BYTES", 100)
    _write(tail, IDLE * 5)
    tail.rotate()
    assert tail.path.stat().st_size == 0
    assert tail.path.with_suffix(".log.1").read_text() == IDLE * 5
    _write(tail, PULLED)
    assert tail.task == "11aa"


def test_last_lines_leave_out_the_idle_ones(tail: LogTail) -> None:
    assert logtail.last_lines(tail.path, 3) == []
    _write(tail, "a\n" + IDLE + "b\nc\n" + IDLE + "d\n")
    assert logtail.last_lines(tail.path, 3) == ["b", "c", "d"]
