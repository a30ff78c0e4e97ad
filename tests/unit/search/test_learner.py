"""Ask and tell, by trial number."""

from __future__ import annotations

import itertools
import math
import random
import threading

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from clearml_hpo.core.errors import StudyError
from clearml_hpo.core.values import resolve_name
from clearml_hpo.search.falling import FallingPruner
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import VIOLATIONS, violations_of
from clearml_hpo.search.space import Categorical, Combination, Constant, Float, Int, SearchSpace, at_random
from clearml_hpo.search.space.expressions import parse_expression

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:.*constraints_func.*:FutureWarning"
)

SPACE = SearchSpace(
    {
        "General/depth": Int(2, 8),
        "General/bins": Int(32, 128, step=32),
        "General/lr": Float(1e-4, 1.0, log=True),
        "General/kind": Categorical(("a", "b")),
        "General/flag": Categorical((True, False)),
        "General/fixed": Constant(3),
    }
)

# The better branch has a parameter of its own, which is worth more than what all have.
BRANCHES = SearchSpace(
    {
        "General/kind": Categorical(("a", "b", "c")),
        "General/x": Float(0.0, 1.0),
        "General/depth": Int(1, 9),
        "General/both": Float(0.0, 1.0),
        "General/set": Constant(1),
    },
    {
        "General/x": {"General/kind": ("a",)},
        "General/depth": {"General/kind": ("b",)},
        "General/both": {"General/kind": ("a", "b")},
        "General/set": {"General/kind": ("c",)},
    },
    combinations=(Combination(({"Args/p": 1, "Args/q": 2}, {"Args/p": 3})),),
)


def constrained(parameters, *texts):
    names = tuple(parameters)
    return SearchSpace(
        parameters, {}, tuple(parse_expression(t, names, lambda name: resolve_name(name, names)) for t in texts)
    )


def states(study):
    return [trial.state.name for trial in study.optuna_study.trials]


SAMPLERS = {
    "tpe": lambda: optuna.samplers.TPESampler(seed=1, multivariate=True, group=True, constant_liar=True),
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
}


# --- Proposing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SPACE, BRANCHES], ids=["flat", "conditional"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_point_lies_in_the_space(space, sampler):
    study = OptunaStudy(space, ["minimize"], sampler=SAMPLERS[sampler]())
    for number in range(30):
        params = study.ask(number)
        assert space.contains(params)
        study.complete(number, [float(number % 7)])
    assert len({frozenset(trial.params) for trial in study.optuna_study.trials}) == (1 if space is SPACE else 3)


def test_a_seed_makes_the_draws_repeatable():
    draws = [OptunaStudy(BRANCHES, ["minimize"], sampler=SAMPLERS["tpe"]()).ask(0) for _ in range(2)]
    assert draws[0] == draws[1]


def test_tpe_finds_the_best_branch_of_a_conditional_space():
    def value(params):
        if params["General/kind"] == "a":
            return abs(params["General/x"] - 0.3) + 0.1 * params["General/both"]
        return 0.8 + params.get("General/depth", 5) / 10

    study = OptunaStudy(BRANCHES, ["minimize"], sampler=SAMPLERS["tpe"]())
    values = []
    for number in range(60):
        values.append(value(study.ask(number)))
        study.complete(number, [values[-1]])
    assert min(values) < 0.1
    assert sum(v < 0.8 for v in values[30:]) > 20  # most of the later trials are of the better branch


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_points_that_break_constraints_are_never_proposed(sampler):
    space = constrained({"General/a": Float(0.0, 1.0), "General/b": Float(0.0, 1.0)}, "a + b <= 0.5", "a < b")
    study = OptunaStudy(space, ["minimize"], sampler=SAMPLERS[sampler]())
    for number in range(25):
        params = study.ask(number)
        assert params["General/a"] + params["General/b"] <= 0.5 and params["General/a"] < params["General/b"]
        study.complete(number, [params["General/a"]])
    assert states(study).count("COMPLETE") == 25
    assert set(states(study)) == {"COMPLETE", "FAIL"}  # what was proposed in vain is not left running


