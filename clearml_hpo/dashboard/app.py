"""The dashboard as an ASGI application: what it answers, to whom, with which headers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.trial_tasks import log_tail
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.core.values import as_text
from clearml_hpo.dashboard import launching, orders, plots, render, studies
from clearml_hpo.dashboard.access import Access
from clearml_hpo.dashboard.changes import Changes, to_json
from clearml_hpo.dashboard.orders import Form
from clearml_hpo.dashboard.reading import REFRESH_S, Readers, StudyReader
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.report.figures.plot import short_names
from clearml_hpo.search.space import Categorical, SearchSpace
from clearml_hpo.studies.rows import to_csv
from clearml_hpo.studies.study import Study

_LARGEST_FORM = 2**20
_LINES = 200  # of a console
_LOG = logging.getLogger(__name__)
# Plotly sets styles as it draws; there is no other way for it. Nothing comes from, or goes to, anywhere else.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_Answer = Callable[[Request], Response]


class Dashboard:
    """The studies of the configured ClearML server, in a browser."""

    def __init__(self, access: Access | None = None) -> None:
        """``access`` decides who may come in; default: the user of this process, and who has the link."""
        self.access = access or Access()
        self._readers = Readers()
        self._plots: dict[str, plots.PlotCache] = {}
        self._texts: dict[str, Changes] = {}
        self._app: ASGIApp = GZipMiddleware(
            Starlette(
                routes=[
                    self._route("/", self._list),
                    self._route("/studies/{study}", self._study),
                    self._route("/studies/{study}/changes", self._changes),
                    self._route("/studies/{study}/figures/{figure}", self._figure),
                    self._route("/studies/{study}/compared", self._compared),
                    self._route("/studies/{study}/trials.csv", self._csv),
                    self._route("/studies/{study}/trials/{number:int}/log", self._log),
                    self._route("/studies/{study}/notes", self._notes),
                    self._route("/studies/{study}/line", self._line),
                    self._form_route("/studies/{study}/orders/{order}", self._obey),
                    self._route("/studies/{study}/launch", self._launch_page),
                    self._form_route("/check", self._check),
                    self._form_route("/launch", self._launch),
                    self._route("/static/{file}", self._file),
                    self._route("/{other:path}", _nothing),
                ]
            ),
            minimum_size=1024,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._app(scope, receive, send)

    # --- what every answer has ---------------------------------------------------------------------------------------

    def _route(self, path: str, answer: _Answer) -> Route:
        async def answered(request: Request) -> Response:
            return await run_in_threadpool(self._guarded, request, answer)

        return Route(path, answered)

    def _form_route(self, path: str, answer: Callable[[Request, Form], Response]) -> Route:
        async def answered(request: Request) -> Response:
            length = request.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > _LARGEST_FORM:
                return _with_headers(_mistake(request, "The form is too large, or does not say how large it is.", 413))
            form = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
            return await run_in_threadpool(self._guarded, request, lambda request: answer(request, form))

        return Route(path, answered, methods=["POST"])

    def _guarded(self, request: Request, answer: _Answer) -> Response:
        try:
            refused = self.access.refuse(request)
        except InputError as error:
            return _with_headers(_mistake(request, str(error), 403))
        try:
            return _with_headers(refused or answer(request))
        except InputError as error:
            return _with_headers(_mistake(request, str(error), 404 if request.method == "GET" else 400))
        except ClearmlHpoError as error:
            return _with_headers(_mistake(request, f"The ClearML server is in trouble: {error}", 502))
        except KeyError as error:
            return _with_headers(_mistake(request, f"There is no {error.args[0]!r:.80} here.", 404))
        except Exception:
            _LOG.exception("%s failed", request.url.path)
            return _with_headers(_mistake(request, "This page failed; the log of the dashboard says why.", 500))

    # --- pages -------------------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Response:
        query = request.query_params
        chosen = studies.Filter(*(query.get(name, "").strip() for name in ("text", "project", "state")))
        found, campaigns = self._readers.studies()
        return render.page(
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
        return render.page(
            "study.html",
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
        return render.page("launch.html", study=study.record, text=launching.text_of(study), queues=queues)

    # --- what the pages' scripts ask for -----------------------------------------------------------------------------

    def _changes(self, request: Request) -> Response:
        reader = self._reader(request)
        since = request.query_params.get("since", "0")
        texts = self._texts.setdefault(reader.study.study_id, Changes())
        text = texts.text(reader, int(since) if since.isdecimal() else 0)
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
        return _json(plots.compared(Api(), seen, orders.numbers(query.get("trials", "")), query.get("metric", "")))

    def _line(self, request: Request) -> Response:
        seen = self._reader(request).seen(stays=False)
        best, line = studies.best_text(seen), studies.sparkline(seen)
        return _json({"best": best, "line": line, "progress": studies.progress_text(seen), **_counts(seen)})

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
        number = request.path_params["number"]
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
        return _json(launching.check(Api(), form))

    def _launch(self, request: Request, form: Form) -> Response:
        launched = launching.launch(Api(), form)
        self._readers.list_anew()
        return _json(launched, 400 if "faults" in launched else 200)

    def _obey(self, request: Request, form: Form) -> Response:
        reader, order = self._reader(request), request.path_params["order"]
        with reader.lock:
            told = orders.obey(reader.study, order, form)
        if order == "delete":
            self._readers.forget(reader.study.study_id)
            self._plots.pop(reader.study.study_id, None)
            self._texts.pop(reader.study.study_id, None)
            return _json({"told": told, "to": "/"})
        reader.read_now()
        return _json({"told": told})

    def _reader(self, request: Request) -> StudyReader:
        return self._readers.reader(request.path_params["study"])


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


def _mistake(request: Request, message: str, status: int) -> Response:
    """A page, or what a script takes."""
    if request.method == "POST" or "application/json" in request.headers.get("accept", ""):
        return _json({"told": message}, status)
    return render.page("mistake.html", status, message=message)


def _json(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def _with_headers(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers.setdefault("cache-control", "no-store")
    return answer
