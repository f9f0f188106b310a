"""The reference platform as one object: start it on any event loop, real or simulated, ask it for its URLs, stop it.

It ties the skins together: store and contents in a state directory, a broker behind its port, the HTTP server, the wake-up for keys that
end, and the target file. With the same state directory it starts again where it was killed, without repair.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Middleware

from harness.clock import AdvanceableClock, Clock, SystemClock
from harness.entropy import Entropy, SystemEntropy
from harness.errors import BenchError
from harness.wire.files import FileType
from simulators.broker.operator_login import OPERATOR_FILE, operator_json
from simulators.broker.port import BrokerPort, DeviceDirectory
from simulators.network.addresses import host_in_url
from simulators.platform.access import Device
from simulators.platform.advance_endpoint import ADVANCE_PATH, AdvanceEndpoint
from simulators.platform.contents import Contents
from simulators.platform.contract import asyncapi, openapi
from simulators.platform.directory import PLATFORM_LOGIN, Directory
from simulators.platform.download_faults import DownloadFaultPlan
from simulators.platform.files import file_name_problem
from simulators.platform.hooks import BROKER_CHANGES, PID_FILE, STARTS, hook_lines
from simulators.platform.http import Api
from simulators.platform.login_limit import LoginLimit
from simulators.platform.logs import http_logger
from simulators.platform.observation import HttpObserver
from simulators.platform.operations import Edge, Metrics, healthz
from simulators.platform.portal.documents import Documents
from simulators.platform.portal.pages import Portal
from simulators.platform.portal.timeline import Timeline
from simulators.platform.private_files import kept_secret, write_private
from simulators.platform.provisioning import Secrets, inventory, provision
from simulators.platform.rules import REFERENCE, Rules
from simulators.platform.service import Service
from simulators.platform.store import Store
from simulators.platform.target import fleet_lines, target_tables, to_toml
from simulators.platform.tls import self_signed
from simulators.platform.trail import Happening, Trail

SHUTDOWN_TIMEOUT_S = 10.0  # how long running downloads may take to end when the platform stops
BACKLOG = 4_096  # connections that may wait to be accepted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """How a platform is set up. Ports of 0 are any free port; `state_directory` None keeps everything for this run only."""

    state_directory: Path | None = None
    files_directory: Path | None = None  # `firmware/*` and `logo/*` below it are uploaded to the first project
    bind: str = "127.0.0.1"
    public_host: str = ""  # what stands in URLs; empty: the bind address
    api_port: int = 0
    provision: int = 0  # devices beside the standard ones
    seed: int = 0  # decides ids and file contents
    name: str = "reference"
    test_clock: bool = False
    shape_bytes_per_s: float | None = None  # bandwidth of each device's downloads; None: no bound
    shutdown_timeout_s: float = SHUTDOWN_TIMEOUT_S
    tls_self_signed: bool = False  # REST over https, and the broker's TLS port in the target file
    mqtts_port: int = 0  # where the broker listens for TLS; it is given the same files by whoever makes it
    failed_logins_per_min: int | None = None  # of one address that is not this machine; None: no bound
    with_hooks: bool = False  # the target file offers hooks that work on the state directory
    has_own_broker: bool = True  # false: the broker is somebody else's, and no hook can stop it
    rules: Rules = field(default_factory=lambda: REFERENCE)


class ReferencePlatform:
    """REST, MQTT and downloads, right in every row of CMD, KEY, DLD and LST. Use it as an async context manager.

    `make_broker` gets the directory of logins and returns a broker that has not been started; platform and broker start and stop together.
    """

    def __init__(
        self,
        settings: PlatformSettings,
        make_broker: Callable[[DeviceDirectory], BrokerPort],
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        observer: HttpObserver | None = None,
        faults: DownloadFaultPlan | None = None,
        service_type: type[Service] = Service,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self._service_type = service_type  # these two are for platforms that are wrong on purpose (personality.py)
        self._middlewares = middlewares
        self.settings = settings
        self.clock = clock if isinstance(clock, AdvanceableClock) else AdvanceableClock(clock or SystemClock())
        self._entropy = entropy or SystemEntropy()
        self._make_broker = make_broker
        self._observer = observer
        self._faults = faults
        self._closing = contextlib.AsyncExitStack()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.timeline = Timeline(self.clock)  # may be given to the broker as its observer
        self._ahead_s = 0.0  # how far the test clock was moved, over all starts
        self.api_url = ""
        self.mqtt_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError: a port is taken, the state cannot be read."""
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise

    async def stop(self) -> None:
        """Lets running downloads end (within the settings' limit), then closes everything."""
        await self._closing.aclose()

    async def restart(self) -> None:
        """Stops and starts again on the same ports and state. Raises BenchError where there is no state directory to start from."""
        if self.settings.state_directory is None:
            raise BenchError("a platform without a state directory cannot be restarted")
        await self.stop()
        await self.start()

    async def stop_broker(self) -> None:
        """Stops the broker alone: from here on commands find none (CMD-31)."""
        await self.broker.stop()
        self._count(BROKER_CHANGES)

    async def start_broker(self) -> None:
        """Starts the broker again, on the same port."""
        await self.broker.start()
        self._count(BROKER_CHANGES)

    def _count(self, counter: str) -> None:
        """Tells a hook that waits beside us that something is done."""
        self.store.put_setting(counter, str(int(self.store.setting(counter) or 0) + 1))

    async def _start(self) -> None:
        directory = self.settings.state_directory
        if directory is None:
            directory = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="hil-platform-")))
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._open_store()
        # Two platforms on one broker would else throw each other out: one client id has one connection (M 3.1.4-2).
        client_id = f"{PLATFORM_LOGIN}-{self._entropy.stream('broker client').random_bytes(4).hex()}"
        self.broker = self._make_broker(Directory(self.store, self.secrets, self.trail, client_id))
        contents = Contents(directory, is_durable=self.settings.state_directory is not None)
        self.service = self._service_type(self.store, contents, self.broker, self.clock, self._entropy, self.settings.rules, self.trail)
        self._fill()
        self._tls = self._certificates()
        await self.broker.start()
        self._closing.push_async_callback(self.broker.stop)
        self.mqtt_url = f"mqtts://{self._host}:{self.settings.mqtts_port}" if self.settings.mqtts_port else self.broker.mqtt_url
        await self._listen()
        self._begin_sweeping()
        self.target_path = self._write_target()
        (directory / PID_FILE).write_text(str(os.getpid()))
        self._count(STARTS)

    @property
    def _host(self) -> str:
        return host_in_url(self.settings.public_host or self.settings.bind)

    def _certificates(self) -> tuple[ssl.SSLContext, Path] | None:
        if not self.settings.tls_self_signed:
            return None
        hosts = list(dict.fromkeys(filter(None, (self.settings.public_host, self.settings.bind, "localhost", "127.0.0.1"))))
        files, ca_path = self_signed(self.directory / "tls", hosts, self.clock)
        return files.server_context(), ca_path

    def _open_store(self) -> None:
        is_kept = self.settings.state_directory is not None
        try:
            self.store = Store(self.directory / "platform.db" if is_kept else None)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise BenchError(f"the state in {self.directory} cannot be read: {error}") from error
        self._closing.callback(self.store.close)
        self.trail = Trail(self.store, self.clock)
        self.trail.listen(self.timeline.audited)
        if self.settings.test_clock:  # else a killed platform would give its keys their life back
            ahead_s = float(self.store.setting("clock ahead") or 0)
            self.clock.advance(ahead_s - self._ahead_s)
            self._ahead_s = ahead_s
        self.secrets = Secrets(kept_secret(self.directory / "secret", self._entropy))

    def _fill(self) -> None:
        provision(self.service.storage, self.store, self.secrets, self.settings.seed, self.settings.provision)
        if self.settings.files_directory:
            for file_type in FileType:
                self._upload_all(self.settings.files_directory / file_type.value, file_type)
        self.service.remove_orphans()

    def _upload_all(self, directory: Path, file_type: FileType) -> None:
        project_id = inventory(self.settings.seed).projects[0].id
        for path in sorted(filter(Path.is_file, directory.glob("*"))):
            self.upload(project_id, file_type, path.name, path.read_bytes())

    def _application(self) -> web.Application:
        """Everything that is served over HTTP."""
        self.api = Api(
            self.service,
            self.clock,
            observer=self._observer,
            faults=self._faults,
            progressed=self.timeline.progressed,
            shape_bytes_per_s=self.settings.shape_bytes_per_s,
        )
        metrics = Metrics(
            open_downloads=lambda: self.api.open_downloads,
            live_keys=self.store.live_key_count,
            connected=lambda: -1 if (clients := self.broker.connected_clients()) is None else len(clients),
        )
        limit = self.settings.failed_logins_per_min
        edge = Edge(self.clock, metrics, LoginLimit(limit) if limit is not None else None)
        self.app = app = web.Application(middlewares=[edge.middleware(), *self._middlewares])
        self.api.add_routes(app)
        portal = Portal(self.service, self.store, self.broker, self.timeline, self._entropy.stream("sessions"))
        portal.add_routes(app)
        app.on_shutdown.append(self._let_watchers_go)
        error_type = self.settings.rules.http.download_error_type
        Documents(lambda: openapi(self.api_url, error_type=error_type), lambda: asyncapi(self.mqtt_url)).add_routes(app)
        app.router.add_get("/healthz", healthz)
        app.router.add_get("/metrics", metrics.serve)
        if self.settings.test_clock:
            app.router.add_post(ADVANCE_PATH, AdvanceEndpoint(self.clock, self._clock_advanced).advance)
        return app

    async def _listen(self) -> None:
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=http_logger(),
            shutdown_timeout=self.settings.shutdown_timeout_s,
            keepalive_timeout=75.0,
            auto_decompress=False,  # a compressed body is no JSON; unpacking would make its size the sender's choice
        )
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        self._runner = runner
        port = await self._bind(runner)
        self.api_url = f"{'https' if self._tls else 'http'}://{self._host}:{port}"
        self.service.public_url = self.api_url
        self.store.put_setting("api port", str(port))

    async def _let_watchers_go(self, app: web.Application) -> None:
        self.timeline.close()

    async def _bind(self, runner: web.AppRunner) -> int:
        """Listens on the wanted port; for any port, on the one of the last time if it is still free."""
        wanted = self.settings.api_port or int(self.store.setting("api port") or 0)
        try:
            await self._listen_on(runner, wanted)
        except OSError as error:
            if self.settings.api_port or not wanted:
                raise BenchError(f"cannot listen on {self.settings.bind} port {wanted}: {error}") from error
            await self._listen_on(runner, 0)
        return int(runner.addresses[0][1])

    async def _listen_on(self, runner: web.AppRunner, port: int) -> None:
        context = self._tls[0] if self._tls else None
        await web.TCPSite(runner, self.settings.bind, port, backlog=BACKLOG, reuse_address=True, ssl_context=context).start()

    async def open_another_port(self) -> int:
        """Serves the same on one more free port as well, whose number comes back; `api_url` stays. Raises OSError."""
        await self._listen_on(self._runner, 0)
        return int(self._runner.addresses[-1][1])

    # --- keys that nobody uses ---

    def _begin_sweeping(self) -> None:
        self._closing.callback(self._stop_sweeping)
        self._closing.callback(self.clock.on_advance(self._sweep))
        self._sweep()

    def _sweep(self) -> None:
        """Ends what is over, and looks again when the next key ends: in a minute at the latest, as a key may be issued meanwhile."""
        self._stop_sweeping()
        next_end_s = self.service.sweep()
        wait_s = 60.0 if next_end_s is None else min(60.0, max(0.0, next_end_s - self.clock.utc_s()))
        self._sweep_timer = asyncio.get_running_loop().call_later(wait_s, self._sweep)

    def _stop_sweeping(self) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def _clock_advanced(self, seconds: float) -> None:
        self._ahead_s += seconds
        self.store.put_setting("clock ahead", str(self._ahead_s))

    # --- the target file ---

    def _write_target(self) -> Path:
        path = self.directory / "target.toml"
        write_private(self.directory / "devices.jsonl", "".join(fleet_lines(self.store, self.secrets)).encode())
        write_private(self.directory / OPERATOR_FILE, operator_json(PLATFORM_LOGIN, self.secrets.broker_password()))
        write_private(path, to_toml(self.target()).encode())
        return path

    def target(self) -> dict[str, Any]:
        """The target file's content as nested tables; paths in it are relative to the state directory."""
        optional: dict[str, str | Mapping[str, str]] = {"declares": self.settings.rules.declared()}
        if self.settings.provision:
            optional["devices_file"] = "devices.jsonl"
        if self._tls:
            optional["tls"] = {"ca": str(self._tls[1].relative_to(self.directory))}
        if self.settings.with_hooks:
            optional["hooks"] = hook_lines(self.directory, has_own_broker=self.settings.has_own_broker)
        if self.settings.test_clock:
            optional["clock"] = {"advance_url": self.api_url + ADVANCE_PATH}
        return target_tables(
            name=self.settings.name,
            api_url=self.api_url,
            mqtt_url=self.mqtt_url,
            store=self.store,
            secrets=self.secrets,
            projects=inventory(self.settings.seed).projects,
            contents=Path("contents"),
            optional=optional,
        )

    # --- what a portal user may do ---

    def devices(self) -> list[Device]:
        return list(self.store.devices())

    def token(self, device_id: str) -> str:
        return self.secrets.device_token(device_id)

    def upload(self, project_id: str, file_type: FileType, name: str, data: bytes, description: str = "") -> None:
        """Stores a file as the portal does. Raises ValueError for a name that cannot be."""
        if problem := file_name_problem(file_type, name):
            raise ValueError(f"{name!r} cannot be uploaded: {problem}")
        self.service.storage.put(project_id, file_type, name, data, description)

    def delete_file(self, project_id: str, file_type: FileType, name: str) -> bool:
        return self.service.storage.delete(project_id, file_type, name)

    def set_allowed_commands(self, device_id: str, allowed_commands: str) -> bool:
        """Changes a device's metadata; False where there is no such device."""
        self.trail.add(Happening.ALLOWED_COMMANDS_SET, device_id, facts={"allowed_commands": allowed_commands})
        return self.store.set_allowed_commands(device_id, allowed_commands)