def test_a_sampler_that_insists_on_a_broken_constraint_is_passed_over():
    class Stubborn(optuna.samplers.RandomSampler):
        """Proposes the upper end, whatever happens."""

        def sample_independent(self, study, trial, param_name, param_distribution):
            return param_distribution.high

    space = constrained({"General/a": Int(1, 1000), "General/b": Int(1, 1000)}, "a + b < 500")
    study = OptunaStudy(space, ["minimize"], sampler=Stubborn())
    assert space.contains(study.ask(0))
    study.complete(0, [1.0])
    assert states(study).count("COMPLETE") == 1


def test_constraints_that_no_point_keeps_end_in_an_error():
    study = OptunaStudy(constrained({"General/a": Int(1, 9)}, "a > 9"), ["minimize"])
    assert study.points == 0
    with pytest.raises(StudyError, match="keeps the constraints: a > 9"):
        study.ask(0)


@pytest.mark.parametrize(
    ("space", "points"),
    [
        (SPACE, math.inf),
        (SearchSpace({"a": Int(1, 9, step=2), "b": Float(0.0, 1.0, step=0.5), "c": Categorical((1, None))}), 30),
        (SearchSpace({"a": Categorical((1, 2)), "b": Int(1, 5)}, {"b": {"a": (1,)}}), 6),
        (SearchSpace({"a": Categorical((1, 2)), "b": Float(0, 1)}, {"b": {"a": (1,)}}), math.inf),
        (constrained({"a": Int(1, 4), "b": Int(1, 4)}, "a < b"), 6),
        (constrained({"a": Int(1, 400), "b": Int(1, 400)}, "a < b"), 160_000),
    ],
)
def test_the_number_of_points(space, points):
    assert OptunaStudy(space, ["minimize"]).points == points


def test_at_random_every_new_point_is_found():
    space = SearchSpace({"a": Categorical((1, 2, 3)), "b": Int(1, 5)}, {"b": {"a": (1, 2)}})
    study = OptunaStudy(space, ["minimize"])
    seen = []
    for number in itertools.count():
        params = study.ask_at_random(number, lambda params: params not in seen)
        if params is None:
            break
        seen.append(params)
        study.complete(number, [1.0])
    assert len(seen) == 11 and states(study) == 11 * ["COMPLETE"]
    assert study.ask_at_random(99, lambda params: False) is None


def test_at_random_large_spaces_are_drawn_from_too():
    study = OptunaStudy(SPACE, ["minimize"])
    assert SPACE.contains(study.ask_at_random(0, lambda params: params["General/kind"] == "b"))
    assert study.ask_at_random(1, lambda params: False) is None


# --- Telling ----------------------------------------------------------------------------------------------------------


def test_states_reach_optuna():
    study = OptunaStudy(SPACE, ["maximize"], pruner=optuna.pruners.MedianPruner())
    for number in range(3):
        study.ask(number)
    study.complete(0, [0.5])
    study.report(1, 1, 0.2)
    study.prune(1)
    study.fail(2)
    assert states(study) == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.optuna_study.trials[1].value == 0.2


def test_a_trial_is_told_once():
    study = OptunaStudy(SPACE, ["minimize"])
    study.ask(7)
    study.complete(7, [1.0])
    study.fail(7)
    study.complete(8, [1.0])
    assert study.report(7, 1, 0.5) is False
    assert states(study) == ["COMPLETE"]


def test_known_trials_are_taken_over():
    first = OptunaStudy(SPACE, ["minimize"])
    first.ask(0)
    first.complete(0, [1.0])
    second = OptunaStudy(SPACE, ["minimize"], history=first.optuna_study.trials)
    assert [trial.value for trial in second.optuna_study.trials] == [1.0]


