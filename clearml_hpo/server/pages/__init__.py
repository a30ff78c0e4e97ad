"""The pages at the web port: what this server holds, for people, and what they may do with it.

::

    site       the ASGI application: who may come in, which page answers, headers
    gate       who may come in: names of this machine, its own user, a log-in; no orders from other web sites
    visit      one request as a page sees it; calls to the server's own endpoints
    render     templates/*.html and what they are filled with; cells: pieces of text with their markup
    home, projects, workers, queues, static   one page each
    experiments  the table of a project: selection (its state in the URL), columns, chooser, export
    task       one task, a tab each: overview, configuration, scalars, plots, images, console, artifacts, execution
    compare    tasks beside one another; parallel: their parameters against a metric
    actions    enqueue, abort, archive ... of some tasks; editing: clone a task, edit a draft
    uploads    the files of this server, as far as pages show them

HTML is made here. The little JavaScript in static/ draws plots and keeps pages fresh.
"""

from __future__ import annotations

from clearml_hpo.server.pages.site import Pages

__all__ = ["Pages"]
