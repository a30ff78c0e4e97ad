"""Search spaces of Ray Tune: dictionaries of ``tune.uniform(...)`` in a Python file, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clearml_hpo.core.errors import InputError
from clearml_hpo.drafting.conversion import Converted
from clearml_hpo.drafting.source import Program, Source, Unreadable, keyword

TOOL = "Ray Tune"
_DIRECTIONS = {"min": "minimize", "max": "maximize"}
_RUNS = ("TuneConfig", "run", "run_experiments")
_PRUNERS = {
    **dict.fromkeys(("ASHAScheduler", "AsyncHyperBandScheduler"), "successive_halving"),
    "HyperBandScheduler": "hyperband",
    "MedianStoppingRule": "median",
}
_OPTIONS = {"grace_period": "min_resource", "reduction_factor": "reduction_factor"}


def read_ray_tune(path: Path) -> Converted:
    """Converts the search space, the objective and the scheduler in a Python file; raises InputError if it has none."""
    program = Program(path, path.parent)
    source, found = program.main, Converted(TOOL)
    spaces = [*_spaces(source)]
    if not spaces:
        raise InputError(f"{path}: no search space of Ray Tune (tune.uniform, tune.choice, ...), and no wandb.sweep")
    for space in spaces:
        _read_space(program, source, found, space, "")
    for call in source.calls:
        name = source.dotted(call.func).rpartition(".")[2]
        if name in _RUNS and "ray" in source.dotted(call.func):
            _read_run(program, source, found, call)
        elif name in _PRUNERS:
            _read_scheduler(program, source, found, call, name)
        elif name.endswith(("Scheduler", "Training", "PB2")) and "ray" in source.dotted(call.func):
            found.left_out.append(f"{ast.unparse(call)} (line {call.lineno})")
    return found


def _spaces(source: Source) -> Iterator[ast.Dict]:
    """Outermost dictionaries that have a call of Ray Tune in them."""
    inner: set[int] = set()
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Dict)
            and id(node) not in inner
            and any(_sampled(source, each) for each in ast.walk(node))
        ):
            inner |= {id(each) for each in ast.walk(node)}
            yield node


def _sampled(source: Source, node: ast.AST) -> str:
    """``uniform`` for ``tune.uniform(...)``; empty for anything else."""
    name = source.dotted(node.func) if isinstance(node, ast.Call) else ""
    parent, _, own = name.rpartition(".")
    return own if parent in ("ray.tune", "tune", "ray.tune.search.sample") and own in _SAMPLED else ""


def _read_space(program: Program, source: Source, found: Converted, space: ast.Dict, prefix: str) -> None:
    for key, node in zip(space.keys, space.values, strict=True):
        own = program.entry(source, key) if key is not None else None
        if not isinstance(own, str):
            found.left_out.append(f"{ast.unparse(node)} (line {node.lineno}): its name is known only when it runs")
            continue
        home, value = program.assigned(source, node)
        name = f"{prefix}{own}"
        if isinstance(value, ast.Dict):
            _read_space(program, home, found, value, f"{name}/")
        elif isinstance(value, ast.Call) and (kind := _sampled(home, value)):
            _read_sampled(program, home, found, name, kind, value)
        else:
            _read_constant(program, home, found, name, value)


def _read_constant(program: Program, source: Source, found: Converted, name: str, node: ast.expr) -> None:
    try:
        found.add_constant(name, program.value(source, node))
    except Unreadable:
        found.left_out.append(f"{name}: {ast.unparse(node)} (line {node.lineno})")


def _read_sampled(program: Program, source: Source, found: Converted, name: str, kind: str, call: ast.Call) -> None:
    convert = _SAMPLED[kind]
    given = [*call.args, *(k.value for k in call.keywords if k.arg in ("lower", "upper", "q", "categories", "values"))]
    try:
        if convert is None:
            raise Unreadable
        convert(found, name, *(program.value(source, node) for node in given[:3]))
    except (Unreadable, TypeError, ValueError):
        found.left_out.append(f"{name}: {ast.unparse(call)} (line {call.lineno})")


def _uniform(found: Converted, name: str, low: float, high: float, q: float = 0) -> None:
    found.add_range(name, "float", low, high, step=q)


def _loguniform(found: Converted, name: str, low: float, high: float, base: float = 10) -> None:
    found.add_range(name, "float", low, high, log=True)


def _qloguniform(found: Converted, name: str, low: float, high: float, q: float) -> None:
    found.left_out.append(f"{name}: rounding to {q:g} on a logarithmic scale is left out")
    found.add_range(name, "float", low, high, log=True)


def _randint(found: Converted, name: str, low: int, high: int) -> None:
    found.add_range(name, "int", low, high - 1)  # the upper end is none of its values


def _qrandint(found: Converted, name: str, low: int, high: int, q: int = 1) -> None:
    found.add_range(name, "int", low, high, step=q)


def _lograndint(found: Converted, name: str, low: int, high: int, base: float = 10) -> None:
    found.add_range(name, "int", low, high - 1, log=True)


def _qlograndint(found: Converted, name: str, low: int, high: int, q: int) -> None:
    if q != 1:
        found.left_out.append(f"{name}: rounding to {q} on a logarithmic scale is left out")
    found.add_range(name, "int", low, high, log=True)


def _choice(found: Converted, name: str, values: Any) -> None:
    found.add_choices(name, values)


_SAMPLED: Mapping[str, Callable[..., None] | None] = {
    "uniform": _uniform,
    "quniform": _uniform,
    "loguniform": _loguniform,
    "qloguniform": _qloguniform,
    "randint": _randint,
    "qrandint": _qrandint,
    "lograndint": _lograndint,
    "qlograndint": _qlograndint,
    "choice": _choice,
    "grid_search": _choice,
    "randn": None,
    "qrandn": None,
    "sample_from": None,
}
"""What each function of Ray Tune becomes; None: it has no bounds, or is a function."""


def _read_run(program: Program, source: Source, found: Converted, call: ast.Call) -> None:
    """Objective and number of trials of ``tune.TuneConfig(...)`` or ``tune.run(...)``."""
    given = {k.arg: program.entry(source, k.value) for k in call.keywords if k.arg}
    found.metric = str(given.get("metric") or found.metric)
    found.direction = _DIRECTIONS.get(str(given.get("mode")), found.direction)
    count = given.get("num_samples")
    found.trials = count if isinstance(count, int) and count > 0 else found.trials
    algorithm = keyword(call, "search_alg")
    if algorithm is not None:
        found.left_out.append(f"search_alg={ast.unparse(algorithm)} (line {call.lineno}): sampler: auto picks one")


def _read_scheduler(program: Program, source: Source, found: Converted, call: ast.Call, name: str) -> None:
    given = {k.arg: program.entry(source, k.value) for k in call.keywords if k.arg}
    found.metric = str(given.get("metric") or found.metric)
    found.direction = _DIRECTIONS.get(str(given.get("mode")), found.direction)
    pruner = _PRUNERS[name]
    kept = {} if pruner == "median" else {_OPTIONS[key]: given[key] for key in _OPTIONS if given.get(key) is not None}
    found.pruner = {"name": pruner, **({"options": kept} if kept else {})}
    others = [key for key in given if key not in (*_OPTIONS, "metric", "mode", "time_attr")]
    found.left_out += [f"{name}: {key}={ast.unparse(keyword(call, key) or call)}" for key in others]
