"""Samplers by name: what is drawn, what is refused, and what auto picks."""

from __future__ import annotations

import logging
import warnings

import optuna
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.search import samplers
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler, choose_sampler
from clearml_hpo.search.space import Categorical, Constant, Float, Int, OpenSpace, SearchSpace

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
CONDITIONAL = SearchSpace(
    {
        "General/kind": Categorical(("a", "b", "c")),
        "General/x": Float(0.0, 1.0),
        "General/depth": Int(1, 9),
        "General/rate": Float(0.1, 1.0),
    },
    conditions={"General/depth": {"General/kind": ("a",)}, "General/rate": {"General/kind": ("b", "c")}},
)
FINITE = SearchSpace(
    {"General/a": Int(1, 3), "General/b": Categorical(("x", "y")), "General/c": Float(0.0, 1.0, step=0.5)},
    conditions={"General/c": {"General/b": ("y",)}},
)
CHOICES = SearchSpace({"General/a": Categorical(("x", "y")), "General/b": Categorical((1, 2))})
LOSS = Objective.parse("validation/loss")
ONE = Goal((LOSS,))
TWO = Goal((LOSS, Objective.parse("time/seconds")))
CONSTRAINED = Goal((LOSS,), (MetricConstraint("latency", "p95", high=0.5),))

EXTRAS = {"cmaes": ["cmaes"], "gp": ["torch"]}
NAMES = [name for name in samplers.NAMES if name != "nsgaiii"]


@pytest.fixture(autouse=True)
def needed_packages(request):
    """Skips a sampler whose package is not installed."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    for package in EXTRAS.get(name, ()) if "missing" not in request.fixturenames else ():
        pytest.importorskip(package)


@pytest.fixture
def optuna_logger(caplog):
    """Optuna's log, which does not reach the root logger, in ``caplog``."""
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


def study_of(space, goal, sampler):
    return OptunaStudy(space, [objective.direction for objective in goal.objectives], sampler=sampler)


def draws(name, *, seed, space=SPACE, goal=ONE, trials=14):
    """Points, four of them always without a value yet, as four workers would have it."""
    study = study_of(space, goal, build_sampler(name, seed=seed, space=space, goal=goal, trials=60))
    points = []
    for number in range(trials):
        points.append(study.ask(number))
        if number >= 4:
            study.complete(number - 4, [float(number % 5 + index) for index in range(len(goal.objectives))])
    return points


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", [SPACE, CONDITIONAL, FINITE], ids=["flat", "conditional", "finite"])
def test_every_sampler_draws_points_of_the_space_without_a_word(name, space, optuna_logger, caplog):
    if (space is not FINITE and name in ("grid", "brute_force")) or (space.is_conditional and name == "qmc"):
        pytest.skip("refused, see below")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Of those that are not for sure: what GP says of greenlet, which makes it faster.
        points = draws(name, seed=1, space=space, trials=9 if space is FINITE else 14)
    assert all(space.contains(point) for point in points)
    assert [message for message in caplog.messages if "greenlet" not in message] == []


@pytest.mark.parametrize("name", ["tpe", "gp", "random", "qmc", "nsgaii", "nsgaiii"])
def test_several_objectives(name):
    if name == "gp" and not samplers._GP_KNOWS_RUNNING:
        pytest.skip("gp takes several objectives from Optuna 5 on")
    assert all(SPACE.contains(point) for point in draws(name, seed=1, goal=TWO))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_makes_the_draws_repeatable(name):
    space = FINITE if name in ("grid", "brute_force") else SPACE
    first, again, other = (draws(name, seed=seed, space=space, trials=9) for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["grid", "brute_force"])
def test_all_points_are_tried_once_although_some_were_tried_before(name):
    study = study_of(FINITE, ONE, build_sampler(name, seed=1, space=FINITE, goal=ONE))
    before = {"General/a": 2, "General/b": "y", "General/c": 0.5}
    assert study.restore(101, before, "completed", values=(1.0,))
    enqueued = {"General/a": 1, "General/b": "x"}
    assert study.add(100, enqueued)
    points = []
    for number in range(10):
        points.append(study.ask(number))
        if number >= 3:
            study.complete(number - 3, (0.5,))
    study.complete(100, (0.1,))
    assert len(points) == FINITE.size - 2
    assert len({frozenset(point.items()) for point in [*points, before, enqueued]}) == FINITE.size


