"""The drivers reach targets as they stand in the world: MQTT over TLS and WebSockets (mosquitto), https with client certificates and a
header that a gateway demands (nginx), and through a forward proxy."""

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from contextlib import asynccontextmanager

import pytest

from harness.bench.http_driver import HttpDriver
from harness.bench.mqtt_driver import MqttDriver
from harness.bench.processes import ending_with_us
from harness.bench.target import ApiKeys, HttpOptions, Platform, TargetDevice
from harness.bench.target_clock import advance_test_clock
from harness.bench.tls import Tls
from harness.clock import SystemClock
from harness.errors import TargetUnavailable
from harness.history.events import HttpRequest, MqttClosed
from harness.history.recorder import Recorder
from harness.operations import Call, Connect, Publish
from harness.wire.commands import DeviceKind

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.peer("nginx"), pytest.mark.peer("openssl")]

DEVICE = TargetDevice(id="dev-1", project_id="p", token="token", kind=DeviceKind.MQTT)
GATE = {"X-Gate-Key": "open sesame"}
PORTS = ("mqtt", "mqtts", "mutual", "ws", "wss", "http", "https", "gated")


class World:
    """What runs on this machine: ports by name, certificates in a directory."""

    def __init__(self, directory):
        self.directory = directory
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            self.ports = {name: each.getsockname()[1] for name, each in zip(PORTS, sockets, strict=True)}

    def make_certificates(self):
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=a CA of the tests")
        (self.directory / "names").write_text("subjectAltName=IP:127.0.0.1")
        for name in ("server", "client"):
            self._openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed_by)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def write_configurations(self):
        port, certificates = self.ports, "cafile ca.pem\ncertfile server.pem\nkeyfile server.key\n"
        listeners = {
            "mqtt": "",
            "mqtts": certificates,
            "mutual": certificates + "require_certificate true\n",
            "ws": "protocol websockets\n",
            "wss": "protocol websockets\n" + certificates,
        }
        told = "".join(f"listener {port[name]} 127.0.0.1\n{options}" for name, options in listeners.items())
        (self.directory / "mosquitto.conf").write_text(f"per_listener_settings false\nallow_anonymous true\nuser root\n{told}")
        temporary = "".join(f"{kind}_temp_path tmp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        answer = 'location / { default_type application/json; return 200 \'{"now": "here"}\'; }'
        tunnel = f"location /mqtt {{ proxy_pass http://127.0.0.1:{port['ws']}; proxy_http_version 1.1; "
        tunnel += 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }'
        tls = "ssl_certificate server.pem; ssl_certificate_key server.key;"
        gate = f"ssl_client_certificate ca.pem; ssl_verify_client on; if ($http_x_gate_key != '{GATE['X-Gate-Key']}') {{ return 403; }}"
        servers = f"server {{ listen 127.0.0.1:{port['http']}; {answer} }}"
        servers += f"server {{ listen 127.0.0.1:{port['https']} ssl; {tls} {answer} }}"
        servers += f"server {{ listen 127.0.0.1:{port['gated']} ssl; {tls} {gate} {answer} {tunnel} }}"
        http = f"http {{ access_log off; {temporary} {servers} }}"
        (self.directory / "nginx.conf").write_text(f"daemon off; pid nginx.pid; error_log stderr; events {{}} {http}")

    def platform(self, api="http", mqtt="mqtt", *, tls=None, http=None, path=""):
        schemes = {"gated": "https", "mutual": "mqtts", "gated-mqtt": "wss"}
        return Platform(
            name="p",
            api_url=f"{schemes.get(api, api)}://127.0.0.1:{self.ports[api]}",
            mqtt_url=f"{schemes.get(mqtt, mqtt)}://127.0.0.1:{self.ports[mqtt.removesuffix('-mqtt')]}{path}",
            api_keys=ApiKeys(full="k"),
            tls=tls or Tls(ca=self.directory / "ca.pem"),
            http=http or HttpOptions(),
            devices=(DEVICE,),
        )

    @property
    def client_tls(self):
        names = {"ca": "ca.pem", "client_cert": "client.pem", "client_key": "client.key"}
        return Tls(**{name: self.directory / file for name, file in names.items()})

    def until_served(self):
        for port in self.ports.values():
            for _ in range(500):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory, find_program):
    directory = tmp_path_factory.mktemp("gateways")
    world = World(directory)
    world.make_certificates()
    world.write_configurations()
    commands = (
        [find_program("mosquitto"), "-c", "mosquitto.conf"],
        [find_program("nginx"), "-p", str(directory), "-c", "nginx.conf"],
    )
    running = [subprocess.Popen(ending_with_us(command), cwd=directory, stderr=subprocess.DEVNULL) for command in commands]
    world.until_served()
    yield world
    for process in running:
        process.terminate()
        process.wait(timeout=30)


