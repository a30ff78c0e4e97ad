"""One module per ClearML service, all of one shape: check the fields, ask the store, shape the answer.

auth.py              `auth.*`: tokens, users, keys
login.py             `login.*`: ways to log in
users.py             `users.*`: users and their preferences
server.py            `server.*`: version and configuration
debug.py             `debug.*`: ping
tasks.py             `tasks.*`: create, read, list, edit, clone, delete
task_status.py       `tasks.*`: changes of status, of one task or many
task_edits.py        `tasks.*`: edits of parameters, configuration, artifacts, models
models.py            `models.*`
projects.py          `projects.*`: create, read, edit, delete
project_lists.py     `projects.*`: lists with counts of their contents
project_tree.py      `projects.*`: move and merge
project_contents.py  `projects.*`: contents, checked before a delete
project_names.py     `projects.*`: names in use
project_values.py    `projects.*`: hyperparameters, metrics and metadata in use
queues.py            `queues.*`: create, list, pop, reorder
queue_metadata.py    `queues.*`: metadata
workers.py           `workers.*`: register, report, list
worker_stats.py      `workers.*`: load of machines over time
events.py            `events.*`: write, and read back
event_fields.py      `events.*`: fields that several requests share
event_log.py         `events.*`: console
event_names.py       `events.*`: metrics and variants
event_samples.py     `events.*`: plots and images by iteration
event_scalars.py     `events.*`: curves, points and last values
organization.py      `organization.*`: tags and names over all projects
downloads.py         `organization.*`: tables as CSV
reports.py           `reports.*`: texts written in the web app
pipelines.py         `pipelines.*`: start one again
web_settings.py      endpoints of the web app that have nothing behind them here
lists.py             requests and answers of every `*.get_all`
bulk_answers.py      answers of every `*_many`
labels.py            tags, `make_public` and `make_private`
metadata.py          metadata: a list in requests, by key in the store
sections.py          checks the parts of a task that the server reads
steps.py             time steps of charts
"""
