"""What is said to a daemon, and when; the real one's part is in tests/integration/fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clearml_hpo.backend.codes import QUEUE_CLOSED
from clearml_hpo.fleet.agent import Agent
from clearml_hpo.fleet.leaving import PATIENCE_S, leave
from clearml_hpo.fleet.queues import Gates
from tests.unit.fleet.fake_client import FakeClient

from .conftest import eventually
from .fake_daemons import Clock

Make = Callable[..., Agent]
IDLE = "while True: idle(); time.sleep(0.05)"
BUSY = (
    """
say("task 11aa pulled from q1 by worker host:cpu0"); say("Running task '11aa'")
task = subprocess.Popen(["sleep", "600"])
while task.poll() is None: time.sleep(0.05)
say("DONE: Running task '11aa', exit status 0")
"""
    + IDLE
)
DEAF = "say('task 11aa pulled from q1 by worker host:cpu0'); time.sleep(600)"


@pytest.fixture
def gates(client: FakeClient) -> Gates:
    return Gates(client, lambda: None)  # type: ignore[arg-type]


def _started(agent: Agent, ready: Callable[[], object]) -> None:
    def look() -> object:
        agent.step()
        return ready()

    eventually(look)


def _run_out(departure: Iterator[None]) -> None:
    eventually(lambda: next(departure, "out") == "out")


def test_an_idle_agent_is_terminated_behind_a_closed_gate(make_agent: Make, gates: Gates, client: FakeClient) -> None:
    agent = make_agent(IDLE)
    _started(agent, lambda: agent.tail.idle)
    _run_out(leave(agent, gates, "q1", at_once=lambda: False))
    assert agent.phase == "ended"
    assert [body["tags"] for body in client.named("queues.update")] == [["mine", QUEUE_CLOSED], ["mine"]]
    assert agent.launch.log.read_text().endswith("terminated\n")


def test_a_busy_agent_ends_its_task_first(make_agent: Make, gates: Gates, client: FakeClient) -> None:
    agent = make_agent(BUSY)
    _started(agent, lambda: agent.task_process())
    departure = leave(agent, gates, "q1", at_once=lambda: False)
    for _ in range(10):
        next(departure)
    assert (agent.phase, agent.state.task) == ("leaving", "11aa")
    assert not client.named("queues.update")  # others work on while the task runs
    task = agent.task_process()
    assert task is not None
    task.terminate()
    _run_out(departure)
    assert "DONE: Running task '11aa'" in agent.launch.log.read_text()
    assert client.queue["tags"] == ["mine"]


def test_at_once_terminates_a_busy_agent(make_agent: Make, gates: Gates, client: FakeClient) -> None:
    agent = make_agent(BUSY)
    _started(agent, lambda: agent.task_process())
    impatient = False
    departure = leave(agent, gates, "q1", at_once=lambda: impatient)
    next(departure)
    impatient = True
    _run_out(departure)
    assert agent.phase == "ended"
    assert "DONE" not in agent.launch.log.read_text()
    assert not client.named("queues.update")


def test_at_once_has_limited_patience_with_an_agent_that_says_nothing(
    make_agent: Make, gates: Gates, clock: Clock
) -> None:
    agent = make_agent(DEAF)
    _started(agent, lambda: agent.tail.task)
    departure = leave(agent, gates, "q1", at_once=lambda: True, clock=clock)
    for _ in range(10):
        next(departure)
    assert agent.alive
    clock.now += PATIENCE_S + 1
    _run_out(departure)
    assert agent.phase == "ended"


@pytest.mark.long
def test_an_agent_that_does_not_heed_the_signal_is_killed(make_agent: Make, gates: Gates, clock: Clock) -> None:
    agent = make_agent("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + IDLE)
    _started(agent, lambda: agent.tail.idle)
    departure = leave(agent, gates, "q1", at_once=lambda: False, clock=clock)

    def a_second_later() -> bool:
        clock.now += 1
        return next(departure, "out") == "out"

    eventually(a_second_later)
    assert agent.phase == "ended"
    assert gates.closed == ()


def test_a_server_that_refuses_does_not_keep_an_agent(make_agent: Make, gates: Gates, client: FakeClient) -> None:
    client.refuse = {"queues.update"}
    agent = make_agent(IDLE)
    _started(agent, lambda: agent.tail.idle)
    _run_out(leave(agent, gates, "q1", at_once=lambda: False))
    assert agent.phase == "ended"
