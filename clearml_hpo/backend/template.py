"""The template task: found by id, by project and name, or made from a script.

A template is never run itself. From a script it is made as a draft, known again by the content of its files; its first
clone, the baseline, fills in the hyperparameters that the script connects.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.configurations import Configuration, entries_of
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.hyperparameters import (
    HYDRA,
    Nested,
    flatten,
    misfit,
    user_properties,
    with_user_properties,
    with_values,
)
from clearml_hpo.backend.names import SHORTEST_NAME, exactly, find_project
from clearml_hpo.backend.outputs import store
from clearml_hpo.backend.scalars import last_values
from clearml_hpo.core import syntax
from clearml_hpo.core.errors import ApiError, Fault, InputError, nearest
from clearml_hpo.core.goal import SINGLE_VALUES, Goal
from clearml_hpo.core.near_names import near_metric, near_parameter
from clearml_hpo.core.values import Value
from clearml_hpo.scripts.code import Code
from clearml_hpo.scripts.packing import packed_script
from clearml_hpo.scripts.place import Place
from clearml_hpo.search.space import Categorical, Constant, Parameter, SearchSpace

PLACE_PROPERTY = "place"
"""User property: where the files of a template's script are."""

_OUTSIDE = "outside"  # begins the identity of a template without a script, and is its name
_CODE = "code"  # the artifact that the files of a script are
_LONGEST_LISTING = 16_000  # characters of the list of files that an artifact shows
_CLONES = 20  # of a template are looked at: what one reports may hang on its parameters
_WHOLE = ("", "completed", "no_objective")  # how a completed run has ended that nobody has ended early
_FIELDS = ["id", "name", "project", "hyperparams", "configuration", "last_metrics"]


@dataclass(frozen=True)
class Template:
    """A template task.

    Attributes:
        hyperparams: as ClearML keeps them; empty as long as no run of the script has connected any.
        configuration: its configuration objects.
        metrics: scalars it has reported, ``title/series``.
    """

    task_id: str
    name: str
    project_id: str
    hyperparams: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    configuration: Configuration = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()

    @cached_property
    def entries(self) -> Nested:
        """See :func:`~clearml_hpo.backend.configurations.entries_of`."""
        return entries_of(self.hyperparams, self.configuration)

    @property
    def params(self) -> dict[str, str]:
        """The template's own values, ``{"section/name": text}``."""
        return flatten(self.entries)

    @property
    def place(self) -> str:
        """Where its script's files are, as text of a :class:`~clearml_hpo.scripts.place.Place`; empty if unknown."""
        return user_properties(self.hyperparams).get(PLACE_PROPERTY, "")

    @property
    def is_registered(self) -> bool:
        """Whether its hyperparameters, or what else can be varied, are known."""
        return bool(self.params)


Templates: TypeAlias = Mapping[str, Template]
"""The templates of a study by model; a single one has no name: ``""``."""


def template_by_id(api: Api, task_id: str) -> Template:
    """The task of this id; raises InputError if there is none."""
    try:
        return _template(api.call("tasks.get_by_id", task=task_id)["task"])
    except ApiError as error:
        if error.subcode != Subcode.NO_SUCH_TASK:
            raise
        raise InputError(f"template.task: no task {task_id} on the server") from None


def template_by_name(api: Api, project: str, name: str) -> Template:
    """The newest task of this name in a project; raises InputError, with the nearest names, if there is none."""
    project_id = find_project(api, project)
    if project_id is None:
        raise InputError(f"template.project: no project {project!r} on the server")
    found = api.call(
        "tasks.get_all",
        project=[project_id],
        name=exactly(name),
        order_by=["-last_update"],
        page=0,
        page_size=1,
        only_fields=_FIELDS,
    )["tasks"]
    if found:
        return _template(found[0])
    filters = {"project": [project_id], "order_by": ["-last_update"], "only_fields": ["name"]}
    names = {task["name"] for task in api.call("tasks.get_all", **filters)["tasks"] if task.get("name")}
    raise InputError(f"template.name: no task {name!r} in project {project!r}{nearest(name, names)}")


def find_template_of_code(api: Api, code: Code, project_id: str) -> Template | None:
    """The template that an earlier study made from the same files, or None."""
    return _find_made(api, code.identity, project_id)


def _find_made(api: Api, identity: str, project_id: str) -> Template | None:
    tasks = api.call(
        "tasks.get_all",
        project=[project_id],
        only_fields=_FIELDS,
        order_by=["created"],
        page=0,
        page_size=1,
        **{"hyperparams.properties.template.value": [identity]},
    )["tasks"]
    return _template(tasks[0]) if tasks else None


