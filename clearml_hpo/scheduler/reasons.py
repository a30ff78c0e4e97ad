"""Why trials have failed, in the words of their own consoles."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clearml_hpo.console import last_words
from clearml_hpo.errors import ApiError
from clearml_hpo.scheduler.interfaces import Tasks
from clearml_hpo.trial import Trial, TrialState

_LONGEST = 300
_TRACEBACK_EVENTS = 50
_TAIL_LINES = 15
# All that clearml-agent says of a task that has failed.
_OF_THE_AGENT = re.compile(r"worker execution (exit code -?\d+)")
_IN_A_ROW: Mapping[TrialState, str] = {
    TrialState.FAILED: "have failed",
    TrialState.LOST: "were lost",
    TrialState.NO_OBJECTIVE: "have ended without reporting the objective",
    TrialState.NOT_FINITE: "have reported NaN or infinity",
    TrialState.ABORTED: "were aborted",
}


def own_words(tasks: Tasks, task_id: str, reason: str) -> str:
    """``ValueError: depth (exit code 1)``, where an agent says the exit code alone; else ``reason``."""
    code = _OF_THE_AGENT.match(reason)
    if code is None:
        return reason
    try:
        said = last_words(tasks.log_tail(task_id, _TRACEBACK_EVENTS))
    except ApiError:  # the reason is poorer for it; the trial has failed all the same
        return reason
    return f"{said[:_LONGEST]} ({code[1]})" if said else reason


def of_a_row(tasks: Tasks, last: Trial, count: int) -> tuple[str, str]:
    """Why a study stops whose last ``count`` trials have ended alike: in a line, and with the tail of a log."""
    try:
        tail = tasks.log_tail(last.task_id, _TAIL_LINES)
    except ApiError as error:  # the message is poorer for it; what was noted so far must not be undone
        tail = f"(its log cannot be read: {error})"
    line = f"{count} trials in a row {_IN_A_ROW[last.state]}"
    return line, f"{line}; the last one, trial {last.number}: {last.reason}\n{tail}".strip()
