"""Whatever a client sends, in every field of every endpoint: an answer below 500 as `main.ErrorResponse` (or success), and no traceback."""

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.wire.responses import error_body_problem
from simulators.platform.platform import PlatformSettings, ReferencePlatform


class SilentBroker:
    """Takes everything."""

    mqtt_url = "mqtt://127.0.0.1:1"

    async def start(self): ...

    async def stop(self): ...

    async def publish(self, topic, payload, *, qos=2, retain=False): ...

    def connected_clients(self):
        return frozenset()


@pytest.fixture(scope="module")
def bench():
    """A platform and a way to send it raw bytes; every log line of level WARNING or above is kept."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(handler.format(record))
    logging.getLogger().addHandler(handler)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        platform = ReferencePlatform(PlatformSettings(), lambda directory: SilentBroker())
        runner.run(stack.enter_async_context(platform))
        target = platform.target()["platform"]
        device = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])
        yield SimpleNamespace(
            exchange=lambda raw, *, ends=False: runner.run(exchange(platform.api_url, raw, ends=ends)),
            keys=target["api_keys"],
            device=device,
            lines=lines,
        )
        runner.run(stack.aclose())
    logging.getLogger().removeHandler(handler)


async def exchange(api_url, raw, *, ends):
    """Sends the bytes (`ends`: and closes our side); returns status, headers and body of the first answer; None where there was none."""
    host, port = api_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            writer.write(raw)
            if ends:
                writer.write_eof()
            answer = await reader.read()
    except ConnectionError:
        return None
    finally:
        writer.close()
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    length_bytes = int(headers.get("content-length", len(body)))
    return SimpleNamespace(status=int(lines[0].split()[1]), headers=headers, body=body[:length_bytes])


def assert_sound(bench, answer, *, is_http=True):
    assert bench.lines == []
    if answer is None:
        assert not is_http
        return
    assert answer.status < 500
    is_json = answer.headers.get("content-type", "").startswith(("application/json", "application/octet-stream"))
    if answer.status >= 400 and is_http:
        assert is_json
        assert error_body_problem(json.loads(answer.body)) is None


def post(path, body, headers=()):
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def get(path, headers=()):
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def command_path(bench, project_id=None, device_id=None):
    project = quote((project_id or bench.device["project_id"]).encode("utf-8", "surrogatepass"), safe="")
    device = quote((device_id or bench.device["id"]).encode("utf-8", "surrogatepass"), safe="")
    return f"/v2/projects/{project}/devices/{device}/communication/command"


def bearer(bench):
    return f"Authorization: Bearer {bench.keys['full']}"


# Any text, lone surrogates included, and texts that are near to what is expected.
wild_text = st.text(st.characters(), max_size=80)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | wild_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild_text, inner, max_size=3),
    max_leaves=10,
)
commands = st.sampled_from(["configuration", "send_configuration", "download_firmware", "download_logo", "reboot", "reset"]) | wild_text
header_value = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


@given(st.binary(max_size=300))
@example(b"[" * 100_000)
@example(b'{"command": "x", "data": ' + b'{"a":' * 30_000)
@example(b'{"command": "x", "data": {"n": ' + b"1" * 10_000 + b"}}")
@example(b"\xff\xfe{\x00}\x00")
def test_any_bytes_as_body(bench, body):
    assert_sound(bench, bench.exchange(post(command_path(bench), body, [bearer(bench)])))


@given(commands, json_values)
def test_any_json_as_command_and_data(bench, command, data):
    body = json.dumps({"command": command, "data": data}).encode()
    assert_sound(bench, bench.exchange(post(command_path(bench), body, [bearer(bench)])))


@given(st.sampled_from(["configuration", "send_configuration", "download_firmware"]), st.sampled_from(["keys", "file_name"]), json_values)
def test_any_value_of_the_named_fields(bench, command, field, value):
    body = json.dumps({"command": command, "data": {field: value}}).encode()
    assert_sound(bench, bench.exchange(post(command_path(bench), body, [bearer(bench)])))


@given(wild_text.filter(bool), wild_text.filter(bool))
@example("..", "..")
@example("\x00", "%")
def test_any_ids_in_the_path(bench, project_id, device_id):
    answer = bench.exchange(post(command_path(bench, project_id, device_id), b'{"command": "reboot"}', [bearer(bench)]))
    assert_sound(bench, answer)
    assert answer.status in (400, 404)


@given(st.binary(max_size=60))
def test_any_percent_encoded_bytes_in_the_path_and_the_query(bench, raw):
    encoded = "".join(f"%{byte:02x}" for byte in raw)
    token = f"Authorization: Basic {bench.device['token']}"
    assert_sound(bench, bench.exchange(get(f"/v2/projects/{encoded or 'x'}/files?type={encoded}", [bearer(bench)])))
    assert_sound(bench, bench.exchange(get(f"/v2/files?type={encoded}&{encoded}", [bearer(bench)])))
    answer = bench.exchange(get(f"/v2/device/download?key={encoded}", [token]))
    assert_sound(bench, answer)
    assert answer.status == 401


@given(st.lists(header_value, max_size=3), st.sampled_from(["", "Bearer ", "Basic "]))
def test_any_authorization(bench, values, scheme):
    headers = [f"Authorization: {scheme}{value}".encode("latin-1").decode("utf-8", "surrogateescape") for value in values]
    command = post(command_path(bench), b'{"command": "reboot"}', headers)
    for raw in (command, get("/v2/files?type=logo", headers), get("/v2/device/download?key=x", headers)):
        answer = bench.exchange(raw)
        assert_sound(bench, answer)
        assert answer.status == 401


@given(
    st.sampled_from(
        ["Content-Type", "Accept", "Range", "traceparent", "Cookie", "Expect", "If-Range", "X-Any", "Content-Encoding", "Origin"]
    ),
    header_value,
)
@example("Content-Encoding", "gzip")
@example("Content-Encoding", "deflate")
@example("Content-Encoding", "br")
@example("Expect", "nonsense")
@example("Range", "bytes=9999999999999999999999-")
def test_any_value_of_other_headers(bench, name, value):
    header = f"{name}: {value}".encode("latin-1").decode("utf-8", "surrogateescape")
    assert_sound(bench, bench.exchange(post(command_path(bench), b'{"command": "reboot"}', [bearer(bench), header])))
    assert_sound(bench, bench.exchange(get("/v2/files?type=logo", [bearer(bench), header])))


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n", b"\0" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
    ],
)  # fmt: skip
def test_bytes_that_are_no_http_are_refused_in_silence(bench, raw):
    assert_sound(bench, bench.exchange(raw, ends=True), is_http=False)


def test_a_body_that_ends_early_costs_nothing(bench):
    raw = post(command_path(bench), b'{"command": "reboot"}', [bearer(bench)])
    assert_sound(bench, bench.exchange(raw[:-5], ends=True), is_http=False)


def session_of(bench):
    body = f"api_key={bench.keys['full']}".encode()
    answer = bench.exchange(post("/portal/login", body, ["Content-Type: application/x-www-form-urlencoded"]))
    assert answer.status == 303
    return f"Cookie: {answer.headers['set-cookie'].partition(';')[0]}"


def assert_served(bench, raw):
    """Pages answer in HTML too, so only the status and the log are judged."""
    bench.lines.clear()
    answer = bench.exchange(raw)
    assert bench.lines == []
    assert answer.status < 500


@given(
    st.binary(max_size=200), st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", "\t"])
)
@example(b"api_key=%ff", "application/x-www-form-urlencoded")
@example(b"--b\r\n\r\n", "multipart/form-data; boundary=b")
def test_any_body_in_the_forms_of_the_portal(bench, body, content_type):
    session = session_of(bench)
    project = f"/portal/projects/{bench.device['project_id']}/files"
    for path in ("/portal/login", project, f"{project}/delete", f"/portal/devices/{bench.device['id']}/commands"):
        assert_served(bench, post(path, body, [session, f"Content-Type: {content_type}"]))


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=30))
@example(b"firmware", b"../../etc/passwd.bin", b"x")
@example(b"logo", b'"; filename="y.png', b"x")
def test_any_names_in_an_upload(bench, file_type, name, data):
    part = b'--b\r\nContent-Disposition: form-data; name="type"\r\n\r\n' + file_type + b"\r\n"
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n' + data + b"\r\n--b--\r\n"
    path = f"/portal/projects/{bench.device['project_id']}/files"
    assert_served(bench, post(path, part + file, [session_of(bench), "Content-Type: multipart/form-data; boundary=b"]))


@given(wild_text.filter(bool), header_value)
def test_any_id_and_cookie_in_the_portal(bench, name, cookie):
    encoded = quote(name.encode("utf-8", "surrogatepass"), safe="")
    cookie = f"Cookie: hil_session={cookie}".encode("latin-1").decode("utf-8", "surrogateescape")
    for path in (
        f"/portal/devices/{encoded}",
        f"/portal/projects/{encoded}",
        f"/portal/projects/x?problem={encoded}",
        f"/portal/static/{encoded}",
    ):
        assert_served(bench, get(path, [session_of(bench)]))
        assert_served(bench, get(path, [cookie]))
