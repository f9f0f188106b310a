"""What one Locust process plays: its devices, and which of them an operator may command next.

The devices are the fleet's, on gevent. Every event is told to Locust: the first connect and each reconnect, each delivery, each download.
Operators command only devices of their own process: the ledger then sees both ends of each command, with one clock.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import gevent

from harness.bench.target import Platform, TargetDevice
from harness.bench.tls import ssl_context
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.errors import TargetUnavailable
from harness.wire.commands import CONFIGURATION, DOWNLOADS
from harness.wire.files import FileType
from scenarios.load.accounts import Announcement, Tell, ToldLedger
from scenarios.load.plan import LoadPlan, able_devices
from simulators.fleet.admission import Credentials, shard_of
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.device_line import DeviceLine
from simulators.fleet.entries import Answer
from simulators.fleet.fleet import FADE_S
from simulators.fleet.gevent_fleet import GeventFleet
from simulators.fleet.operators import Order
from simulators.fleet.totals import download_correlation

LOOK_S = 0.25
ECHO_S = 0.5
"""One more moment after everything has arrived, in which a second copy would show itself."""

DRAIN_S_MAX = 35.0
"""How long requests under way may take; longer than they wait for an answer."""


@dataclass(frozen=True, slots=True)
class Deal:
    """Which part of the devices a process plays. `run` makes correlations of different runs different; `index` counts from 1."""

    run: str
    index: int = 1
    count: int = 1


class ToldFleet(GeventFleet):
    """A fleet that tells of reconnects, and whose flaky devices lose their connection now and then."""

    def __init__(self, *, tell: Tell, entropy: SeededEntropy, **settings: Any) -> None:
        super().__init__(entropy=entropy, happened=self._connected_first, **settings)
        self._tell = tell
        self._drops = entropy.stream("drops")
        self._lost_at_s: dict[str, float] = {}

    def _connected_first(self, name: str, duration_s: float, problem: str) -> None:
        if name == "connect":  # Downloads are told by the ledger, which knows their reason.
            self._tell("MQTT", "connect", duration_s, problem)

    def listening(self, line: DeviceLine) -> None:
        super().listening(line)
        lost_at_s = self._lost_at_s.pop(line.device_id, None)
        if lost_at_s is not None:
            self._tell("MQTT", "reconnect", self.now_s() - lost_at_s, "")
        if line.behaviour.drops_every_s is not None:
            self.accounted(gevent.spawn_later(self._drops.uniform(0.1, 1.9) * line.behaviour.drops_every_s, self._fade, line))

    def _fade(self, line: DeviceLine) -> None:
        line.fade()
        self.accounted(gevent.spawn_later(FADE_S, line.faded))

    def lost(self, line: DeviceLine, *, was_listening: bool) -> None:
        super().lost(line, was_listening=was_listening)
        if was_listening:
            self._lost_at_s[line.device_id] = self.now_s()


class Crew:
    """The devices of one process and their books."""

    def __init__(self, plan: LoadPlan, platform: Platform, deal: Deal, tell: Tell, announce: Callable[[Announcement], None]) -> None:
        """`announce` is called before a command is sent."""
        self._plan = plan
        self._deal = deal
        self._announce = announce
        self._clock = SystemClock()
        self.ledger = ToldLedger(late_after_s=plan.late_after_s, tell=tell, download_over=self._download_over)
        entropy = SeededEntropy(f"load/{deal.run}/{deal.index}")
        self.fleet = ToldFleet(
            tell=tell,
            entropy=entropy,
            mqtt_url=platform.mqtt_url,
            ledger=self.ledger,
            keep_alive_s=plan.keep_alive_s,
            tls=ssl_context(platform.tls),
            images=frozenset(hashlib.sha256(file.path.read_bytes()).hexdigest() for file in platform.files),
        )
        self._behaviours = plan.devices_mix().deal(entropy.stream("mix"))
        self._free = deque(shard_of(able_devices(platform.devices), deal.index, deal.count))
        self._firmware = {file.project_id: file.name for file in reversed(platform.files) if file.type is FileType.FIRMWARE}
        self._turn: deque[DeviceLine] = deque()
        self._targets: dict[str, TargetDevice] = {}
        self._downloading: set[str] = set()
        self._downloads: dict[str, int] = {}
        self._numbers = 0
        self._in_flight = 0
        self._without_device = 0
        self.is_closing = False

    # -------------------------------------------------------------------------------- devices

    def admit(self) -> TargetDevice | None:
        """Connects one more device; None where this process has no further one, or is closing."""
        if self.is_closing:
            return None
        if not self._free:
            self._without_device += 1
            return None
        device = self._free.popleft()
        self._targets[device.id] = device
        try:
            line = self.fleet.connect(Credentials(device.id, device.token), next(self._behaviours))
        except TargetUnavailable:  # Told already; it goes on trying.
            line = next(line for line in self.fleet.lines if line.device_id == device.id)
        self._turn.append(line)
        return device

    def dismiss(self, device: TargetDevice) -> None:
        """One device leaves, once what it was sent has arrived; at the end of the run all leave together."""
        line = next((line for line in self._turn if line.device_id == device.id), None)
        if self.is_closing or line is None:
            return
        self._turn.remove(line)
        deadline_s = self._clock.monotonic_s() + self._plan.settle_s
        while self._owes(device.id) and not self.is_closing and self._clock.monotonic_s() < deadline_s:
            gevent.sleep(LOOK_S)
        if not self.is_closing:
            self.fleet.leave(line)

    def _owes(self, device_id: str) -> bool:
        return any(entry.device_id == device_id and entry.may_arrive() for entry in self.ledger.entries.values())

    # -------------------------------------------------------------------------------- commands

    def next_order(self) -> Order | None:
        """The next command to send; None while nobody is there, or at the end."""
        if self.is_closing or not self._turn:
            return None
        line = self._turn[0]
        self._turn.rotate(-1)
        return self._order(line)

    def _order(self, line: DeviceLine) -> Order:
        device = self._targets[line.device_id]
        firmware = self._firmware.get(device.project_id)
        if line.behaviour.command in DOWNLOADS and firmware is not None and device.id not in self._downloading:
            # One at a time: the n-th key that a device sees belongs to its n-th download command.
            self._downloading.add(device.id)
            self._downloads[device.id] = number = self._downloads.get(device.id, 0) + 1
            correlation = download_correlation(device.id, number)
            return Order(correlation, device.project_id, device.id, line.behaviour.command, {"file_name": firmware})
        self._numbers += 1
        correlation = f"{self._deal.run}-{self._deal.index}-{self._numbers}"
        return Order(correlation, device.project_id, device.id, CONFIGURATION, {CORRELATION: correlation, "sampling_rate": 60})

    def leaving(self, order: Order) -> None:
        """The command is about to be sent."""
        at_s = self.fleet.now_s()
        self.ledger.sent(order.correlation, device_id=order.device_id, command=order.command, at_s=at_s)
        self._in_flight += 1  # Before other greenlets run: the end of the run waits for it.
        self._announce((order.correlation, order.device_id, order.command, at_s))

    def answered(self, order: Order, answer: Answer) -> None:
        """The command has its answer, or none came. A download that was not accepted leaves the count of keys in doubt: its device gets
        no further one.
        """
        self._in_flight -= 1
        self.ledger.answered(order.correlation, answer)

    def _download_over(self, device_id: str) -> None:
        number = self._downloads.get(device_id, 0)
        entry = self.ledger.entries.get(download_correlation(device_id, number))
        if entry is not None and entry.answer is not Answer.REFUSED:
            self._downloading.discard(device_id)

    # -------------------------------------------------------------------------------- the end

    def close(self) -> None:
        """Nobody sends any more, what is on its way arrives or has had its time, and all devices leave."""
        if self.is_closing:
            return
        self.is_closing = True
        self._wait(lambda: not self._in_flight, DRAIN_S_MAX)
        self._wait(self._is_settled, self._plan.settle_s)
        gevent.sleep(ECHO_S)
        self.fleet.disconnect()
        self._wait(lambda: not self.fleet.counts.connected, LOOK_S * 20)

    def _is_settled(self) -> bool:
        return not self.fleet.counts.downloads_running and not self.ledger.totals().lost

    def _wait(self, is_over: Callable[[], bool], seconds_max: float) -> None:
        deadline_s = self._clock.monotonic_s() + seconds_max
        while not is_over() and self._clock.monotonic_s() < deadline_s:
            gevent.sleep(LOOK_S)

    def account(self) -> dict[str, Any]:
        """What is handed in: the ledger, and what stands beside it."""
        beside = self.fleet.books.circumstances(self.fleet.lines)
        facts = {**beside.facts, "without_device": self._without_device}
        return {"ledger": self.ledger.to_json(), "beside": asdict(replace(beside, facts=facts))}
