"""The processes of `hil load`: one Locust alone, or a master and workers, on this machine or on several.

Each runs in a session of its own, so that Ctrl-C on the terminal reaches them in our order: whoever leads the run ends it, and the others
follow. The leader's lines are passed on as they come.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from harness.bench.processes import ending_with_us
from harness.clock import SystemClock
from harness.errors import BenchError, ConfigurationError
from scenarios.load.outcome import OUTCOME_FILE
from scenarios.load.plan import LoadPlan
from scenarios.load.shapes import STEADY
from simulators.network.addresses import free_port

MASTER_PORT = 5557
LOOK_S = 0.2
OUR_LINES = "/hil.load: "
LEADER_LOG = "locust.log"
LEAVE_S_MAX = 30.0


class Role(Enum):
    """What this machine does."""

    EVERYTHING = "everything"
    MASTER = "master"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Launch:
    """Who is started here. `workers` of 1 is one process without a master where this machine does everything."""

    plan: LoadPlan
    run_time_s: float
    workers: int = 1
    role: Role = Role.EVERYTHING
    master_host: str = "127.0.0.1"
    master_port: int = 0  # 0: any free port, where master and workers are here
    wait_s: float = 30.0  # how long master and workers wait for each other
    web_port: int | None = None  # None: headless


def ensure_locust() -> None:
    """Raises ConfigurationError where Locust is not installed: it is an extra."""
    if importlib.util.find_spec("locust") is None:
        raise ConfigurationError("hil load", "", "", "it needs locust, of the extra hil[load]: make install-dev brings it")


def run(launch: Launch, directory: Path, say: Callable[[str], None]) -> int:
    """Runs to the end; returns the exit status of the leader. Logs go to `directory`.

    Raises BenchError where no master is there, KeyboardInterrupt where a signal came before there was anything to account for.
    """
    port = launch.master_port or (MASTER_PORT if launch.role is not Role.EVERYTHING else free_port("127.0.0.1"))
    run_part = _run_workers if launch.role is Role.WORKERS else _run_leader
    with contextlib.ExitStack() as open_files:
        return run_part(launch, port, directory, open_files, say)


def _run_leader(launch: Launch, port: int, directory: Path, open_files: contextlib.ExitStack, say: Callable[[str], None]) -> int:
    """The master, with its workers where all are here, or the one process that does it alone; returns its exit status."""
    is_alone = launch.role is Role.EVERYTHING and launch.workers == 1
    with _Signals() as signals:
        leader = _start(launch, [] if is_alone else _master_options(launch, port), subprocess.PIPE)
        helpers = _start_workers(launch, port, directory, open_files) if launch.role is Role.EVERYTHING and not is_alone else []
        try:
            signals.hand_to([leader])
            _pass_on(leader, directory, say)
            status = leader.wait()
            if not (directory / OUTCOME_FILE).exists():  # It was killed, or had not begun: nobody has told the helpers that it is over.
                _interrupt(helpers)
        finally:
            _see_off([leader, *helpers])
    if signals.are_given and not (directory / OUTCOME_FILE).exists():
        raise KeyboardInterrupt
    return status


def _run_workers(launch: Launch, port: int, directory: Path, open_files: contextlib.ExitStack, say: Callable[[str], None]) -> int:
    """Workers for a master on another machine; the worst of their exit statuses."""
    _await_master(launch, port)
    with _Signals() as signals:
        workers = _start_workers(launch, port, directory, open_files)
        say(f"{len(workers)} workers for the master at {launch.master_host}:{port}")
        try:
            signals.hand_to(workers)
            statuses = [worker.wait() for worker in workers]
        finally:
            _see_off(workers)
    for number, status in enumerate(statuses, 1):
        if status:
            say(f"worker {number} ended with status {status}: {log_tail(directory, worker_log(number), lines=3)}")
    return max(map(abs, statuses))


def _await_master(launch: Launch, port: int) -> None:
    """Returns once somebody listens there: Locust's own workers would wait for minutes. Raises BenchError after `wait_s`."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + launch.wait_s
    pause = threading.Event()
    while True:
        try:
            socket.create_connection((launch.master_host, port), timeout=launch.wait_s).close()
        except OSError as error:
            if clock.monotonic_s() >= deadline_s:
                problem = f"there was no master at {launch.master_host}:{port} for {launch.wait_s:g} s (--wait): {error}"
                raise BenchError(problem) from error
        else:
            return
        pause.wait(LOOK_S)


