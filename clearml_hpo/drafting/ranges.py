"""The range that is proposed for a hyperparameter.

What the script says of it counts first, then the search space of its library, then what is known of its name, then a
rule for its type. The script's own value is always in the range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from clearml_hpo.drafting.found import Found
from clearml_hpo.drafting.starters import search_space

_MLP = "Gorishniy et al. 2021, of tabular networks"
_OPTUNA = "Optuna's examples"
_HPOBENCH = "HPOBench"
_AUTO_SKLEARN = "auto-sklearn"
_AROUND = "around the script's own value"


@dataclass(frozen=True)
class Range:
    """A range as a study file has it.

    Attributes:
        definition: ``{type: float, low: ...}``; of what is not varied, the script's own value or None.
        why: where the range is from, or why it is not varied.
        is_varied: True if a study should vary it.
        rank: 0 where its library has the range, 1 where its name is known, 2 where only its type is.
    """

    definition: Any
    why: str
    is_varied: bool = True
    rank: int = 1


_FIXED = (
    (r"(\w+_)?(seeds?|random_state|rng)", "the same in all trials"),
    (
        r"(\w+_)?(devices?|n?gpus?|cuda|mps|cpus?|workers|n_?jobs|threads?|thread_count|nthread|processes|rank|world_size"
        r"|nodes|port|host|accel|accelerator|backend|fp16|bf16|amp|distributed)|precision|pin_memory|prefetch\w*|strategy",
        "of the machine",
    ),
    (r"(val|valid|validation|test|train|eval)_?(fraction|size|split|ratio|share|frac|pct)", "how data is split"),
    (
        r"(data|dataset|train|test|val|output|out|log|save|cache|root|model|checkpoint|ckpt|work|input|result|results)?_?"
        r"(dir|directory|path|file|folder|filename|url|uri|csv)|data|dataset|datasets|datadir|outdir|output|out|input"
        r"|\w+_(data|dir|path|file|folder|columns?|url)|columns?|target|checkpoint|ckpt|resume|pretrained|weights|load|save"
        r"|(save|load|upload)_\w+|config|cfg|defaults|(image|img|crop|input)_size|num_classes|n_classes",
        "where data lies, and what is in it",
    ),
    (
        r"verbose|verbosity|debug|quiet|silent|log_\w+|logging|logger|\w+_interval|\w+_every|\w+_freq|print_\w+|plot|plots"
        r"|dummy|(test|eval|val|valid)_batch_size|start_(epoch|iter|step)|project|project_name|task|task_name|name|exp_name|run_name|experiment|tags?|version|mode|wandb\w*|notes|user|token"
        r"|profile|dry_run|progress|progress_bar|test|eval|evaluate|demo|overrides|job|hydra",
        "no hyperparameter",
    ),
    (
        r"(n_?|num_|max_|number_of_)?(epochs?|steps|iterations|iters?|rounds|boost_rounds?)|num_train_epochs|early_stopping\w*|patience"
        r"|train_steps|total_timesteps|folds|n_folds|n_splits|cv|trials|max_time",
        "how long it trains, the same in all trials",
    ),
)
"""What is no hyperparameter, by its name, and why."""


@dataclass(frozen=True)
class _Known:
    names: str
    kind: str
    low: float
    high: float
    why: str
    log: bool = False


_RATE = r"lr|learning_rate|learningrate|base_lr|init_lr|lr0|initial_lr|max_lr|learning_rate_init|eta|eta0|step_size"
_KNOWN = (
    _Known(r"weight_decay|wd", "float", 1e-6, 1e-3, _MLP, log=True),
    _Known(r"\w*dropout\w*|drop|drop_rate|drop_prob|p_drop", "float", 0.0, 0.5, _MLP),
    _Known(r"momentum|beta_?1", "float", 0.5, 0.99, "around the usual 0.9"),
    _Known(r"label_smoothing|smoothing", "float", 0.0, 0.2, "around the usual 0.1"),
    _Known(r"n_?layers|num_layers|layers|n_hidden_layers|num_hidden_layers", "int", 1, 8, _MLP),
    _Known(
        r"reg_alpha|reg_lambda|lambda|lambda_|l1|l2|l1_reg|l2_reg|lambda_l[12]", "float", 1e-8, 1.0, _OPTUNA, log=True
    ),
    _Known(r"c|svm_c|svc_c", "float", 1e-3, 100.0, _HPOBENCH, log=True),
    _Known(r"min_samples_leaf", "int", 1, 20, _AUTO_SKLEARN, log=True),
    _Known(r"min_samples_split", "int", 2, 128, _HPOBENCH, log=True),
    _Known(r"n_neighbors|k_neighbors", "int", 1, 50, "mlr3", log=True),
    _Known(r"max_depth|depth|tree_depth", "int", 3, 10, "autoxgboost and TabArena"),
    _Known(r"max_leaf_nodes|num_leaves", "int", 4, 256, "FLAML and Optuna", log=True),
    _Known(r"subsample|bagging_fraction|colsample\w*|feature_fraction", "float", 0.5, 1.0, "autoxgboost"),
    _Known(r"max_features", "float", 0.1, 1.0, _AUTO_SKLEARN),
)
"""Ranges by name, with their source; those of libraries' own names are in search_spaces/."""

