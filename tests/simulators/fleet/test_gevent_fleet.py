"""The gevent skin against the reference platform in a process of its own: same devices, same books."""

import json
import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import SimpleNamespace
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest

from harness.entropy import SeededEntropy
from harness.errors import TargetUnavailable
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Connect, Publish, Suback, Subscribe
from harness.wire.topics import control_topic
from simulators.device.downloader import Body, BodyEnd, Failed, Request, Response
from simulators.device.personality import REFERENCE
from simulators.fleet.admission import Credentials
from simulators.fleet.behaviour import BEHAVIOURS, STEADY
from simulators.fleet.blocking_fetch import fetch_blocking
from simulators.fleet.entries import Answer
from simulators.fleet.ledger import Ledger
from simulators.fleet.totals import download_correlation
from simulators.platform.process import PlatformProcess

gevent = pytest.importorskip("gevent")

from gevent.server import StreamServer  # noqa: E402  # needs gevent

from simulators.fleet import gevent_fleet  # noqa: E402  # needs gevent

DEADLINE_S = 30


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform"), "--provision", "10") as running:
        tables = running.target()
        lines = (running.target_path.parent / tables["devices_file"]).read_text().splitlines()
        yield tables | {"fleet": [json.loads(line) for line in lines]}


def until(is_true):
    """Lets the greenlets run until it is true."""
    with gevent.Timeout(DEADLINE_S):
        while not is_true():
            gevent.sleep(0.01)


def send(target, ledger, correlation, device, command, data):
    """A command over REST; no greenlet runs meanwhile."""
    ledger.sent(correlation, device_id=device["id"], command=command, at_s=0.0)
    url = f"{target['api_url']}/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
    headers = {"Authorization": f"Bearer {target['api_keys']['full']}", "Content-Type": "application/json"}
    with urlopen(UrlRequest(url, json.dumps({"command": command, "data": data}).encode(), headers), timeout=10) as response:
        assert response.status == 200
    ledger.answered(correlation, Answer.ACCEPTED)


@pytest.mark.slow
def test_commands_and_downloads_are_in_the_books(target):
    ledger = Ledger()
    seen = []
    fleet = gevent_fleet.GeventFleet(
        mqtt_url=target["mqtt_url"],
        entropy=SeededEntropy(1),
        ledger=ledger,
        keep_alive_s=2,
        happened=lambda name, duration_s, problem: seen.append((name, problem)),
    )
    devices = target["fleet"]
    for device in devices:
        fleet.connect(Credentials(device["id"], device["token"]), BEHAVIOURS["firmware"])
    for number, device in enumerate(devices):
        send(target, ledger, f"c{number}", device, "configuration", {"hil": f"c{number}"})
        send(target, ledger, download_correlation(device["id"], 1), device, "download_firmware", {"file_name": "firmware_v2.1.0.bin"})
    until(lambda: fleet.counts.downloads_done == len(devices) and fleet.counts.results == 2 * len(devices))
    fleet.lines[0].abort()
    gevent.sleep(3)  # longer than keep-alive times 1.5
    assert fleet.counts.connected == len(devices)
    assert fleet.counts.reconnects == 1
    fleet.disconnect()
    until(lambda: fleet.counts.connected == 0)
    totals = ledger.totals()
    assert (totals.sent, totals.delivered_once, totals.keys["used"]) == (20, 20, 10)
    assert totals.is_green
    assert seen.count(("connect", "")) == seen.count(("download", "")) == len(devices)


def test_a_device_that_cannot_connect_is_reported(monkeypatch):
    monkeypatch.setattr(gevent_fleet, "LISTENING_S_MAX", 0.2)
    fleet = gevent_fleet.GeventFleet(mqtt_url="mqtt://127.0.0.1:1", entropy=SeededEntropy(1), ledger=Ledger())
    with pytest.raises(TargetUnavailable, match="dev-1"):
        fleet.connect(Credentials("dev-1", "token"))
    fleet.disconnect()


