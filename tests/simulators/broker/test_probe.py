"""The probe waits patiently for what must come, and only briefly for what is too much."""

import asyncio

import pytest

from harness.mqtt.encoding import encode
from harness.mqtt.packets import Pingresp, Publish
from simulators.broker import trials_sessions
from simulators.broker.probe import Probe
from simulators.broker.self_check import self_check
from simulators.broker.trials_sessions import pings_keep_the_connection

BRIEF_S = 0.01


class LateStream:
    """A stream on which every packet comes later than a brief listener waits; then silence."""

    def __init__(self, *packets) -> None:
        self._packets = list(packets)

    async def read(self) -> bytes:
        await asyncio.sleep(5 * BRIEF_S)
        if self._packets:
            return encode(self._packets.pop(0))
        return await asyncio.get_running_loop().create_future()


def test_messages_that_must_come_may_be_late():
    late = [Publish("a", b"1"), Pingresp(), Publish("a", b"2")]
    messages = asyncio.run(Probe(LateStream(*late)).messages(2, for_s=BRIEF_S))
    assert [message.payload for message in messages] == [b"1", b"2"]


def test_a_surplus_is_heard_too():
    messages = asyncio.run(Probe(LateStream(Publish("a", b"1"), Publish("a", b"2"))).messages(1, for_s=100 * BRIEF_S))
    assert [message.payload for message in messages] == [b"1", b"2"]


async def end_at_a_ping(reader, writer):
    await reader.read(1024)
    writer.write(b"\x20\x02\x00\x00")
    while (await reader.read(1024))[:1] not in (b"", b"\xc0"):
        writer.write(b"\x90\x03\x00\x01\x02")
    writer.close()


@pytest.mark.parametrize(("keep_alive_s", "verdict"), [(1, "fail"), (0, "inconclusive")])
def test_an_early_end_is_the_brokers_only_when_the_pings_were_in_time(monkeypatch, keep_alive_s, verdict):
    monkeypatch.setattr(trials_sessions, "KEEP_ALIVE_S", keep_alive_s)

    async def run():
        async with await asyncio.start_server(end_at_a_ping, "127.0.0.1", 0) as server:
            url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await self_check(url, trials=[pings_keep_the_connection])

    (result,) = asyncio.run(run())
    assert result.verdict.value == verdict
