"""What the replay tests share: recorded exchanges, and what an answer of ours has not in common with one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .shape import differences

CUT = "…cut"


def load(name: str) -> list[dict[str, Any]]:
    """The exchanges of one file, in order."""
    return [json.loads(line) for line in (Path(__file__).parent / name).read_text().splitlines() if line]


def title(exchange: Mapping[str, Any]) -> str:
    """The endpoint of an exchange."""
    name: str = exchange["path"].rsplit("/")[-1]
    return name


def envelope_of(exchange: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded envelope; of one that was cut off when it was recorded, what there is up to the last whole item."""
    answer = exchange["response"]
    found: dict[str, Any] = _whole(answer.removesuffix(CUT)) if isinstance(answer, str) else answer
    return found


def subcode(exchange: Mapping[str, Any]) -> int:
    """The recorded subcode."""
    code: int = envelope_of(exchange)["meta"]["result_subcode"]
    return code


def until_now(request: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded request, with a period of time as long as the recorded one that ends now."""
    if not {"from_date", "to_date"} <= request.keys():
        return dict(request)
    end = time.time() + request.get("interval", 0)  # the interval that has begun is no part of an answer
    return {**request, "from_date": end - (request["to_date"] - request["from_date"]), "to_date": end}


def faults(exchange: Mapping[str, Any], status: int, envelope: Mapping[str, Any]) -> list[str]:
    """What is not as recorded: status, subcode, endpoint, the shape of meta and data."""
    recorded = envelope_of(exchange)
    ours = (status, envelope["meta"]["result_subcode"])
    if ours != (exchange["status"], recorded["meta"]["result_subcode"]):
        return [f"{ours}, recorded {exchange['status'], recorded['meta']['result_subcode']}: {envelope['meta']}"]
    endpoints = recorded["meta"]["endpoint"], envelope["meta"]["endpoint"]
    # As text: the one exchange that asked for version 1.0 was recorded with numbers.
    found = [
        f"meta.endpoint.{name}: {endpoints[1][name]}, recorded {endpoints[0][name]}"
        for name in ("name", "actual_version")
        if str(endpoints[0][name]) != str(endpoints[1][name])
    ]
    found += differences(recorded["meta"] | {"endpoint": {}}, dict(envelope["meta"]) | {"endpoint": {}}, "meta")
    data = envelope["data"]
    if isinstance(exchange["response"], str):  # of what comes after the cut, nothing is known
        data = {key: value for key, value in data.items() if key in recorded["data"]}
    return [*found, *differences(_named(recorded["data"]), _named(data), "data")]


def _named(data: Mapping[str, Any]) -> Any:
    """Maps of metrics, variants, tasks and iterations, whose keys have no shape, as lists of what is in them."""
    if isinstance(data.get("metrics"), dict):
        return _values(data["metrics"], 3)
    if isinstance(data.get("plots"), dict):
        return {**data, "plots": _values(data["plots"], 4)}
    if isinstance(data.get("variants"), dict):
        return {**data, "variants": _values(data["variants"], 1)}
    if any(isinstance(variants, dict) and "fields" not in data for variants in data.values()):
        series = _values({name: each for name, each in data.items() if isinstance(each, dict)}, 2)
        if series and all(isinstance(each, dict) and {"name", "x", "y"} <= each.keys() for each in series):
            return series
    return data


def _values(found: Mapping[str, Any], depth: int) -> list[Any]:
    """What a map of maps holds so many levels down."""
    level: list[Any] = [found]
    for _ in range(depth):
        level = [item for each in level if isinstance(each, dict) for item in each.values()]
    return level


def _whole(text: str) -> dict[str, Any]:
    """A JSON object that was cut off, up to the end of the last object in it that is whole."""
    open_brackets: list[str] = []
    end, closing, quoted, escaped = 0, "", False, False
    for place, letter in enumerate(text):
        if quoted:
            quoted, escaped = escaped or letter != '"', letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            open_brackets.append("}" if letter == "{" else "]")
        elif letter in "}]":
            open_brackets.pop()
            end, closing = place + 1, "".join(reversed(open_brackets))
    found: dict[str, Any] = json.loads(text[:end] + closing)
    return found
