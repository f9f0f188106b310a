"""SIGKILL at 50 random moments under load: no key works twice, no issued key is lost, no file is corrupt, no repair by hand."""

import asyncio
import hashlib
import json
import random
from urllib.parse import urlsplit

import aiohttp
import paho.mqtt.client as paho
import pytest

from harness.wire.files import FileType
from simulators.platform.keys import KeyState
from simulators.platform.process import PlatformProcess
from simulators.platform.store import Store

KILLS = 50
SEED = 20_240_115
CLIENTS = 6
FILE = "firmware_v2.1.0.bin"


class Ledger:
    """What became of each offer: whether it was tried, what its status was, and whether the bytes came whole."""

    def __init__(self, sha256):
        self.sha256 = sha256
        self.untried, self.served, self.unknown = [], [], []

    def record(self, offer, status, body):
        if status == 200:
            assert body is None or hashlib.sha256(body).hexdigest() == self.sha256
            self.served.append(offer)
        else:
            self.unknown.append(offer)


def listening(target, device, loop, arrived):
    """A device that hands over each offer as it comes."""
    broker = urlsplit(target["mqtt_url"])
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device["id"])
    client.username_pw_set(device["id"], device["token"])
    subscribed = loop.create_future()
    client.on_connect = lambda client, *_: client.subscribe(f"{device['id']}/control/+", qos=2)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set_result, None)
    client.on_message = lambda _client, _data, message: loop.call_soon_threadsafe(arrived.put_nowait, json.loads(message.payload)["url"])
    client.connect(broker.hostname, broker.port)
    client.loop_start()
    return client, subscribed


async def fetch(http, device, url):
    """Status and body; the status is None where no answer came, the body None where it was cut."""
    status = None
    try:
        async with http.get(url, headers={"Authorization": f"Basic {device['token']}"}) as answer:
            status = answer.status
            return status, await answer.read()
    except aiohttp.ClientError:
        return status, None


async def command(http, target, device):
    path = f"/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
    headers = {"Authorization": f"Bearer {target['api_keys']['full']}"}
    async with http.post(
        target["api_url"] + path, json={"command": "download_firmware", "data": {"file_name": FILE}}, headers=headers
    ) as answer:
        assert answer.status == 200


async def load(target, device, ledger, chance, is_running):
    """Commands downloads and uses most of the offers, until the platform is gone."""
    arrived = asyncio.Queue()
    client, subscribed = listening(target, device, asyncio.get_running_loop(), arrived)
    await subscribed
    # A client that repeats a GET by itself would spend a key behind the ledger's back.
    connector = aiohttp.TCPConnector(force_close=True)

    async def one(http):
        while is_running():
            try:
                await command(http, target, device)
                async with asyncio.timeout(0.5):
                    offer = await arrived.get()
            except (aiohttp.ClientError, TimeoutError):
                return
            if chance.random() < 0.3:
                ledger.untried.append(offer)
            else:
                ledger.record(offer, *await fetch(http, device, offer))

    async with aiohttp.ClientSession(connector=connector) as http:
        await asyncio.gather(*(one(http) for _ in range(CLIENTS)))
    client.loop_stop()
    while not arrived.empty():
        ledger.untried.append(arrived.get_nowait())


async def storm(platform, device, ledger, chance, moment_s):
    """Load until the SIGKILL at `moment_s`."""
    killed = False

    def kill():
        nonlocal killed
        killed = True
        platform.kill()

    asyncio.get_running_loop().call_later(moment_s, kill)
    await load(platform.target(), device, ledger, chance, lambda: not killed)


async def settle(device, ledger):
    """After the next start: every offer once more, and those that nobody had tried twice."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        for offer in ledger.served:
            assert (await fetch(http, device, offer))[0] == 401
        for offer in ledger.untried:
            status, body = await fetch(http, device, offer)
            assert (status, hashlib.sha256(body).hexdigest()) == (200, ledger.sha256)
            assert (await fetch(http, device, offer))[0] == 401
        for offer in ledger.unknown:
            assert (await fetch(http, device, offer))[0] in (200, 401)
            assert (await fetch(http, device, offer))[0] == 401


def assert_sound(state, target):
    """Every stored file has its bytes, every copy its key, and the database is whole."""
    store = Store(state / "platform.db")
    assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for project in target["projects"]:
        for file_type in FileType:
            for file in store.project_files(project["id"], file_type):
                assert hashlib.sha256((state / "contents" / file.sha256).read_bytes()).hexdigest() == file.sha256
    # What is left was issued but never reached the device, as the kill came between: it may still be asked for.
    left = [store.key_with_id(int(copy.name)).state for copy in (state / "downloads").iterdir()]
    assert set(left) <= {KeyState.ISSUED}
    store.close()


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.requirement("KEY-02")
def test_fifty_kills_under_load_lose_no_key_and_let_none_work_twice(tmp_path):
    chance = random.Random(SEED)
    platform = PlatformProcess(tmp_path)
    counted = {"served": 0, "untried": 0, "unknown": 0}
    with platform:
        target = platform.target()
        device = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])
        (file,) = [file for file in target["files"] if file["name"] == FILE]
        sha256 = hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest()
        for _ in range(KILLS):
            ledger = Ledger(sha256)
            asyncio.run(storm(platform, device, ledger, chance, chance.uniform(0.02, 0.6)))
            platform.start()
            assert platform.target() == target
            asyncio.run(settle(device, ledger))
            for name in counted:
                counted[name] += len(getattr(ledger, name))
        assert_sound(tmp_path, target)
    assert min(counted.values()) > 0, counted
