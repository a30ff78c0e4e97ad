"""Pruners by name, judging through the study."""

from __future__ import annotations

import warnings

import optuna
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search import pruners
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.pruners import build_pruner, choose_by_reports, choose_pruner
from clearml_hpo.search.space import Categorical, Constant, Float, SearchSpace

SPACE = SearchSpace({"General/x": Float(0.0, 1.0)})
STEPS = 30
NEEDED = {
    "percentile": {"percentile": 25.0},
    "threshold": {"upper": 0.95},
    "patient": {"patience": 4, "wrapped": "median"},
}


def pruned_at(pruner, curves, directions=("minimize",), pruned_by=None):
    """At which step each curve was ended, None if never; the trials run one after the other."""
    study = OptunaStudy(SPACE, directions, sampler=optuna.samplers.RandomSampler(0), pruner=pruner, pruned_by=pruned_by)
    ends = []
    for number, curve in enumerate(curves):
        study.ask(number)
        end = next((step for step, value in enumerate(curve, start=1) if study.report(number, step, value)), None)
        if end is None:
            study.complete(number, [curve[-1]] * len(directions))
        else:
            study.prune(number)
        ends.append(end)
    return ends


def falling(floor):
    return [floor + 1 / (step + 2) for step in range(STEPS)]


GOOD = [falling(0.1 + index / 100) for index in range(8)]
BAD = falling(0.8)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in pruners.NAMES if name != "none"])
def test_every_pruner_ends_a_hopeless_trial_and_spares_the_best(name):
    bad = BAD if name != "patient" else BAD[:10] + [1.0] * 20
    ends = pruned_at(build_pruner(name, options=NEEDED.get(name)), [*GOOD, bad, falling(0.0)])
    assert ends[0] is None and ends[-1] is None
    assert ends[-2] is not None


def test_none_ends_nothing():
    assert pruned_at(build_pruner("none"), [*GOOD, BAD, [1e9] * STEPS]) == [None] * 10


def test_several_objectives_are_pruned_by_a_scalar_of_its_own():
    upside_down = [[-value for value in curve] for curve in [*GOOD, BAD, falling(0.0)]]
    ends = pruned_at(build_pruner("median"), upside_down, ("minimize", "maximize"), pruned_by="maximize")
    assert ends[-2] is not None and ends[-1] is None


# --- patient ---------------------------------------------------------------------------------------------------------

STUCK = falling(0.1)[:10] + [0.9] * (STEPS - 10)


def test_patience_waits_for_so_many_steps_without_improvement():
    ends = {p: pruned_at(build_pruner("patient", options={"patience": p}), [STUCK])[0] for p in (2, 6)}
    assert ends == {2: 13, 6: 17}


def test_patience_and_what_it_wraps_must_agree():
    alone = pruned_at(build_pruner("patient", options={"patience": 2}), [*GOOD, STUCK])
    late = {"name": "median", "options": {"n_warmup_steps": 20}}
    agreed = pruned_at(build_pruner("patient", options={"patience": 2, "wrapped": late}), [*GOOD, STUCK])
    assert (alone[-1], agreed[-1]) == (13, 20)
    never = {"name": "threshold", "options": {"upper": 5.0}}
    assert pruned_at(build_pruner("patient", options={"patience": 2, "wrapped": never}), [*GOOD, STUCK])[-1] is None


