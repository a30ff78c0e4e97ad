"""ClearML as a back end: the one door to its server.

api.py              calls, each made once, counted
http.py             how a call is sent and its answer read; tokens
configured.py       the server that the environment or clearml.conf names
file_server.py      files on the file server: stored, fetched, deleted
storage.py          stored files wherever they are, in buckets by the SDK
backoff.py          how long to wait while a server is in trouble
names.py            projects, queues and workers by name
lists.py            whole lists, page by page
hyperparameters.py  ClearML's nested hyperparameters as flat ``section/name`` texts, and back
codes.py            codes, reasons and tags of ClearML and of this package
configurations.py   texts that a task keeps by name
template.py         the template task: found, or made from a script
trial_tasks.py      clones: created, polled, read, stopped
outside_tasks.py    what outside workers would say of their tasks, said for them
imported.py         trials that ended elsewhere, as tasks
withdrawal.py       tasks taken out of their queues, and put back
scalars.py          last values and curves
nan_values.py       which values the SDK has sent in place of NaN
outputs.py          console logs, and files as artifacts
controller_task.py  the study's own task: its record and its reports
console_log.py      what a controller says, on its task's console
editing.py          changes of a task, whatever its status
orders.py           what users order by hand, on the controller task until it is done
lease.py            which controller drives a study, so that two never do
study_records.py    studies, read back from their controller tasks
trial_records.py    the trials of a study, read back from their tasks
campaigns.py        campaigns, and what their resources have run
pilots.py           workers that are tasks
cleanup.py          ``keep``: what trials have stored is deleted, or archived
removal.py          a study deleted, with all that it has stored
"""
