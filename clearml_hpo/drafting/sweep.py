"""Sweeps of W&B: ``method``, ``metric``, ``parameters`` and ``program``, in YAML or given to ``wandb.sweep``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from clearml_hpo.core import yaml_documents
from clearml_hpo.core.errors import InputError
from clearml_hpo.drafting.conversion import Converted
from clearml_hpo.drafting.source import Program, keyword

TOOL = "W&B"
_SAMPLERS = {"bayes": "auto", "random": "random", "grid": "grid"}
_OURS = ("method", "metric", "parameters", "program", "command", "early_terminate", "run_cap", "name", "project")
_MARKS = ("${env}", "${interpreter}", "${program}", "${args}", "${args_no_boolean_flags}", "${args_no_hyphens}")
_NO_RANGE = "{}: {} has no bounds: give it low and high"
_QUANTUM = "{}: rounding to {} on a logarithmic scale is left out"


def is_sweep(data: object) -> bool:
    """True of the content of a sweep's file."""
    return isinstance(data, dict) and isinstance(data.get("parameters"), dict) and "method" in data


def read_sweep(path: Path) -> Converted:
    """Converts the file of a sweep; raises InputError for what is none."""
    try:
        data = yaml_documents.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from None
    return _converted(data, path)


def read_sweep_of_script(path: Path) -> Converted | None:
    """Converts the sweep that a Python file gives to ``wandb.sweep``; None if it gives none that can be read."""
    program = Program(path, path.parent)
    for source in program.sources:
        for call in source.calls:
            given = keyword(call, "sweep", 0)
            if source.dotted(call.func) == "wandb.sweep" and given is not None:
                data = program.entry(source, given)
                if is_sweep(data):
                    found = _converted(data, path)
                    project = keyword(call, "project")
                    found.project = str(program.entry(source, project) or "") if project is not None else found.project
                    return found
    return None


def _converted(data: Any, path: Path) -> Converted:
    if not is_sweep(data):
        raise InputError(f"{path}: no sweep of W&B: method and parameters are missing")
    found = Converted(TOOL, name=str(data.get("name") or ""), project=str(data.get("project") or ""))
    _read_parameters(found, data["parameters"], "")
    _read_metric(found, data.get("metric"))
    _read_method(found, data["method"])
    _read_program(found, path.parent, data)
    _read_early_terminate(found, data.get("early_terminate"))
    run_cap = data.get("run_cap")
    found.trials = run_cap if isinstance(run_cap, int) and run_cap > 0 else None
    found.left_out += [f"{key}: {data[key]}" for key in data if key not in _OURS]
    return found


def _read_parameters(found: Converted, given: Mapping[str, Any], prefix: str) -> None:
    for short, definition in given.items():
        name = f"{prefix}{short}"
        if not isinstance(definition, dict):
            found.left_out.append(f"{name}: {definition}")
        elif isinstance(definition.get("parameters"), dict):
            _read_parameters(found, definition["parameters"], f"{name}/")
        else:
            _read_parameter(found, name, definition)


