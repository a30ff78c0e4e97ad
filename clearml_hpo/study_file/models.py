"""What a study file may say: one model per block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from clearml_hpo.core.errors import nearest
from clearml_hpo.core.goal import Objective
from clearml_hpo.core.values import full_name
from clearml_hpo.executors.dask.plan import CLUSTERS, fault_of_address
from clearml_hpo.executors.outside import OUTSIDE
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.search import pruners, samplers
from clearml_hpo.search.fidelity import lengths_between
from clearml_hpo.study_file.base import Number, Seconds, Strict, Whole, Words, list_of_names, name_alone, one_or_several
from clearml_hpo.study_file.notify import NotifySpec

_SHORTEST_NAME = 3  # of a part of a project's path
_SECTIONS = ("General", "Args", "Hydra", "properties")  # of hyperparameters


class TemplateSpec(Strict):
    """A template: a script or module and how it is started, a task by id, or a task by project and name.

    ``outside: true`` is a template without a script: workers that ask for trials over HTTP know what to train.
    """

    _WAYS: ClassVar[str] = "script; module; task (an id); project and name; outside: true"
    _OF_A_SCRIPT: ClassVar[Sequence[str]] = ("arguments", "directory", "files", "launcher")

    script: Path | None = None
    module: str | None = None
    arguments: Words = Field(default_factory=list)
    directory: Path | None = None
    files: Annotated[list[Path], BeforeValidator(list_of_names)] = Field(default_factory=list)
    launcher: Words = Field(default_factory=list)
    task: str | None = None
    project: str | None = None
    name: str | None = None
    outside: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> TemplateSpec:
        if self._ways != 1 or bool(self.project) != bool(self.name):
            raise ValueError(f"give one of: {self._WAYS}")
        if not (self.script or self.module):
            for key in self._OF_A_SCRIPT:
                if getattr(self, key):
                    raise ValueError(f"{key}: only with script or module; a task keeps how it is started")
        return self

    @property
    def entry(self) -> Entry | None:
        """How the script or module is started, once the paths are whole; None for a task."""
        if not (self.script or self.module):
            return None
        assert self.directory is not None  # the study file's reader sets it
        return Entry(self.script, self.directory, self.module or "", self.arguments, self.files, self.launcher)

    @property
    def _ways(self) -> int:
        own = (self.script, self.module, self.task, self.project or self.name, self.outside)
        return sum(map(bool, own))


def _are_models(models: dict[str, TemplateSpec]) -> dict[str, TemplateSpec]:
    for name in models:
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", name) or name in _SECTIONS:
            raise ValueError(
                f"{name!r} cannot be the name of a model: letters, digits and _.- are; a section's name is not"
            )
    return models


class TemplatesSpec(TemplateSpec):
    """What is trained: one template, or several by the name of the model."""

    _WAYS: ClassVar[str] = f"{TemplateSpec._WAYS}; models (several of them)"

    models: Annotated[dict[str, TemplateSpec], AfterValidator(_are_models)] = Field(default_factory=dict)

    @property
    def _ways(self) -> int:
        return super()._ways + bool(self.models)

    @property
    def by_model(self) -> Mapping[str, TemplateSpec]:
        """The templates by model; a single one has no name: ``""``."""
        return self.models or {"": self}


def _is_metric(metric: str) -> str:
    Objective.parse(metric)
    return metric


def _is_sampler(name: str) -> str:
    if not samplers.is_known_name(name):
        raise ValueError(_unknown(name, samplers.NAMES))
    return name


def _is_pruner(name: str) -> str:
    if not pruners.is_known_name(name):
        raise ValueError(_unknown(name, pruners.NAMES))
    return name


def _unknown(name: str, names: Iterable[str]) -> str:
    return f"found {name!r}{nearest(name, names)}; one of: {', '.join(names)}; or the dotted path of a class"


Metric: TypeAlias = Annotated[str, AfterValidator(_is_metric)]


class ObjectiveSpec(Strict):
    """Which scalar counts: ``metric`` is ``title/series``."""

    metric: Metric
    direction: Literal["minimize", "maximize"]
    value: Literal["last", "best"] = "last"


class MetricConstraintSpec(Strict):
    """Bounds that a scalar must keep."""

    metric: Metric
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> MetricConstraintSpec:
        if self.low is None and self.high is None:
            raise ValueError("give low, high, or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}: no value keeps both")
        return self


class SamplerSpec(Strict):
    """The sampler by name or dotted path, its seed, and options of its class."""

    name: Annotated[str, AfterValidator(_is_sampler)] = samplers.DEFAULT
    seed: Whole | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class PrunerSpec(Strict):
    """The pruner by name or dotted path, options of its class, what it looks at, and when it may begin."""

    name: Annotated[str, AfterValidator(_is_pruner)] = pruners.DEFAULT
    options: dict[str, Any] = Field(default_factory=dict)
    metric: Metric | None = None
    direction: Literal["minimize", "maximize"] | None = None
    min_iterations: Annotated[Whole, Field(ge=0)] = 0
    min_time: Seconds | None = None


class FidelitySpec(Strict):
    """For how long trials train before they pause; the best ones go on from their checkpoints."""

    parameter: Annotated[str, Field(min_length=1), AfterValidator(full_name)]
    min: Annotated[Whole, Field(ge=1)]
    max: Annotated[Whole, Field(ge=2)]
    factor: Annotated[Whole, Field(ge=2)] = 2
    mode: Literal["asha", "hyperband"] = "asha"

    @model_validator(mode="after")
    def _several_lengths(self) -> FidelitySpec:
        lengths_between(self.min, self.max, self.factor)
        return self


class StaleSpec(Strict):
    """How long a study may go on without improvement, and how large that must be to count."""

    trials: Annotated[Whole, Field(ge=1)] | None = None
    time: Seconds | None = None
    min_gain: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _some_limit(self) -> StaleSpec:
        if self.trials is None and self.time is None:
            raise ValueError("give trials, time, or both")
        return self


def flat_alone(given: object) -> object:
    """``until: flat`` stands for ``until: {flat: 0.01}``. Raises ValueError."""
    if isinstance(given, str):
        if given != "flat":
            raise ValueError(f"found {given!r}; allowed: flat, or {{flat: 0.01}}")
        return {}
    return given


class UntilSpec(Strict):
    """Which share of what the study has gained a further trial must promise."""

    flat: Annotated[float, Field(gt=0, lt=1)] = 0.01


class BudgetSpec(Strict):
    """When the study ends, and when a trial does; the first limit that is reached counts."""

    trials: Annotated[Whole, Field(ge=1)] | None = None
    time: Seconds | None = None
    compute_time: Seconds | None = None
    gpu_time: Seconds | None = None
    iterations: Annotated[Whole, Field(ge=1)] | None = None
    target: Number | None = None
    no_improvement: StaleSpec | None = None
    until: Annotated[UntilSpec, BeforeValidator(flat_alone)] | None = None
    then: Literal["abort", "drain"] = "abort"
    trial_time: Seconds | None = None
    trial_iterations: Annotated[Whole, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> BudgetSpec:
        limits = (self.trials, self.time, self.compute_time, self.gpu_time, self.iterations, self.no_improvement)
        if all(limit is None for limit in limits):
            raise ValueError(
                "give at least one of: trials, time, compute_time, gpu_time, iterations, no_improvement "
                "(a target alone may never be reached, nor until: flat)"
            )
        return self


class RetrySpec(Strict):
    """How often a trial that ends so is run again, and in which queue."""

    retries: Annotated[Whole, Field(ge=0)] = 0
    queue: Annotated[str, Field(min_length=3)] | None = None


def number_alone(given: object) -> object:
    """``lost: 3`` stands for ``lost: {retries: 3}``."""
    return {"retries": given} if isinstance(given, int) and not isinstance(given, bool) else given


Retries: TypeAlias = Annotated[RetrySpec, BeforeValidator(number_alone)]


class FailuresSpec(Strict):
    """What is done about trials that end without a value, by the class of the end."""

    failed: Retries = RetrySpec()
    killed: Retries = RetrySpec(retries=3)
    lost: Retries = RetrySpec(retries=3)
    no_objective: Retries = RetrySpec()
    not_finite: Retries = RetrySpec()
    aborted: Retries = RetrySpec()
    lost_after: Seconds = 600.0
    silent_after: Seconds | None = None
    stop_after: Annotated[Whole, Field(ge=0)] = 5


Queues: TypeAlias = Annotated[
    list[Annotated[str, Field(min_length=3)]], Field(min_length=1), BeforeValidator(list_of_names)
]


def lists_of_values(given: object) -> object:
    """``{General/model: catboost}`` stands for ``{General/model: [catboost]}``."""
    if not isinstance(given, dict):
        return given
    return {str(name): v if isinstance(v, list) else [v] for name, v in given.items()}


Resources: TypeAlias = dict[
    Annotated[str, Field(min_length=1)], Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
]


class PlacementSpec(Strict):
    """Queues, in order of preference, for trials whose parameters have one of the given values each.

    ``resources``: with ``executor: dask``, in place of queues.
    """

    when: Annotated[dict[str, list[Any]], Field(min_length=1), BeforeValidator(lists_of_values)]
    queue: Queues | None = None
    resources: Resources | None = None

    @model_validator(mode="after")
    def _one_place(self) -> PlacementSpec:
        if (self.queue is None) == (self.resources is None):
            raise ValueError("give queue, or with executor: dask resources")
        return self


class LocalSpec(Strict):
    """Slots of this machine, for ``executor: local``."""

    gpus: list[Annotated[Whole, Field(ge=0)] | str] = Field(default_factory=list)
    per_gpu: Annotated[Whole, Field(ge=1)] = 1
    cpu: Annotated[Whole, Field(ge=0)] | None = None
    threads: Annotated[Whole, Field(ge=1)] | None = None
    min_free_mb: Annotated[Whole, Field(ge=1)] | None = None


class PilotsSpec(Strict):
    """Warm workers that run as tasks on the queue, and run the trials; a slot per GPU of the agent, or one.

    ``cpu``: slots on the cores instead. They leave after ``idle_timeout`` without a trial.
    """

    count: Annotated[Whole, Field(ge=1)]
    idle_timeout: Seconds = 300.0
    per_gpu: Annotated[Whole, Field(ge=1)] = 1
    cpu: Annotated[Whole, Field(ge=1)] | None = None
    threads: Annotated[Whole, Field(ge=1)] | None = None
    min_free_mb: Annotated[Whole, Field(ge=1)] | None = None


def count_alone(given: object) -> object:
    """``pilots: 4`` stands for ``pilots: {count: 4}``."""
    return {"count": given} if isinstance(given, int) and not isinstance(given, bool) else given


class ClusterSpec(Strict):
    """A Dask cluster that the study starts: what it is called, or its class, and the options of that class."""

    kind: Annotated[str, Field(alias="class")]
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sizes_are_beside(cls, given: Any) -> Any:
        if isinstance(given, dict) and (inside := given.keys() & {"scale", "adapt"}):
            raise ValueError(f"{min(inside)} stands beside cluster, not in it")
        return given

    @model_validator(mode="after")
    def _options_of_local(self) -> ClusterSpec:
        if self.kind == "local" and (unknown := self.options.keys() - {"dashboard"}):
            raise ValueError(f"options: class local has one, dashboard (127.0.0.1:8787); found {', '.join(unknown)}")
        return self

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        if kind not in CLUSTERS and "." not in kind:
            known = ", ".join(CLUSTERS)
            raise ValueError(f"{kind!r} is none of {known}, and no class such as pkg.Cluster{nearest(kind, CLUSTERS)}")
        return kind


class AdaptSpec(Strict):
    """Between how many workers, or jobs of a batch system, a cluster may have."""

    minimum: Annotated[Whole, Field(ge=0)] = 0
    maximum: Annotated[Whole, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> AdaptSpec:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class TlsSpec(Strict):
    """Files with which a Dask cluster encrypts."""

    ca: Annotated[str, Field(min_length=1)]
    cert: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


def class_alone(given: object) -> object:
    """``cluster: local`` stands for ``cluster: {class: local}``."""
    return {"class": given} if isinstance(given, str) else given


class DaskSpec(Strict):
    """The Dask cluster of ``executor: dask``: one that is there, or one that starts and ends with the study.

    ``resources``: of Dask's, that each trial needs.
    """

    address: Annotated[str, Field(min_length=1)] | None = None
    scheduler_file: Annotated[str, Field(min_length=1)] | None = None
    cluster: Annotated[ClusterSpec, BeforeValidator(class_alone)] | None = None
    scale: Annotated[Whole, Field(ge=1)] | None = None
    adapt: AdaptSpec | None = None
    resources: Resources = Field(default_factory=dict)
    tls: TlsSpec | None = None

    @model_validator(mode="after")
    def _one_cluster(self) -> DaskSpec:
        if sum(each is not None for each in (self.address, self.scheduler_file, self.cluster)) != 1:
            raise ValueError("give one of address (tcp://host:8786), scheduler_file and cluster")
        if self.address and (fault := fault_of_address(self.address, is_encrypted=self.tls is not None)):
            raise ValueError(f"address: {fault}")
        if self.cluster is None and (self.scale or self.adapt):
            raise ValueError("scale and adapt are for a cluster that the study starts; give cluster")
        if self.scale and self.adapt:
            raise ValueError("give scale or adapt")
        if self.cluster is not None and self.cluster.kind != "local" and not (self.scale or self.adapt):
            raise ValueError("scale: how many workers (jobs of a batch system)? Or adapt: {minimum: 0, maximum: 16}")
        return self


class ExecutionSpec(Strict):
    """Where trials run, and how many at once.

    ``queue``: one ClearML queue, or several in order of preference; ``placement``: rules for some of the trials.
    ``concurrency``: in all, or by queue (default: one per worker of the queue). ``executor``: queue, local, dask, or
    one of another package, to which the ``options`` belong.
    """

    executor: str = "queue"
    options: dict[str, Any] = Field(default_factory=dict)
    queue: Queues = Field(default_factory=lambda: ["default"])
    placement: list[PlacementSpec] = Field(default_factory=list)
    concurrency: Annotated[Whole, Field(ge=1)] | dict[str, Annotated[Whole, Field(ge=1)]] | None = None
    prefetch: Annotated[Whole, Field(ge=0)] = 1
    poll_interval: Seconds = 2.0
    local: LocalSpec = LocalSpec()
    pilots: Annotated[PilotsSpec, BeforeValidator(count_alone)] | None = None
    dask: DaskSpec | None = None

    @model_validator(mode="after")
    def _dask_has_a_cluster(self) -> ExecutionSpec:
        if self.executor != "dask":
            if rule := next((rule for rule in self.placement if rule.queue is None), None):
                raise ValueError(f"placement: resources {rule.resources} are for executor: dask; give a queue")
            return self
        if self.dask is None:
            raise ValueError("executor: dask: give dask: {address: tcp://host:8786}, or {cluster: local}")
        if any(rule.resources is None for rule in self.placement):
            raise ValueError("placement: with executor: dask rules have resources, such as {GPU: 1}, and no queue")
        if isinstance(self.concurrency, dict):
            raise ValueError("concurrency: with executor: dask one number, for all trials")
        return self

    @model_validator(mode="after")
    def _outside_is_a_queue(self) -> ExecutionSpec:
        named = [*self.queue, *(queue for rule in self.placement for queue in rule.queue or ())]
        if OUTSIDE in named and (self.executor != "queue" or self.pilots is not None):
            raise ValueError(f"queue: {OUTSIDE}: its trials are handed out; take executor: queue, and no pilots")
        return self

    @model_validator(mode="after")
    def _pilots_are_alone(self) -> ExecutionSpec:
        if self.pilots is None:
            return self
        if self.executor != "queue":
            raise ValueError(f"pilots: they wait in a queue for agents; executor: {self.executor} has none")
        if len(self.queue) > 1 or self.placement or isinstance(self.concurrency, dict):
            raise ValueError("pilots: all trials go to them; give one queue, for the pilots, and no placement")
        return self


class KeepSpec(Strict):
    """Of which trials models and artifacts are kept when the study has ended, and what becomes of the others'."""

    top: Annotated[Whole, Field(ge=1)]
    others: Literal["delete", "archive"] = "delete"


def sources(given: object) -> object:
    """One source stands for a list of one, ``auto`` for ``{auto: 3}``."""
    listed = [given] if isinstance(given, (dict, str)) else given
    return [{"auto": 3} if each == "auto" else each for each in listed] if isinstance(listed, list) else listed


class WarmStartSpec(Strict):
    """Trials that are known before the first one: of earlier studies, of any tasks, or of an Optuna storage.

    ``auto``: so many points that earlier studies found to be best are tried first. ``if_repeated``: the values of the
    study count once this study's own trials have repeated some of them.
    """

    auto: Annotated[Whole, Field(ge=1)] | None = None
    study: str | None = None
    tasks: list[str] = Field(default_factory=list)
    storage: str | None = None
    if_repeated: bool = False

    @model_validator(mode="after")
    def _some_source(self) -> WarmStartSpec:
        if self.auto is not None:
            if self.model_fields_set != {"auto"}:
                raise ValueError("auto stands alone; give other sources beside it, in a list")
            return self
        if self.storage is not None and self.study is None:
            raise ValueError("storage: give study too, the name of the study in it")
        if self.if_repeated and (self.study is None or self.tasks or self.storage):
            raise ValueError("if_repeated: only with study (an id) alone")
        if self.study is None and not self.tasks:
            raise ValueError("give study (an id), tasks (a list of ids), or storage and study")
        return self


