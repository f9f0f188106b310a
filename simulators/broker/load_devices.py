"""The load generator of the broker's bench: thousands of bare devices and one publisher, in a process of their own.

Bare means: precomputed bytes and no session, because a generator that thinks measures itself. Run as `python -m
simulators.broker.load_devices HOST PORT`, it takes orders as JSON lines on standard input and answers each with one:
`{"connect": N}`, `{"commands": N, "per_s": RATE}`, `{"end": true}`.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connect, Publish, Subscribe

CONNECTING_MAX = 200
PACE_S = 0.005
UNFINISHED_MAX = 20
"""Commands of the publisher under way: after a stall of the machine it must not flood the broker, some of which then drop messages."""

PAYLOAD = b'{"correlation":"0123456789abcdef","sampling_rate":60}'


class BareClient(asyncio.Protocol):
    """Connects, subscribes, and answers QoS 2 as fast as Python can."""

    __slots__ = ("_client_id", "_filter", "_rest", "on_message", "on_pubcomp", "ready", "transport")

    def __init__(self, client_id: str, topic_filter: str | None, ready: "asyncio.Future[None]") -> None:
        self._client_id = client_id
        self._filter = topic_filter
        self._rest = b""
        self.ready: asyncio.Future[None] | None = ready
        self.on_message: Callable[[bytes], None] | None = None
        self.on_pubcomp: Callable[[], None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(encode(Connect(self._client_id, keep_alive_s=0, username="load", password=b"load")))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(ConnectionError(f"{self._client_id} was thrown out while it connected"))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        answers = []
        while end - at >= 2:
            length, body = data[at + 1], at + 2
            if length > 127:
                if end - at < 3:
                    break
                length, body = (length & 127) | data[at + 2] << 7, at + 3
            stop = body + length
            if stop > end:
                break
            kind = data[at] & 0xF0
            if kind == 0x30:
                name_end = body + 2 + (data[body] << 8 | data[body + 1])
                answers.append(b"\x50\x02" + data[name_end : name_end + 2])
                if self.on_message is not None:
                    self.on_message(data[body + 2 : name_end])
            elif kind == 0x60:
                answers.append(b"\x70\x02" + data[body : body + 2])
            elif kind == 0x50:
                answers.append(b"\x62\x02" + data[body : body + 2])
            else:
                self._rare(kind)
            at = stop
        self._rest = data[at:]
        if answers and self.transport is not None:
            self.transport.write(b"".join(answers))

    def _rare(self, kind: int) -> None:
        if kind == 0x70 and self.on_pubcomp is not None:
            self.on_pubcomp()
        elif kind == 0x20 and self._filter is not None and self.transport is not None:
            self.transport.write(encode(Subscribe(1, ((self._filter, 2),))))
        elif kind in (0x20, 0x90) and self.ready is not None:
            self.ready.set_result(None)
            self.ready = None


class Load:
    """The devices and the publisher of one run."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._clock = SystemClock()
        self._devices: list[str] = []
        self._publisher: BareClient | None = None
        self._sent_at_s: dict[bytes, list[float]] = {}
        self._latencies_s: list[float] = []
        self._left = 0
        self._completed_count = 0
        self._done = asyncio.Event()
        self._entropy = SeededEntropy(1)

    async def connect(self, devices: int) -> dict[str, Any]:
        """Connects until there are so many devices."""
        gate = asyncio.Semaphore(CONNECTING_MAX)
        names = [f"dev-{number:06d}" for number in range(len(self._devices), devices)]
        began_s = self._clock.monotonic_s()
        await asyncio.gather(*(self._connect(name, f"{name}/control/+", gate, self._arrived) for name in names))
        took_s = self._clock.monotonic_s() - began_s
        self._devices += names
        if self._publisher is None:
            self._publisher = await self._connect("publisher", None, gate, None)
            self._publisher.on_pubcomp = self._completed
        return {"connects_per_s": len(names) / took_s}

    async def _connect(
        self, name: str, topic_filter: str | None, gate: asyncio.Semaphore, on_message: Callable[[bytes], None] | None
    ) -> BareClient:
        loop = asyncio.get_running_loop()
        async with gate:
            ready = loop.create_future()
            _, client = await loop.create_connection(lambda: BareClient(name, topic_filter, ready), *self._address)
            await ready
        client.on_message = on_message
        return client

    async def command(self, commands: int, per_s: float) -> dict[str, Any]:
        """Publishes QoS 2 commands to devices drawn at random, `per_s` a second, until each has arrived and is completed."""
        self._latencies_s = []
        self._left = 2 * commands
        self._completed_count = 0
        self._done.clear()
        cpu_before_s, began_s = _cpu_s(), self._clock.monotonic_s()
        sent = 0
        while sent < commands:
            due = min(commands, int((self._clock.monotonic_s() - began_s) * per_s) + 1, self._completed_count + UNFINISHED_MAX)
            if due > sent:
                self._send(range(sent, due))
                sent = due
            await asyncio.sleep(PACE_S)
        async with asyncio.timeout(120):
            await self._done.wait()
        took_s = self._clock.monotonic_s() - began_s
        latencies_s = sorted(self._latencies_s)
        return {
            "commands_per_s": commands / took_s,
            "latency_p50_ms": 1_000 * latencies_s[len(latencies_s) // 2],
            "latency_p99_ms": 1_000 * latencies_s[len(latencies_s) * 99 // 100],
            "generator_load": (_cpu_s() - cpu_before_s) / took_s,
        }

    def _send(self, numbers: range) -> None:
        packets = []
        for number in numbers:
            topic = f"{self._entropy.choice(self._devices)}/control/reboot"
            self._sent_at_s.setdefault(topic.encode(), []).append(self._clock.monotonic_s())
            packets.append(encode(Publish(topic, PAYLOAD, 2, packet_id=number % 65_535 + 1)))
        assert self._publisher is not None
        assert self._publisher.transport is not None
        self._publisher.transport.write(b"".join(packets))

    def _arrived(self, topic: bytes) -> None:
        self._latencies_s.append(self._clock.monotonic_s() - self._sent_at_s[topic].pop(0))
        self._count_down()

    def _completed(self) -> None:
        self._completed_count += 1
        self._count_down()

    def _count_down(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._done.set()


def _cpu_s() -> float:
    """Processor time of this process so far, in seconds."""
    return cpu_s("self")


def cpu_s(process_id: int | str) -> float:
    """Processor time of all threads of a process so far, in seconds (Linux)."""
    threads = Path(f"/proc/{process_id}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


async def obey(host: str, port: int) -> None:
    """Takes orders until the end."""
    load = Load(host, port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        answer = await load.connect(order["connect"]) if "connect" in order else await load.command(order["commands"], order["per_s"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(obey(sys.argv[1], int(sys.argv[2])))
