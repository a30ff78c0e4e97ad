"""A study as text: JSON, CSV or YAML, or a table for a notebook."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import as_text
from clearml_hpo.report import study_result
from clearml_hpo.studies.rows import to_csv
from clearml_hpo.study_file import dump_params

if TYPE_CHECKING:
    from clearml_hpo.studies.study import Study

_FORMATS = ("json", "csv", "yaml")


def export(study: Study, target: str | Path) -> str:
    """All trials as text; written to ``target`` too unless that is one of the formats.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    kind = target if target in _FORMATS else Path(target).suffix.lower().removeprefix(".").replace("yml", "yaml")
    if kind == "csv":
        text = to_csv(study.rows(), study.columns)
    elif kind == "json":
        text = json.dumps(_result(study), indent=2) + "\n"
    elif kind == "yaml":
        text = dump_params(_result(study))
    else:
        endings = ", ".join(f".{kind}" for kind in _FORMATS)
        raise InputError(f"{target}: no such format; the file's name must end in one of: {endings}")
    if target not in _FORMATS:
        try:
            Path(target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror}") from None
    return text


def _result(study: Study) -> dict[str, Any]:
    return study_result(
        study=study.name,
        study_id=study.study_id,
        goal=study.goal,
        trials=study.trials,
        earlier=study.earlier_attempts,
        status=study.record.status,
        reason=study.record.reason,
        api_calls={},
        wall_s=study.driven_s,
    )


def html_of(study: Study) -> str:
    """A table with the study's status, counts and best trial."""
    facts = {
        "status": study.record.status,
        "objective": str(study.goal),
        "trials": ", ".join(f"{count} {state.value}" for state, count in study.counts.items()) or "none",
    }
    best = study.best
    if best is not None:
        values = zip(study.goal.objectives, best.values, strict=True)
        facts[f"best: trial {best.number}"] = ", ".join(f"{o.metric} = {value:.6g}" for o, value in values)
        facts |= {name: as_text(value) for name, value in best.params.items()}
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    link = f'<a href="{html.escape(study.url)}">{html.escape(study.name)}</a>'
    return f"<table><caption>{link}</caption>{cells}</table>"