def test_a_point_of_somebody_elses_is_learnt():
    study = OptunaStudy(BRANCHES, ["minimize"])
    point = {"General/kind": "b", "General/depth": 3, "General/both": 0.5, "Args/p": 3}
    assert study.add(0, point) is True
    study.complete(0, [1.0])
    (trial,) = study.optuna_study.trials
    assert trial.value == 1.0
    assert trial.params == {"Args/p + Args/q": "Args/p=3", "General/kind": "b", "General/depth": 3, "General/both": 0.5}


@pytest.mark.parametrize("params", [{"General/depth": 99}, {"General/kind": "c", "General/x": 0.5, "Args/p": 3}])
def test_a_point_outside_is_not_learnt(params):
    study = OptunaStudy(BRANCHES, ["minimize"])
    assert study.add(0, params) is False
    study.complete(0, [1.0])
    assert study.restore(1, params, "completed", [1.0]) is False
    assert study.optuna_study.trials == []


def test_violations_reach_the_sampler():
    study = OptunaStudy(
        SearchSpace({"x": Float(0.0, 1.0)}),
        ["minimize"],
        sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=10, constraints_func=violations_of),
    )
    for number in range(60):  # the best values lie where the constraint is broken
        x = study.ask(number)["x"]
        study.complete(number, [x], [0.5 - x])
    late = [trial.params["x"] for trial in study.optuna_study.trials[30:]]
    assert sum(x >= 0.45 for x in late) > 20
    assert [trial.system_attrs["constraints"] for trial in study.optuna_study.trials] == [
        pytest.approx([0.5 - trial.params["x"]]) for trial in study.optuna_study.trials
    ]


def test_asks_run_beside_reports_and_tells():
    study = OptunaStudy(BRANCHES, ["minimize"], sampler=SAMPLERS["tpe"](), pruner=optuna.pruners.MedianPruner())
    asked: dict[int, dict] = {}
    faults = []

    def ask():
        try:
            for number in range(0, 120, 2):
                asked[number] = study.ask(number)
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    rng = random.Random(0)
    for number in range(1, 120, 2):
        assert study.add(number, BRANCHES.build(at_random(rng)))
        for known in [known for known in list(asked) if known % 2 == 0][:3]:
            study.report(known, number, rng.random())
        study.complete(number, [rng.random()])
    thread.join()
    for number in asked:
        study.complete(number, [1.0])
    assert not faults and len(asked) == 60
    assert all(BRANCHES.contains(params) for params in asked.values())
    assert states(study) == 120 * ["COMPLETE"]


# --- Pruning ----------------------------------------------------------------------------------------------------------

PRUNERS = {
    "falling": lambda: FallingPruner(n_startup_trials=2),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=2),
    "percentile": lambda: optuna.pruners.PercentilePruner(50.0, n_startup_trials=2),
    "threshold": lambda: optuna.pruners.ThresholdPruner(upper=1.5),
    "successive_halving": lambda: optuna.pruners.SuccessiveHalvingPruner(),
    "successive_halving 2": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(),
    "hyperband 9": lambda: optuna.pruners.HyperbandPruner(max_resource=9),
    "patient": lambda: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(n_startup_trials=2), patience=1),
    "patient halving": lambda: optuna.pruners.PatientPruner(
        optuna.pruners.SuccessiveHalvingPruner(min_resource=1), patience=1
    ),
}


def run(study, number, params, curve):
    """Plays a trial that reports ``curve`` step by step; how it ended."""
    assert study.add(number, params)
    for step, value in enumerate(curve, 1):
        if study.report(number, step, value):
            study.prune(number)
            return "pruned", step
    study.complete(number, [curve[-1]])
    return "completed", len(curve)


def curves(seed):
    rng = random.Random(seed)
    for _ in range(40):
        level = rng.random()
        yield (
            SPACE.build(at_random(rng)),
            [level + 1 / step + 0.1 * rng.random() for step in range(1, rng.randint(5, 12))],
        )


