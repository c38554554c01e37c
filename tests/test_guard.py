"""CognitoGuard as users use it, correctly and incorrectly."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cognito_guard import CognitoGuard, KeyPolicy, UserPool, events
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import ConfigurationError, KeysUnavailableError
from cognito_guard.local import LocalClient, LocalPool

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("on_event", "print"),
        ("on_error", 5),
        ("fetch", "https://keys.example"),
        ("key_policy", 3600),
        ("key_policy", {"max_age": 5}),
        ("realm", 'say "please"'),
        ("leeway", -5),
    ],
)
def test_invalid_options_are_refused(make_guard: MakeGuard, option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} must"):
        make_guard(**{option: value})


@pytest.mark.parametrize("app", [None, "app", lambda scope: None])
def test_install_accepts_only_starlette_apps(guard: CognitoGuard, app: Any) -> None:
    with pytest.raises(ConfigurationError, match="CognitoGuardMiddleware"):
        guard.install(app)


async def test_install_comes_before_the_first_request(guard: CognitoGuard, call: Call) -> None:
    app = Starlette(routes=[Route("/", reached)])
    await call(app, "GET", "/")

    with pytest.raises(ConfigurationError, match="served requests already"):
        guard.install(app)


def test_a_second_install_is_refused(guard: CognitoGuard, make_guard: MakeGuard) -> None:
    app = Starlette()
    guard.install(app)

    with pytest.raises(ConfigurationError, match="installed on the app already"):
        guard.install(app)
    make_guard().install(app)


def test_public_docs_needs_an_app_with_documentation(guard: CognitoGuard) -> None:
    for app in (
        Starlette(),
        FastAPI(openapi_url=None, docs_url=None, redoc_url=None, swagger_ui_oauth2_redirect_url=None),
    ):
        with pytest.raises(ConfigurationError, match="public_docs"):
            guard.install(app, public_docs=True)


async def test_public_docs_open_fastapis_own_routes_and_no_others(guard: CognitoGuard, call: Call) -> None:
    app = FastAPI(docs_url="/documentation", redoc_url=None)
    guard.install(app, public_docs=True, public_paths={("GET", "/extra")})

    @app.get("/extra")
    async def extra() -> str:
        return "reached"

    for path in ("/openapi.json", "/documentation", "/docs/oauth2-redirect", "/extra"):
        assert (await call(app, "GET", path)).status_code == 200
    for path in ("/docs", "/redoc", "/documentation/", "/other"):
        assert (await call(app, "GET", path)).status_code == 401
    assert (await call(app, "HEAD", "/openapi.json")).status_code in {200, 405}


async def test_docs_are_closed_unless_opened(guard: CognitoGuard, call: Call) -> None:
    app = FastAPI()
    guard.install(app)

    for path in ("/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect"):
        assert (await call(app, "GET", path)).status_code == 401


def test_without_the_guard_in_front_there_is_no_principal(guard: CognitoGuard) -> None:
    assert guard.principal(Request({"type": "http", "headers": []})) is None


async def test_keys_can_be_fetched_ahead(guard: CognitoGuard, fetch: Any, pool: LocalPool, timer: Any) -> None:
    before = guard.status()
    await guard.prefetch()
    await guard.prefetch()
    timer.advance(5)

    assert before == {pool.pool_id: {"ready": False, "keys": 0, "age": None, "last_error": None, "next_attempt": None}}
    assert guard.status() == {
        pool.pool_id: {"ready": True, "keys": 2, "age": 5.0, "last_error": None, "next_attempt": None}
    }
    assert json.dumps(guard.status())
    assert fetch.calls == 1


async def test_prefetch_says_when_there_are_no_keys(guard: CognitoGuard, fetch: Any) -> None:
    fetch.fail(OSError())

    with pytest.raises(KeysUnavailableError):
        await guard.prefetch()


async def test_a_pool_that_is_down_does_not_stop_the_keys_of_others(
    make_guard: MakeGuard, pool: LocalPool, reader: LocalClient
) -> None:
    def fetch(url: str, timeout: float) -> bytes:
        if "us-east-1" in url:
            raise OSError
        return json.dumps(pool.jwks()).encode()

    down = UserPool("us-east-1_Down", client_ids={"x"})
    guard = make_guard(down, UserPool(pool.pool_id, client_ids={reader.client_id}), fetch=fetch)

    with pytest.raises(KeysUnavailableError):
        await guard.prefetch()

    assert {pool_id: status["ready"] for pool_id, status in guard.status().items()} == {
        "us-east-1_Down": False,
        pool.pool_id: True,
    }


async def test_events_tell_what_happens(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient, fetch: Any, timer: Any
) -> None:
    told: list[events.Event] = []
    guard = make_guard(on_event=told.append, key_policy=KeyPolicy(cooldown=10))
    app = Starlette(routes=[Route("/", guard.require("orders/order.write")(reached))])
    guard.install(app)

    await call(app, "GET", "/")
    await call(app, "GET", "/", pool.mint(client_id=reader.client_id))
    fetch.fail(OSError("secret host"))
    timer.advance(3600)
    await guard.prefetch()
    await internals_of(guard).verifier.issuers.settle()

    first, fetched, verified, second, failed = told
    assert first == events.Refused(401, "missing_token", None)
    kids = frozenset(key["kid"] for key in pool.jwks()["keys"])
    assert fetched == events.KeysFetched(pool.pool_id, kids, added=kids, removed=frozenset())
    assert isinstance(verified, events.Verified)
    assert verified.principal.client_id == reader.client_id
    assert second == events.Refused(403, "scope", reader.client_id)
    assert isinstance(failed, events.KeysFailed)
    assert (failed.pool_id, failed.usable, failed.next_attempt) == (pool.pool_id, True, 10.0)
    assert failed.error.endswith(": the fetch raised OSError")


async def test_an_event_handler_that_fails_changes_nothing(
    make_guard: MakeGuard, call: Call, pool: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: events.Event) -> None:
        raise LookupError("the counter is broken")

    guard = make_guard(on_event=broken)
    app = Starlette(routes=[Route("/", reached)])
    guard.install(app)

    assert (await call(app, "GET", "/")).status_code == 401
    assert (await call(app, "GET", "/", pool.mint())).status_code == 200
    assert "on_event failed for Refused" in caplog.text


@pytest.mark.parametrize(
    ("forge", "level", "reason"),
    [
        (lambda pool: None, logging.INFO, "missing_token"),
        (lambda pool: pool.mint(lifetime=-1), logging.INFO, "expired"),
        (lambda pool: pool.mint(headers={"kid": "made-up\nkid"}), logging.WARNING, "unknown_key"),
        (lambda pool: pool.mint()[:-8] + "AAAAAAAA", logging.WARNING, "signature"),
        (lambda pool: pool.mint(client_id="str\nanger"), logging.INFO, "claim_client_id"),
    ],
)
async def test_each_refusal_is_one_log_line_in_our_own_words(
    guard: CognitoGuard, call: Call, pool: LocalPool, caplog: pytest.LogCaptureFixture,
    forge: Callable[[LocalPool], str | None], level: int, reason: str,
) -> None:  # fmt: skip
    app = Starlette(routes=[Route("/", reached)])
    guard.install(app)
    await guard.prefetch()
    caplog.set_level(logging.DEBUG, "cognito_guard")
    caplog.clear()

    await call(app, "GET", "/", forge(pool))

    lines = [record for record in caplog.records if "refused" in record.message]
    [line] = lines
    assert line.levelno == level
    assert line.message.startswith(f"GET / refused 401 {reason}: ")
    assert line.message.isascii()
    assert line.message.isprintable()


async def test_a_principal_does_not_show_its_claims(guard: CognitoGuard, pool: LocalPool) -> None:
    principal = await guard.verify(pool.mint_user("ada", secret_claim="hidden"))

    assert "hidden" not in repr(principal)
    assert principal.claims["secret_claim"] == "hidden"
    assert (principal.display_name, principal.is_authenticated) == ("ada", True)
    assert principal.identity == f"{pool.issuer}#{principal.subject}"
    with pytest.raises(AttributeError):
        principal.scopes = frozenset({"orders/order.write"})  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        principal.other = 5  # type: ignore[attr-defined]


async def test_principals_of_one_token_are_equal(guard: CognitoGuard, pool: LocalPool) -> None:
    token = pool.mint()

    first, second = await guard.verify(token), await guard.verify(token)

    assert first == second
    assert len({first, second}) == 1
    assert first != await guard.verify(pool.mint())


async def test_a_machine_without_sub_is_known_by_its_client(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient
) -> None:
    principal = await guard.verify(pool.mint(sub=None))

    assert principal.display_name == reader.client_id
    assert principal.identity == f"{pool.issuer}#{reader.client_id}"


def test_a_pool_described_by_the_environment_can_be_guarded() -> None:
    environ = {"COGNITO_USER_POOL_ID": "eu-central-1_AbCdEf123", "COGNITO_CLIENT_IDS": "one"}

    assert list(CognitoGuard(UserPool.from_env(environ)).status()) == ["eu-central-1_AbCdEf123"]
