"""One run of a fleet: connect, send, settle, leave; and the figures that come out of it.

Every phase ends early when `stop` is set (Ctrl-C), and the clean disconnects and the ledger follow all the same.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.bench.target import Platform, TargetDevice
from harness.bench.tls import ssl_context
from harness.entropy import SeededEntropy
from harness.errors import OptionError, ScenarioError
from harness.wire.commands import CONFIGURATION, DOWNLOADS, permits
from harness.wire.files import FileType
from simulators.broker.port import Login
from simulators.fleet.admission import Credentials, shard_of
from simulators.fleet.behaviour import Mix
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.capacity import resident_bytes
from simulators.fleet.device_line import DeviceLine
from simulators.fleet.figures import connect_figures, end_figures
from simulators.fleet.fleet import Fleet
from simulators.fleet.judgement import Judgement, breaks_of, voids_of
from simulators.fleet.ledger import Ledger
from simulators.fleet.operators import MqttOperator, Operator, Order, RestOperator
from simulators.fleet.totals import Totals, download_correlation

DRAIN_S = 5.0
"""After a stop: how long answers and deliveries of what was sent may still take."""

ECHO_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. Times in seconds. `via` is `rest` or `mqtt`; `shard` is (index from 1, count); `file_name` is what is downloaded;
    `run` makes this run's correlations different from those of every other (empty: the seed does).
    """

    devices: int
    seed: int
    run: str = ""
    commands: int = 0
    via: str = "rest"
    rate_per_s: float | None = None
    mix: Mix = field(default_factory=Mix)
    shard: tuple[int, int] = (1, 1)
    keep_alive_s: int = 60
    clean_session: bool = False
    hold_s: float = 0.0
    churn_s: float | None = None
    connect_s: float = 120.0
    settle_s: float = 60.0
    late_after_s: float = 10.0
    file_name: str = ""
    operator_id: str = "operator"
    operator: Login | None = None


@dataclass(slots=True)
class Outcome:
    """What came out."""

    ledger: Ledger
    totals: Totals
    figures: dict[str, Any]
    judgement: Judgement

    @property
    def is_complete(self) -> bool:
        """Whether the run was what it was to be, whatever it showed."""
        return not self.judgement.voids

    def to_json(self) -> dict[str, Any]:
        """What `hil fleet --json` prints."""
        sentences = {"breaks": list(self.judgement.breaks), "voids": list(self.judgement.voids)}
        return self.figures | sentences | {"complete": self.is_complete, "ledger": self.totals.to_json()}


