from __future__ import annotations

import pytest

from clearml_hpo.machine import gpus
from clearml_hpo.workers import statistics
from clearml_hpo.workers.statistics import MachineStatistics


def test_statistics_have_the_names_and_units_of_an_agent() -> None:
    """The names are those of a recorded ``workers.status_report``."""
    found = MachineStatistics().measure()
    recorded = "cpu_usage disk_free_home disk_read disk_write memory_free memory_used network_rx network_tx"
    assert sorted(found) == recorded.split()
    assert 0 <= found["cpu_usage"][0] <= 100 and 0 <= found["disk_free_home"] <= 100
    assert min(found["memory_free"], found["memory_used"]) > 1  # MiB
    assert all(found[name] >= 0 for name in ("disk_read", "disk_write", "network_rx", "network_tx"))


def test_each_gpu_of_the_slots_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = "0, GPU-a, 35, 1200, 2000, 48\n1, GPU-b, 60, 1, 2, 3\n2, GPU-c, 9, 9, 9, 9\n"
    monkeypatch.setattr(gpus, "_nvidia_smi", lambda *words: listing)
    monkeypatch.setattr(statistics, "_TIMEOUT_S", 30.0)
    found = MachineStatistics(("1", "GPU-a", "1", "MIG-unknown")).measure()
    assert found["gpu_usage"] == [60.0, 35.0] and found["gpu_memory_free"] == [2.0, 2000.0]
