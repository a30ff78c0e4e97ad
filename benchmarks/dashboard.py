"""What the dashboard costs: a study of 2,000 trials, 50 of them running, and several browsers that look at it.

    python -m benchmarks.dashboard --trials 2000 --running 50 --browsers 5

Prints JSON: milliseconds of server time (median and worst) and bytes of the first page and of a refresh, calls to
ClearML per refresh, processor seconds. The trials are made up; server and dashboard are real.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn

from clearml_hpo.backend.api import Api
from clearml_hpo.dashboard import Dashboard
from clearml_hpo.dashboard.access import Access
from clearml_hpo.machine import settings
from clearml_hpo.server import process

STUDY = """\
study: many
template: {task: %s}
search_space:
  General/lr: {type: float, low: 0.0001, high: 1.0, log: true}
  General/depth: {type: int, low: 2, high: 12}
  General/booster: {type: categorical, choices: [gbtree, dart, gblinear]}
  General/subsample: {type: float, low: 0.4, high: 1.0}
objective: {metric: validation/loss, direction: minimize}
pruner: median
budget: {trials: %d}
"""
_LOOKS_S = 60.0  # once in that time all trials are read anew
_SETTLE_S = 40.0  # for a while after their end trials are read again


def make_study(api: Api, trials: int, running: int) -> tuple[str, list[str]]:
    """A study that looks as if it had run; returns its id, and the tasks of the trials that run."""
    project = api.call("projects.create", name="dashboard", description="")["id"]
    template = api.call("tasks.create", name="template", type="training", project=project)["id"]
    study = api.call("tasks.create", name="many", type="optimizer", project=project, tags=["clearml-hpo"])["id"]
    configuration = {"study": {"name": "study", "value": STUDY % (template, trials), "type": "yaml"}}
    api.call("tasks.edit", task=study, configuration=configuration)
    api.call("tasks.started", task=study)
    draw = random.Random(1)

    def make(number: int) -> str:
        ends = number < trials - running
        values = {
            "lr": 10 ** draw.uniform(-4, 0),
            "depth": draw.randint(2, 12),
            "booster": draw.choice(["gbtree", "dart", "gblinear"]),
            "subsample": draw.uniform(0.4, 1.0),
        }
        marks = {"study": study, "trial": number, "attempt": 1, **({"state": "completed"} if ends else {})}
        sections = {
            section: {name: {"section": section, "name": name, "value": str(value)} for name, value in those.items()}
            for section, those in (("General", values), ("properties", marks))
        }
        body = {"name": f"trial {number}", "type": "training", "project": project, "hyperparams": sections}
        task: str = api.call("tasks.create", parent=study, **body)["id"]
        api.call("tasks.started", task=task)
        report(api, task, range(5), draw)
        if ends:
            api.call("tasks.completed", task=task)
        return task

    tasks = [make(number) for number in range(trials)]
    return study, tasks[trials - running :]


def report(api: Api, task: str, steps: Sequence[int], draw: random.Random) -> None:
    """Has a trial report a loss at each step."""
    kind = {"type": "training_stats_scalar", "metric": "validation", "variant": "loss", "task": task}
    api.send_events([{**kind, "iter": step, "value": 1 / (step + 1) + draw.random()} for step in steps])


def measure(
    api: Api, client: requests.Session, url: str, study: str, running: Sequence[str], browsers: int, log: Path
) -> dict[str, Any]:
    """Times of the page, and of refreshes while all running trials report."""
    first_ms, page = _timed(lambda: client.get(f"{url}/studies/{study}"))
    read_ms, everything = _timed(lambda: client.get(f"{url}/studies/{study}/changes"))
    again = [_timed(lambda: client.get(f"{url}/studies/{study}"))[0] for _ in range(5)]
    settled = time.monotonic() + _SETTLE_S
    while time.monotonic() < settled:
        client.get(f"{url}/studies/{study}/changes?since=1")
        time.sleep(2.0)
    versions = [0] * browsers
    times: list[float] = []
    sizes: list[int] = []
    draw, step = random.Random(2), 5
    calls, cpu_s, begun = _lines(log), time.process_time(), time.monotonic()
    made = 0

    def look(browser: int) -> None:
        ms, answer = _timed(lambda: client.get(f"{url}/studies/{study}/changes?since={versions[browser]}"))
        if versions[browser]:
            times.append(ms)
            sizes.append(len(gzip.compress(answer.content)))
        versions[browser] = answer.json()["version"]

    with ThreadPoolExecutor(browsers) as pool:
        while time.monotonic() - begun < _LOOKS_S:
            for task in running:
                report(api, task, [step], draw)
                made += 1
            step += 1
            list(pool.map(look, range(browsers)))
            time.sleep(1.0)
    seconds = time.monotonic() - begun
    own = _lines(log) - calls - made
    return {
        "first_page_ms": round(first_ms, 1),
        "page_ms": round(statistics.median(again), 1),
        "page_bytes_gzipped": len(gzip.compress(page.content)),
        "first_reading_ms": round(read_ms, 1),
        "all_rows_bytes_gzipped": len(gzip.compress(everything.content)),
        "refresh_ms": {"median": round(statistics.median(times), 1), "worst": round(max(times), 1)},
        "refresh_bytes_gzipped": {"median": statistics.median(sizes), "worst": max(sizes)},
        "calls_per_refresh": round(own / (seconds / 2.0), 2),
        "cpu_share": round((time.process_time() - cpu_s) / seconds, 3),
    }


@contextmanager
def serving(app: Dashboard) -> Iterator[str]:
    """Serves the dashboard on this machine; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def _timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = ask()
    assert answer.status_code == 200, answer.text
    return 1000 * (time.perf_counter() - begun), answer


def _lines(log: Path) -> int:
    return sum(len(each.read_bytes().splitlines()) for each in log.iterdir()) if log.exists() else 0


def main() -> None:
    """Makes the study, looks at it, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--running", type=int, default=50)
    parser.add_argument("--browsers", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "calls"
        log.mkdir()
        os.environ["CLEARML_HPO_CALL_LOG"] = str(log)
        server = process.start(Path(folder) / "server", with_parent=True)
        try:
            settings.use_server(server.address)
            api = Api()
            study, running = make_study(api, given.trials, given.running)
            access = Access("key")
            with serving(Dashboard(access)) as url, requests.Session() as client:
                client.cookies.set("clearml_hpo_dashboard", access.key)
                found = measure(api, client, url, study, running, given.browsers, log)
        finally:
            process.stop(Path(folder) / "server")
    print(json.dumps({"benchmark": "dashboard", **vars(given), **found}, indent=2))


if __name__ == "__main__":
    main()
