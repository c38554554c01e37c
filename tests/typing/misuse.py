# pyright: reportUnnecessaryTypeIgnoreComment=true
"""
What type checkers must not accept. Nothing here is run.

Each such line has a comment that mypy and pyright read. If one of them begins to accept the line, the comment is
unused, and an unused one is an error.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, KeyPolicy, Principal, UserPool
from cognito_guard.client import ClientCredentials
from cognito_guard.errors import RefusalError

pool = UserPool("eu-central-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"})
guard = CognitoGuard(pool)


async def handler(request: Request) -> Response:
    return Response()


# -- pools and guards

UserPool("eu-central-1_AbCdEf123")  # type: ignore[call-arg]
UserPool("eu-central-1_AbCdEf123", {"7lhlkkfbfb4q5kpp90urffao"})  # type: ignore[call-arg]
UserPool("eu-central-1_AbCdEf123", client_ids=None)  # type: ignore[arg-type]
UserPool("eu-central-1_AbCdEf123", client_ids={5})  # type: ignore[arg-type]
CognitoGuard("eu-central-1_AbCdEf123")  # type: ignore[arg-type]
CognitoGuard([pool])  # type: ignore[arg-type]
CognitoGuard(pool, leeway="5")  # type: ignore[arg-type]
CognitoGuard(pool, key_policy=3600)  # type: ignore[arg-type]
CognitoGuard(pool, on_event=print, on_error=lambda conn: Response())  # type: ignore[arg-type, misc]
CognitoGuard(pool, on_error=lambda conn, error: "refused")  # type: ignore[arg-type, return-value]
KeyPolicy(max_age="1h")  # type: ignore[arg-type]
KeyPolicy(max_age=60).max_age = 5  # type: ignore[misc]

# -- installing

guard.install(handler)  # type: ignore[arg-type]
guard.install(Starlette(), public_paths={"/health"})  # type: ignore[arg-type]
guard.install(Starlette(), True)  # type: ignore[arg-type, call-arg]
CognitoGuardMiddleware(Starlette(), guard=pool)  # type: ignore[arg-type]

# -- requirements

guard.require(["orders/order.read"])  # type: ignore[arg-type]
guard.require(handler)  # type: ignore[arg-type]
guard.require_groups(5)  # type: ignore[arg-type]
guard.authenticated("orders/order.read")  # type: ignore[call-overload]
guard.authenticated()(handler)  # type: ignore[call-overload]
guard.public()  # type: ignore[call-arg]
guard.public("/health")  # type: ignore[type-var]

guard.require_that("admins")  # type: ignore[arg-type, call-arg]
guard.require_that(lambda principal, conn: True)  # type: ignore[call-arg]
guard.require_that(lambda principal: True, "anyone")  # type: ignore[arg-type, misc]
guard.require_that(lambda principal, conn: "yes", "anyone")  # type: ignore[arg-type, return-value]
guard.machine_only()  # type: ignore[call-overload]
guard.authenticated.wrap("/files")  # type: ignore[arg-type]

# -- the calling side

ClientCredentials("https://orders.example/oauth2/token", "client", "secret")  # type: ignore[call-arg]
ClientCredentials("https://orders.example/oauth2/token", client_id="client")  # type: ignore[call-arg]
ClientCredentials("https://orders.example/oauth2/token", client_id="client", client_secret=b"secret")  # type: ignore[arg-type]
ClientCredentials("https://orders.example/oauth2/token", client_id="c", client_secret="s", credentials_in="query")  # type: ignore[arg-type]

# -- callers


async def use(request: Request, token: bytes, caller: Principal, error: RefusalError) -> None:
    await guard.verify(token)  # type: ignore[arg-type]
    guard.verify("token").client_id  # type: ignore[attr-defined]
    guard.principal(request).client_id  # type: ignore[union-attr]
    caller.client_id = "another"  # type: ignore[misc]
    caller.scopes.add("orders/order.write")  # type: ignore[attr-defined]
    guard.require("orders/order.read")(conn=token)  # type: ignore[call-overload]
    error.reason = 5  # type: ignore[assignment]
