"""The pages at the web port: what this server holds, and what a user may do with it.

site.py           the ASGI application: access, routing, headers
gate.py           access: host names, log-in, requests of other web sites
login.py          the log-in page
routes.py         path -> page
visit.py          a request as a page sees it; calls to the server's own endpoints
render.py         fills templates/*.html
cells.py          values as escaped HTML
static.py         style, scripts, the plotting library
links.py          addresses of ClearML's web app, redirected
home.py           the first page
hpo.py            the way to the dashboard of studies
projects.py       the tree of projects
workers.py        workers and what they run
queues.py         queues and what waits in them
experiments.py    the table of a project
studies.py        trials, templates and controllers in the table
selection.py      filters, order and columns of the table, as its URL
columns.py        the columns of the table
chooser.py        the form that chooses columns
export.py         the table as CSV
task.py           a task, one tab at a time
overview.py       tab: summary
configuration.py  tab: hyperparameters and configuration objects
scalars.py        tab: scalars
plots.py          tab: plots
images.py         tab: debug images
console.py        tab: console
artifacts.py      tab: artifacts and models
execution.py      tab: repository, script, packages, container
compare.py        tasks side by side
differences.py    differences between tasks
parallel.py       parallel coordinates of tasks
actions.py        enqueue, abort, archive and the like, for chosen tasks
editing.py        clone a task, edit a draft
uploads.py        files of this server that pages show

HTML is made here. The JavaScript in static/ draws plots and refreshes pages.
"""

from __future__ import annotations

from clearml_hpo.server.pages.site import Pages

__all__ = ["Pages"]
