"""Tasks of which nothing is heard any more are stopped, by a clock that the tests set."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from clearml_hpo.backend.codes import is_non_responsive
from clearml_hpo.server.clock import utc_now
from clearml_hpo.server.stale_tasks import StaleTaskWatchdog

from .server_without_sockets import Api

LIMIT_S = 900


@pytest.fixture
def watchdog(api: Api) -> StaleTaskWatchdog:
    return StaleTaskWatchdog(api.store.lifecycle, api.tick, LIMIT_S)


def running(api: Api) -> str:
    task = api.task()
    api.call("tasks.started", task=task)
    return task


def listen(api: Api, watchdog: StaleTaskWatchdog, seconds: float) -> list[str]:
    """Time goes by, and the server looks as often as it would."""
    stopped = []
    for _ in range(int(seconds // watchdog.pause_s)):
        api.now += timedelta(seconds=watchdog.pause_s)
        stopped += watchdog.look()
    return stopped


def test_a_silent_task_is_stopped_and_says_why(api: Api, watchdog: StaleTaskWatchdog) -> None:
    task = running(api)
    assert listen(api, watchdog, LIMIT_S - 30) == []
    assert listen(api, watchdog, 60) == [task]
    found = api.get(task)
    assert (found["status"], found["status_reason"]) == ("stopped", "stopped as non-responsive")
    assert "0:15:00" in found["status_message"] and "completed" in found
    assert is_non_responsive(found["status_reason"])  # a controller takes it for lost
    assert listen(api, watchdog, 2 * LIMIT_S) == []


@pytest.mark.parametrize("sign", ["report", "ping", "worker"])
def test_any_sign_of_life_counts(sign: str, api: Api, watchdog: StaleTaskWatchdog) -> None:
    task, other = running(api), running(api)
    for _ in range(3):
        assert task not in listen(api, watchdog, LIMIT_S - 60)
        if sign == "report":
            api.report(task, (1, 1.0))
        elif sign == "ping":
            api.call("tasks.ping", task=task)
        else:
            api.call("workers.status_report", worker="w", timestamp=1, task=task)
    assert (api.get(task)["status"], api.get(other)["status"]) == ("in_progress", "stopped")


def test_a_worker_that_is_alive_without_the_task_does_not_count(api: Api, watchdog: StaleTaskWatchdog) -> None:
    task = running(api)
    api.call("workers.status_report", worker="w", timestamp=1, task=task)
    for _ in range(4):
        listen(api, watchdog, LIMIT_S / 2)
        api.call("workers.status_report", worker="w", timestamp=1)
    assert api.get(task)["status"] == "stopped"


def test_only_what_runs_is_stopped(api: Api, watchdog: StaleTaskWatchdog) -> None:
    tasks = [api.task(), api.task(), running(api), running(api)]
    api.call("tasks.enqueue", task=tasks[1])
    api.call("tasks.completed", task=tasks[2])
    api.call("tasks.failed", task=tasks[3])
    assert listen(api, watchdog, 3 * LIMIT_S) == []
    assert [api.get(task)["status"] for task in tasks] == ["created", "queued", "completed", "failed"]


def test_silence_before_the_server_listened_does_not_count(api: Api) -> None:
    task = running(api)
    api.now += timedelta(days=1)  # the server was down
    watchdog = StaleTaskWatchdog(api.store.lifecycle, api.tick, LIMIT_S)
    assert listen(api, watchdog, LIMIT_S - 60) == []
    api.call("tasks.ping", task=task)
    assert listen(api, watchdog, LIMIT_S - 60) == []
    assert listen(api, watchdog, LIMIT_S) == [task]


@pytest.mark.parametrize("gap", [timedelta(hours=8), -timedelta(hours=8)])
def test_after_a_sleep_of_the_machine_all_have_the_whole_time_again(
    gap: timedelta, api: Api, watchdog: StaleTaskWatchdog
) -> None:
    task = running(api)
    listen(api, watchdog, LIMIT_S - 60)
    api.now += gap
    assert watchdog.look() == []
    assert listen(api, watchdog, LIMIT_S - 60) == []
    if gap > timedelta(0):
        assert listen(api, watchdog, 120) == [task]


def test_the_thread_ends_with_the_block_and_a_failure_is_no_end(api: Api) -> None:
    looked = threading.Semaphore(0)

    class Failing(StaleTaskWatchdog):
        def look(self) -> list[str]:
            looked.release()
            raise OSError("no room")

    watchdog = Failing(api.store.lifecycle, utc_now, 0.01)
    before = threading.active_count()
    with watchdog.looking():
        for _ in range(3):
            assert looked.acquire(timeout=60)
    assert threading.active_count() == before


def test_a_dataset_that_nobody_has_closed_yet_is_no_silent_task(api: Api, watchdog: StaleTaskWatchdog) -> None:
    task = running(api)
    api.call("tasks.update", task=task, system_tags=["dataset"])
    assert listen(api, watchdog, 3 * LIMIT_S) == []
