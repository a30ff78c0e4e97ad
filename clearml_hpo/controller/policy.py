"""What a study file says about how, where and how long trials run, as the loop's policy."""

from __future__ import annotations

from clearml_hpo.executors.local import LOCAL
from clearml_hpo.executors.pilots import PILOTS
from clearml_hpo.scheduler import Failures, Placement, Policy, Retry, Rule
from clearml_hpo.spec import StudyFile
from clearml_hpo.spec.models import FailuresSpec, StudySpec
from clearml_hpo.trial import TrialState

_CLASSES = ("failed", "lost", "no_objective", "not_finite", "aborted")


def policy_of(file: StudyFile) -> Policy:
    """The policy of a study file."""
    return Policy(
        budget=file.budget,
        limits=file.limits,
        placement=placement_of(file.spec),
        failures=_failures(file.spec.failures, has_queues=_own_queue(file.spec) is None),
        rerun_duplicates=file.spec.duplicates == "rerun",
    )


def placement_of(spec: StudySpec) -> Placement:
    """Where trials go; with the local executor, or pilots, to one queue, whatever the rules."""
    execution = spec.execution
    concurrency = execution.concurrency
    per_queue = concurrency if isinstance(concurrency, dict) else {}
    in_all = None if isinstance(concurrency, dict) else concurrency
    if own := _own_queue(spec):
        return Placement((own,), concurrency=in_all, prefetch=execution.prefetch)
    return Placement(
        queues=tuple(execution.queue),
        rules=tuple(
            Rule({name: tuple(values) for name, values in rule.when.items()}, tuple(rule.queue))
            for rule in execution.placement
        ),
        concurrency=in_all,
        per_queue=per_queue,
        prefetch=execution.prefetch,
        retry_queues=tuple(queue for name in _CLASSES if (queue := getattr(spec.failures, name).queue)),
    )


def agent_queues(spec: StudySpec) -> tuple[str, ...]:
    """The queues that agents are to serve."""
    if spec.execution.pilots is not None:
        return tuple(spec.execution.queue)
    return placement_of(spec).all_queues if _own_queue(spec) is None else ()


def _own_queue(spec: StudySpec) -> str | None:
    """Where all trials go if not to queues that agents serve."""
    return LOCAL if spec.execution.executor == "local" else PILOTS if spec.execution.pilots else None


def _failures(given: FailuresSpec, *, has_queues: bool) -> Failures:
    return Failures(
        retries={
            TrialState(name): Retry(one.retries, (one.queue or "") if has_queues else "")
            for name in _CLASSES
            if (one := getattr(given, name))
        },
        stop_after=given.stop_after,
        lost_after_s=given.lost_after,
    )
