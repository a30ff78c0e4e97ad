"""``debug.*``: is anyone there?"""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service

service = Service("debug")


@service.open_endpoint("ping")
def ping(call: Call) -> Data:
    """Answers."""
    return {"msg": "ClearML server"}
