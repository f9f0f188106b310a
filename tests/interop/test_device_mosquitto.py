"""The reference device on mosquitto, commanded by aiomqtt: neither end of the line was written here."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from dataclasses import replace

import aiomqtt
import pytest
from aiohttp import web

from harness.bench.processes import ending_with_us
from harness.entropy import SeededEntropy
from simulators.device.asyncio_device import AsyncioDevice
from simulators.device.settings import DeviceSettings
from simulators.network.addresses import free_port

pytestmark = pytest.mark.peer("mosquitto")

DEADLINE_S = 20
IMAGE = bytes(range(256)) * 400


class Mosquitto:
    """A mosquitto process that keeps its sessions over a restart."""

    def __init__(self, program, directory):
        self.port = free_port("127.0.0.1")
        self._command = ending_with_us([program, "-c", str(directory / "mosquitto.conf")])
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true", f"persistence_location {directory}/"]
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(*self._command, stderr=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def stop(self):
        self._process.terminate()
        await self._process.wait()


@pytest.fixture
def mosquitto(find_program, tmp_path):
    return Mosquitto(find_program("mosquitto"), tmp_path)


class Operator:
    """Sends commands with QoS 2 and reads results."""

    def __init__(self, client):
        self._client = client
        self._results = aiter(client.messages)

    async def send(self, command, data, *, device_id="dev-1", retain=False):
        await self._client.publish(f"{device_id}/control/{command}", json.dumps(data), qos=2, retain=retain)

    async def result(self):
        """The next result: its command and its body."""
        async with asyncio.timeout(DEADLINE_S):
            message = await anext(self._results)
        return message.topic.value.split("/")[2], json.loads(message.payload)

    async def ask(self, command, data):
        await self.send(command, data)
        return await self.result()


@contextlib.asynccontextmanager
async def operating(mosquitto):
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe("+/control/+/result", qos=2)
        yield Operator(client)


@contextlib.asynccontextmanager
async def bench(mosquitto, **changes):
    """A running mosquitto, a listening device, an operator."""
    await mosquitto.start()
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    settings = replace(DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url=url, keep_alive_s=2), reboot_s=0.05, **changes)
    device = AsyncioDevice(settings, entropy=SeededEntropy(1))
    running = asyncio.create_task(device.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await device.until_listening()
        async with operating(mosquitto) as operator:
            yield device, operator
        device.stop()
        async with asyncio.timeout(DEADLINE_S):
            await running
    finally:
        running.cancel()
        await mosquitto.stop()


@contextlib.asynccontextmanager
async def download_server(answer):
    """An HTTP server; gives its base URL and the requests that came."""
    requests = []

    async def handle(request):
        requests.append((request.method, request.raw_path, request.headers.get("Authorization")))
        return await answer(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


async def whole_image(request):
    return web.Response(body=IMAGE, headers={"Content-Disposition": "attachment; filename=firmware_v2.1.0.bin"})


@pytest.mark.requirement("DEV-08a")
def test_configuration_is_applied_and_reported(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (_, operator):
            assert (await operator.ask("configuration", {"a": 1, "b": 2}))[1]["success"]
            assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"a": 1, "b": 2}
            assert (await operator.ask("send_configuration", {"keys": ["b"]}))[1]["configuration"] == {"b": 2}
            assert (await operator.ask("reset", {}))[1]["success"]
            assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"sampling_rate": 300}

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-07")
def test_one_reboot_per_command_and_the_configuration_survives_it(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (device, operator):
            await operator.ask("configuration", {"a": 1})
            assert (await operator.ask("reboot", {}))[1]["success"]
            # Sent while the device is away: it waits in the session.
            assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"a": 1}
            assert device.boots == 2

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-11")
def test_a_download_uses_the_url_verbatim_and_the_raw_token(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (_, operator), download_server(whole_image) as (base_url, requests):
            offer = {"url": f"{base_url}/v2/device/download?key=a%2Bb%5f&x=%7e+", "expires_at": "1970-01-01T00:00:00Z"}
            command, result = await operator.ask("download_firmware", offer)
            assert (command, result["success"], result["size"]) == ("download_firmware", True, len(IMAGE))
            assert result["sha256"] == hashlib.sha256(IMAGE).hexdigest()
            assert result["file_name"] == "firmware_v2.1.0.bin"
            assert requests == [("GET", "/v2/device/download?key=a%2Bb%5f&x=%7e+", "Basic token")]

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-12")
def test_a_connection_that_breaks_is_not_asked_again_and_nothing_is_installed(mosquitto):
    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(IMAGE))})
        await response.prepare(request)
        await response.write(IMAGE[:1000])
        request.transport.abort()
        return response

    async def scenario():
        async with bench(mosquitto) as (device, operator), download_server(cut) as (base_url, requests):
            _, result = await operator.ask("download_firmware", {"url": f"{base_url}/x", "expires_at": ""})
            assert result["success"] is False
            assert len(requests) == 1
            assert device.storage.load().firmware.current is None

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-11")
def test_a_connection_that_breaks_before_the_answer_is_not_asked_again(mosquitto):
    async def cut(request):
        request.transport.abort()
        return web.Response()

    async def scenario():
        async with bench(mosquitto) as (_, operator), download_server(cut) as (base_url, requests):
            _, result = await operator.ask("download_firmware", {"url": f"{base_url}/x", "expires_at": ""})
            assert result["success"] is False
            assert len(requests) == 1

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-18")
def test_the_token_does_not_follow_a_redirect_to_another_port(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (_, operator), download_server(whole_image) as (other_url, seen):

            async def away(request):
                raise web.HTTPFound(f"{other_url}/elsewhere")

            async with download_server(away) as (base_url, _):
                await operator.ask("download_firmware", {"url": f"{base_url}/x", "expires_at": ""})
            assert seen == [("GET", "/elsewhere", None)]

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-15")
@pytest.mark.requirement("DEV-16")
def test_a_slow_download_costs_neither_the_connection_nor_the_answers(mosquitto):
    async def scenario():
        released = asyncio.Event()

        async def slow(request):
            response = web.StreamResponse(headers={"Content-Length": str(len(IMAGE))})
            await response.prepare(request)
            await response.write(IMAGE[:1000])
            await released.wait()
            await response.write(IMAGE[1000:])
            return response

        async with bench(mosquitto) as (device, operator), download_server(slow) as (base_url, requests):
            await operator.send("download_firmware", {"url": f"{base_url}/x", "expires_at": ""})
            await operator.send("download_logo", {"url": f"{base_url}/y", "expires_at": ""})
            assert (await operator.ask("configuration", {"a": 1}))[0] == "configuration"
            await asyncio.sleep(3.5)  # longer than keep-alive times 1.5
            assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"a": 1}
            released.set()
            results = [await operator.result(), await operator.result()]
            assert [(command, body["success"]) for command, body in results] == [("download_firmware", True), ("download_logo", True)]
            assert [path for _, path, _ in requests] == ["/x", "/y"]
            assert device.boots == 1

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-20")
def test_commands_sent_during_a_network_loss_arrive_once(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (device, operator):
            device.drop_connection()
            for number in range(5):
                await operator.send("configuration", {"n": number})
            assert [(await operator.result())[0] for _ in range(5)] == ["configuration"] * 5
            assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"n": 4}

    asyncio.run(scenario())


@pytest.mark.requirement("DEV-20")
def test_it_comes_back_after_a_restart_of_the_broker(mosquitto):
    async def scenario():
        lines = asyncio.Queue()
        await mosquitto.start()
        settings = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url=f"mqtt://127.0.0.1:{mosquitto.port}")
        device = AsyncioDevice(settings, entropy=SeededEntropy(1), console=lines.put_nowait)
        running = asyncio.create_task(device.run())
        await until(lines, "listening")
        await mosquitto.stop()
        await mosquitto.start()
        await until(lines, "listening")
        async with operating(mosquitto) as operator:
            assert (await operator.ask("configuration", {"a": 1}))[1]["success"]
        device.stop()
        await running
        await mosquitto.stop()

    asyncio.run(scenario())


async def until(lines, wanted):
    """Reads the device's console up to the line `wanted`."""
    async with asyncio.timeout(DEADLINE_S):
        while await lines.get() != wanted:
            pass


