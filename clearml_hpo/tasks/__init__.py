"""ClearML's tasks: the one door to the ClearML server.

api.py               calls, counted; errors as ApiError
hyperparameters.py   ClearML's nested hyperparameters as flat ``section/name`` texts, and back
names.py             projects, queues and workers by name
template.py          the template task: found, or made from a script
lists.py             whole lists, page by page
scalars.py           last values and curves
trial_tasks.py       clones: created, polled, read, stopped
controller_task.py   the study's own task: its record and its reports
said.py              what a controller says, on its task's console
editing.py           changes of a task whatever its status
hold.py              which controller drives a study, so that two never do
campaigns.py         campaigns, and what their resources have run
record.py            studies and their trials, read back from the server
outputs.py           console logs and artifacts of tasks, fetched
cleanup.py           ``keep``: what trials have stored is deleted, or archived
removal.py           a study deleted, with all that it has stored
"""

from clearml_hpo.tasks.api import Api
from clearml_hpo.tasks.controller_task import ControllerTask
from clearml_hpo.tasks.template import Template, Templates
from clearml_hpo.tasks.trial_tasks import TaskSnapshot, TrialTasks

__all__ = ["Api", "ControllerTask", "TaskSnapshot", "Template", "Templates", "TrialTasks"]
