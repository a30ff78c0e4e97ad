"""A connection to the embedded server in this process, and a study folder."""

from __future__ import annotations

import uuid

import pytest

from clearml_hpo.testing import PlayedAgent
from tests import place

CONNECTS = {
    "General/x": ("float", "0.9"),
    "General/depth": ("int", "4"),
    "General/kind": ("str", "a"),
    "General/other": ("bool", "True"),
}

STUDY = """\
study: quadratic
project: {project}
template:
  script: train.py
search_space:
  x: {{type: float, low: 0.0, high: 1.0}}
  depth: {{type: int, low: 2, high: 8}}
  kind: {{type: categorical, choices: [a, b]}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: tpe, seed: 3}}
budget: {{trials: 6}}
execution: {{queue: {queue}, poll_interval: 0.1}}
"""


def quadratic(params):
    """Five iterations towards a value that depends on the parameters."""
    x, depth = float(params["General/x"]), int(params["General/depth"])
    for step in range(1, 6):
        yield {"validation/loss": (x - 0.3) ** 2 + 0.01 * depth + 1.0 / step, "train/loss": 1.0 / step}


@pytest.fixture
def api(server, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    from clearml_hpo.backend.api import Api

    return Api()


@pytest.fixture
def queue(api):
    name = place.queue("controller")
    api.call("queues.create", name=name)
    return name


@pytest.fixture
def agent(queue):
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS) as agent:
        yield agent


@pytest.fixture
def study_file(tmp_path, queue):
    """A study whose script no study has run yet."""
    (tmp_path / "train.py").write_text(f'"""{uuid.uuid4()}: connects x, depth, kind; reports validation/loss."""\n')
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(project=f"tests/{uuid.uuid4().hex[:8]}", queue=queue))
    return path


@pytest.fixture
def listens_often(monkeypatch):
    """A controller looks every 0.2 s at what people ask of it."""
    monkeypatch.setattr("clearml_hpo.backend.lease.RENEW_S", 0.2)
    monkeypatch.setattr("clearml_hpo.backend.lease.FIRST_RENEWAL_S", 0.2)