def a_command_comes(platform):
    """Plays a device that publishes to its own topic, loses its connection, and resumes; returns what came and the history."""

    async def run():
        recorder = Recorder(SystemClock())
        async with MqttDriver(platform, recorder) as driver:
            filters = (("dev-1/control/+", 2),)
            connected = await driver.connect(DEVICE, Connect("dev-1", clean_session=False, filters=filters))
            published = await driver.publish(Publish("dev-1", "dev-1/control/x", b'{"a": 1}'))
            came = await driver.receive("dev-1", 1, 10.0)
            await driver.disconnect("dev-1", abruptly=True)
            again = await driver.connect(DEVICE, Connect("dev-1", clean_session=False))
            await driver.retire("dev-1")
            return connected.granted, published, [(message.payload, message.qos) for message in came], again.session_present
        return None

    return asyncio.run(run())


AS_IT_SHOULD = ((2,), True, [('{"a": 1}', 2)], True)


@pytest.mark.parametrize("kind", ["mqtt", "mqtts", "ws", "wss"])
def test_a_device_is_played_over_every_kind_of_url(world, kind):
    assert a_command_comes(world.platform(mqtt=kind)) == AS_IT_SHOULD


def test_a_device_is_played_with_a_client_certificate(world):
    assert a_command_comes(world.platform(mqtt="mutual", tls=world.client_tls)) == AS_IT_SHOULD


def test_a_device_is_played_through_a_gateway_that_demands_certificate_and_header(world):
    platform = world.platform(mqtt="gated-mqtt", path="/mqtt", tls=world.client_tls, http=HttpOptions(headers=GATE))
    assert a_command_comes(platform) == AS_IT_SHOULD


@pytest.mark.parametrize("kind", ["mqtts", "wss", "mutual", "gated-mqtt"])
def test_a_broker_that_we_may_not_trust_or_that_does_not_let_us_in_is_unavailable(world, kind):
    tls = world.client_tls if kind == "gated-mqtt" else Tls(ca=world.directory / "ca.pem") if kind == "mutual" else Tls()
    with pytest.raises(TargetUnavailable):
        a_command_comes(world.platform(mqtt=kind, path="/mqtt" if kind == "gated-mqtt" else "", tls=tls))


@pytest.mark.parametrize("kind", ["mqtts", "wss"])
def test_insecure_asks_for_no_certificate(world, kind):
    assert a_command_comes(world.platform(mqtt=kind, tls=Tls(insecure=True))) == AS_IT_SHOULD


def test_the_end_of_a_websocket_is_on_the_record_once(world):
    async def run():
        recorder = Recorder(SystemClock())
        async with MqttDriver(world.platform(mqtt="ws"), recorder) as driver:
            await driver.connect(DEVICE, Connect("dev-1"))
            await driver.disconnect("dev-1", abruptly=False)
        return [seen.fact.closed_by for seen in recorder.history().of(MqttClosed)]

    assert asyncio.run(run()) == ["us"]


