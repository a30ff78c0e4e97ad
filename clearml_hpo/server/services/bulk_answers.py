"""What every ``*_many`` answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clearml_hpo.server.endpoint import Data
from clearml_hpo.server.errors import ApiRefusal


def each_of(ids: Sequence[str], act: Callable[[str], Data]) -> Data:
    """Acts on each; one that is refused does not keep the others from it."""
    succeeded, failed = [], []
    for id_ in ids:
        try:
            succeeded.append({"id": id_, **act(id_)})
        except ApiRefusal as refusal:
            error = {"codes": [refusal.code, refusal.subcode], "msg": str(refusal), "data": refusal.facts}
            failed.append({"id": id_, "error": error})
    return {"succeeded": succeeded, "failed": failed}
