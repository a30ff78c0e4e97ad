"""Why trials have failed, in the words of their own consoles."""

from __future__ import annotations

from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial
from clearml_hpo.scheduler.interfaces import Tasks
from clearml_hpo.workers.last_line import agents_exit_code, last_words, what_matters, with_signal

_LONGEST = 300
_TRACEBACK_EVENTS = 50
_TAIL_LINES = 15


def own_words(tasks: Tasks, task_id: str, reason: str) -> str:
    """``ValueError: depth (exit code 1)``, where an agent says the exit code alone; else ``reason``."""
    reason = with_signal(reason)
    code = agents_exit_code(reason)
    if code is None:
        return reason
    try:
        said = last_words(tasks.log_tail(task_id, _TRACEBACK_EVENTS))
    except ApiError:  # the reason is poorer for it; the trial has failed all the same
        return reason
    return f"{said[:_LONGEST]} (exit code {code})" if said else reason


def of_a_row(tasks: Tasks, last: Trial, count: int) -> tuple[str, str]:
    """Why a study stops whose last ``count`` trials have ended alike: in a line, and with the tail of a log."""
    try:
        tail = what_matters(tasks.log_tail(last.task_id, _TRACEBACK_EVENTS), _TAIL_LINES)
    except ApiError as error:  # the message is poorer for it; what was noted so far must not be undone
        tail = f"(its log cannot be read: {error})"
    line = f"{count} trials in a row {last.state.in_a_row}"
    return line, f"{line}; the last one, trial {last.number}: {last.reason}\n{tail}".strip()
