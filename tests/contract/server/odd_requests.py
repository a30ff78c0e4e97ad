"""Requests for fuzzing: mostly as the schemas have them, with odd values where one does not expect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from clearml_hpo.server.endpoint import Endpoint

from .sdk_schemas import Schema, request_schemas

_NUMBERS: list[Any] = [0, 1, -1, 2, 500, 2**31, -(2**31), 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**400, 10**30]
_FLOATS: list[Any] = [0.5, -0.0, 1e308, 1e-308, float("nan"), float("inf"), float("-inf"), 1767225600.0, 253402300800.0]
_TEXTS = (
    *("", " ", "-", "x", "long enough", "a/b", "/", "a//b", "../..", "\0", "a\0b", "\ud800", "\U0001f642", "\u202e"),
    *("None", "null", "true", "0", "-1", "1e999", "ffffffffffffffff", "zz", "a" * 5000, "%s", "{}", "{0.x}", "'\";--"),
    *("__$all", "__$any", "__$not", "__$and", "__$or", "-long enough", "all", "section", "none", "iter", "iso_time"),
    *("[", "(?P<", "(a+)+$", "^long enough$", ".*", "a{99999}", "\\", "(?i)x", "^\\", "a.b.c", ".", "..", "a.", ".b"),
    *(
        "last_metrics.a.b.value",
        "last_metrics.a.b.x",
        "hyperparams.General.lr.value",
        "hyperparams.x",
        "execution.queue",
    ),
    *(
        '$."x',
        'a"b',
        "runtime.x",
        "runtime.",
        "models.output.0",
        "project.name",
        "user.name",
        "id",
        "-id",
        "--id",
        "rowid",
    ),
    *("2026-01-31", ">=2026-01-31T00:00:00", "<0001-01-01T00:00:00+23:59", ">", "now", "9999-12-31T23:59:59Z"),
    *("created", "queued", "in_progress", "completed", "published", "training", "properties", "General", "lr"),
    *("training_stats_scalar", "log", "plot", "training_debug_image", "asc", "desc", "last_update", "file:///x"),
)
_FILTERS = ("only_fields", "order_by", "page", "page_size", "size", "scroll_id", "_any_", "_all_", "_or_", "filters")
_COLUMNS = (
    *("tags", "system_tags", "status", "created", "name", "id", "project", "parent", "user", "type", "last_update"),
    *("execution.queue", "hyperparams.General.lr.value", "last_metrics.a.b.value", "models", "runtime.x", "metadata"),
)
_KEYS = st.sampled_from(["x", "General", "lr", "value", "name", "section", "a.b", "", "$", "input", "artifacts"])


class Requests:
    """Strategies of requests in a world whose identifiers are known."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._text = st.one_of(st.sampled_from(list(ids)), st.sampled_from(_TEXTS), st.text(max_size=12))
        self._integer = st.one_of(st.integers(0, 9), st.sampled_from(_NUMBERS), st.integers())
        self._number = st.one_of(self._integer, st.sampled_from(_FLOATS), st.floats())
        leaf = st.one_of(st.none(), st.booleans(), self._number, self._text)
        self._any: st.SearchStrategy[Any] = st.recursive(
            leaf,
            lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS | self._text, below, max_size=3),
            max_leaves=8,
        )
        self._pattern = st.fixed_dictionaries({"pattern": self._text, "fields": st.lists(self._text, max_size=3)})

    def of(self, endpoint: Endpoint) -> st.SearchStrategy[dict[str, Any]]:
        """Bodies for one endpoint: what the SDK's schema and the endpoint's own fields name, and filters."""
        schema = request_schemas().get(endpoint.name, {})
        definitions = schema.get("definitions", {})
        fields = {name: self._typed(field.shown) for name, field in endpoint.fields.items()}
        known = fields | {
            name: self._value(each, definitions, 0) for name, each in schema.get("properties", {}).items()
        }
        required = {name for name, field in endpoint.fields.items() if field.required} | set(schema.get("required", ()))
        given = {name: self._mostly(strategy) for name, strategy in known.items()}
        filters = {name: self._any | self._pattern for name in (*_FILTERS, *_COLUMNS) if name not in known}
        sure = st.fixed_dictionaries({name: given[name] for name in given if name in required})
        return st.builds(
            lambda *parts: {key: value for part in reversed(parts) for key, value in part.items()},
            sure,
            _some({name: given[name] for name in given if name not in required}, 6),
            st.just({}) | _some(filters, 2),
            st.just({}) | st.dictionaries(st.sampled_from([*known, "method"]), self._any, max_size=2),
        )

    def events(self) -> st.SearchStrategy[list[Any]]:
        """Lines of a batch of events."""
        names = ("type", "task", "metric", "variant", "worker", "msg", "level", "plot_str", "url", "key")
        fields: dict[str, st.SearchStrategy[Any]] = {name: self._mostly(self._text) for name in names}
        fields |= {name: self._mostly(self._number) for name in ("iter", "value", "timestamp")}
        fields |= {"model_event": self._mostly(st.booleans())}
        return st.lists(st.fixed_dictionaries({}, optional=fields) | self._any, max_size=4)

    def _mostly(self, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(strategy, strategy, strategy, self._any)

    def _typed(self, shown: str) -> st.SearchStrategy[Any]:
        """Values of a field by ClearML's word for its type, which may be followed by what is said of it."""
        by_type: dict[str, st.SearchStrategy[Any]] = {
            **{"str": self._text, "bool": st.booleans(), "int": self._integer, "float": self._number, "id": self._text},
            "list": st.lists(self._text | self._any, max_size=3),
            "dict": st.dictionaries(_KEYS, self._any, max_size=3),
        }
        return by_type.get(shown.partition(" ")[0], self._text | self._any)

    def _value(self, schema: Schema, definitions: Mapping[str, Schema], depth: int) -> st.SearchStrategy[Any]:
        """Values of a JSON schema, or nearly so."""
        if depth > 5 or not isinstance(schema, Mapping):
            return self._any
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._value(definitions.get(name, {}), definitions, depth + 1)
        for name in ("oneOf", "anyOf"):
            if name in schema:
                return st.one_of(*(self._value(each, definitions, depth + 1) for each in schema[name]))
        if "enum" in schema:
            return st.sampled_from(list(schema["enum"])) | self._text
        types = schema.get("type", [])
        names = [name for name in (types if isinstance(types, list) else [types]) if name != "null"]
        return st.one_of(*(self._of_type(name, schema, definitions, depth) for name in names)) if names else self._any

    def _of_type(
        self, name: str, schema: Schema, definitions: Mapping[str, Schema], depth: int
    ) -> st.SearchStrategy[Any]:
        if name == "array":
            return st.lists(self._value(schema.get("items", {}), definitions, depth + 1), max_size=3)
        if name == "object":
            properties = schema.get("properties", {})
            given = {key: self._value(each, definitions, depth + 1) for key, each in properties.items()}
            other = schema.get("additionalProperties", {})
            below = self._value(other if isinstance(other, Mapping) else {}, definitions, depth + 1)
            return _some(given, 5) if given else st.dictionaries(_KEYS | self._text, below, max_size=3)
        simple = {"string": self._text, "boolean": st.booleans(), "integer": self._integer, "number": self._number}
        return simple.get(name, self._any)


def _some(fields: Mapping[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries with at most so many of these fields."""
    if not fields:
        return st.just({})
    names = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=most)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))
