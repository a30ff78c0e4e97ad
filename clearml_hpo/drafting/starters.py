"""The templates of this package and their search spaces, to copy."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from clearml_hpo.core.errors import InputError

_CHECKOUT = Path(__file__).resolve().parents[2]
_DISTRIBUTION = "clearml-hpo"
NAMES = ("catboost", "xgboost", "lightgbm", "sklearn", "minimal")

_OBJECTIVE = "{metric: validation/logloss, direction: minimize, value: best}"
_MINIMAL_SPACE = """\
search_space:
  learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}
  l2: {type: float, low: 1.0e-6, high: 0.01, log: true}
  average: {type: categorical, choices: [false, true]}
"""
_STUDY = """\
# {name}: a copy of clearml-hpo's template, to make your own.
study: tune-{name}
project: clearml-hpo

template: {{script: {script}}}        # its parameters and their defaults are in its first lines

{space}
objective: {objective}
budget: {{trials: {trials}}}

execution: {{queue: default}}          # of the configured server; with `run --local`, processes of this machine
"""


def search_space(library: str, size: str) -> Path:
    """The search space of a template: small, default or wide."""
    return _file(f"search_spaces/{library}/{size}.yaml")


def copy(name: str, folder: Path, *, force: bool) -> Iterator[Path]:
    """Copies a template, its search spaces and a study file into a folder; yields what it writes.

    Raises:
        InputError: a file is there already.
    """
    script = _file(f"templates/{name}_train.py")
    texts = {folder / script.name: script.read_text(encoding="utf-8")}
    spaces = [] if name == "minimal" else [search_space(name, size) for size in ("small", "default", "wide")]
    texts |= {folder / "search_spaces" / path.name: path.read_text(encoding="utf-8") for path in spaces}
    texts[folder / "study.yaml"] = _STUDY.format(
        name=name,
        script=script.name,
        space="search_space: search_spaces/small.yaml    # or default.yaml, wide.yaml" if spaces else _MINIMAL_SPACE,
        objective=_OBJECTIVE,
        trials=20,
    )
    present = [str(path) for path in texts if path.exists()]
    if present and not force:
        raise InputError(f"{present[0]} is there already; --force overwrites")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        yield path


def _file(name: str) -> Path:
    """A file of the templates: in a checkout, or where the wheel has put it."""
    if (_CHECKOUT / name).is_file() and (_CHECKOUT / "setup.cfg").is_file():
        return _CHECKOUT / name
    try:
        installed = files(_DISTRIBUTION) or ()
    except PackageNotFoundError:
        installed = ()
    for file in installed:
        if file.as_posix().endswith(f"share/{_DISTRIBUTION}/{name}"):
            return Path(str(file.locate()))
    raise InputError(f"this installation of {_DISTRIBUTION} has no {name}: install its wheel again")
