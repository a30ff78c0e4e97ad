"""How the database knows studies that have a name of their own, and no set-up of a Hopaas client."""

from __future__ import annotations

import hashlib


def suid_of(name: str) -> str:
    """Unique in a project; those of set-ups are other texts."""
    return f"v1-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
