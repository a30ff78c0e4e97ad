"""What ClearML's web app asks for that this server has none of: storage settings, and endpoints that serve models."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service

_storage, _serving = Service("storage"), Service("serving")
SERVICES = (_storage, _serving)


@_storage.endpoint("get_settings")
def get_settings(call: Call) -> Data:
    """No credentials of storage: clients have their own."""
    return {"settings": {}}


@_serving.endpoint("get_endpoints")
def get_endpoints(call: Call) -> Data:
    """No endpoints."""
    return {"endpoints": []}
