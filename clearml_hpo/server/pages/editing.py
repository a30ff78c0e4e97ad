"""A copy of a task with other parameters, and the parameters of a draft."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.pages import cells, configuration, render
from clearml_hpo.server.pages.columns import USER_PROPERTIES
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.documents import Document

_FIELDS = ["id", "name", "status", "project", "comment", "tags", "hyperparams", "configuration"]


def show_clone(visit: Visit) -> Response:
    """The form of a copy."""
    task = visit.store.tasks.require(visit.names["task"], _FIELDS)
    return _form(visit, task, clone=True)


def show_edit(visit: Visit) -> Response:
    """The form of a task: of a draft with its parameters, of any other with what may always be changed."""
    task = visit.store.tasks.require(visit.names["task"], _FIELDS)
    return _form(visit, task, clone=False)


def _form(visit: Visit, task: Document, *, clone: bool) -> Response:
    sections = {name: list(items.values()) for name, items in task["hyperparams"].items() if name != USER_PROPERTIES}
    project = visit.store.projects.get(task["project"]) if "project" in task else {"id": "*", "name": "", "path": []}
    return render.page(
        "editing.html",
        task=task,
        project=project,
        clone=clone,
        sections=sections,
        editable=clone or task["status"] == "created",
        objects=configuration.objects(task),
        queues=visit.store.queues.search({"only_fields": ["id", "name"], "order_by": ["name"]})[0],
    )


def clone(visit: Visit) -> Response:
    """Makes the copy, and enqueues it if that was asked for."""
    source = visit.store.tasks.require(visit.names["task"], _FIELDS)
    kept = source["hyperparams"].get(USER_PROPERTIES)
    sections: Document = {USER_PROPERTIES: kept} if kept else {}
    for item in _parameters(visit, source):
        sections.setdefault(item["section"], {})[item["name"]] = item
    given: Document = {
        "task": source["id"],
        "new_task_name": _name(visit),
        "new_task_comment": _text(visit, "comment"),
        "new_task_hyperparams": sections,
        "new_task_configuration": _configuration(visit, source),
    }
    if project := visit.form.get("project", "").strip():
        given["new_project_name"] = project
    with visit.store.db.transaction():
        return _enqueued(visit, visit.call("tasks.clone", **given)["id"])


def edit(visit: Visit) -> Response:
    """Writes what was changed."""
    task = visit.store.tasks.require(visit.names["task"], _FIELDS)
    id_ = task["id"]
    tags = [tag.strip() for tag in visit.form.get("tags", "").split(",") if tag.strip()]
    with visit.store.db.transaction():
        visit.call("tasks.update", task=id_, name=_name(visit), comment=_text(visit, "comment"), tags=tags)
        if "parameters" in visit.form:
            _replace(visit, task)
        return _enqueued(visit, id_)


def _replace(visit: Visit, task: Document) -> None:
    """Writes all parameters and configuration objects of a draft."""
    items = [*task["hyperparams"].get(USER_PROPERTIES, {}).values(), *_parameters(visit, task)]
    visit.call("tasks.edit_hyper_params", task=task["id"], hyperparams=items, replace_hyperparams="all")
    objects = list(_configuration(visit, task).values())
    visit.call("tasks.edit_configuration", task=task["id"], configuration=objects, replace_configuration=True)


def _enqueued(visit: Visit, task: str) -> Response:
    if "enqueue" in visit.form:
        visit.call("tasks.enqueue", task=task, queue=visit.form.get("queue"))
    return RedirectResponse(cells.path("tasks", task), 303)


def _name(visit: Visit) -> str:
    name = visit.form.get("name", "").strip()
    if len(name) < 3:
        raise Mistake("a task's name has 3 characters or more")
    return name


def _text(visit: Visit, name: str) -> str:
    """Browsers send the ends of lines as two characters."""
    return visit.form.get(name, "").replace("\r\n", "\n")


def _rows(visit: Visit, *names: str) -> list[tuple[str, ...]]:
    """What stands in the rows of a form, which has each field once in every row."""
    columns = [visit.form.getlist(name) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise Mistake(
            f"the form is not whole: {', '.join(f'{len(c)} of {n}' for n, c in zip(names, columns, strict=True))}"
        )
    return [tuple(row) for row in zip(*columns, strict=True)]


def _parameters(visit: Visit, source: Document) -> list[Document]:
    """The parameters of a form, with types and descriptions as they were; a row without a name is none."""
    found = []
    for section, name, value in _rows(visit, "section", "parameter", "value"):
        section, name = section.strip() or "General", name.strip()
        if name and section != USER_PROPERTIES:
            known = source["hyperparams"].get(section, {}).get(name, {})
            text = value.replace("\r\n", "\n")
            found.append({**known, "section": section, "name": name, "value": text})
    return found


def _configuration(visit: Visit, source: Document) -> Document:
    """The configuration objects of a form by name, with the types of those that were there."""
    found: dict[str, Any] = {}
    for name, value in _rows(visit, "object", "text"):
        if name.strip():
            known = source["configuration"].get(name.strip())
            before = known if isinstance(known, dict) else {}
            found[name.strip()] = {**before, "name": name.strip(), "value": value.replace("\r\n", "\n")}
    return found
