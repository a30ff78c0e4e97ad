"""``projects.*``: lists of projects, with numbers of what is in them."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import DICT, LIST, STR
from clearml_hpo.server.services.lists import answer, listed
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.membership import Clause
from clearml_hpo.server.store.projections import Projection, projection
from clearml_hpo.server.store.projects import PROJECTS
from clearml_hpo.server.store.query import Page
from clearml_hpo.server.store.statistics import CHILDREN

service = Service("projects")

_STATES = ("active", "archived")


@service.endpoint("get_all")
def get_all(call: Call) -> Data:
    """Projects that match."""
    return listed(call, PROJECTS, lambda wanted, page: _search(call, wanted, page))


@service.endpoint(
    "get_all_ex",
    include_stats_filter=DICT,
    stats_for_state=STR,
    active_users=LIST,
    children_type=STR,
    children_tags=LIST,
    children_tags_filter=DICT,
)
def get_all_ex(call: Call) -> Data:
    """Projects that match, with references filled in and, where asked for, statistics and the projects below."""
    _one_of(call, "stats_for_state", _STATES)
    also = _used_by(call) + _with_children(call)
    wanted = projection(PROJECTS, call.data.get("only_fields"), joins=True)
    found = answer(call, PROJECTS, wanted, lambda wanted, page: _search(call, wanted, page, also), joins=True)
    for project in found["projects"]:
        project |= _own(call, project["id"]) | _stats(call, project["id"])
    return found


def _search(call: Call, wanted: Projection, page: Page, also: list[Clause] | None = None) -> list[Document]:
    return call.store.projects.search({**call.data, "only_fields": wanted.fields}, also or [], page)[0]


def _used_by(call: Call) -> list[Clause]:
    """Those in which, or below which, some users have tasks."""
    users = _texts(call, "active_users")
    return [call.store.statistics.holding({"user": users})] if users else []


def _with_children(call: Call) -> list[Clause]:
    """Those in which, or below which, there are reports, pipelines or data sets."""
    kind = _one_of(call, "children_type", tuple(CHILDREN))
    tags: list[Any] = _texts(call, "children_tags")
    if not kind:
        return []
    condition = {**CHILDREN[kind], "tags": tags, **({"filters": {"tags": only}} if (only := _only(call)) else {})}
    return [call.store.statistics.holding(condition)]


def _only(call: Call) -> Document:
    only: Document = call.get("children_tags_filter", {})
    return only


def _one_of(call: Call, name: str, allowed: tuple[str, ...]) -> str | None:
    value: str | None = call.get(name)
    if value is not None and value not in allowed:
        raise ApiRefusal(
            Refusal.VALIDATION, f"error for field '{name}': one of {', '.join(allowed)}, not {value!r:.100}"
        )
    return value


def _texts(call: Call, name: str) -> list[str]:
    values: list[Any] = call.get(name) or []
    if not all(isinstance(value, str) for value in values):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field '{name}': a list of texts")
    return values


def _stats(call: Call, id_: str) -> Document:
    """Numbers of the tasks that are not archived; ClearML's server knows no others, whatever state is asked for."""
    numbers: Document = {"dataset_stats": None} if call.get("include_dataset_stats") else {}
    if not call.get("include_stats"):
        return numbers
    below = bool(call.data.get("stats_with_children", True))
    condition = call.get("include_stats_filter", {})
    active = call.store.statistics.of_project(id_, condition, below=below)
    hidden = bool(call.get("search_hidden"))
    children = call.store.projects.children(id_, search_hidden=hidden) if below else []
    return {**numbers, "stats": {"active": active}, "sub_projects": children}


def _own(call: Call, id_: str) -> Document:
    """How many tasks and models are in a project itself."""
    if not call.get("check_own_contents"):
        return {}
    return {
        "own_tasks": call.store.statistics.size("tasks", [id_]),
        "own_models": call.store.statistics.size("models", [id_]),
    }