class FleetRun:
    """One run against one target. `fleet` is there for a live view as soon as `run` has begun."""

    def __init__(self, plan: Plan, platform: Platform, *, memory_before_bytes: int = 0) -> None:
        """Raises OptionError where the target has too few devices, or not the file, and for downloads that nobody could issue keys for.

        `memory_before_bytes`: of this process before it read the target file; what that leaves behind counts as the devices'.
        """
        if plan.via == "mqtt" and plan.mix.is_downloading:
            raise OptionError("--via", "mqtt is for mixes without downloads: only the platform issues their keys, to commands by rest")
        self._memory_before_bytes = memory_before_bytes or resident_bytes()
        self.plan = plan
        self.platform = platform
        self.ledger = Ledger(late_after_s=plan.late_after_s)
        self.fleet: Fleet | None = None
        self.phase = "starting"
        self._chosen = self._choose()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends the run cleanly and soon."""
        self._stopping.set()

    def slipped(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler: what nobody has caught is a defect of ours, unless the network made it."""
        error = context.get("exception")
        if self.fleet is None or error is None or isinstance(error, OSError):
            loop.default_exception_handler(context)
        else:
            self.fleet.books.slipped(context["message"], error)

    def memory_per_device_bytes(self) -> float:
        """What the process has grown by since the run began, for each of its devices."""
        devices = len(self.fleet.lines) if self.fleet is not None else 0
        return max(0, resident_bytes() - self._memory_before_bytes) / devices if devices else 0.0

    async def run(self) -> Outcome:
        """Raises BenchError where the target cannot be reached."""
        self.fleet = fleet = self._make_fleet([Credentials(device.id, device.token) for device in self._chosen])
        figures: dict[str, Any] = {"devices": len(self._chosen), "seed": self.plan.seed, "via": self.plan.via}
        try:
            figures |= await self._connect(fleet)
            figures |= await self._keep_busy(fleet)
            figures |= end_figures(fleet.counts, len(self._chosen), resident_bytes() - self._memory_before_bytes)
        finally:
            self.phase = "leaving"
            await fleet.disconnect()
        totals = self.ledger.totals()
        return Outcome(self.ledger, totals, figures, self._judged(fleet, totals))

    def _judged(self, fleet: Fleet, totals: Totals) -> Judgement:
        beside, is_cut_short = fleet.books.circumstances(fleet.lines), self._stopping.is_set()
        voids = [*voids_of(totals, beside, is_cut_short=is_cut_short)]
        if totals.sent < self.plan.commands and not is_cut_short:
            voids.append(f"only {totals.sent} of {self.plan.commands} commands were sent: the operator lost its connection")
        return Judgement(tuple(breaks_of(totals, beside)), tuple(voids))

    # -------------------------------------------------------------------------------- phases

    async def _connect(self, fleet: Fleet) -> dict[str, Any]:
        """Until all devices are listening, or the time for it is over."""
        self.phase = "connecting"
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await self._unless_stopped(fleet.connect(rate_per_s=self.plan.rate_per_s))
        await self._unless_stopped(fleet.until_connected(started_s + self.plan.connect_s))
        return connect_figures(fleet.counts, loop.time() - started_s, resident_bytes() - self._memory_before_bytes)

    async def _keep_busy(self, fleet: Fleet) -> dict[str, Any]:
        """Commands and storms, and at the end a look whether the target is still there."""
        churn = asyncio.create_task(self._churn(fleet)) if self.plan.churn_s else None
        try:
            figures = await self._command(fleet)
            self.phase = "holding"
            await self._unless_stopped(asyncio.sleep(self.plan.hold_s))
        finally:
            if churn is not None:
                churn.cancel()
        await self._unless_stopped(fleet.until_any_connected(asyncio.get_running_loop().time() + self.plan.settle_s))
        return figures

    async def _command(self, fleet: Fleet) -> dict[str, Any]:
        """Sends the commands and waits until what was accepted was released."""
        if not self.plan.commands or self._stopping.is_set():
            return {"commands": 0, "deliveries_per_s": 0.0}
        loop = asyncio.get_running_loop()
        operator = await self._operator()
        self.phase = "commanding"
        started_s = loop.time()
        try:
            await self._unless_stopped(operator.send(self._orders(fleet.lines)), grace_s=DRAIN_S)
            self.phase = "settling"
            await self._unless_stopped(self._settle(fleet))
            if self._stopping.is_set():
                await self._drain(fleet)
        finally:
            await operator.close()
        took_s = max((self.ledger.last_delivery_s() or loop.time()) - started_s, 0.001)
        rate_per_s = round(fleet.counts.delivered / took_s, 1)
        return {"commands": len(self.ledger.entries), "commands_s": round(took_s, 3), "deliveries_per_s": rate_per_s}

    async def _settle(self, fleet: Fleet) -> None:
        """Until the ledger lacks nothing that was accepted, or the time for it is over."""
        deadline_s = asyncio.get_running_loop().time() + self.plan.settle_s
        totals = self.ledger.totals()
        await fleet.settle(deadline_s, expected=totals.accepted - totals.not_owed)
        while self.ledger.totals().lost and await fleet.progressed(deadline_s):
            pass
        # One more moment, in which a second copy would show itself, and in which the last results are acknowledged.
        await asyncio.sleep(ECHO_S)

    async def _drain(self, fleet: Fleet) -> None:
        """After a stop, what was accepted is still delivered: left in the devices' sessions, it would be unexpected in the next run."""
        stopped_s = asyncio.get_running_loop().time()
        totals = self.ledger.totals()
        while fleet.counts.delivered < totals.accepted - totals.not_owed and await fleet.progressed(stopped_s + DRAIN_S):
            pass
        self.ledger.cut_short(sent_after_s=stopped_s - self.plan.settle_s)

    async def _churn(self, fleet: Fleet) -> None:
        """Reconnect storms: all connections are lost at once, again and again."""
        while self.plan.churn_s:
            await asyncio.sleep(self.plan.churn_s)
            await fleet.storm()

    async def _unless_stopped(self, work: Any, *, grace_s: float = 0.0) -> None:
        """Awaits `work`, or gives it up `grace_s` after the run is to end."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            if grace_s:
                await asyncio.wait((task,), timeout=grace_s)
            if task.done():
                task.result()
        finally:
            stopping.cancel()
            task.cancel()

    # -------------------------------------------------------------------------------- what is sent

    def _orders(self, lines: Sequence[DeviceLine]) -> Iterator[Order]:
        """The commands, dealt over the devices in turn."""
        downloads: dict[str, int] = {}
        for number in range(self.plan.commands):
            if self._stopping.is_set():
                return
            device, line = self._chosen[number % len(lines)], lines[number % len(lines)]
            if line.behaviour.command in DOWNLOADS:
                downloads[device.id] = downloads.get(device.id, 0) + 1
                file_name = self._file_for(device)
                correlation = download_correlation(device.id, downloads[device.id])
                yield Order(correlation, device.project_id, device.id, line.behaviour.command, {"file_name": file_name})
            else:
                correlation = f"{self.plan.run or self.plan.seed}-{self.plan.shard[0]}-{number}"
                yield Order(correlation, device.project_id, device.id, CONFIGURATION, {CORRELATION: correlation, "sampling_rate": 60})

    def _file_for(self, device: TargetDevice) -> str:
        names = [file.name for file in self.platform.files if file.project_id == device.project_id and file.type is FileType.FIRMWARE]
        if not names:
            raise ScenarioError(f"the target file names no firmware of project {device.project_id}, which the mix wants to download")
        if self.plan.file_name and self.plan.file_name not in names:
            raise OptionError("--file", f"{self.plan.file_name!r} is no firmware of project {device.project_id}")
        return self.plan.file_name or names[0]

    async def _operator(self) -> Operator:
        tls = ssl_context(self.platform.tls)
        if self.plan.via == "rest":
            platform = self.platform
            return RestOperator(
                self.ledger, api_url=platform.api_url, api_key=platform.api_keys.full, tls=tls, headers=platform.http.headers
            )
        operator = MqttOperator(
            self.ledger,
            mqtt_url=self.platform.mqtt_url,
            client_id=self.plan.operator_id,
            login=self.plan.operator,
            tls=tls,
        )
        await operator.open()
        return operator

    # -------------------------------------------------------------------------------- who takes part

    def _choose(self) -> list[TargetDevice]:
        able = [entry for entry in self.platform.devices if entry.kind.takes_commands and _is_unrestricted(entry)]
        if self.plan.file_name and all(file.name != self.plan.file_name for file in self.platform.files):
            raise OptionError("--file", f"{self.plan.file_name!r} is none of the target's files")
        mine = list(shard_of(able, *self.plan.shard))
        if len(mine) < self.plan.devices:
            problem = f"{len(mine)} devices of the target take all commands in this shard; `hil platform --provision N` makes more"
            raise OptionError("--devices", f"{self.plan.devices} are wanted, but {problem}")
        # The last ones are those of `--provision`; the first are for certification.
        return mine[len(mine) - self.plan.devices :]

    def _make_fleet(self, credentials: Sequence[Credentials]) -> Fleet:
        fleet = Fleet(
            mqtt_url=self.platform.mqtt_url,
            entropy=SeededEntropy(f"fleet/{self.plan.seed}/{self.plan.shard[0]}"),
            ledger=self.ledger,
            mix=self.plan.mix,
            keep_alive_s=self.plan.keep_alive_s,
            tls=ssl_context(self.platform.tls),
            clean_session=self.plan.clean_session,
            images=self._images(),
        )
        fleet.add(credentials)
        return fleet

    def _images(self) -> frozenset[str]:
        """The digests of the files that a download may bring."""
        if not self.plan.mix.is_downloading:
            return frozenset()
        return frozenset(hashlib.sha256(file.path.read_bytes()).hexdigest() for file in self.platform.files)


def _is_unrestricted(device: TargetDevice) -> bool:
    return all(permits(device.allowed_commands, command) for command in (CONFIGURATION, *DOWNLOADS))
