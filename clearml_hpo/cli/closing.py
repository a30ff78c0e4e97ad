"""What a command says of a study that has ended."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Note
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, best_trial, pareto_front
from clearml_hpo.views import display

_TOP = 5


def end_note(text: str, status: str) -> Note:
    """The line on an end, an error if it has failed."""
    return Note(text, "error" if status == "failed" else "info", status=status)


def say_how_it_ended(
    console: Console, goal: Goal, trials: Sequence[Trial], *, status: str, reason: str, wall_s: float, url: str
) -> None:
    """The best trials, why it ended, the best parameters, where to find it."""

    from clearml_hpo.study_file import dump_params

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    ranked = ranking(trials, goal)
    if ranked:
        console.print(display.trial_table(ranked[:_TOP], goal, title=f"best of {len(ranked)} trials"))
    say("")
    say(end_note(f"{status}: {reason} ({display.clock(wall_s)})", status))
    best = best_trial(trials, goal)
    if best is not None:
        values = zip(goal.objectives, best.values, strict=True)
        said = ", ".join(f"{objective.metric} = {value:.6g}" for objective, value in values)
        say(f"best: trial {best.number}, {said}")
        # Those of a first run are not known where the script notes none, such as the choice of a group of Hydra's.
        shown = dump_params(best.params) if best.params else "the template's own values"
        for line in shown.splitlines():
            say(f"  {line}")
        if not goal.is_single:
            front = pareto_front(trials, goal)
            say(f"Pareto front: trials {', '.join(str(trial.number) for trial in front)}")
        say("")
    say(url)
