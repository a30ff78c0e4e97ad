"""The dashboard: the studies of a ClearML server in a browser, live, and steered from there.

app.py        the ASGI application: its routes
site.py       what all pages have: a gate, forms, mistakes, headers
access.py     who may come in, see and steer: the user who started it, or a log-in by link
outside.py    trials of outside workers, for who hands them out
reading.py    one reader for each study that someone looks at, however many browsers look
seen.py       a study as it was last read
studies.py    the list of studies
head.py       what a study's page says first: state, budgets, best
changes.py    what has changed since a version, as JSON
rows.py       the table of trials, as the page's script takes it
plots.py      the figures of a study, by name
orders.py     what a user can have done to a study
launching.py  a new study from the text of another one
render.py     fills templates/*.html

All is read through ``Study``; the server may be ClearML's own or the embedded one. The JavaScript in static/ asks for
what has changed, sorts the table and draws.
"""

from clearml_hpo.dashboard.app import Dashboard

__all__ = ["Dashboard"]
