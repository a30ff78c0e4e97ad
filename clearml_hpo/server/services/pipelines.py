"""``pipelines.*``: a pipeline is started again."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, OBJECTS, STR, required

service = Service("pipelines")
_SECTION = "Args"


@service.endpoint(
    "start_pipeline", "2.17", task=required(STR), queue=required(STR), args=OBJECTS, verify_watched_queue=BOOL
)
def start_pipeline(call: Call) -> Data:
    """Clones a pipeline's controller task, sets its arguments, and enqueues it."""
    given = {str(item.get("name")): str(item.get("value", "")) for item in call.get("args", [])}
    with call.store.db.transaction():
        source = call.store.tasks.require(call.data["task"], ["type", "hyperparams"])
        if source["type"] != "controller":
            raise ApiRefusal(Refusal.DATA_VALIDATION, "only a controller task is a pipeline", type=source["type"])
        section = dict(source["hyperparams"].get(_SECTION, {}))
        for name, value in given.items():
            section[name] = {**section.get(name, {"section": _SECTION, "name": name}), "value": value}
        made = call.store.tasks.clone(source["id"], {"hyperparams": {**source["hyperparams"], _SECTION: section}})
        call.store.lifecycle.enqueue(made, call.data["queue"])
    return {"pipeline": made, "enqueued": True}
