"""The requests to the token endpoint, and the effect of its answers."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
from collections.abc import Callable, Sequence
from email.utils import format_datetime
from functools import partial
from typing import Any

import httpx
import pytest

from cognito_guard.client import ClientCredentials, TokenEvent, TokenRequestError, TokenRequestFailed
from cognito_guard.client._answer import UNSTATED_LIFE, Grant, read_answer
from cognito_guard.client._backoff import Backoff, ForcedPurchases, retry_after
from cognito_guard.client._failure import Failure
from cognito_guard.client._seams import Seams
from cognito_guard.local import LocalClient

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]

SECRET = "secret_of_the_client_a+b"


# What is asked


def test_id_and_secret_are_in_the_body(client: ClientCredentials, endpoint: Any, reader: LocalClient) -> None:
    client.token_sync()

    assert endpoint.forms == [
        {"grant_type": "client_credentials", "client_id": reader.client_id, "client_secret": reader.secret}
    ]
    request = endpoint.requests[0]
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert "authorization" not in request.headers


def test_id_and_secret_may_be_in_the_header_form_encoded(make_client: Make, endpoint: Any, pool: Any) -> None:
    added = pool.add_client(name="plus", scopes=["orders/order.read"], secrets=["a+b_" * 8])
    make_client(client_id=added.client_id, client_secret=added.secret, credentials_in="header").token_sync()

    assert endpoint.forms == [{"grant_type": "client_credentials"}]
    pair = base64.b64decode(endpoint.requests[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == f"{added.client_id}:{'a%2Bb_' * 8}"


def test_a_plus_in_a_secret_arrives(make_client: Make, endpoint: Any, pool: Any) -> None:
    added = pool.add_client(name="plus", scopes=["orders/order.read"], secrets=["a+b_" * 8])

    assert make_client(client_id=added.client_id, client_secret=added.secret).token_sync()
    assert endpoint.forms[0]["client_secret"] == "a+b_" * 8


def test_scopes_resource_and_metadata_are_sent(make_client: Make, endpoint: Any) -> None:
    client = make_client(
        scopes=["orders/order.write", "orders/order.read", "orders/order.read"],
        resource="https://api.example",
        aws_client_metadata={"tenant": "tea", "a": "b"},
    )
    endpoint.grant(3600)
    client.token_sync()

    form = endpoint.forms[0]
    assert form["scope"] == "orders/order.read orders/order.write"
    assert form["resource"] == "https://api.example"
    assert json.loads(form["aws_client_metadata"]) == {"a": "b", "tenant": "tea"}


def test_several_resources_are_sent_one_by_one(make_client: Make, endpoint: Any) -> None:
    endpoint.grant(3600)
    make_client(resource=["b", "a"]).token_sync()

    assert b"&resource=a&resource=b&" in endpoint.requests[0].content


def test_the_token_grants_the_scopes_that_were_asked_for(make_client: Make, writer: LocalClient) -> None:
    client = make_client(client_id=writer.client_id, client_secret=writer.secret, scopes=["orders/order.write"])
    claims = client.token_sync().split(".")[1]

    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"] == "orders/order.write"


# Two secrets, and secrets that are fetched


def test_the_second_secret_is_tried_when_the_first_is_refused(
    make_client: Make, endpoint: Any, reader: LocalClient
) -> None:
    client = make_client(client_secret=["not_active_yet", reader.secret])

    assert client.token_sync()
    assert [form["client_secret"] for form in endpoint.forms] == ["not_active_yet", reader.secret]
    assert client.status().failed == 0


@pytest.mark.parametrize("status", [400, 401])
def test_if_both_are_refused_the_secret_is_wrong(make_client: Make, endpoint: Any, status: int) -> None:
    endpoint.say(status, {"error": "invalid_client", "error_description": "invalid_client_secret"})

    with pytest.raises(TokenRequestError, match=rf"invalid_client \(HTTP status {status}\)") as caught:
        make_client(client_secret=("one", "another")).token_sync()

    assert (caught.value.error, caught.value.status, caught.value.retry_after) == ("invalid_client", status, None)
    assert endpoint.calls == 2


@pytest.mark.parametrize("error", ["invalid_scope", "invalid_grant", "unauthorized_client"])
def test_the_second_secret_is_not_tried_for_another_reason(make_client: Make, endpoint: Any, error: str) -> None:
    endpoint.say(400, {"error": error})

    with pytest.raises(TokenRequestError, match=error):
        make_client(client_secret=["one", "another"]).token_sync()

    assert endpoint.calls == 1


def test_a_callable_is_asked_each_time(
    make_client: Make, endpoint: Any, reader: LocalClient, clock: Any, settle: Settle
) -> None:
    secrets: list[str | Sequence[str]] = [reader.secret]
    client = make_client(client_secret=lambda: secrets[-1])
    client.token_sync()

    new = reader.add_secret().value
    secrets.append((new, reader.secret))
    clock.advance(0.8 * 3600)
    client.token_sync()
    settle()

    assert [form["client_secret"] for form in endpoint.forms] == [reader.secrets[0].value, new]


@pytest.mark.parametrize(
    "given", [None, "", [], ["one", "two", "three"], [""], [b"bytes"], 7, "n\u00f6n-ascii", "two\nlines"], ids=repr
)
def test_a_callable_that_returns_no_secret_is_an_error_that_says_so(
    make_client: Make, endpoint: Any, given: Any
) -> None:
    with pytest.raises(TokenRequestError, match="secret_unavailable") as caught:
        make_client(client_secret=lambda: given).token_sync()

    assert caught.value.advice.startswith("Check what client_secret() does")
    assert endpoint.calls == 0


def test_a_callable_that_fails_is_called_again_after_pauses(
    make_client: Make, naps: list[float], reader: LocalClient
) -> None:
    outcomes: list[Exception | str] = [OSError("no route"), OSError("no route"), reader.secret]

    def fetch() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert make_client(client_secret=fetch).token_sync()
    assert naps == [0.375, 0.75]


def test_a_callable_that_goes_on_failing_is_an_error(make_client: Make, naps: list[float]) -> None:
    def fetch() -> str:
        raise OSError

    with pytest.raises(TokenRequestError, match="secret_unavailable"):
        make_client(client_secret=fetch).token_sync()

    assert sum(naps) < 10


# What its answers mean


def read(status: int, content: object, **headers: str) -> Grant | Failure:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_answer(status, headers, body, now=1000.0, secrets=[SECRET])


GRANT = {"access_token": "a.b.c", "expires_in": 300, "token_type": "Bearer"}


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_accepted(kind: str) -> None:
    assert read(200, GRANT | {"token_type": kind}) == Grant("a.b.c", 300.0)


@pytest.mark.parametrize(
    ("stated", "taken"),
    [(1, 1.0), (0.5, 0.5), ("3600", 3600.0), (86400, 86400.0), (86401, 86400.0), (1e300, 86400.0), ("9" * 99, 86400.0)],
)
def test_its_life_is_a_day_at_most(stated: Any, taken: float) -> None:
    assert read(200, GRANT | {"expires_in": stated}) == Grant("a.b.c", taken)


def test_a_life_that_is_not_stated_is_the_shortest_that_cognito_allows() -> None:
    members = {name: value for name, value in GRANT.items() if name != "expires_in"}

    assert read(200, members) == Grant("a.b.c", UNSTATED_LIFE)


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": None},
        {"access_token": 7},
        {"access_token": ""},
        {"access_token": "a b"},
        {"access_token": "a\r\nHost: evil"},
        {"access_token": "t\u00f6ken"},
        {"token_type": None},
        {"token_type": "DPoP"},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": True},
        {"expires_in": "soon"},
        {"expires_in": "-5"},
        {"expires_in": float("inf")},
        {"expires_in": float("nan")},
        {"expires_in": [300]},
    ],
    ids=str,
)
def test_an_answer_without_a_bearer_token_is_refused(change: dict[str, Any]) -> None:
    assert read(200, GRANT | change) == Failure("invalid_answer", 200)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"access_token":', b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_not_a_json_object_has_no_token(body: bytes) -> None:
    assert read(200, body) == Failure("invalid_answer", 200)
    assert read(400, body) == Failure("invalid_answer", 400)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    assert read(status, {}) == Failure("redirected", status)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/token", "/oauth2/other"])
def test_a_secret_does_not_follow_a_redirect(client: ClientCredentials, endpoint: Any, elsewhere: str) -> None:
    endpoint.say(307, location=elsewhere)

    with pytest.raises(TokenRequestError, match="redirected"):
        client.token_sync()

    assert endpoint.calls == 1


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (429, b""),
        (429, {"error": "invalid_client"}),
        (400, {"__type": "TooManyRequestsException", "message": "Rate exceeded"}),
        (400, {"error": "invalid_request", "error_description": "Too many requests"}),
        (403, {"message": "Request throttled"}),
        (400, {"error": "LimitExceededException"}),
    ],
)
def test_a_request_over_quota_may_succeed_later(status: int, content: object) -> None:
    assert read(status, content) == Failure("throttled", status, passing=True)
    assert read(status, content, **{"retry-after": "7"}) == Failure("throttled", status, 7.0, passing=True)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_after_a_server_error_a_request_may_succeed_later(status: int) -> None:
    assert read(status, b"<html>") == Failure("unavailable", status, passing=True)
    assert read(status, b"", **{"retry-after": "7"}) == Failure("unavailable", status, 7.0, passing=True)


@pytest.mark.parametrize("code", ["temporarily_unavailable", "server_error", "slow_down"])
def test_after_some_oauth_errors_a_request_may_succeed_later(code: str) -> None:
    assert read(400, {"error": code}) == Failure(code, 400, passing=True)


@pytest.mark.parametrize("code", ["invalid_client", "invalid_scope", "invalid_grant", "made_up"])
def test_after_other_oauth_errors_no_request_succeeds(code: str) -> None:
    assert read(400, {"error": code}) == Failure(code, 400)


@pytest.mark.parametrize(
    "code", [None, 7, "", "two words", "x" * 65, "<b>", SECRET, "SECRET".lower() + "_of_the_client_a+b"]
)
def test_text_that_is_not_an_error_code_is_not_repeated(code: Any) -> None:
    assert read(400, {"error": code}) == Failure("invalid_answer", 400)


def test_an_error_code_that_holds_the_secret_is_not_repeated() -> None:
    answer = read_answer(400, {}, b'{"error": "unknown_secret_s3cr3t"}', now=0.0, secrets=["other", "s3cr3t"])

    assert answer == Failure("invalid_answer", 400)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 30, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        (format_datetime(dt.datetime.fromtimestamp(1060, dt.UTC), usegmt=True), 60.0),
        (format_datetime(dt.datetime.fromtimestamp(940, dt.UTC), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, 1000.0) == seconds


# How the request can go wrong


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("refused"), "unreachable"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ConnectTimeout("slow"), "timeout"),
        (httpx.RemoteProtocolError("nonsense"), "unreachable"),
        (OSError("no route"), "unreachable"),
        (AssertionError("not mocked"), "unreachable"),
    ],
)
def test_a_request_that_fails_is_repeated_until_the_timeout(
    client: ClientCredentials, endpoint: Any, naps: list[float], error: Exception, code: str
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    endpoint.answer = fail

    with pytest.raises(TokenRequestError) as caught:
        client.token_sync()

    assert (caught.value.error, caught.value.status) == (code, None)
    assert caught.value.cause == type(error).__name__
    assert f"no access token: {code} ({type(error).__name__}). " in str(caught.value)
    assert caught.value.retry_after
    # In steps of 0.4 s at most, with a look into the store after each.
    assert endpoint.calls == 6
    assert sum(naps) == pytest.approx(0.375 + 0.75 + 1.5 + 3 + 3.75)
    assert max(naps) <= 0.4


class Drip(httpx.SyncByteStream):
    """A body that never ends."""

    def __init__(self, part: bytes, tick: Callable[[], None]) -> None:
        self.part = part
        self.tick = tick

    def __iter__(self) -> Any:
        while True:
            self.tick()
            yield self.part


def test_an_endless_answer_is_cut_off(client: ClientCredentials, endpoint: Any) -> None:
    endpoint.answer = lambda _: httpx.Response(200, stream=Drip(b" " * 1024, lambda: None))

    with pytest.raises(TokenRequestError, match="invalid_answer"):
        client.token_sync()


def test_an_answer_that_drips_ends_at_the_time_out(client: ClientCredentials, endpoint: Any, timer: Any) -> None:
    endpoint.answer = lambda _: httpx.Response(200, stream=Drip(b" ", lambda: timer.advance(1)))

    with pytest.raises(TokenRequestError, match="timeout"):
        client.token_sync()


# What is remembered


def test_a_wrong_secret_costs_one_request_in_ten_seconds(
    make_client: Make, endpoint: Any, timer: Any, reader: LocalClient
) -> None:
    secrets = ["wrong"]
    client = make_client(client_secret=lambda: secrets[-1])
    for _ in range(20):
        with pytest.raises(TokenRequestError, match="invalid_client"):
            client.token_sync()
    assert endpoint.calls == 1

    timer.advance(10.49)
    with pytest.raises(TokenRequestError, match="invalid_client"):
        client.token_sync()
    assert endpoint.calls == 1

    secrets.append(reader.secret)
    timer.advance(0.02)
    assert client.token_sync()
    assert endpoint.calls == 2


def test_a_secret_that_stays_wrong_is_tried_less_and_less_often(make_client: Make, endpoint: Any, timer: Any) -> None:
    client = make_client(client_secret="wrong")
    for _ in range(0, 3600, 7):
        with pytest.raises(TokenRequestError):
            client.token_sync()
        timer.advance(7)

    assert endpoint.calls == pytest.approx(3600 / 63, abs=3)


def test_retry_after_is_waited_for_if_a_call_has_the_time(client: ClientCredentials, endpoint: Any, timer: Any) -> None:
    began = timer()

    def throttle(_: httpx.Request) -> httpx.Response:
        endpoint.recover()
        return httpx.Response(429, headers={"retry-after": "4"})

    endpoint.answer = throttle

    assert client.token_sync()
    assert endpoint.calls == 2
    assert timer() - began == pytest.approx(4.2)


def test_a_long_retry_after_fails_at_once_and_is_kept(client: ClientCredentials, endpoint: Any, timer: Any) -> None:
    endpoint.say(503, {}, retry_after="60")
    for _ in range(20):
        with pytest.raises(TokenRequestError, match="unavailable") as caught:
            client.token_sync()
        assert caught.value.retry_after == pytest.approx(63)
    assert endpoint.calls == 1

    endpoint.recover()
    timer.advance(40)
    with pytest.raises(TokenRequestError) as later:
        client.token_sync()
    assert later.value.retry_after == pytest.approx(23)
    assert endpoint.calls == 1

    timer.advance(20)
    assert client.token_sync()
    assert endpoint.calls == 2


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        ("unavailable", [0.375, 0.75, 1.5, 3.0, 3.75, 3.75, 3.75, 3.75]),
        ("throttled", [0.375, 0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5]),
    ],
)
def test_pauses_double_up_to_a_limit(seams: Seams, error: str, pauses: list[float]) -> None:
    backoff = Backoff(seams)
    failure = Failure(error, passing=True)

    assert [backoff.note_failure(failure) for _ in pauses] == pauses
    backoff.note_success()
    assert backoff.note_failure(failure) == 0.375


@pytest.mark.parametrize(("random", "pause"), [(0.0, 0.25), (0.999, 0.5)])
def test_pauses_differ_between_processes(clock: Any, timer: Any, random: float, pause: float) -> None:
    backoff = Backoff(Seams(clock, timer, random=lambda: random))

    assert backoff.note_failure(Failure("unreachable", passing=True)) == pytest.approx(pause, abs=0.001)


@pytest.mark.parametrize(("stated", "least", "most"), [(10.0, 10.0, 11.0), (0.0, 0.0, 0.0), (1e9, 300.0, 330.0)])
def test_retry_after_is_never_cut_short_and_five_minutes_at_most(
    clock: Any, timer: Any, stated: float, least: float, most: float
) -> None:
    for random in (0.0, 0.5, 0.999):
        backoff = Backoff(Seams(clock, timer, random=partial(float, random)))
        assert least <= backoff.note_failure(Failure("throttled", 429, stated, passing=True)) <= most


def test_purchases_that_401s_cause_are_ever_further_apart(timer: Any) -> None:
    forced = ForcedPurchases(timer)
    times = []
    for second in range(3100):
        if forced.allow():
            times.append(second)
        timer.advance(1)

    assert [later - earlier for earlier, later in itertools.pairwise(times)] == [
        10, 20, 40, 80, 160, 320, 640, 900, 900,
    ]  # fmt: skip


def test_a_failure_is_reported(make_client: Make, endpoint: Any, caplog: pytest.LogCaptureFixture) -> None:
    events: list[TokenEvent] = []
    client = make_client(on_event=events.append)
    endpoint.say(400, {"error": "invalid_scope"})
    with pytest.raises(TokenRequestError):
        client.token_sync()

    (event,) = events
    assert isinstance(event, TokenRequestFailed)
    assert (event.error, event.status, event.retry_after) == ("invalid_scope", 400, 10.5)
    assert (client.status().failed, client.status().last_error) == (1, "invalid_scope")
    assert "no access token: invalid_scope (HTTP status 400). Write scopes as resource-server/scope" in caplog.text