def _start_workers(launch: Launch, port: int, directory: Path, open_files: contextlib.ExitStack) -> list[subprocess.Popen[str]]:
    options = ["--worker", "--master-host", launch.master_host, "--master-port", str(port)]
    logs = [open_files.enter_context((directory / worker_log(number)).open("w")) for number in range(1, launch.workers + 1)]
    return [_start(launch, options, log.fileno()) for log in logs]


def _start(launch: Launch, options: list[str], output: int) -> subprocess.Popen[str]:
    locustfile = Path(__file__).with_name(f"{launch.plan.scenario}_locustfile.py")
    is_worker = "--worker" in options
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), *options, *([] if is_worker else _run_options(launch))]
    environment = {**os.environ, **launch.plan.to_environment(), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        ending_with_us(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _master_options(launch: Launch, port: int) -> list[str]:
    host = "127.0.0.1" if launch.role is Role.EVERYTHING else "*"
    expected = ["--expect-workers", str(launch.workers), "--expect-workers-max-wait", str(round(launch.wait_s))]
    return ["--master", "--master-bind-host", host, "--master-bind-port", str(port), *expected]


def _run_options(launch: Launch) -> list[str]:
    plan = launch.plan
    options = [] if launch.web_port is not None else ["--headless", "--only-summary"]
    if launch.web_port is not None:
        options += ["--web-port", str(launch.web_port), "--web-host", "127.0.0.1"]
    if plan.shape != STEADY:
        return options
    options += ["--users", str(plan.users + plan.operators), "--spawn-rate", str(plan.rate)]
    is_timed = launch.run_time_s and launch.web_port is None  # Who has the web page ends the run there.
    return [*options, "--run-time", f"{round(launch.run_time_s)}s"] if is_timed else options


def _pass_on(leader: subprocess.Popen[str], directory: Path, say: Callable[[str], None]) -> None:
    """Writes the leader's output into its log, and says its lines that are ours."""
    assert leader.stdout is not None
    with (directory / LEADER_LOG).open("w") as log:
        for line in leader.stdout:
            log.write(line)
            log.flush()
            _, found, text = line.partition(OUR_LINES)
            if found:
                say(text.rstrip())


class _Signals:
    """While it lasts, SIGINT and SIGTERM are the affair of the processes that were started: they end the run, and we follow.

    It begins before they are started. A shell that runs `hil load … &` in a script has SIGINT ignored, which they would inherit from us for
    good; a handler is not inherited.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self.are_given = False

    def hand_to(self, processes: list[subprocess.Popen[str]]) -> None:
        """From now on, and what came already."""
        self._processes = processes
        if self.are_given:
            _interrupt(processes)

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._hand_on) for number in self._NUMBERS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(self._NUMBERS, self._before, strict=True):
            signal.signal(number, handler)

    def _hand_on(self, number: int, frame: object) -> None:
        """Once only: a second one would end the processes in the midst of their tidy end, and the ledger with them."""
        if not self.are_given:
            _interrupt(self._processes)
        self.are_given = True


def _interrupt(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Tells them to end cleanly; those that have ended already do not mind."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)


def _see_off(processes: list[subprocess.Popen[str]]) -> None:
    """Waits for processes that should be ending; ends those that do not."""
    for process in processes:
        try:
            process.wait(LEAVE_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def worker_log(number: int) -> str:
    """The name of the log of a worker, counted from 1."""
    return f"worker-{number}.log"


def log_tail(directory: Path, name: str = LEADER_LOG, *, lines: int = 8) -> str:
    """The end of a process's log."""
    try:
        return " / ".join((directory / name).read_text().strip().splitlines()[-lines:])
    except OSError as error:
        raise BenchError(f"no log in {directory}: {error}") from error
