"""The ledger once more, from a recorded history alone: what the broker saw on the wire, not what the fleet's own bookkeeping says.

A command counts as sent when the operator's PUBLISH or REST request is seen, as accepted at its PUBCOMP or 200, and as delivered when its
device answers PUBREC for a packet id that it did not hold already. A key is used when its download was served whole. Blind spots: a device
that executes one message twice looks like one that does not, as its PUBRECs are alike; and one whose arrival was not recorded counts as one
that has a session, so what it is sent is owed to it. The fleet's own ledger sees both.
"""

import json
from collections import Counter
from dataclasses import dataclass, field

from harness.history.events import Event, HttpEnded, HttpRequest, HttpResponse, MqttClosed, MqttPacket
from harness.history.timeline import History
from harness.wire.commands import DOWNLOADS, download_key
from harness.wire.topics import ControlTopic, parse_control_topic
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.entries import Answer
from simulators.fleet.ledger import Ledger
from simulators.fleet.operators import answer_of
from simulators.fleet.totals import FOREIGN, download_correlation


def ledger_from_history(history: History, *, operator_id: str) -> Ledger:
    """The ledger of everything that `history` shows; `operator_id` is the client id of the operator's MQTT connection."""
    reader = _Reader(operator_id)
    for event in history.events:
        reader.read(event)
    return reader.ledger


@dataclass(slots=True)
class _Fetch:
    """A download under way."""

    key: str
    at_s: float
    status: int = 0


@dataclass(slots=True)
class _Reader:
    operator_id: str
    ledger: Ledger = field(default_factory=Ledger)
    published: dict[int, str] = field(default_factory=dict)  # the operator's packet ids in flight
    offered: dict[tuple[str, int], MqttPacket] = field(default_factory=dict)  # what a device was sent under a packet id
    held: set[tuple[str, int]] = field(default_factory=set)  # packet ids that a device has answered, and not yet completed
    clean: set[str] = field(default_factory=set)  # devices whose last session is a clean one
    requested: dict[int, str] = field(default_factory=dict)  # REST commands under way, by exchange
    downloads: Counter[str] = field(default_factory=Counter)  # download commands, by device
    fetched: dict[int, _Fetch] = field(default_factory=dict)  # downloads under way, by exchange

    def read(self, event: Event) -> None:
        match event.fact:
            case MqttPacket(device_id=client_id) as packet if client_id == self.operator_id:
                self._operator(packet, event.at_s)
            case MqttPacket() as packet:
                self._device(packet, event.at_s)
            case MqttClosed(device_id=device_id) if device_id in self.clean:
                self.ledger.session_ended(device_id)
            case HttpRequest(endpoint="command") as request:
                self._request(request, event.at_s)
            case HttpRequest(endpoint="download") as request:
                self.fetched[request.exchange] = _Fetch(download_key(request.url) or "", event.at_s)
            case HttpResponse(exchange, status, _) if exchange in self.requested:
                self.ledger.answered(self.requested[exchange], answer_of(status))
            case HttpResponse(exchange, status, _) if exchange in self.fetched:
                self.fetched[exchange].status = status
            case HttpEnded() as ended if ended.exchange in self.fetched:
                self._fetched(self.fetched.pop(ended.exchange), ended, event.at_s)

    def _operator(self, packet: MqttPacket, at_s: float) -> None:
        if packet.packet_id is None:
            return
        if packet.type == "PUBLISH" and packet.sent_by == "client":
            topic = parse_control_topic(packet.topic or "")
            correlation = _correlation(packet.payload)
            if topic is not None and correlation is not None:
                self.published[packet.packet_id] = correlation
                self._sent(correlation, topic, at_s)
        elif packet.type == "PUBCOMP" and packet.sent_by == "server" and packet.packet_id in self.published:
            self.ledger.answered(self.published.pop(packet.packet_id), Answer.ACCEPTED)

    def _device(self, packet: MqttPacket, at_s: float) -> None:
        if packet.type == "CONNECT" and packet.clean_session:
            self.clean.add(packet.device_id)
            self.ledger.session_ended(packet.device_id)
        elif packet.type == "CONNACK" and not packet.session_present:
            self.held = {place for place in self.held if place[0] != packet.device_id}
        elif packet.type == "SUBACK" and packet.device_id in self.clean:
            self.ledger.session_began(packet.device_id)
        if packet.packet_id is None:
            return
        place = packet.device_id, packet.packet_id
        if packet.type == "PUBLISH" and packet.sent_by == "server":
            self.offered[place] = packet
        elif packet.type == "PUBREC" and packet.sent_by == "client" and place in self.offered and place not in self.held:
            self.held.add(place)
            self._delivered(self.offered[place], at_s)
        elif packet.type == "PUBCOMP" and packet.sent_by == "client":
            self.held.discard(place)

    def _delivered(self, packet: MqttPacket, at_s: float) -> None:
        topic, data = parse_control_topic(packet.topic or ""), _json(packet.payload or "")
        url = data.get("url")
        if topic is not None and topic.command in DOWNLOADS:
            self.ledger.offered((download_key(url) if isinstance(url, str) else None) or "", device_id=packet.device_id, at_s=at_s)
        else:
            correlation = _correlation(packet.payload) or f"{FOREIGN}{packet.topic}"
            self.ledger.delivered(correlation, device_id=packet.device_id, at_s=at_s)

    def _request(self, request: HttpRequest, at_s: float) -> None:
        body = _json(request.body)
        data, command = body.get("data"), body.get("command")
        if not isinstance(command, str):
            return
        correlation = data.get(CORRELATION) if isinstance(data, dict) else None
        if command in DOWNLOADS:
            self.downloads[request.device_id] += 1
            correlation = download_correlation(request.device_id, self.downloads[request.device_id])
        if isinstance(correlation, str):
            self.requested[request.exchange] = correlation
            self._sent(correlation, ControlTopic(request.device_id, command, "control"), at_s)

    def _fetched(self, fetch: _Fetch, ended: HttpEnded, at_s: float) -> None:
        if fetch.key not in self.ledger.keys:
            return
        size_bytes, duration_s = ended.received_bytes, at_s - fetch.at_s
        if fetch.status == 200 and ended.complete:
            self.ledger.downloaded(fetch.key, size_bytes=size_bytes, duration_s=duration_s)
        else:
            reason = f"HTTP status {fetch.status}" if fetch.status >= 400 else "the transfer was cut"
            self.ledger.download_failed(fetch.key, reason=reason, size_bytes=size_bytes, duration_s=duration_s)

    def _sent(self, correlation: str, topic: ControlTopic, at_s: float) -> None:
        if correlation not in self.ledger.entries:
            self.ledger.sent(correlation, device_id=topic.device_id, command=topic.command, at_s=at_s)


def _correlation(payload: str | None) -> str | None:
    found = _json(payload or "").get(CORRELATION)
    return found if isinstance(found, str) else None


def _json(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
