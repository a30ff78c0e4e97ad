"""Scalars that a script reports, and which of them is the objective."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from clearml_hpo.core.goal import SINGLE_VALUES
from clearml_hpo.drafting.found import Metric
from clearml_hpo.drafting.source import Program, Source, Unreadable, keyword

_DIRECTIONS = (
    (
        "minimize",
        r"loss|err(or)?$|error|rmse|mse|mae|mape|perplexity|ppl|fid|wer|cer|latency|time|nll|deviance|regret|distance|cost",
    ),
    (
        "maximize",
        r"acc|auc|auroc|f1|f_?score|score|r2|precision|recall|map|iou|dice|bleu|rouge|ndcg|reward|return|mcc|kappa|correlation|psnr|ssim|hit|gini|ap$",
    ),
)
_WORDS = re.compile(r"[^a-z0-9]+")
_VALIDATION = re.compile(r"val|valid|validation|dev|eval|holdout|cv")
_TEST = re.compile(r"test")
_TRAINING = re.compile(r"train|training|learn")
_OF_MACHINE = ":monitor:"


def metric(name: str) -> Metric:
    """A scalar with the direction that its name suggests."""
    _, _, series = name.partition("/")
    for text in (series, name):
        for direction, pattern in _DIRECTIONS:
            if re.search(pattern, text.lower()):
                return Metric(name, direction)
    return Metric(name)


def in_order(metrics: Iterable[Metric]) -> list[Metric]:
    """The likeliest objective first: validation before test before training, a known direction before none."""
    return sorted(metrics, key=_rank)


def _rank(metric: Metric) -> tuple[int, bool]:
    words = _WORDS.split(metric.name.lower())
    for rank, pattern in ((0, _VALIDATION), (1, _TEST), (3, _TRAINING)):
        if any(pattern.fullmatch(word) for word in words):
            return rank, not metric.direction
    return 2, not metric.direction


def of_names(names: Iterable[str]) -> tuple[Metric, ...]:
    """Metrics by their names, without what the SDK reports of the machine."""
    return tuple(in_order(metric(name) for name in sorted(names) if not name.startswith(_OF_MACHINE)))


def reported(program: Program) -> tuple[list[Metric], list[str]]:
    """The scalars that a script reports, and a line for each call whose names are known only when it runs."""
    found: dict[str, Metric] = {}
    gaps = []
    for source in program.sources:
        for call in source.calls:
            try:
                found.update((name, metric(name)) for name in _of_call(program, source, call))
            except Unreadable:
                gaps.append(f"{source.path.name}:{call.lineno}: the names of what it reports")
            for name in _of_evaluations(program, source, call):
                found.setdefault(name, replace(metric(name), is_guess=True))
    return in_order(found.values()), gaps


def of_tag(tag: str) -> str:
    """The scalar that the SDK makes of a tag of TensorBoard: ``a/b/c`` → ``a_b/c``, ``loss`` → ``loss/loss``."""
    *title, series = tag.split("/")
    return f"{'_'.join(title) or tag}/{series}"


def _of_call(program: Program, source: Source, call: ast.Call) -> Iterator[str]:
    method = source.dotted(call.func).rpartition(".")[2] or (
        call.func.attr if isinstance(call.func, ast.Attribute) else ""
    )
    if method == "report_scalar":
        title, series = (_text(program, source, call, key, at) for at, key in enumerate(("title", "series")))
        yield f"{title}/{series}"
    elif method == "report_single_value":
        yield f"{SINGLE_VALUES}/{_text(program, source, call, 'name', 0)}"
    elif method == "add_scalar":
        yield of_tag(_text(program, source, call, "tag", 0))
    elif _is_tag(program, source, call, method):
        yield of_tag(_text(program, source, call, "name", 0))
    elif method == "log_dict" and _is_self(call) and call.args and isinstance(call.args[0], ast.Dict):
        for key in call.args[0].keys:
            if isinstance(key, ast.Constant):
                yield of_tag(str(key.value))


def _is_tag(program: Program, source: Source, call: ast.Call, method: str) -> bool:
    """True of ``tf.summary.scalar("loss", ...)`` and, in a module of Lightning, ``self.log("loss", ...)``."""
    if method == "scalar":
        return "summary" in source.dotted(call.func)
    return method == "log" and _is_self(call) and any("lightning" in name for name in program.libraries)


def _text(program: Program, source: Source, call: ast.Call, name: str, position: int) -> str:
    node = keyword(call, name, position)
    if node is None:
        raise Unreadable
    value = program.value(source, node)
    if not isinstance(value, str):
        raise Unreadable
    return value


def _is_self(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"


_EVALUATED: Mapping[str, tuple[str, str]] = {
    "xgboost": ("validation_0", "logloss"),
    "lightgbm": ("valid_0", "binary_logloss"),
    "catboost": ("validation", "Logloss"),
}
"""Title, and the metric where none is named, of what the SDK reports of evaluation sets, by library."""


def _of_evaluations(program: Program, source: Source, call: ast.Call) -> Iterator[str]:
    """What the SDK reports of a training with evaluation sets: ``fit(eval_set=...)``, ``train(evals=...)``."""
    given = {k.arg: k.value for k in call.keywords if k.arg}
    method = source.dotted(call.func).rpartition(".")[2]
    libraries = sorted(_EVALUATED.keys() & program.libraries)
    if not libraries or method not in ("fit", "train") or not given.keys() & {"eval_set", "evals", "valid_sets"}:
        return
    title, series = _EVALUATED[libraries[0]]
    evals = program.entry(source, given["evals"]) if "evals" in given else None
    if isinstance(evals, (list, tuple)) and evals and isinstance(evals[-1], (list, tuple)):
        title = str(evals[-1][-1])
    for made in source.calls:
        for key in ("eval_metric", "metric"):
            named = keyword(made, key)
            value = program.entry(source, named) if named is not None else None
            series = value if isinstance(value, str) else series
    yield f"{title}/{series}"
