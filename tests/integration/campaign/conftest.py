"""Campaigns of scripts that wait, on slots of this machine, against the embedded server."""

from __future__ import annotations

import threading
import uuid

import pytest
from click.testing import CliRunner

from clearml_hpo.campaign.opening import CampaignOpening
from clearml_hpo.campaign.report import read_campaign_state
from clearml_hpo.campaign.run import CampaignRun
from clearml_hpo.cli import main
from clearml_hpo.study_file import load_campaign

TRIALS = 3
SCRIPT = '''\
"""{tag}"""
import time

from clearml import Task

Task.force_store_standalone_script()
task = Task.init("tests", "{model}", auto_connect_frameworks=False)
params = task.connect({{"x": 0.5, "data": "none", "seconds": 0.1}})
time.sleep(params["seconds"])
task.get_logger().report_scalar("validation", "loss", (params["x"] - 0.3) ** 2, 1)
with open("submission.csv", "w") as file:
    file.write("id,y\\n1,2\\n")
task.upload_artifact("submission", "submission.csv", wait_on_upload=True)
'''
CAMPAIGN = """\
campaign: two-by-two
project: {project}
resources:
  one: {{threads: 1}}
  two: {{threads: 1}}
models:
  fast:
    template: {{script: fast.py}}
    search_space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
    resources: [one]
  slow:
    template: {{script: slow.py}}
    search_space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
    resources: [two, one]
datasets:
  apples: {{data: apples.csv}}
  pears: {{data: pears.csv, seconds: 0.2}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
execution: {{poll_interval: 0.2}}
"""


@pytest.fixture
def api(server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    from clearml_hpo.backend.api import Api

    return Api()


@pytest.fixture
def campaign_file(tmp_path):
    for model in ("fast", "slow"):
        (tmp_path / f"{model}.py").write_text(SCRIPT.format(tag=uuid.uuid4(), model=model))
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN.format(project=f"tests/{uuid.uuid4().hex[:8]}", trials=TRIALS))
    return path


class Listener:
    """A view that remembers; ``on_progress`` may act."""

    def __init__(self, on_progress=lambda progress: None):
        self.notes = []
        self.seen = []
        self.on_progress = on_progress

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def note(self, text):
        self.notes.append(text)

    def progress(self, progress):
        self.seen.append(progress)
        self.on_progress(progress)


def run(path, api, *, view=None, overrides=(), stopped=None, new=False, take_over=False):
    """``clearml-hpo campaign run``, without the command line."""
    view, stopped = view or Listener(), stopped or threading.Event()
    opening = CampaignOpening(api, view.note, stopped.wait, take_over=take_over)
    opened = opening.from_file(load_campaign(path, overrides), new=new)
    return CampaignRun(opened, api, view, stopped).run()


def trials_of(api, campaign_id):
    """By study: the numbers of its completed trials, one for each task."""
    state = read_campaign_state(api, campaign_id)
    names = {study.study_id: name for name, study in state.studies.items()}
    found = {name: [] for name in names.values()}
    for each in state.runs:
        if each.status == "completed" and each.attempt:
            found[names[each.study_id]].append(each.trial)
    return {name: sorted(numbers) for name, numbers in found.items()}


@pytest.fixture
def command(api, tmp_path):
    """Runs ``clearml-hpo`` with the server of ``api`` configured; returns exit code and output."""

    def call(*arguments):
        environ = {"CLEARML_HPO_HOME": str(tmp_path / "state"), "COLUMNS": "80"}
        result = CliRunner().invoke(main, list(arguments), env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout if not result.exit_code else result.output

    return call