@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_ends_some_and_keeps_some(pruner):
    study = OptunaStudy(SPACE, ["minimize"], pruner=PRUNERS[pruner]())
    ends = [run(study, number, params, curve)[0] for number, (params, curve) in enumerate(curves(3))]
    assert study.prunes and {"completed", "pruned"} == set(ends)


@pytest.mark.parametrize("pruner", ["median", "successive_halving", "hyperband", "patient"])
def test_with_several_objectives_the_named_metric_is_judged_as_if_it_were_the_only_one(pruner):
    one = OptunaStudy(SPACE, ["maximize"], pruner=PRUNERS[pruner]())
    two = OptunaStudy(SPACE, ["minimize", "maximize"], pruner=PRUNERS[pruner](), pruned_by="maximize")
    assert two.prunes
    for number, (params, curve) in enumerate(curves(5)):
        assert two.add(number, params)
        expected = run(one, number, params, curve)
        for step, value in enumerate(curve[: expected[1]], 1):
            pruned = two.report(number, step, value)
            assert pruned == (expected == ("pruned", step))
        if pruned:
            two.prune(number)
        else:
            two.complete(number, [0.0, curve[-1]])
    assert states(two) == states(one)
    assert two.optuna_study.directions == [
        optuna.study.StudyDirection.MINIMIZE,
        optuna.study.StudyDirection.MAXIMIZE,
    ]


def test_a_metric_of_its_own_is_kept_from_the_sampler():
    study = OptunaStudy(SPACE, ["minimize"], pruner=optuna.pruners.ThresholdPruner(lower=0.5), pruned_by="maximize")
    study.ask(0)
    assert study.report(0, 1, 0.1) is True
    study.prune(0)
    (trial,) = study.optuna_study.trials
    assert (trial.state.name, trial.intermediate_values, trial.values) == ("PRUNED", {}, None)