def test_a_server_that_accepts_and_says_nothing_is_left_and_tried_again(monkeypatch, serving):
    monkeypatch.setattr(gevent_fleet, "LISTENING_S_MAX", 0.2)
    accepted = []

    def mute(connection, address):
        accepted.append(address)
        silent(connection, address)

    fleet = gevent_fleet.GeventFleet(
        mqtt_url=f"mqtt://127.0.0.1:{serving(mute)}", entropy=SeededEntropy(1), ledger=Ledger(), keep_alive_s=1
    )
    with pytest.raises(TargetUnavailable, match="dev-1"):
        fleet.connect(Credentials("dev-1", "token"))
    until(lambda: len(accepted) == 2)
    fleet.disconnect()


def answering(answer):
    """A server that gives `answer` to one request; returns its port and what it was asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def serve():
        with listener, listener.accept()[0] as connection:
            asked.append(connection.recv(65_536))
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], asked


def fetched(answer, method="GET"):
    port, asked = answering(answer)
    request = Request(method, f"http://127.0.0.1:{port}/x?key=a%2Bb", {"Authorization": "Basic to=ken"})
    events = list(
        fetch_blocking(request, connect=lambda address, timeout_s: socket.create_connection(address, timeout_s), tls=None, inactivity_s=5)
    )
    return events, asked


def test_a_blocking_request_is_sent_verbatim():
    events, asked = fetched(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert [type(event) for event in events] == [Response, Body, BodyEnd]
    assert asked[0].startswith(b"GET /x?key=a%2Bb HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Basic to=ken\r\n" in asked[0]


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Failed),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BodyEnd),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Failed),
        (b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", BodyEnd),
        (b"nonsense", Failed),
        (b"", Failed),
    ],
)
def test_the_end_of_a_blocking_answer_is_told(answer, last):
    events, _ = fetched(answer)
    assert isinstance(events[-1], last)


def silent(connection, address):
    """A server that is there and says nothing."""
    while connection.recv(65_536):
        pass


def whole(connection, address):
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    connection.close()


def trickle(connection, address):
    """A server whose file always goes on, and never ends."""
    connection.recv(65_536)
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            gevent.sleep(0.01)


def broker(connection, address):
    """As much of a broker as a device needs to be listening."""
    decoder = Decoder()
    while data := connection.recv(65_536):
        for packet in decoder.feed(data):
            if isinstance(packet, Connect):
                connection.sendall(encode(Connack(session_present=False, return_code=0)))
            elif isinstance(packet, Subscribe):
                connection.sendall(encode(Suback(packet.packet_id, tuple(qos for _, qos in packet.filters))))


@pytest.fixture
def serving():
    """Starts servers on gevent's loop: a handler in, a port out."""
    with ExitStack() as servers:

        def start(handler):
            server = StreamServer(("127.0.0.1", 0), handler)
            server.start()
            servers.callback(server.stop, timeout=0)
            return server.server_port

        yield start


@pytest.fixture
def told_downloads():
    """The problems of the downloads that ended, in that order."""
    return []


@pytest.fixture
def plain_fleet(serving, told_downloads):
    """A fleet on the smallest broker."""
    fleet = gevent_fleet.GeventFleet(
        mqtt_url=f"mqtt://127.0.0.1:{serving(broker)}",
        entropy=SeededEntropy(1),
        ledger=Ledger(),
        happened=lambda name, duration_s, problem: told_downloads.append(problem) if name == "download" else None,
    )
    yield fleet
    fleet.disconnect()


def order_download(line, port):
    """What the platform's `download_firmware` makes a device do; no greenlet runs meanwhile."""
    data = {"url": f"http://127.0.0.1:{port}/firmware?key=k{port}", "expires_at": "2099-01-01T00:00:00Z", "file_name": "firmware.bin"}
    line.data_received(encode(Publish(control_topic(line.device_id, "download_firmware"), json.dumps(data).encode())))


def test_a_download_that_is_cut_before_its_first_step_runs_no_more(plain_fleet, serving, told_downloads):
    line = plain_fleet.connect(Credentials("dev-1", "token"))
    order_download(line, serving(silent))
    assert plain_fleet.counts.downloads_running == 1
    plain_fleet.disconnect()
    until(lambda: plain_fleet.counts.downloads_running == 0)
    assert told_downloads == ["not finished"]


