"""The campaign file: many studies on shared resources, each checked as a study file is."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.values import full_name
from clearml_hpo.study_file.base import Seconds, Strict, Whole
from clearml_hpo.study_file.errors import explain
from clearml_hpo.study_file.load import StudyFile, check_data, include_search_space
from clearml_hpo.study_file.overrides import apply_override
from clearml_hpo.study_file.source_lines import KeyPath, SourceLine, SourceLines, dotted, line_of, parse_yaml, read_yaml

_OF_ALL = (
    *("objective", "metric_constraints", "sampler", "pruner", "fidelity", "duplicates", "budget", "failures", "keep"),
    "notify",
)
_OF_A_MODEL = (*_OF_ALL, "parameter_constraints", "enqueue", "known_points")
_OF_A_DATASET = ("objective", "metric_constraints", "pruner", "budget")


class ResourceSpec(Strict):
    """What runs trials: slots of this machine, or a ClearML queue that others serve."""

    gpu: Annotated[Whole, Field(ge=0)] | str | None = None
    threads: Annotated[Whole, Field(ge=1)] | None = None
    takes: Annotated[Whole, Field(ge=1)] = 1
    queue: Annotated[str, Field(min_length=3)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ResourceSpec:
        if self.queue is not None and self.model_fields_set - {"queue"}:
            raise ValueError("queue stands alone: it takes as many trials as it has workers, and they have the GPUs")
        return self


def _is_name(name: str) -> str:
    if not name or any(character in name for character in "/:.") or name != name.strip():
        raise ValueError(f"found {name!r}; a name has one character or more, and none of / : .")
    return name


Name = Annotated[str, AfterValidator(_is_name)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Blocks(Strict):
    """Blocks of a study file, checked with each study that they are part of."""

    objective: Any = None
    metric_constraints: Any = None
    sampler: Any = None
    pruner: Any = None
    fidelity: Any = None
    duplicates: Any = None
    budget: Any = None
    failures: Any = None
    keep: Any = None
    notify: Any = None


class ModelSpec(_Blocks):
    """A model: its template and search space, which resources it may use, and its share of them."""

    template: Any
    search_space: Any
    resources: Annotated[list[str], Field(min_length=1)]
    weight: Weight = 1.0
    parameter_constraints: Any = None
    enqueue: Any = None
    known_points: Any = None


class MemberSpec(Strict):
    """One of a list of studies: a study file, or the study written out."""

    file: Path | None = None
    study: dict[str, Any] | None = None
    resources: Annotated[list[str], Field(min_length=1)]
    weight: Weight = 1.0
    dataset: Name | None = None
    model: Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> MemberSpec:
        if (self.file is None) == (self.study is None):
            raise ValueError("give one of: file (a study file); study (the study itself)")
        return self


class SharedExecutionSpec(Strict):
    """How the studies of a campaign share: ``prefetch`` trials wait for each that a resource takes."""

    prefetch: Annotated[Whole, Field(ge=0)] = 1
    poll_interval: Seconds = 2.0


class CampaignSpec(_Blocks):
    """A campaign file, its studies not yet looked at."""

    campaign: Annotated[str, Field(min_length=3)]
    project: Annotated[str, Field(min_length=3)] = "clearml-hpo"
    resources: Annotated[dict[Name, ResourceSpec], Field(min_length=1)]
    models: dict[Name, ModelSpec] = Field(default_factory=dict)
    datasets: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    studies: list[MemberSpec] = Field(default_factory=list)
    execution: SharedExecutionSpec = SharedExecutionSpec()

    @model_validator(mode="after")
    def _some_studies(self) -> CampaignSpec:
        if bool(self.models) != bool(self.datasets) or bool(self.models) == bool(self.studies):
            raise ValueError("give models and datasets, or studies")
        return self


@dataclass(frozen=True)
class Member:
    """A study of a campaign.

    Attributes:
        rank: of its data set: 0 is the first.
        resources: names of those that it may use.
        weight: its share of them, against the other studies of the same data set.
    """

    dataset: str
    model: str
    rank: int
    resources: tuple[str, ...]
    weight: float
    file: StudyFile = field(repr=False)

    @property
    def name(self) -> str:
        """The study's."""
        return self.file.spec.study