def test_without_a_named_metric_several_objectives_prune_nothing():
    study = OptunaStudy(SPACE, ["minimize", "minimize"], pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    study.ask(0)
    assert not study.prunes and study.report(0, 1, 9.0) is False
    study.complete(0, [1.0, 2.0])
    assert study.optuna_study.trials[0].values == [1.0, 2.0]


def test_no_pruner_prunes_nothing():
    study = OptunaStudy(SPACE, ["minimize"])
    study.ask(0)
    assert not study.prunes and study.report(0, 1, 9.0) is False and study.report(0, -1, 9.0) is False


# --- After a restart --------------------------------------------------------------------------------------------------


def remembered(study):
    """What Optuna's samplers and pruners may look at."""
    return [
        (trial.state, trial.params, trial.values, trial.intermediate_values, trial.system_attrs, trial.user_attrs)
        for trial in study.optuna_study.trials
    ]


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("seed", range(3))
def test_restored_trials_are_what_they_were(pruner, seed):
    """A completed trial first, by which ``auto`` resources are measured: as in a study that has gone on for a while."""
    ran = OptunaStudy(SPACE, ["minimize"], pruner=PRUNERS[pruner]())
    restored = OptunaStudy(SPACE, ["minimize"], pruner=PRUNERS[pruner]())
    trials = list(curves(seed))
    rng = random.Random(seed)
    for number, (params, curve) in enumerate(trials[:30]):
        if rng.random() < 0.1:
            assert ran.add(number, params)
            ran.fail(number)
            assert restored.restore(number, params, "failed")
            continue
        state, steps = run(ran, number, params, curve)
        values = [curve[-1]] if state == "completed" else []
        assert restored.restore(number, params, state, values, (), dict(enumerate(curve[:steps], 1)))
    assert remembered(restored) == remembered(ran)
    for number, (params, curve) in enumerate(trials[30:], 30):  # and the pruner goes on as it would have
        assert run(restored, number, params, curve) == run(ran, number, params, curve)


@pytest.mark.parametrize("sampler", ["tpe", "constrained tpe"])
def test_the_sampler_learns_the_same_from_restored_trials(sampler):
    def new():
        return OptunaStudy(BRANCHES, ["minimize"], sampler=optuna.samplers.RandomSampler(seed=3))

    ran, restored = new(), new()
    rng = random.Random(1)
    for number in range(40):
        params = ran.ask(number)
        value, violations = rng.random(), [rng.random() - 0.5, 0.0]
        ran.complete(number, [value], violations)
        assert restored.restore(number, params, "completed", [value], violations)
    for study in (ran, restored):
        options = {"constraints_func": violations_of} if "constrained" in sampler else {}
        study.optuna_study.sampler = optuna.samplers.TPESampler(seed=7, multivariate=True, group=True, **options)
    assert [restored.ask(100 + n) for n in range(5)] == [ran.ask(100 + n) for n in range(5)]


def test_what_broke_a_constraint_is_known_after_a_restart():
    study = OptunaStudy(SPACE, ["minimize"])
    study.restore(0, SPACE.build(at_random(random.Random(0))), "completed", [1.0], [0.5, -1.0])
    (trial,) = study.optuna_study.trials
    assert trial.user_attrs[VIOLATIONS] == [0.5, -1.0] and violations_of(trial) == (0.5, -1.0)
    assert list(trial.system_attrs["constraints"]) == [0.5, -1.0]


def test_a_genetic_sampler_goes_on_with_its_generations():
    space = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})

    def value(params):
        return [params["x"] + params["y"], params["x"] - params["y"]]

    sampler = optuna.samplers.NSGAIISampler(seed=3, population_size=10, mutation_prob=0.0, swapping_prob=0.0)
    study = OptunaStudy(space, ["minimize", "minimize"], sampler=sampler)
    rng = random.Random(1)
    for number in range(20):  # all at x near 0, which a sampler that knows nothing would rarely draw
        params = {"x": 0.01 * rng.random(), "y": rng.random()}
        assert study.restore(number, params, "completed", value(params))
    for number in range(20, 30):
        params = study.ask(number)
        assert params["x"] < 0.011
        study.complete(number, value(params))


def test_with_several_objectives_pruning_goes_on_after_a_restart():
    def new():
        return OptunaStudy(
            SPACE,
            ["minimize", "maximize"],
            pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
            pruned_by="minimize",
        )

    ran, restored = new(), new()
    trials = list(curves(2))
    for number, (params, curve) in enumerate(trials[:20]):
        ran.add(number, params)
        steps = next((s for s, v in enumerate(curve, 1) if ran.report(number, s, v)), None)
        state = "completed" if steps is None else "pruned"
        values = [0.0, 1.0] if steps is None else []
        ran.complete(number, values) if steps is None else ran.prune(number)
        assert restored.restore(number, params, state, values, (), dict(enumerate(curve[: steps or len(curve)], 1)))
    assert states(restored) == states(ran) and {"COMPLETE", "PRUNED"} == set(states(ran))
    judged = []
    for study in (ran, restored):
        study.add(20, trials[20][0])
        judged.append([study.report(20, step, 1.0) for step in range(1, 12)])
    assert judged[0] == judged[1] and any(judged[0])


def told(study):
    return [(trial.state.name, trial.value, trial.last_step) for trial in study.optuna_study.trials]


def test_a_paused_trial_is_pruned_at_its_length_until_it_goes_on():
    study = OptunaStudy(SearchSpace({"General/x": Float(0.0, 1.0)}), ["minimize"])
    params = study.ask(0)
    study.pause(0, 2, 0.5)
    assert told(study) == [("PRUNED", 0.5, 2)]
    study.resume(0, params)
    assert told(study) == [("RUNNING", None, None)]
    study.pause(0, 6, 0.4)
    assert told(study) == [("PRUNED", 0.4, 6)]
    study.resume(0, params)
    study.complete(0, (0.3,))
    assert told(study) == [("COMPLETE", 0.3, None)]


