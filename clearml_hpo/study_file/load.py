"""Reads and checks a study file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.errors import Fault, InputError, nearest
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.near_names import near_metric, near_parameter
from clearml_hpo.core.values import MODEL, Value, full_name, name_in_model, resolve_name
from clearml_hpo.executors.kinds import checked_options
from clearml_hpo.executors.outside import OUTSIDE
from clearml_hpo.search import pruners, samplers
from clearml_hpo.search.fidelity import Fidelity, lengths_between
from clearml_hpo.search.outlook import check_outlook
from clearml_hpo.search.space import Constant, Float, OpenSpace, Parameter, SearchSpace
from clearml_hpo.study_file.errors import explain
from clearml_hpo.study_file.models import BudgetSpec, PlacementSpec, StudySpec, TlsSpec, WarmStartSpec
from clearml_hpo.study_file.overrides import apply_override
from clearml_hpo.study_file.source_lines import (
    KeyPath,
    SourceLine,
    SourceLines,
    dotted,
    kind_of,
    line_of,
    parse_yaml,
    read_yaml,
)
from clearml_hpo.study_file.space import POINTS, read_search_space, use_full_names

_FEWEST_LOOKS = 3  # at a running trial, before it may be taken for lost


@dataclass
class StudyFile:
    """A checked study file: the spec, and the values that the stages take.

    Attributes:
        first: points to try first; values that a point lacks are the template's own.
        data: the spec as plain data, overrides applied, the search space written out.
        names_pruner: whether the file says which pruner it wants.
        fidelity: for how long trials train; its hyperparameters are constants of ``space``.

    It does not change, but for what a study that is driven may gain: see :meth:`extend`.
    """

    spec: StudySpec
    space: SearchSpace
    goal: Goal
    budget: Budget
    limits: TrialLimits
    first: tuple[Mapping[str, Value], ...]
    data: dict[str, Any] = field(repr=False)
    lines: SourceLines = field(repr=False)
    names_pruner: bool = True
    fidelity: Fidelity | None = None

    def explain(self, faults: Iterable[Fault]) -> str:
        """A line for each fault, with the file and line of its key."""
        placed = map(self._placed, faults)
        return "\n".join(f"{line_of(self.lines, fault.key)}: {fault}" for fault in placed)

    @contextmanager
    def at(self, *key: str | int) -> Iterator[None]:
        """Has an InputError within say the file and the line of ``key``."""
        try:
            yield
        except InputError as error:
            raise InputError(self.explain([Fault(key, str(error))])) from None

    def _placed(self, fault: Fault) -> Fault:
        """What ``fidelity`` needs of a template is a fault of that block: no line of the search space has it."""
        name = fault.key[-1]
        if self.fidelity is None or fault.key[0] != "search_space" or name not in self.fidelity.defaults:
            return fault
        return Fault(("fidelity",), f"{name}: {fault.text}; what a template must do: docs/study_file.md")

    def extend(self, changes: Mapping[str, Any]) -> None:
        """Gives the study another budget: ``changes`` are keys of ``budget:`` and their new values.

        Raises:
            ValueError: they are not sound; nothing is changed.
        """
        budget = {**self.data["budget"], **changes}
        self.spec = self.spec.model_copy(update={"budget": BudgetSpec.model_validate(budget)})
        self.budget = _budget(self.spec, self.goal)
        self.data["budget"] = budget

    @property
    def remark_on_pruner(self) -> str:
        """What is to be said of the pruner that the file names; empty if nothing is."""
        given = self.spec.pruner
        has_minimum = bool(given.min_iterations or given.min_time)
        return pruners.remark(given.name, given.options, models=len(self.space.used_models), has_minimum=has_minimum)

    def with_pruner(self, name: str) -> StudyFile:
        """The same study with another pruner."""
        return replace(self, spec=_with_pruner(self.spec, name))

    def with_first(self, points: Iterable[Mapping[str, Value]], studies: Iterable[str] = ()) -> StudyFile:
        """The same study with more points to try first, in place of ``warm_start: auto``.

        Args:
            studies: ids of those whose values count once they are repeated.
        """
        points = [dict(point) for point in points]
        kept = [source for source in self.spec.warm_start if source.auto is None]
        known = {source.study for source in kept if source.if_repeated}
        kept += [WarmStartSpec(study=study, if_repeated=True) for study in studies if study not in known]
        spec = self.spec.model_copy(update={"warm_start": kept, "enqueue": [*self.spec.enqueue, *points]})
        data = {
            **self.data,
            "enqueue": [*(self.data.get("enqueue") or ()), *points],
            "warm_start": [source.model_dump(exclude_defaults=True) for source in kept],
        }
        return replace(self, spec=spec, data=data, first=(*self.first, *points))

    def with_known_points_of(self, stored: StudyFile) -> StudyFile:
        """The same study with the known-good points of the space that it was made with."""
        points = stored.spec.search_space.get(POINTS) or []
        if points == (self.spec.search_space.get(POINTS) or []):
            return self
        spec = self.spec.model_copy(update={"search_space": {**self.spec.search_space, POINTS: points}})
        data = {**self.data, "search_space": {**self.data["search_space"], POINTS: points}}
        return replace(self, spec=spec, data=data)

    def text(self, template_tasks: Mapping[str, str]) -> str:
        """The study as YAML that needs no other file: what the controller task keeps, and ``parse_study`` reads.

        Args:
            template_tasks: ids of the template tasks by model.
        """
        data = self.with_templates(template_tasks)
        if not self.names_pruner:  # what has no name was kept when the default was another one
            data["pruner"] = {**(self.data.get("pruner") or {}), "name": self.spec.pruner.name}
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)

    def with_templates(self, template_tasks: Mapping[str, str]) -> dict[str, Any]:
        """The study as plain data that needs no other file."""
        by_model = {model: {"task": task_id} for model, task_id in template_tasks.items()}
        return {**self.data, "template": {"models": by_model} if self.space.models else by_model[""]}


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Reads and checks a study file; paths in it are relative to its own folder.

    Args:
        path: the YAML file.
        overrides: ``key.key=value`` texts, the value in YAML, applied before the check.

    Raises:
        InputError: with one line per fault, each naming file, line, key, what was found and what is allowed.
    """
    data, lines = read_yaml(path)
    file = check_data(data, lines, path.parent, overrides)
    check_executor(file)
    return file


