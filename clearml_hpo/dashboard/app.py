"""The dashboard as an ASGI application: what it answers, to whom, with which headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.trial_tasks import log_tail
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import as_text
from clearml_hpo.dashboard import launching, orders, plots, render, studies
from clearml_hpo.dashboard.access import Access, Gate
from clearml_hpo.dashboard.changes import Changes
from clearml_hpo.dashboard.orders import Form
from clearml_hpo.dashboard.outside import Outside
from clearml_hpo.dashboard.reading import REFRESH_S, Readers, StudyReader
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.dashboard.site import Site, json_answer
from clearml_hpo.report.figures.plot import short_names
from clearml_hpo.search.space import Categorical, SearchSpace
from clearml_hpo.studies.rows import to_csv
from clearml_hpo.studies.study import Study

_LINES = 200  # of a console


class Dashboard:
    """The studies of the configured ClearML server, in a browser."""

    def __init__(self, access: Gate | None = None, outside: Outside | None = None) -> None:
        """Nothing is read yet.

        Args:
            access: decides who may come in, and see what; default: the user of this process, and who has the link.
            outside: who hands out trials; then the pages show them, and launch no studies.
        """
        self.access = access or Access()
        self._site = Site(self.access)
        self._outside = outside
        self._readers = Readers()
        self._plots: dict[str, plots.PlotCache] = {}
        self._texts: dict[str, Changes] = {}
        every = self._site.route("/{other:path}", _nothing)
        self._app: ASGIApp = GZipMiddleware(Starlette(routes=[*self.routes(), every]), minimum_size=1024)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._app(scope, receive, send)

    def routes(self) -> list[Route]:
        """All pages and what their scripts ask for, for an application that has others too."""
        route, form_route = self._site.route, self._site.form_route
        common = [
            route("/", self._list),
            route("/studies", self._list),
            route("/studies/{study}", self._study),
            route("/studies/{study}/changes", self._changes),
            route("/studies/{study}/figures/{figure}", self._figure),
            route("/studies/{study}/compared", self._compared),
            route("/studies/{study}/trials.csv", self._csv),
            route("/studies/{study}/trials/{number}/log", self._log),
            route("/studies/{study}/notes", self._notes),
            route("/studies/{study}/line", self._line),
            form_route("/studies/{study}/orders/{order}", self._obey),
            route("/static/{file}", self._file),
        ]
        if self._outside is not None:
            return [
                *common,
                route("/studies/{study}/outside", self._running_outside),
                form_route("/studies/{study}/outside/{wire}/failed", self._declare_failed),
            ]
        return [
            *common,
            route("/studies/{study}/launch", self._launch_page),
            form_route("/check", self._check),
            form_route("/launch", self._launch),
        ]

    # --- pages -------------------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Response:
        query = request.query_params
        chosen = studies.Filter(*(query.get(name, "").strip() for name in ("text", "project", "state")))
        found, campaigns = self._readers.studies()
        found = self.access.visible(request, found)
        return self._site.page(
            request,
            "studies.html",
            studies=studies.listed(chosen.chosen(found), campaigns, self._readers.now()),
            filter=chosen,
            total=len(found),
            projects=sorted({study.project for study in found}),
            states=sorted({study.status for study in found}),
        )

    def _study(self, request: Request) -> Response:
        """Comes at once: its script asks for the trials, which may take seconds to read."""
        reader = self._reader(request)
        study = reader.study
        if request.path_params["study"] != study.study_id:
            return RedirectResponse(f"/studies/{study.study_id}", 303)
        parameters = _parameters(study.file.space)
        return self._site.page(
            request,
            "study.html",
            is_outside=self._outside is not None,
            study=study.record,
            parameters=parameters,
            plots=plots.plots_of(study.goal, study.file.space),
            data={
                "study": study.study_id,
                "url": study.record.url_of("{task}"),
                "every": REFRESH_S,
                "objectives": [{"metric": o.metric, "direction": o.direction} for o in study.goal.objectives],
                "watched": getattr(study.goal.pruning_objective, "metric", ""),
                "parameters": parameters,
                "most_compared": plots.MOST_COMPARED,
            },
        )

    def _launch_page(self, request: Request) -> Response:
        study = Study.load(self._reader(request).study.study_id)  # its file may have changed since it was read
        queues = launching.queues(Api())
        return self._site.page(request, "launch.html", study=study.record, text=launching.text_of(study), queues=queues)

    # --- what the pages' scripts ask for -----------------------------------------------------------------------------

    def _changes(self, request: Request) -> Response:
        reader = self._reader(request)
        since = request.query_params.get("since", "0")
        texts = self._texts.setdefault(reader.study.study_id, Changes())
        text = texts.text(reader, int(since) if orders.is_number(since) else 0)
        return Response(text, media_type="application/json")

    def _figure(self, request: Request) -> Response:
        reader = self._reader(request)
        seen = reader.seen()
        cache = self._plots.setdefault(reader.study.study_id, plots.PlotCache())
        query = request.query_params
        text = cache.figure(request.path_params["figure"], seen, (query.get("x", ""), query.get("y", "")))
        return Response(text, media_type="application/json")

    def _compared(self, request: Request) -> Response:
        seen, query = self._reader(request).seen(), request.query_params
        return json_answer(
            plots.compared(Api(), seen, orders.numbers(query.get("trials", "")), query.get("metric", ""))
        )

    def _line(self, request: Request) -> Response:
        seen = self._reader(request).seen(stays=False)
        best, line = studies.best_text(seen), studies.sparkline(seen)
        return json_answer({"best": best, "line": line, "progress": studies.progress_text(seen), **_counts(seen)})

    def _csv(self, request: Request) -> Response:
        reader = self._reader(request)
        with reader.lock:
            study = reader.study.refresh()
            text = to_csv(study.rows(attempts=True), study.columns)
        name = "".join(letter if letter.isalnum() else "-" for letter in study.name.encode("ascii", "replace").decode())
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response(text, media_type="text/csv", headers=headers)

    def _log(self, request: Request) -> Response:
        reader = self._reader(request)
        number = _number(request.path_params["number"])
        task = next((trial.task_id for trial in reader.seen().trials if trial.number == number), None)
        if task is None:
            raise InputError(f"there is no trial {number}")
        return Response(log_tail(Api(), task, _LINES), media_type="text/plain")

    def _notes(self, request: Request) -> Response:
        reader = self._reader(request)
        return Response(log_tail(Api(), reader.study.study_id, _LINES), media_type="text/plain")

    def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        try:
            found, kind = render.ASSETS.content(name)
        except (OSError, ImportError):  # ImportError: plotly is not installed
            raise InputError(f"there is no file {name!r:.60}") from None
        return Response(found, media_type=kind, headers=render.ASSETS.headers)

    def _check(self, request: Request, form: Form) -> Response:
        return json_answer(launching.check(Api(), form))

    def _launch(self, request: Request, form: Form) -> Response:
        launched = launching.launch(Api(), form)
        self._readers.list_anew()
        return json_answer(launched, 400 if "faults" in launched else 200)

    def _obey(self, request: Request, form: Form) -> Response:
        reader, order = self._reader(request), request.path_params["order"]
        self.access.check_order(request, reader.study.record)
        with reader.lock:
            told = orders.obey(reader.study, order, form)
        if order == "delete":
            self._readers.forget(reader.study.study_id)
            self._plots.pop(reader.study.study_id, None)
            self._texts.pop(reader.study.study_id, None)
            return json_answer({"told": told, "to": "/"})
        reader.read_now()
        return json_answer({"told": told})

    def _running_outside(self, request: Request) -> Response:
        assert self._outside is not None
        study = self._reader(request).study
        return json_answer({"trials": [vars(each) for each in self._outside.running(request, study.study_id)]})

    def _declare_failed(self, request: Request, form: Form) -> Response:
        assert self._outside is not None
        study = self._reader(request).study
        wire = _number(request.path_params["wire"])
        self.access.check_order(request, study.record)
        self._outside.declare_failed(request, study.study_id, wire)
        return json_answer({"told": "Declared failed; its worker hears of it when it reports next."})

    def _reader(self, request: Request) -> StudyReader:
        """The reader of the study that a path names, if the visitor may see it. Raises InputError."""
        name = request.path_params["study"]
        reader = self._readers.known(name)
        if self.access.is_strict:
            listed = (
                [reader.study.record]
                if reader
                else [each for each in self._readers.studies()[0] if each.study_id == name]
            )
            if not self.access.visible(request, listed):
                raise InputError(f"there is no study {name!r:.60}")
        return reader or self._readers.reader(name)


def _number(text: str) -> int:
    """A number of a path. Raises InputError."""
    if not orders.is_number(text):
        raise InputError(f"there is no trial {text!r:.40}")
    return int(text)


def _nothing(request: Request) -> Response:
    raise InputError(f"there is no page {request.url.path!r:.80}")


def _parameters(space: SearchSpace) -> list[Mapping[str, Any]]:
    """Names, short names and ranges of the parameters, for tables, axes and forms."""
    names = short_names([*space.distributions])
    found: list[Mapping[str, Any]] = []
    for name, distribution in space.distributions.items():
        choices = [as_text(choice) for choice in distribution.choices] if isinstance(distribution, Categorical) else []
        limits = [] if choices else [getattr(distribution, "low", None), getattr(distribution, "high", None)]
        is_log = bool(getattr(distribution, "log", False))
        found.append({"name": name, "short": names[name], "choices": choices, "limits": limits, "log": is_log})
    return found


def _counts(seen: Seen) -> Mapping[str, Any]:
    counts: dict[str, int] = {}
    for trial in seen.trials:
        counts[trial.state.value] = counts.get(trial.state.value, 0) + 1
    return {"counts": counts}
