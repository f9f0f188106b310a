"""The gevent skin against the reference platform in a process of its own: same devices, same books."""

import json
import socket
import threading
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest

from harness.entropy import SeededEntropy
from harness.errors import TargetUnavailable
from simulators.device.downloader import Body, BodyEnd, Failed, Request, Response
from simulators.fleet.behaviour import BEHAVIOURS
from simulators.fleet.blocking_fetch import fetch_blocking
from simulators.fleet.entries import Answer
from simulators.fleet.fleet import Credentials
from simulators.fleet.ledger import Ledger
from simulators.fleet.totals import download_correlation
from simulators.platform.process import PlatformProcess

gevent = pytest.importorskip("gevent")

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
    monkeypatch.setattr(gevent_fleet, "CONNECT_S_MAX", 0.2)
    fleet = gevent_fleet.GeventFleet(mqtt_url="mqtt://127.0.0.1:1", entropy=SeededEntropy(1), ledger=Ledger())
    with pytest.raises(TargetUnavailable, match="dev-1"):
        fleet.connect(Credentials("dev-1", "token"))
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