def create_template(api: Api, code: Code, project_id: str) -> Template:
    """Makes a draft task that carries the script and its files, so that any agent can run its clones.

    A script alone is the task's script, as ClearML's SDK stores it. Several files are an archive on the file server,
    listed as the artifact ``code``; the task's script then fetches them and starts among them.

    Raises:
        ServerError: the file server did not take the archive.
    """
    entry, text, place = code.entry, code.source, str(Place.of(code))
    properties = with_user_properties({}, {"template": code.identity, PLACE_PROPERTY: place})
    stored, diff = ([], text) if code.is_script_alone else _stored(api, code)
    words = shlex.join([entry.script.name, *entry.arguments]) if entry.script and not stored else f"{entry.name}.py"
    task_id = api.call(
        "tasks.create",
        name=entry.name if len(entry.name) >= SHORTEST_NAME else f"{entry.name}.py",
        type="training",
        project=project_id,
        comment=f"Template made from {entry}; clone it, do not run it.",
        tags=["template"],
        hyperparams=properties,
        script={
            "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "repository": "",
            "entry_point": words,
            "working_dir": ".",
            "diff": diff,
            "requirements": {"pip": "\n".join(code.requirements())},
        },
        **({"execution": {"artifacts": stored}} if stored else {}),
        **({"output_dest": api.files} if _uploads_models(text) else {}),
    )["id"]
    return Template(task_id, entry.name, project_id, properties)


def create_outside_template(api: Api, space: SearchSpace, project_id: str, model: str = "") -> Template:
    """A draft task without a script, which holds the parameters of ``space``; studies of the same space share one.

    Args:
        model: of several templates, the one that is made.
    """
    parameters = space.all_parameters
    values = {own: _some_value(parameters[name]) for name, own in space.names_in(model).items()}
    digest = hashlib.sha256(json.dumps(list(values.items())).encode()).hexdigest()
    identity = f"{_OUTSIDE}:{digest[:32]}"
    found = _find_made(api, identity, project_id)
    if found is not None:
        return found
    name = model if len(model) >= SHORTEST_NAME else _OUTSIDE
    hyperparams = with_values(with_user_properties({}, {"template": identity}), values)
    task_id = api.call(
        "tasks.create",
        name=name,
        type="training",
        project=project_id,
        comment="Template of trials that are handed out to outside workers; it has no script.",
        tags=["template"],
        hyperparams=hyperparams,
    )["id"]
    return Template(task_id, name, project_id, hyperparams)


def _some_value(parameter: Parameter) -> Value:
    """A value of the parameter, of its type."""
    if isinstance(parameter, Constant):
        return parameter.value
    return parameter.choices[0] if isinstance(parameter, Categorical) else parameter.low


def update_place(api: Api, template: Template, code: Code) -> Template:
    """The template with the place where its files are now; the folder may have moved, or be on another machine."""
    place = str(Place.of(code))
    if place == template.place:
        return template
    set_properties(api, template.task_id, {PLACE_PROPERTY: place})
    others = user_properties(template.hyperparams)
    return replace(template, hyperparams=with_user_properties(template.hyperparams, {**others, PLACE_PROPERTY: place}))


def _stored(api: Api, code: Code) -> tuple[list[dict[str, Any]], str]:
    """The files of a script on the file server: the artifact, and the script that starts among them."""
    content = code.archive()
    digest = hashlib.sha256(content).hexdigest()
    listing = "\n".join(f"{len(content):>12,}  {name}" for name, content in code.files.items())
    name = re.sub(r"[^\w.-]", "_", code.entry.name)  # any other character has a meaning in some address
    path = f"/clearml-hpo/{_CODE}/{digest[:16]}/{name}.zip"
    artifact = store(api, f"{api.files}{path}", _CODE, content, "application/zip", preview=listing[:_LONGEST_LISTING])
    return [{**artifact, "mode": "input"}], packed_script(code, path, digest)


def register(api: Api, template: Template, baseline_id: str) -> Template:
    """The template with the hyperparameters that a run of it has connected.

    A template made from a script is given them on the server too; a user's own task is left as it is.
    """
    baseline = api.call("tasks.get_by_id", task=baseline_id)["task"]
    hyperparams = {s: e for s, e in (baseline.get("hyperparams") or {}).items() if s != "properties"}
    configuration = baseline.get("configuration") or {}
    own = {s: e for s, e in template.hyperparams.items() if s == "properties"}
    if "template" in own.get("properties", {}):
        api.call(
            "tasks.edit",
            task=template.task_id,
            force=True,
            hyperparams={**hyperparams, **own},
            configuration=configuration,
        )
    return Template(
        template.task_id,
        template.name,
        template.project_id,
        {**hyperparams, **own},
        configuration,
        _metrics(baseline.get("last_metrics")),
    )


