"""Seconds from submitted to completed of a trial that trains nothing, in a process of the local executor.

    python -m benchmarks.local_overhead --clones 5

The same template as ``trial_overhead`` measures under agents; beside it a script that does not even import anything,
which shows what is the executor's own. One slot.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.place import make_template, surroundings, temporary_place
from benchmarks.trial_overhead import spread

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api
    from clearml_hpo.executors import Executor

_LOOK_S = 0.02
_ENDED = ("completed", "failed", "stopped")


def seconds(api: Api, executor: Executor, make: Callable[[], str], clones: int) -> dict[str, Any]:
    """Times tasks one after the other."""
    taken = []
    for _ in range(clones):
        task, started = make(), time.monotonic()
        executor.submit(task, "local")
        while (status := _status(api, task)) not in _ENDED:
            time.sleep(_LOOK_S)
        if status != "completed":
            raise RuntimeError(f"task {task} is {status}")
        taken.append(time.monotonic() - started)
    return spread(taken)


def run(clones: int) -> dict[str, Any]:
    """The whole benchmark."""
    with temporary_place():
        from clearml_hpo.backend.api import Api
        from clearml_hpo.executors.local import LocalExecutor
        from clearml_hpo.workers.slots import plan_slots

        api = Api()
        template = make_template(api)
        script = {"entry_point": "a.py", "diff": "pass\n", "binary": "python3"}
        executor = LocalExecutor(api, plan_slots(cpu=1), queue="bench-local")
        makers: dict[str, Callable[[], str]] = {
            "no_op": lambda: str(api.call("tasks.clone", task=template, new_task_name="no-op")["id"]),
            "no_import": lambda: str(api.call("tasks.create", name="empty", type="training", script=script)["id"]),
        }
        try:
            sides = {name: seconds(api, executor, make, clones) for name, make in makers.items()}
        finally:
            executor.close()
    return {"benchmark": "local_overhead", "clones": clones, **surroundings(), "submitted_to_completed_s": sides}


def _status(api: Api, task: str) -> str:
    return str(api.call("tasks.get_all", id=[task], only_fields=["status"])["tasks"][0]["status"])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Seconds from submitted to completed in a local process, as JSON.")
    parser.add_argument("--clones", type=int, default=5)
    print(json.dumps(run(parser.parse_args().clones), indent=2))


if __name__ == "__main__":
    main()
