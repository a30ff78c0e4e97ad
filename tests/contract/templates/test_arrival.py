"""What a training script gets of a trial's values, through the real SDK: types stay what they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.configurations import configuration_entries, with_configuration
from clearml_hpo.backend.hyperparameters import arrives_as, flatten, with_values

pytestmark = pytest.mark.long

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(scope="module")
def arrivals(server_environ, tmp_path_factory):
    """Runs a script of this folder as people or, with a task's id, as agents do; what it says it got."""
    folder = tmp_path_factory.mktemp("arrivals")

    def arrivals(script, *arguments, task_id=None):
        remote = {"CLEARML_TASK_ID": task_id, "CLEARML_LOG_TASK_TO_BACKEND": "1"} if task_id else {}
        done = subprocess.run(
            [sys.executable, SCRIPTS / script, *arguments],
            env=server_environ | remote,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("ARRIVED ")]
        assert lines, done.stdout + done.stderr
        return json.loads(lines[0].removeprefix("ARRIVED "))

    return arrivals


@pytest.fixture(scope="module")
def api(server):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.address.environ().items():
            patch.setenv(name, value)
        yield Api()


def newest(api, name):
    (found,) = api.call("tasks.get_all", name=f"^{name}$", order_by=["-created"], page=0, page_size=1)["tasks"]
    return api.call("tasks.get_by_id", task=found["id"])["task"]


@pytest.fixture(scope="module")
def template(arrivals, api):
    """The task that a run by hand of ``connect.py`` has left."""
    arrivals("connect.py")
    return newest(api, "connect")


def shown(value):
    return [type(value).__name__, repr(value)]


def clone(api, template, params, **changed):
    given = {"new_task_hyperparams": with_values(template["hyperparams"], params), **changed}
    return api.call("tasks.clone", task=template["id"], new_task_name="clone", **given)["id"]


# Each value goes to a parameter whose default in connect.py has the type that the name says.
TRIALS = [
    {
        "General/whole": 7,
        "General/real": 2.0,
        "General/whole_real": 1e-05,
        "General/tiny": 3e-07,
        "General/yes": False,
        "General/no": True,
        "General/nothing": 5,
        "General/nothing_again": True,
        "General/text": "x y",
        "General/digits": "11",
        "General/true_text": "False",
        "General/none_text": "",
        "General/empty": "None",
        "Args/depth": 5,
        "Args/rate": 1e-05,
        "Args/limit": 0.5,
        "Args/kind": "10",
        "Args/name": "x",
        "Args/fast": True,
    },
    {
        "General/whole": None,
        "General/real": None,
        "General/nothing": "10",
        "General/nothing_again": 1e-05,
        "General/text": "True",
        "Args/limit": None,
        "Args/rate": 1.0,
        "Args/kind": "a b",
        "Args/name": None,
        "Args/fast": False,
    },
    {"General/nothing": False, "General/nothing_again": None, "General/whole": -1, "General/tiny": 1.0},
]


@pytest.mark.parametrize("params", TRIALS, ids=["all", "none and text", "none"])
def test_a_value_arrives_as_it_left(arrivals, api, template, params):
    got = arrivals("connect.py", task_id=clone(api, template, params))
    for name, value in params.items():
        section, _, key = name.partition("/")
        assert got[section][key] == shown(value), name
        assert shown(arrives_as(value, template["hyperparams"][section][key])) == shown(value)


def test_a_list_arrives_in_the_parser_of_arguments(arrivals, api, template):
    params = {"Args/hidden": "[16]", "Args/rates": "[0.5, 1]"}
    got = arrivals("connect.py", task_id=clone(api, template, params))["Args"]
    assert (got["hidden"], got["rates"]) == (shown([16]), shown([0.5, 1.0]))
    for name, value in params.items():
        assert arrives_as(value, template["hyperparams"]["Args"][name.removeprefix("Args/")]) == value


