"""What was accepted survives the death of the broker's process, exactly once."""

import asyncio
import random
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.mqtt.client_session import ClientSession
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Connect, Publish, Pubrec, Pubrel, Suback, Subscribe
from simulators.broker.port import BrokerUnavailable
from simulators.broker.probe import Probe
from simulators.broker.sqlite_store import FILE_NAME, SqliteJournal

SCRIPT = Path(__file__).with_name("publishing_broker.py")
DEVICES = 200
COMMANDS = 2_000
KILLS = 5


class Device:
    """A persistent device on the client core: reconnects until told to stop, counts what it is given."""

    def __init__(self, device_id: str) -> None:
        self.received: list[int] = []
        self.is_subscribed = asyncio.Event()
        self._session = ClientSession(device_id, clean_session=False, keep_alive_s=0)
        self._filter = f"{device_id}/control/+"

    async def run(self, port: int) -> None:
        while True:
            try:
                await self._converse(*await asyncio.open_connection("127.0.0.1", port))
            except OSError:
                await asyncio.sleep(0.05)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = Decoder()
        writer.write(encode(self._session.connect_packet()))
        try:
            while data := await reader.read(65_536):
                for packet in decoder.feed(data):
                    duties = self._session.receive(packet)
                    self.received += [int(message.payload) for message in duties.deliver]
                    writer.writelines(encode(answer) for answer in duties.send)
                    if isinstance(duties.reply, Suback):
                        self.is_subscribed.set()
                    elif isinstance(duties.reply, Connack) and not self.is_subscribed.is_set():
                        writer.write(encode(self._session.subscribe([(self._filter, 2)])))
        finally:
            self._session.connection_lost()
            writer.close()


