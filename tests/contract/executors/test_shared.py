"""The contract on queues that several studies share, served by this process."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.executors.shared import SharedExecutor
from clearml_hpo.testing.executor_contract import ProcessContract
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import QueueSource


class TestSharedExecutor(ProcessContract):
    @pytest.fixture
    def executor(self, stage):
        notes = []
        queue_id = ensure_queue(stage.api, stage.queue)
        workers = LocalWorkers(
            plan_slots(cpu=stage.slots, threads=1),
            QueueSource([queue_id], notes.append),
            stage.queue,
            warm=False,
            on_note=notes.append,
        )
        yield SharedExecutor(stage.api, {stage.queue: queue_id}, {stage.queue: workers})
        workers.close()
        assert notes == []

    def test_queues_of_others_count_by_their_workers(self, stage, executor):
        other = ensure_queue(stage.api, f"{stage.queue}-other")
        here = executor.workers()
        both = SharedExecutor(stage.api, {"other": other, **executor._queues}, executor._here)
        assert both.workers() == {**here, "other": 0}
