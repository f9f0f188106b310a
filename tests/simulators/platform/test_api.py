"""Commands and lists over real HTTP."""

import json

import pytest

from harness.wire.files import FileType


async def listed(bench, path, key="full"):
    answer = await bench.request("GET", path, authorization=f"Bearer {bench.keys[key]}" if key else None)
    return answer.status, json.loads(answer.body), answer


def files_path(bench, project=0, query="?type=firmware"):
    return f"/v2/projects/{bench.target['projects'][project]['id']}/files{query}"


@pytest.mark.requirement("CMD-01")
def test_a_command_is_answered_with_the_words_of_the_source(on_bench):
    async def scenario(bench):
        answer = await bench.command(bench.device(), {"command": "reboot", "data": {}})
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.body) == {"success": True, "message": "Command sent successfully", "action": "send command"}
        (message,) = bench.broker.published
        assert (message.qos, message.retain, message.payload) == (2, False, b"{}")

    on_bench(scenario)


@pytest.mark.requirement("CMD-07")
@pytest.mark.requirement("CMD-24")
def test_a_download_command_offers_a_fresh_key_that_ends_in_thirty_minutes_within_256_bytes(on_bench):
    async def scenario(bench):
        device = bench.device()
        offers = [await bench.offer(device), await bench.offer(device)]
        assert offers[0]["url"].startswith(bench.platform.api_url + "/v2/device/download?key=")
        assert offers[0]["url"] != offers[1]["url"]
        assert offers[0]["expires_at"] == "2023-11-14T22:43:20Z"
        message = bench.broker.published[-1]
        assert 5 + 2 + len(message.topic) + 2 + len(message.payload) <= 256

    on_bench(scenario)


