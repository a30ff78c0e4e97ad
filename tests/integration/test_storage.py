"""Optuna storages of both kinds: a file, and a database server of the test's own."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.mirror import Known, Mirror, StorageTrouble, known_of
from clearml_hpo.search.space import Categorical, Combination, Float, Int, SearchSpace
from tests import postgresql

SPACE = SearchSpace(
    {"General/x": Float(0, 1), "General/kind": Categorical(("a", "b")), "General/n": Int(1, 9)},
    conditions={"General/n": {"General/kind": ("b",)}},
    combinations=(Combination(({"Args/p": 1, "Args/q": 2}, {"Args/p": 3, "Args/q": 4})),),
)
GOAL = Goal((Objective("a", "loss"), Objective("a", "speed", "maximize")), (MetricConstraint("a", "size", high=1.0),))
PAIR = {"Args/p": 1, "Args/q": 2}


def trial(number, kind="a", state=TrialState.COMPLETED, **changes):
    params = {"General/x": 0.5, "General/kind": kind, **PAIR, **({"General/n": 3} if kind == "b" else {})}
    values = (float(number), 2.0) if state is TrialState.COMPLETED else ()
    given = {"violations": (-0.5,), "values": values, "started_at": 1000.0, "ended_at": 1060.0, **changes}
    return Trial(number, params, f"task{number}", state=state, **given)


@pytest.fixture(scope="module")
def postgres():
    """The address of a PostgreSQL server on loopback, which ends with the module."""
    pytest.importorskip("psycopg")
    if postgresql.binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    return request.getfixturevalue("postgres")


def test_a_mirror_follows_and_a_study_starts_from_it(url):
    mirror = Mirror(url, "followed", "id-1", GOAL, SPACE)
    ended = [trial(0), trial(1, "b"), trial(2, state=TrialState.FAILED), trial(3, state=TrialState.PRUNED)]
    mirror.follow([*ended, trial(4, state=TrialState.RUNNING)])
    again = Mirror(url, "followed", "id-1", GOAL, SPACE)
    again.follow([*ended, trial(5, values=(5.0, 1.0))])
    study = optuna.load_study(study_name="followed", storage=url.replace("postgresql://", "postgresql+psycopg://"))
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert [t.user_attrs["trial"] for t in study.trials] == [0, 1, 2, 3, 5]
    assert study.metric_names == ["a/loss", "a/speed"]
    assert study.trials[0].duration.total_seconds() == 60.0
    known = list(known_of(url, "followed", SPACE, GOAL))
    assert known[:2] == [
        Known(trial(0).params, (0.0, 2.0), (-0.5,)),
        Known(trial(1, "b").params, (1.0, 2.0), (-0.5,)),
    ]
    assert len(known) == 3


def test_another_study_of_the_name_is_left_alone(url):
    Mirror(url, "taken", "id-1", GOAL, SPACE).follow([trial(0)])
    second = Mirror(url, "taken", "id-2-and-more", GOAL, SPACE)
    second.follow([trial(1)])
    assert second.name == "taken-id-2-and"
    assert [known.values for known in known_of(url, "taken", SPACE, GOAL)] == [(0.0, 2.0)]


@pytest.mark.parametrize("trials", [0, 3])
def test_a_study_of_the_name_that_somebody_else_made_is_left_alone(tmp_path, trials):
    url = f"sqlite:///{tmp_path}/study.db"
    theirs = optuna.create_study(study_name="theirs", storage=url, directions=["minimize", "maximize"])
    theirs.optimize(lambda trial: (trial.suggest_float("General/x", 0, 1), 1.0), n_trials=trials)
    if not trials:
        theirs.set_user_attr("made by", "ada")
    before = theirs.user_attrs
    mirror = Mirror(url, "theirs", "id-1-and-more", GOAL, SPACE)
    mirror.follow([trial(0)])
    assert mirror.name == "theirs-id-1-and"
    again = optuna.load_study(study_name="theirs", storage=url)
    assert len(again.trials) == trials and again.user_attrs == before


def test_many_trials_are_followed_some_at_a_time(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    mirror = Mirror(url, "many", "id", GOAL, SPACE)
    outside = Trial(9, {"General/x": 7.0}, "outside", state=TrialState.FAILED)
    ended = [*(trial(number) for number in range(5)), outside]
    assert [mirror.follow(ended, most=2) for _ in range(4)] == [False, False, True, True]
    assert [t.number for t in optuna.load_study(study_name="many", storage=url).trials] == list(range(5))


def test_a_paused_trial_is_copied_once_it_no_longer_goes_on(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    mirror = Mirror(url, "paused", "id", GOAL, SPACE)
    paused = [trial(number, state=TrialState.PAUSED) for number in range(2)]
    went_on = replace(paused[0], task_id="again", attempt=2, state=TrialState.RUNNING)
    mirror.follow(paused)
    mirror.follow([went_on, paused[1]], [paused[0]])
    ended = replace(went_on, state=TrialState.COMPLETED, values=(0.0, 2.0))
    for is_over in (False, True):
        mirror.follow([ended, paused[1]], [paused[0]], is_over=is_over)
    found = optuna.load_study(study_name="paused", storage=url).trials
    assert [(t.user_attrs["trial"], t.state.name) for t in found] == [(0, "COMPLETE"), (1, "PRUNED")]


def test_choices_that_the_storage_does_not_take_are_trouble(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    goal = Goal((Objective("a", "loss"),))
    point = Trial(0, {"General/kind": "a"}, "t0", state=TrialState.COMPLETED, values=(1.0,))
    Mirror(url, "s", "id", goal, SearchSpace({"General/kind": Categorical(("a", "b"))})).follow([point])
    mirror = Mirror(url, "s", "id", goal, SearchSpace({"General/kind": Categorical(("a", "c"))}))
    with pytest.raises(StorageTrouble, match="CategoricalDistribution"):
        mirror.follow([replace(point, number=1, task_id="t1")])


def test_other_directions_are_refused(url):
    Mirror(url, "single", "id-1", Goal((Objective("a", "loss"),)), SPACE)
    with pytest.raises(InputError, match="has other directions than this study: minimize"):
        list(known_of(url, "single", SPACE, GOAL))


def test_a_storage_that_is_to_be_read_is_not_made(tmp_path):
    """Neither its file nor, in a file that is there, its tables."""
    with pytest.raises(InputError, match=f"warm_start.storage: no such file: {tmp_path}/no.db"):
        list(known_of(f"sqlite:///{tmp_path}/no.db", "old", SPACE, GOAL))
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(InputError, match=r"empty\.db is no Optuna storage"):
        list(known_of(f"sqlite:///{tmp_path}/empty.db", "old", SPACE, GOAL))
    assert (tmp_path / "empty.db").read_bytes() == b""


@pytest.mark.long
def test_a_storage_that_went_away_is_trouble_and_made_up_for(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    mirror = Mirror(f"sqlite:///{folder}/study.db", "s", "id", GOAL, SPACE)
    (folder / "study.db").rename(tmp_path / "elsewhere.db")
    folder.rmdir()
    with pytest.raises(StorageTrouble):
        mirror.follow([trial(0)])
    folder.mkdir()
    (tmp_path / "elsewhere.db").rename(folder / "study.db")
    mirror.follow([trial(0)])
    assert len(optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/study.db").trials) == 1
