"""A small server of OpenID Connect on this machine: it says who it is told to say, when asked as the standard wants."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "the-page", "a secret between the two"


class OidcServer(ThreadingHTTPServer):
    """`who` are the claims about the next person that comes; `codes` what was given out, with what it was asked for and
    `people` whom it is about."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.who: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.people: dict[str, dict[str, Any]] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Handler(BaseHTTPRequestHandler):
    server: OidcServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/.well-known/openid-configuration":
                self._answer(self._configuration())
            case "/authorize":
                self._authorize(asked)
            case "/userinfo" if person := self.server.people.get(self.headers["Authorization"].removeprefix("Bearer ")):
                self._answer(person)
            case "/jwks":
                key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.server.key.public_key()))
                self._answer({"keys": [{**key, "kid": "1", "use": "sig"}]})
            case _:
                self._answer({"error": "not_found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        grant = self.server.codes.pop(given.get("code", ""), None)
        is_known = (given.get("client_id"), given.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not is_known or not grant or challenge != grant["code_challenge"]:
            self._answer({"error": "invalid_grant"}, 400)
            return
        now, person = int(time.time()), self.server.people[given["code"]]
        claims = {"iss": self.server.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 60, **person}
        token = jwt.encode(claims, self.server.key, "RS256", {"kid": "1"})
        self._answer({"access_token": given["code"], "token_type": "Bearer", "id_token": token})

    def _configuration(self) -> dict[str, object]:
        issuer = self.server.issuer
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        return {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{name}_endpoint": f"{issuer}/{path}" for name, path in ends.items()},
        }

    def _authorize(self, asked: dict[str, str]) -> None:
        """The person says yes at once."""
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert {"openid", "email"} <= set(asked["scope"].split())
        code = secrets.token_urlsafe(16)
        self.server.codes[code] = asked
        self.server.people[code] = dict(self.server.who)
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")
        self.end_headers()

    def _answer(self, data: object, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def oidc_server() -> Iterator[OidcServer]:
    with OidcServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
