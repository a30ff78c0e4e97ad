"""The contract on processes of this machine, and what is special to them."""

from __future__ import annotations

import pytest

from clearml_hpo.executors import LocalExecutor, plan_slots
from clearml_hpo.testing.executor_contract import ProcessContract


class TestLocalExecutor(ProcessContract):
    @pytest.fixture
    def executor(self, stage):
        notes = []
        executor = LocalExecutor(
            stage.api, plan_slots(cpu=stage.slots, threads=1), queue=stage.queue, on_note=notes.append
        )
        yield executor
        executor.close()
        assert notes == []