@dataclass(frozen=True)
class CampaignFile:
    """A checked campaign file.

    Attributes:
        members: its studies, in the order of their data sets.
        data: the spec as plain data, overrides applied, search spaces written out, paths absolute.
    """

    spec: CampaignSpec
    members: tuple[Member, ...]
    data: Mapping[str, Any] = field(repr=False)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(dict.fromkeys(member.dataset for member in self.members))

    @property
    def models(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(dict.fromkeys(member.model for member in self.members))

    def text(self, templates: Mapping[str, Mapping[str, str]]) -> str:
        """The campaign as YAML that needs no other file.

        Args:
            templates: ids of the template tasks of each study, by its name, and by model.
        """
        data = copy.deepcopy(dict(self.data))
        written = {member.name: member.file.with_templates(templates[member.name]) for member in self.members}
        for member in self.members if self.spec.models else ():
            data["models"][member.model]["template"] = written[member.name]["template"]
        if self.spec.studies:
            data["studies"] = [
                {
                    "study": written[member.name],
                    "resources": list(member.resources),
                    "weight": member.weight,
                    "dataset": member.dataset,
                    **({"model": member.model} if member.model != member.file.spec.study else {}),
                }
                for member in self.members
            ]
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def is_campaign(path: Path) -> bool:
    """Whether a file says that it is a campaign; raises InputError if it cannot be read."""
    return "campaign" in read_yaml(path)[0]


def load_campaign(path: Path, overrides: Sequence[str] = ()) -> CampaignFile:
    """Reads and checks a campaign file; paths in it are relative to its own folder.

    Args:
        path: the YAML file.
        overrides: ``key.key=value`` texts, the value in YAML, applied before the check.

    Raises:
        InputError: with one line per fault, each naming file, line, key, what was found and what is allowed.
    """
    data, lines = read_yaml(path)
    return _check(data, lines, path.parent.absolute(), overrides, finds_files=True)


def parse_campaign(text: str, name: str, overrides: Sequence[str] = ()) -> CampaignFile:
    """Checks a campaign that its task keeps; ``name`` stands for the file in messages. Raises InputError."""
    data, lines = parse_yaml(text, lambda line: SourceLine(name, line))
    if not isinstance(data, dict):
        raise InputError(f"{name}: expected keys and values, found {type(data).__name__}")
    return _check(data, lines, Path(), overrides)


def _check(
    data: dict[Any, Any],
    lines: SourceLines,
    folder: Path,
    overrides: Sequence[str],
    *,
    finds_files: bool = False,
) -> CampaignFile:
    for override in overrides:
        apply_override(data, lines, override)
    try:
        spec = CampaignSpec.model_validate(data)
    except ValidationError as error:
        raise InputError("\n".join(explain(error, data, lines, CampaignSpec))) from None
    faults = list(_faults_of_resources(spec, lines))
    data = copy.deepcopy(data)
    for model in spec.models:
        _include_space(data, lines, model, folder)
    for name in spec.datasets if finds_files else ():  # a stored one has their whole paths
        _make_absolute(data["datasets"][name], folder)
    given = _crossed(spec, data, lines, folder) if spec.models else _listed(spec, lines, folder)
    members: list[Member] = []
    for study in given:
        try:
            members.append(_member(study, spec))
        except InputError as error:
            faults += str(error).splitlines()
    where = line_of(lines, ("studies",) if spec.studies else ("datasets",))
    faults += _alike(members, where, crossed=not spec.studies)
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))  # a fault of a model is one of all its studies
    return CampaignFile(spec, tuple(sorted(members, key=lambda member: member.rank)), data)


def _alike(members: Sequence[Member], where: object, *, crossed: bool) -> Iterator[str]:
    """Studies that could not be told apart; of crossed ones each has a model and a data set of its own."""
    names = Counter(member.name for member in members)
    if twice := sorted(name for name, times in names.items() if times > 1):
        yield f"{where}: two studies would be called {', '.join(map(repr, twice))}"
    seen: dict[tuple[str, str], str] = {}
    for member in () if crossed else members:
        place = (member.dataset, member.model)
        if place in seen:
            yield (
                f"{where}: {seen[place]!r} and {member.name!r} are both {member.model!r} of the data set "
                f"{member.dataset!r}: give one of them another model or dataset"
            )
        seen.setdefault(place, member.name)


@dataclass(frozen=True)
class _Given:
    """A study as the campaign file has it."""

    dataset: str
    model: str
    rank: int
    resources: Sequence[str]
    weight: float
    data: dict[str, Any]
    lines: SourceLines
    folder: Path


def _member(given: _Given, spec: CampaignSpec) -> Member:
    execution = {"poll_interval": spec.execution.poll_interval, "prefetch": spec.execution.prefetch}
    queues = [spec.resources[name].queue or f"resource {name}" for name in given.resources if name in spec.resources]
    given.data["execution"] = {"queue": queues or ["resource"], **execution}
    given.data["project"] = spec.project
    file = check_data(given.data, given.lines, given.folder)
    model = given.model or file.spec.study
    return Member(given.dataset, model, given.rank, tuple(given.resources), given.weight, file)