def check_executor(file: StudyFile) -> None:
    """Checks the options of the executor. Raises InputError.

    Not of a study that is only looked at: the executor's package may not be installed there.
    """
    if faults := checked_options(file.spec.execution.executor, file.spec.execution.options)[1]:
        raise InputError(file.explain(faults))


def parse_study(text: str, name: str, overrides: Sequence[str] = (), *, is_new: bool = False) -> StudyFile:
    """Checks a study that a controller task keeps; ``name`` stands for the file in messages.

    One that names no pruner was made when ``none`` was the default, and goes on so; unless it ``is_new``: a text that
    no study was made of yet.

    Raises:
        InputError: with one line per fault.
    """
    data, lines = parse_yaml(text, lambda line: SourceLine(name, line))
    if not isinstance(data, dict):
        raise InputError(f"{lines.get((), name)}: expected keys and values, found {kind_of(data)}")
    return check_data(data, lines, Path(), overrides, pruner=pruners.DEFAULT if is_new else pruners.NONE)


def check_data(
    data: dict[Any, Any],
    lines: SourceLines,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    pruner: str = pruners.DEFAULT,
) -> StudyFile:
    """Checks a study that is read already.

    Args:
        folder: what paths in it are relative to.
        pruner: that of a study that names none.

    Raises:
        InputError: with one line per fault.
    """
    include_search_space(data, lines, folder)
    for override in overrides:
        apply_override(data, lines, override)
        include_search_space(data, lines, folder)
    try:
        spec = StudySpec.model_validate(data)
    except ValidationError as error:
        hint = partial(_meant, data, folder)
        raise InputError("\n".join(explain(error, data, lines, StudySpec, hint))) from None
    names_pruner = "name" in spec.pruner.model_fields_set
    if not names_pruner:
        spec = _with_pruner(spec, pruner)
    faults: list[str] = []
    models = spec.template.models
    space = read_search_space(
        spec.search_space, spec.parameter_constraints, lines, faults, models, is_open=spec.define_by_run
    )
    spec = _with_full_names(spec, space)
    fidelity = _fidelity(spec)
    if fidelity is not None:
        faults += _faults_of_fidelity(spec, fidelity, space, lines)
        constants = {name: Constant(value) for name, value in fidelity.defaults.items()}
        space = replace(space, parameters={**space.parameters, **constants})
    spec = _with_files_of_dask(_with_scripts(spec, folder, lines, faults), folder)
    goal = _goal(spec, lines, faults)
    if not faults:
        faults += _faults_of_names(spec, space, goal, lines)
    faults += _faults_of_numbers(spec, space, lines)
    faults += _faults_of_outlook(spec, space, goal, lines)
    faults += _faults_of_placement(spec, space, lines) if space.parameters else ()
    enqueue = () if faults else spec.enqueue
    first = tuple(_first_point(given, index, space, lines, faults) for index, given in enumerate(enqueue))
    if faults:
        raise InputError("\n".join(faults))
    return StudyFile(
        spec=spec,
        space=space,
        goal=goal,
        budget=_budget(spec, goal),
        limits=_limits(spec),
        first=first,
        data=data,
        lines=lines,
        names_pruner=names_pruner,
        fidelity=fidelity,
    )


