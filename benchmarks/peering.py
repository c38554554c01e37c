"""
The other packages, set up as their own documentation says. Runs in an environment where they are installed.

Every one gets the same tokens, has its keys loaded before the clock starts, and has to accept a good token and refuse
one with a wrong signature before it is measured. Packages that do not know Cognito get hand-written checks of
`token_use` and `client_id`, as their users write them. None of the packages checks everything that this one does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module, metadata
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final

import jwt
from starlette.requests import Request

from benchmarks.floor import BARE, async_case, bare_case, public_key, sync_case
from benchmarks.pool import AUDIENCE, CLIENT_ID, POOL_ID, Material, material, wrongly_signed
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave

_REGION: Final = POOL_ID.partition("_")[0]
_CALLS: Final = 100

Check = Callable[[str], Any]


POWERTOOLS: Final = "Powertools, JWTVerifier"
"""Accepts tokens with an `aud` alone, so that its own name one; most others would refuse these."""


class UnfitError(Exception):
    """A package accepted a bad token or refused a good one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What peers are set up with: the material, and its key set as a mapping, in a file, and at a URL."""

    material: Material
    jwks: dict[str, Any]
    jwks_path: Path
    jwks_url: str


def pyjwt(setting: Setting) -> Check:
    """Return PyJWT with the keys prepared by hand."""
    keys = {key["kid"]: public_key(key) for key in setting.jwks["keys"]}
    only = keys[jwt.get_unverified_header(setting.material.tokens[0])["kid"]]

    def check(token: str) -> Mapping[str, Any]:
        return for_us(jwt.decode(token, only, algorithms=["RS256"], issuer=setting.material.issuer))

    return check


def pyjwk_client(setting: Setting) -> Check:
    """Return PyJWT with `PyJWKClient`, as its documentation shows it."""
    client = jwt.PyJWKClient(setting.jwks_url)

    def check(token: str) -> Mapping[str, Any]:
        key = client.get_signing_key_from_jwt(token)
        return for_us(jwt.decode(token, key, algorithms=["RS256"], issuer=setting.material.issuer))

    return check


def powertools(setting: Setting) -> Check:
    """Return Powertools' verifier of Cognito tokens (alpha), with its keys loaded."""
    module: Any = import_module("aws_lambda_powertools.utilities.auth_alpha")
    verifier = module.JWTVerifier.cognito(
        user_pool_id=POOL_ID, client_id=CLIENT_ID, audience=AUDIENCE, jwks=setting.jwks
    )
    check: Check = verifier.verify
    return check


def joserfc(setting: Setting) -> Check:
    """Return joserfc with a key set and its claims registry."""
    module: Any = import_module("joserfc.jwt")
    keys = import_module("joserfc.jwk").KeySet.import_key_set(setting.jwks)
    registry = module.JWTClaimsRegistry(
        iss={"essential": True, "value": setting.material.issuer}, exp={"essential": True}
    )

    def check(token: str) -> Mapping[str, Any]:
        claims = module.decode(token, keys, algorithms=["RS256"]).claims
        registry.validate(claims)
        return for_us(claims)

    return check


def authlib(setting: Setting) -> Check:
    """Return Authlib with a key set and claims options."""
    module: Any = import_module("authlib.jose")
    decoder = module.JsonWebToken(["RS256"])
    keys = module.JsonWebKey.import_key_set(setting.jwks)
    options = {"iss": {"essential": True, "value": setting.material.issuer}, "exp": {"essential": True}}

    def check(token: str) -> Mapping[str, Any]:
        claims = decoder.decode(token, keys, claims_options=options)
        claims.validate()
        return for_us(claims)

    return check


def python_jose(setting: Setting) -> Check:
    """Return python-jose with a key set, as Cognito examples use it."""
    module: Any = import_module("jose.jwt")

    def check(token: str) -> Mapping[str, Any]:
        return for_us(module.decode(token, setting.jwks, algorithms=["RS256"], issuer=setting.material.issuer))

    return check


def fastapi_cognito(setting: Setting) -> Check:
    """Return fastapi-cognito, asked as FastAPI asks it."""
    module: Any = import_module("fastapi_cognito")
    pool = {
        "region": _REGION,
        "userpool_id": POOL_ID,
        "app_client_id": CLIENT_ID,
        "jwks_url": str(setting.jwks_path),
    }
    settings = module.CognitoSettings(
        check_expiration=True, jwt_header_name="Authorization", jwt_header_prefix="Bearer", userpools={"eu": pool}
    )
    auth = module.CognitoAuth(settings=settings)

    async def check(token: str) -> object:
        return await auth.auth_required(_request(token))

    return check


def fastapi_cloudauth(setting: Setting) -> Check:
    """Return fastapi-cloudauth, asked as FastAPI asks it. It has no other way to its keys than `requests`."""
    answer = type("Answer", (), {"json": lambda _: setting.jwks})
    requests: Any = import_module("requests")
    requests.get = lambda _url: answer()
    auth = import_module("fastapi_cloudauth.cognito").Cognito(region=_REGION, userPoolId=POOL_ID, client_id=CLIENT_ID)
    credentials = import_module("fastapi.security").HTTPAuthorizationCredentials

    async def check(token: str) -> object:
        return await auth(credentials(scheme="Bearer", credentials=token))

    return check


