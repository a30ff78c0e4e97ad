"""The owner's key pair, and the key that signs tokens: made at a server's first start."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass
from pathlib import Path

from clearml_hpo.core.errors import ServerError


@dataclass(frozen=True)
class Credentials:
    """A key pair for clients, and the key that signs tokens."""

    access_key: str
    secret_key: str
    token_secret: str

    @classmethod
    def generate(cls) -> Credentials:
        """Fresh keys."""
        return cls(*new_key_pair(), secrets.token_urlsafe(48))

    @classmethod
    def load_or_make(cls, path: Path) -> Credentials:
        """Reads the file of keys, which is made at first start, for its owner only."""
        if not path.exists():
            # Of two that start at once, the keys of one count; no process reads half a file.
            temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(cls.generate()), file, indent=2)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise ServerError(
                f"{path} does not hold this server's keys ({error}); remove it to make new ones"
            ) from None


def new_key_pair() -> tuple[str, str]:
    """A fresh access key and secret key in the form of ClearML's."""
    letters = string.ascii_uppercase + string.digits
    return "".join(secrets.choice(letters) for _ in range(20)), secrets.token_urlsafe(36)
