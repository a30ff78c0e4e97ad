from __future__ import annotations

from clearml_hpo.fleet import AgentSlot
from clearml_hpo.fleet.supervisor import worker_id


def test_worker_ids_of_fleets_differ() -> None:
    slot = AgentSlot("cpu0", "trials")
    assert worker_id("default", slot).endswith(":cpu0")
    assert worker_id("demo", slot).endswith(":demo-cpu0")
    assert worker_id("demo-cpu0", slot).endswith(":demo-cpu0")
    assert worker_id("cpu0", slot).endswith(":cpu0-cpu0")
    assert worker_id("demo-cpu0", AgentSlot("cpu0-1", "trials")).endswith(":demo-cpu0-cpu0-1")
