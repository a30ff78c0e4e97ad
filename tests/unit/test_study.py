"""Ask and tell, by trial number; samplers and pruners by name."""

from __future__ import annotations

import logging

import optuna
import pytest

from clearml_hpo import pruners, samplers
from clearml_hpo.errors import InputError
from clearml_hpo.rehearsal import rehearse
from clearml_hpo.search_space import Categorical, Constant, Float, Int, SearchSpace
from clearml_hpo.spec import load_study
from clearml_hpo.study import OptunaStudy

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


def space_for(name):
    """CMA-ES and brute force want spaces that suit them."""
    if name == "brute_force":
        return SearchSpace({"General/a": Int(1, 3), "General/b": Categorical(("x", "y"))})
    return SPACE


@pytest.mark.parametrize("name", samplers.NAMES)
def test_every_sampler_draws_points_of_the_space(name):
    for package in {"cmaes": ["cmaes"], "gp": ["scipy", "torch"], "qmc": ["scipy"]}.get(name, ()):
        pytest.importorskip(package)
    space = space_for(name)
    study = OptunaStudy(space, ["minimize"], sampler=samplers.build_sampler(name, seed=1))
    for number in range(6):
        params = study.ask(number)
        assert space.contains(params)
        study.complete(number, [float(number)])


@pytest.mark.parametrize(
    ("name", "missing"), [("cmaes", "cmaes"), ("gp", "torch"), ("gp", "scipy and torch"), ("qmc", "scipy")]
)
def test_a_sampler_names_the_package_that_it_lacks(name, missing, monkeypatch):
    monkeypatch.setattr(samplers, "find_spec", lambda package: None if package in missing.split() else object())
    with pytest.raises(InputError) as caught:
        samplers.build_sampler(name)
    assert f"sampler {name}: the package {missing} is missing: pip install 'clearml-hpo[{name}]'" in str(caught.value)


def test_a_seed_makes_the_draws_repeatable():
    draws = [OptunaStudy(SPACE, ["minimize"], sampler=samplers.build_sampler(seed=5)).ask(0) for _ in range(2)]
    assert draws[0] == draws[1]


@pytest.fixture
def optuna_logger(caplog):
    """Optuna's log, which does not reach the root logger, in ``caplog``."""
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


def test_drawing_without_a_seed_is_no_matter_for_a_warning(optuna_logger, caplog):
    pytest.importorskip("scipy")
    samplers.build_sampler("qmc")
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["auto", "tpe"])
def test_tpe_takes_parameters_one_by_one_if_asked(name):
    study = OptunaStudy(SPACE, ["minimize"], sampler=samplers.build_sampler(name, options={"multivariate": False}))
    assert SPACE.contains(study.ask(0))


@pytest.mark.parametrize("name", pruners.NAMES)
def test_every_pruner_is_made(name):
    options = {"upper": 1.0} if name == "threshold" else {}
    if name == "percentile":
        options = {"percentile": 25.0}
    assert isinstance(pruners.build_pruner(name, options=options), optuna.pruners.BasePruner)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: samplers.build_sampler("tpee"), "did you mean 'tpe'"),
        (lambda: samplers.build_sampler("tpe", options={"n_startup_trails": 3}), "did you mean 'n_startup_trials'"),
        (lambda: samplers.build_sampler("tpe", options={"seed": 3}), "no such name: 'seed'"),
        (lambda: pruners.build_pruner("medain"), "did you mean 'median'"),
        (lambda: pruners.build_pruner("percentile"), "percentile"),
        (lambda: pruners.build_pruner("percentile", options={"percentile": 300.0}), "between 0 and 100"),
    ],
)
def test_wrong_names_and_options_are_refused_with_the_nearest(build, said):
    with pytest.raises(InputError, match=said):
        build()


STUDY = """\
study: demo-study
template:
  task: "1234"
search_space:
  depth: {type: int, low: 4, high: 10}
  lr: {type: float, low: 1e-3, high: 0.3, log: true}
  kind: {type: categorical, choices: [a, b, null, 3]}
objective:
  metric: validation/loss
  direction: minimize
sampler:
  name: auto
pruner:
  name: none
budget:
  trials: 20
"""


@pytest.fixture
def study_file(tmp_path):
    def study_file(*overrides):
        path = tmp_path / "study.yaml"
        path.write_text(STUDY)
        return load_study(path, overrides)

    return study_file


GRID = "search_space={a: {type: int, low: 1, high: 3}, b: {type: float, low: 0, high: 1, step: 0.5}}"


@pytest.mark.parametrize(
    "overrides",
    [
        *([f"sampler={name}"] for name in samplers.NAMES if name != "brute_force"),
        ["sampler=brute_force", GRID],
        ["sampler.options.n_startup_trials=3"],
        ["sampler.options.multivariate=false"],
        *([f"pruner={name}"] for name in ("median", "successive_halving", "hyperband")),
        ["pruner={name: percentile, options: {percentile: 25.0, n_startup_trials: 20}}"],
        ["pruner={name: threshold, options: {upper: 0.5}}"],
    ],
    ids=str,
)
def test_a_sound_study_is_rehearsed_without_a_word(study_file, overrides, optuna_logger, caplog, capfd, recwarn):
    verbosity = optuna.logging.get_verbosity()
    try:
        file = study_file(*overrides)
    except InputError as error:
        assert "is missing: pip install" in str(error)
        pytest.skip(str(error))
    rehearse(file)
    assert caplog.messages == [] and not recwarn.list and capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sampler.name=brute_force"], "sampler: brute_force fails on this study: ValueError: FloatDistribution.step"),
        (["sampler.options.n_startup_trials=ten"], "sampler: auto with options {'n_startup_trials': 'ten'} fails on"),
        (["sampler={name: tpe, options: {gamma: 0.2}}"], "tpe with options {'gamma': 0.2} fails on this study: Type"),
        (["sampler={name: tpe, options: {gamma: 0.2, n_startup_trials: 40}}"], "'float' object is not callable"),
        (["pruner={name: hyperband, options: {reduction_factor: x}}"], "pruner: hyperband with options {'reduction"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Optuna 5 has taken gamma out of favour
def test_a_rehearsal_finds_what_would_break_a_study(study_file, overrides, said):
    with pytest.raises(InputError) as caught:
        rehearse(study_file(*overrides))
    (line,) = str(caught.value).splitlines()
    assert said in line and ("study.yaml:" in line or "--set " in line)


def test_states_reach_optuna():
    study = OptunaStudy(SPACE, ["maximize"], pruner=optuna.pruners.MedianPruner())
    for number in range(3):
        study.ask(number)
    study.complete(0, [0.5])
    study.report(1, 1, 0.2)
    study.prune(1)
    study.fail(2)
    states = [trial.state.name for trial in study.optuna_study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.optuna_study.trials[1].value == 0.2


def test_known_trials_are_taken_over():
    first = OptunaStudy(SPACE, ["minimize"])
    first.ask(0)
    first.complete(0, [1.0])
    second = OptunaStudy(SPACE, ["minimize"], history=first.optuna_study.trials)
    assert [trial.value for trial in second.optuna_study.trials] == [1.0]


def test_a_point_outside_is_not_learnt():
    study = OptunaStudy(SPACE, ["minimize"])
    assert study.add(0, {"General/depth": 99}) is False
    study.complete(0, [1.0])
    assert study.optuna_study.trials == []