def test_a_paused_trial_of_an_earlier_controller_goes_on_too():
    study = OptunaStudy(SearchSpace({"General/x": Float(0.0, 1.0)}), ["minimize"])
    study.restore(0, {"General/x": 0.2}, "paused", intermediate={2: 0.5})
    study.restore(1, {"General/x": 0.3}, "pruned", intermediate={2: 0.6})
    study.resume(0, {"General/x": 0.2})
    assert told(study) == [("PRUNED", 0.6, 2), ("RUNNING", None, None)]
    assert study.ask(2)


@pytest.mark.parametrize(
    "sampler", [optuna.samplers.TPESampler(seed=0, multivariate=True), optuna.samplers.RandomSampler(seed=0)]
)
def test_samplers_go_on_with_records_that_are_left_out(sampler):
    study = OptunaStudy(SearchSpace({"General/x": Float(0.0, 1.0)}), ["minimize"], sampler=sampler)
    for number in range(30):
        params = study.ask(number)
        study.pause(number, 2, params["General/x"])
        if number % 3 == 0:
            study.resume(number, params)
            study.complete(number, (params["General/x"],))
    assert len(study.optuna_study.trials) == 30


def test_a_paused_trial_breaks_its_constraints_before_and_after_a_takeover():
    live = OptunaStudy(SearchSpace({"General/x": Float(0.0, 1.0)}), ["minimize"])
    params = live.ask(0)
    live.pause(0, 2, 0.5, (0.25,))
    again = OptunaStudy(SearchSpace({"General/x": Float(0.0, 1.0)}), ["minimize"])
    again.restore(0, params, "paused", (), (0.25,), {2: 0.5})
    for study in (live, again):
        (trial,) = study.optuna_study.trials
        assert violations_of(trial) == (0.25,)


# --- lists of ended trials --------------------------------------------------------------------------------------------

LINE = SearchSpace({"General/x": Float(0.0, 1.0)})
ENDED = [(OptunaState.COMPLETE,), (OptunaState.COMPLETE, OptunaState.PRUNED), (OptunaState.FAIL,)]


def test_lists_of_ended_trials_are_never_behind():
    study, draw = OptunaStudy(LINE, ["minimize"]), random.Random(3)
    paused = {}
    for number in range(60):
        params = study.ask(number)
        end = draw.choice(["complete", "prune", "fail", "pause"])
        study.report(number, 1, params["General/x"])
        if end == "complete":
            study.complete(number, (params["General/x"],))
        elif end == "pause":
            study.pause(number, 1, params["General/x"])
            paused[number] = params
        else:
            getattr(study, end)(number)
        if paused and draw.random() < 0.3:
            study.resume(*paused.popitem())
        trials = study.optuna_study.get_trials(deepcopy=False)
        for states in ENDED:
            found = study.optuna_study.get_trials(deepcopy=False, states=states)
            assert found == [trial for trial in trials if trial.state in states]


def test_reports_do_not_look_at_all_trials_again(monkeypatch):
    study = OptunaStudy(LINE, ["minimize"], pruner=FallingPruner())
    for number in range(20):
        study.restore(number, {"General/x": number / 20}, "completed", (number / 20,), intermediate={1: 1.0, 9: 0.5})
    study.ask(20)
    looked, get_all_trials = [], optuna.storages.InMemoryStorage.get_all_trials

    def counted(*arguments):
        looked.append(arguments)
        return get_all_trials(*arguments)

    monkeypatch.setattr(optuna.storages.InMemoryStorage, "get_all_trials", counted)
    assert [study.report(20, step, 0.4) for step in range(1, 9)] == [False] * 8
    assert len(looked) == 1
    assert study.report(20, 9, 0.4) is False
