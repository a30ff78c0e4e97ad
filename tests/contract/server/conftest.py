"""How much is fuzzed: the same few requests every time, or many new ones (``make fuzz``)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("few", derandomize=True, max_examples=20, **_COMMON)
settings.register_profile("many", max_examples=300, print_blob=True, **_COMMON)
settings.load_profile("few")
