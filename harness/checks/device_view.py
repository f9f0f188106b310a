"""What a device under test was sent and what it did about it, read off a history.

A message counts once, however often its PUBLISH was repeated: `ReceivedMessage` follows one packet id from the first PUBLISH to PUBCOMP.
Results of the device are counted likewise. Effects are what a message caused: a result, a download, a reboot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.history.events import DeviceExited, DeviceStarted, MqttClosed, MqttMalformed, MqttPacket
from harness.history.timeline import Exchange, History, Seen
from harness.wire.commands import DOWNLOADS, REBOOT, download_key, parse_download_offer
from harness.wire.json_values import pointed_at, read_json
from harness.wire.topics import ControlTopic, parse_control_topic


@dataclass
class ReceivedMessage:
    """One message to the device: its first PUBLISH, the copies of it, and the acknowledgements that came for it."""

    first: Seen[MqttPacket]
    copies: list[Seen[MqttPacket]] = field(default_factory=list)
    pubrecs: list[Seen[MqttPacket]] = field(default_factory=list)
    pubrels: list[Seen[MqttPacket]] = field(default_factory=list)
    completed: Seen[MqttPacket] | None = None
    lost_connection: bool = False  # the connection ended while the exchange was open
    was_left: bool = False  # and it was the device that ended it, died, or sent what is no MQTT
    cut_short: bool = False  # the run ended, or the session, before the exchange could

    @property
    def device_id(self) -> str:
        return self.first.fact.device_id

    @property
    def topic(self) -> ControlTopic | None:
        return parse_control_topic(self.first.fact.topic or "")

    @property
    def command(self) -> str:
        return self.topic.command if self.topic is not None and self.topic.role == "control" else ""

    @property
    def payload_json(self) -> Any:
        return read_json(self.first.fact.payload or "")

    @property
    def was_released_on_another_connection(self) -> bool:
        """Whether a PUBREL came after a resumption."""
        return any(pubrel.fact.connection != self.first.fact.connection for pubrel in self.pubrels)

    @property
    def was_repeated_on_another_connection(self) -> bool:
        """Whether the PUBLISH came again after a resumption."""
        return any(copy.fact.connection != self.first.fact.connection for copy in self.copies)

    def is_after(self, other: "ReceivedMessage") -> bool:
        """Whether this message came to the same device, later."""
        return self.device_id == other.device_id and self.first.line > other.first.line

    @property
    def copies_before_release(self) -> list[Seen[MqttPacket]]:
        """The copies that came while the device had to know the packet id."""
        released_line = self.pubrels[0].line if self.pubrels else None
        return [copy for copy in self.copies if released_line is None or copy.line < released_line]


@lru_cache(maxsize=8)
def received_messages(history: History) -> tuple[ReceivedMessage, ...]:
    """Every QoS 1 or 2 message that the broker sent to a device, in the order of their first PUBLISH."""
    messages: list[ReceivedMessage] = []
    open_by_id: dict[tuple[str, int], ReceivedMessage] = {}
    last_by_id: dict[tuple[str, int], ReceivedMessage] = {}
    spoilt = {seen.fact.connection for seen in history.of(MqttMalformed)}  # a server must end these (MQTT-4.8.0-1)
    for event in history.events:
        if isinstance(event.fact, MqttClosed):
            for message in (message for (device_id, _), message in open_by_id.items() if device_id == event.fact.device_id):
                message.lost_connection = True
                message.was_left |= event.fact.closed_by == "peer" or event.fact.connection in spoilt
        if isinstance(event.fact, MqttPacket):
            seen = Seen(event, event.fact)
            _follow(seen, open_by_id, messages)
            _count_late_receipt(seen, open_by_id, last_by_id)
    return tuple(messages)


def _follow(seen: Seen[MqttPacket], open_by_id: dict[tuple[str, int], ReceivedMessage], messages: list[ReceivedMessage]) -> None:
    packet = seen.fact
    if packet.type == "CONNACK" and not packet.session_present:
        for key in [key for key in open_by_id if key[0] == packet.device_id]:
            open_by_id.pop(key).cut_short = True
        return
    if packet.packet_id is None:
        return
    key = (packet.device_id, packet.packet_id)
    message = open_by_id.get(key)
    match (packet.sent_by, packet.type):
        case ("server", "PUBLISH") if message is not None:
            message.copies.append(seen)
        case ("server", "PUBLISH"):
            open_by_id[key] = ReceivedMessage(seen)
            messages.append(open_by_id[key])
        case ("client", "PUBREC") if message is not None:
            message.pubrecs.append(seen)
        case ("server", "PUBREL") if message is not None:
            message.pubrels.append(seen)
        case ("client", "PUBCOMP" | "PUBACK") if message is not None:
            message.completed = seen
            del open_by_id[key]


def _count_late_receipt(
    seen: Seen[MqttPacket], open_by_id: dict[tuple[str, int], ReceivedMessage], last_by_id: dict[tuple[str, int], ReceivedMessage]
) -> None:
    """A PUBREC for a copy may come when the exchange is over already: it belongs to the last message of its packet id."""
    packet = seen.fact
    if packet.packet_id is None:
        return
    key = (packet.device_id, packet.packet_id)
    if key in open_by_id:
        last_by_id[key] = open_by_id[key]
    elif packet.sent_by == "client" and packet.type == "PUBREC" and key in last_by_id:
        last_by_id[key].pubrecs.append(seen)


@dataclass(frozen=True)
class Result:
    """A message that a device published on a result topic."""

    seen: Seen[MqttPacket]
    command: str

    @property
    def line(self) -> int:
        return self.seen.line

    @property
    def body(self) -> Any:
        return read_json(self.seen.fact.payload or "")

    @property
    def is_success(self) -> bool:
        return isinstance(self.body, dict) and self.body.get("success") is True

    @property
    def is_failure(self) -> bool:
        return isinstance(self.body, dict) and self.body.get("success") is False


@lru_cache(maxsize=8)
def results(history: History, device_id: str | None = None) -> tuple[Result, ...]:
    """The results that devices published; a PUBLISH repeated before its PUBREL is the same one."""
    found: list[Result] = []
    open_ids: set[tuple[str, int]] = set()
    for seen in history.of(MqttPacket):
        packet = seen.fact
        key = (packet.device_id, packet.packet_id or 0)
        if packet.sent_by == "client" and packet.type == "PUBREL":
            open_ids.discard(key)
        if packet.sent_by != "client" or packet.type != "PUBLISH" or device_id not in (None, packet.device_id):
            continue
        if packet.dup and key in open_ids:
            continue
        if packet.packet_id is not None:
            open_ids.add(key)
        topic = parse_control_topic(packet.topic or "")
        if topic is not None and topic.role == "result" and topic.device_id == packet.device_id:
            found.append(Result(seen, topic.command))
    return tuple(found)


def commands_received(history: History) -> list[ReceivedMessage]:
    """The messages on control topics that are acknowledged: those of QoS 1 and 2."""
    return [message for message in received_messages(history) if message.command]


def result_after(history: History, message: ReceivedMessage) -> Result | None:
    """The first result on a message's command after it came."""
    found = (result for result in results(history, message.device_id) if result.command == message.command)
    return next((result for result in found if result.line > message.first.line), None)


