from __future__ import annotations

from clearml_hpo.machine.environ import thread_limits, without_foreign


def test_nothing_of_a_surrounding_task_is_left() -> None:
    around = {"CLEARML_TASK_ID": "1", "TRAINS_PROC_MASTER_ID": "1", "RANK": "0", "HOME": "/home/u"}
    assert without_foreign(around) == {"HOME": "/home/u"}


def test_thread_limits() -> None:
    limits = thread_limits(3)
    assert limits["OMP_NUM_THREADS"] == limits["LOKY_MAX_CPU_COUNT"] == "3"
