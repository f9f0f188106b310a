"""Each reading of a READ row does what its word says, and nothing but that row changes."""

import base64
import json

import pytest

from simulators.platform.readings import READINGS, with_reading
from simulators.platform.rules import REFERENCE


def read(row, reading):
    return with_reading(REFERENCE, row, reading)


@pytest.mark.parametrize(("row", "readings"), READINGS.items())
def test_our_own_reading_comes_first_and_changes_nothing(row, readings):
    assert read(row, next(iter(readings))) == REFERENCE
    assert all(read(row, reading) != REFERENCE for reading in list(readings)[1:])


@pytest.mark.parametrize(("row", "reading"), [("KEY-01", "x"), ("KEY-08", "second-use")])
def test_an_unknown_row_or_reading_is_named_with_its_choices(row, reading):
    with pytest.raises(ValueError, match="KEY-08"):
        read(row, reading)


@pytest.mark.parametrize(
    ("row", "reading", "body", "status"),
    [
        ("CMD-29", "refused", {"command": "reboot", "data": {"a": 1}}, 400),
        ("CMD-29", "refused", {"command": "reboot", "data": {}}, 200),
        ("CMD-29", "accepted", {"command": "reboot", "data": {"a": 1}}, 200),
    ],
)
def test_readings_of_commands(on_bench, row, reading, body, status):
    async def scenario(bench):
        return (await bench.command(bench.device(), body)).status

    assert on_bench(scenario, rules=read(row, reading)) == status


@pytest.mark.parametrize(("reading", "status"), [("404", 404), ("400", 400)])
def test_a_project_id_that_is_no_uuid(on_bench, reading, status):
    async def scenario(bench):
        return (await bench.command(bench.device(), {"command": "reboot"}, project_id="p-1")).status

    assert on_bench(scenario, rules=read("CMD-30", reading)) == status


@pytest.mark.parametrize(("reading", "status"), [("body-first", 400), ("device-first", 404)])
def test_a_bad_body_for_an_unknown_device(on_bench, reading, status):
    async def scenario(bench):
        return (await bench.command({**bench.device(), "id": "nobody"}, b"{")).status

    assert on_bench(scenario, rules=read("CMD-25", reading)) == status


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_broker_out_of_reach(on_bench, status):
    async def scenario(bench):
        bench.broker.is_reachable = False
        return (await bench.command(bench.device(), {"command": "reboot"})).status

    assert on_bench(scenario, rules=read("CMD-31", str(status))) == status


@pytest.mark.parametrize(("reading", "status"), [("raw", 401), ("base64-too", 200)])
@pytest.mark.parametrize("form", ["{token}", ":{token}", "device:{token}"])
def test_a_base64_token(on_bench, reading, status, form):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        encoded = base64.b64encode(form.format(token=device["token"]).encode()).decode()
        return (await bench.request("GET", offer["url"], authorization=f"Basic {encoded}")).status

    assert on_bench(scenario, rules=read("DLD-14", reading)) == status


def test_a_raw_token_is_taken_under_either_reading(on_bench):
    async def scenario(bench):
        device = bench.device()
        return (await bench.fetch(device, await bench.offer(device))).status

    assert on_bench(scenario, rules=read("DLD-14", "base64-too")) == 200


def test_head_may_be_refused(on_bench):
    async def scenario(bench):
        device = bench.device()
        answer = await bench.fetch(device, await bench.offer(device), "HEAD")
        return answer.status, answer.headers["Allow"]

    assert on_bench(scenario, rules=read("DLD-10", "405")) == (405, "GET")


def test_download_errors_may_be_json(on_bench):
    async def scenario(bench):
        answer = await bench.request("GET", "/v2/device/download?key=x")
        return answer.headers["Content-Type"], json.loads(answer.body)["success"]

    assert on_bench(scenario, rules=read("DLD-08", "json")) == ("application/json", False)


@pytest.mark.parametrize(("row", "reading", "key", "status"), [("LST-10", "404", "other_org", 404), ("LST-11", "scope", "read_only", 403)])
def test_readings_of_lists(on_bench, row, reading, key, status):
    async def scenario(bench):
        path = f"/v2/projects/{bench.target['projects'][0]['id']}/files?type=logo"
        return (await bench.request("GET", path, authorization=f"Bearer {bench.keys[key]}")).status

    assert on_bench(scenario, rules=read(row, reading)) == status