def declares(history: History) -> dict[str, Any]:
    """What the device file claims."""
    return dict(history.start.declaration.get("declares", {}))


def requires_results(history: History) -> bool:
    """Whether the declaration promises a result for each command."""
    return bool(declares(history).get("results", "required") == "required")


def configuration_in_force(history: History, answer: Result) -> dict[str, Any] | None:
    """The configuration that a result reports, at the place that the declaration names."""
    found = pointed_at(answer.body, str(declares(history).get("configuration_pointer", "/configuration")))
    return found if isinstance(found, dict) else None


def in_lines(lines: Sequence[int]) -> str:
    """Where in the history something stands, for a reader."""
    return f"lines {', '.join(map(str, lines))}"


def effects_of(history: History, message: ReceivedMessage) -> list[int]:
    """The lines of a command's effects: of a download the GETs with its key, of a reboot the reboots, else the results.

    Reboots and results count up to the device's next command of that name.
    """
    if is_download(message):
        return [exchange.asked.line for exchange in downloads_with(history, message) if exchange.request.method == "GET"]
    later = [other.first.line for other in received_messages(history) if other.is_after(message) and other.command == message.command]
    until_line = min(later, default=history.end_line)
    if message.command == REBOOT:
        booted = [line for line in reboots(history, message.device_id) if message.first.line < line < until_line]
        if booted:
            return booted
    return [result.line for result in results_of(history, message, until_line)]


def downloads_with(history: History, message: ReceivedMessage) -> list[Exchange]:
    """The requests that a device made with the key of a download command."""
    offer = parse_download_offer((message.first.fact.payload or "").encode())
    if offer is None:
        return []
    key = download_key(offer.url)
    return history.downloads_by_key.get(key, []) if key is not None else []


def reboots(history: History, device_id: str) -> list[int]:
    """The lines at which a device rebooted by itself.

    An exit with status 0 where we run it as a process; else a connection that it left and followed by another.
    """
    exits = [seen for seen in history.of(DeviceExited) if seen.fact.device_id == device_id]
    if exits or _is_program(history, device_id):
        return [seen.line for seen in exits if seen.fact.status == 0 and not seen.fact.by_us]
    return unexplained_connects(history, device_id)


def _is_program(history: History, device_id: str) -> bool:
    """Whether we run the device as a process: as it declares, or as is seen."""
    runs_as_declared = bool((history.start.declaration.get("run") or {}).get("exec"))
    return runs_as_declared or any(seen.fact.device_id == device_id for seen in history.of(DeviceStarted))


def unexplained_connects(history: History, device_id: str) -> list[int]:
    """The lines at which a device left its connection without our doing, and not by ending its program, and connected again.

    So does a board that reboots; and a program that starts itself anew, or that stands behind one which starts it again.
    """
    connects = [seen.line for seen in history.packets("CONNECT", device_id=device_id)]
    exits = [seen.line for seen in history.of(DeviceExited) if seen.fact.device_id == device_id]
    left = [seen.line for seen in history.of(MqttClosed) if seen.fact.device_id == device_id and seen.fact.closed_by == "peer"]
    lines = []
    for line in left:
        since = max((connect for connect in connects if connect < line), default=0)
        back = min((connect for connect in connects if connect > line), default=None)
        if back is not None and not any(since < exited < back for exited in exits):
            lines.append(line)
    return lines


def crashes(history: History, device_id: str) -> list[int]:
    """The lines at which a device that we run ended with another status than 0, not by us."""
    return [
        seen.line for seen in history.of(DeviceExited) if seen.fact.device_id == device_id and seen.fact.status != 0 and not seen.fact.by_us
    ]


def results_of(history: History, message: ReceivedMessage, until_line: int) -> list[Result]:
    """The results on a message's command that came between its first PUBLISH and `until_line`."""
    return [
        result
        for result in results(history, message.device_id)
        if result.command == message.command and message.first.line < result.line < until_line
    ]


def is_download(message: ReceivedMessage) -> bool:
    """Whether a message is a download command."""
    return message.command in DOWNLOADS
