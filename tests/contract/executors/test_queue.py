"""The contract on ClearML queues: with agents that play, and with real ones."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from clearml_hpo import fleet
from clearml_hpo.backend.names import find_queues
from clearml_hpo.core.errors import ApiError
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.testing import PlayedAgent
from clearml_hpo.testing.executor_contract import ExecutorContract, ProcessContract


class TestPlayedAgents(ExecutorContract):
    @pytest.fixture
    def executor(self, stage):
        stage.api.call("queues.create", name=stage.queue)
        with ExitStack() as agents:
            for i in range(stage.slots):
                agents.enter_context(
                    PlayedAgent(stage.training, queue=stage.queue, worker_id=f"played:{stage.queue}-{i}")
                )
            yield QueueExecutor(stage.api, find_queues(stage.api, [stage.queue]))

    def test_a_queue_that_was_deleted_is_told_apart(self, stage, submit, executor):
        stage.api.call("queues.delete", queue=find_queues(stage.api, [stage.queue])[stage.queue])
        task = stage.held("a")
        with pytest.raises(ApiError) as refused:
            submit(task)
        assert refused.value.subcode == 701 and stage.status(task) == "created"
        assert executor.deleted() == {stage.queue}
        assert executor.workers().keys() == {stage.queue} and not executor.waiting()

    def test_so_it_is_for_a_task_that_has_run_before(self, stage, submit, executor):
        """One that was put in line again by a person, and withdrawn, is stopped or failed as before."""
        stage.api.call("queues.delete", queue=find_queues(stage.api, [stage.queue])[stage.queue])
        task = stage.held("a")
        stage.api.call("tasks.started", task=task)
        stage.api.call("tasks.stopped", task=task)
        with pytest.raises(ApiError) as refused:
            submit(task)
        assert refused.value.subcode == 701


@pytest.mark.long
@pytest.mark.agent
class TestRealAgents(ProcessContract):
    @pytest.fixture
    def executor(self, stage, server, tmp_path):
        home = tmp_path / "fleets"
        fleet.up(
            home,
            server.address,
            fleet.plan_slots(queue=stage.queue, cpu=stage.slots),
            name=stage.queue,
            with_parent=True,
        )
        yield QueueExecutor(stage.api, find_queues(stage.api, [stage.queue]))
        fleet.down(home, name=stage.queue, now=True, timeout_s=60)