_PLAIN = (int, float, str, bool, type(None))
_LIBRARIES = ("catboost", "lightgbm", "xgboost")
_POWERS = r"(\w+_)?batch_?size|bs|batch"
_SHARES = r"\w*(ratio|fraction|prob|probability|percent|rate|share|p|gamma|beta_?2|decay|alpha)"


def propose(found: Found, libraries: Iterable[str] = ()) -> Range:
    """The range of a hyperparameter in a script that imports these libraries."""
    if found.is_required:
        return Range(found.default, "the script asks for it: see template.arguments", is_varied=False)
    fixed = next((why for names, why in _FIXED if re.fullmatch(names, found.words)), "")
    own = _by_script(found) or (None if fixed else _by_library(found, libraries) or _by_name(found) or _by_type(found))
    if own is None or fixed:
        return Range(found.default, fixed or _unknown(found), is_varied=False)
    return own


def _unknown(found: Found) -> str:
    return {
        "": "its own value is None: give it a type and a range",
        "str": "a text: give its choices",
        "list": 'a list: give choices as text, such as "[64, 32]"',
    }.get(found.kind, "give it a range")


def _by_script(found: Found) -> Range | None:
    """By the choices or bounds that the script gives it, or as a switch."""
    if len(found.choices) > 1 and all(isinstance(choice, _PLAIN) for choice in found.choices):
        own = () if found.default in found.choices or found.default is None else (found.default,)
        return Range(_choices([*found.choices, *own]), "the script's own choices")
    if found.kind == "bool":
        return Range(_choices([False, True]), "a switch")
    if found.low is not None and found.high is not None and found.low < found.high:
        low, high = found.low, found.high
        return Range(_numbers(found.kind, low, high, log=low > 0 and high >= 100 * low), "the script's own bounds")
    return None


def _by_library(found: Found, libraries: Iterable[str]) -> Range | None:
    """As the search space of its library has it, where that asks for no other parameter."""
    for library in (name for name in _LIBRARIES if name in libraries):
        definition = _space_of(library).get(found.bare)
        if definition is None:
            continue
        if definition["type"] == "categorical":
            is_own = found.default in definition["choices"]
            return Range(definition, f"search_spaces/{library}", rank=0) if is_own else None
        if found.kind == definition["type"] or (found.kind, definition["type"]) == ("int", "float"):
            given = {**definition, "type": found.kind} if definition["type"] == "int" else definition
            return _around(found, given, f"search_spaces/{library}", rank=0)
    return None


@cache
def _space_of(library: str) -> Mapping[str, dict[str, Any]]:
    space = yaml.safe_load(search_space(library, "default").read_text(encoding="utf-8"))
    parameters = {name: entry for name, entry in space.items() if isinstance(entry, dict) and "when" not in entry}
    return {name.rpartition("/")[2]: entry for name, entry in parameters.items()}


def _by_name(found: Found) -> Range | None:
    name = found.words
    if re.fullmatch(_POWERS, name) and found.kind == "int" and (found.default or 0) > 0:
        return Range(_choices(_powers(found.default)), _AROUND)
    for known in _KNOWN:
        if re.fullmatch(known.names, name) and known.kind == found.kind:
            return _around(found, _numbers(known.kind, known.low, known.high, log=known.log), known.why)
    if re.fullmatch(_RATE, name) and found.kind == "float" and found.default and found.default > 0:
        return Range(
            _numbers("float", found.default / 10, found.default * 10, log=True), "ten times less to ten times more"
        )
    return None


def _by_type(found: Found) -> Range | None:
    """Around the script's own value: a quarter to four times of a whole number, a tenth to ten times of another."""
    own = found.default
    if isinstance(own, bool) or not isinstance(own, (int, float)) or not 0 < abs(own) < 1e15 or own < 0:
        return None
    if found.kind == "int":
        low, high = max(1, own // 4), own * 4
        return Range(_numbers("int", low, high, log=high >= 16 * low), _AROUND, rank=2)
    if own <= 1 and re.fullmatch(_SHARES, found.words) and own >= 0.1:
        return Range(_numbers("float", own / 4, 1.0, log=False), "a share: up to all", rank=2)
    return Range(_numbers("float", own / 10, own * 10, log=True), _AROUND, rank=2)


def _around(found: Found, definition: Mapping[str, Any], why: str, rank: int = 1) -> Range | None:
    """A known range, wide enough for the script's own value."""
    own, low, high = found.default, definition["low"], definition["high"]
    if own is None or isinstance(own, (str, bool)):
        return Range(definition, why, rank=rank)
    if definition.get("log") and own <= 0:
        return None
    wider = {**definition, "low": min(low, own), "high": max(high, own)}
    if wider != definition:
        wider.pop("step", None)
        why = f"{why}; wider, for the script's own value"
    return Range(wider, why, rank=rank)


def _numbers(kind: str, low: float, high: float, *, log: bool) -> dict[str, Any]:
    low, high = (int(low), int(high)) if kind == "int" else (_short(low), _short(high))
    return {"type": kind, "low": low, "high": high, **({"log": True} if log else {})}


def _choices(values: Iterable[Any]) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(dict.fromkeys(values))}


def _powers(own: int) -> list[int]:
    """A quarter to four times, doubled each time."""
    lowest = max(1, own // 4)
    return sorted({own, *(lowest * 2**step for step in range(5) if lowest * 2**step <= own * 4)})


def _short(number: float) -> float:
    return float(f"{number:.6g}")
