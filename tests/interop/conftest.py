"""What the interop tests share: an embedded broker whose devices log in with the password `token`."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerSettings, Login, LoginTable

DEVICES = ("dev-1", "dev-2")


@pytest.fixture
def broker_for_strangers():
    """A context manager around a running broker with the devices dev-1 and dev-2 and the operator `op`."""

    @asynccontextmanager
    async def running(**settings):
        logins = [Login(name, name, "token") for name in DEVICES] + [Login("op", "op", "token", is_trusted=True)]
        broker = EmbeddedBroker(BrokerSettings(**settings), LoginTable(logins))
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()

    return running


@pytest.fixture
def subscribed():
    """Waits until a client of the embedded broker has subscribed; fails after ten seconds."""

    async def wait(broker, client_id: str = "dev-1") -> None:
        async with asyncio.timeout(10):
            while (session := broker.core.session_of(client_id)) is None or not session.subscriptions:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def gone():
    """Waits until a client is away; fails after ten seconds."""

    async def wait(broker, client_id: str = "dev-1") -> None:
        async with asyncio.timeout(10):
            while client_id in broker.connected_clients():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait
