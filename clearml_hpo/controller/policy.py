"""What a study file says about how, where and how long trials run, as the loop's policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clearml_hpo.core.trial import RETRYABLE
from clearml_hpo.core.values import Params
from clearml_hpo.executors.dask.plan import DASK, place_of
from clearml_hpo.executors.kinds import own_queue_of
from clearml_hpo.executors.local import LOCAL
from clearml_hpo.executors.outside import OUTSIDE
from clearml_hpo.executors.pilots import PILOTS
from clearml_hpo.scheduler import Failures, Placement, Policy, Retry, Rule
from clearml_hpo.study_file import StudyFile
from clearml_hpo.study_file.models import PlacementSpec, StudySpec

_LOST_ON_DASK_S = 100.0
"""A trial on Dask of which nothing was heard for so long is lost, unless the study file says another time."""


def policy_of(file: StudyFile) -> Policy:
    """The policy of a study file."""
    return Policy(
        budget=file.budget,
        limits=file.limits,
        placement=placement_of(file),
        failures=_failures(file.spec),
        rerun_duplicates=file.spec.duplicates == "rerun",
        fidelity=file.fidelity,
    )


def placement_of(file: StudyFile) -> Placement:
    """Where trials go; with the local executor, or pilots, to one queue, whatever the rules; with Dask by resources."""
    spec, execution = file.spec, file.spec.execution
    concurrency = execution.concurrency
    per_queue = concurrency if isinstance(concurrency, dict) else {}
    in_all = None if isinstance(concurrency, dict) else concurrency
    if own := _own_queue(spec):
        return Placement((own,), concurrency=in_all, prefetch=execution.prefetch)
    if execution.dask is not None and execution.executor == DASK:
        place = place_of(execution.dask.resources)
        rules = tuple(_rules(execution.placement, file.space.constants))
        return Placement((place,), rules, concurrency=in_all, prefetch=execution.prefetch)
    return Placement(
        queues=tuple(execution.queue),
        rules=tuple(_rules(execution.placement, file.space.constants)),
        concurrency=in_all,
        per_queue=per_queue,
        prefetch=execution.prefetch,
        retry_queues=tuple(queue for state in RETRYABLE if (queue := getattr(spec.failures, state.value).queue)),
        outside=frozenset({OUTSIDE}),
    )


def agent_queues(file: StudyFile) -> tuple[str, ...]:
    """The queues that agents are to serve."""
    if file.spec.execution.pilots is not None:
        return tuple(file.spec.execution.queue)
    if not _has_agents(file.spec):
        return ()
    own = queues_of_executors(file)
    return tuple(queue for queue in placement_of(file).all_queues if queue not in own)


def queues_of_executors(file: StudyFile) -> tuple[str, ...]:
    """The queues beside those of agents that another executor serves: outside workers, and a Dask cluster."""
    if not _has_agents(file.spec) or file.spec.execution.pilots is not None:
        return ()
    special = (OUTSIDE, DASK) if file.spec.execution.dask is not None else (OUTSIDE,)
    return tuple(queue for queue in placement_of(file).all_queues if queue in special)


def goes_outside(file: StudyFile) -> bool:
    """Whether some trials are handed out to outside workers."""
    return OUTSIDE in queues_of_executors(file)


def _has_agents(spec: StudySpec) -> bool:
    """Whether trials go to queues that the study file names."""
    return spec.execution.executor != DASK and _own_queue(spec) is None


def _own_queue(spec: StudySpec) -> str | None:
    """Where all trials go if not to queues that agents serve."""
    execution = spec.execution
    if execution.pilots is not None:
        return PILOTS
    return LOCAL if execution.executor == "local" else own_queue_of(execution.executor) or None


def _rules(given: Sequence[PlacementSpec], constants: Params) -> Iterator[Rule]:
    """Those that trials may fit; what they say of constants, which no trial's parameters have, is settled here."""
    for rule in given:
        if all(constants[name] in values for name, values in rule.when.items() if name in constants):
            when = {name: tuple(values) for name, values in rule.when.items() if name not in constants}
            yield Rule(when, tuple(rule.queue or (place_of(rule.resources or {}),)))


def _failures(spec: StudySpec) -> Failures:
    given, has_queues = spec.failures, _has_agents(spec)
    # A Dask worker leaves no supervisor that could say so when it dies, and workers report every 30 s.
    is_quick = spec.execution.executor == DASK and "lost_after" not in given.model_fields_set
    return Failures(
        retries={
            state: Retry(one.retries, (one.queue or "") if has_queues else "")
            for state in RETRYABLE
            if (one := getattr(given, state.value))
        },
        stop_after=given.stop_after,
        lost_after_s=_LOST_ON_DASK_S if is_quick else given.lost_after,
        silent_after_s=given.silent_after,
    )