def test_what_is_composed_arrives(arrivals, api, template):
    entries = template["hyperparams"]["General"]
    params = {"General/several": "[3]", "General/pair": "(4, 5)", "General/kind": "SECOND"}
    got = arrivals("connect.py", task_id=clone(api, template, params))["General"]
    assert (got["several"], got["pair"]) == (shown([3]), shown((4, 5)))
    assert got["kind"] == ["Kind", "<Kind.SECOND: 'second'>"]
    for name, value in params.items():
        assert arrives_as(value, entries[name.removeprefix("General/")]) == value


def test_a_member_of_an_enum_that_is_none_would_be_the_default(arrivals, api, template):
    with pytest.raises(ValueError, match="is none of its members: FIRST, SECOND"):
        arrives_as("Kind.SECOND", template["hyperparams"]["General"]["kind"])
    got = arrivals("connect.py", task_id=clone(api, template, {"General/kind": "Kind.SECOND"}))["General"]
    assert got["kind"] == ["Kind", "<Kind.FIRST: 'first'>"]


def test_what_cannot_arrive_is_known_beforehand(arrivals, api, template):
    params = {
        "General/whole": 2.5,
        "General/real": "abc",
        "General/yes": None,
        "General/text": None,
        "General/tiny": 7,
        "General/digits": 5,
        "General/nothing": "",
    }
    got = arrivals("connect.py", task_id=clone(api, template, params))["General"]
    kept = []
    for name, value in params.items():
        key = name.removeprefix("General/")
        try:
            expected = arrives_as(value, template["hyperparams"]["General"][key])
        except ValueError:
            kept.append(key)
        else:
            assert got[key] == shown(expected), key
    assert kept == ["whole", "real"]
    assert (got["whole"], got["real"]) == (shown(3), shown(0.5))


def test_an_argument_without_a_value_ends_the_script(arrivals, api, template):
    with pytest.raises(ValueError, match="no empty text"):
        arrives_as(None, template["hyperparams"]["Args"]["depth"])
    with pytest.raises(AssertionError, match="argument --depth: invalid int value: ''"):
        arrivals("connect.py", task_id=clone(api, template, {"Args/depth": None}))


def test_a_value_inside_of_a_configuration_object_arrives(arrivals, api, template):
    own = flatten(configuration_entries(template["configuration"]))
    assert own["config:Config/model.depth"] == "3" and own["config:Config/model.rates.1"] == "0.2"
    params = {
        "config:Config/model.depth": 8,
        "config:Config/model.rates.1": 1e-05,
        "config:Config/model.on": False,
        "config:Config/name": "10",
        "General/whole": 4,
    }
    changed = with_configuration(template["configuration"], params)
    task_id = clone(api, template, params, new_task_configuration=changed)
    got = arrivals("connect.py", task_id=task_id)
    assert got["Config"] == {"model": {"depth": 8, "rates": [0.1, 1e-05], "on": False}, "name": "10"}
    assert got["General"]["whole"] == shown(4)
    task = api.call("tasks.get_by_id", task=task_id)["task"]
    assert flatten(task["hyperparams"])["config:Config/model.depth"] == "8"  # a column of the experiment table


def test_overrides_of_hydra_keep_their_types(arrivals, api):
    pytest.importorskip("hydra")
    arrivals("hydra_app.py", "+whole=3", "+real=0.5", "+yes=true", "+nothing=null", "+text=abc")
    template = newest(api, "hydra")
    for params in (
        {"whole": 7, "real": 1e-05, "yes": False, "nothing": None, "text": "x y", "new": "11"},
        {"whole": None, "real": 1.0, "yes": True, "nothing": "10", "text": "it's", "new": "a,b=c"},
        {"whole": "True", "real": "", "yes": "null", "nothing": "1e-5", "text": "a\\'b", "new": "ends in \\"},
    ):
        given = {f"Hydra/{name}": value for name, value in params.items()}
        got = arrivals("hydra_app.py", task_id=clone(api, template, given))["Hydra"]
        assert {name: got[name] for name in params} == {name: shown(value) for name, value in params.items()}
