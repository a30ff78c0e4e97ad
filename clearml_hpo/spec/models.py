"""What a study file may say: one model per block."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from clearml_hpo import pruners, samplers
from clearml_hpo.objective import Objective

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(given: object) -> object:
    """``90``, ``90s``, ``10m``, ``2h``, ``1d``, ``1h30m`` → seconds."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return given
    if not isinstance(given, str) or not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", given):
        raise ValueError(f"{given!r} is no duration; write seconds, or 90s, 10m, 2h, 1d, 1h30m")
    return sum(float(n) * _UNITS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", given))


Seconds: TypeAlias = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Whole: TypeAlias = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        """A block whose lines are all commented out is null in YAML."""
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if value is not None or key not in cls.model_fields}


class TemplateSpec(_Strict):
    """What is trained: a script, a task by id, or a task by project and name."""

    script: Path | None = None
    task: str | None = None
    project: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> TemplateSpec:
        ways = [bool(self.script), bool(self.task), bool(self.project or self.name)]
        if sum(ways) != 1 or bool(self.project) != bool(self.name):
            raise ValueError("give one of: script; task (an id); project and name")
        return self


class ObjectiveSpec(_Strict):
    """Which scalar counts: ``metric`` is ``title/series``."""

    metric: str
    direction: Literal["minimize", "maximize"]
    value: Literal["last", "best"] = "last"

    @field_validator("metric")
    @classmethod
    def _title_and_series(cls, metric: str) -> str:
        Objective.parse(metric)
        return metric


class SamplerSpec(_Strict):
    """The sampler by name, its seed, and options of Optuna's class."""

    name: Literal[samplers.NAMES] = samplers.DEFAULT  # type: ignore[valid-type]
    seed: Whole | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class PrunerSpec(_Strict):
    """The pruner by name, and options of Optuna's class."""

    name: Literal[pruners.NAMES] = pruners.DEFAULT  # type: ignore[valid-type]
    options: dict[str, Any] = Field(default_factory=dict)


class BudgetSpec(_Strict):
    """When the study ends: after so many trials, or so much time."""

    trials: Annotated[Whole, Field(ge=1)] | None = None
    time: Seconds | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> BudgetSpec:
        if self.trials is None and self.time is None:
            raise ValueError("give trials, time, or both")
        return self


class ExecutionSpec(_Strict):
    """Where trials run: a ClearML queue, and how many at once (default: one per worker of the queue)."""

    queue: Annotated[str, Field(min_length=3)] = "default"
    concurrency: Annotated[Whole, Field(ge=1)] | None = None
    prefetch: Annotated[Whole, Field(ge=0)] = 1
    poll_interval: Seconds = 2.0


def name_alone(given: object) -> object:
    """``sampler: tpe`` stands for ``sampler: {name: tpe}``."""
    return {"name": given} if isinstance(given, str) else given


class StudySpec(_Strict):
    """A study file, checked."""

    study: Annotated[str, Field(min_length=3)]
    project: Annotated[str, Field(min_length=3)] = "clearml-hpo"
    template: TemplateSpec
    search_space: dict[str, Any]
    objective: ObjectiveSpec
    sampler: Annotated[SamplerSpec, BeforeValidator(name_alone)] = SamplerSpec()
    pruner: Annotated[PrunerSpec, BeforeValidator(name_alone)] = PrunerSpec()
    budget: BudgetSpec
    execution: ExecutionSpec = ExecutionSpec()
