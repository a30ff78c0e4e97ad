"""A sampler and a pruner that would break a study are found before it starts."""

from __future__ import annotations

import logging

import optuna
import pytest

from clearml_hpo.controller.rehearsal import rehearse
from clearml_hpo.core.errors import InputError
from clearml_hpo.search import samplers
from clearml_hpo.study_file import load_study

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
GRID = "search_space={a: {type: int, low: 1, high: 3}, b: {type: float, low: 0, high: 1, step: 0.5}}"
CONDITIONAL = "search_space.lr.when={kind: [a, b]}"
TWO = "objective=[{metric: a/b, direction: minimize}, {metric: c/d, direction: maximize}]"
FITS = {"grid": [GRID], "brute_force": [GRID], "nsgaiii": [TWO]}


@pytest.fixture
def study_file(tmp_path):
    def study_file(*overrides):
        path = tmp_path / "study.yaml"
        path.write_text(STUDY)
        return load_study(path, overrides)

    return study_file


@pytest.fixture
def optuna_logger(caplog):
    """Optuna's log, which does not reach the root logger, in ``caplog``."""
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    "overrides",
    [
        *([f"sampler={name}", *FITS.get(name, [])] for name in samplers.NAMES),
        *([f"sampler={name}", CONDITIONAL] for name in ("auto", "tpe", "gp", "cmaes", "nsgaii", "random")),
        *([f"sampler={name}", TWO] for name in ("auto", "tpe", "nsgaii", "random", "qmc")),
        ["sampler=tpe", "metric_constraints=[{metric: latency/p95, high: 0.5}]"],
        ["sampler=nsgaii", TWO, "metric_constraints=[{metric: latency/p95, high: 0.5}]"],
        ["sampler={name: tpe, options: {n_startup_trials: 3}}"],
        ["sampler={name: tpe, options: {multivariate: false}}"],
        *([f"pruner={name}"] for name in ("median", "successive_halving", "hyperband", "wilcoxon")),
        ["pruner={name: percentile, options: {percentile: 25.0, n_startup_trials: 20}}"],
        ["pruner={name: threshold, options: {upper: 0.5}}"],
        ["pruner={name: patient, options: {patience: 2, wrapped: median}}"],
        ["pruner={name: median, metric: validation/loss, direction: maximize}", TWO],
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
        (
            ["sampler={name: tpe, options: {n_startup_trials: ten}}"],
            "tpe with options {'n_startup_trials': 'ten'} fails",
        ),
        (["sampler={name: tpe, options: {gamma: 0.2}}"], "tpe with options {'gamma': 0.2} fails on this study: Type"),
        (["sampler={name: tpe, options: {gamma: 0.2, n_startup_trials: 40}}"], "'float' object is not callable"),
        (["sampler={name: random, seed: -1}"], "sampler random: Seed must be between 0 and"),
        (["pruner={name: hyperband, options: {reduction_factor: x}}"], "pruner: hyperband with options {'reduction"),
        (["pruner={name: patient, options: {patience: 1, min_delta: a}}"], "pruner patient: "),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Optuna 5 has taken gamma out of favour
def test_what_would_break_a_study_is_found(study_file, overrides, said):
    with pytest.raises(InputError) as caught:
        rehearse(study_file(*overrides))
    (line,) = str(caught.value).splitlines()
    assert said in line and ("study.yaml:" in line or "--set " in line)


def test_a_class_of_ones_own_that_raises_is_found(study_file, tmp_path, monkeypatch):
    (tmp_path / "my_failing_sampler.py").write_text(
        "import optuna\n"
        "class Late(optuna.samplers.RandomSampler):\n"
        "    def before_trial(self, study, trial):\n"
        "        if trial.number == 12:\n"
        "            raise KeyError('twelve')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"my_failing_sampler\.Late fails on this study: KeyError: 'twelve'"):
        rehearse(study_file("sampler=my_failing_sampler.Late"))


def test_a_slow_sampler_is_not_waited_for(study_file, tmp_path, monkeypatch):
    (tmp_path / "my_slow_sampler.py").write_text(
        "import optuna, time\n"
        "class Slow(optuna.samplers.RandomSampler):\n"
        "    asked = 0\n"
        "    def before_trial(self, study, trial):\n"
        "        Slow.asked += 1\n"
        "        time.sleep(0.2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rehearse(study_file("sampler=my_slow_sampler.Slow"))
    import my_slow_sampler

    assert my_slow_sampler.Slow.asked <= 4