def _fidelity(spec: StudySpec) -> Fidelity | None:
    given = spec.fidelity
    if given is None:
        return None
    lengths = lengths_between(given.min, given.max, given.factor)
    return Fidelity(given.parameter, lengths, given.factor, given.mode == "hyperband")


def _faults_of_fidelity(spec: StudySpec, fidelity: Fidelity, space: SearchSpace, lines: SourceLines) -> Iterable[str]:
    """What does not go together with lengths of trainings."""
    queues = {*spec.execution.queue, *(queue for rule in spec.execution.placement for queue in rule.queue or ())}
    refused = {
        ("objective",): len(spec.objective) > 1 and "only with one objective: trials are compared by it",
        ("template",): bool(space.models) and "only with one model: lengths of several cannot be compared",
        ("define_by_run",): spec.define_by_run and "not with parameters that the script suggests itself",
        ("pruner",): spec.pruner.name not in (pruners.DEFAULT, pruners.NONE)
        and f"not with pruner {spec.pruner.name}: fidelity itself says which trials go on",
        ("budget", "trial_time"): spec.budget.trial_time is not None
        and "not with budget.trial_time: what is stopped leaves no checkpoint",
        ("budget", "trial_iterations"): spec.budget.trial_iterations is not None
        and "not with budget.trial_iterations: max says how long trials train",
        ("execution", "queue"): OUTSIDE in queues
        and f"not with queue {OUTSIDE}: its workers have no checkpoints of other trials",
    }
    for key, text in refused.items():
        if text:
            yield f"{line_of(lines, key)}: fidelity: {text}"
    for name in fidelity.defaults.keys() & space.all_parameters.keys():
        key = ("search_space", name)
        yield f"{line_of(lines, key)}: {dotted(key)}: fidelity sets it; leave it out"


def _with_pruner(spec: StudySpec, name: str) -> StudySpec:
    return spec.model_copy(update={"pruner": spec.pruner.model_copy(update={"name": name})})


def _with_full_names(spec: StudySpec, space: SearchSpace) -> StudySpec:
    """The rules of placement by the full names of parameters."""
    names = space.all_parameters

    def full(rule: PlacementSpec) -> PlacementSpec:
        when = {resolve_name(name, names) or full_name(name): values for name, values in rule.when.items()}
        return rule.model_copy(update={"when": when})

    rules = [full(rule) for rule in spec.execution.placement]
    return spec.model_copy(update={"execution": spec.execution.model_copy(update={"placement": rules})})


def _meant(data: Mapping[Any, Any], folder: Path, key: str, found: object) -> str:
    """What the script reports, for a metric that lacks its title."""
    template = data.get("template")
    script = template.get("script") if isinstance(template, dict) else None
    if key != "metric" or not isinstance(found, str) or not isinstance(script, str):
        return ""
    from clearml_hpo.drafting.script import read_script

    try:
        return near_metric(found, [metric.name for metric in read_script(folder / script).metrics])
    except InputError:  # said when the script itself is looked at
        return ""


