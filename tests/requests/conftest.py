"""The tokens that the tests of requests are made with."""

import pytest

from cognito_guard.local import LocalClient, LocalPool
from tests.requests.recording import Recorder


@pytest.fixture
def token(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


@pytest.fixture
def record() -> Recorder:
    """What ran."""
    return Recorder()
