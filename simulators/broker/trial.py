"""A trial of a broker: what is done to it, what must be seen, and the pure judgement of what was seen.

The doing is asynchronous and decides nothing: it returns observations, plain values of what was seen beside what is allowed. `judge` makes
a verdict of them and can do so again at any time. Trials use names of their own, so that many run side by side on one broker.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.checks.verdict import CheckResult, Verdict
from harness.errors import LocalWireError, RemoteWireError, TargetUnavailable
from harness.mqtt.packets import Connect, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, Will
from harness.requirements import CATALOGUE, Level
from simulators.broker.probe import ConnectionEnded, Probe


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation: `got` is what was seen, `wanted` what is allowed. Both are plain values."""

    what: str
    got: Any
    wanted: tuple[Any, ...]

    @property
    def is_kept(self) -> bool:
        return self.got in self.wanted


def saw(what: str, got: Any, *wanted: Any) -> Seen:
    """An observation; `wanted` holds every allowed value."""
    return Seen(what, got, wanted)


class Arena:
    """One trial's access to the broker: fresh names, clients, and a publisher."""

    def __init__(self, url: str, prefix: str, username: str | None = None, password: bytes | None = None) -> None:
        self._url = url
        self._prefix = prefix
        self._username = username
        self._password = password
        self._probes: list[Probe] = []
        self._persistent: set[str] = set()
        self._retained: set[str] = set()
        self._names = 0
        self._publisher: Probe | None = None

    def name(self) -> str:
        """A client id that nobody else uses; topics below it belong to the trial too."""
        self._names += 1
        return f"{self._prefix}-{self._names}"

    async def dial(self) -> Probe:
        """A connection without a CONNECT."""
        probe = await Probe.open(self._url)
        self._probes.append(probe)
        return probe

    def connect_packet(self, client_id: str, *, clean: bool = True, keep_alive_s: int = 60, will: Will | None = None) -> Connect:
        return Connect(client_id, clean, keep_alive_s, self._username, self._password, will)

    async def client(
        self, client_id: str, *filters: tuple[str, int], clean: bool = True, keep_alive_s: int = 60, will: Will | None = None
    ) -> Probe:
        """A client that is connected and has subscribed. Raises ConnectionEnded when its login is refused."""
        probe = await self.dial()
        if not clean:
            self._persistent.add(client_id)
        connack = await probe.connect(self.connect_packet(client_id, clean=clean, keep_alive_s=keep_alive_s, will=will))
        if connack.return_code:
            raise ConnectionEnded(f"CONNACK {connack.return_code}")
        probe.session_present = connack.session_present
        if filters:
            await probe.subscribe(*filters)
        return probe

    async def publish(self, topic: str, payload: bytes = b"{}", qos: int = 2, *, retain: bool = False) -> None:
        """A message of which the broker has said that it took it (at QoS 0: that it lives on)."""
        if self._publisher is None:
            self._publisher = await self.client(self.name())
        if retain:
            self._retained.add(topic)
        await hand_over(self._publisher, Publish(topic, payload, qos, retain, False, 1 if qos else None))

    async def close(self) -> None:
        """Takes away what the trial left on the broker, and ends its connections."""
        for topic in list(self._retained):
            await self.publish(topic, b"", 1, retain=True)
        for probe in self._probes:
            probe.abort()
        for client_id in self._persistent:
            probe = await Probe.open(self._url)
            await probe.connect(self.connect_packet(client_id))
            await probe.close()


async def hand_over(probe: Probe, message: Publish) -> None:
    """Publishes and sees the acknowledgement through to its end."""
    probe.send(message)
    if message.qos == 1:
        await probe.await_type(Puback)
    elif message.qos == 2:
        await probe.await_type(Pubrec)
        probe.send(Pubrel(message.packet_id or 0))
        await probe.await_type(Pubcomp)


def acknowledge(probe: Probe, packet: Packet) -> None:
    """Answers a delivery as a device does; for `Probe.messages`."""
    match packet:
        case Publish(qos=1, packet_id=int(packet_id)):
            probe.send(Puback(packet_id))
        case Publish(qos=2, packet_id=int(packet_id)):
            probe.send(Pubrec(packet_id))
        case Pubrel(packet_id=packet_id):
            probe.send(Pubcomp(packet_id))


Doing: TypeAlias = Callable[[Arena], Awaitable[list[Seen]]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One question to a broker. `requirements` holds catalogue ids, and statements of MQTT 3.1.1 where there is no row."""

    id: str
    title: str
    requirements: tuple[str, ...]
    do: Doing
    hint: str = ""

    @property
    def level(self) -> Level:
        """The strictest of its requirements; a statement of the standard is a MUST."""
        levels = [CATALOGUE[id_].level if id_ in CATALOGUE else Level.MUST for id_ in self.requirements]
        return min(levels, key=list(Level).index)


def trial(*requirements: str, hint: str = "") -> Callable[[Doing], Trial]:
    """Makes a trial of a function: its name is the id, its docstring's first line the title."""

    def make(do: Doing) -> Trial:
        title = (do.__doc__ or "").strip().splitlines()[0].rstrip(".")
        return Trial(getattr(do, "__name__", title), title, requirements, do, hint)

    return make


def judge(trial: Trial, observations: Sequence[Seen]) -> CheckResult:
    """The verdict on what a trial saw."""
    broken = [seen for seen in observations if not seen.is_kept]
    if not observations:
        return _result(trial, Verdict.INCONCLUSIVE, "nothing was seen")
    if not broken:
        return _result(trial, Verdict.PASS, f"{len(observations)} observation{'s' if len(observations) > 1 else ''} as the standard says")
    first = broken[0]
    allowed = " or ".join(repr(value) for value in first.wanted)
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    detail = f"{first.what}: {first.got!r}, allowed {allowed}{more}"
    return _result(trial, Verdict.FAIL if trial.level is Level.MUST else Verdict.WARNING, detail)


FAILURES = (TimeoutError, ConnectionEnded, RemoteWireError, LocalWireError, TargetUnavailable)
"""What may end a trial early, all of it the broker's doing."""


def judge_failure(trial: Trial, error: Exception) -> CheckResult:
    """The verdict when a trial could not go on: the broker's doing, or no broker there."""
    if isinstance(error, TargetUnavailable):
        return _result(trial, Verdict.ERROR, str(error))
    words = {
        TimeoutError: "the broker did not answer",
        ConnectionEnded: "the broker ended the connection",
        RemoteWireError: "the broker sent what is no MQTT 3.1.1",
        LocalWireError: "what the broker sent has no answer",
    }
    reason = next(word for kind, word in words.items() if isinstance(error, kind))
    return _result(trial, Verdict.FAIL, f"{reason}: {error}" if str(error) else reason)


def _result(trial: Trial, verdict: Verdict, detail: str) -> CheckResult:
    hint = trial.hint if verdict in (Verdict.FAIL, Verdict.WARNING) else ""
    return CheckResult(trial.id, trial.title, trial.requirements, trial.level.value, verdict, detail, hint)