def _faults_of_numbers(spec: StudySpec, space: SearchSpace, lines: SourceLines) -> Iterable[str]:
    """Numbers that do not go together."""
    lost_after, poll_s = spec.failures.lost_after, spec.execution.poll_interval
    if lost_after < _FEWEST_LOOKS * poll_s:
        where = line_of(lines, ("failures", "lost_after"))
        yield (
            f"{where}: failures.lost_after: {lost_after:g} s is too short: with a poll_interval of {poll_s:g} s "
            f"at least {_FEWEST_LOOKS * poll_s:g} s"
        )
    count = len(space.used_models)
    if spec.budget.trials is not None and spec.budget.trials < count:
        where = line_of(lines, ("budget", "trials"))
        yield f"{where}: budget.trials: found {spec.budget.trials}; {count} models want {count} or more"


def _faults_of_outlook(spec: StudySpec, space: SearchSpace, goal: Goal, lines: SourceLines) -> Iterable[str]:
    """Why nobody can say what is still to be gained, if the study ends by that."""
    if spec.budget.until is not None:
        try:
            check_outlook(space, goal)
        except InputError as error:
            yield f"{line_of(lines, ('budget', 'until'))}: budget.until: {error}"


def _faults_of_placement(spec: StudySpec, space: SearchSpace, lines: SourceLines) -> Iterable[str]:
    """Rules that no trial can fit, and numbers for queues that no trial goes to."""
    execution = spec.execution
    for index, rule in enumerate(execution.placement):
        for name, values in rule.when.items():
            key: KeyPath = ("execution", "placement", index, "when", name)
            for fault in _faults_of_rule(name, values, space.all_parameters):
                yield f"{line_of(lines, key)}: {dotted(key)}: {fault}"
    queues = {*execution.queue, *(queue for rule in execution.placement for queue in rule.queue or ())}
    for queue in execution.concurrency if isinstance(execution.concurrency, dict) else ():
        if queue not in queues:
            key = ("execution", "concurrency", queue)
            hint = nearest(queue, queues) or f"; there are: {', '.join(sorted(queues))}"
            yield f"{line_of(lines, key)}: {dotted(key)}: no trial goes to this queue{hint}"


def _faults_of_rule(name: str, values: Iterable[Value], parameters: Mapping[str, Parameter]) -> Iterable[str]:
    parameter = parameters.get(name)
    if parameter is None:
        yield f"no such parameter{near_parameter(name, parameters)}; there are: {', '.join(parameters)}"
        return
    if isinstance(parameter, Constant):
        # A study of one model alone may keep the rules of the others.
        wrong = [value for value in values if name != MODEL and value != parameter.value]
    else:
        wrong = [value for value in values if not parameter.contains(value)]
    for value in wrong:
        yield f"found {value!r}; {name} is {parameter}"


def _goal(spec: StudySpec, lines: SourceLines, faults: list[str]) -> Goal:
    objectives = tuple(Objective.parse(given.metric, given.direction, given.value) for given in spec.objective)
    by_metric = {objective.metric: objective for objective in objectives}
    if len(by_metric) < len(objectives):
        faults.append(f"{line_of(lines, ('objective',))}: objective: a metric is given twice")
        objectives = tuple(by_metric.values())
    if len(objectives) > 1 and (spec.budget.target is not None or spec.budget.no_improvement is not None):
        key = "target" if spec.budget.target is not None else "no_improvement"
        faults.append(
            f"{line_of(lines, ('budget', key))}: budget.{key}: only with one objective, found {len(objectives)}"
        )
    return Goal(
        objectives,
        tuple(
            MetricConstraint(*_title_and_series(given.metric), low=given.low, high=given.high)
            for given in spec.metric_constraints
        ),
        _pruned_by(spec, by_metric, lines, faults),
    )


def _pruned_by(
    spec: StudySpec, objectives: Mapping[str, Objective], lines: SourceLines, faults: list[str]
) -> Objective | None:
    """The scalar that the pruner looks at, if the file names one or the only objective does not settle it."""
    given, where = spec.pruner, line_of(lines, ("pruner",))
    if given.metric is None:
        if len(objectives) > 1 and given.name not in (pruners.DEFAULT, pruners.NONE):
            faults.append(f"{where}: pruner.metric is missing: with several objectives it says which one is looked at")
        return None
    known = objectives.get(given.metric)
    if known is not None and len(objectives) == 1:
        return None  # as without it
    direction = given.direction or (known.direction if known else None)
    if direction is None:
        faults.append(f"{where}: pruner.direction is missing: {given.metric} is no objective; minimize or maximize")
        return None
    return Objective.parse(given.metric, direction)


