"""What a token adds to the cost of a call, here and with other packages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any, Final

import httpx

from benchmarks.environment import ROOT, clean_environ, environment
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave
from benchmarks.row import Effort, Row, Section
from cognito_guard.client import ClientCredentials

PEERS: Final = {"cognito_guard": "cognito-guard", "httpx_auth": "httpx-auth", "Authlib": "authlib"}
"""What is measured, and the distribution it is of."""

KINDS: Final = ("Client", "AsyncClient")

_TOKEN_URL: Final = "https://orders.auth.example/oauth2/token"  # noqa: S105 - where tokens are, not one
_API: Final = "https://api.example"
_TOKEN: Final = "x" * 1000
_CALLS: Final = 50
_CREDENTIALS: Final[dict[str, Any]] = {"client_id": "client", "client_secret": "made up"}


def measure(effort: Effort, progress: Progress) -> Section:
    """Return how much each package adds to the cost of a call."""
    packages = tuple(name for name in PEERS.values() if name != "cognito-guard")
    own = environment(packages, progress)
    command = [str(own.python), "-m", "benchmarks.calling", str(effort.rounds)]
    done = subprocess.run(command, cwd=ROOT, env=clean_environ(), stdout=subprocess.PIPE, check=True)
    return section(json.loads(done.stdout.splitlines()[-1]), own.missing)


def section(results: dict[str, dict[str, Any]], missing: dict[str, str]) -> Section:
    """Return the rows of *results*. Ours is compared with the cheaper of the others."""
    rows = []
    for kind in KINDS:
        names = [f"{peer}, {kind}" for peer in PEERS]
        others = [results[name]["seconds"] for name in names[1:] if "seconds" in results[name]]
        for peer, name in zip(PEERS, names, strict=True):
            result = results[name]
            if "error" in result:
                note = f"not measured: {missing.get(PEERS[peer], result['error'])}"
                rows.append(Row(what=name, value=None, note=note))
                continue
            held = peer == "cognito_guard" and others
            rows.append(
                Row(
                    what=name,
                    value=result["seconds"] * 1e6,
                    ratio=result["seconds"] / min(others) if held else None,
                    baseline="the cheaper of the other two" if held else "",
                    at_most=1.0 if held else None,
                    note=f"{result['version']}; the call without: {result['bare'] * 1e6:.0f} us",
                )
            )
    return Section(
        name="calling",
        title="A call with a cached token",
        about=(
            "Processor time of one request in process with each package's auth object, which has its token already, "
            "minus that of the same request without auth. A package with its own client is compared with the client "
            "that it derives from."
        ),
        rows=tuple(rows),
    )


def main(rounds: int) -> None:
    """Measure what is installed here, and print it as JSON."""
    cases: dict[str, Case] = {}
    bare: dict[str, str] = {}
    results: dict[str, dict[str, Any]] = {}
    for peer, make in {"cognito_guard": _cognito_guard, "httpx_auth": _httpx_auth, "Authlib": _authlib}.items():
        for kind in KINDS:
            name = f"{peer}, {kind}"
            try:
                module, client = make(kind)
                _require_token(client)
            except Exception as error:  # noqa: BLE001 - whatever keeps it from working is the result
                results[name] = {"error": f"{type(error).__name__}: {error}"}
                continue
            bare[name] = f"{module.__name__}.{kind}"
            cases.setdefault(bare[name], _case(bare[name], _bare(module, kind)))
            cases[name] = _case(name, client)
            results[name] = {"version": metadata.version(PEERS[peer])}
    timings = interleave(list(cases.values()), rounds, Progress("calling"))
    for name, baseline in bare.items():
        results[name] |= {"seconds": timings.excess(name, baseline), "bare": timings.seconds(baseline)}
    print(json.dumps(results))


def _cognito_guard(kind: str) -> tuple[Any, Any]:
    auth = ClientCredentials(_TOKEN_URL, **_CREDENTIALS, transport=httpx.MockTransport(_answer(httpx)))
    return httpx, _bare(httpx, kind, auth)


def _httpx_auth(kind: str) -> tuple[Any, Any]:
    auth = import_module("httpx_auth").OAuth2ClientCredentials(
        _TOKEN_URL,
        **_CREDENTIALS,
        client=httpx.Client(transport=httpx.MockTransport(_answer(httpx))),
    )
    return httpx, _bare(httpx, kind, auth)


def _authlib(kind: str) -> tuple[Any, Any]:
    own = getattr(import_module("authlib.integrations.httpx_client"), f"{kind.removesuffix('Client')}OAuth2Client")
    # It uses httpx2 if that is installed.
    module = import_module(next(base.__module__.partition(".")[0] for base in own.__mro__ if base.__name__ == kind))
    client = own(
        "client", "secret", token_endpoint=_TOKEN_URL, transport=module.MockTransport(_answer(module)), base_url=_API
    )
    fetched = client.fetch_token(_TOKEN_URL, grant_type="client_credentials")
    if kind == "AsyncClient":
        asyncio.run(fetched)
    return module, client


def _answer(module: Any) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        if request.url.path == "/oauth2/token":
            return module.Response(200, json={"access_token": _TOKEN, "expires_in": 86400, "token_type": "Bearer"})
        return module.Response(200, headers={"x-seen": str(len(request.headers.get("authorization", "")))})

    return answer


def _bare(module: Any, kind: str, auth: Any = None) -> Any:
    return getattr(module, kind)(transport=module.MockTransport(_answer(module)), base_url=_API, auth=auth)


def _require_token(client: Any) -> None:
    async def call() -> Any:
        return await client.get("/")

    response = asyncio.run(call()) if type(client).__name__.startswith("Async") else client.get("/")
    if response.headers["x-seen"] != str(len(f"Bearer {_TOKEN}")):
        raise ValueError("the call carries no token")


def _case(name: str, client: Any) -> Case:
    async def run() -> None:
        for _ in range(_CALLS):
            client.get("/")

    async def run_async() -> None:
        for _ in range(_CALLS):
            await client.get("/")

    return Case(name, run_async if name.endswith("AsyncClient") else run, _CALLS)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
