"""Log-in providers (OpenID Connect) of a gateway: the file that names them, and who of theirs may come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from clearml_hpo.core import yaml_documents
from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.db import accounts
from clearml_hpo.gateway.db.accounts import Role, User
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.machine import settings
from clearml_hpo.machine.settings import is_local
from clearml_hpo.study_file.base import Strict, list_of_names

FILE = "oidc.yaml"
"""The file, in the gateway's folder."""
_LONGEST = 200  # of a name or an address that a provider tells


def _is_safe(issuer: str) -> str:
    if not issuer.startswith("https://") and not (issuer.startswith("http://") and is_local(issuer)):
        raise ValueError("an address that begins with https://")
    return issuer.rstrip("/")


_Values = Annotated[list[str], BeforeValidator(list_of_names), Field(min_length=1)]


class Provider(Strict):
    """One provider.

    Attributes:
        title: on the button.
        issuer: what it calls itself; its discovery document is below that.
        secret: the variable that holds the client's secret; empty for a client without one.
        scope: what is asked for.
        allow: claims, and the values of which a user needs one each; without any nobody comes in.
        projects: the role that its users get in projects of the gateway, by name, at their first log-in.
    """

    title: Annotated[str, Field(min_length=1, max_length=60)]
    issuer: Annotated[str, AfterValidator(_is_safe)]
    client_id: Annotated[str, Field(min_length=1)]
    secret: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$|^$")] = ""
    scope: str = "openid profile email"
    allow: Annotated[dict[str, _Values], Field(min_length=1)]
    projects: dict[str, Role] = Field(default_factory=dict)

    def lets_in(self, claims: Mapping[str, Any]) -> bool:
        """Whether a user of whom the provider tells this may come in."""
        return all(_has_one(claims.get(claim), values) for claim, values in self.allow.items())


def read_providers(file: Path) -> dict[str, Provider]:
    """The providers by name; none if there is no such file.

    Raises:
        InputError: it cannot be read, or a key of it is not sound; a secret's variable is empty.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    try:
        data = yaml_documents.load(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{file} is no YAML: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected providers by name, found {type(data).__name__}")
    found = {}
    for name, given in data.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(name)):
            raise InputError(f"{file}: {name!r}: a provider's name has small letters, digits and hyphens")
        try:
            found[name] = Provider.model_validate(given)
        except ValidationError as error:
            faults = (f"{file}: {'.'.join(map(str, (name, *each['loc'])))}: {each['msg']}" for each in error.errors())
            raise InputError("\n".join(faults)) from None
        if found[name].secret and not settings.secret(found[name].secret):
            raise InputError(f"{file}: {name}.secret: the variable {found[name].secret} is empty")
    return found


def user_of(database: Database, provider: Provider, claims: Mapping[str, Any]) -> User | None:
    """The user of whom a provider tells this, made at the first log-in; None if it may not come in.

    A user is known by who says so and by ``sub``, never by an e-mail address.
    """
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub or not provider.lets_in(claims):
        return None
    name, email = (str(claims.get(claim) or "")[:_LONGEST] for claim in ("name", "email"))
    with database.write() as connection:
        user = accounts.ensure_user(connection, provider.issuer, sub, name=name or sub[:_LONGEST], email=email)
        if user.disabled_at is not None:
            return None
        for project, role in provider.projects.items():
            where = accounts.ensure_project(connection, project).id
            if accounts.role(connection, where, user.id) is None:
                accounts.set_role(connection, where, user.id, role)
    return user


def _has_one(told: object, values: list[str]) -> bool:
    own = told if isinstance(told, list) else [told]
    return any(isinstance(each, str) and each in values for each in own)
