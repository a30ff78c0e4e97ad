"""The executors' contract on a Dask cluster of this machine."""

from __future__ import annotations

import pytest

from clearml_hpo.executors.dask.executor import DaskExecutor
from clearml_hpo.executors.dask.plan import Cluster, DaskPlan
from clearml_hpo.testing.executor_contract import ProcessContract
from clearml_hpo.workers.slots import plan_slots


def cluster_of(slots, **more):
    return DaskPlan(cluster=Cluster("local", slots=plan_slots(cpu=slots, threads=1), **more))


class TestDask(ProcessContract):
    @pytest.fixture
    def executor(self, stage):
        study = stage.script("", name="study")
        notes = []
        made = DaskExecutor(stage.api, cluster_of(stage.slots), study_id=study, on_note=notes.append)
        yield made
        made.close()
        assert [note for note in notes if "Dask at" not in note] == [], notes
