"""Studies in the experiment table: what is a trial, a template or a controller, by what the tasks themselves say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from clearml_hpo.server.pages.columns import USER_PROPERTIES, Column, parameter
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.membership import Clause

CONTROLLER = "clearml-hpo"
"""The tag of a study's, or a campaign's, controller task."""
TEMPLATE = "template"
"""The tag of a draft that studies clone."""
TRIAL, VALUE = "trial", "value"
"""User properties of a trial task: its number, and the value of its objective."""
_MOST_PARAMETERS, _MOST_CONTROLLERS = 8, 20


def trials_alone() -> Clause:
    """No controllers, and no templates."""
    return Clause(
        "NOT EXISTS (SELECT 1 FROM json_each(tasks.tags) t WHERE t.value = ? "
        "OR (t.value = ? AND tasks.status = 'created'))",
        [CONTROLLER, TEMPLATE],
    )


def controllers(visit: Visit, project: str) -> Sequence[Document]:
    """The newest controller tasks of a project: id, name, status, type."""
    asked = {"project": [project], "tags": [CONTROLLER], "system_tags": ["-archived"], "order_by": ["-created"]}
    return visit.store.tasks.search({**asked, "page_size": _MOST_CONTROLLERS}, ["id", "name", "status", "type"])[0]


def columns(tasks: Sequence[Document]) -> Sequence[Column]:
    """Number, objective and searched parameters, those that differ among the trials of ``tasks``; none without any."""
    trials = [task["hyperparams"] for task in tasks if TRIAL in task["hyperparams"].get(USER_PROPERTIES, {})]
    if not trials:
        return []
    own = [parameter(USER_PROPERTIES, name) for name in (TRIAL, VALUE)]
    return [*own, *(parameter(*name) for name in _searched(trials)[:_MOST_PARAMETERS])]


def _searched(trials: Sequence[Document]) -> list[tuple[str, str]]:
    """Sections and names of the hyperparameters that differ, those that most trials have first."""
    values: dict[tuple[str, str], list[object]] = {}
    for hyperparams in trials:
        for section, entries in hyperparams.items():
            for name, entry in entries.items() if section != USER_PROPERTIES else ():
                values.setdefault((section, name), []).append(entry.get("value"))
    times = Counter({name: len(found) for name, found in values.items() if len(set(found)) > 1})
    return [name for name, _ in times.most_common()]
