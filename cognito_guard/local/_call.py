"""One call of an operation of the AWS API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from cognito_guard._grammar import CLIENT_ID
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._members import USER_POOL_ID, Members, OperationError
from cognito_guard.local._pool import LocalPool


@dataclass(frozen=True, slots=True)
class Call:
    """
    The arguments of an operation.

    Attributes:
        request: The HTTP request.
        members: The parameters.
        pools: The user pools here.
        disputed: How to answer where Cognito's answer is not known for certain.

    """

    request: Request
    members: Members
    pools: Sequence[LocalPool]
    disputed: DisputedAnswers

    def pool(self) -> LocalPool:
        """
        Return the pool that `UserPoolId` names.

        Raises:
            OperationError: It is malformed, or there is no such pool here.

        """
        pool_id = self.members.text("UserPoolId", USER_POOL_ID)
        for pool in self.pools:
            if pool.pool_id == pool_id:
                return pool
        raise OperationError("ResourceNotFoundException", f"User pool {pool_id} does not exist.")

    def client(self, pool: LocalPool) -> LocalClient:
        """
        Return the client of *pool* that `ClientId` names.

        Raises:
            OperationError: It is malformed, or there is no such client.

        """
        client_id = self.members.text("ClientId", CLIENT_ID)
        client = pool.find_client(client_id)
        if client is None:
            raise OperationError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")
        return client
