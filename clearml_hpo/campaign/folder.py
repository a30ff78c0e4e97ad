"""What stays of a campaign: a page and a text, and as files also its figures, submissions and logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import CampaignTask
from clearml_hpo.campaign.report import CampaignReport, CampaignState, render_report, report_of
from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.notes import Note, note_of
from clearml_hpo.report import StudySummary, summary_page
from clearml_hpo.studies.folder import fetch_submissions, plain_name, score_stem, write_logs
from clearml_hpo.studies.study import Study

_COLUMNS = 100
_SCORES = "scores/"
_KINDS = {
    ".html": "text/html",
    ".txt": "text/plain",
    ".json": "application/json",
    ".csv": "text/csv",
    ".zip": "application/zip",
}


def texts_of(api: Api, state: CampaignState) -> Mapping[str, Callable[[], str]]:
    """What makes ``summary.html``, ``report.txt`` and ``report.json``; a call or two for each study."""
    return {
        "summary.html": lambda: summary_page(state.record.name, _summaries(api, state)),
        "report.txt": lambda: as_text(report_of(state)),
        "report.json": lambda: json.dumps(report_of(state).as_dict(), indent=2) + "\n",
    }


def as_text(report: CampaignReport) -> str:
    """The report as a terminal of 100 columns shows it."""
    console = Console(file=StringIO(), width=_COLUMNS, force_jupyter=False)
    console.print(render_report(report))
    written = console.file
    assert isinstance(written, StringIO)
    return written.getvalue()


def leave_on(
    api: Api,
    task: CampaignTask,
    state: CampaignState,
    *,
    logs: bool = True,
    on_note: Callable[[str], None] = print,
    on_step: Callable[[], object] = lambda: None,
) -> list[str]:
    """Makes them, the best submissions, and ``logs.zip``, artifacts of the campaign's task.

    Args:
        logs: whether the console of each attempt is fetched, a call or more for each.
        on_note: hears of what takes long.
        on_step: called now and then, as all of it may take minutes.

    Returns:
        Messages on what could not be made, fetched or uploaded.

    Raises:
        ApiError: the server is in trouble.
    """
    missing: list[str] = []
    effort = BestEffort(missing.append)
    for name, make in texts_of(api, state).items():
        kind = _KINDS[Path(name).suffix]
        effort.attempt(f"{name} is missing", partial(_upload, task, name, make, kind))
        on_step()
    with TemporaryDirectory() as folder:
        files, unread = _fetch_scores(api, state, Path(folder))
        missing += unread
        names = {f"{_SCORES}{file.name}": file for file in files}
        for name, file in names.items():
            kind = _KINDS.get(file.suffix, "application/octet-stream")
            effort.attempt(f"{name} is missing", partial(task.upload_file, name, file, kind))
            on_step()
    task.drop_artifacts(_SCORES, but=names)  # of earlier ends of the campaign
    if logs:
        with TemporaryDirectory() as folder:
            missing += _write_logs(api, state, Path(folder, "logs"), on_note, on_step)
            packed = Path(shutil.make_archive(f"{folder}/logs", "zip", folder, "logs"))
            kind = _KINDS[packed.suffix]
            effort.attempt(f"{packed.name} is missing", partial(task.upload_file, packed.name, packed, kind))
    return missing


def _upload(task: CampaignTask, name: str, make: Callable[[], str], kind: str) -> None:
    task.upload_artifact(name, make(), name, kind)


def write_folder(
    api: Api, state: CampaignState, folder: Path, *, logs: bool = True, on_note: Callable[[str], None] = print
) -> int:
    """Writes all of a campaign into a folder, which is made; returns how many submissions were there.

    The logs of a study's trials are in ``logs/<study>/``.

    Args:
        logs: whether the console of each attempt is fetched.
        on_note: hears of what takes long, and of what is missing.

    Raises:
        InputError: the folder cannot be written.
        ApiError: the server is in trouble.
    """
    missing: list[str] = []
    effort = BestEffort(missing.append)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in texts_of(api, state).items():
            text = effort.attempt(f"{name} is missing", make)
            if text is not None:
                (folder / name).write_text(text, encoding="utf-8")
        scores, unread = _fetch_scores(api, state, folder / _SCORES)
        missing += unread
        missing += _write_logs(api, state, folder / "logs", on_note) if logs else []
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    for message in missing:
        on_note(Note(message, level="warning", campaign=state.record.campaign_id))
    return len(scores)


def _write_logs(
    api: Api,
    state: CampaignState,
    folder: Path,
    on_note: Callable[[str], None],
    on_step: Callable[[], object] = lambda: None,
) -> list[str]:
    """The logs of each study's trials, in a folder of its own; messages on those that could not be fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    folders = _distinct({name: name for name in state.studies})
    for name, record in state.studies.items():
        _, unread = write_logs(api, Study(api, record), folder / folders[name], _of(name, on_note), on_step)
        missing += [f"{name}: {message}" for message in unread]
    return missing


def _of(name: str, on_note: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: on_note(note_of(name, text))


def _fetch_scores(api: Api, state: CampaignState, folder: Path) -> tuple[list[Path], list[str]]:
    """The best submission of each study that has some, and messages on those that could not be fetched.

    One that was the best of its study in an earlier report goes.
    """
    files: list[Path] = []
    missing: list[str] = []
    names = _distinct({member.name: f"{member.dataset}-{member.model}" for member in state.file.members})
    for member in state.file.members:
        if member.name in state.trials:
            name, trials, goal = names[member.name], state.trials[member.name].settled, member.file.goal
            fetched, unread = fetch_submissions(api, name, trials, goal, folder, top=1)
            for old in folder.glob(f"{score_stem(name, goal)}*") if fetched else ():
                if old not in fetched:
                    old.unlink()
            files, missing = files + fetched, missing + [f"{member.name}: {message}" for message in unread]
    return files, missing


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """As parts of files' names, by key; of those that are alike as such the later ones get a number."""
    found: dict[str, str] = {}
    taken: set[str] = set()  # as file systems see them that know no case
    for key, name in names.items():
        plain = plain_name(name)
        free = (each for each in chain([plain], (f"{plain}-{n}" for n in count(2))) if each.casefold() not in taken)
        found[key] = next(free)
        taken.add(found[key].casefold())
    return found


def _summaries(api: Api, state: CampaignState) -> list[StudySummary]:
    """Those of the studies that were opened; studies of one data set are compared."""
    datasets = {member.name: member.dataset for member in state.file.members}
    return [replace(Study(api, record).summary(), group=datasets[name]) for name, record in state.studies.items()]
