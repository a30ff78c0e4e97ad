"""The native API and its client, over a real study on the real server."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests

from clearml_hpo import RemoteStudy, remote
from clearml_hpo.remote import RemoteError
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.gateway.test_install import program

_KEYS = {"STUDY": "id", "TRIAL": "trial", "LEASE": "lease"}  # what stands in the page, and where answers have it
FILE = {
    "search_space": {
        "x": {"type": "float", "low": 0.0, "high": 1.0},
        "Args/kind": {"type": "categorical", "choices": ["a", "b"]},
        "epochs": 3,
    },
    "objective": {"metric": "valid/loss", "direction": "minimize"},
    "sampler": {"name": "random", "seed": 1},
    "budget": {"trials": 5},
    "execution": {"poll_interval": 0.2},
}


@pytest.fixture
def study(gateway):
    return RemoteStudy(gateway.url, "bowl", FILE, project="physics", token=gateway.token())


def states(gateway, study):
    _, page = gateway.call("GET", f"/studies/{study.id}/trials", gateway.token())
    return [row["state"] for row in page["trials"]]


def loss(trial):
    return (trial.params["x"] - 0.3) ** 2


def test_a_study_from_its_client_alone(gateway, study):
    told = {}
    for trial in study.trials():
        with trial:
            assert (set(trial.params), trial.constants) == ({"x", "Args/kind"}, {"epochs": 3})
            for step in range(3):
                assert not trial.report(step, loss=loss(trial) + 1 / (step + 1))
            trial.complete(loss=loss(trial))
            told[trial.number] = loss(trial)
    assert sorted(told) == [0, 1, 2, 3, 4]
    best = study.best()
    assert (best["number"], best["values"]) == (min(told, key=told.get), [pytest.approx(min(told.values()))])
    eventually(lambda: states(gateway, study) == ["completed"] * 5, "the loop has seen all ends")
    status, page = gateway.call("GET", f"/studies/{study.id}/trials?limit=2", gateway.token())
    assert (status, [row["number"] for row in page["trials"]], page["next"]) == (200, [0, 1], 1)
    status, page = gateway.call("GET", f"/studies/{study.id}/trials?after=1&state=completed", gateway.token())
    assert ([row["number"] for row in page["trials"]], page["next"]) == ([2, 3, 4], None)
    status, shown = gateway.call("GET", f"/studies/{study.id}", gateway.token())
    assert shown["trials"] == {"completed": 5} and shown["ended"] and shown["controller"]


def test_importances_and_trials_as_csv(gateway):
    file = {**FILE, "budget": {"trials": 12}}
    study = RemoteStudy(gateway.url, "csv", file, project="physics", token=gateway.token())
    for trial in study.trials():
        trial.complete(loss=loss(trial))
    eventually(lambda: states(gateway, study) == ["completed"] * 12, "the loop has seen all ends")
    viewer, asker = gateway.token("viewer"), gateway.token("trials:ask")
    status, (shares,) = gateway.call("GET", f"/studies/{study.id}/importances", viewer)
    assert status == 200 and set(shares) == {"x", "Args/kind"} and sum(shares.values()) == pytest.approx(1)
    path = f"{gateway.url}/api/v1/studies/{study.id}/trials.csv"
    answer = requests.get(path, headers={"Authorization": f"Bearer {viewer}"}, timeout=60)
    heading, *rows = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv") and len(rows) == 12
    assert "valid/loss" in heading and "params.General/x" in heading and "url" not in heading
    for name in ("importances", "trials.csv"):
        assert gateway.call("GET", f"/studies/{study.id}/{name}", asker)[0] == 403


def test_an_exception_fails_the_trial_and_its_worker_goes_on(gateway, study):
    trials = study.trials(2)
    with pytest.raises(RuntimeError), next(trials):
        raise RuntimeError("out of memory")
    with next(trials) as second:
        second.complete({"valid/loss": 0.5})
    assert study.best()["number"] == 1
    eventually(lambda: states(gateway, study)[:2] == ["failed", "completed"], "the loop has seen both ends")
    _, page = gateway.call("GET", f"/studies/{study.id}/trials", gateway.token())
    assert page["trials"][0]["reason"].startswith("RuntimeError: out of memory")


def test_a_worker_that_starts_again_gets_its_trial_back(gateway):
    token = gateway.token()
    first = RemoteStudy(gateway.url, "again", FILE, project="physics", token=token, worker="job 7")
    lost = first.ask()
    again = RemoteStudy(gateway.url, "again", project="physics", token=token, worker="job 7")
    trial = next(again.trials(1))
    assert trial.number == lost.number
    trial.complete(loss=0.5)
    other = RemoteStudy(gateway.url, "again", project="physics", token=token, worker="job 8")
    assert next(other.trials(1)).number != lost.number


def test_the_same_key_gets_the_same_trials(gateway, study):
    token = gateway.token()

    def ask():
        answer = requests.post(
            f"{gateway.url}/api/v1/studies/{study.id}/trials:ask",
            json={"count": 2, "wait_s": 20},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "k1"},
            timeout=60,
        )
        return [(trial["trial"], trial["lease"], trial["params"]) for trial in answer.json()]

    first = ask()
    assert ask()[: len(first)] == first


def test_a_user_stops_a_trial_and_its_worker_hears_of_it(gateway, study):
    trial = study.ask()
    status, _ = gateway.call("POST", f"/trials/{trial._id}:stop", gateway.token(), reason="no use")
    assert status == 403, "a worker may not"
    status, verdict = gateway.call("POST", f"/trials/{trial._id}:stop", gateway.token("owner"), reason="no use")
    assert (status, verdict["state"]) == (200, "stopped")
    assert trial.report(1, loss=0.5)
    assert trial.reason == "no use"


def test_values_once_told_stay(gateway, study):
    trial = study.ask()
    trial.complete(loss=0.5)
    trial.complete(loss=0.5)
    with pytest.raises(RemoteError, match="other values") as refused:
        trial.complete(loss=0.6)
    assert refused.value.status == 409


def test_values_that_the_study_does_not_look_at_end_no_trial(gateway, study):
    trial = study.ask()
    with pytest.raises(RemoteError, match="found trial/los; the study looks at valid/loss") as refused:
        trial.complete(los=0.5)
    assert refused.value.status == 422
    trial.complete(loss=0.5)


def test_curl_without_the_type_of_json_is_told_so(gateway, study):
    answer = requests.post(
        f"{gateway.url}/api/v1/studies/{study.id}/trials:ask",
        data='{"wait_s": 0}',
        headers={
            "Authorization": f"Bearer {gateway.token()}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        timeout=60,
    )
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("send JSON, with -H 'Content-Type: application/json'")


def test_a_client_of_hopaas_is_told_that_it_is_not_served(gateway):
    answer = requests.post(f"{gateway.url}/api/ask/gwh_x", data="{}", timeout=60)
    assert (answer.status_code, "--hopaas" in answer.json()["detail"]) == (404, True)


def test_a_wrong_study_file_is_named_by_its_keys(gateway):
    wrong = {**FILE, "search_space": {"x": {"low": 0, "high": 1}}, "sampler": {"name": "tpee"}}
    with pytest.raises(RemoteError) as refused:
        RemoteStudy(gateway.url, "wrong", wrong, project="physics", token=gateway.token())
    said = str(refused.value)
    assert said.startswith("study_file: sampler.name: ") and "tpee" in said, said
    wrong = {**FILE, "search_space": {"x": {"low": 0, "high": 1}}}
    with pytest.raises(RemoteError, match=r"^study_file: search_space.General/x: type is missing"):
        RemoteStudy(gateway.url, "wrong", wrong, project="physics", token=gateway.token())


def test_a_gateway_that_is_away_is_waited_for_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setattr(remote, "_PATIENCE_S", 1.0)
    with pytest.raises(RemoteError, match="the gateway does not answer") as refused:
        RemoteStudy("http://127.0.0.1:9", "s", token="gwt_secret")
    assert refused.value.status == 0
    (record,) = caplog.records
    assert "http://127.0.0.1:9/api/v1: no answer (" in record.getMessage() and "gwt_" not in caplog.text


def test_nan_travels(gateway, study):
    trial = study.ask()
    assert not trial.report(1, loss=math.nan)
    trial.complete(loss=math.inf)


def test_a_study_that_is_paused_gives_nothing(gateway, study):
    owner = gateway.token("owner")
    assert gateway.call("PATCH", f"/studies/{study.id}", owner, state="paused")[1]["state"] == "paused"
    status, problem = gateway.call("POST", f"/studies/{study.id}/trials:ask", owner, wait_s=0)
    assert (status, problem["detail"]) == (409, "the study is paused")
    gateway.call("PATCH", f"/studies/{study.id}", owner, state="active")
    assert study.ask() is not None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("POST", "/projects/physics/studies", {"name": "s", "study_file": {}}, 422, "search_space"),
        (
            "POST",
            "/projects/physics/studies",
            {"name": "s", "study_file": {"template": {}}},
            422,
            "the gateway sets it",
        ),
        ("POST", "/projects/other/studies", {"name": "s", "study_file": FILE}, 404, "no such project"),
        ("POST", "/projects/physics/studies", {"name": "", "study_file": FILE}, 422, "body.name"),
        ("GET", "/studies/abc", {}, 404, "no such study"),
        ("POST", "/trials/abc.1/reports", {"lease": "x", "reports": [{"step": 0, "values": {"a": 1}}]}, 404, "no such"),
        ("POST", "/trials/abc/reports", {"lease": "x", "reports": [{"step": -1, "values": {"a": 1}}]}, 422, "step"),
        ("POST", "/trials/x:heartbeat", {"lease": "x"}, 404, "no such trial"),
        ("GET", "/nothing", {}, 404, "Not Found"),
    ],
)
def test_bad_input_is_a_problem(gateway, method, path, body, status, detail):
    found, problem = gateway.call(method, path, gateway.token(), **body)
    assert (found, problem["status"], problem["type"]) == (status, status, "about:blank")
    assert detail in problem["detail"]


def test_another_project_knows_nothing_of_it_and_nobody_without_a_token(gateway, study):
    trial, other = study.ask(), gateway.token("owner", project="chemistry")
    for path in (f"/studies/{study.id}", f"/studies/{study.id}/best", f"/studies/{study.id}/trials"):
        assert gateway.call("GET", path, other)[0] == 404
    status, problem = gateway.call("POST", f"/trials/{trial._id}:heartbeat", other, lease=trial._lease)
    assert (status, problem["detail"]) == (404, "no such study")
    status, problem = gateway.call("POST", f"/trials/{trial._id}:heartbeat", gateway.token(), lease="f" * 32)
    assert (status, problem["detail"]) == (403, "this is not the lease of that trial")
    status, problem = gateway.call("GET", f"/studies/{study.id}", "gwt_nonsense")
    assert status == 401 and "expired, revoked, or not of kind api" in problem["detail"]


def test_validate_makes_nothing(gateway):
    token = gateway.token()
    wrong = {**FILE, "sampler": {"name": "tpee"}}
    status, said = gateway.call("POST", "/projects/physics/studies:validate", token, name="s", study_file=wrong)
    assert (status, said["sound"]) == (200, False)
    assert "tpee" in said["faults"][0]
    assert gateway.call("POST", "/projects/physics/studies:validate", token, name="s", study_file=FILE)[1]["sound"]
    assert gateway.call("GET", "/projects/physics/studies", token) == (200, [])


def test_the_description_is_whole_and_the_client_is_there(gateway):
    described = requests.get(f"{gateway.url}/api/v1/openapi.json", timeout=60).json()
    assert described["openapi"].startswith("3.1")
    assert "/api/v1/studies/{study}/trials:ask" in described["paths"]
    text = requests.get(f"{gateway.url}/client.py", timeout=60).text
    assert text == Path(remote.__file__).read_text()


PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"


def test_the_page_names_every_route(gateway):
    described = requests.get(f"{gateway.url}/api/v1/openapi.json", timeout=60).json()["paths"]
    found = {
        f"{method.upper()} {re.sub('{(.*?)}', lambda name: name[1].upper(), path.removeprefix('/api/v1'))}"
        for path, methods in described.items()
        for method in methods
    }
    assert set(re.findall(r"^\| `([A-Z]+ /[^`?]*)[^`]*` \|", PAGE.read_text(), re.MULTILINE)) == found


@pytest.mark.parametrize(
    "text",
    [
        re.search(r"^```python\n(from clearml_hpo import RemoteStudy.*?)^```", PAGE.read_text(), re.M | re.S)[1],
        textwrap.dedent(re.search(r"^    from clearml_hpo.*(?=\n\nWhile)", remote.__doc__, re.M | re.S)[0]),
    ],
    ids=["page", "docstring"],
)
def test_the_examples_in_python_work_as_they_stand(gateway, text, monkeypatch, capsys):
    monkeypatch.setenv(remote.TOKEN, gateway.token(project="clearml-hpo-outside"))
    for shown, here in (("https://hpo.example.org", gateway.url), ('"trials": 50', '"trials": 2')):
        assert shown in text
        text = text.replace(shown, here)
    exec(text, {"train": lambda lr, epoch: lr * epoch})
    assert "'number': " in capsys.readouterr().out


def test_the_lines_for_curl_of_the_page_work_as_they_stand(gateway, tmp_path):
    program("curl")
    lines = re.findall(r"^(?:\(umask|curl -H @headers) .*$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 8
    token = gateway.token(project="clearml-hpo-outside")
    environ = {**os.environ, "API": f"{gateway.url}/api/v1", "CLEARML_HPO_TOKEN": token}
    known, answers = {}, []
    for line in lines:
        for name, value in known.items():
            line = line.replace(name, value)
        done = subprocess.run(["bash", "-ec", f"{line}"], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if done.stdout:
            answer = json.loads(done.stdout)
            answers.append(answer)
            first = answer[0] if isinstance(answer, list) else answer
            known |= {name: first[key] for name, key in _KEYS.items() if name not in known and key in first}
    assert (tmp_path / "headers").stat().st_mode & 0o077 == 0
    assert [answers[index]["state"] for index in (2, 3, 4)] == ["out", "out", "done"]
    assert answers[-2]["values"] == [0.8] and len(answers[-1]["numbers"]) == 1


def test_the_client_stands_alone(gateway, tmp_path):
    """Without this package, in a Python of its own."""
    (tmp_path / "client.py").write_text(requests.get(f"{gateway.url}/client.py", timeout=60).text)
    (tmp_path / "file.json").write_text(json.dumps(FILE))
    program = (
        "import json, sys\nfrom client import RemoteStudy\n"
        "study = RemoteStudy(sys.argv[1], 'alone', json.load(open('file.json')), project='physics')\n"
        "for trial in study.trials(2):\n    with trial:\n        trial.complete(loss=trial.params['x'])\n"
        "print(sorted(m for m in sys.modules if m.startswith('clearml')))\n"
    )
    environ = {"CLEARML_HPO_TOKEN": gateway.token(), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, gateway.url], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("address", ["http://hpo.example.org", "ftp://127.0.0.1", "hpo.example.org"])
def test_a_token_does_not_travel_in_the_open(address):
    with pytest.raises(ValueError, match="only https"):
        RemoteStudy(address, "s", token="t")


def test_a_token_file_is_the_users_alone(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("gwt_x\n")
    file.chmod(0o644)
    monkeypatch.delenv(remote.TOKEN, raising=False)
    monkeypatch.setenv(remote.TOKEN_FILE, str(file))
    with pytest.raises(ValueError, match="chmod 600"):
        RemoteStudy("http://127.0.0.1:1", "s")
    monkeypatch.delenv(remote.TOKEN_FILE)
    with pytest.raises(ValueError, match="there is no token"):
        RemoteStudy("http://127.0.0.1:1", "s")
