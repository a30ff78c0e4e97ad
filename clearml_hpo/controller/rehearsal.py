"""What a study depends on, tried before it starts: sampler and pruner on made-up values; what notifications need."""

from __future__ import annotations

from collections.abc import Iterable

from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.notify import faults_of_channels
from clearml_hpo.search.pruners import build_pruner
from clearml_hpo.search.rehearsal import quiet, try_pruner, try_sampler
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.study_file import StudyFile


def rehearse(file: StudyFile, *, is_driven_here: bool = True) -> None:
    """Lets instances of their own draw some points and judge some runs, within about a second and without a word.

    Args:
        is_driven_here: whether the study is driven in this environment, which then has what notifications need.

    Raises:
        InputError: a line, with file and line of the key, for each of the two that raised an error, and for each
            variable or program that notifications need and that is not there.
    """
    faults = faults_of_channels(file.spec.notify) if is_driven_here else []
    for key, rehearsal in (("sampler", _rehearse_sampler), ("pruner", _rehearse_pruner)):
        given = getattr(file.spec, key)
        try:
            with quiet():
                rehearsal(file)
        except Exception as error:  # whatever Optuna, or what it calls, makes of options that are not checked before
            options = f" with options {given.options}" if given.options else ""
            faults.append(Fault((key,), f"{given.name}{options} fails on this study: {type(error).__name__}: {error}"))
    if faults:
        raise InputError(file.explain(faults))


def rehearse_all(files: Iterable[StudyFile]) -> None:
    """Rehearses each sampler and pruner of several studies once for each space that it is used with.

    Raises:
        InputError: as :func:`rehearse`.
    """
    seen = set()
    for file in files:
        space = {name: str(parameter) for name, parameter in file.space.distributions.items()}
        key = (file.spec.sampler.model_dump_json(), file.spec.pruner.model_dump_json(), str(space), str(file.goal))
        if key not in seen:
            seen.add(key)
            rehearse(file)
        elif faults := faults_of_channels(file.spec.notify):
            raise InputError(file.explain(faults))


def _rehearse_sampler(file: StudyFile) -> None:
    given, space, goal = file.spec.sampler, file.space, file.goal
    sampler = build_sampler(
        given.name,
        seed=given.seed,
        options=given.options,
        space=space,
        goal=goal,
        trials=file.spec.budget.trials,
        fidelity=file.fidelity,
    )
    try_sampler(sampler, space, goal, given.options)


def _rehearse_pruner(file: StudyFile) -> None:
    given = file.spec.pruner
    try_pruner(build_pruner(given.name, options=given.options), file.space, file.goal, given.options)
