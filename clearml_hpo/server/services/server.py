"""``server.*``: what this server is."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.fields import BOOL

service = Service("server")


@service.endpoint("info", "2.12")
def info(call: Call) -> Data:
    """The version clients ask for."""
    return {
        "version": identity.SERVER_VERSION,
        "build": "",
        "commit": "",
        "api_version": identity.API_VERSION,
    }


def _of_the_inside(action: str) -> None:
    @service.endpoint(action)
    def answer(call: Call) -> Data:
        """Nothing for users."""
        call.caller.check_role("root", "system")
        return {}


_of_the_inside("config")
_of_the_inside("endpoints")


@service.endpoint("report_stats_option", enabled=BOOL)
def report_stats_option(call: Call) -> Data:
    """Whether statistics of use are sent to anybody: never."""
    return {"current_version": identity.SERVER_VERSION, "enabled": False, "supported": False}
