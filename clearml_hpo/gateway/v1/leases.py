"""Leases: a secret for each hand-out, which only the worker that was given the trial can show."""

from __future__ import annotations

import hmac

from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db.handouts import Handout


class Leases:
    """Derived from the gateway's key, so that none need be kept."""

    def __init__(self, pepper: Pepper) -> None:
        self._pepper = pepper

    def of(self, study: str, wire: int, token: str) -> str:
        """The lease of a hand-out to a token (its id): 32 hexadecimal digits."""
        return self._pepper.derive(f"lease {study} {wire} {token}")[:32]

    def fits(self, lease: str, handout: Handout) -> bool:
        """Whether it is that of this hand-out."""
        own = self.of(handout.study, handout.wire, handout.token)
        return hmac.compare_digest(lease.encode(), own.encode())
