"""A campaign whose server goes away, or that another process takes over: nothing is lost, nothing runs twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from clearml_hpo import server as embedded
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import find_campaign
from clearml_hpo.campaign.report import read_campaign_state, report_of
from clearml_hpo.server.state import DataDir, Listening
from clearml_hpo.study_file import load_campaign

from .conftest import TRIALS, Listener, run, trials_of

pytestmark = pytest.mark.long

ALL = {f"{dataset}-{model}": [*range(TRIALS)] for dataset in ("apples", "pears") for model in ("fast", "slow")}
OUTAGE_S = 4.0
DEADLINE_S = 60.0


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Of a server of its own, which may be stopped and comes back on the same ports."""
    path = tmp_path / "server"
    path.mkdir()
    DataDir(path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    for name, value in embedded.start(path, with_parent=True).address.environ().items():
        monkeypatch.setenv(name, value)
    yield path
    embedded.stop(path)


class Outage(Listener):
    """Stops the server once ``begins`` says so of a progress, and starts it again a while later."""

    def __init__(self, data_dir, begins):
        super().__init__(self.look)
        self.data_dir, self.begins = data_dir, begins
        self.thread = threading.Thread(target=self.comes_back)

    def look(self, progress):
        if self.thread.ident is None and self.begins(progress):
            embedded.stop(self.data_dir)
            self.thread.start()

    def comes_back(self):
        time.sleep(OUTAGE_S)
        embedded.start(self.data_dir, with_parent=True)


def has_begun(progress, dataset):
    return any(study.state != "waiting" for study in progress.of_dataset(dataset))


def test_no_data_set_is_opened_early_because_the_server_is_away(data_dir, campaign_file):
    api, early = Api(), []
    view = Outage(data_dir, lambda progress: progress.trials >= 2)

    def look(progress):
        view.look(progress)
        if view.thread.is_alive():
            early.append(has_begun(progress, "pears"))

    view.on_progress = look
    many = [f"budget.trials={3 * TRIALS}", "datasets.apples.seconds=0.3"]
    outcome = run(campaign_file, api, view=view, overrides=many)
    view.thread.join(DEADLINE_S)
    assert outcome.status == "completed", outcome.reason
    assert any("asking again in" in note for note in view.notes)
    assert early and not any(early), "each study has trials left that it could not begin"
    assert trials_of(api, outcome.campaign_id) == {name: [*range(3 * TRIALS)] for name in ALL}


def test_a_data_set_that_is_opened_while_the_server_goes_away_is_opened_after(data_dir, campaign_file):
    api = Api()
    view = Outage(data_dir, lambda progress: has_begun(progress, "pears"))
    outcome = run(campaign_file, api, view=view)
    view.thread.join(DEADLINE_S)
    assert outcome.status == "completed", outcome.reason
    assert trials_of(api, outcome.campaign_id) == ALL


def test_a_process_takes_over_from_another_one(campaign_file, api, server_environ, tmp_path):
    slow = ("--set", "datasets.apples.seconds=6", "--set", "datasets.pears.seconds=2")
    command = [sys.executable, "-m", "clearml_hpo", "campaign", "run", str(campaign_file), *slow]

    def start(*options):
        return subprocess.Popen(
            [*command, *options],
            env={**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def state():
        spec = load_campaign(campaign_file).spec
        return read_campaign_state(api, find_campaign(api, spec.campaign, spec.project).campaign_id)

    first = start()
    for line in first.stdout:
        if "apples-slow begins" in line:
            break
    while not any(run.status == "completed" for run in state().runs):
        assert first.poll() is None
    began = time.monotonic()
    second = start("--take-over")
    for line in second.stdout:
        if "campaign two-by-two: " in line:  # it is past the wait for the first one
            break
    assert time.monotonic() - began < DEADLINE_S, "the first one has not said that it left"
    left, _ = first.communicate(timeout=DEADLINE_S)
    assert (first.returncode, "was taken over" in left) == (1, True), left
    rest, _ = second.communicate(timeout=240)
    assert second.returncode == 0, rest
    after = state()
    assert trials_of(api, after.record.campaign_id) == ALL
    assert not report_of(after).misplaced


def test_a_campaign_that_breaks_ends_its_studies(campaign_file, api):
    slow = ["datasets.apples.seconds=1"]

    def breaks(progress):
        if progress.trials:
            raise RuntimeError("no space left on the screen")

    with pytest.raises(RuntimeError, match="no space left"):
        run(campaign_file, api, view=Listener(breaks), overrides=slow)
    spec = load_campaign(campaign_file).spec
    state = read_campaign_state(api, find_campaign(api, spec.campaign, spec.project).campaign_id)
    assert (state.record.status, state.record.reason) == ("failed", "no space left on the screen")
    assert {study.status for study in state.studies.values()} <= {"stopped", "completed"}
    assert not [each for each in state.runs if each.is_live]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("study ")]
    assert run(campaign_file, api, overrides=slow).status == "completed"
