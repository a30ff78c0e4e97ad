"""``tasks.*``: parts of a task that are edited on their own: parameters, configuration, artifacts, models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import (
    BOOL,
    DICT,
    FLAG_OR_WORD,
    INT,
    LIST,
    STR,
    STRINGS,
    WORD,
    WORDS,
    items,
    one_of,
    required,
)
from clearml_hpo.server.status_rules import ANYWHERE, CONFIGURED, OUTPUT, Kind, require_editable
from clearml_hpo.server.store.documents import Document, pick

service = Service("tasks")

USER_PROPERTIES = "properties"  # the section that may be edited at any status


PARAMETER = {
    **{"section": required(WORD), "name": required(WORD), "value": required(STR)},
    **{"type": STR, "description": STR},
}
CONFIGURATION = {"name": required(WORD), "value": required(STR), "type": STR, "description": STR}
SIDE = one_of("input", "output")
NAMED_ARTIFACT = {"key": required(STR), "mode": SIDE}
ARTIFACT = {
    **{**NAMED_ARTIFACT, "type": required(STR), "uri": STR, "hash": STR, "timestamp": INT, "content_size": INT},
    **{"type_data": DICT, "display_data": LIST},
}


def _edit(call: Call, column: str, change: Callable[[Any], Any], kind: Kind, *, quiet: bool = False) -> None:
    """Replaces one column of the call's task by what ``change`` makes of it, if its status allows this kind of edit."""
    id_ = call.data["task"]
    with call.store.db.transaction():
        task = call.store.tasks.require(id_, ["status", column])
        require_editable(task["status"], kind, force=bool(call.get("force")))
        call.store.tasks.write(id_, {column: change(task[column])}, quiet=quiet)


# --- hyperparameters --------------------------------------------------------------------------------------------------


@service.endpoint("get_hyper_params", tasks=required(STRINGS))
def get_hyper_params(call: Call) -> Data:
    """The hyperparameters of some tasks as flat lists."""
    params = []
    for id_ in call.data["tasks"]:
        sections = call.store.tasks.require(id_, ["hyperparams"])["hyperparams"]
        flat = [item for section in sections.values() for item in section.values()]
        params.append({"task": id_, "hyperparams": flat})
    return {"params": params}


@service.endpoint(
    "edit_hyper_params",
    task=required(STR),
    hyperparams=required(items(PARAMETER)),
    replace_hyperparams=one_of("none", "section", "all"),
    force=BOOL,
)
def edit_hyper_params(call: Call) -> Data:
    """Sets some hyperparameters; replaces the others too, where ``replace_hyperparams`` says so."""
    parameters = [_parameter(item) for item in call.data["hyperparams"]]
    replace = call.data.get("replace_hyperparams", "none")
    if replace is None:
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'replace_hyperparams': none, section or all, not null")

    def merged(sections: Document) -> Document:
        result: Document = {} if replace == "all" else {name: dict(each) for name, each in sections.items()}
        if replace == "section":
            for item in parameters:
                result[item["section"]] = {}
        for item in parameters:
            result.setdefault(item["section"], {})[item["name"]] = item
        return result

    _edit_parameters(call, parameters, merged)
    return {"updated": 1}


@service.endpoint(
    "delete_hyper_params", task=required(STR), hyperparams=required(items({"section": required(WORD)})), force=BOOL
)
def delete_hyper_params(call: Call) -> Data:
    """Removes hyperparameters, or a whole section where no name is given."""
    named = call.data["hyperparams"]

    def remaining(sections: Document) -> Document:
        for item in named:
            section, name = str(item.get("section")), item.get("name")
            if name is None:
                sections.pop(section, None)
            else:
                sections.get(section, {}).pop(str(name), None)
        return {name: section for name, section in sections.items() if section}

    _edit_parameters(call, named, remaining)
    return {"deleted": 1}


def _edit_parameters(call: Call, edited: list[Document], change: Callable[[Any], Any]) -> None:
    """User properties may be edited at any status, and are no sign of life."""
    is_quiet = all(item.get("section") == USER_PROPERTIES for item in edited)
    _edit(call, "hyperparams", change, ANYWHERE if is_quiet else CONFIGURED, quiet=is_quiet)


def _parameter(item: Document) -> Document:
    """A hyperparameter with the fields that ClearML keeps, its names without blanks around them."""
    kept = {name: item[name] for name in PARAMETER if item.get(name) is not None}
    return {**kept, "section": kept["section"].strip(), "name": kept["name"].strip()}


# --- configuration ----------------------------------------------------------------------------------------------------


@service.endpoint("get_configurations", tasks=required(STRINGS), names=WORDS)
def get_configurations(call: Call) -> Data:
    """The configuration objects of some tasks."""
    wanted = call.get("names")
    found = []
    for id_ in call.data["tasks"]:
        each = call.store.tasks.require(id_, ["configuration"])["configuration"]
        found.append(
            {"task": id_, "configuration": [item for name, item in each.items() if not wanted or name in wanted]}
        )
    return {"configurations": found}


