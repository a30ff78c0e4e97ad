"""``reports.*``: texts that people write in ClearML's web app; tasks of a type of their own, only listed here."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.services.lists import LIST, listed
from clearml_hpo.server.store.joins import joined
from clearml_hpo.server.store.tasks import TASKS

service = Service("reports")


@service.endpoint("get_all_ex", **LIST)
def get_all_ex(call: Call) -> Data:
    """Reports that match, with their references filled in."""
    fields = call.get("only_fields") or None
    found, page = call.store.tasks.search({**call.data, "type": ["report"]}, fields)
    call.store.joins.fill(TASKS, found, fields)
    return listed("tasks", found, page, joined(TASKS, fields))
