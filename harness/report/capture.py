"""`capture.pcapng`: the MQTT and HTTP traffic of a history, for readers who think in Wireshark.

It is made from the record, not taken from a wire: secrets are labels here too, addresses are invented, and large bodies, which the
history does not keep, are missing from their stream. Each packet's comment names its line of `history.jsonl`.
"""

from collections.abc import Callable, Iterable
from http.client import responses
from ipaddress import IPv4Address

from harness.errors import LocalWireError
from harness.history import events as ev
from harness.history.timeline import History
from harness.mqtt import packets as mqtt
from harness.mqtt.encoding import encode
from harness.report.pcapng import Conversation, Endpoint, file_header
from harness.wire.urls import host_and_target

CAPTURE_FILE = "capture.pcapng"

_PLATFORM = IPv4Address("192.0.2.1")  # documentation addresses (RFC 5737), as all here
_DEVICES = int(IPv4Address("198.51.100.0"))
_CALLER = IPv4Address("203.0.113.1")
_MQTT_PORT, _HTTP_PORT = 1883, 80
_FIRST_PORT = 10_000
_PORTS = 50_000
_ABOUT = "Made by hil from history.jsonl: addresses are invented, secrets are labels, large bodies are left out"


def as_capture(history: History) -> bytes:
    """The file. Events that are no traffic are left out."""
    writer = _Writer()
    return file_header("hil", _ABOUT) + b"".join(writer.blocks_of(event) for event in history.events)


class _Writer:
    """Keeps a conversation for each MQTT connection and each HTTP exchange."""

    def __init__(self) -> None:
        self._conversations: dict[tuple[str, int], Conversation] = {}
        self._devices: dict[str, IPv4Address] = {}
        self._asked: dict[int, ev.HttpRequest] = {}
        self._answered: dict[int, ev.HttpResponse] = {}

    def blocks_of(self, event: ev.Event) -> bytes:
        """What `event` adds to the file."""
        fact = event.fact
        match fact:
            case ev.MqttOpened():
                return self._mqtt(fact).open(event.utc_s, _comment(event, f"device {fact.device_id}"))
            case ev.MqttPacket():
                return self._mqtt_packet(event, fact)
            case ev.MqttMalformed():
                return self._mqtt(fact).send(event.utc_s, ev.bytes_of(fact.raw), from_client=False, comment=_comment(event, fact.problem))
            case ev.MqttClosed():
                comment = _comment(event, f"closed by {fact.closed_by}")
                return self._mqtt(fact).close(
                    event.utc_s, by_client=fact.closed_by == "us", reset=fact.closed_by == "fault", comment=comment
                )
            case ev.HttpRequest():
                return self._http_request(event, fact)
            case ev.HttpResponse():
                self._answered[fact.exchange] = fact
                return b""  # written with its body, whose kept length decides its Content-Length
            case ev.HttpEnded():
                return self._http_end(event, fact)
            case _:
                return b""

    def _mqtt(self, fact: ev.MqttOpened | ev.MqttPacket | ev.MqttMalformed | ev.MqttClosed) -> Conversation:
        address = self._devices.setdefault(fact.device_id, IPv4Address(_DEVICES + 1 + len(self._devices) % 254))
        return self._conversation("mqtt", fact.connection, address, _MQTT_PORT)

    def _conversation(self, kind: str, number: int, client: IPv4Address, server_port: int) -> Conversation:
        key = (kind, number)
        if key not in self._conversations:
            port = _FIRST_PORT + number % _PORTS
            self._conversations[key] = Conversation(Endpoint(client, port), Endpoint(_PLATFORM, server_port))
        return self._conversations[key]

    def _mqtt_packet(self, event: ev.Event, fact: ev.MqttPacket) -> bytes:
        try:
            data, note = encode(_packet(fact)), fact.type
        except (LocalWireError, KeyError, ValueError) as error:
            # A peer's illegal packet that still could be read: 3.1.1 has no bytes for it that we may write.
            data, note = b"", f"{fact.type}, not shown: {error}"
        return self._mqtt(fact).send(event.utc_s, data, from_client=fact.sent_by == "client", comment=_comment(event, note))

    def _http_request(self, event: ev.Event, fact: ev.HttpRequest) -> bytes:
        self._asked[fact.exchange] = fact
        conversation = self._http(fact.exchange)
        host, target = host_and_target(fact.url)
        body = ev.bytes_of(fact.body)
        headers = _with_length(fact.headers, len(body)) if body else list(fact.headers)
        if "host" not in {name.lower() for name, _ in headers}:
            headers.insert(0, ("Host", host))
        opened = conversation.open(event.utc_s, _comment(event, fact.endpoint))
        data = _head(f"{fact.method} {target} HTTP/1.1", headers) + body
        return opened + conversation.send(event.utc_s, data, from_client=True, comment=_comment(event, f"as {fact.credential}"))

    def _http_end(self, event: ev.Event, fact: ev.HttpEnded) -> bytes:
        conversation, asked, answered = self._http(fact.exchange), self._asked.get(fact.exchange), self._answered.get(fact.exchange)
        if asked is None:
            return b""
        body = ev.bytes_of(fact.body)
        is_kept = bool(body) or not fact.received_bytes or asked.method == "HEAD"
        written = b""
        if answered is not None:
            # Labels are longer or shorter than the secrets they stand for: the length must fit what is written here.
            headers = _with_length(answered.headers, len(body)) if body else _without_chunks(answered.headers)
            data = _head(f"HTTP/1.1 {answered.status} {responses.get(answered.status, '')}", headers) + body
            note = (
                "answer" if is_kept else f"answer; its body of {fact.received_bytes} bytes is not kept, sha256 {fact.sha256 or 'unknown'}"
            )
            written = conversation.send(event.utc_s, data, from_client=False, comment=_comment(event, note))
        if not is_kept:
            conversation.skip(fact.received_bytes, from_client=False)
        comment = _comment(event, fact.problem or "end")
        is_reset = fact.closed_by == "fault" or bool(fact.problem)
        return written + conversation.close(event.utc_s, by_client=fact.closed_by == "us", reset=is_reset, comment=comment)

    def _http(self, exchange: int) -> Conversation:
        return self._conversation("http", exchange, _CALLER, _HTTP_PORT)