def _title_and_series(metric: str) -> tuple[str, str]:
    parsed = Objective.parse(metric)
    return parsed.title, parsed.series


def _budget(spec: StudySpec, goal: Goal) -> Budget:
    given = spec.budget
    stale = given.no_improvement
    return Budget(
        trials=given.trials,
        wall_s=given.time,
        compute_s=given.compute_time,
        gpu_s=given.gpu_time,
        iterations=given.iterations,
        target=given.target,
        maximize=goal.objectives[0].direction == "maximize",
        stale_trials=stale.trials if stale else None,
        stale_s=stale.time if stale else None,
        min_gain=stale.min_gain if stale else 0.0,
        flat=given.until.flat if given.until else None,
        then=given.then,
    )


def _limits(spec: StudySpec) -> TrialLimits:
    return TrialLimits(
        time_s=spec.budget.trial_time,
        max_iterations=spec.budget.trial_iterations,
        min_iterations=spec.pruner.min_iterations,
        min_time_s=spec.pruner.min_time or 0.0,
    )


def _first_point(
    given: Mapping[str, Any], index: int, space: SearchSpace, lines: SourceLines, faults: list[str]
) -> dict[str, Value]:
    """A point of ``enqueue``, by full names."""
    point, found = read_point(given, space)
    for fault in found:
        key: KeyPath = ("enqueue", index, *fault.key)
        faults.append(f"{line_of(lines, key)}: {dotted(key)}{'.' if not fault.key else ': '}{fault.text}")
    return point


def read_point(given: Mapping[str, Any], space: SearchSpace) -> tuple[dict[str, Value], list[Fault]]:
    """A point that a user wants tried, by full names, and what is wrong in it; it may lack parameters."""
    point: dict[str, Value] = {}
    faults: list[Fault] = []
    varying = space.distributions
    model = given.get("model", given.get(MODEL, space.constants.get(MODEL)))
    if space.models and MODEL in varying and model is None:
        faults.append(Fault((), "model is missing: it says of which template the rest is"))
    others = {*space.models} - {model}
    own_names = [each for each in varying if each.partition("/")[0] not in others]
    for name, value in given.items():
        own = name_in_model(str(model), str(name))
        full = own if own in varying else resolve_name(str(name), own_names) or full_name(str(name))
        if isinstance(value, str) and isinstance(varying.get(full), Float):
            with suppress(ValueError):
                value = float(value)  # YAML 1.1 reads 1e-3 as a text
        if isinstance(space, OpenSpace):
            point[full_name(str(name))] = value
        elif full not in varying:
            there_are = f"there are: {', '.join(varying)}"
            faults.append(Fault((name,), f"no parameter that varies{near_parameter(str(name), varying)}; {there_are}"))
        elif not varying[full].contains(value):
            faults.append(Fault((name,), f"found {value!r}; allowed: {varying[full]}"))
        elif full in point:
            faults.append(Fault((name,), f"{full} is given twice"))
        else:
            point[full] = value
    return point, faults


def dump_params(params: Mapping[str, Value]) -> str:
    """Parameters as YAML that a search space takes back as constants."""
    return yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)


def _faults_of_names(spec: StudySpec, space: SearchSpace, goal: Goal, lines: SourceLines) -> Iterable[str]:
    """Options that the sampler or the pruner does not take."""
    builds: dict[str, Callable[[], object]] = {
        "sampler": lambda: samplers.build_sampler(
            spec.sampler.name,
            seed=spec.sampler.seed,
            options=spec.sampler.options,
            space=space,
            goal=goal,
            trials=spec.budget.trials,
            fidelity=_fidelity(spec),
        ),
        "pruner": lambda: pruners.build_pruner(spec.pruner.name, options=spec.pruner.options),
    }
    for key, build in builds.items():
        try:
            build()
        except InputError as error:
            yield f"{line_of(lines, (key, 'options'))}: {error}"


def include_search_space(data: dict[Any, Any], lines: SourceLines, folder: Path) -> None:
    """Puts the file that ``search_space`` names in its place, with the lines of that file; names become full names."""
    given = data.get("search_space")
    if isinstance(given, str):
        path = folder / given
        data["search_space"] = _included(path, ("search_space",), lines)
        folder = path.parent
        given = data["search_space"]
    if isinstance(given, dict):
        _include_branches(given, ("search_space",), lines, folder)
    use_full_names(data, lines)


