"""Plays devices and API clients against a running platform, as a process of its own; prints one JSON object.

Spelled at the level of bytes, so that the generator costs less than what it measures: `commands TARGET DEVICES SECONDS CONNECTIONS` sends
commands to MQTT devices and times each from the request to the delivery; `downloads TARGET COUNT FILE` holds slow downloads open;
`offers TARGET COUNT FILE` only has them offered.
"""

import asyncio
import json
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

with suppress(ImportError):
    import uvloop

    uvloop.install()

from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connect, Subscribe

PUBLISH, PUBREL, SUBACK = 3, 6, 9


class RawDevice(asyncio.Protocol):
    """Receives at QoS 2 and does nothing else. Packets of up to 16 KiB."""

    def __init__(self, device, delivered):
        self.device, self.delivered = device, delivered
        self.data = b""
        self.subscribed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        name, token = self.device["id"], self.device["token"].encode()
        transport.write(encode(Connect(name, username=name, password=token, keep_alive_s=0)))
        transport.write(encode(Subscribe(1, ((f"{name}/control/+", 2),))))

    def data_received(self, data):
        data = self.data + data
        while len(data) >= 2:
            length, head = data[1], 2
            if length & 0x80:
                if len(data) < 3:
                    break
                length, head = (length & 0x7F) | data[2] << 7, 3
            if len(data) < head + length:
                break
            self.received(data[0] >> 4, data[head : head + length])
            data = data[head + length :]
        self.data = data

    def received(self, kind, body):
        if kind == PUBLISH:
            topic_bytes = body[0] << 8 | body[1]
            self.transport.write(b"\x50\x02" + body[2 + topic_bytes : 4 + topic_bytes])
            self.delivered(body[4 + topic_bytes :])
        elif kind == PUBREL:
            self.transport.write(b"\x70\x02" + body[:2])
        elif kind == SUBACK:
            self.subscribed.set_result(None)


class RawClient(asyncio.Protocol):
    """One request at a time; an answer of the API comes in one segment."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.answer.set_result(data)

    async def exchange(self, request):
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def command_request(target, device, body):
    path = f"/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {target['api_keys']['full']}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def connect_devices(target, devices, delivered):
    loop, url = asyncio.get_running_loop(), urlsplit(target["mqtt_url"])
    connected = []
    for start in range(0, len(devices), 200):
        made = [
            await loop.create_connection(lambda device=device: RawDevice(device, delivered), url.hostname, url.port)
            for device in devices[start : start + 200]
        ]
        await asyncio.gather(*(device.subscribed for _, device in made))
        connected += made
    return connected


async def send_commands(target, devices, seconds, connections):
    loop, url = asyncio.get_running_loop(), urlsplit(target["api_url"])
    sent_at, latencies = [], []
    connected = await connect_devices(target, devices, lambda payload: latencies.append(perf_counter() - sent_at[json.loads(payload)["n"]]))
    accepted = 0
    end = perf_counter() + seconds

    async def client():
        nonlocal accepted
        _, protocol = await loop.create_connection(RawClient, url.hostname, url.port)
        while perf_counter() < end:
            number = len(sent_at)
            sent_at.append(perf_counter())
            body = b'{"command":"blink","data":{"n":%d}}' % number
            answer = await protocol.exchange(command_request(target, devices[number * 7919 % len(devices)], body))
            accepted += b" 200 " in answer[:15]

    began = perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    took = perf_counter() - began
    for _ in range(200):
        if len(latencies) >= accepted:
            break
        await asyncio.sleep(0.05)
    latencies.sort()
    for transport, _ in connected:
        transport.abort()
    return {
        "commands_per_s": accepted / took,
        "accepted": accepted,
        "sent": len(sent_at),
        "delivered": len(latencies),
        "p50_s": latencies[len(latencies) // 2],
        "p99_s": latencies[int(len(latencies) * 0.99)],
    }


class SlowReader(asyncio.Protocol):
    """Reads a body in small sips."""

    def __init__(self, request, sip_every_s):
        self.request, self.sip_every_s = request, sip_every_s
        self.began = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
        transport.write(self.request)

    def data_received(self, data):
        if not self.began.done():
            self.began.set_result(data[9:12])
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(self.sip_every_s, self.sip)

    def sip(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()


async def offers_of(target, devices, file_name):
    """Commands one download per device; the URLs and tokens."""
    loop, url = asyncio.get_running_loop(), urlsplit(target["api_url"])
    payloads, offers = asyncio.Queue(), []
    body = json.dumps({"command": "download_firmware", "data": {"file_name": file_name}}).encode()
    _, client = await loop.create_connection(RawClient, url.hostname, url.port)
    for device in devices:
        ((transport, _),) = await connect_devices(target, [device], payloads.put_nowait)
        assert b" 200 " in (await client.exchange(command_request(target, device, body)))[:15]
        offers.append((json.loads(await payloads.get())["url"], device["token"]))
        transport.abort()  # what is measured is downloads, not connected devices
    return offers


async def hold_downloads(target, devices, file_name):
    """Commands all downloads; starts them at the first line of standard input, and holds them until the second."""
    loop, url = asyncio.get_running_loop(), urlsplit(target["api_url"])
    readers = []
    for offer, token in await offers_of(target, devices, file_name):
        parts = urlsplit(offer)
        readers.append(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {token}\r\n\r\n".encode())
    print(json.dumps({"commanded": len(readers)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    running = [await loop.create_connection(lambda head=head: SlowReader(head, 2.0), url.hostname, url.port) for head in readers]
    statuses = [await reader.began for _, reader in running]
    print(json.dumps({"running": statuses.count(b"200")}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


def main(what, target_path, count, *more):
    target = tomllib.loads(Path(target_path).read_text())["platform"]
    lines = Path(target_path).with_name(target["devices_file"]).read_text().splitlines()
    devices = [json.loads(line) for line in lines[: int(count)]]
    if what == "commands":
        print(json.dumps(asyncio.run(send_commands(target, devices, float(more[0]), int(more[1])))))
    elif what == "offers":
        print(json.dumps(asyncio.run(offers_of(target, devices, more[0]))))
    else:
        asyncio.run(hold_downloads(target, devices, more[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
