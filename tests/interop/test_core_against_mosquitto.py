"""Our client's session talks QoS 2 to mosquitto; the connection is cut after each packet of the exchange and resumed: one effect each time.

The skin is the smallest possible: a blocking socket. It cuts right after the named packet was written or read; what the session wanted
to answer to a packet that was read is never written. A cut is either *orderly* (all that was written arrives before the end) or a
*reset* (what was written may be lost on the way).
"""

import socket
import struct
import subprocess
from collections import deque
from collections.abc import Callable, Iterable

import pytest

from harness.bench.processes import ending_with_us
from harness.mqtt.client_session import ClientSession, Duties, Phase
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Packet, Pubcomp, Publish, Pubrec, Pubrel, Suback
from simulators.network.addresses import free_port

pytestmark = pytest.mark.peer("mosquitto")

TOPIC = "dev-7/control/reboot"
THE_FOUR_PACKETS = [Publish, Pubrec, Pubrel, Pubcomp]
NO_LINGER = struct.pack("ii", 1, 0)  # on, 0 s: close resets the connection


class Cut(Exception):
    """The connection was cut, as ordered."""


class BlockingSkin:
    """A session on a blocking socket."""

    def __init__(self, port: int, client_id: str) -> None:
        self.session = ClientSession(client_id, clean_session=False)
        self.delivered: list[bytes] = []
        self.completed: list[int] = []
        self.cut_after: type[Packet] | None = None
        self.is_session_present = False
        self._port = port
        self._socket: socket.socket | None = None
        self._unread: deque[Packet] = deque()

    def connect(self) -> None:
        """Connects, and carries out what a resumed session asks for."""
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        self._decoder = Decoder()
        self._unread.clear()
        self._write([self.session.connect_packet()])
        reply = self._read()
        assert isinstance(reply.reply, Connack)
        self.is_session_present = reply.reply.session_present
        self._write(reply.send)

    def subscribe(self, topic_filter: str) -> None:
        self._write([self.session.subscribe([(topic_filter, 2)])])
        self.read_until(lambda duties: isinstance(duties.reply, Suback))

    def publish(self, payload: bytes) -> None:
        """Publishes with QoS 2 and waits for the end of the exchange."""
        packet_id, packets = self.session.publish(TOPIC, payload, 2)
        self._write(packets)
        self.read_until(lambda _: packet_id in self.completed)

    def read_until(self, is_reached: Callable[[Duties], bool]) -> None:
        """Reads, and carries out all duties, until one of them is as wished."""
        duties = Duties()
        while not is_reached(duties):
            duties = self._read()
            self._write(duties.send)

    def read_message(self, payload: bytes) -> None:
        """Waits for a message and for the end of its exchange."""
        self.read_until(lambda _: payload in self.delivered and not self.session.memory.received)

    def cut(self, how: str) -> None:
        assert self._socket is not None
        if how == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        else:
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(4096):
                pass
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self.session.connection_lost()

    def _read(self) -> Duties:
        assert self._socket is not None
        while not self._unread:
            data = self._socket.recv(4096)
            assert data, "mosquitto closed the connection"
            self._unread.extend(self._decoder.feed(data))
        packet = self._unread.popleft()
        duties = self.session.receive(packet)
        self.delivered += [message.payload for message in duties.deliver]
        self.completed += duties.completed
        self._cut_if_ordered(packet)
        return duties

    def _write(self, packets: Iterable[Packet]) -> None:
        assert self._socket is not None
        for packet in packets:
            self._socket.sendall(encode(packet))
            self._cut_if_ordered(packet)

    def _cut_if_ordered(self, packet: Packet) -> None:
        if type(packet) is self.cut_after:
            self.cut_after = None
            raise Cut


@pytest.fixture(scope="module")
def mosquitto_port(tmp_path_factory, find_program):
    port = free_port("127.0.0.1")
    settings = tmp_path_factory.mktemp("mosquitto") / "mosquitto.conf"
    # Only "information", a line when it runs and one when it ends: nobody reads on, and a full pipe would stop the broker.
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr\nlog_type information\n")
    broker = subprocess.Popen(ending_with_us([find_program("mosquitto"), "-c", str(settings)]), stderr=subprocess.PIPE)
    assert broker.stderr is not None
    assert any(b"running" in line for line in iter(broker.stderr.readline, b"")), "mosquitto did not start"
    yield port
    broker.terminate()
    broker.communicate(timeout=20)


@pytest.fixture
def skin(mosquitto_port, request):
    """A function that makes a connected skin, with a client id of its own for each test."""
    skins = []

    def make(name: str) -> BlockingSkin:
        made = BlockingSkin(mosquitto_port, f"{name}/{request.node.name}")
        skins.append(made)
        made.connect()
        return made

    yield make
    for made in skins:
        made.close()


@pytest.mark.parametrize("how", ["orderly", "reset"])
@pytest.mark.parametrize("cut_after", THE_FOUR_PACKETS)
def test_a_message_received_over_a_cut_has_one_effect(skin, cut_after, how):
    device, platform = skin("device"), skin("platform")
    device.subscribe(TOPIC)
    device.cut_after = cut_after
    platform.publish(b"command")
    with pytest.raises(Cut):
        device.read_message(b"command")
    device.cut(how)
    device.connect()
    assert device.is_session_present
    platform.publish(b"end")
    device.read_message(b"end")
    assert device.delivered == [b"command", b"end"]


@pytest.mark.parametrize("how", ["orderly", "reset"])
@pytest.mark.parametrize("cut_after", THE_FOUR_PACKETS)
def test_a_message_sent_over_a_cut_has_one_effect(skin, cut_after, how):
    device, platform = skin("device"), skin("platform")
    platform.subscribe(TOPIC)
    device.cut_after = cut_after
    with pytest.raises(Cut):
        device.publish(b"result")
    device.cut(how)
    device.connect()
    assert device.is_session_present
    device.publish(b"end")
    platform.read_message(b"end")
    assert platform.delivered == [b"result", b"end"]
    assert device.session.in_flight == 0


def test_a_command_to_an_absent_device_waits_for_it(skin):
    device, platform = skin("device"), skin("platform")
    device.subscribe(TOPIC)
    device.cut("orderly")
    platform.publish(b"command")
    device.connect()
    device.read_message(b"command")
    assert device.delivered == [b"command"]
    assert device.session.phase is Phase.CONNECTED
