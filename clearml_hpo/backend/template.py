"""The template task: found by id, by project and name, or made from a script.

A template is never run itself. From a script it is made as a draft, known again by the script's content; its first
clone, the baseline, fills in the hyperparameters that the script connects.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, TypeAlias

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.configurations import Configuration, configuration_entries
from clearml_hpo.backend.hyperparameters import CONFIG_SECTION, Nested, flatten, misfit, with_user_properties
from clearml_hpo.backend.names import exactly, find_project
from clearml_hpo.backend.scalars import last_values
from clearml_hpo.core.errors import ApiError, Fault, InputError, nearest
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.near_names import near_metric, near_parameter
from clearml_hpo.search.space import SearchSpace

_HYDRA = "Hydra"
_COMPOSED = "OmegaConf"  # the configuration object in which the SDK keeps what Hydra has composed
_SHORTEST_NAME = 3  # that a server takes
_CLONES = 20  # of a template are looked at: what one reports may hang on its parameters
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
        """Its hyperparameters, and what its configuration objects hold in sections ``config:<object>``.

        What Hydra has composed is in the section ``Hydra``, too, beside the overrides that the SDK notes there.
        """
        own = {s: {n: dict(e) for n, e in entries.items()} for s, entries in self.hyperparams.items()}
        held = configuration_entries(self.configuration)
        if composed := held.get(f"{CONFIG_SECTION}{_COMPOSED}"):
            own[_HYDRA] = {**{n: {**e, "section": _HYDRA} for n, e in composed.items()}, **own.get(_HYDRA, {})}
        return {**own, **held}

    @property
    def params(self) -> dict[str, str]:
        """The template's own values, ``{"section/name": text}``."""
        return flatten(self.entries)

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


def find_template_of_script(api: Api, script: Path, project_id: str) -> Template | None:
    """The template that an earlier study made from the same content, or None."""
    tasks = api.call(
        "tasks.get_all",
        project=[project_id],
        only_fields=_FIELDS,
        order_by=["created"],
        page=0,
        page_size=1,
        **{"hyperparams.properties.template.value": [content_hash(script)]},
    )["tasks"]
    return _template(tasks[0]) if tasks else None


def create_template(api: Api, script: Path, project_id: str) -> Template:
    """Makes a draft task that carries the script itself, so that any agent can run its clones."""
    properties = with_user_properties({}, {"template": content_hash(script)})
    text = source_of(script)
    task_id = api.call(
        "tasks.create",
        name=script.stem if len(script.stem) >= _SHORTEST_NAME else script.name,
        type="training",
        project=project_id,
        comment=f"Template made from {script.name}; clone it, do not run it.",
        tags=["template"],
        hyperparams=properties,
        script={
            "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "repository": "",
            "entry_point": script.name,
            "working_dir": ".",
            "diff": text,
            "requirements": {"pip": "\n".join(requirements_of(text))},
        },
        **({"output_dest": api.files} if _uploads_models(text) else {}),
    )["id"]
    return Template(task_id, script.stem, project_id, properties)


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
        elif section == _HYDRA and section in template.entries:
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
            hint = near_metric(metric, known) or f"; reported: {', '.join(known) or 'nothing'}"
            by = f" by {model}" if model else ""
            faults.append(Fault(key, f"{metric!r} was never reported{by}{hint}"))
    return faults


def content_hash(script: Path) -> str:
    """A short hash of the script's content, by which its template is found again."""
    return hashlib.sha256(script.read_bytes()).hexdigest()[:16]


def source_of(script: Path) -> str:
    """The text of a script, which its template carries and workers write as UTF-8.

    Raises:
        InputError: it cannot be read, or is text of another encoding, or no text.
    """
    try:
        with script.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        text = script.read_text(encoding=encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"template.script: {script} cannot be read: {error}; save it as UTF-8") from None
    if not encoding.startswith("utf-8") and not text.isascii():
        raise InputError(f"template.script: {script} is written in {encoding}; save it as UTF-8")
    if "\0" in text:
        raise InputError(f"template.script: {script} is no text: it has NUL characters")
    return text


def requirements_of(source: str) -> list[str]:
    """``name==version`` of what a script imports, as installed here; what is not installed has no version."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise InputError(f"template.script: line {error.lineno}: not Python: {error.msg}") from None
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    lines = []
    for module in sorted(modules - set(sys.stdlib_module_names)):
        name = distributions.get(module, [module])[0]
        lines.append(f"{name}=={version(name)}" if module in distributions else name)
    return lines


def _uploads_models(source: str) -> bool:
    """Whether a script asks for its models to be uploaded; an agent takes the address from the task alone."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
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
    clones = api.call(
        "tasks.get_all",
        status=["completed"],
        order_by=["-last_update"],
        page=0,
        page_size=_CLONES,
        only_fields=["last_metrics"],
        **{"hyperparams.properties.template_task.value": [template.task_id]},
    )["tasks"]
    return frozenset().union(*(_metrics(clone.get("last_metrics")) for clone in clones))


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