def _include_branches(
    given: Mapping[Any, Any], path: KeyPath, lines: SourceLines, folder: Path, above: Sequence[Path] = ()
) -> None:
    """Puts the files that choices name in their place; ``above`` are those that led here."""
    for name, definition in given.items():
        choices = definition.get("choices") if isinstance(definition, dict) else None
        if not isinstance(choices, dict):
            continue
        for choice, inner in choices.items():
            at: KeyPath = (*path, name, "choices", choice)
            inside, files = folder, above
            if isinstance(inner, str):
                file = (folder / inner).resolve()
                if file in above:
                    raise InputError(f"{line_of(lines, at)}: {dotted(at)}: {file} includes itself")
                choices[choice] = inner = _included(file, at, lines)
                inside, files = file.parent, (*above, file)
            if isinstance(inner, dict):
                _include_branches(inner, at, lines, inside, files)


def _included(file: Path, path: KeyPath, lines: SourceLines) -> dict[Any, Any]:
    """What a file holds that is named at ``path``; its lines become those of all that is in it."""
    if not file.is_file():
        there = file.resolve()
        raise InputError(f"{line_of(lines, path)}: {dotted(path)}: no such file: {there}{_near(there, Path.is_file)}")
    data, inner = read_yaml(file)
    lines.update({(*path, *loc): mark for loc, mark in inner.items() if loc})
    return data


def _path(
    folder: Path, given: Path, key: KeyPath, lines: SourceLines, faults: list[str], is_there: Callable[[Path], bool]
) -> Path:
    """The whole path of what the file names; a fault if it is not there."""
    path = _from(folder, given).resolve()
    if not is_there(path):
        kind = "folder" if key[-1] == "directory" else "file"
        faults.append(f"{line_of(lines, key)}: {dotted(key)}: no such {kind}: {path}{_near(path, is_there)}")
    return path


def _from(folder: Path, given: Path) -> Path:
    """A path that a file in ``folder`` names."""
    with suppress(RuntimeError):  # no such user: then there is no such file
        given = given.expanduser()
    return folder / given


def _near(path: Path, is_there: Callable[[Path], bool]) -> str:
    """What is meant by a path that is not there: a name beside it."""
    with suppress(OSError):  # the folder is not there either, or cannot be read
        return nearest(path.name, sorted(each.name for each in path.parent.iterdir() if is_there(each)))
    return ""


def _with_scripts(spec: StudySpec, folder: Path, lines: SourceLines, faults: list[str]) -> StudySpec:
    """Scripts, and what belongs to them, by their whole paths."""
    found = {}
    for model, given in spec.template.by_model.items():
        key: KeyPath = ("template", *(("models", model) if model else ()))
        paths: dict[str, Any] = {}
        if given.script is not None:
            paths["script"] = _path(folder, given.script, (*key, "script"), lines, faults, Path.is_file)
        if given.script is not None or given.module:
            paths["directory"] = paths["script"].parent if given.script is not None else folder.resolve()
            if given.directory is not None:
                paths["directory"] = _path(folder, given.directory, (*key, "directory"), lines, faults, Path.is_dir)
            paths["files"] = [
                _path(folder, each, (*key, "files", index), lines, faults, Path.exists)
                for index, each in enumerate(given.files)
            ]
        found[model] = given.model_copy(update=paths)
    single = found.get("")
    template = single or spec.template.model_copy(update={"models": found})
    return spec.model_copy(update={"template": template})


def _with_files_of_dask(spec: StudySpec, folder: Path) -> StudySpec:
    """Files of a Dask cluster by their paths from here; whether they are there is seen when the cluster is."""
    if (dask := spec.execution.dask) is None:
        return spec

    def from_here(path: str) -> str:
        return str(_from(folder, Path(path)))

    tls = TlsSpec(**{name: from_here(path) for name, path in dask.tls.model_dump().items()}) if dask.tls else None
    file = from_here(dask.scheduler_file) if dask.scheduler_file else None
    dask = dask.model_copy(update={"tls": tls, "scheduler_file": file})
    return spec.model_copy(update={"execution": spec.execution.model_copy(update={"dask": dask})})


# pydantic's words for what a value should be, in ours; the names in braces are of the error's context.
