from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from clearml_hpo.fleet.agent import Agent
from clearml_hpo.fleet.restarts import GIVE_UP_AFTER, QUICK_S
from clearml_hpo.machine.background import is_running

from .conftest import eventually
from .fake_daemons import Clock

Make = Callable[..., Agent]
ENDLESS = "idle()\nwhile True: time.sleep(0.02); idle()"
WITH_TASK = """
say("task 11aa pulled from q1 by worker host:cpu0")
say("Running task '11aa'")
subprocess.Popen(["sleep", "600"], start_new_session=False)
time.sleep(600)
"""


def _step_until(agent: Agent, phase: str) -> None:
    def reached() -> bool:
        agent.step()
        return agent.phase == phase

    eventually(reached)


def test_it_starts_and_becomes_idle(make_agent: Make) -> None:
    agent = make_agent(ENDLESS)
    assert (agent.phase, agent.state.pid) == ("waiting", None)
    agent.step()
    assert agent.phase == "starting"
    _step_until(agent, "idle")
    assert agent.state.pid is not None
    assert os.getsid(agent.state.pid) == agent.state.pid


def test_it_knows_its_task(make_agent: Make) -> None:
    agent = make_agent(WITH_TASK)
    _step_until(agent, "busy")
    assert agent.state.task == "11aa"
    eventually(lambda: agent.task_process() is not None)


def test_a_daemon_that_dies_is_started_again_after_a_while(make_agent: Make, clock: Clock) -> None:
    agent = make_agent(ENDLESS)
    _step_until(agent, "idle")
    first = agent.state.pid
    assert first is not None
    clock.now += QUICK_S
    os.kill(first, signal.SIGKILL)
    _step_until(agent, "waiting")
    assert (agent.state.pid, agent.state.restarts) == (None, 1)
    assert "died after 20 s, exit status -9; is started again in 1 s" in agent.state.note
    agent.step()
    assert agent.phase == "waiting"
    clock.now += 1
    _step_until(agent, "idle")
    assert agent.state.pid != first


def test_its_task_dies_with_it_and_the_death_is_reported(make_agent: Make) -> None:
    seen: list[tuple[str | None, bool]] = []
    agent = make_agent(WITH_TASK, on_death=lambda dead: seen.append((dead.tail.task, dead.tail.started)))
    _step_until(agent, "busy")
    eventually(lambda: agent.task_process() is not None)
    task = agent.task_process()
    assert task is not None and agent.state.pid is not None
    os.kill(agent.state.pid, signal.SIGKILL)
    _step_until(agent, "waiting")
    assert not is_running(task.pid)
    assert seen == [("11aa", True)]
    assert agent.state.task is None


def test_it_is_given_up_after_quick_deaths(make_agent: Make, clock: Clock) -> None:
    agent = make_agent("say('no'); sys.exit(3)")
    for _ in range(GIVE_UP_AFTER - 1):
        _step_until(agent, "waiting")
        clock.now += 100
        agent.step()
        assert agent.phase == "starting"
    _step_until(agent, "failed")
    assert agent.state.restarts == GIVE_UP_AFTER
    assert agent.state.note == "died after 0 s, exit status 3; too many quick deaths, given up"
    clock.now += 1000
    agent.step()
    assert agent.phase == "failed"


@pytest.mark.long
def test_ended_leaves_nothing(make_agent: Make) -> None:
    agent = make_agent("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WITH_TASK)
    _step_until(agent, "busy")
    process = agent.state.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    agent.ended()
    assert agent.phase == "ended"
    assert not is_running(process.pid)