def asked(platform):
    """One call, a volley of two, and a step of the clock; returns the bodies and the headers that went out."""

    async def run():
        recorder = Recorder(SystemClock())
        async with HttpDriver(platform, recorder) as driver:
            call = Call("GET", "/v2/files", "files")
            answers = [await driver.call(call), *await driver.volley((call, call))]
            if platform.clock is not None:
                await advance_test_clock(platform, 1.0, recorder, trace=driver.next_trace())
        sent = [dict(seen.fact.headers) for seen in recorder.history().of(HttpRequest)]
        return [(answer.status, answer.body) for answer in answers], sent

    return asyncio.run(run())


HERE = (200, b'{"now": "here"}')


@pytest.mark.parametrize("api", ["http", "https"])
def test_requests_reach_http_and_https(world, api):
    assert asked(world.platform(api=api))[0] == [HERE] * 3


def test_a_gateway_lets_us_in_for_our_certificate_and_header(world):
    answers, sent = asked(world.platform(api="gated", tls=world.client_tls, http=HttpOptions(headers=GATE)))
    assert answers == [HERE] * 3
    assert all(headers["X-Gate-Key"] == GATE["X-Gate-Key"] for headers in sent)


def test_a_gateway_that_misses_its_header_refuses(world):
    assert [status for status, _ in asked(world.platform(api="gated", tls=world.client_tls))[0]] == [403] * 3


def test_a_server_that_we_may_not_trust_is_unavailable(world):
    with pytest.raises(TargetUnavailable):
        asked(world.platform(api="https", tls=Tls()))


@asynccontextmanager
async def forward_proxy(seen):
    """A forward proxy: tunnels for CONNECT, else one request with its whole URL; keeps the first line and the login of each."""

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *headers = head.split("\r\n")
        seen.append((first, [line for line in headers if line.lower().startswith("proxy-authorization")]))
        method, url, version = first.split()
        host, _, path = url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        there, back = await asyncio.open_connection(name, int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write("\r\n".join([f"{method} /{path} {version}", *headers]).encode())
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def through_a_proxy(world, use, **places):
    """Runs `use(platform)` in a thread while a proxy serves; returns its outcome and what the proxy saw."""

    async def run():
        seen = []
        async with forward_proxy(seen) as port:
            http = HttpOptions(proxy=f"http://us:se%20cret@127.0.0.1:{port}")
            return await asyncio.to_thread(use, world.platform(http=http, **places)), seen

    return asyncio.run(run())


LOGIN = "proxy-authorization: basic dxm6c2ugy3jlda=="


@pytest.mark.parametrize("api", ["http", "https"])
def test_every_request_goes_through_the_proxy(world, api):
    (answers, _), seen = through_a_proxy(world, asked, api=api)
    place = f"127.0.0.1:{world.ports[api]}"
    line = f"GET http://{place}/v2/files HTTP/1.1" if api == "http" else f"CONNECT {place} HTTP/1.1"
    assert answers == [HERE] * 3
    assert [first for first, _ in seen] == [line] * 3
    assert [[login.lower() for login in logins] for _, logins in seen] == [[LOGIN]] * 3


def test_a_websocket_goes_through_the_proxy(world):
    came, seen = through_a_proxy(world, a_command_comes, mqtt="wss")
    assert came == AS_IT_SHOULD
    assert {first for first, _ in seen} == {f"CONNECT 127.0.0.1:{world.ports['wss']} HTTP/1.1"}


def test_the_clock_is_moved_through_the_gateway(world):
    clock = {"advance_url": f"https://127.0.0.1:{world.ports['gated']}/advance"}
    platform = world.platform(api="gated", tls=world.client_tls, http=HttpOptions(headers=GATE))
    platform = Platform.model_validate(json.loads(platform.model_dump_json()) | {"clock": clock})
    assert asked(platform)[0] == [HERE] * 3
