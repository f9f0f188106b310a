"""Mutated packets over real sockets: the broker goes on serving a healthy client, and its memory stays flat."""

import asyncio
import random
import sys
from contextlib import asynccontextmanager

import pytest

from harness.errors import TargetUnavailable
from harness.mqtt.encoding import encode
from harness.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsubscribe,
    Will,
)
from simulators.broker.benchmark import memory_bytes
from simulators.broker.probe import Probe
from simulators.broker.trial import acknowledge, hand_over

PACKETS_PER_CONNECTION = 4  # few, because most connections end at their first one or two
SIDE_BY_SIDE = 8
GROWTH_BYTES_MAX = 24 << 20

SPECIMENS = [
    encode(packet)
    for packet in (
        Connect("fuzz-1", True, 60, "user", b"password", Will("fuzz/gone", b"x" * 40, 2, True)),
        Connect("fuzz-2", False, 1),
        Connack(False, 0),
        Publish("fuzz/a", b"payload", 0, True),
        Publish("fuzz/a/b", b"x" * 300, 1, packet_id=7),
        Publish("fuzz/a/b", b"{}", 2, dup=True, packet_id=65_535),
        Puback(7),
        Pubrec(1),
        Pubrel(1),
        Pubcomp(1),
        Subscribe(3, (("fuzz/#", 2), ("fuzz/+/b", 1))),
        Suback(3, (2, 1)),
        Unsubscribe(4, ("fuzz/#",)),
        Pingreq(),
        Disconnect(),
    )
]
HELLO = encode(Connect("", True))


def mutated(draw: random.Random) -> bytes:
    """A packet with a few bytes changed, cut, doubled or joined to another; now and then a correct one."""
    data = bytearray(draw.choice(SPECIMENS))
    for _ in range(draw.choice((0, 1, 1, 2, 5))):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0 if place < len(data):
                data[place] = draw.randrange(256)
            case 1 if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            case 2:
                data[place:place] = draw.randbytes(draw.randrange(1, 4))
            case 3:
                del data[place : place + draw.randrange(1, 4)]
            case _:
                data += draw.choice(SPECIMENS)[: draw.randrange(1, 12)]
    return bytes(data)


@asynccontextmanager
async def broker_process():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from simulators.broker.cli import app; app()", "serve", stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def attack(url: str, draw: random.Random, connections: int) -> None:
    for _ in range(connections):
        try:
            probe = await Probe.open(url)
        except TargetUnavailable:
            pytest.fail("the broker does not accept connections any more")
        if draw.random() < 0.8:
            probe.send_raw(HELLO)
        for _ in range(PACKETS_PER_CONNECTION):
            probe.send_raw(mutated(draw))
            if draw.random() < 0.2:
                await asyncio.sleep(0)
        if draw.random() < 0.5:
            probe.abort()
        else:
            await probe.close()


async def stay_healthy(url: str, stop: asyncio.Event) -> int:
    """A client that publishes QoS 2 to itself until it is told to stop; how often it was served."""
    served = 0
    probe = await Probe.open(url)
    await probe.connect(Connect("healthy", keep_alive_s=60))
    await probe.subscribe(("healthy/x", 2))
    while not stop.is_set():
        served += 1
        payload = b"%d" % served
        await hand_over(probe, Publish("healthy/x", payload, 2, packet_id=served % 65_535 + 1))
        message = await probe.await_type(Publish)
        assert message.payload == payload
        acknowledge(probe, message)
        acknowledge(probe, await probe.await_type(Pubrel))
    await probe.close()
    return served


async def fuzz(packets: int, seed: int) -> tuple[int, int]:
    """(times that the healthy client was served, growth of the broker's memory in the second half)."""
    async with broker_process() as (process, url):
        stop = asyncio.Event()
        healthy = asyncio.create_task(stay_healthy(url, stop))
        half = packets // PACKETS_PER_CONNECTION // SIDE_BY_SIDE // 2 + 1
        memory = []
        for part in range(2):
            draws = [random.Random(f"{seed}/{part}/{number}") for number in range(SIDE_BY_SIDE)]
            await asyncio.gather(*(attack(url, draw, half) for draw in draws))
            memory.append(memory_bytes(process.pid))
        stop.set()
        served = await healthy
        assert process.returncode is None
        return served, memory[1] - memory[0]


@pytest.mark.slow
def test_five_thousand_mutated_packets_leave_a_healthy_client_served():
    served, growth_bytes = asyncio.run(fuzz(5_000, seed=1))
    assert served > 10
    assert growth_bytes < GROWTH_BYTES_MAX


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
def test_two_hundred_thousand_mutated_packets_leave_a_healthy_client_served():
    served, growth_bytes = asyncio.run(fuzz(200_000, seed=2))
    assert served > 100
    assert growth_bytes < GROWTH_BYTES_MAX
