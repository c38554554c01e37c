"""Sub-apps behind real servers, and what is in front of the path."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from websockets.exceptions import InvalidStatus

from cognito_guard.local import LocalPool
from tests.servers.answers import BOTH, READ, is_refused
from tests.servers.serving import Serving
from tests.servers.wire import IN_TIME

pytestmark = pytest.mark.slow


def test_sub_apps_have_pools_of_their_own(serving: Serving, issuer: LocalPool, other_issuer: LocalPool) -> None:
    one, two = (f"Authorization: Bearer {pool.mint(READ)}" for pool in (issuer, other_issuer))

    for mount, own, foreign in (("/one", one, two), ("/two", two, one), ("/any/two", two, one)):
        assert serving.get(f"{mount}/health", host="tenants").body == b'"healthy"'
        assert is_refused(serving.get(f"{mount}/orders", host="tenants"))
        assert is_refused(serving.get(f"{mount}/health/../orders", host="tenants"))
        assert serving.get(f"{mount}/orders", own, host="tenants").body == b'"inside"'
        refused = serving.get(f"{mount}/orders", foreign, host="tenants")
        assert (refused.status, json.loads(refused.body)["error"]) == (401, "invalid_token")


PREFIXES = ["", "/api", "/api/api", "//api", "/api/", "/API", "/ap", "/api/health/..", "/%61pi", "/api%2f", "/health"]


@BOTH
@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_prefix_opens_a_path_below_a_root_path(rooted: Serving, host: str, prefix: str) -> None:
    for path in ("/orders", "/mounted/orders", "/raw/health", "/item/5"):
        assert is_refused(rooted.get(prefix + path, host=host))
    public = rooted.get(f"{prefix}/health", host=host)
    assert public.body == b"healthy" or is_refused(public)


@BOTH
def test_routes_are_found_below_a_root_path(rooted: Serving, reader: str, host: str) -> None:
    """With and without a proxy that removes the prefix: servers expect different things."""
    for path, body in (("/health", b"healthy"), ("/mounted/health", b"healthy"), ("/orders", b"inside")):
        assert body in {rooted.get(prefix + path, reader, host=host).body for prefix in ("", "/api")}
    bodies = {rooted.get(prefix + "/health", host=host).body for prefix in ("", "/api")}
    assert b"healthy" in bodies


@BOTH
def test_websockets_are_found_below_a_root_path(rooted: Serving, host: str) -> None:
    answers = [rooted.deny(prefix + "/feed", host=host).status for prefix in ("", "/api", "//api", "/api/api")]
    assert answers == [401, 401, 401, 401]

    opened = []
    for prefix in ("", "/api"):
        with suppress(InvalidStatus), rooted.connect(prefix + "/open", host=host) as feed:
            feed.send("hello")
            opened.append(feed.recv(IN_TIME))
    assert set(opened) == {"hello"}


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_an_app_that_knows_its_root_path_is_guarded_with_it_and_without(
    serving: Serving, reader: str, prefix: str
) -> None:
    """A proxy may remove the prefix or keep it. Mounts are only found below it."""
    assert serving.get("/api/mounted/health", host="rooted").body == b"healthy"
    assert serving.get(f"{prefix}/health", host="rooted").body == b"healthy"
    assert is_refused(serving.get(f"{prefix}/orders", host="rooted"))
    assert is_refused(serving.get(f"{prefix}/mounted/orders", host="rooted"))
    assert serving.get(f"{prefix}/orders", reader, host="rooted").body == b"inside"
    for path in (f"/api{prefix}/orders", f"/apiorders{prefix}", f"/api/../health{prefix}x", f"/api/..{prefix}/orders"):
        assert is_refused(serving.get(path, host="rooted"))
