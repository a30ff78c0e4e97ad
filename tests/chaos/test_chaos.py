"""Studies whose processes are struck at random instants: no finished trial is lost, none runs twice, budgets hold."""

from __future__ import annotations

import os
import uuid

import pytest

from .dask_world import DaskWorld
from .worker import final_value
from .world import PROJECT, QUEUE, Ended, Storm, World, rows

pytestmark = pytest.mark.long

# `make chaos` runs more and longer ones.
SCALE = float(os.environ.get("CHAOS_SCALE") or 1)
WORKERS = 4
STUDY = """\
study: storm
project: {project}
template: {{script: train.py}}
search_space:
  x: {{type: float, low: 0.0, high: 1.0}}
  depth: {{type: int, low: 2, high: 8}}
  kind: {{type: categorical, choices: [a, b]}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: tpe, seed: 1}}
pruner: {pruner}
budget: {budget}
failures: {failures}
execution: {{{execution}, poll_interval: 0.2}}
"""


@pytest.fixture
def world(tmp_path, environ, seed):
    """Makes a world whose study has this budget and pruner."""

    def world(*, budget, pruner="none", failures="failed: 0", **options):
        (tmp_path / "train.py").write_text(f'"""{uuid.uuid4()}: connects x, depth, kind; reports validation/loss."""\n')
        study = STUDY.format(
            project=PROJECT,
            execution=f"queue: {QUEUE}",
            budget=budget,
            pruner=pruner,
            failures=f"{{lost: 50, lost_after: 4, stop_after: 0, {failures}}}",
        )
        (tmp_path / "study.yaml").write_text(study)
        return World(tmp_path, environ, workers=WORKERS, seed=seed, **options)

    return world


def scaled(**kills):
    return {target: max(1, round(count * SCALE)) for target, count in kills.items()}


def test_no_finished_trial_is_lost_and_none_finishes_twice(world, seed):
    trials, kills = round(60 * SCALE), scaled(controller=16, worker=8, server=4, terminal=4, proxy=8)
    with world(budget=f"{{trials: {trials}}}") as chaos:
        ended = chaos.weather(Storm(seed, kills), trials, timeout_s=900 * SCALE)
        assert not chaos.processes()
    check(ended, kills, trials)
    for attempts in ended.attempts().values():
        params, value = attempts[-1].params, attempts[-1].value
        assert value == pytest.approx(final_value(float(params["General/x"]), int(params["General/depth"])))


def test_pruned_trials_stay_pruned_and_do_not_run_again(world, seed):
    trials, kills = round(24 * SCALE), scaled(controller=5, worker=3, server=2, terminal=2, proxy=3)
    pruner = "{name: median, options: {n_startup_trials: 4}}"
    with world(budget=f"{{trials: {trials}}}", pruner=pruner, steps=12) as chaos:
        ended = chaos.weather(Storm(seed, kills), trials, timeout_s=900 * SCALE)
    check(ended, kills, trials, settled=("completed", "pruned"))
    assert "pruned" in {attempts[-1].state for attempts in ended.attempts().values()}


def test_trainings_that_hang_are_ended_and_run_again(world, seed):
    trials, kills = round(16 * SCALE), scaled(controller=2, worker=1, server=1, proxy=1)
    failures = "failed: 50, silent_after: 2"
    with world(budget=f"{{trials: {trials}}}", failures=failures, hangs=4) as chaos:
        ended = chaos.weather(Storm(seed, kills, ages_s=(0.2, 2.0)), trials, timeout_s=900 * SCALE)
        hung = {file.name.partition("-")[2] for file in chaos.folder.glob("hung-*")}
    check(ended, kills, trials, earlier=("lost", "failed"))
    tried_again = {of_trial[-1].params["General/x"] for of_trial in ended.attempts().values() if len(of_trial) > 1}
    assert hung and hung <= tried_again


def test_the_time_budget_counts_the_seconds_in_which_somebody_drove_the_study(world, seed):
    time_s, kills = 20 * SCALE, scaled(controller=5, worker=1, server=1, proxy=2)
    with world(budget=f"{{time: {time_s}}}", steps=16) as chaos:
        # Blows come with the first trials: the study ends by time only after the last one.
        ended = chaos.weather(Storm(seed, kills, ages_s=(0.2, 4.0)), round(16 * SCALE), timeout_s=900 * SCALE)
    check(ended, kills, settled=("completed", "stopped", ""))
    (study,) = ended.studies
    assert "time budget" in study["status_reason"], study["status_reason"]
    text = f"driven for {ended.driven_s:.1f} s of {time_s} s, of which {ended.unnoticed_s:.1f} s may be unnoticed"
    assert -2.0 * SCALE < ended.driven_s - time_s < 2.0 * SCALE + ended.unnoticed_s, text


def test_a_study_on_dask_outlives_each_of_its_processes(tmp_path, environ, seed):
    trials = round(24 * SCALE)
    kills = scaled(controller=4, scheduler=3, command=2, process=3, server=1, proxy=2)
    with DaskWorld(tmp_path, environ, seed=seed) as chaos:
        failures = "{lost: 50, stop_after: 0, failed: 0}"
        execution = f"executor: dask, dask: {{address: '{chaos.address}'}}"
        given = {"project": PROJECT, "pruner": "none", "budget": f"{{trials: {trials}}}", "failures": failures}
        chaos.write(STUDY.format(**given, execution=execution))
        ended = chaos.weather(Storm(seed, kills, ages_s=(0.2, 12.0)), trials, timeout_s=1200 * SCALE)
        assert not chaos.processes()
    check(ended, kills, trials)
    for attempts in ended.attempts().values():
        params, value = attempts[-1].params, attempts[-1].value
        assert value == pytest.approx(final_value(float(params["General/x"]), int(params["General/depth"])))


def check(ended: Ended, kills, trials: int | None = None, settled=("completed",), earlier=("lost",)) -> None:
    """What holds after any storm; ``settled`` and ``earlier`` are the states of the latest and of other attempts."""
    attempts = ended.attempts()
    table = "\n".join(rows(attempts))
    print(f"{ended.wall_s:.0f} s, {sum(map(len, attempts.values()))} attempts of {len(attempts)} trials")
    assert ended.killed == kills
    assert not ended.exits, "a controller that nobody killed has ended"
    (study,) = ended.studies
    assert study["status"] == "completed"
    assert not ended.waiting
    assert list(attempts) == list(range(len(attempts) if trials is None else trials))
    for of_trial in attempts.values():
        last = of_trial[-1]
        assert [one.attempt for one in of_trial] == list(range(1, len(of_trial) + 1)), table
        ends = {*earlier, "stopped"} if kills.get("terminal") else {*earlier}
        assert {one.state for one in of_trial[:-1]} <= ends, f"an end that was not its own\n{table}"
        assert last.state in settled, f"the end is not recorded\n{table}"
        assert all(one.status in ("completed", "stopped", "failed") for one in of_trial if one.state), table
        assert last.state or last.status == "created", f"what has run must have its end recorded\n{table}"
    completed = {one.task_id for of_trial in attempts.values() for one in of_trial if one.status == "completed"}
    finished = {of_trial[-1].task_id for of_trial in attempts.values() if of_trial[-1].state == "completed"}
    assert completed == finished, f"finished twice, or finished and then lost\n{table}"
    assert ended.seen_completed <= completed, f"a finished trial was lost\n{table}"
