"""An OpenID Connect provider on a real socket: discovery, keys, authorization code with PKCE."""

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

CLIENT, SECRET = "llms", "a-client-secret-of-tests-that-is-long"


class Provider(ThreadingHTTPServer):
    """Whoever is asked for is `person`, the claims of one who has signed in there already."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}

    def token(self, code: dict[str, str]) -> str:
        """The signed word on who it is."""
        now = int(time.time())
        about = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300}
        nonce = {"nonce": code["nonce"]} if "nonce" in code else {}
        claims = about | nonce | self.person
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "1"})

    def keys(self) -> dict[str, Any]:
        """The public key."""
        made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [made | {"kid": "1", "use": "sig", "alg": "RS256"}]}


class Handler(BaseHTTPRequestHandler):
    """The provider's addresses."""

    server: Provider

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        asked = {name: values[0] for name, values in query.items()}
        at = self.server.issuer
        if path == "/.well-known/openid-configuration":
            self.say(
                {
                    "issuer": at,
                    "authorization_endpoint": f"{at}/authorize",
                    "token_endpoint": f"{at}/token",
                    "userinfo_endpoint": f"{at}/userinfo",
                    "jwks_uri": f"{at}/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            )
        elif path == "/keys":
            self.say(self.server.keys())
        elif path == "/userinfo":
            self.say(self.server.person)
        elif path == "/authorize" and asked["client_id"] == CLIENT:
            code = secrets.token_urlsafe(8)
            self.server.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        sent = {name: values[0] for name, values in form.items()}
        code = self.server.codes.pop(sent.get("code", ""), None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        given = self.headers.get("Authorization", "")
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = sent.get("client_secret") == SECRET or given == f"Basic {basic}"
        if code is None or not known or code["code_challenge"] != proof:
            self.say({"error": "invalid_grant"}, 400)
            return
        self.say({"access_token": "x", "token_type": "Bearer", "id_token": self.server.token(code)})

    def say(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """In silence."""


@contextmanager
def provider() -> Iterator[Provider]:
    """One that runs until the end of the block."""
    found = Provider()
    thread = threading.Thread(target=found.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        found.shutdown()
        found.server_close()
        thread.join()
