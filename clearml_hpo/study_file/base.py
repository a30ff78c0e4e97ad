"""What the blocks of study and campaign files are made of: strict models, durations, numbers, short forms."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from clearml_hpo.core.units import to_seconds


def seconds(given: object) -> object:
    """``90``, or a duration as text, → seconds. Raises ValueError."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return given
    return to_seconds(given)


def no_flag(given: object) -> object:
    """Anything but true and false, which would be 1 and 0. Raises ValueError."""
    if isinstance(given, bool):
        raise ValueError(f"expected a number, found {str(given).lower()}")
    return given


Seconds: TypeAlias = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]
Number: TypeAlias = Annotated[float, BeforeValidator(no_flag), Field(allow_inf_nan=False)]
Whole: TypeAlias = Annotated[int, Field(strict=True)]


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        """A block whose lines are all commented out is null in YAML."""
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if value is not None or key not in cls.model_fields}


def list_of_names(given: object) -> object:
    """``queue: gpu`` stands for ``queue: [gpu]``."""
    if not isinstance(given, (str, list, tuple)):
        raise ValueError(f"found {given!r}; expected a name, or a list of names")
    return [given] if isinstance(given, str) else given


def words(given: object) -> object:
    """``--data a.csv`` stands for ``[--data, a.csv]``."""
    if isinstance(given, list):
        return [each if isinstance(each, str) else str(each) for each in given]
    return shlex.split(given) if isinstance(given, str) else given


Words: TypeAlias = Annotated[list[str], BeforeValidator(words)]


def name_alone(given: object) -> object:
    """``sampler: tpe`` stands for ``sampler: {name: tpe}``."""
    return {"name": given} if isinstance(given, str) else given


def one_or_several(given: object) -> object:
    """One block stands for a list of one."""
    return [given] if isinstance(given, dict) else given
