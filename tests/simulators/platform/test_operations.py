"""Health, metrics, log lines, the login limit, TLS, restarts, and downloads that end although the platform is stopping."""

import asyncio
import json
import logging
import ssl
import tomllib
from types import SimpleNamespace

import aiohttp
import pytest

from harness.clock import AdvanceableClock, ManualClock, SystemClock
from simulators.platform.login_limit import PEERS_MAX, LoginLimit
from simulators.platform.logs import JsonLines
from simulators.platform.operations import Edge, Metrics


def test_health_and_metrics_are_served(on_bench):
    async def scenario(bench):
        await bench.offer(bench.device())
        assert json.loads((await bench.request("GET", "/healthz")).body) == {"status": "ok"}
        metrics = (await bench.request("GET", "/metrics")).body.decode()
        route = "/v2/projects/{project_id}/devices/{device_id}/communication/command"
        assert f'hil_requests_total{{route="{route}",status="200"}} 1.0' in metrics
        assert "hil_live_keys 1.0" in metrics

    on_bench(scenario)


def test_a_log_line_is_json_without_secrets():
    text = "GET /v2/device/download?key=abc-DEF&x=1 Authorization: Basic t0ken Bearer QB_secret"
    line = JsonLines().format(logging.LogRecord("x", logging.INFO, "f", 1, text, (), None))
    assert json.loads(line)["message"] == "GET /v2/device/download?key=…&x=1 Authorization: Basic … Bearer …"


def test_twenty_failures_in_a_minute_make_a_peer_wait_for_the_rest_of_it():
    limit = LoginLimit(20)
    for number in range(20):
        assert limit.wait_s("10.0.0.1", number) == 0.0
        limit.failed("10.0.0.1", float(number))
    assert limit.wait_s("10.0.0.1", 20.0) == 40.0
    assert limit.wait_s("10.0.0.2", 20.0) == 0.0
    assert limit.wait_s("10.0.0.1", 60.0) == 0.0


def test_the_limit_remembers_a_bounded_number_of_peers():
    limit = LoginLimit(1)
    for number in range(PEERS_MAX + 10):
        limit.failed(f"peer-{number}", 0.0)
    assert limit.wait_s("peer-0", 1.0) == 0.0
    assert limit.wait_s(f"peer-{PEERS_MAX + 9}", 1.0) > 0


def edge_answer(peer, failures):
    """What a peer is answered that has failed so often, where one failure a minute is allowed."""
    limit = LoginLimit(1)
    for _ in range(failures):
        limit.failed(peer, 1_000.0)
    metrics = Metrics(open_downloads=lambda: 0, live_keys=lambda: 0, connected=lambda: 0)
    route = SimpleNamespace(route=SimpleNamespace(resource=None))
    request = SimpleNamespace(remote=peer, method="GET", path="/", match_info=route, headers={})

    async def handler(request):
        return aiohttp.web.Response(status=200)

    return asyncio.run(Edge(ManualClock(), metrics, limit).middleware()(request, handler))


def test_a_peer_over_the_limit_is_told_when_to_come_again():
    answer = edge_answer("10.0.0.1", 1)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.8.8.8"])
def test_this_machine_may_fail_as_often_as_it_wants(peer):
    assert edge_answer(peer, 5).status == 200


def test_tls_serves_the_api_with_a_certificate_of_the_named_ca(on_bench, tmp_path):
    async def scenario(bench):
        ca = tmp_path / bench.target["tls"]["ca"]
        assert bench.platform.api_url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(ca))
        async with bench.http.get(bench.platform.api_url + "/healthz", ssl=context) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await bench.http.get(bench.platform.api_url + "/healthz")

    on_bench(scenario, tls_self_signed=True, state_directory=tmp_path, clock=AdvanceableClock(SystemClock()))


def test_a_restart_keeps_ports_keys_and_the_moved_clock(on_bench, tmp_path):
    async def scenario(bench):
        device = bench.device()
        offer, other = await bench.offer(device), await bench.offer(device)
        await bench.request("POST", "/_test/clock/advance", data=b'{"seconds": 1000}')
        before = (tmp_path / "target.toml").read_text()
        await bench.platform.restart()
        assert (tmp_path / "target.toml").read_text() == before
        assert (await bench.fetch(device, offer)).status == 200
        await bench.request("POST", "/_test/clock/advance", data=b'{"seconds": 800}')
        assert (await bench.fetch(device, other)).status == 401

    on_bench(scenario, state_directory=tmp_path, test_clock=True)


def test_a_running_download_ends_before_the_platform_stops(on_bench):
    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        stored = bench.stored_bytes("bootloader.elf")
        fetched = asyncio.create_task(bench.fetch(device, offer))
        while not bench.platform.api.open_downloads:  # noqa: ASYNC110 - a test waits for what only the other side knows
            await asyncio.sleep(0)
        await bench.platform.stop()
        assert (await fetched).body == stored

    on_bench(scenario, shape_bytes_per_s=20_000.0)


def test_the_target_file_is_toml_with_all_that_interfaces_md_promises(on_bench):
    async def scenario(bench):
        return tomllib.loads(bench.platform.target_path.read_text())["platform"], bench.platform.target_path.stat().st_mode

    target, mode = on_bench(scenario, provision=3, test_clock=True)
    assert mode & 0o077 == 0
    assert set(target["api_keys"]) == {"full", "read_only", "disabled", "other_org"}
    assert len(target["projects"]) == 2
    assert len(target["devices"]) >= 8
    assert {device["kind"] for device in target["devices"]} == {"mqtt", "intemo-wifi", "intemo-cellular", "http"}
    assert {device["disposable"] for device in target["devices"]} == {True, False}
    assert {file["type"] for file in target["files"]} == {"firmware", "logo"}
    assert target["devices_file"] == "devices.jsonl"


def test_the_same_seed_gives_the_same_ids_and_other_secrets(on_bench):
    async def ids(bench):
        return [device["id"] for device in bench.target["devices"]]

    assert on_bench(ids, seed=5) == on_bench(ids, seed=5)
    assert on_bench(ids, seed=5) != on_bench(ids, seed=6)