@service.endpoint("get_configuration_names", tasks=required(STRINGS))
def get_configuration_names(call: Call) -> Data:
    """The names of the configuration objects of some tasks."""
    found, _ = call.store.tasks.search({"id": call.data["tasks"]}, ["id", "configuration"])
    return {"configurations": [{"task": task["id"], "names": sorted(task["configuration"])} for task in found]}


@service.endpoint(
    "edit_configuration",
    task=required(STR),
    configuration=required(items(CONFIGURATION)),
    replace_configuration=FLAG_OR_WORD,
    force=BOOL,
)
def edit_configuration(call: Call) -> Data:
    """Sets some configuration objects."""
    edited = [{**pick(item, CONFIGURATION), "name": item["name"].strip()} for item in call.data["configuration"]]
    given = {item["name"]: item for item in edited}
    replace = call.get("replace_configuration") in (True, "all")  # the web app says "none" for False
    _edit(call, "configuration", lambda old: given if replace else {**old, **given}, CONFIGURED)
    return {"updated": 1}


@service.endpoint("delete_configuration", task=required(STR), configuration=required(WORDS), force=BOOL)
def delete_configuration(call: Call) -> Data:
    """Removes configuration objects."""
    names = set(call.data["configuration"])
    _edit(call, "configuration", lambda old: {n: item for n, item in old.items() if n not in names}, CONFIGURED)
    return {"deleted": 1}


@service.endpoint("set_requirements", task=required(STR), requirements=required(DICT))
def set_requirements(call: Call) -> Data:
    """Notes what a script needs."""
    _edit(call, "script", lambda script: {**script, "requirements": call.data["requirements"]}, ANYWHERE)
    return {"fields": {}, "updated": 1}


# --- artifacts and models ---------------------------------------------------------------------------------------------


def _artifact_key(artifact: Document) -> tuple[str, str]:
    return str(artifact.get("key")), str(artifact.get("mode") or "output")


@service.endpoint(
    "add_or_update_artifacts", "2.10", task=required(STR), artifacts=required(items(ARTIFACT)), force=BOOL
)
def add_or_update_artifacts(call: Call) -> Data:
    """Notes artifacts; one with the same key and mode is replaced."""
    added = {
        _artifact_key(a): {
            **pick(a, ARTIFACT),
            "mode": a.get("mode") or "output",
            "display_data": a.get("display_data") or [],
        }
        for a in call.data["artifacts"]
    }

    def merged(execution: Document) -> Document:
        kept = {_artifact_key(artifact): artifact for artifact in execution.get("artifacts", [])}
        return {**execution, "artifacts": list({**kept, **added}.values())}

    _edit(call, "execution", merged, OUTPUT)
    return {"updated": 1}


@service.endpoint("delete_artifacts", "2.10", task=required(STR), artifacts=required(items(NAMED_ARTIFACT)), force=BOOL)
def delete_artifacts(call: Call) -> Data:
    """Removes artifacts by key and mode."""
    gone = {_artifact_key(artifact) for artifact in call.data["artifacts"]}

    def remaining(execution: Document) -> Document:
        kept = [a for a in execution.get("artifacts", []) if _artifact_key(a) not in gone]
        return {**execution, "artifacts": kept}

    _edit(call, "execution", remaining, OUTPUT)
    return {"deleted": 1}


@service.endpoint(
    "add_or_update_model",
    "2.13",
    task=required(STR),
    name=required(STR),
    model=required(STR),
    type=required(SIDE),
    iteration=INT,
)
def add_or_update_model(call: Call) -> Data:
    """Notes an input or output model under a name."""
    side = call.data["type"]
    now = time.stored(call.store.clock())
    item = {"name": call.data["name"], "model": call.data["model"], "updated": now}

    def merged(models: Document) -> Document:
        kept = [each for each in models.get(side, []) if each.get("name") != item["name"]]
        return {**models, side: [*kept, item]}

    with call.store.db.transaction():
        _edit(call, "models", merged, OUTPUT)
        if (iteration := call.get("iteration")) is not None:
            last = call.store.tasks.require(call.data["task"], ["last_iteration"])["last_iteration"]
            call.store.tasks.write(call.data["task"], {"last_iteration": max(last, iteration)})
    return {"updated": 1}


@service.endpoint(
    "delete_models", "2.13", task=required(STR), models=required(items({"name": required(STR), "type": required(SIDE)}))
)
def delete_models(call: Call) -> Data:
    """Removes models from a task's lists."""
    gone = {(item["type"], item["name"]) for item in call.data["models"]}

    def remaining(models: Document) -> Document:
        return {
            side: [each for each in items if (side, each.get("name")) not in gone] for side, items in models.items()
        }

    _edit(call, "models", remaining, OUTPUT, quiet=True)
    return {"updated": 1}
