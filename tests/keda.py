"""As much of KEDA as a ScaledJob with one trigger asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests


def length(job: Mapping[str, Any], authentication: Mapping[str, Any], secret: Mapping[str, str]) -> Any:
    """What the trigger finds: its URL is asked with its credentials, and its place in the answer is read."""
    (trigger,) = job["spec"]["triggers"]
    assert trigger["type"] == "metrics-api" and trigger["metadata"]["authMode"] == "basic"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    given = {ref["parameter"]: secret[ref["key"]] for ref in authentication["spec"]["secretTargetRef"]}
    answer = requests.get(trigger["metadata"]["url"], auth=(given["username"], given["password"]), timeout=60)
    answer.raise_for_status()
    found = answer.json()
    for name in trigger["metadata"]["valueLocation"].split("."):
        found = found[name]
    return found


def missing_jobs(job: Mapping[str, Any], found: int, running: int) -> int:
    """How many jobs the strategy `accurate` starts when as many run, none of which waits for a node."""
    spec = job["spec"]
    assert spec["scalingStrategy"]["strategy"] == "accurate"
    wanted = -(-found // int(spec["triggers"][0]["metadata"]["targetValue"]))
    return max(0, min(wanted, spec["maxReplicaCount"] - running))