@pytest.mark.parametrize("single", [Float(0.5, 0.5), Float(0.5, 0.5, log=True)])
def test_auto_takes_a_float_of_one_value(single):
    space = SearchSpace({"General/x": single, "General/b": Categorical(("x", "y"))})
    assert choose_sampler("auto", space=space, goal=ONE, trials=5).name == "gp_tpe"
    study = study_of(space, ONE, build_sampler("auto", seed=1, space=space, goal=ONE, trials=5))
    assert {study.ask(number)["General/b"] for number in range(20)} == {"x", "y"}


def share_kept(name, goal, trials):
    """Of the second half of a study; the deeper of two valleys lies where the constraint is broken."""
    space = SearchSpace({"General/x": Float(0.0, 1.0), "General/y": Float(0.0, 1.0)})
    study = study_of(space, goal, build_sampler(name, seed=3, space=space, goal=goal, trials=trials))
    kept = []
    for number in range(trials):
        x = study.ask(number)["General/x"]
        kept.append(x >= 0.5)
        violations = [0.5 - x for _ in goal.constraints]
        study.complete(number, [min((x - 0.2) ** 2, (x - 0.8) ** 2 + 0.05)], violations)
    return sum(kept[trials // 2 :]) / (trials // 2)


@pytest.mark.parametrize(("name", "trials"), [("gp", 30), ("gp_tpe", 40), ("tpe", 60), ("nsgaii", 200)])
def test_a_sampler_learns_to_keep_constraints(name, trials):
    assert share_kept(name, CONSTRAINED, trials) > 0.65
    assert share_kept(name, ONE, trials) < 0.35


@pytest.mark.parametrize(("name", "missing"), [("cmaes", "cmaes"), ("gp", "torch")])
def test_a_sampler_names_the_package_that_it_lacks(name, missing, monkeypatch):
    monkeypatch.setattr(
        "clearml_hpo.core.choices.find_spec", lambda package: None if package in missing.split() else object()
    )
    with pytest.raises(InputError) as caught:
        build_sampler(name, space=SPACE, goal=ONE)
    assert f"sampler {name}: the package {missing} is missing: pip install 'clearml-hpo[{name}]'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "space", "goal", "said"),
    [
        ("cmaes", SPACE, TWO, "it takes one objective; tpe, gp and nsgaii take several"),
        ("cmaes", SPACE, CONSTRAINED, "it knows nothing of constraints"),
        ("cmaes", CHOICES, ONE, "it needs a parameter that is a number and always active"),
        ("grid", SPACE, ONE, "General/lr is continuous; give it a step"),
        ("brute_force", CONDITIONAL, ONE, "General/rate is continuous"),
        ("qmc", CONDITIONAL, ONE, "General/depth is conditional"),
        ("nsgaiii", SPACE, ONE, "it is for several objectives"),
        ("gp_tpe", SPACE, TWO, "it takes one objective"),
        ("gp_tpe", OpenSpace(), ONE, "the script suggests its parameters itself"),
    ],
)
def test_what_a_sampler_cannot_do_is_said_before_anything_runs(name, space, goal, said):
    with pytest.raises(InputError, match=f"sampler {name}: {said}"):
        build_sampler(name, space=space, goal=goal)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("tpee", {}, "no such name: 'tpee'; did you mean 'tpe'"),
        ("tpe", {"n_startup_trails": 3}, "did you mean 'n_startup_trials'"),
        ("tpe", {"seed": 3}, "no such name: 'seed'"),
        ("tpe", {"constraints_func": 3}, "no such name: 'constraints_func'"),
        ("nsgaii", {"population_size": 1}, "population_size"),
        ("auto", {"n_startup_trials": 3}, r"auto takes none; name the sampler that they are for \(gp_tpe here\)"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        build_sampler(name, options=options, space=SPACE, goal=ONE, trials=60)


@pytest.mark.parametrize("space", [SPACE, CONDITIONAL], ids=["flat", "conditional"])
def test_tpe_takes_parameters_one_by_one_if_asked(space):
    sampler = build_sampler("tpe", options={"multivariate": False}, space=space, goal=ONE)
    assert space.contains(study_of(space, ONE, sampler).ask(0))


@pytest.mark.parametrize(("trials", "population"), [(None, 50), (1000, 50), (120, 20), (10, 4)])
def test_a_small_budget_has_several_generations(trials, population):
    sampler = build_sampler("nsgaii", space=SPACE, goal=TWO, trials=trials)
    assert vars(sampler)["_population_size"] == population


# --- auto ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "goal", "trials", "picked", "why"),
    [
        (SPACE, ONE, 60, "gp_tpe", "one objective"),
        (SPACE, ONE, None, "gp_tpe", "one objective"),
        (SPACE, CONSTRAINED, 60, "gp_tpe", "one objective"),
        (CONDITIONAL, ONE, 5000, "gp_tpe", "one objective"),
        (OpenSpace(), ONE, 60, "tpe", "the script suggests its parameters itself"),
        (FINITE, ONE, 12, "brute_force", "all 12 points fit into 12 trials"),
        (FINITE, ONE, 11, "gp_tpe", "one objective"),
        (FINITE, TWO, 12, "brute_force", "all 12 points fit into 12 trials"),
        (SPACE, TWO, 60, "tpe", "several objectives"),
        (SPACE, TWO, 1000, "nsgaii", "several objectives and 1000 trials"),
        (CONDITIONAL, TWO, 1000, "tpe", "several objectives"),
    ],
)
def test_auto_picks_by_space_and_budget(space, goal, trials, picked, why):
    choice = choose_sampler("auto", space=space, goal=goal, trials=trials)
    assert str(choice).startswith(f"sampler: {picked} ({why}")


def test_auto_is_tpe_where_trials_pause():
    lengths = Fidelity("General/epochs", (1, 3), 3)
    choice = choose_sampler("auto", space=SPACE, goal=ONE, trials=60, fidelity=lengths)
    assert str(choice) == "sampler: tpe (it ranks paused trials by how far they came)"
    assert choose_sampler("auto", space=FINITE, goal=ONE, trials=20, fidelity=lengths).name == "brute_force"


def test_auto_makes_what_it_says():
    made = build_sampler("auto", seed=1, space=FINITE, goal=ONE, trials=20)
    assert isinstance(made, optuna.samplers.BruteForceSampler)
    assert str(choose_sampler("cmaes", space=SPACE, goal=ONE)) == "sampler: cmaes (as the study says)"


@pytest.mark.parametrize(("space", "is_told"), [(SPACE, False), (CONDITIONAL, True)])
def test_what_nsgaii_cannot_cross_is_told(space, is_told):
    choice = choose_sampler("nsgaii", space=space, goal=TWO, trials=1000)
    assert ("parameters with conditions at random" in str(choice)) == is_told


# --- Classes of one's own --------------------------------------------------------------------------------------------

MODULE = """
import optuna


class Favourite(optuna.samplers.RandomSampler):
    def __init__(self, depth, seed=None):
        super().__init__(seed=seed)
        self.given = (depth, seed)


class Open(optuna.samplers.RandomSampler):
    def __init__(self, **options):
        super().__init__()
        self.given = options


def no_class():
    pass
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_own_samplers.py").write_text(MODULE)
    (tmp_path / "my_broken_samplers.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own_module")
def test_a_class_of_ones_own_gets_its_options_and_the_seed():
    made = build_sampler("my_own_samplers.Favourite", seed=7, options={"depth": 3}, space=SPACE, goal=CONSTRAINED)
    assert made.given == (3, 7)
    made = build_sampler("my_own_samplers.Open", seed=7, options={"anything": 3}, space=SPACE, goal=ONE)
    assert made.given == {"anything": 3}
    assert samplers.is_known_name("my_own_samplers.Open") and not samplers.is_known_name("open")


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("my_own_samplers.Favourite", {"dept": 3}, "did you mean 'depth'"),
        ("my_own_samplers.Favourite", {}, "depth"),
        ("my_own_samplers.no_class", {}, "my_own_samplers.no_class is no subclass of optuna.samplers.BaseSampler"),
        ("optuna.pruners.MedianPruner", {}, "is no subclass of optuna.samplers.BaseSampler"),
        ("my_own_samplers.Missing", {}, "cannot import my_own_samplers.Missing: AttributeError"),
        ("no_such_module.Sampler", {}, "cannot import no_such_module.Sampler: ModuleNotFoundError"),
        ("my_broken_samplers.Sampler", {}, "cannot import my_broken_samplers.Sampler: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_class_of_ones_own_is_said(name, options, said):
    with pytest.raises(InputError, match=said):
        build_sampler(name, options=options, space=SPACE, goal=ONE)
