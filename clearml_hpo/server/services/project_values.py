"""``projects.*``: hyperparameters, metrics and metadata of all tasks and models in some projects."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, LIST, STR, Field, required
from clearml_hpo.server.services.lists import projects_of
from clearml_hpo.server.store.documents import Document

service = Service("projects")

_PAGE: dict[str, Field] = {"project": STR, "include_subprojects": BOOL, "page": INT, "page_size": INT}
_OF_PROJECTS: dict[str, Field] = {"projects": LIST, "include_subprojects": BOOL, "allow_public": BOOL}


def _with_those_below(call: Call, asked: list[str]) -> list[str]:
    """The projects that a call is about, with those below them unless it says otherwise; none: all."""
    return call.store.projects.with_descendants(asked) if call.get("include_subprojects", True) else asked


def _of_one(call: Call) -> list[str]:
    return _with_those_below(call, [call.data["project"]] if call.get("project") else [])


def _page(call: Call, name: str, found: Sequence[Document | str]) -> Data:
    """One page. As on ClearML's server, ``total`` is of the page, and nothing remains."""
    for field in ("page", "page_size"):
        if field in call.data and call.data[field] is None:
            raise ApiRefusal(Refusal.VALIDATION, f"error for field '{field}': a whole number, not null")
    start, size = max(0, int(call.get("page", 0))), max(1, int(call.get("page_size", 500)))
    part = list(found[start * size : (start + 1) * size])
    return {"total": len(part), "remaining": 0, name: part}


def _check_key(call: Call, *names: str) -> None:
    if not all(call.data[name] for name in names):
        raise ApiRefusal(Refusal.VALIDATION, "Empty key is not allowed")


@service.endpoint("get_hyper_parameters", "2.9", **_PAGE)
def get_hyper_parameters(call: Call) -> Data:
    """Sections and names of all hyperparameters."""
    rows = call.store.statistics.parameters(_of_one(call))
    names = dict.fromkeys((row["section"], row["name"]) for row in rows)
    return _page(call, "parameters", [{"section": section, "name": name} for section, name in names])


@service.endpoint("get_hyperparam_values", "2.13", section=required(STR), name=required(STR), **_OF_PROJECTS)
def get_hyperparam_values(call: Call) -> Data:
    """All values of one hyperparameter."""
    _check_key(call, "section", "name")
    asked = (call.data["section"], call.data["name"])
    rows = call.store.statistics.parameters(_with_those_below(call, projects_of(call)))
    values = [row["value"] for row in rows if (row["section"], row["name"]) == asked and row["value"] is not None]
    return {"total": len(values), "values": values}


@service.endpoint("get_unique_metric_variants", project=STR, include_subprojects=BOOL)
def get_unique_metric_variants(call: Call) -> Data:
    """All metrics and variants."""
    return {"metrics": call.store.scalars.variants(_of_one(call) or None)}


@service.endpoint("get_model_metadata_keys", **_PAGE)
def get_model_metadata_keys(call: Call) -> Data:
    """The keys of the metadata of all models."""
    return _page(call, "keys", list(dict.fromkeys(key for key, _ in call.store.statistics.metadata(_of_one(call)))))


@service.endpoint("get_model_metadata_values", key=required(STR), **_OF_PROJECTS)
def get_model_metadata_values(call: Call) -> Data:
    """The values of one key of the metadata of all models."""
    _check_key(call, "key")
    rows = call.store.statistics.metadata(_with_those_below(call, projects_of(call)))
    values = [value for key, value in rows if key == call.data["key"]]
    return {"total": len(values), "values": values}
