"""
Tokens of a token endpoint that nobody here wrote: npm's oidc-provider, which is certified by the OpenID Foundation.

It is installed in the cache folder. `FOREIGN_OIDC_PROVIDER` names a folder that has it already. Where that fails these
tests are skipped, except in CI. (Tokens of ministack, which emulates Cognito: `test_independent_issuer.py`.)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cognito_guard.client import ClientCredentials, TokenRequestError

PACKAGE = "oidc-provider@9.13.3"
SECRET = "a+b_" * 8  # form-encoded in the header, as this server wants it and RFC 6749 section 2.3.1 says

SERVER = """
import Provider, { errors } from "oidc-provider";
const scope = "orders/order.read orders/order.write";
const client = (method) => ({
  client_id: method, client_secret: "a+b_".repeat(8), grant_types: ["client_credentials"], redirect_uris: [],
  response_types: [], token_endpoint_auth_method: method, scope: "orders/order.read" });
const provider = new Provider("http://127.0.0.1", {
  clients: [client("client_secret_post"), client("client_secret_basic")],
  scopes: scope.split(" "),
  features: {
    clientCredentials: { enabled: true }, devInteractions: { enabled: false },
    resourceIndicators: { enabled: true, defaultResource: () => undefined, getResourceServerInfo: (_, audience) => {
      if (audience !== "https://api.example") throw new errors.InvalidTarget();
      return { scope, audience, accessTokenFormat: "jwt" };
    } } },
  ttl: { ClientCredentials: 900 } });
const server = provider.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
"""


@pytest.mark.slow
@pytest.mark.timeout(5 * 60)  # for the installation, the first time
class TestOidcProvider:  # pragma: no cover - skipped where it cannot be installed
    """Both ways to send credentials, scopes, resources, and errors."""

    @pytest.mark.parametrize(
        ("client_id", "place"), [("client_secret_post", "body"), ("client_secret_basic", "header")]
    )
    def test_gives_tokens(self, token_url: str, client_id: str, place: Any) -> None:
        auth = ClientCredentials(token_url, client_id=client_id, client_secret=SECRET, credentials_in=place)

        assert auth.token_sync() == auth.token_sync()
        assert (auth.status().bought, auth.status().reused) == (1, 1)

    def test_binds_tokens_to_a_resource(self, token_url: str) -> None:
        auth = ClientCredentials(
            token_url,
            client_id="client_secret_post",
            client_secret=SECRET,
            scopes=["orders/order.read"],
            resource="https://api.example",
        )
        claims = json.loads(urlsafe_b64decode(auth.token_sync().split(".")[1] + "=="))

        assert (claims["aud"], claims["scope"]) == ("https://api.example", "orders/order.read")
        assert claims["exp"] - claims["iat"] == 900
        assert auth.status().expires_at == pytest.approx(claims["exp"], abs=2)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"client_secret": "wrong"}, "invalid_client"),
            ({"client_id": "nobody"}, "invalid_client"),
            ({"scopes": ["orders/order.write"]}, "invalid_scope"),
            ({"resource": "https://other.example"}, "invalid_target"),
        ],
    )
    def test_refuses(self, token_url: str, options: dict[str, Any], error: str) -> None:
        asked: dict[str, Any] = {"client_id": "client_secret_post", "client_secret": SECRET} | options

        with pytest.raises(TokenRequestError) as refused:
            ClientCredentials(token_url, **asked).token_sync()

        assert refused.value.error == error

    def test_refuses_the_first_of_two_secrets(self, token_url: str) -> None:
        auth = ClientCredentials(token_url, client_id="client_secret_post", client_secret=["new", SECRET])

        assert auth.token_sync()

    @pytest.fixture(scope="class")
    @staticmethod
    def token_url(folder: Path) -> Iterator[str]:
        script = folder / "server.mjs"
        script.write_text(SERVER)
        command = [shutil.which("node") or "node", str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout
            port = server.stdout.readline().removeprefix("port ").strip()
            yield f"http://127.0.0.1:{port}/token"
            server.terminate()

    @pytest.fixture(scope="class")
    @staticmethod
    def folder() -> Path:
        named = os.environ.get("FOREIGN_OIDC_PROVIDER")
        if named:
            return Path(named)
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cognito-guard" / PACKAGE
        folder.mkdir(parents=True, exist_ok=True)
        npm = [shutil.which("npm") or "npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
        try:
            if not (folder / "complete").exists():
                subprocess.run([*npm, "--ignore-scripts", PACKAGE], capture_output=True, text=True, check=True)
                (folder / "complete").touch()
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"{PACKAGE} cannot be installed: {error} {getattr(error, 'stderr', '')}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        return folder
