"""``login.*``: how ClearML's web app may log users in."""

from __future__ import annotations

from clearml_hpo.server.endpoint import Call, Data, Service

service = Service("login")


@service.open_endpoint("supported_modes")
def supported_modes(call: Call) -> Data:
    """By name alone: ``basic`` is what asks for passwords."""
    return {
        "authenticated": bool(call.user),
        "basic": {"enabled": False, "guest": {"enabled": False}},
        "server_errors": {"es_connection_error": False, "missed_es_upgrade": False},
        "sso": {},
        "sso_providers": [],
    }


@service.open_endpoint("logout")
def logout(call: Call) -> Data:
    """A token is no longer used; the page that put it into a cookie removes that."""
    return {}
