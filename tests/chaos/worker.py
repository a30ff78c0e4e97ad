"""A worker that can be killed: a played agent in a process of its own.

python -m tests.chaos.worker QUEUE WORKER_ID STEPS STEP_S HOLD HANGS

Each training takes STEPS steps of STEP_S seconds, and does not begin or end for as long as the file HOLD exists: what
has begun may be pruned, but no pruner gets through the study while a blow waits for a controller that is old enough.
One in HANGS of the points (0: none) hangs half-way the first time that it is tried; the script's own point does not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from clearml_hpo.testing import PlayedAgent

CONNECTS = {"General/x": ("float", "0.9"), "General/depth": ("int", "4"), "General/kind": ("str", "a")}


def final_value(x: float, depth: int) -> float:
    """What a training of these parameters ends with."""
    return (x - 0.3) ** 2 + 0.01 * depth


def training(steps: int, hold: Path, hangs: int, params: Mapping[str, str]) -> Iterator[Mapping[str, float]]:
    """From one above the final value down to it."""
    x = float(params["General/x"])
    end = final_value(x, int(params["General/depth"]))
    tried = hold.with_name(f"hung-{params['General/x']}")
    while hold.exists():
        yield {}
    for step in range(1, steps):
        yield {"validation/loss": end + 1.0 / step}
        if hangs and step == steps // 2 and x != 0.9 and int(x * 1e6) % hangs == 0 and not tried.exists():
            tried.touch()
            while True:
                yield {}
    while hold.exists():
        yield {"validation/loss": end + 1.0 / steps}
    yield {"validation/loss": end}


def main(queue: str, worker_id: str, steps: str, step_s: str, hold: str, hangs: str) -> None:
    """Serves the queue until it is killed."""
    PlayedAgent(
        lambda params: training(int(steps), Path(hold), int(hangs), params),
        worker_id=worker_id,
        queue=queue,
        connects=CONNECTS,
        step_s=float(step_s),
    ).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