@pytest.mark.requirement("DEV-21")
def test_a_retained_command_is_refused(mosquitto):
    async def scenario():
        async with bench(mosquitto) as (device, operator):
            await operator.send("configuration", {"a": 1}, device_id="dev-2", retain=True)
            changed = replace(device.settings, subscriptions=lambda device_id: (("dev-1/control/+", 2),))
            await operator.send("configuration", {"a": 1}, retain=True)
            assert (await operator.result())[1]["success"]  # live, so RETAIN is 0
            second = AsyncioDevice(changed, entropy=SeededEntropy(2))  # takes the id over; its new subscription brings the retained copy
            device.stop()
            running = asyncio.create_task(second.run())
            _, result = await operator.result()
            assert (result["success"], second.storage.load().configuration) == (False, {"sampling_rate": 300})
            second.stop()
            await running

    asyncio.run(scenario())


async def start_process(mosquitto, tmp_path):
    environment = os.environ | {
        "HIL_MQTT_URL": f"mqtt://127.0.0.1:{mosquitto.port}",
        "HIL_API_URL": "http://127.0.0.1:1",
        "HIL_DEVICE_ID": "dev-1",
        "HIL_DEVICE_TOKEN": "token",
        "HIL_KEEP_ALIVE_S": "5",
        "HIL_STATE_DIR": str(tmp_path / "state"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "harness.cli", "device", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        while b"listening" not in await process.stderr.readline():
            pass
    return process


@pytest.mark.slow
@pytest.mark.requirement("DEV-07")
def test_the_process_exits_with_0_at_a_reboot_and_finds_its_flash_again(mosquitto, tmp_path):
    async def scenario():
        await mosquitto.start()
        try:
            process = await start_process(mosquitto, tmp_path)
            async with operating(mosquitto) as operator:
                await operator.ask("configuration", {"a": 1})
                await operator.ask("reboot", {})
                assert await process.wait() == 0
                process = await start_process(mosquitto, tmp_path)
                assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"a": 1}
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            await mosquitto.stop()

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.requirement("DEV-04")
def test_the_process_survives_a_kill_without_a_second_effect(mosquitto, tmp_path):
    async def scenario():
        await mosquitto.start()
        try:
            process = await start_process(mosquitto, tmp_path)
            async with operating(mosquitto) as operator:
                await operator.send("configuration", {"a": 1})
                process.kill()
                await process.wait()
                process = await start_process(mosquitto, tmp_path)
                assert (await operator.result())[0] == "configuration"
                assert (await operator.ask("send_configuration", {}))[1]["configuration"] == {"a": 1}
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        finally:
            await mosquitto.stop()

    asyncio.run(scenario())
