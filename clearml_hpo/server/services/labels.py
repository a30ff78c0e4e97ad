"""``update_tags``, ``make_public`` and ``make_private`` of tasks, models and projects."""

from __future__ import annotations

from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import STRINGS, required

_UNKNOWN = {
    "tasks": Refusal.INVALID_TASK_ID,
    "models": Refusal.INVALID_MODEL_ID,
    "projects": Refusal.INVALID_PROJECT_ID,
}
# Whose a document is: the server's company's, or everybody's.
_OWNERS = {"make_public": (identity.COMPANY_ID, ""), "make_private": ("", identity.COMPANY_ID)}

_tasks, _models, _projects = Service("tasks"), Service("models"), Service("projects")
SERVICES = (_tasks, _models, _projects)


def _ids(call: Call) -> list[str]:
    ids: list[str] = list(dict.fromkeys(call.get("ids") or []))
    if not ids:
        detail = "error for field 'ids'. value '[]' length is lower than allowed minimum '1'."
        raise ApiRefusal(Refusal.VALIDATION, detail)
    return ids


def _update_tags(service: Service) -> None:
    @service.endpoint("update_tags", ids=required(STRINGS), add_tags=STRINGS, remove_tags=STRINGS)
    def answer(call: Call) -> Data:
        """Adds tags, and then removes some; counts each time that a document is written."""
        ids, added, removed = _ids(call), call.get("add_tags") or [], call.get("remove_tags") or []
        if not added and not removed:
            raise ApiRefusal(Refusal.VALIDATION, "Either add tags or remove tags should be provided")
        updated = call.store.labels.tag(service.name, ids, added, removed)
        if updated is None:
            raise ApiRefusal(_UNKNOWN[service.name], ids=f"({', '.join(ids)})")
        return {"updated": updated}


def _share(service: Service, action: str) -> None:
    @service.endpoint(action, "2.9", ids=STRINGS)
    def answer(call: Call) -> Data:
        """Gives documents to everybody, or back to the company; all of them or none."""
        ids = _ids(call)
        if not call.store.labels.give(service.name, ids, *_OWNERS[action]):
            raise ApiRefusal(_UNKNOWN[service.name], ids=f"({', '.join(ids)})")
        return {"updated": len(ids)}


for _service in SERVICES:
    for _action in _OWNERS:
        _share(_service, _action)
for _service in (_tasks, _models):
    _update_tags(_service)
