"""`docs/lambda.md`: its function is called as AWS Lambda would call it."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from pathlib import Path
from types import ModuleType

import pytest

import example_app
from cognito_guard._requests.internals import internals_of
from cognito_guard.local import LocalPool, PoolKeys
from tests.api_gateway import event

GUIDE = Path(example_app.__file__).parent.parent / "docs" / "lambda.md"
((NAME, TEXT),) = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def issuer(pool_keys: PoolKeys) -> LocalPool:
    pool = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(client_id="7lhlkkfbfb4q5kpp90urffao", scopes=["orders/order.read"])
    return pool


@pytest.fixture
def function(mangum_loop: None, issuer: LocalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The guide's module beside its saved key set, without network: the proxy accepts no connections."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks()))
    path = tmp_path / f"{NAME}.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_function_answers_without_a_way_out(
    function: ModuleType, issuer: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "cognito_guard")

    assert function.handler(event("/orders", None), None)["statusCode"] == 401
    for _ in range(2):
        answer = function.handler(event("/orders", issuer.mint("orders/order.read")), None)
        assert (answer["statusCode"], answer["body"]) == (200, "[]")
    assert function.handler(event("/orders", issuer.mint()), None)["statusCode"] == 200
    assert internals_of(function.guard).verifier.issuers.status()[issuer.pool_id]["keys"] == 2
