"""Checks a study file against its template, without running anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass, field, replace

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.hyperparameters import CONFIG_SECTION
from clearml_hpo.backend.names import find_project, find_queues
from clearml_hpo.backend.template import (
    Template,
    completed_run,
    faults_of_objectives,
    faults_of_space,
    reported_metrics,
)
from clearml_hpo.controller.advice import read_code, remarks, what_to_connect
from clearml_hpo.controller.executors import dask_plan_of, module_of_dask
from clearml_hpo.controller.first_points import faults_of_first_points, good_points, said_of
from clearml_hpo.controller.opening import has_constants
from clearml_hpo.controller.policy import agent_queues, queues_of_executors
from clearml_hpo.controller.registration import find_template
from clearml_hpo.controller.warm_start import known_before, with_earlier_points
from clearml_hpo.core import syntax
from clearml_hpo.core.errors import Fault, nearest
from clearml_hpo.core.near_names import near_metric, near_parameter, other_spellings, same_scalars
from clearml_hpo.core.units import counted
from clearml_hpo.drafting.hydra import HYDRA
from clearml_hpo.executors.dask.plan import DASK
from clearml_hpo.notify import channels_of, described
from clearml_hpo.scripts.code import Code, collect
from clearml_hpo.search.mirror import check_reachable
from clearml_hpo.search.pruners import choose_pruner
from clearml_hpo.search.samplers import choose_sampler
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
        with file.at("storage"):
            check_reachable(file.spec.storage)
    has_values = False
    if api is not None:
        if check_queue:
            find_queues(api, agent_queues(file))
        has_values = bool(known_before(file, api, findings.remarks.append))
    if file.spec.execution.executor == DASK or DASK in queues_of_executors(file):
        findings.remarks += module_of_dask("outlook").remarks_on(dask_plan_of(file.spec.execution))
    if (notify := file.spec.notify) is not None:
        names = ", ".join(dict.fromkeys(channel.name for channel in channels_of(notify)))
        findings.remarks.append(
            f"notifications by {names}, of {described(notify.events)}; clearml-hpo notify test sends one"
        )
    findings.remarks += _choices(file)
    findings.remarks += filter(None, [file.remark_on_pruner])
    project_id = find_project(api, file.spec.project) if api is not None else None
    templates = {
        model: template
        for model in file.space.used_models
        if (template := _check_template(file, model, api, project_id, findings)) is not None
    }
    if api is not None and project_id is not None:
        ids = {model: template.task_id for model, template in templates.items()}
        with_earlier_points(file, ids, api, findings.remarks.append)
    findings.remarks += filter(None, [said_of(good_points(file, templates), has_values=has_values)])
    return findings


def _choices(file: StudyFile) -> list[str]:
    """What ``auto`` stands for in a study, as far as that is known before it runs."""
    sampler, pruner = file.spec.sampler.name, file.spec.pruner.name
    chosen = (
        (
            sampler,
            choose_sampler(
                sampler, space=file.space, goal=file.goal, trials=file.budget.trials, fidelity=file.fidelity
            ),
        ),
        (pruner, choose_pruner(pruner, space=file.space, goal=file.goal, fidelity=file.fidelity)),
    )
    said = [str(choice) for name, choice in chosen if choice.name != name]
    return [*said, str(file.fidelity)] if file.fidelity is not None else said


def _check_template(
    file: StudyFile, model: str, api: Api | None, project_id: str | None, findings: Findings
) -> Template | None:
    """Checks what one template says; the template, if its hyperparameters are known."""
    given = file.spec.template.by_model[model]
    template = find_template(api, given, project_id) if api is not None else None
    of = f"{model}: " if model else ""
    if template is not None and template.is_registered:
        metrics = reported_metrics(api, template) if api else frozenset()
        faults = faults_of_space(template, file.space, model)
        findings.faults += faults or faults_of_first_points(file, {model: template})
        run = completed_run(api, template) if api and not metrics else ""
        missing = faults_of_objectives(metrics, file.goal, model) if metrics or run else []
        if run:
            missing = [replace(fault, text=f"{fault.text}; a run that completed: {run}") for fault in missing]
        findings.faults += [] if has_constants(file) else missing
        unknown = "whether it reports the objective is known once a run of it has completed"
        known = counted(len(metrics), "metric") if metrics and not missing else unknown
        params = counted(len(template.params), "parameter")
        findings.remarks.append(f"{of}template {template.name!r} ({template.task_id}): {params}, {known}")
        return None if faults else template
    elif given.entry is not None:
        code = collect(given.entry)
        if template is not None and api is not None and (run := completed_run(api, template)):
            findings.faults.append(
                Fault(("template",), f"{of}its first run connected no hyperparameters: {run}; {what_to_connect(code)}")
            )
            return None
        findings.remarks += [
            f"{of}warning: {text}, if no library that it imports does" for text in read_code(code).before
        ]
        findings.remarks.append(
            f"{of}no run of the script has completed yet: parameters and metrics are known after its first run"
        )
        findings.remarks += remarks(code)
        findings.faults += faults_of_text(file, code, model)
    elif template is None:
        findings.remarks.append(f"{of}no server: the template was not looked up")
    else:
        findings.remarks.append(
            f"{of}the template {template.name!r} has no hyperparameters yet: its first run shows them"
        )
    return None


def faults_of_text(file: StudyFile, code: Code, model: str = "") -> list[Fault]:
    """Parameters of the space, and metrics, that a template's script does not have, as far as its files say."""
    words = _words_of(code)
    if not words or code.main is None:  # an installed module
        return []
    script, read = str(code.entry), read_code(code)
    known = {found.name for found in read.parameters}
    faults = []
    for name, own in file.space.names_in(model).items():
        if not (read.gaps or own in known or _is_said(own, words, known)):
            bare = own.partition("/")[2]
            hint = near_parameter(own, known) or nearest(bare.rpartition("/")[2], words)
            faults.append(Fault(("search_space", name), f"nothing in {script} is called {bare!r}{hint}"))
    reported = {metric.name for metric in read.metrics}
    # Where the script does not report scalars itself, a framework does it for it, under names of its own.
    for objective in file.goal.objectives if reported and not read.unnamed else ():
        is_said = words.issuperset((objective.title, objective.series))
        if objective.metric not in reported and (not is_said or same_scalars(objective.metric, reported)):
            hint = near_metric(objective.metric, reported)
            faults.append(Fault(("objective", "metric"), f"{objective.metric!r}: nothing in {script} reports it{hint}"))
    return faults


def _is_said(own: str, words: Set[str], known: Set[str]) -> bool:
    """True if a script has a word for a parameter, and not the parameter in another spelling."""
    section, _, inner = own.partition("/")
    bare = inner.rpartition("/")[2]
    if section == HYDRA or section.startswith(CONFIG_SECTION):
        return not words.isdisjoint({bare.rpartition(".")[2], inner})
    return not other_spellings(own, known) and not words.isdisjoint({bare, inner})


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
            words |= _words(syntax.parse(content))
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
