"""``organization.*``: what is common to all projects."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, DICT
from clearml_hpo.server.store.documents import Collection
from clearml_hpo.server.store.models import MODELS
from clearml_hpo.server.store.names import ENTITIES
from clearml_hpo.server.store.projects import PROJECTS
from clearml_hpo.server.store.query import count, hidden_ones
from clearml_hpo.server.store.tasks import TASKS

service = Service("organization")

# What is counted, and which of its documents. Nothing here is a hyper-dataset.
_COUNTED: dict[str, tuple[Collection, dict[str, Any]]] = {
    "projects": (PROJECTS, {}),
    "tasks": (TASKS, {}),
    "models": (MODELS, {}),
    "datasets": (PROJECTS, {"system_tags": ["dataset"], "search_hidden": True}),
    "pipelines": (PROJECTS, {"system_tags": ["pipeline"], "search_hidden": True}),
    "reports": (TASKS, {"type": ["report"], "search_hidden": True}),
    "hyper_datasets": (TASKS, {"id": [""]}),
}


@service.endpoint("get_tags", include_system=BOOL, filter=DICT)
def get_tags(call: Call) -> Data:
    """All tags in use, of documents that fit a filter."""
    columns = ("tags", "system_tags") if call.get("include_system") else ("tags",)
    names, condition = call.store.names, call.get("filter", {})
    return {
        column: sorted({tag for entity in ENTITIES for tag in names.tags(entity, column, [], condition)})
        for column in columns
    }


@service.endpoint("get_user_companies")
def get_user_companies(call: Call) -> Data:
    """The company of everybody."""
    return {"companies": [{"id": identity.COMPANY_ID, "name": identity.COMPANY_NAME}]}


@service.endpoint("get_entities_count", **dict.fromkeys(_COUNTED, DICT))
def get_entities_count(call: Call) -> Data:
    """How many documents of each kind that is asked for fit the filter that is given for it."""
    found = {}
    for kind, (collection, condition) in _COUNTED.items():
        asked = call.data.get(kind)
        if asked is not None:
            request = {**asked, **condition}
            found[kind] = count(call.store.db, collection, request, _hidden(collection, request))
    return found


def _hidden(collection: Collection, request: dict[str, Any]) -> list[Any]:
    return [] if collection is MODELS else hidden_ones(collection, request)
