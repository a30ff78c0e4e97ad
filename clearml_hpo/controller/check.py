"""Checks a study file against its template, without running anything."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import dataclass, field

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.hyperparameters import CONFIG_SECTION
from clearml_hpo.backend.names import find_project, find_queues
from clearml_hpo.backend.template import faults_of_objectives, faults_of_space, reported_metrics
from clearml_hpo.controller.advice import remarks
from clearml_hpo.controller.first_points import faults_of_first_points
from clearml_hpo.controller.opening import has_constants
from clearml_hpo.controller.policy import agent_queues
from clearml_hpo.controller.registration import find_template
from clearml_hpo.controller.warm_start import known_before
from clearml_hpo.core.errors import Fault, nearest
from clearml_hpo.core.values import DEFAULT_SECTION
from clearml_hpo.scripts.code import Code, collect
from clearml_hpo.search.mirror import check_reachable
from clearml_hpo.study_file import StudyFile

_MOST_READ = 2**20  # bytes of a configuration file


@dataclass
class Findings:
    """What a check found.

    Attributes:
        faults: why the study would fail, a line each.
        remarks: what was checked, and what could not be.
    """

    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_study(file: StudyFile, api: Api | None, *, check_queue: bool = True) -> Findings:
    """Checks parameters and metric against the template on the server.

    A script that no study has run yet is on no server; then only its text can be looked at. ``api`` is None if
    there is no server; ``check_queue`` is False where a run makes its queue itself.

    Raises:
        InputError: the server has no such queue, template or trials to start from; the storage cannot be reached.
    """
    findings = Findings()
    if file.spec.storage is not None:
        check_reachable(file.spec.storage)
    if api is not None:
        if check_queue:
            find_queues(api, agent_queues(file))
        known_before(file, api, findings.remarks.append)
    project_id = find_project(api, file.spec.project) if api is not None else None
    for model in file.space.used_models:
        _check_template(file, model, api, project_id, findings)
    return findings


def _check_template(file: StudyFile, model: str, api: Api | None, project_id: str | None, findings: Findings) -> None:
    given = file.spec.template.by_model[model]
    template = find_template(api, given, project_id) if api is not None else None
    of = f"{model}: " if model else ""
    if template is not None and template.is_registered:
        metrics = reported_metrics(api, template) if api else frozenset()
        faults = faults_of_space(template, file.space, model)
        findings.faults += faults or faults_of_first_points(file, {model: template})
        missing = faults_of_objectives(metrics, file.goal, model) if metrics else []
        findings.faults += [] if has_constants(file) else missing
        unknown = "whether it reports the objective is not known yet"
        known = f"{len(metrics)} metrics" if metrics and not missing else unknown
        findings.remarks.append(
            f"{of}template {template.name!r} ({template.task_id}): {len(template.params)} parameters, {known}"
        )
    elif given.entry is not None:
        code = collect(given.entry)
        findings.remarks.append(f"{of}the script was not run yet: parameters and metrics are known after its first run")
        findings.remarks += remarks(code)
        findings.faults += faults_of_text(file, code, model)
    elif template is None:
        findings.remarks.append(f"{of}no server: the template was not looked up")
    else:
        findings.remarks.append(
            f"{of}the template {template.name!r} has no hyperparameters yet: its first run shows them"
        )


def faults_of_text(file: StudyFile, code: Code, model: str = "") -> list[Fault]:
    """Parameters of the space, and the metric, that a template's script and its files have no word for."""
    words = _words_of(code)
    if not words:  # an installed module
        return []
    script = str(code.entry)
    faults = []
    for name, own in file.space.names_in(model).items():
        inner = own.partition("/")[2]
        bare = inner.rpartition("/")[2]
        if own.startswith((CONFIG_SECTION, "Hydra/")):
            bare = bare.rpartition(".")[2]
        if bare not in words and inner not in words:
            meant = f"; did you mean {DEFAULT_SECTION}/{own}?" if own in words else nearest(bare, words)
            text = f"nothing in {script} is called {bare!r}{meant}"
            faults.append(Fault(("search_space", name), text))
    # Where the script does not report scalars itself, a framework does it for it, under names of its own.
    for objective in file.goal.objectives if "report_scalar" in words else ():
        for word in (objective.title, objective.series):
            if word not in words:
                text = f"{objective.metric!r}: nothing in {script} is called {word!r}{nearest(word, words)}"
                faults.append(Fault(("objective", "metric"), text))
    return faults


def _words_of(code: Code) -> set[str]:
    """The words of a script's sources, and of its configuration files."""
    words: set[str] = set()
    for name, content in code.files.items():
        if not name.endswith(".py"):
            words |= (
                set(re.findall(r"[\w.-]+", content.decode(errors="replace"))) if len(content) <= _MOST_READ else set()
            )
            continue
        with suppress(SyntaxError, ValueError, RecursionError):
            words |= _words(ast.parse(content))
    return words


def _words(tree: ast.Module) -> set[str]:
    """Names and texts of a Python source; options such as ``--learning-rate`` count as ``learning_rate`` too."""
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= {node.value, node.value.lstrip("-").replace("-", "_")}
        elif isinstance(node, ast.Constant):
            words.add(str(node.value))
        elif isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, (ast.keyword, ast.arg)) and node.arg:
            words.add(node.arg)
    return words
