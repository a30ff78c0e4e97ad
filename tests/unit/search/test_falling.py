"""The pruner whose line falls."""

from __future__ import annotations

import random

import optuna
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.search.falling import FallingPruner
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.pruners import build_pruner, remark
from clearml_hpo.search.space import Float, SearchSpace

STEPS = 100


def learner(direction: str = "minimize", **options: float) -> OptunaStudy:
    space = SearchSpace({"x": Float(0.0, 1.0)})
    return OptunaStudy(
        space,
        [direction],
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=build_pruner("falling", options=options),
    )


def run(study: OptunaStudy, number: int, curve: list[float]) -> int | None:
    """The step at which a trial is ended; None if it comes to its end."""
    study.ask(number)
    for step, value in enumerate(curve, start=1):
        if study.report(number, step, value):
            study.prune(number)
            return step
    study.complete(number, (curve[-1],))
    return None


def falls_to(end: float, steps: int = STEPS) -> list[float]:
    return [end + (1 - step / steps) for step in range(1, steps + 1)]


def known(study: OptunaStudy, sign: float = 1.0, count: int = 10) -> None:
    """So many completed trials, which end at 0, 1, 2, and so on."""
    for number in range(count):
        assert run(study, number, [sign * value for value in falls_to(float(number))]) is None or number >= 8


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_the_line_falls(direction: str, sign: float) -> None:
    """Of eight trials the worst is ended early, the better ones later, the three best never."""
    study = learner(direction)
    known(study, sign, 8)
    ends = [run(study, 100 + n, [sign * v for v in falls_to(end)]) for n, end in enumerate((9.0, 6.5, 5.5, 4.5, 3.5))]
    assert all(ends) and ends == sorted(ends)
    assert ends[0] == 5  # five percent of the length is the first step at which any is ended
    assert [run(study, 200 + n, [sign * v for v in falls_to(end)]) for n, end in enumerate((0.0, 0.5, 1.0))] == [
        None
    ] * 3


def test_none_is_ended_before_eight_are_complete() -> None:
    study = learner()
    assert [run(study, number, falls_to(float(number))) for number in range(8)] == [None] * 8
    assert run(study, 8, falls_to(100.0)) is not None


def test_none_is_ended_at_the_last_step_or_beyond() -> None:
    study = learner(warmup=1.0)
    known(study)
    assert run(study, 100, falls_to(50.0, 2 * STEPS)) is None


def test_the_best_value_so_far_counts_not_a_bad_last_one() -> None:
    study = learner()
    known(study)
    spiky = [value + (30 if step % 3 == 2 else 0) for step, value in enumerate(falls_to(0.0))]
    assert run(study, 100, spiky) is None


def test_curves_with_other_steps_are_compared_at_the_same_place() -> None:
    study = learner()
    for number in range(8):
        study.ask(number)
        for step in range(10, STEPS + 1, 10):
            assert not study.report(number, step, number + 1 - step / STEPS)
        study.complete(number, (float(number),))
    # Before their first report nothing is known of the others.
    assert run(study, 100, falls_to(20.0)) == 10


def test_a_restart_judges_alike() -> None:
    rng = random.Random(0)
    ends = [rng.uniform(0, 5) for _ in range(30)]
    whole, judged = learner(), []
    for number, end in enumerate(ends):
        judged.append(run(whole, number, falls_to(end)))
    parted = learner()
    for number, end in enumerate(ends[:20]):
        assert run(parted, number, falls_to(end)) == judged[number]
    again = learner()
    again.optuna_study.add_trials(parted.optuna_study.trials)
    assert [run(again, number, falls_to(ends[number])) for number in range(20, 30)] == judged[20:]
    assert any(judged) and not all(judged)


def test_what_reports_once_is_no_curve_and_no_measure() -> None:
    study = learner()
    for number in range(20):
        assert run(study, number, [float(number)]) is None
    assert run(study, 20, falls_to(100.0)) is None


@pytest.mark.parametrize("pruned_by", [None, "minimize"])
def test_what_breaks_a_constraint_is_no_measure(pruned_by: str | None) -> None:
    """Trials that are too slow reach 0; those that are fast enough are compared with each other alone."""
    space = SearchSpace({"x": Float(0.0, 1.0)})
    directions = ["minimize"] if pruned_by is None else ["minimize", "maximize"]
    study = OptunaStudy(space, directions, pruner=build_pruner("falling"), pruned_by=pruned_by)
    again = OptunaStudy(space, directions, pruner=build_pruner("falling"), pruned_by=pruned_by)
    for number in range(20):
        params, curve = study.ask(number), falls_to(number / 100)
        for step, value in enumerate(curve, start=1):
            assert not study.report(number, step, value)
        told = [curve[-1]] * len(directions)
        study.complete(number, told, [1.0])
        assert again.restore(number, params, "completed", told, [1.0], dict(enumerate(curve, start=1)))
    for each in (study, again):
        each.ask(20)
        assert not any(each.report(20, step, value) for step, value in enumerate(falls_to(5.0), start=1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"worst_first": 0}, "worst_first must be more than 0"),
        ({"worst_last": 100}, "worst_last must be more than 0 and less than 100 percent, found 100"),
        ({"worst_first": 70}, r"worst_first \(70\) must not be more than worst_last \(66"),
        ({"warmup": 2}, "warmup must be 0 to 1, found 2"),
        ({"n_startup_trials": 1}, "n_startup_trials must be 2 or more, found 1"),
        ({"n_startup": 1}, "n_startup"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_pruner("falling", options=options)


def test_it_is_a_pruner_of_optuna() -> None:
    study = optuna.create_study(pruner=FallingPruner(), sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial: optuna.Trial) -> float:
        end = trial.suggest_float("x", 0, 1)
        for step in range(1, 21):
            trial.report(end - step / 100, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return end

    study.optimize(objective, n_trials=60)
    states = [trial.state for trial in study.trials]
    assert study.best_value == min(trial.params["x"] for trial in study.trials)
    assert states.count(optuna.trial.TrialState.PRUNED) > 20


def test_patient_alone_is_warned_about() -> None:
    assert "patient alone" in remark("patient", {"patience": 5})
    assert "patient alone" in remark("patient", {"patience": 5, "wrapped": {"name": "none"}})
    assert not remark("patient", {"patience": 5, "wrapped": "falling"})
    assert not remark("falling") and not remark("none", {})


def test_a_pruner_of_several_models_that_is_not_told_when_to_begin_is_warned_about() -> None:
    assert "median compares trials of several models by iteration" in remark("median", models=2)
    for name, models, has_minimum in (
        ("median", 1, False),
        ("median", 2, True),
        ("none", 2, False),
        ("auto", 2, False),
    ):
        assert not remark(name, models=models, has_minimum=has_minimum)


def test_patient_with_another_pruner_is_built() -> None:
    build_pruner("patient", options={"patience": 5, "wrapped": "falling"})