def _crossed(spec: CampaignSpec, data: Mapping[str, Any], lines: SourceLines, folder: Path) -> Iterator[_Given]:
    """Every data set with every model."""
    for rank, dataset in enumerate(spec.datasets):
        for name, model in spec.models.items():
            study, own = _blocks(data, lines, dataset, name)
            for key in ("template", "search_space"):
                study[key] = copy.deepcopy(data["models"][name][key])
                own.update(_moved(lines, ("models", name, key), (key,)))
            study["study"] = f"{dataset}-{name}"
            include_search_space(study, own, folder)
            if isinstance(study["search_space"], dict):
                for key, value in data["datasets"][dataset].items():
                    if key not in _OF_A_DATASET:
                        path: KeyPath = ("search_space", full_name(str(key)))
                        study["search_space"][path[1]] = value
                        own[path] = line_of(lines, ("datasets", dataset, key))
            yield _Given(dataset, name, rank, model.resources, model.weight, study, own, folder)


def _blocks(
    data: Mapping[str, Any], lines: SourceLines, dataset: str, model: str
) -> tuple[dict[str, Any], SourceLines]:
    """The blocks of a study: its data set's own, else its model's, else those of all."""
    own: SourceLines = {(): line_of(lines, ("datasets", dataset))}
    study: dict[str, Any] = {}
    places: Sequence[tuple[KeyPath, Iterable[str]]] = (
        ((), _OF_ALL),
        (("models", model), _OF_A_MODEL),
        (("datasets", dataset), _OF_A_DATASET),
    )
    for place, keys in places:
        at: Any = data
        for part in place:
            at = at[part]
        for key in keys:
            if at.get(key) is not None:
                study[key] = copy.deepcopy(at[key])
                for path in [path for path in own if path[:1] == (key,)]:
                    del own[path]
                own.update(_moved(lines, (*place, key), (key,)))
    return study, own


def _listed(spec: CampaignSpec, lines: SourceLines, folder: Path) -> Iterator[_Given]:
    datasets = list(dict.fromkeys(member.dataset or "" for member in spec.studies))
    for index, member in enumerate(spec.studies):
        if member.file is not None:
            path = folder / member.file
            study, own = read_yaml(path)
        else:
            path, study = folder / "-", copy.deepcopy(dict(member.study or {}))
            own = _moved(lines, ("studies", index, "study"), ())
        yield _Given(
            member.dataset or "all",
            member.model or "",
            datasets.index(member.dataset or ""),
            member.resources,
            member.weight,
            study,
            own,
            path.parent,
        )


def _moved(lines: SourceLines, start: KeyPath, to: KeyPath) -> SourceLines:
    """The lines of what is written below ``start``, as those of what is below ``to``."""
    return {(*to, *path[len(start) :]): mark for path, mark in lines.items() if path[: len(start)] == start}


def _include_space(data: dict[Any, Any], lines: SourceLines, model: str, folder: Path) -> None:
    """Puts the file that a model's ``search_space`` names in its place, with the lines of that file."""
    path: KeyPath = ("models", model, "search_space")
    block = {"search_space": data["models"][model]["search_space"]}
    own = {("search_space",): line_of(lines, path), **_moved(lines, path, ("search_space",))}
    include_search_space(block, own, folder)
    data["models"][model]["search_space"] = block["search_space"]
    for old in [old for old in lines if old[: len(path)] == path]:
        del lines[old]
    lines.update({(*path, *at[1:]): mark for at, mark in own.items()})


def _make_absolute(dataset: dict[str, Any], folder: Path) -> None:
    """Trials run in folders of their own: a text that names a file beside the campaign file becomes its whole path."""
    for key, value in dataset.items():
        with contextlib.suppress(OSError):  # a text that is too long for a file's name
            if isinstance(value, str) and value and (folder / value).is_file():
                dataset[key] = str((folder / value).resolve())


def _faults_of_resources(spec: CampaignSpec, lines: SourceLines) -> Iterator[str]:
    """Names that are none of a resource, and what is one resource under two names."""
    users: Sequence[tuple[KeyPath, Sequence[str]]] = [
        *((("models", name, "resources"), model.resources) for name, model in spec.models.items()),
        *((("studies", index, "resources"), member.resources) for index, member in enumerate(spec.studies)),
    ]
    for path, names in users:
        for index, name in enumerate(names):
            where = f"{line_of(lines, (*path, index))}: {dotted(path)}"
            if name not in spec.resources:
                yield (
                    f"{where}: no resource {name!r}{nearest(name, spec.resources)}; there are: "
                    f"{', '.join(spec.resources)}"
                )
            elif name in names[:index]:
                yield f"{where}: {name} is named twice"
    yield from _same_resource(spec, lines)


def _same_resource(spec: CampaignSpec, lines: SourceLines) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    for name, resource in spec.resources.items():
        for key in ("gpu", "queue"):
            value = getattr(resource, key)
            if value is None:
                continue
            first = seen.setdefault((key, str(value)), name)
            if first != name:
                more = "; for several trials at once on one GPU: takes" if key == "gpu" else ""
                at = line_of(lines, ("resources", name, key))
                yield f"{at}: resources.{name}.{key}: {value} is the resource {first} already{more}"
