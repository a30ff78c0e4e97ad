"""``queues.*``: what users note about a queue."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL, STR, WORDS, required
from clearml_hpo.server.services.metadata import METADATA, by_key

service = Service("queues")


@service.endpoint(
    "add_or_update_metadata",
    "2.13",
    queue=required(STR),
    metadata=required(METADATA),
    replace_metadata=BOOL,
)
def add_or_update_metadata(call: Call) -> Data:
    """Sets some metadata of a queue, or all of it where ``replace_metadata`` says so."""
    with call.store.db.transaction():
        queue = call.store.queues.require(call.data["queue"])
        kept = {} if call.get("replace_metadata") else queue["metadata"]
        call.store.queues.update(queue["id"], {"metadata": {**kept, **by_key(call.data["metadata"])}})
    return {"updated": 1}


@service.endpoint("delete_metadata", "2.13", queue=required(STR), keys=required(WORDS))
def delete_metadata(call: Call) -> Data:
    """Removes some metadata of a queue."""
    gone = set(call.data["keys"])
    with call.store.db.transaction():
        queue = call.store.queues.require(call.data["queue"])
        kept = {key: item for key, item in queue["metadata"].items() if key not in gone}
        call.store.queues.update(queue["id"], {"metadata": kept})
    return {"updated": 1}