def _read_parameter(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    kind = given.get("distribution") or _implied(given)
    convert = _DISTRIBUTIONS.get(kind)
    if convert is None:
        found.left_out.append(_NO_RANGE.format(name, kind or "its definition"))
        return
    if "probabilities" in given:
        found.left_out.append(f"{name}: the probabilities of its values; all are drawn alike at first")
    try:
        convert(found, name, given)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found.left_out.append(f"{name}: {kind} lacks, or has a wrong: {error}")


def _implied(given: Mapping[str, Any]) -> str:
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    whole = all(isinstance(given.get(key), int) for key in ("min", "max"))
    return ("int_uniform" if whole else "uniform") if "min" in given else ""


def _edges(given: Mapping[str, Any], change: Callable[[float], float] = float) -> tuple[float, float]:
    low, high = sorted(float(f"{change(float(given[key])):.12g}") for key in ("min", "max"))
    return low, high


def _uniform(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    found.add_range(name, "float", *_edges(given))


def _int_uniform(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    found.add_range(name, "int", *_edges(given))


def _quantized(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    step = float(given.get("q", 1))
    found.add_range(name, "int" if step.is_integer() else "float", *_edges(given), step=step)


def _logarithmic(change: Callable[[float], float]) -> Callable[[Converted, str, Mapping[str, Any]], None]:
    def convert(found: Converted, name: str, given: Mapping[str, Any]) -> None:
        step = float(given.get("q", 1)) if str(given.get("distribution")).startswith("q_") else 0.0
        if step and step != 1:
            found.left_out.append(_QUANTUM.format(name, f"{step:g}"))
        low, high = _edges(given, change)
        kind = "int" if step and step.is_integer() else "float"
        found.add_range(name, kind, max(1, math.ceil(low)) if kind == "int" else low, high, log=True)

    return convert


def _categorical(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    found.add_choices(name, given["values"])


def _constant(found: Converted, name: str, given: Mapping[str, Any]) -> None:
    found.add_constant(name, given["value"])


_DISTRIBUTIONS: Mapping[str, Callable[[Converted, str, Mapping[str, Any]], None]] = {
    "constant": _constant,
    "categorical": _categorical,
    "categorical_w_probabilities": _categorical,
    "uniform": _uniform,
    "int_uniform": _int_uniform,
    "q_uniform": _quantized,
    "log_uniform": _logarithmic(math.exp),  # its bounds are exponents
    "log_uniform_values": _logarithmic(float),
    "q_log_uniform": _logarithmic(math.exp),
    "q_log_uniform_values": _logarithmic(float),
    "inv_log_uniform": _logarithmic(lambda edge: math.exp(-edge)),
    "inv_log_uniform_values": _logarithmic(float),
}


def _read_metric(found: Converted, given: Any) -> None:
    if isinstance(given, dict):
        found.metric = str(given.get("name") or "")
        found.direction = {"minimize": "minimize", "maximize": "maximize"}.get(str(given.get("goal") or "minimize"), "")
        if "target" in given:
            found.left_out.append(f"metric.target: {given['target']}: here it is budget.target")


def _read_method(found: Converted, method: Any) -> None:
    found.sampler = _SAMPLERS.get(str(method), "auto")
    if method not in _SAMPLERS:
        found.left_out.append(f"method: {method}")


def _read_program(found: Converted, folder: Path, data: Mapping[str, Any]) -> None:
    """The script, and what the command has beside W&B's own words."""
    if data.get("program"):
        found.script = folder / str(data["program"])
    words = data.get("command")
    if not isinstance(words, list):
        return
    texts = [str(word) for word in words]
    at = texts.index("${program}") if "${program}" in texts else -1
    before, after = (texts[:at], texts[at + 1 :]) if at >= 0 else ([], texts)
    if at < 0:
        found.left_out.append(f"command: {' '.join(texts)}")
        return
    launcher = _own(before)
    launcher = launcher[1:] if launcher[:1] in (["python"], ["python3"]) and len(launcher) == 1 else launcher
    if launcher:
        found.template["launcher"] = " ".join(launcher)
    if arguments := _own(after):
        found.template["arguments"] = arguments


def _own(words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in _MARKS and not word.startswith("${") and word != "/usr/bin/env"]


def _read_early_terminate(found: Converted, given: Any) -> None:
    if not isinstance(given, dict):
        return
    if given.get("type") != "hyperband":
        found.left_out.append(f"early_terminate: {given.get('type')}")
        return
    options = {"min_iter": "min_resource", "max_iter": "max_resource", "eta": "reduction_factor"}
    kept = {options[key]: value for key, value in given.items() if key in options}
    found.pruner = {"name": "hyperband", **({"options": kept} if kept else {})}
    found.left_out += [f"early_terminate.{key}: {given[key]}" for key in given if key not in (*options, "type")]