@pytest.mark.requirement("CMD-13")
@pytest.mark.requirement("CMD-14")
@pytest.mark.requirement("CMD-16")
@pytest.mark.requirement("CMD-22")
def test_who_may_not_command_is_refused_and_nothing_is_published(on_bench):
    async def scenario(bench):
        device = bench.device()
        reboot = {"command": "reboot"}
        path = f"/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
        for authorization in (None, f"Bearer {device['token']}", f"Basic {bench.keys['full']}", f"Basic {device['token']}", "Bearer x"):
            answer = await bench.request("POST", path, authorization=authorization, data=json.dumps(reboot))
            assert (answer.status, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert (await bench.command(device, reboot, key="read_only")).status == 403
        assert (await bench.command(device, reboot, key="disabled")).status == 403
        assert (await bench.command(device, reboot, key="other_org")).status == 404
        assert (await bench.command(bench.device("http"), reboot)).status == 404
        assert (await bench.command({**device, "id": "dev-123"}, reboot)).status == 404
        assert (await bench.command(device, reboot, project_id=bench.target["projects"][1]["id"])).status == 404
        assert (await bench.command(bench.device(allowed="configuration;reboot"), {"command": "reset"})).status == 403
        assert bench.broker.published == []

    on_bench(scenario)


@pytest.mark.requirement("CMD-31")
def test_an_unreachable_broker_is_503_and_leaves_no_key_behind(on_bench):
    async def scenario(bench):
        device = bench.device()
        bench.broker.is_reachable = False
        answer = await bench.command(device, {"command": "download_firmware", "data": {"file_name": "bootloader.elf"}})
        assert (answer.status, json.loads(answer.body)["success"]) == (503, False)
        assert bench.platform.store.live_key_count() == 0
        assert list((bench.platform.directory / "downloads").iterdir()) == []

    on_bench(scenario)


def test_a_body_that_is_too_long_is_refused_before_it_is_read(on_bench):
    async def scenario(bench):
        answer = await bench.command(bench.device(), b'{"command": "x", "data": {"a": "' + b"x" * 300_000 + b'"}}')
        assert (answer.status, json.loads(answer.body)["success"]) == (413, False)

    on_bench(scenario)


@pytest.mark.requirement("LST-01")
@pytest.mark.requirement("LST-03")
def test_a_project_lists_its_own_files_of_one_type(on_bench):
    async def scenario(bench):
        status, body, answer = await listed(bench, files_path(bench, project=1))
        assert (status, answer.headers["Content-Type"]) == (200, "application/json")
        (entry,) = body["files"]
        assert entry == {
            "name": "firmware_v1.0.0.bin",
            "description": "of the other project",
            "time": "2023-11-14T22:13:20Z",
            "size": 20_000,
        }

    on_bench(scenario)


@pytest.mark.requirement("LST-02")
def test_the_alternative_route_lists_the_organisation_and_never_another(on_bench):
    async def scenario(bench):
        _, body, _ = await listed(bench, "/v2/files?type=logo")
        assert sorted(file["name"] for file in body["files"]) == ["badge.bmp", "logo.jpg", "logo.png"]
        assert (await listed(bench, "/v2/files?type=logo", key="other_org"))[1] == {"files": []}
        assert (await listed(bench, files_path(bench), key="other_org"))[1] == {"files": []}

    on_bench(scenario)


@pytest.mark.requirement("LST-04")
@pytest.mark.requirement("LST-05")
def test_lists_are_refused_without_a_key_or_with_a_bad_type(on_bench):
    async def scenario(bench):
        assert (await listed(bench, files_path(bench), key=None))[0] == 401
        assert (await listed(bench, files_path(bench), key="disabled"))[0] == 403
        assert (await listed(bench, files_path(bench), key="read_only"))[0] == 200
        for query in ("", "?type=", "?type=firm", "?type=FIRMWARE", "?type=logo&type=logo", "?Type=logo"):
            assert (await listed(bench, files_path(bench, query=query)))[0] == 400

    on_bench(scenario)


@pytest.mark.requirement("LST-06")
def test_an_upload_appears_at_once_and_a_deletion_is_gone(on_bench):
    async def scenario(bench):
        project_id = bench.target["projects"][1]["id"]
        bench.platform.upload(project_id, FileType.LOGO, "new.png", b"12345", "fresh")
        entry = (await listed(bench, files_path(bench, 1, "?type=logo")))[1]["files"][-1]
        assert (entry["name"], entry["size"], entry["description"]) == ("new.png", 5, "fresh")
        bench.platform.delete_file(project_id, FileType.LOGO, "new.png")
        assert "new.png" not in str((await listed(bench, files_path(bench, 1, "?type=logo")))[1])

    on_bench(scenario)


def test_unknown_paths_and_methods_are_answered_as_errors_of_the_api(on_bench):
    async def scenario(bench):
        for method, path, status in (("GET", "/v2/nothing", 404), ("DELETE", "/v2/files", 405), ("POST", "/_test/clock/advance", 404)):
            answer = await bench.request(method, path)
            assert (answer.status, json.loads(answer.body)["success"]) == (status, False)

    on_bench(scenario)


def test_the_test_clock_is_served_only_when_asked_for_and_refuses_nonsense(on_bench):
    async def scenario(bench):
        answer = await bench.request("POST", "/_test/clock/advance", data=b'{"seconds": 1800}')
        assert (answer.status, json.loads(answer.body)) == (200, {"now": "2023-11-14T22:43:20.000000Z"})
        for body in (b"", b"[]", b'{"seconds": -1}', b'{"seconds": "1"}', b'{"seconds": true}', b'{"seconds": NaN}', b'{"seconds": 1e300}'):
            assert (await bench.request("POST", "/_test/clock/advance", data=body)).status == 400

    on_bench(scenario, test_clock=True)


def test_the_trace_of_a_caller_stands_in_the_audit_trail(on_bench):
    async def scenario(bench):
        device = bench.device()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        path = f"/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
        await bench.request(
            "POST", path, authorization=f"Bearer {bench.keys['full']}", data=b'{"command": "reboot"}',
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        )  # fmt: skip
        assert [(entry.kind, entry.trace) for entry in bench.platform.store.audit(device_id=device["id"])] == [("command sent", trace)]

    on_bench(scenario)