def faults_of_space(template: Template, space: SearchSpace, model: str = "") -> list[Fault]:
    """What of the space the template, that of ``model``, does not have."""
    params, faults = template.params, []
    for name, own in space.names_in(model).items():
        section, _, bare = own.partition("/")
        if own in params:
            text = misfit(space.all_parameters[name], template.entries[section][bare])
        elif section == HYDRA and section in template.entries:
            text = ""  # an override of what the Hydra configuration has
        else:
            hint = near_parameter(own, params) or f"; it has: {', '.join(sorted(params))}"
            text = f"the template {template.name!r} has no such parameter{hint}"
        if text:
            faults.append(Fault(("search_space", name), text))
    return faults


def faults_of_objectives(metrics: Iterable[str], goal: Goal, model: str = "") -> list[Fault]:
    """Says which scalars of the goal the template never reported, with the nearest one that it did."""
    reported = sorted(metrics)
    keys: dict[str, tuple[str, ...]] = {c.metric: ("metric_constraints",) for c in goal.constraints}
    keys |= {goal.pruned_by.metric: ("pruner", "metric")} if goal.pruned_by else {}
    keys |= {objective.metric: ("objective", "metric")[: 2 if goal.is_single else 1] for objective in goal.objectives}
    faults = []
    for metric, key in keys.items():
        if metric not in reported:
            known = [name for name in reported if not name.startswith(":monitor:")]
            there = f"; reported: {', '.join(known)}" if known else f"; reported: nothing; {how_to_report(metric)}"
            hint = near_metric(metric, known) or there
            by = f" by {model}" if model else ""
            faults.append(Fault(key, f"{metric!r} was never reported{by}{hint}"))
    return faults


def how_to_report(metric: str) -> str:
    """What a script lacks that does not report ``metric``, as a line of code."""
    title, _, series = metric.rpartition("/")
    call = f"report_scalar({title!r}, {series!r}, value, iteration)"
    if title == SINGLE_VALUES:
        call = f"report_single_value({series!r}, value)"
    return f"have the script report it: task.get_logger().{call}"


def _uploads_models(source: str) -> bool:
    """Whether a script asks for its models to be uploaded; an agent takes the address from the task alone."""
    calls = (node for node in ast.walk(syntax.parse(source)) if isinstance(node, ast.Call))
    given = (keyword.value for call in calls for keyword in call.keywords if keyword.arg == "output_uri")
    return any(isinstance(value, ast.Constant) and value.value is True for value in given)


def metrics_of(api: Api, task_id: str) -> frozenset[str]:
    """The scalars that a task has reported, ``title/series``."""
    tasks = api.call("tasks.get_all", id=[task_id], only_fields=["last_metrics"])["tasks"]
    return _metrics(tasks[0].get("last_metrics") if tasks else None)


def reported_metrics(api: Api, template: Template) -> frozenset[str]:
    """The scalars that the template or, if it never ran itself, the newest completed clones of it have reported."""
    if template.metrics:
        return template.metrics
    clones = _completed(api, ["last_metrics"], **_clones_of(template))
    return frozenset().union(*(_metrics(clone.get("last_metrics")) for clone in clones))


def completed_run(api: Api, template: Template) -> str:
    """The page of the newest run of a template that has completed; empty if none has.

    One that failed, or was ended early, says nothing about what a whole run connects and reports.
    """
    for filters in (_clones_of(template), {"id": [template.task_id]}):
        for task in _completed(api, ["id", "project", "hyperparams.properties"], **filters):
            if user_properties(task.get("hyperparams") or {}).get("state", "") in _WHOLE:
                return api.task_url(task.get("project") or template.project_id, task["id"])
    return ""


def _clones_of(template: Template) -> dict[str, list[str]]:
    return {"hyperparams.properties.template_task.value": [template.task_id]}


def _completed(api: Api, fields: Sequence[str], **filters: list[str]) -> Sequence[Mapping[str, Any]]:
    """The newest completed tasks, in one call."""
    wanted = {"status": ["completed"], "order_by": ["-last_update"], "page": 0, "page_size": _CLONES}
    found: Sequence[Mapping[str, Any]] = api.call("tasks.get_all", **wanted, only_fields=[*fields], **filters)["tasks"]
    return found


def _template(task: Mapping[str, Any]) -> Template:
    return Template(
        task_id=task["id"],
        name=task.get("name") or "",
        project_id=task.get("project") or "",
        hyperparams=task.get("hyperparams") or {},
        configuration=task.get("configuration") or {},
        metrics=_metrics(task.get("last_metrics")),
    )


def _metrics(last_metrics: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset(f"{title}/{series}" for title, series, _ in last_values(last_metrics))
