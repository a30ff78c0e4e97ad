"""``events.*``: plots and images by iteration, and the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, INT, OBJECTS, STR, required
from clearml_hpo.server.services.event_fields import bounded, flag, owner_name, owner_names, wrong
from clearml_hpo.server.store.events import IMAGE, PLOT
from clearml_hpo.server.store.samples import Event, Subject

service = Service("events")


# --- pages of iterations ----------------------------------------------------------------------------------------------

_Page = tuple[int, int]  # the latest and the earliest of the iterations shown last


def _pages(action: str, version: str, kind: str) -> None:
    @service.endpoint(
        action,
        version,
        **{"metrics": required(OBJECTS), "iters": INT, "scroll_id": STR, "refresh": BOOL, "navigate_earlier": BOOL},
        model_events=BOOL,
    )
    def pages(call: Call) -> Data:
        """The latest iterations of some tasks, and on with ``scroll_id`` to earlier ones, or back.

        Who is at an end and goes on stays there; an id of no scroll begins at the latest ones.
        """
        iters, scroll_id = bounded(call, "iters", 1, 1), call.get("scroll_id")
        subjects = [_subject(kind, wanted) for wanted in call.data["metrics"]]
        owner_names(call, [subject.owner for subject in subjects], field="metrics")
        known: dict[Subject, _Page] = call.store.samples.places.of(scroll_id)
        # An id of another kind of scroll has another kind of place.
        pages = dict(known) if isinstance(known, dict) and not call.get("refresh") else {}
        metrics = []
        for subject in subjects:
            found = _turned(call, subject, pages.get(subject), iters)
            if found:
                pages[subject] = (found[0], found[-1])
            shown = [{"iter": each, "events": call.store.samples.at(subject, each)} for each in found]
            metrics.append({"task": subject.owner, "iterations": shown})
        return {"metrics": metrics, "scroll_id": call.store.samples.places.keep(scroll_id, pages)}


def _turned(call: Call, subject: Subject, page: _Page | None, iters: int) -> list[int]:
    """The iterations of the next page, or of the first one."""
    if page is None:
        return call.store.samples.iterations(subject, iters)
    if flag(call, "navigate_earlier", True):
        return call.store.samples.iterations(subject, iters, below=page[1])
    return call.store.samples.iterations(subject, iters, above=page[0])


def _subject(kind: str, wanted: Data) -> Subject:
    task, metric, variants = wanted.get("task"), wanted.get("metric"), wanted.get("variants")
    if not isinstance(task, str):
        raise wrong("metrics.task", "field is required, and a text")
    if not isinstance(metric, str | None):
        raise wrong("metrics.metric", f"a text, not {metric!r:.100}")
    if not isinstance(variants, list | None) or not all(isinstance(each, str) for each in variants or []):
        raise wrong("metrics.variants", f"a list of texts, not {variants!r:.100}")
    return Subject(task, kind, metric, tuple(variants or ()))


_pages("debug_images", "2.7", IMAGE)
_pages("plots", "2.20", PLOT)


# --- from sample to sample --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """The sample that was shown last."""

    kind: str
    metric: str
    variant: str | None
    iteration: int
    is_bound: bool


def _sample(call: Call, kind: str, variant: str | None = None) -> Data:
    """The last sample of a metric (and variant) up to an iteration."""
    owner_name(call)
    subject = Subject(call.data["task"], kind, call.data["metric"], () if variant is None else (variant,))
    wanted = call.get("iteration")
    iteration = call.store.samples.last(subject, None if wanted is None else int(wanted))
    events = call.store.samples.at(subject, iteration) if iteration is not None else []
    is_bound = flag(call, "navigate_current_metric", True)
    place = _Place(kind, call.data["metric"], variant, iteration or 0, is_bound)
    return _answer(call, place, events)


def _next_sample(call: Call, kind: str) -> Data:
    """The sample beside that of the scroll: of the next variant or metric, else of the next iteration."""
    owner_name(call)
    place, earlier = call.store.samples.places.of(call.get("scroll_id")), flag(call, "navigate_earlier", True)
    if not isinstance(place, _Place) or place.kind != kind:
        raise ApiRefusal(Refusal.INVALID_SCROLL_ID, scroll_id=call.data.get("scroll_id"))
    subject = Subject(call.data["task"], kind, place.metric if place.is_bound else None)
    same = replace(subject, metric=place.metric, variants=() if place.variant is None else (place.variant,))
    if call.get("next_iteration"):
        found = call.store.samples.beside(same, ["iter"], [place.iteration], earlier=earlier)
    elif place.variant is None:
        found = call.store.samples.beside(subject, ["iter", "metric"], [place.iteration, place.metric], earlier=earlier)
    else:
        keys = [place.iteration, place.metric, place.variant]
        found = call.store.samples.beside(subject, ["iter", "metric", "variant"], keys, earlier=earlier)
    if found is None:
        return _answer(call, place, [])
    variant = None if place.variant is None else found["variant"]
    there = replace(place, metric=found["metric"], variant=variant, iteration=found["iter"])
    of_metric = Subject(subject.owner, kind, there.metric, () if variant is None else (variant,))
    return _answer(call, there, call.store.samples.at(of_metric, there.iteration))


def _answer(call: Call, place: _Place, events: list[Event]) -> Data:
    variants = () if place.variant is None else (place.variant,)
    first, last = call.store.samples.span(Subject(call.data["task"], place.kind, place.metric, variants))
    shown: dict[str, Any] = {"events": events} if place.kind == PLOT else {"event": events[0] if events else None}
    scroll_id = call.store.samples.places.keep(call.get("scroll_id"), place)
    return {**shown, "min_iteration": first, "max_iteration": last, "scroll_id": scroll_id}


_AT = {
    "task": required(STR),
    "metric": required(STR),
    "iteration": INT,
    "refresh": BOOL,
    "scroll_id": STR,
    "navigate_current_metric": BOOL,
    "model_events": BOOL,
}
_BESIDE = {
    "task": required(STR),
    "scroll_id": STR,
    "navigate_earlier": BOOL,
    "next_iteration": BOOL,
    "model_events": BOOL,
}


@service.endpoint("get_debug_image_sample", "2.12", variant=required(STR), **_AT)
def get_debug_image_sample(call: Call) -> Data:
    """An image of a metric and variant."""
    return _sample(call, IMAGE, call.data["variant"])


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
