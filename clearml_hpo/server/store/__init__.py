"""What the server remembers. The only package that knows SQL.

database.py      connections, transactions, migrations (`schema/*.sql`)
documents.py     rows to JSON documents and back
query.py         documents that a `*.get_all` finds: filters, order, page
filters.py       filters of a request as SQL
expressions.py   dotted names as SQL
field_names.py   dotted names that a request may use
membership.py    list filters as SQL
list_filters.py  the language of list filters: `["__$all", "a", "__$not", "b"]`
patterns.py      regular expressions, by RE2
text_search.py   free text search
projections.py   `only_fields`: fields that an answer shows
joins.py         references that `*.get_all_ex` fills in
remembered.py    state between two calls, in memory: scrolls, prepared tables
tasks.py         tasks
lifecycle.py     a task's status and its place in a queue, changed together
models.py        models
projects.py      projects; slashes in names make a tree
queues.py        queues and the order of their tasks
workers.py       workers
machines.py      load of workers' machines
users.py         users
keys.py          added key pairs
labels.py        tags and owners of many documents
events.py        events written: scalars, console, plots, images
scalars.py       scalars read
reports.py       console, plots and images read
samples.py       plots and images by iteration
streams.py       all events of a task, in parts
statistics.py    numbers over many tasks
browse.py        counts, names and windows for pages
history.py       workers and queue lengths over time
names.py         tags, frameworks and users in use
"""

from __future__ import annotations

from pathlib import Path

from clearml_hpo.server.clock import Clock, utc_now
from clearml_hpo.server.store.browse import Browse
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import Events
from clearml_hpo.server.store.history import History
from clearml_hpo.server.store.joins import Joins
from clearml_hpo.server.store.keys import Keys
from clearml_hpo.server.store.labels import Labels
from clearml_hpo.server.store.lifecycle import Lifecycle
from clearml_hpo.server.store.machines import Machines
from clearml_hpo.server.store.models import Models
from clearml_hpo.server.store.names import Names
from clearml_hpo.server.store.projects import Projects
from clearml_hpo.server.store.queues import Queues
from clearml_hpo.server.store.remembered import Remembered
from clearml_hpo.server.store.reports import Reports
from clearml_hpo.server.store.samples import Samples
from clearml_hpo.server.store.scalars import Scalars
from clearml_hpo.server.store.statistics import Statistics
from clearml_hpo.server.store.streams import Streams
from clearml_hpo.server.store.tasks import Tasks
from clearml_hpo.server.store.users import Users
from clearml_hpo.server.store.workers import Workers


class Store:
    """All nouns over one database."""

    def __init__(self, path: Path, clock: Clock = utc_now) -> None:
        self.db = Database(path)
        self.clock = clock
        self.keys = Keys(self.db, clock)
        self.projects = Projects(self.db, clock)
        self.users = Users(self.db, clock)
        self.models = Models(self.db, clock)
        self.history = History(self.db, clock)
        self.workers = Workers(self.db, clock, self.history)
        self.machines = Machines(self.db, clock)
        self.queues = Queues(self.db, clock, self.history)
        self.scalars = Scalars(self.db)
        self.reports = Reports(self.db)
        self.samples = Samples(self.db)
        self.streams = Streams(self.db)
        self.tasks = Tasks(self.db, clock, self.projects, self.scalars, self.reports)
        self.lifecycle = Lifecycle(self.db, clock, self.tasks, self.models, self.queues, self.workers)
        self.events = Events(self.db, clock)
        self.joins = Joins(self.db)
        self.names = Names(self.db, self.projects)
        self.statistics = Statistics(self.db, clock, self.projects)
        self.labels = Labels(self.db, clock)
        self.scrolls: Remembered[int] = Remembered(clock)
        self.prepared: Remembered[Document] = Remembered(clock, most=1000)
        self.browse = Browse(self.db, self.tasks)

    def close(self) -> None:
        """Closes the database."""
        self.db.close()
