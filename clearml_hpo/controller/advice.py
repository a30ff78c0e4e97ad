"""What a study file's script takes along, and what to do about a first run that shows no hyperparameters."""

from __future__ import annotations

import re

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.trial_tasks import log_tail
from clearml_hpo.drafting.found import Findings
from clearml_hpo.drafting.script import read_program
from clearml_hpo.drafting.source import Program
from clearml_hpo.scripts.code import Code
from clearml_hpo.workers.last_line import what_matters

_ADVICE = (
    (
        r"arguments are required|one of the arguments .* is required|Missing (argument|option)|received no value",
        "give the script what it requires in the study file: template: {arguments: [--data, data.csv]}",
    ),
    (r"keywords must be strings", 'a dictionary for task.connect has texts as keys, such as {"1": ...}'),
)
_LOST = re.compile(r"No module named|No such file or directory|[Pp]rimary config|can't open file|FileNotFoundError")
_WHAT_TO_CONNECT = 'connect what is to be varied, such as task.connect({"lr": 0.1}), or parse it with argparse'

_LAST_LINES = 100
_MOST_NAMED = 8


def end_of_console(api: Api, project_id: str, task_id: str) -> str:
    """The last lines of a task's console that say why it failed, and where the rest is."""
    log = what_matters(log_tail(api, task_id, _LAST_LINES))
    return "\n".join(filter(None, [log, f"its console: {api.task_url(project_id, task_id)}"]))


def what_to_do(said: str, code: Code | None) -> str:
    """What mends a first run that said ``said``, empty if that is not known; ``code`` is the study file's script."""
    for pattern, advice in _ADVICE:
        if re.search(pattern, said):
            return advice
    if code is not None and _LOST.search(said):
        taken = f"only {_listed(code)}" if code.files else "no file"
        return f"{taken} went with the task; name what it lacks in the study file: template: {{files: [data/, ...]}}"
    return ""


def read_code(code: Code) -> Findings:
    """What a script's files say; nothing of an installed module."""
    if code.main is None:
        return Findings()
    return read_program(Program(code.main, code.entry.directory if code.entry.module else code.main.parent))


def what_to_connect(code: Code | None) -> str:
    """What makes hyperparameters of a script known that has run, and connected none."""
    without_task = read_code(code).before if code is not None else ()
    return "\n".join(without_task) or _WHAT_TO_CONNECT


def remarks(code: Code) -> list[str]:
    """What goes with a script, and what of that which it names does not; nothing for a script that stands alone."""
    found = []
    if len(code.files) > 1:
        found.append(f"{code.entry}: {len(code.files)} files go with each task: {_listed(code)}")
    for path, size in code.left_out.items():
        found.append(
            f"{code.entry} names {path} ({size / 2**20:,.1f} MB), which does not go with its tasks: runs on this "
            "machine see it; for agents, list it in the study file: template: {files: [...]}"
        )
    return found


def _listed(code: Code) -> str:
    names = list(code.files)
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
