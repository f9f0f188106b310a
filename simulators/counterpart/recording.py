"""What the broker and the platform see of a device under test, as facts of the timeline.

Connections and requests are served outside the scenarios' tasks; whose they are follows from the device that they come from.
"""

from typing import Any, cast

from harness.bench.packet_record import packet_fact
from harness.errors import RemoteWireError
from harness.history.events import (
    FaultInjected,
    HttpEnded,
    HttpProgress,
    HttpRequest,
    HttpResponse,
    MqttClosed,
    MqttMalformed,
    MqttOpened,
    text_of,
)
from harness.history.recorder import Recorder
from harness.mqtt.packets import Connect, Packet
from simulators.broker.port import ClosedBy, Direction
from simulators.counterpart.power import ScopeOf
from simulators.platform.observation import HeaderFields, SeenRequest

_BODY_RECORDED_BYTES_MAX = 16 * 1024


class PacketRecorder:
    """A `PacketObserver` that writes the timeline. A connection is put down once it is known whose it is: at its CONNECT."""

    def __init__(self, recorder: Recorder, scope_of: ScopeOf) -> None:
        self._recorder = recorder
        self._scope_of = scope_of
        self._numbers: dict[int, int] = {}

    def opened(self, connection: int, peer: str) -> None:
        self._numbers[connection] = self._recorder.next_number()

    def packet(self, connection: int, client_id: str, direction: Direction, packet: Packet, size_bytes: int) -> None:
        number = self._numbers.get(connection)
        if number is None:
            return  # What a fault has held back comes out when the connection is over.
        device_id = packet.client_id if isinstance(packet, Connect) else client_id
        if isinstance(packet, Connect):
            self._record(MqttOpened(number, device_id), device_id)
        fact = packet_fact(packet, size_bytes, connection=number, device_id=device_id, sent_by=direction.value)
        self._record(fact, device_id)

    def malformed(self, connection: int, client_id: str, error: RemoteWireError) -> None:
        fact = MqttMalformed(self._numbers.get(connection, 0), client_id, error.problem, error.statement, text_of(error.raw[:256]))
        self._record(fact, client_id)

    def fault(self, connection: int, client_id: str, name: str, detail: str) -> None:
        self._record(FaultInjected(name, client_id, detail), client_id)

    def closed(self, connection: int, client_id: str, closed_by: ClosedBy, reason: str) -> None:
        number = self._numbers.pop(connection, None)
        if client_id and number is not None:
            self._record(MqttClosed(number, client_id, closed_by.value, reason), client_id)

    def _record(self, fact: Any, device_id: str) -> None:
        self._recorder.record(fact, in_scope=self._scope_of(device_id))


class HttpRecorder:
    """An `HttpObserver` that writes down the device's downloads; the API calls are recorded where we make them."""

    def __init__(self, recorder: Recorder, scope_of: ScopeOf) -> None:
        self._recorder = recorder
        self._scope_of = scope_of
        self._open: dict[int, tuple[int, str]] = {}

    def request(self, exchange: int, request: SeenRequest) -> None:
        if request.endpoint == "command" or request.endpoint == "files":
            return
        number, scope = self._recorder.next_number(), self._scope_of(request.device_id)
        self._open[exchange] = (number, scope)
        fact = HttpRequest(
            exchange=number,
            endpoint=request.endpoint,
            method=request.method,
            url=request.url,
            credential=f"token:{request.device_id}" if request.device_id else "unknown",
            headers=tuple(request.headers),
            body=text_of(request.body),
            device_id=request.device_id,
        )
        self._recorder.record(fact, in_scope=scope)

    def response(self, exchange: int, status: int, headers: HeaderFields) -> None:
        if exchange in self._open:
            number, scope = self._open[exchange]
            self._recorder.record(HttpResponse(number, status, tuple(headers)), in_scope=scope)

    def progress(self, exchange: int, sent_bytes: int) -> None:
        if exchange in self._open:
            number, scope = self._open[exchange]
            self._recorder.record(HttpProgress(number, sent_bytes), in_scope=scope)

    def ended(self, exchange: int, sent_bytes: int, *, complete: bool, body: bytes, problem: str) -> None:
        if exchange not in self._open:
            return
        number, scope = self._open.pop(exchange)
        shown = text_of(body) if len(body) <= _BODY_RECORDED_BYTES_MAX else ""
        closed_by = cast(Any, "peer" if problem else "")
        fact = HttpEnded(number, sent_bytes, complete, body=shown, problem=problem, closed_by=closed_by)
        self._recorder.record(fact, in_scope=scope)
