"""One key, many who want it at once: 64 connections that send their last byte together, at one platform process and at two."""

import asyncio
from collections import Counter
from urllib.parse import urlsplit

import pytest

from harness.clock import SystemClock
from harness.entropy import SystemEntropy
from harness.wire.files import FileType
from simulators.platform.access import secret_digest
from simulators.platform.contents import Contents
from simulators.platform.keys import DownloadKey, KeyState, mint_key
from simulators.platform.process import PlatformProcess
from simulators.platform.store import Store

CONNECTIONS = 64
ROUNDS = 500
FILE = "bootloader.elf"


def issue(store, contents, target, device):
    """A fresh key as the service makes it; the race is about its use only."""
    secret, now_s = mint_key(SystemEntropy()), SystemClock().utc_s()
    file = store.file(device["project_id"], FileType.FIRMWARE, FILE)
    key = DownloadKey(0, device["id"], file.project_id, file.type, file.name, file.size_bytes, now_s, now_s + 1_800, KeyState.ISSUED)
    with store.transaction():
        key_id = store.issue_key(secret_digest(secret), key)
        contents.make_copy(key_id, file.sha256)
    return secret


async def race(ports, secret, token):
    """The statuses of all GETs, spread over the ports, whose last byte goes out when all connections stand."""
    request = (
        f"GET /v2/device/download?key={secret} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {token}\r\n\r\n".encode()
    )
    connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", ports[n % len(ports)]) for n in range(CONNECTIONS)))
    for _, writer in connections:
        writer.write(request[:-1])
    await asyncio.gather(*(writer.drain() for _, writer in connections))
    for _, writer in connections:
        writer.write(request[-1:])
    answers = await asyncio.gather(*(reader.read() for reader, _ in connections))
    for _, writer in connections:
        writer.close()
    return Counter(int(answer.split(b" ", 2)[1]) for answer in answers)


async def rounds(state, target, ports):
    store, contents = Store(state / "platform.db"), Contents(state)
    device = next(device for device in target["devices"] if device["kind"] == "mqtt")
    outcomes = Counter()
    for _ in range(ROUNDS):
        secret = issue(store, contents, target, device)
        outcomes[frozenset((await race(ports, secret, device["token"])).items())] += 1
    store.close()
    return outcomes


EXACTLY_ONE = {frozenset({(200, 1), (401, CONNECTIONS - 1)}): ROUNDS}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("KEY-03")
def test_of_64_concurrent_gets_exactly_one_is_served_in_every_round(tmp_path):
    with PlatformProcess(tmp_path) as platform:
        target = platform.target()
        assert asyncio.run(rounds(tmp_path, target, [urlsplit(target["api_url"]).port])) == EXACTLY_ONE


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.peer("mosquitto")
@pytest.mark.requirement("KEY-03")
def test_two_processes_on_one_state_directory_serve_a_key_once(tmp_path):
    with PlatformProcess(tmp_path, "--broker", "mosquitto") as first:
        target = first.target()
        with PlatformProcess(tmp_path, "--broker", target["mqtt_url"]) as second:
            ports = [urlsplit(target["api_url"]).port, urlsplit(second.target()["api_url"]).port]
            assert len(set(ports)) == 2
            assert asyncio.run(rounds(tmp_path, target, ports)) == EXACTLY_ONE
