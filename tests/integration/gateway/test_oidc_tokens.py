"""Log-in at a provider that sends id tokens which do not count: a small one in this process that signs as told."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from clearml_hpo.gateway.auth.oidc import Provider
from clearml_hpo.gateway.db.tables import audit, users
from tests.pages import PagesGateway, Visitor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
KEY, FOREIGN = (RSAKey.generate_key(2048, {"kid": "one"}) for _ in range(2))


class SmallProvider:
    """Discovery, keys and the token of a code; ``claims`` and ``key`` are what the next id token has."""

    def __init__(self, listening):
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.claims, self.key, self.nonce = {}, KEY, ""
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/keys", lambda request: JSONResponse({"keys": [KEY.as_dict(private=False)]})),
                Route("/token", self.token, methods=["POST"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()

    def discovery(self, request):
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def token(self, request):
        now = int(time.time())
        sound = {"iss": self.url, "aud": "hpo", "sub": "ann", "groups": ["hpo"], "iat": now, "exp": now + 300}
        claims = {**sound, "nonce": self.nonce, **self.claims}
        text = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": text})

    def close(self):
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture
def provider():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    made = SmallProvider(listening)
    yield made
    made.close()


@pytest.fixture
def gateway(tmp_path, provider):
    site = Provider(title="Site", issuer=provider.url, client_id="hpo", allow={"groups": ["hpo"]})
    made = PagesGateway(tmp_path, providers={"site": site})
    yield made
    made.close()


def come_back(gateway, provider):
    """The answer to a browser that the provider has sent back."""
    visitor = Visitor(gateway.url)
    asked = parse_qs(urlsplit(visitor.get("/login/site").headers["location"]).query)
    provider.nonce = asked["nonce"][0]
    return visitor, visitor.get(f"/login/site/callback?code=c&state={asked['state'][0]}")


def noted(gateway):
    with gateway.database.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(audit.c.what, audit.c.target, audit.c.ok))]


def test_a_sound_token_lets_its_user_in(gateway, provider):
    _, answer = come_back(gateway, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies")
    assert noted(gateway) == [("logged in", "", True)]


@pytest.mark.parametrize(
    ("claims", "key"),
    [
        ({"exp": 1_700_000_000}, KEY),
        ({"aud": "another client"}, KEY),
        ({"aud": ["hpo", "another client"], "azp": "another client"}, KEY),
        ({"iss": "https://iam.example.org"}, KEY),
        ({"nonce": "of another log-in"}, KEY),
        ({}, FOREIGN),
    ],
    ids=["expired", "audience", "authorised party", "issuer", "nonce", "signature"],
)
def test_a_token_that_does_not_count_is_refused_and_noted(gateway, provider, claims, key):
    provider.claims, provider.key = claims, key
    visitor, answer = come_back(gateway, provider)
    assert answer.status_code == 403 and "The log-in was refused" in answer.text
    assert "eyJ" not in answer.text
    assert visitor.get("/guide").status_code == 303
    ((what, target, is_ok),) = noted(gateway)
    assert (what, is_ok) == ("log-in refused", False)
    assert target.startswith("site: ") and "eyJ" not in target
    with gateway.database.read() as connection:
        assert connection.execute(sa.select(users)).all() == []


def test_a_callback_that_nobody_began_is_not_noted(gateway, provider):
    assert Visitor(gateway.url).get("/login/site/callback?code=c&state=x").status_code == 403
    assert noted(gateway) == []