def cognitojwt(setting: Setting) -> Check:
    """Return cognitojwt with its keys in a file."""
    os.environ["AWS_COGNITO_JWKS_PATH"] = str(setting.jwks_path)
    decode = import_module("cognitojwt").decode

    def check(token: str) -> object:
        return decode(token, _REGION, POOL_ID, app_client_id=CLIENT_ID)

    return check


def auth_middleware(setting: Setting) -> Check:
    """Return what auth-middleware does for a request, without the middleware around it, and logging nothing."""
    import_module("loguru").logger.remove()
    provider: Any = import_module("auth_middleware.providers.authn.cognito_provider").CognitoProvider
    settings: Any = import_module("auth_middleware.providers.authn.cognito_authz_provider_settings")
    manager: Any = import_module("auth_middleware.jwt_bearer_manager").JWTBearerManager

    async def get_keys(_self: object) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = setting.jwks["keys"]
        return keys

    cognito = type("Provider", (provider,), {"get_keys": get_keys})(
        settings=settings.CognitoAuthzProviderSettings(
            user_pool_id=POOL_ID, user_pool_region=_REGION, jwks_cache_usages=10**9
        )
    )
    bearer = manager(auth_provider=cognito)

    async def check(token: str) -> object:
        return await cognito.create_user_from_token(token=await bearer.get_credentials(request=_request(token)))

    return check


def this_package(setting: Setting) -> Check:
    """Return this package, with no token known."""
    return setting.material.forgetful_guard().verify


def this_package_again(setting: Setting) -> Check:
    """Return this package, with all tokens known."""
    guard = setting.material.remembering_guard()

    async def see_all() -> None:
        for token in setting.material.tokens:
            await guard.verify(token)

    asyncio.run(see_all())
    return guard.verify


PEERS: Final[dict[str, tuple[str, Callable[[Setting], Check]]]] = {
    "cognito_guard, token seen before": ("cognito-guard", this_package_again),
    "cognito_guard, token never seen": ("cognito-guard", this_package),
    "joserfc": ("joserfc", joserfc),
    "PyJWT, key prepared": ("pyjwt", pyjwt),
    "Authlib": ("authlib", authlib),
    "PyJWT, PyJWKClient": ("pyjwt", pyjwk_client),
    "python-jose": ("python-jose", python_jose),
    POWERTOOLS: ("aws-lambda-powertools", powertools),
    "cognitojwt": ("cognitojwt", cognitojwt),
    "fastapi-cognito": ("fastapi-cognito", fastapi_cognito),
    "fastapi-cloudauth": ("fastapi-cloudauth", fastapi_cloudauth),
    "auth-middleware": ("auth-middleware", auth_middleware),
}
"""What is measured, the distribution it is of, and how it is set up."""


def for_us(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *claims* if they are of an access token for our client."""
    if (claims["token_use"], claims["client_id"]) != ("access", CLIENT_ID):
        raise UnfitError
    return claims


def _request(token: str) -> Request:
    return Request({"type": "http", "headers": [(b"authorization", b"Bearer " + token.encode())]})


def _case(name: str, check: Check, material: Material) -> Case:
    good, bad = material.tokens[0], wrongly_signed(*material.tokens[:2])
    outcome = check(good)
    if not isawaitable(outcome):
        _require_refusal(check, bad)
        return sync_case(name, check, material, _CALLS)

    async def once(token: str) -> None:
        await check(token)

    asyncio.run(_wait_for(outcome))
    _require_refusal(lambda token: asyncio.run(once(token)), bad)
    return async_case(name, check, material, _CALLS)


async def _wait_for(outcome: Awaitable[object]) -> None:
    await outcome


def _require_refusal(check: Check, token: str) -> None:
    try:
        check(token)
    except Exception:  # noqa: BLE001 - every peer has its own
        return
    raise UnfitError("it accepts a token with a wrong signature")


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing."""


@contextmanager
def _serving(folder: str) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main(rounds: int, tokens: int) -> None:
    """Measure every peer that works here, and print what came of it as JSON."""
    warnings.simplefilter("ignore")
    good, bound = material(tokens, of_users=True), material(tokens, of_users=True, bound=True)
    cases = [bare_case(good, _CALLS)]
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, _serving(folder) as url:
        path = Path(folder) / "jwks.json"
        path.write_bytes(good.jwks)
        setting = Setting(good, json.loads(good.jwks), path, f"{url}/{path.name}")
        for name, (distribution, set_up) in PEERS.items():
            try:
                cases.append(_case(name, set_up(setting), bound if name == POWERTOOLS else good))
            except Exception as error:  # noqa: BLE001 - whatever keeps it from working is the result
                results[name] = {"error": f"{type(error).__name__}: {error}"}
            else:
                results[name] = {"version": metadata.version(distribution)}
        timings = interleave(cases, rounds, Progress("peers"))
    for case in cases:
        result = results.setdefault(case.name, {})
        result |= {"seconds": timings.seconds(case.name), "ratio": timings.ratio(case.name, BARE)}
    print(json.dumps(results))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
