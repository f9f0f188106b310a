"""Downloads over real HTTP: the headers, the parts, and the key: one use, one device, thirty minutes."""

import asyncio
import json

import aiohttp
import pytest

from harness.wire.files import FileType
from simulators.platform.readings import with_reading
from simulators.platform.rules import REFERENCE

COMPLETE_DELIVERY = with_reading(REFERENCE, "KEY-08", "complete-delivery")


def assert_error(answer, status):
    body = json.loads(answer.body)
    assert (answer.status, body["success"]) == (status, False)
    assert isinstance(body["message"], str)
    assert isinstance(body["action"], str)


@pytest.mark.requirement("DLD-01")
@pytest.mark.requirement("DLD-06")
def test_the_exact_bytes_come_with_the_headers_of_the_source_and_the_copy_is_gone(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        assert len(bench.copies()) == 1
        answer = await bench.fetch(device, offer)
        assert answer.status == 200
        assert answer.body == bench.stored_bytes("bootloader.elf")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Content-Disposition"] == "attachment; filename=bootloader.elf"
        assert answer.headers["Accept-Ranges"] == "none"
        assert bench.copies() == []

    on_bench(scenario)


@pytest.mark.requirement("KEY-02")
def test_the_second_download_with_a_key_is_refused(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        assert (await bench.fetch(device, offer)).status == 200
        refused = await bench.fetch(device, offer)
        assert_error(refused, 401)
        assert refused.headers["Content-Type"] == "application/octet-stream"
        assert "WWW-Authenticate" in refused.headers

    on_bench(scenario)


@pytest.mark.requirement("KEY-03")
@pytest.mark.parametrize("rules", [REFERENCE, COMPLETE_DELIVERY])
def test_of_many_concurrent_uses_exactly_one_is_complete(on_bench, rules):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device, "modem_v7.bin")
        stored = bench.stored_bytes("modem_v7.bin")

        async def use():
            try:
                answer = await bench.fetch(device, offer)
            except aiohttp.ClientError:
                return "cut"
            return "complete" if answer.body == stored else answer.status

        outcomes = await asyncio.gather(*(use() for _ in range(12)))
        assert outcomes.count("complete") == 1
        assert set(outcomes) <= {"complete", 401, "cut"}
        if rules is REFERENCE:
            assert outcomes.count(401) == 11

    on_bench(scenario, rules=rules)


@pytest.mark.requirement("KEY-05")
def test_refused_attempts_and_head_leave_the_key_to_its_device(on_bench):
    async def scenario(bench):
        device, other = bench.device(number=0), bench.device(number=1)
        offer = await bench.offer(device)
        assert (await bench.request("GET", offer["url"])).status == 401
        assert (await bench.request("GET", offer["url"], authorization=f"Basic {device['token']}x")).status == 401
        assert (await bench.request("GET", offer["url"], authorization=f"Bearer {bench.keys['full']}")).status == 401
        assert (await bench.request("GET", offer["url"], authorization=f"Basic {bench.keys['full']}")).status == 401
        assert_error(await bench.fetch(other, offer), 403)
        head = await bench.fetch(device, offer, "HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "4097")
        assert (await bench.fetch(device, offer)).status == 200

    on_bench(scenario)


@pytest.mark.requirement("KEY-06")
def test_keys_that_are_none_are_refused_with_401(on_bench):
    async def scenario(bench):
        device = bench.device()
        url = (await bench.offer(device))["url"]
        base, key = url.split("?key=")
        queries = [
            "", "?", "?key", "?key=", f"?key={key[:-1]}", f"?key={key.swapcase()}", f"?key={key}x", f"?Key={key}", f"?key={key}&key={key}",
            f"?key=x&key={key}", "?key=%00", "?key=%ff", "?key=%ed%a0%80", "?key=" + "a" * 4_000, f"?key=+{key}", f"?key={key}%20",
            "?" + "&".join(["a=b"] * 200) + f"&key={key}",
        ]  # fmt: skip
        for query in queries:
            raw = aiohttp.client.URL(base + query, encoded=True)
            async with bench.http.get(raw, headers={"Authorization": f"Basic {device['token']}"}) as answer:
                assert answer.status == 401, query
        assert (await bench.fetch(device, {"url": url + "&more=parameters"})).status == 200

    on_bench(scenario)


@pytest.mark.requirement("KEY-01a", "KEY-01b")
def test_a_key_works_until_just_before_thirty_minutes_and_not_at_them(on_bench):
    async def scenario(bench):
        device = bench.device()
        early, late = await bench.offer(device), await bench.offer(device)
        bench.platform.clock.advance(1_799.999)
        assert (await bench.fetch(device, early)).status == 200
        bench.platform.clock.advance(0.001)
        assert (await bench.fetch(device, late)).status == 401
        assert bench.copies() == []

    on_bench(scenario)


@pytest.mark.requirement("DLD-06")
def test_the_copy_of_a_download_that_nobody_fetched_goes_with_its_key(on_bench):
    async def scenario(bench):
        await bench.offer(bench.device())
        assert len(bench.copies()) == 1
        bench.platform.clock.advance(1_800)
        assert bench.copies() == []

    on_bench(scenario)


@pytest.mark.requirement("DLD-04")
def test_a_file_that_was_deleted_after_the_command_is_404_and_the_key_survives(on_bench):
    async def scenario(bench):
        device = bench.device()
        stored = bench.stored_bytes("bootloader.elf")
        offer = await bench.offer(device)
        assert bench.platform.delete_file(device["project_id"], FileType.FIRMWARE, "bootloader.elf")
        assert_error(await bench.fetch(device, offer), 404)
        bench.platform.upload(device["project_id"], FileType.FIRMWARE, "bootloader.elf", stored)
        assert (await bench.fetch(device, offer)).body == stored

    on_bench(scenario)


@pytest.mark.requirement("DLD-12")
def test_the_stored_file_can_be_commanded_again_after_a_download(on_bench):
    async def scenario(bench):
        device = bench.device()
        for _ in range(2):
            assert (await bench.fetch(device, await bench.offer(device))).status == 200

    on_bench(scenario)


@pytest.mark.requirement("DLD-10")
def test_a_range_is_ignored_under_first_use(on_bench):
    async def scenario(bench):
        device = bench.device()
        answer = await bench.fetch(device, await bench.offer(device), headers={"Range": "bytes=0-9"})
        assert (answer.status, len(answer.body)) == (200, 4_097)

    on_bench(scenario)


@pytest.mark.requirement("KEY-08")
def test_under_complete_delivery_parts_add_up_to_one_use(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        body = b""
        for first in range(0, 4_097, 1_024):
            answer = await bench.fetch(device, offer, headers={"Range": f"bytes={first}-{first + 1_023}"})
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {first}-{min(first + 1_023, 4_096)}/4097"
            body += answer.body
        assert body == bench.stored_bytes("bootloader.elf")
        assert (await bench.fetch(device, offer)).status == 401
        assert bench.copies() == []

    on_bench(scenario, rules=COMPLETE_DELIVERY)


def test_a_range_behind_the_end_is_416_and_a_strange_one_is_ignored(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        assert (await bench.fetch(device, offer, headers={"Range": "bytes=4097-"})).status == 416
        assert (await bench.fetch(device, offer, headers={"Range": "bytes=-4"})).body == bench.stored_bytes("bootloader.elf")[-4:]
        assert (await bench.fetch(device, offer, headers={"Range": "lines=1-2"})).status == 200

    on_bench(scenario, rules=COMPLETE_DELIVERY)


@pytest.mark.requirement("DLD-09")
def test_a_file_with_a_difficult_name_is_listed_commanded_and_downloaded(on_bench):
    async def scenario(bench):
        device = bench.device()
        listed = await bench.request("GET", "/v2/files?type=firmware", authorization=f"Bearer {bench.keys['full']}")
        (name,) = [file["name"] for file in json.loads(listed.body)["files"] if "beta" in file["name"]]
        answer = await bench.fetch(device, await bench.offer(device, name))
        assert answer.body == bench.stored_bytes(name)
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")

    on_bench(scenario)


def test_no_secret_stands_in_the_database(on_bench, tmp_path):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        await bench.fetch(device, offer)
        key = offer["url"].partition("key=")[2]
        return key, device["token"], *bench.keys.values()

    secrets = on_bench(scenario, state_directory=tmp_path)
    held = b"".join(path.read_bytes() for path in tmp_path.glob("platform.db*"))
    assert [secret for secret in secrets if secret.encode() in held] == []
