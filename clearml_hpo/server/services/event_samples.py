"""``events.*``: plots and images by iteration, and the way from one to the next."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, OBJECTS, STR, required
from clearml_hpo.server.store.events import IMAGE, PLOT
from clearml_hpo.server.store.query import offset_of, scroll_id_of
from clearml_hpo.server.store.samples import Event, Subject

service = Service("events")


# --- pages of iterations ----------------------------------------------------------------------------------------------


def _pages(action: str, version: str, kind: str) -> None:
    @service.endpoint(
        action,
        version,
        metrics=required(OBJECTS),
        iters=INT,
        scroll_id=STR,
        refresh=BOOL,
        navigate_earlier=BOOL,
    )
    def pages(call: Call) -> Data:
        """The latest iterations of some tasks, and on with ``scroll_id`` to earlier ones, or back."""
        iters = max(1, call.get("iters", 1))
        shown = 0 if call.get("refresh") else offset_of(call.data)
        # The scroll has shown so many iterations; going back to later ones leaves out the page shown last.
        offset = shown if call.get("navigate_earlier", True) or not shown else shown - 2 * iters
        subjects = [_subject(kind, wanted) for wanted in call.data["metrics"]]
        metrics = [
            {
                "iterations": call.store.samples.iterations(each, offset, iters) if offset >= 0 else [],
                "task": each.owner,
            }
            for each in subjects
        ]
        return {"metrics": metrics, "scroll_id": scroll_id_of(max(0, offset) + iters)}


def _subject(kind: str, wanted: Data) -> Subject:
    task, metric, variants = wanted.get("task"), wanted.get("metric"), wanted.get("variants")
    if not isinstance(task, str):
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'metrics.task'. field is required!")
    return Subject(
        task,
        kind,
        metric if isinstance(metric, str) else None,
        [str(each) for each in variants] if isinstance(variants, list) else [],
    )


_pages("debug_images", "2.7", IMAGE)
_pages("plots", "2.20", PLOT)


# --- from sample to sample --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """The sample that was shown last, as a scroll id holds it."""

    metric: str
    variant: str | None
    iteration: int
    is_bound: bool

    @property
    def scroll_id(self) -> str:
        """The scroll id of this place; the server keeps none."""
        return json.dumps([self.metric, self.variant, self.iteration, self.is_bound]).encode().hex()


def _place_of(scroll_id: str) -> _Place:
    try:
        metric, variant, iteration, is_bound = json.loads(bytes.fromhex(scroll_id))
        place = _Place(str(metric), variant and str(variant), int(iteration), bool(is_bound))
    except (ValueError, TypeError, OverflowError):
        raise ApiRefusal(Refusal.VALIDATION, "unknown scroll_id") from None
    if not -(2**63) <= place.iteration < 2**63:
        raise ApiRefusal(Refusal.VALIDATION, "unknown scroll_id")
    return place


def _sample(call: Call, kind: str) -> Data:
    """The sample of a metric (and variant) at an iteration, or the latest one."""
    variant = call.get("variant")
    subject = Subject(call.data["task"], kind, call.data["metric"], [variant] if variant is not None else [])
    iteration = call.get("iteration", call.store.samples.span(subject)[1])
    events = call.store.samples.at(subject, iteration) if iteration is not None else []
    place = _Place(call.data["metric"], variant, iteration or 0, bool(call.get("navigate_current_metric", True)))
    return _answer(call, kind, place, events)


def _next_sample(call: Call, kind: str) -> Data:
    """The sample beside that of the scroll: of the next variant or metric, else of the next iteration."""
    place, earlier = _place_of(call.data["scroll_id"]), bool(call.get("navigate_earlier", True))
    subject = Subject(call.data["task"], kind, place.metric if place.is_bound else None)
    if call.get("next_iteration"):
        same = Subject(subject.owner, kind, place.metric, [place.variant] if place.variant is not None else [])
        found = call.store.samples.beside(same, ["iter"], [place.iteration], earlier=earlier)
    elif place.variant is None:
        found = call.store.samples.beside(subject, ["iter", "metric"], [place.iteration, place.metric], earlier=earlier)
    else:
        keys = [place.iteration, place.metric, place.variant]
        found = call.store.samples.beside(subject, ["iter", "metric", "variant"], keys, earlier=earlier)
    if found is None:
        return _answer(call, kind, place, [])
    variant = None if place.variant is None else found["variant"]
    there = replace(place, metric=found["metric"], variant=variant, iteration=found["iter"])
    of_metric = Subject(subject.owner, kind, there.metric, [variant] if variant is not None else [])
    return _answer(call, kind, there, call.store.samples.at(of_metric, there.iteration))


def _answer(call: Call, kind: str, place: _Place, events: list[Event]) -> Data:
    variants = [place.variant] if place.variant is not None else []
    first, last = call.store.samples.span(Subject(call.data["task"], kind, place.metric, variants))
    shown: dict[str, Any] = {"events": events} if kind == PLOT else {"event": events[0] if events else None}
    return {**shown, "min_iteration": first, "max_iteration": last, "scroll_id": place.scroll_id}


_AT = {
    "task": required(STR),
    "metric": required(STR),
    "iteration": INT,
    "refresh": BOOL,
    "scroll_id": STR,
    "navigate_current_metric": BOOL,
}
_BESIDE = {"task": required(STR), "scroll_id": required(STR), "navigate_earlier": BOOL, "next_iteration": BOOL}


@service.endpoint("get_debug_image_sample", "2.12", variant=required(STR), **_AT)
def get_debug_image_sample(call: Call) -> Data:
    """An image of a metric and variant."""
    return _sample(call, IMAGE)


@service.endpoint("next_debug_image_sample", "2.12", **_BESIDE)
def next_debug_image_sample(call: Call) -> Data:
    """The image beside the one shown last."""
    return _next_sample(call, IMAGE)


@service.endpoint("get_plot_sample", "2.20", **_AT)
def get_plot_sample(call: Call) -> Data:
    """The plots of a metric."""
    return _sample(call, PLOT)


@service.endpoint("next_plot_sample", "2.20", **_BESIDE)
def next_plot_sample(call: Call) -> Data:
    """The plots beside those shown last."""
    return _next_sample(call, PLOT)
