"""Studies on a real server, and a browser that has logged in to the dashboard."""

from __future__ import annotations

import time
import uuid

import pytest
import requests

from clearml_hpo.dashboard import Dashboard, reading
from clearml_hpo.dashboard.access import Access
from tests.dashboards import eventually, serving
from tests.integration.controller.conftest import api, queue
from tests.integration.controller.recorded import RecordedStudy

__all__ = ["api", "eventually", "queue"]

PATIENCE_S = 60.0
TWO = """\
objective:
- {metric: validation/loss, direction: minimize}
- {metric: validation/size, direction: maximize}
"""


def change_file(recorded, change):
    """Has a study keep another file."""
    task = recorded.api.call("tasks.get_by_id", task=recorded.study_id)["task"]
    text = change(task["configuration"]["study"]["value"])
    configuration = {"study": {"name": "study", "type": "yaml", "value": text}}
    recorded.api.call("tasks.edit", task=recorded.study_id, force=True, configuration=configuration)


def report(recorded, task, step, value, series="loss"):
    """A trial reports one value."""
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "validation", "variant": series}
    recorded.api.send_events([{**scalar, "iter": step, "value": value, "timestamp": int(time.time() * 1000)}])


@pytest.fixture
def recorded(api, queue):
    """Four trials that completed, one that failed, one that runs, one that waits; no controller drives the study."""
    recorded = RecordedStudy(api, queue, name=f"tune-{uuid.uuid4().hex[:8]}")
    for number, (x, loss) in enumerate([(0.9, 0.5), (0.5, 0.25), (0.7, 0.75), (0.1, 0.375)]):
        recorded.trial(number, loss=loss, x=x, state="completed")
    recorded.failed = recorded.trial(4, "failed", state="failed", reason="CUDA out of memory")
    recorded.running = recorded.trial(5, "in_progress", loss=0.625)
    recorded.trial(6, "queued")
    api.call("tasks.started", task=recorded.study_id)
    return recorded


class Browser:
    """What a page's script asks for, and the forms that it sends; as the user who has started the dashboard."""

    def __init__(self, address):
        self.session = requests.Session()
        self.address = address

    def get(self, path, **headers):
        return self.session.get(f"{self.address}{path}", headers=headers, allow_redirects=False, timeout=PATIENCE_S)

    def post(self, path, data=None, **headers):
        return self.session.post(f"{self.address}{path}", data, headers=headers, timeout=PATIENCE_S)

    def json(self, path, status=200):
        answer = self.get(path, accept="application/json")
        assert answer.status_code == status, answer.text
        return answer.json()

    def changes(self, study, since=0):
        return self.json(f"/studies/{study}/changes?since={since}")

    def order(self, study, order, /, **form):
        """Status and message."""
        answer = self.post(f"/studies/{study}/orders/{order}", form, **{"sec-fetch-site": "same-origin"})
        return answer.status_code, answer.json()["told"]


@pytest.fixture
def quick(monkeypatch):
    """The dashboard reads ten times as often."""
    monkeypatch.setattr(reading, "REFRESH_S", 0.2)
    monkeypatch.setattr(reading, "_LIST_S", 0.0)


@pytest.fixture
def dashboard(api, quick):
    return Dashboard(Access("key"))


@pytest.fixture
def browser(dashboard):
    with serving(dashboard) as address:
        yield Browser(address)
