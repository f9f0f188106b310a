"""The bench on which a platform is questioned: its API, its MQTT side, its clock and hooks, and the devices that we play for it."""

import asyncio
import hashlib
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from harness.bench.hooks import run_hook
from harness.bench.http_driver import HttpDriver
from harness.bench.leftovers import Leftovers
from harness.bench.mqtt_driver import MqttDriver
from harness.bench.target import Platform, TargetDevice
from harness.bench.target_clock import advance_test_clock
from harness.errors import BenchError, ScenarioError
from harness.history.events import API_KEY, Stimulus
from harness.history.recorder import Recorder
from harness.operations import (
    AdvanceClock,
    Announce,
    Call,
    Connect,
    Disconnect,
    InOrder,
    Publish,
    Receive,
    RunHook,
    Together,
    Volley,
    Wait,
)
from harness.scenario import Cast, Scenario, cast_roles, rule_out

_log = logging.getLogger(__name__)


class PlatformBench:
    """Real sockets to a platform that a target file describes. Use as an async context manager."""

    def __init__(self, platform: Platform, recorder: Recorder, *, seed: int = 0) -> None:
        self._platform = platform
        self._seed = seed
        self._recorder = recorder
        self._busy: set[str] = set()
        self._devices = {device.id: device for device in platform.devices}
        self._http = HttpDriver(platform, recorder)
        self._mqtt = MqttDriver(platform, recorder)
        self._stack = AsyncExitStack()
        self._is_time_unknown = False
        self._leftovers: dict[int, Leftovers] = {}  # by the cast of the scenario that is at work

    async def __aenter__(self) -> Self:
        try:
            await self._stack.enter_async_context(self._http)
            await self._stack.enter_async_context(self._mqtt)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._stack.aclose()

    def rule_out(self, scenario: Scenario) -> str | None:
        return rule_out(self._platform, scenario.needs)

    def cast(self, scenario: Scenario) -> Cast | None:
        cast = cast_roles(self._platform, scenario.needs, free=lambda device: device.id not in self._busy)
        if cast is not None:
            self._busy |= {device.id for device in cast.devices.values()}
            return replace(cast, seed=self._seed)
        return None

    def roles(self, cast: Cast) -> dict[str, str]:
        return {role: device.id for role, device in cast.devices.items()}

    async def dismiss(self, cast: Cast) -> None:
        """Ends the sessions of the devices that were played, and undoes the hooks that the scenario has not undone itself."""
        left = self._leftovers.pop(id(cast), None)
        for name, values in left.hooks() if left is not None else ():
            await self._undo(name, values)
        for device in cast.devices.values():
            await self._retire(device)
            self._busy.discard(device.id)

    async def perform(self, cast: Cast, operation: Any) -> Any:
        """Does one operation of `harness.operations`."""
        if self._is_time_unknown:
            raise BenchError("not asked: the test clock has failed in an earlier scenario, and nobody knows the target's time")
        match operation:
            case Call():
                return await self._http.call(operation)
            case Volley(calls=calls):
                return await self._http.volley(calls)
            case Together(operations=operations):
                return await asyncio.gather(*(self.perform(cast, each) for each in operations))
            case InOrder(operations=operations):
                return [await self.perform(cast, each) for each in operations]
            case Connect():
                return await self._mqtt.connect(self._device(operation.device_id), operation)
            case Disconnect(device_id=device_id, abruptly=abruptly):
                return await self._mqtt.disconnect(device_id, abruptly=abruptly)
            case Publish():
                return await self._mqtt.publish(operation)
            case Receive(device_id=device_id, count=count, within_s=within_s):
                return await self._mqtt.receive(device_id, count, within_s)
            case AdvanceClock(seconds=seconds):
                return await self._advance(seconds)
            case Wait(duration_s=duration_s):
                return await asyncio.sleep(duration_s)
            case RunHook():
                return await self._run_hook(cast, operation)
            case Announce(name=name, facts=facts):
                self._recorder.record(Stimulus(name, facts))
                return None
            case _:
                raise ScenarioError(f"this bench has no operation {operation!r}")

    async def _retire(self, device: TargetDevice) -> None:
        try:
            await self._mqtt.retire(device.id)
        except BenchError as error:
            # As with hooks. What the scenario saw stands, and whoever asks this target next finds out how it is.
            _log.warning("the session of device %s could not be ended: %s", device.id, error)

    async def _undo(self, name: str, values: dict[str, str]) -> None:
        try:
            await run_hook(self._platform.hooks, name, values, self._recorder)
        except BenchError as error:
            # The journal still says what is left; `hil cleanup` can try again.
            _log.warning("%s %s could not be undone: %s", name, values, error)

    async def _run_hook(self, cast: Cast, operation: RunHook) -> str | None:
        name, values = operation.name, operation.values
        left = self._leftovers.setdefault(id(cast), Leftovers({device.id: device.allowed_commands for device in self._platform.devices}))
        left.hook_begins(name, values)
        try:
            output = await run_hook(self._platform.hooks, name, values, self._recorder)
        except BenchError:
            left.hook_ended(name, values, succeeded=False)
            if operation.may_refuse:
                return None
            raise
        left.hook_ended(name, values, succeeded=True)
        return output

    async def _advance(self, seconds: float) -> None:
        if self._platform.clock is None:
            raise ScenarioError("a scenario moves the clock of a target that has no test clock")
        try:
            await advance_test_clock(self._platform, seconds, self._recorder, trace=self._http.next_trace())
        except BenchError:
            # It may have moved all the same: what is asked from here on has no time that we know.
            self._is_time_unknown = True
            raise

    def _device(self, device_id: str) -> TargetDevice:
        if device_id not in self._devices:
            raise ScenarioError(f"the target file has no device {device_id!r}")
        return self._devices[device_id]


def register_secrets(platform: Platform, recorder: Recorder) -> None:
    """Makes the recorder write labels for all secrets of the target file."""
    for name, key in platform.api_keys.model_dump(exclude_none=True).items():
        recorder.redactor.register(key, label=f"<{API_KEY}{name}>", what="api key")
    for label, secret in platform.http.secrets().items():
        recorder.redactor.register(secret, label=label, what="gateway secret")
    for device in platform.devices:
        recorder.redactor.register(device.token, label=f"<token:{device.id}>", what="token")


def target_facts(platform: Platform) -> dict[str, Any]:
    """The target as the timeline's first event keeps it, with size and hash of each file's bytes.

    Raises BenchError where a file cannot be read.
    """
    facts = platform.model_dump(mode="json", exclude_none=True)
    for file, entry in zip(platform.files, facts["files"], strict=True):
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise BenchError(f"{file.path}: {error.strerror or error}") from error
        entry |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return facts