def test_a_server_that_trickles_holds_a_device_no_longer_than_its_total_limit(plain_fleet, serving, told_downloads):
    def impatient(settings):
        return replace(settings, download=replace(settings.download, total_s=0.2))

    line = plain_fleet.connect(Credentials("dev-1", "token"), replace(STEADY, personality=replace(REFERENCE, tunes=impatient)))
    order_download(line, serving(trickle))
    until(lambda: told_downloads)
    assert "not complete after 0.2 s" in told_downloads[0]
    assert (plain_fleet.counts.downloads_failed, plain_fleet.counts.downloads_running) == (1, 0)


def test_a_download_that_fails_is_told_so_whatever_its_neighbours_achieve(plain_fleet, serving, told_downloads):
    fails, succeeds = (plain_fleet.connect(Credentials(name, "token")) for name in ("dev-1", "dev-2"))
    is_done = gevent.event.Event()

    def cut_in_the_end(connection, address):
        is_done.wait()
        connection.close()

    order_download(fails, serving(cut_in_the_end))
    order_download(succeeds, serving(whole))
    until(lambda: told_downloads)
    assert told_downloads == [""]
    is_done.set()
    until(lambda: len(told_downloads) == 2)
    assert told_downloads[1]
    assert (plain_fleet.counts.downloads_done, plain_fleet.counts.downloads_failed) == (1, 1)


def slips(notes, settings, flash, cause, effects):
    raise TypeError("a slip of ours")


def test_a_crash_of_our_own_program_is_told_as_one_and_not_as_a_loss(plain_fleet):
    line = plain_fleet.connect(Credentials("dev-1", "token"), replace(STEADY, personality=replace(REFERENCE, executes=slips)))
    ledger = plain_fleet.ledger
    for correlation in ("before", "after"):
        ledger.sent(correlation, device_id="dev-1", command="reboot", at_s=0.0)
    ledger.answered("before", Answer.ACCEPTED)
    line.data_received(encode(Publish(control_topic("dev-1", "reboot"), b'{"hil": "before"}')))
    ledger.answered("after", Answer.ACCEPTED)
    assert plain_fleet.books.crashes == {"TypeError: a slip of ours": 1}
    assert (ledger.totals().delivered_once, ledger.totals().unknown, ledger.totals().lost) == (1, 1, 0)
    until(lambda: plain_fleet.counts.connected == 0)
    assert plain_fleet.books.is_over(line)


def test_a_greenlet_of_the_fleet_that_crashes_is_told_too(plain_fleet):
    def slip():
        raise TypeError("another slip of ours")

    plain_fleet.later(SimpleNamespace(grace_over=slip), 0.0)
    until(lambda: plain_fleet.books.crashes)
    assert plain_fleet.books.crashes == {"TypeError: another slip of ours": 1}


MORE_THAN_A_SOCKET_TAKES = 4 * 2**20


@pytest.fixture
def wire():
    """Our transport and the socket at its other end, which nobody reads yet."""
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        yield gevent_fleet.SocketTransport(ours), theirs


def begun(transport, data):
    """A greenlet that is in the midst of writing `data`."""
    writer = gevent.spawn(transport.write, data)
    gevent.sleep(0)
    assert not writer.dead
    return writer


def until_the_end(connection):
    """All that comes, once the other side has ended it."""
    with gevent.Timeout(DEADLINE_S):
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_nothing_follows_half_a_packet_whose_writer_was_killed(wire):
    transport, theirs = wire
    begun(transport, b"x" * MORE_THAN_A_SOCKET_TAKES).kill()
    gevent.spawn(transport.write, b"y")
    received = until_the_end(theirs)
    assert set(received) == set(b"x")
    assert len(received) < MORE_THAN_A_SOCKET_TAKES


def test_two_writers_at_once_do_not_mix_their_packets(wire):
    transport, theirs = wire
    begun(transport, b"x" * MORE_THAN_A_SOCKET_TAKES)
    gevent.spawn(transport.write, b"y" * MORE_THAN_A_SOCKET_TAKES)
    gevent.spawn_later(0, transport.close)
    assert until_the_end(theirs) == b"x" * MORE_THAN_A_SOCKET_TAKES + b"y" * MORE_THAN_A_SOCKET_TAKES