def _comment(event: ev.Event, note: str) -> str:
    scope = f" ({event.scope})" if event.scope else ""
    return f"history line {event.line}{scope}: {note}"


def _head(first_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(" ".join(line.splitlines()) for line in lines).encode()


def _with_length(headers: ev.Headers, length: int) -> list[tuple[str, str]]:
    """The headers with a Content-Length of `length` and nothing else that would say where the body ends."""
    others = [(name, value) for name, value in _without_chunks(headers) if name.lower() != "content-length"]
    return [*others, ("Content-Length", str(length))]


def _without_chunks(headers: ev.Headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]


def _packet(fact: ev.MqttPacket) -> mqtt.Packet:
    """The packet that a fact tells of. Raises KeyError for a type that is none, ValueError where a member is missing."""
    return _PACKETS[fact.type](fact)


def _id(fact: ev.MqttPacket) -> int:
    if fact.packet_id is None:
        raise ValueError("it has no packet id")
    return fact.packet_id


_PACKETS: dict[str, Callable[[ev.MqttPacket], mqtt.Packet]] = {
    "CONNECT": lambda fact: mqtt.Connect(
        client_id=fact.client_id or "",
        clean_session=bool(fact.clean_session),
        keep_alive_s=fact.keep_alive_s or 0,
        username=fact.username,
        password=None if fact.password is None else ev.bytes_of(fact.password),
        will=None if fact.will_topic is None else mqtt.Will(fact.will_topic, b""),
    ),
    "CONNACK": lambda fact: mqtt.Connack(bool(fact.session_present), (fact.return_codes or (0,))[0]),
    "PUBLISH": lambda fact: mqtt.Publish(
        fact.topic or "", ev.bytes_of(fact.payload or ""), fact.qos or 0, bool(fact.retain), bool(fact.dup), fact.packet_id
    ),
    "PUBACK": lambda fact: mqtt.Puback(_id(fact)),
    "PUBREC": lambda fact: mqtt.Pubrec(_id(fact)),
    "PUBREL": lambda fact: mqtt.Pubrel(_id(fact)),
    "PUBCOMP": lambda fact: mqtt.Pubcomp(_id(fact)),
    "SUBSCRIBE": lambda fact: mqtt.Subscribe(_id(fact), fact.filters or ()),
    "SUBACK": lambda fact: mqtt.Suback(_id(fact), fact.return_codes or ()),
    "UNSUBSCRIBE": lambda fact: mqtt.Unsubscribe(_id(fact), tuple(name for name, _ in fact.filters or ())),
    "UNSUBACK": lambda fact: mqtt.Unsuback(_id(fact)),
    "PINGREQ": lambda fact: mqtt.Pingreq(),
    "PINGRESP": lambda fact: mqtt.Pingresp(),
    "DISCONNECT": lambda fact: mqtt.Disconnect(),
}
