"""Transfers of a file over real HTTP: slow ones, broken ones, and those that a fault spoils."""

import asyncio
import hashlib
import os
import socket
from urllib.parse import urlsplit

import aiohttp
import pytest

from simulators.platform.download_faults import DownloadFault, DownloadFaultKind
from simulators.platform.readings import with_reading
from simulators.platform.rules import REFERENCE

COMPLETE_DELIVERY = with_reading(REFERENCE, "KEY-08", "complete-delivery")


async def read_to_end(read):
    """All that comes, until the other side closes."""
    data = b""
    while chunk := await read():
        data += chunk
    return data


async def slow_connection(bench, device, offer):
    """A connection whose receive buffer is tiny and which has read the response's head only."""
    url = urlsplit(offer["url"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1_024)
    head = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {device['token']}\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.requirement("KEY-08")
def test_under_complete_delivery_an_aborted_transfer_does_not_consume(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "modem_v7.bin")
        reader, writer = await slow_connection(bench, device, offer)
        await reader.read(1_000)
        writer.transport.abort()
        assert (await bench.fetch(device, offer)).body == bench.stored_bytes("modem_v7.bin")

    on_bench(scenario, rules=COMPLETE_DELIVERY)


@pytest.mark.requirement("KEY-08")
def test_under_first_use_an_aborted_transfer_consumes(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "modem_v7.bin")
        _, writer = await slow_connection(bench, device, offer)
        writer.transport.abort()
        assert (await bench.fetch(device, offer)).status == 401

    on_bench(scenario)


@pytest.mark.requirement("KEY-09")
def test_under_complete_delivery_a_transfer_may_outlive_its_key_too_and_uses_it_up(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "modem_v7.bin")
        bench.platform.clock.advance(1_799)
        stored = bench.stored_bytes("modem_v7.bin")
        reader, writer = await slow_connection(bench, device, offer)
        bench.platform.clock.advance(600)
        assert (await bench.fetch(device, offer)).status == 401
        assert await reader.readexactly(len(stored)) == stored
        writer.close()
        assert bench.copies() == []

    on_bench(scenario, rules=COMPLETE_DELIVERY)


@pytest.mark.requirement("DLD-05")
@pytest.mark.requirement("KEY-09")
def test_a_transfer_that_began_in_time_may_outlive_its_key_but_not_fifteen_minutes(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer, other = await bench.offer(device, "modem_v7.bin"), await bench.offer(device, "modem_v7.bin")
        bench.platform.clock.advance(1_799)
        stored = bench.stored_bytes("modem_v7.bin")
        reader, writer = await slow_connection(bench, device, offer)
        cut_reader, cut_writer = await slow_connection(bench, device, other)
        bench.platform.clock.advance(899)
        assert await reader.readexactly(len(stored)) == stored
        bench.platform.clock.advance(2)
        with pytest.raises(ConnectionResetError):
            await read_to_end(lambda: cut_reader.read(65_536))
        writer.close()
        cut_writer.close()

    on_bench(scenario)


@pytest.mark.requirement("DLD-05")
def test_a_small_file_that_fits_into_socket_buffers_is_cut_after_fifteen_minutes_too(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "firmware_v2.1.0.bin")
        url = urlsplit(offer["url"])
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (url.hostname, url.port))
        head = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {device['token']}\r\n\r\n"
        await loop.sock_sendall(connection, head.encode())
        await loop.sock_recv(connection, 512)
        assert bench.platform.api.open_downloads == 1
        bench.platform.clock.advance(900)
        with pytest.raises(ConnectionResetError):
            await read_to_end(lambda: loop.sock_recv(connection, 65_536))
        connection.close()

    on_bench(scenario)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (DownloadFault(DownloadFaultKind.CUT, at_byte=0), "broken"),
        (DownloadFault(DownloadFaultKind.CUT, at_byte=1), "broken"),
        (DownloadFault(DownloadFaultKind.CUT, at_byte=2_000), "broken"),
        (DownloadFault(DownloadFaultKind.SHORT, amount_bytes=5), "broken"),
        (DownloadFault(DownloadFaultKind.SHORT, amount_bytes=5, is_chunked=True), "broken"),
        (DownloadFault(DownloadFaultKind.STALL, at_byte=100, pause_s=0.01), "same"),
        (DownloadFault(DownloadFaultKind.TRICKLE, at_byte=4_000, bytes_per_s=2_000), "same"),
        (DownloadFault(DownloadFaultKind.CORRUPT, at_byte=-1), "last byte differs"),
        (DownloadFault(DownloadFaultKind.CHUNKED), "chunked"),
        (DownloadFault(DownloadFaultKind.REDIRECT, status=302, location="/elsewhere"), 302),
        (DownloadFault(DownloadFaultKind.ERROR, status=500, body=b"\x7fELF", content_type="application/octet-stream"), 500),
    ],
)
def test_planned_faults_of_a_download_happen_as_planned(on_bench, fault, outcome):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        stored = bench.stored_bytes("bootloader.elf")
        try:
            answer = await bench.fetch(device, offer, allow_redirects=False)
        except aiohttp.ClientError:
            return "broken"
        if answer.status != 200:
            return answer.status
        if "Transfer-Encoding" in answer.headers:
            assert (answer.headers["Transfer-Encoding"], answer.body) == ("chunked", stored)
            return "chunked"
        if answer.body == stored:
            return "same"
        return "last byte differs" if answer.body[:-1] == stored[:-1] else "other"

    assert on_bench(scenario, faults=lambda download: fault if download.number == 1 else None) == outcome


def test_a_body_that_is_longer_than_announced_is_sent_when_planned(on_bench):
    async def scenario(bench):
        device = bench.device()
        reader, writer = await slow_connection(bench, device, await bench.offer(device))
        assert await read_to_end(lambda: reader.read(65_536)) == bench.stored_bytes("bootloader.elf") + bytes(3)
        writer.close()

    on_bench(scenario, faults=lambda download: DownloadFault(DownloadFaultKind.LONG, amount_bytes=3))


@pytest.mark.parametrize("size_bytes", [0, 5_000, 50_000])  # cut off before, in, and behind what goes through aiohttp
def test_a_copy_that_the_disk_has_damaged_ends_in_a_cut_connection(on_bench, size_bytes):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "firmware_v2.1.0.bin")
        (copy,) = bench.copies()
        os.truncate(copy, size_bytes)
        with pytest.raises(aiohttp.ClientError):
            await bench.fetch(device, offer, timeout=aiohttp.ClientTimeout(total=5))

    on_bench(scenario)


def test_shaped_downloads_share_the_link_of_their_device(on_bench):
    async def scenario(bench):
        device = bench.device()
        offers = [await bench.offer(device) for _ in range(2)]
        began_s = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(bench.fetch(device, offer) for offer in offers))
        assert [hashlib.sha256(answer.body).digest() for answer in answers] == [
            hashlib.sha256(bench.stored_bytes("bootloader.elf")).digest()
        ] * 2
        return asyncio.get_running_loop().time() - began_s

    assert on_bench(scenario, shape_bytes_per_s=40_000.0) >= 2 * 4_097 / 40_000
