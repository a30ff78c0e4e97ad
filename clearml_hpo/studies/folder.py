"""What stays of a study as files: summary, trials, best parameters, submissions, logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.outputs import artifact_addresses, console_log
from clearml_hpo.backend.storage import fetch
from clearml_hpo.core.errors import ApiError, InputError, ServerError, is_trouble
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Note
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial
from clearml_hpo.report import best_yaml, summary_page, summary_text
from clearml_hpo.studies.study import Study

SUBMISSION = "submission"
"""Name of the artifact that a trial's predictions for test data are."""

_PACKED = (".gz", ".bz2", ".xz", ".zip")
_PLAIN_ENDING = re.compile(r"(\.\w{1,20}){0,2}")


@dataclass(frozen=True)
class Written:
    """The files that were written, and what could not be fetched, as messages."""

    files: tuple[Path, ...]
    missing: tuple[str, ...]


def write_folder(
    api: Api, study: Study, folder: Path, *, top: int = 10, logs: bool = True, on_note: Callable[[str], None] = print
) -> Written:
    """Writes all of a study into a folder, which is made; files of the same names are replaced.

    Args:
        top: so many of the best trials are listed, and have their submissions fetched.
        logs: whether the console of each attempt is fetched.
        on_note: hears of what takes long, and of what is missing.

    Raises:
        InputError: the folder cannot be written.
        ApiError: the server is in trouble.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _write_summary(study, folder, top)
        scores, missing = fetch_submissions(api, study.name, study.trials, study.goal, folder / "scores", top)
        files += scores
        if logs:
            fetched, unread = write_logs(api, study, folder / "logs", on_note)
            files, missing = files + fetched, missing + unread
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    for message in missing:
        on_note(Note(message, level="warning", study=study.name))
    return Written(tuple(files), tuple(missing))


def fetch_submissions(
    api: Api, name: str, trials: Sequence[Trial], goal: Goal, folder: Path, top: int
) -> tuple[list[Path], list[str]]:
    """Fetches the artifact ``submission`` of the ``top`` best trials that have one, each as ``name-metric-value.csv``.

    Returns:
        The files, the best first, and messages on those that could not be fetched.
    """
    completed = [trial for trial in ranking(trials, goal) if trial.final_values is not None]
    addresses = artifact_addresses(api, [trial.task_id for trial in completed], SUBMISSION)
    files: list[Path] = []
    missing: list[str] = []
    for trial in [trial for trial in completed if trial.task_id in addresses][:top]:
        address, end = addresses[trial.task_id], _ending(addresses[trial.task_id])
        path = folder / score_name(name, goal, trial, address)
        if path in files:  # another trial has the very value
            path = path.with_name(f"{path.name.removesuffix(end)}-trial-{trial.number:04d}{end}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fetch(api, address, path)
            files.append(path)
        except ServerError as error:
            missing.append(f"submission of trial {trial.number}: {error}")
    return files, missing


def score_name(name: str, goal: Goal, trial: Trial, address: str) -> str:
    """``credit-catboost-validation_auc-0.87431.csv``: where a submission is from, and what it is worth."""
    return f"{score_stem(name, goal)}{trial.value:.6g}{_ending(address)}"


def score_stem(name: str, goal: Goal) -> str:
    """What the files' names of all submissions of a study begin with."""
    return f"{plain_name(name)}-{plain_name(goal.objectives[0].metric)}-"


def plain_name(text: str) -> str:
    """The text as part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "study"


def _ending(address: str) -> str:
    try:
        suffixes = PurePosixPath(urlparse(address).path).suffixes
    except ValueError:  # it is no address, and is refused where it is fetched
        return ""
    ending = "".join(suffixes[-2:] if suffixes and suffixes[-1] in _PACKED else suffixes[-1:])
    return ending if _PLAIN_ENDING.fullmatch(ending) else ""


def _write_summary(study: Study, folder: Path, top: int) -> list[Path]:
    summary = study.summary()
    texts = {
        "summary.html": summary_page(study.name, [summary], top=top),
        "summary.txt": summary_text(study.name, [summary], top),
        "trials.csv": study.export("csv"),
        **({"best.yaml": best_yaml(study.best, study.goal)} if study.best is not None else {}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def write_logs(
    api: Api,
    study: Study,
    folder: Path,
    on_note: Callable[[str], None],
    on_step: Callable[[], object] = lambda: None,
) -> tuple[list[Path], list[str]]:
    """One file for each attempt that has run: ``trial-0007.log``, ``trial-0007-attempt-2.log``.

    ``on_step`` is called after each.
    """
    ran = [trial for trial in (*study.earlier_attempts, *study.trials) if trial.started_at is not None]
    if ran:
        folder.mkdir(parents=True, exist_ok=True)
        on_note(f"fetching {len(ran)} logs")
    files: list[Path] = []
    missing: list[str] = []
    for trial in ran:
        attempt = f"-attempt-{trial.attempt}" * (trial.attempt > 1)
        path = folder / f"trial-{trial.number:04d}{attempt}.log"
        try:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in console_log(api, trial.task_id))
            files.append(path)
        except ApiError as error:
            if is_trouble(error):
                raise
            path.unlink()
            missing.append(f"log of trial {trial.number}: {error}")
        on_step()
    return files, missing