# --- names and options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("medain", {}, r"no such name: 'medain'; did you mean 'median'"),
        ("median", {"n_warmup": 3}, "did you mean 'n_warmup_steps'"),
        ("percentile", {}, "pruner percentile: .*percentile"),
        ("percentile", {"percentile": 300.0}, "between 0 and 100"),
        ("threshold", {}, "pruner threshold: "),
        ("patient", {}, "pruner patient: .*patience"),
        ("patient", {"patience": 3, "wraped": "median"}, "did you mean 'wrapped'"),
        ("patient", {"patience": 3, "wrapped": "medain"}, "did you mean 'median'"),
        (
            "patient",
            {"patience": 3, "wrapped": {"name": "median", "n_warmup_steps": 3}},
            "wrapped: no such name: 'n_wa",
        ),
        ("patient", {"patience": 3, "wrapped": {"name": "median", "options": {"a": 1}}}, "no such name: 'a'"),
        ("patient", {"patience": 3, "wrapped": 5}, "pruner patient: "),
        ("optuna.samplers.TPESampler", {}, "is no subclass of optuna.pruners.BasePruner"),
        ("no_such_module.Pruner", {}, "cannot import no_such_module.Pruner: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_said(name, options, said):
    with pytest.raises(InputError, match=said):
        build_pruner(name, options=options)


def test_none_of_them_warns_when_it_is_made():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in pruners.NAMES:
            build_pruner(name, options=NEEDED.get(name))


MODULE = """
import optuna


class After(optuna.pruners.BasePruner):
    def __init__(self, step):
        self.step = step

    def prune(self, study, trial):
        return trial.last_step >= self.step
"""


def test_a_class_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_own_pruners.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    name = "my_own_pruners.After"
    assert pruned_at(build_pruner(name, options={"step": 7}), [BAD]) == [7]
    patient = build_pruner("patient", options={"patience": 2, "wrapped": {"name": name, "options": {"step": 15}}})
    assert pruned_at(patient, [STUCK]) == [15]
    assert pruners.is_known_name(name) and not pruners.is_known_name("after")


# --- auto -----------------------------------------------------------------------------------------------------------

LOSS = Objective.parse("validation/loss")
COST = Objective.parse("cost/seconds")
ONE_MODEL = SearchSpace({"General/x": Float(0.0, 1.0)})
TWO_MODELS = SearchSpace({"General/model": Categorical(("a", "b"))}, models=("a", "b"))
ALONE = SearchSpace({"General/model": Constant("a"), "General/x": Float(0.0, 1.0)}, models=("a", "b"))


@pytest.mark.parametrize(
    ("space", "goal", "line"),
    [
        (ONE_MODEL, Goal((LOSS,)), "falling (by validation/loss; the first 8 trials are left to complete)"),
        (ALONE, Goal((LOSS,)), "falling (by validation/loss; the first 8 trials are left to complete)"),
        (ONE_MODEL, Goal((LOSS, COST)), "none (several objectives; pruner.metric can name what to judge trials by)"),
        (
            ONE_MODEL,
            Goal((LOSS, COST), pruned_by=LOSS),
            "falling (by validation/loss; the first 8 trials are left to complete)",
        ),
        (TWO_MODELS, Goal((LOSS,)), "none (several models: an iteration of one is not one of another)"),
    ],
)
def test_auto_is_falling_where_trials_can_be_compared(space, goal, line):
    choice = choose_pruner("auto", space=space, goal=goal)
    assert str(choice) == f"pruner: {line}"
    assert choose_pruner("median", space=space, goal=goal).name == "median"


@pytest.mark.parametrize(
    ("reports", "line"),
    [
        ([], None),
        ([1] * 7, None),
        ([1] * 8, "none (8 trials are complete, and have reported validation/loss once each)"),
        ([1, 1, 5], "falling (trials report validation/loss at several steps)"),
        ([1] * 9 + [2], "falling (trials report validation/loss at several steps)"),
    ],
)
def test_auto_is_none_once_trials_are_seen_to_report_once(reports, line):
    choice = choose_by_reports(reports, Goal((LOSS,)))
    assert str(choice) == (f"pruner: {line}" if line else "None")


def test_auto_takes_no_options():
    with pytest.raises(InputError, match="auto takes none; name the pruner that they are for, such as falling"):
        build_pruner("auto", options={"warmup": 0.1})


def test_a_learner_counts_reports_and_can_leave_pruning():
    study = OptunaStudy(ONE_MODEL, ["minimize"], pruner=build_pruner("threshold", options={"upper": 0.5}))
    study.restore(-1, {"General/x": 0.5}, "completed", [0.1])  # known from elsewhere: nothing is known of its reports
    study.restore(0, {"General/x": 0.5}, "completed", [0.1], (), {1: 0.3, 2: 0.1})
    study.restore(1, {"General/x": 0.4}, "completed", [0.1], (), {1: 0.1})
    study.restore(2, {"General/x": 0.4}, "pruned", (), (), {1: 0.9})
    assert study.reports == [2, 1]
    study.ask(3)
    assert study.prunes and study.report(3, 1, 0.9)
    study.prune_nothing()
    assert not study.prunes and not study.report(3, 2, 0.9)


def test_auto_leaves_it_to_the_lengths_of_trainings():
    goal, lengths = Goal((Objective("a", "b"),)), Fidelity("General/epochs", (1, 3), 3)
    choice = choose_pruner("auto", space=SearchSpace(), goal=goal, fidelity=lengths)
    assert str(choice) == "pruner: none (fidelity says which trials go on)"
