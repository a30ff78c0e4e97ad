"""``events.*``: the console of a task."""

from __future__ import annotations

import json
import string
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service, Text
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, NUMBER, STR, required
from clearml_hpo.server.services.event_fields import bounded, chosen, flag, owner_name, wrong
from clearml_hpo.server.services.events import check_open_task

service = Service("events")

_LINE = ("msg", "level", "worker", "model_event", "@timestamp", "metric", "variant", "asctime")
_FORMAT = "{asctime} {worker} {level} {msg}"


@service.endpoint(
    "get_task_log",
    "2.9",
    **{"task": required(STR), "batch_size": INT, "order": STR, "navigate_earlier": BOOL, "from_timestamp": NUMBER},
)
def get_task_log(call: Call) -> Data:
    """Console events of a task, from the latest back unless ``navigate_earlier`` is false."""
    earlier = flag(call, "navigate_earlier", True)
    order = chosen(call, "order", ("asc", "desc"), None, or_null=True)
    size = 100 if call.get("batch_size") is None else bounded(call, "batch_size", 100, -1)
    owner_name(call)
    events, total = call.store.reports.log(
        call.data["task"], size=size, earlier=earlier, start=call.get("from_timestamp")
    )
    if order and (order == "desc") != earlier:
        events.reverse()
    return {"events": events, "returned": len(events), "total": total}


@service.endpoint("clear_task_log", task=required(STR), threshold_sec=INT, allow_locked=BOOL)
def clear_task_log(call: Call) -> Data:
    """Removes console events of a task, all or those older than so many seconds."""
    check_open_task(call)
    return {"deleted": call.store.events.clear_log(call.data["task"], int(call.get("threshold_sec", 0)))}


@service.endpoint("download_task_log", task=required(STR))
def download_task_log(call: Call) -> Text:
    """The whole console as a file: an object a line, or text if ``line_type`` is another word than "json"."""
    line_type, template = call.data.get("line_type", "json"), call.data.get("line_format") or _FORMAT
    if not isinstance(line_type, str):
        raise wrong("line_type", f"json or text, not {line_type!r:.100}")
    is_text = line_type.lower() != "json"
    if is_text:
        _check_format(template)
    owner_name(call)
    parts = []
    for event in call.store.reports.whole_log(call.data["task"]):
        line = {name: event.get(name) for name in _LINE} | {"asctime": event["timestamp"]}
        parts.append(template.format(**line) if is_text else json.dumps(line, separators=(",", ":")))
    return Text("".join(f"{part}\n" for part in parts), f"task_{call.data['task']}.log")


def _check_format(template: Any) -> None:
    """Refuses a line format with anything but names of a line in braces."""
    if not isinstance(template, str):
        raise wrong("line_format", f"a text, not {template!r:.100}")
    try:
        fields = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise wrong("line_format", str(error)) from None
    unknown = [name for name, spec, how in fields if name not in _LINE or spec or how]
    if unknown:
        detail = "undefined placeholders in line format"
        raise ApiRefusal(Refusal.INVALID_VALUE, detail, placeholders=f"({', '.join(unknown)})")