def _is_project(name: str) -> str:
    for part in name.strip("/").split("/"):
        if len(part.strip()) < _SHORTEST_NAME:
            raise ValueError(f"each part of a ClearML project's name has three characters or more; found {part!r}")
    return name


Project: TypeAlias = Annotated[str, AfterValidator(_is_project)]


class StudySpec(Strict):
    """A study file, checked."""

    study: Annotated[str, Field(min_length=1)]
    project: Project = "clearml-hpo"
    template: TemplatesSpec
    search_space: dict[str, Any]
    known_points: bool = True
    define_by_run: bool = False
    parameter_constraints: list[str] = Field(default_factory=list)
    objective: Annotated[list[ObjectiveSpec], Field(min_length=1), BeforeValidator(one_or_several)]
    metric_constraints: list[MetricConstraintSpec] = Field(default_factory=list)
    sampler: Annotated[SamplerSpec, BeforeValidator(name_alone)] = SamplerSpec()
    pruner: Annotated[PrunerSpec, BeforeValidator(name_alone)] = PrunerSpec()
    fidelity: FidelitySpec | None = None
    duplicates: Literal["skip", "rerun"] = "skip"
    enqueue: list[dict[str, Any]] = Field(default_factory=list)
    warm_start: Annotated[list[WarmStartSpec], BeforeValidator(sources)] = Field(default_factory=list)
    budget: BudgetSpec
    failures: FailuresSpec = FailuresSpec()
    execution: ExecutionSpec = ExecutionSpec()
    keep: KeepSpec | None = None
    notify: NotifySpec | None = None
    storage: str | None = None

    @model_validator(mode="after")
    def _outside_needs_no_agents(self) -> StudySpec:
        if self.template.outside and (self.execution.queue != [OUTSIDE] or self.execution.placement):
            raise ValueError(f"template: outside: no agent can run it; give execution: {{queue: {OUTSIDE}}}")
        return self
