"""``organization.*``: what is common to all projects."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL

service = Service("organization")


@service.endpoint("get_tags", include_system=BOOL)
def get_tags(call: Call) -> Data:
    """All tags in use."""
    answer: Data = {"tags": call.store.statistics.tags("tags")}
    if call.get("include_system"):
        answer["system_tags"] = call.store.statistics.tags("system_tags")
    return answer