class KillableBroker:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = 0

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            str(self._directory),
            str(self.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.port = int((await self._process.stdout.readline()).decode().rsplit(":", 1)[1])

    async def publish(self, commands: list[tuple[int, str]]) -> set[int]:
        """Hands over commands, and tells which were accepted before the process died."""
        self._process.stdin.write("".join(f"{number} {topic}\n" for number, topic in commands).encode())
        accepted: set[int] = set()
        while len(accepted) < len(commands) and (line := await self._process.stdout.readline()):
            if line.endswith(b"\n"):
                accepted.add(int(line))
        return accepted

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        self._process.stdin.close()
        await self._process.wait()


@pytest.mark.slow
@pytest.mark.requirement("CMD-03")
@pytest.mark.requirement("CMD-20")
def test_every_accepted_command_is_delivered_exactly_once_across_five_kills(tmp_path):
    draw = random.Random(20)
    devices = {f"dev-{number}": Device(f"dev-{number}") for number in range(DEVICES)}
    accepted: set[int] = set()

    async def command_in_rounds(broker: KillableBroker) -> None:
        share = COMMANDS // (KILLS + 1) + 1
        commands = [(number, f"dev-{draw.randrange(DEVICES)}/control/reboot") for number in range(COMMANDS)]
        for round_number in range(KILLS + 1):
            part = commands[round_number * share : (round_number + 1) * share]
            publishing = asyncio.create_task(broker.publish(part))
            if round_number < KILLS:
                await asyncio.sleep(draw.uniform(0.0, 0.25))
                await broker.kill()
                accepted.update(await publishing)
                await broker.start()
            else:
                accepted.update(await publishing)

    async def run() -> None:
        broker = KillableBroker(tmp_path)
        await broker.start()
        running = [asyncio.create_task(device.run(broker.port)) for device in devices.values()]
        async with asyncio.timeout(60):
            await asyncio.gather(*(device.is_subscribed.wait() for device in devices.values()))
            await command_in_rounds(broker)
            while not accepted <= {number for device in devices.values() for number in device.received}:
                await asyncio.sleep(0.05)
        await broker.stop()
        for task in running:
            task.cancel()

    asyncio.run(run())
    counts = Counter(number for device in devices.values() for number in device.received)
    assert len(accepted) > COMMANDS // (KILLS + 1)
    assert {number: count for number, count in counts.items() if count > 1} == {}
    assert accepted - counts.keys() == set()


async def connected(broker, client_id: str, *, filters=()) -> tuple[Probe, Connack]:
    probe = await Probe.open(broker.mqtt_url)
    connack = await probe.connect(Connect(client_id, False))
    if filters:
        await probe.subscribe(*filters)
    return probe, connack


def test_sessions_subscriptions_and_both_directions_survive_a_restart(embedded, tmp_path):
    async def run() -> None:
        async with embedded(state_directory=tmp_path) as broker:
            device, _ = await connected(broker, "dev-1", filters=(("a", 2), ("b/+", 1)))
            await broker.publish("a", b"first")
            await broker.publish("a", b"second")
            await device.receive()
            await device.receive()
            device.send(Pubrec(1))
            assert await device.receive() == Pubrel(1)
            device.send(Publish("x", b"", 2, packet_id=40))
            assert await device.receive() == Pubrec(40)
            assert await broker.disconnect("dev-1")
            await broker.publish("b/c", b"third", qos=1)
        async with embedded(state_directory=tmp_path) as broker:
            device, connack = await connected(broker, "dev-1")
            assert connack.session_present
            assert await device.receive() == Publish("a", b"second", 2, dup=True, packet_id=2)
            assert await device.receive() == Pubrel(1)
            assert await device.receive() == Publish("b/c", b"third", 1, packet_id=3)
            watcher, _ = await connected(broker, "watcher", filters=(("x", 0),))
            device.send(Publish("x", b"", 2, dup=True, packet_id=40))
            assert await watcher.messages(for_s=0.1) == []

    asyncio.run(run())


def test_retained_messages_survive_a_restart_and_removed_ones_do_not(embedded, tmp_path):
    async def run() -> None:
        async with embedded(state_directory=tmp_path) as broker:
            await broker.publish("a", b"kept", retain=True)
            await broker.publish("b", b"gone", retain=True)
            await broker.publish("b", b"", retain=True)
        async with embedded(state_directory=tmp_path) as broker:
            device, _ = await connected(broker, "dev-1")
            device.send(Subscribe(1, (("#", 0),)))
            assert [message.payload for message in await device.messages(for_s=0.2)] == [b"kept"]

    asyncio.run(run())


def test_ended_subscriptions_and_clean_sessions_do_not_come_back(embedded, tmp_path):
    async def run() -> None:
        async with embedded(state_directory=tmp_path) as broker:
            await connected(broker, "dev-1", filters=(("a", 2),))
            clean = await Probe.open(broker.mqtt_url)
            await clean.connect(Connect("dev-1", True))
            await clean.subscribe(("a", 2))
            await broker.publish("a", b"x")
        async with embedded(state_directory=tmp_path) as broker:
            assert broker.core.sessions == 0

    asyncio.run(run())


def test_two_brokers_do_not_share_a_state_directory(embedded, tmp_path):
    async def run() -> None:
        async with embedded(state_directory=tmp_path):
            with pytest.raises(BenchError, match=FILE_NAME):
                async with embedded(state_directory=tmp_path):
                    pass

    asyncio.run(run())


@pytest.mark.requirement("CMD-31")
def test_a_message_that_could_not_be_written_is_not_accepted_nor_sent(embedded, tmp_path):
    class FullDisk:
        in_transaction = False

        def execute(self, statement):
            raise sqlite3.OperationalError("database or disk is full")

        def close(self):
            pass

    async def run() -> None:
        async with embedded(state_directory=tmp_path) as broker:
            device, _ = await connected(broker, "dev-1", filters=(("a", 2),))
            broker._journal._database.close()
            broker._journal._database = FullDisk()
            with pytest.raises(BrokerUnavailable, match="disk is full"):
                await broker.publish("a", b"x")
            assert await device.heard() == []

    asyncio.run(run())


def test_a_journal_writes_nothing_before_its_commit(tmp_path):
    journal = SqliteJournal(tmp_path)
    journal.session_opened("dev-1")
    assert journal.is_dirty
    journal.close()
    again = SqliteJournal(tmp_path)
    assert again.sessions() == {}
    again.close()
