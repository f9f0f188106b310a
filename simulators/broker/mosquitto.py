"""mosquitto behind the port: a subprocess with its own configuration, password file and access list, in its own directory.

The password file is written in mosquitto's own form (PBKDF2-HMAC-SHA512), because calling `mosquitto_passwd` once per device would take
minutes for a fleet. Logins are read when it starts: devices that are provisioned later need a restart.   Source: mosquitto.conf(5).
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from harness.bench.processes import ending_with_us
from harness.bench.streams import open_stream
from harness.entropy import Entropy, SystemEntropy
from harness.errors import BenchError, ResourceMissing, TargetUnavailable
from simulators.broker.external import platform_publisher
from simulators.broker.port import BrokerSettings, BrokerUnavailable, DeviceDirectory, Login
from simulators.broker.publisher import Publisher
from simulators.network.addresses import free_port

# Debian keeps servers outside the PATH of ordinary users.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
START_WITHIN_S = 10.0
# mosquitto's own default is 101; tokens are random, so a few rounds cost an attacker nothing that 101 would.
HASH_ITERATIONS = 5
SALT_BYTES = 12


class MosquittoBroker:
    """One mosquitto process. With no logins in the directory anyone may do anything."""

    def __init__(self, settings: BrokerSettings, directory: DeviceDirectory, *, entropy: Entropy | None = None) -> None:
        self._settings = settings
        self._directory = directory
        self._entropy = entropy or SystemEntropy()
        self._process: asyncio.subprocess.Process | None = None
        self._own_directory: Path | None = None
        self._port = settings.port
        self._publisher: Publisher | None = None

    async def start(self) -> None:
        """Serves when it returns. Raises ResourceMissing without the program, BenchError when it does not come up; then nothing is left."""
        program = shutil.which("mosquitto", path=SEARCH_PATH)
        if program is None:
            raise ResourceMissing("mosquitto is not installed: `make peers`, or `apt install mosquitto`")
        self._port = free_port(self._settings.bind, self._port)
        try:
            command = ending_with_us([program, "-c", str(self._write_files(list(self._directory.logins())))])
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await self._wait_until_it_serves(self._process)
        except BaseException:
            await self.stop()
            raise
        self._publisher = platform_publisher(self.mqtt_url, self._directory)

    async def stop(self) -> None:
        """Ends the process and removes what it wrote, except in a state directory that was given."""
        if self._publisher is not None:
            await self._publisher.stop()
            self._publisher = None
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        if self._own_directory is not None:
            shutil.rmtree(self._own_directory, ignore_errors=True)
            self._own_directory = None

    @property
    def mqtt_url(self) -> str:
        """`mqtt://host:port`, known after `start`."""
        return f"mqtt://{self._settings.url_host}:{self._port}"

    @property
    def process_id(self) -> int | None:
        """Of the running process; for measuring it."""
        return self._process.pid if self._process else None

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Returns when mosquitto has acknowledged. Raises BrokerUnavailable."""
        if self._publisher is None:
            raise BrokerUnavailable("mosquitto is not running")
        await self._publisher.publish(topic, payload, qos=qos, retain=retain)

    async def disconnect(self, client_id: str) -> bool:
        """mosquitto offers no way to do it: False."""
        return False

    def connected_clients(self) -> frozenset[str] | None:
        """mosquitto does not tell: None."""
        return None

    def _write_files(self, logins: list[Login]) -> Path:
        directory = self._settings.state_directory
        if directory is None:
            self._own_directory = directory = Path(tempfile.mkdtemp(prefix="hil-mosquitto-"))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "passwords").write_text("".join(f"{login.username}:{self._hashed(login.password)}\n" for login in logins))
        (directory / "access").write_text(_access_list(logins))
        for name in ("passwords", "access"):
            (directory / name).chmod(0o600)
        configuration = directory / "mosquitto.conf"
        configuration.write_text(_configuration(self._settings, self._port, directory, has_logins=bool(logins)))
        return configuration

    def _hashed(self, password: str) -> str:
        salt = self._entropy.random_bytes(SALT_BYTES)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ITERATIONS)
        return f"$7${HASH_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"

    async def _wait_until_it_serves(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(START_WITHIN_S):
                while process.returncode is None:
                    with contextlib.suppress(TargetUnavailable):
                        await (await open_stream(self.mqtt_url)).close()
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise BenchError(f"mosquitto does not serve on port {self._port} after {START_WITHIN_S:g} s") from None
        raise BenchError(f"mosquitto ended with status {process.returncode} at its start; is port {self._port} taken?")


def _configuration(settings: BrokerSettings, port: int, directory: Path, *, has_logins: bool) -> str:
    lines = [
        f"listener {port} {settings.bind}",
        f"max_inflight_messages {settings.limits.inflight_max}",
        f"max_queued_messages {settings.limits.queued_messages_max}",
        f"message_size_limit {settings.limits.packet_bytes_max}",
        "set_tcp_nodelay true",
    ]
    if settings.state_directory is not None:
        # Written after every change: mosquitto's default interval is half an hour.
        lines += ["persistence true", f"persistence_location {directory}/", "autosave_on_changes true", "autosave_interval 1"]
    if os.geteuid() == 0:
        lines.append("user root")  # it would give up its rights to files that only we may read
    if has_logins:
        lines += ["allow_anonymous false", f"password_file {directory}/passwords", f"acl_file {directory}/access"]
    else:
        lines.append("allow_anonymous true")
    return "\n".join(lines) + "\n"


def _access_list(logins: list[Login]) -> str:
    """Devices read and write their own id and what is below it (CMD-23); `%u` is the user name, which is the device id."""
    trusted = "".join(f"user {login.username}\ntopic readwrite #\n" for login in logins if login.is_trusted)
    return f"{trusted}\npattern readwrite %u\npattern readwrite %u/#\n"
