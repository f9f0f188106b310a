"""The part that a Locust process plays in a run: alone, as master, or as worker. Locust's events come in here.

At the start the master deals the devices and says the run's options; workers announce each command before it leaves. At the end, whatever
ends it, nobody sends any more, every worker settles and hands in its ledger, and the master merges, judges, writes and sets the exit
status. Locust itself would stop all users first, and with them the devices to which commands are on their way.
"""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import locust
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from harness.bench.target import Platform, read_target
from harness.cli import EXIT_USAGE, EXIT_VOID
from harness.clock import SystemClock, rfc3339
from harness.entropy import SystemEntropy
from harness.errors import ConfigurationError
from scenarios.load.accounts import Accounts
from scenarios.load.crew import DRAIN_S_MAX, LOOK_S, Crew, Deal
from scenarios.load.outcome import OUTCOME_FILE, Outcome, judge
from scenarios.load.plan import LoadPlan, check, paced, plan_from
from scenarios.load.shapes import SHAPES, STEADY, users_at
from scenarios.load.statistics import figures_of
from scenarios.load.thresholds import Thresholds, read_thresholds
from simulators.fleet.capacity import ensure_open_files

DEAL, CLOSE, SENT, LEDGER = "hil-deal", "hil-close", "hil-sent", "hil-ledger"
ALONE = "this process"
HAND_IN_S_MAX = 15.0
"""How long a worker's ledger may take on its way, once it has settled."""

PROGRESS_S = 5.0

PUNCTUAL_S = 1.0
"""A run that ends so much before its time has ended in time: Locust looks at its clock once a second."""

log = logging.getLogger("hil.load")
outcome_log = logging.getLogger("hil.outcome")
"""For whoever runs plain `locust`: `hil load` passes on the lines of `log` only, and shows the outcome itself."""


class Play:
    """One per Locust process, made by the locustfile. `crew` is there while a run lasts, in processes that have devices."""

    def __init__(self, scenario: str) -> None:
        """Reads the plan from the environment; ends the process with one line where it is wrong, as `hil` would."""
        try:
            plan = plan_from(os.environ, scenario)
            self.platform: Platform = read_target(plan.target).platform
            check(replace(plan, users=1), self.platform)  # how many there shall be, Locust's own options say
            self.thresholds = read_thresholds(Path(plan.thresholds)) if plan.thresholds else Thresholds()
        except ConfigurationError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(EXIT_USAGE) from error
        self.plan = paced(plan, self.platform)
        self.crew: Crew | None = None
        self.outcome: Outcome | None = None
        self._accounts = Accounts(plan.late_after_s)
        self._is_open = False
        self._is_interrupted = False
        self._mishaps: list[str] = []
        self._clock = SystemClock()
        self._began_s = 0.0
        locust.events.init.add_listener(self._begin)

    def shape(self) -> type[locust.LoadTestShape] | None:
        """The plan's shape as Locust wants it; None for a steady run, which Locust's own options describe."""
        return None if self.plan.shape == STEADY else load_shape(self.plan)

    # -------------------------------------------------------------------------------- Locust's events

    def _begin(self, environment: Environment, **_: Any) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        events = environment.events
        events.test_start.add_listener(self._started)
        events.test_stopping.add_listener(self._stopping)
        events.quitting.add_listener(self._quitting)
        events.user_error.add_listener(self._slipped)
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(SENT, self._on_sent)
            self._runner.register_message(LEDGER, self._on_ledger)
        else:
            ensure_open_files(self.plan.connections())
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(DEAL, self._on_deal)
            self._runner.register_message(CLOSE, self._on_close, concurrent=True)
        else:
            gevent.spawn(self._say_progress)

    def _started(self, **_: Any) -> None:
        if isinstance(self._runner, WorkerRunner):
            return  # The deal came before; one that comes late gets none, and has no devices.
        self._is_open = True
        self._began_s = self._clock.monotonic_s()
        self.outcome = None
        self._mishaps = []
        drawn = self.plan.seed or SystemEntropy().integer(1, 2**31)
        run = f"{drawn}-{rfc3339(SystemClock().utc_s())}" if self.plan.seed else str(drawn)
        log.info("run %s: %g commands a second", run, self.plan.command_rate_per_s())  # How many users, Locust says.
        if isinstance(self._runner, MasterRunner):
            workers = sorted(client.id for client in self._runner.clients.ready)
            self._accounts.deal(workers)
            for index, worker_id in enumerate(workers, 1):
                part = {"run": run, "index": index, "count": len(workers)}
                self._runner.send_message(DEAL, {"deal": part, "plan": self.plan.shared()}, worker_id)
        else:
            self._accounts.deal([ALONE])
            self.crew = Crew(self.plan, self.platform, Deal(run), self._tell, lambda record: None)
        if (at := SHAPES[self.plan.shape].restarts_at) is not None:
            gevent.spawn_later(at * run_time_s(self.plan), self._restart_target)

    def _stopping(self, **_: Any) -> None:
        self._close()

    def _quitting(self, **_: Any) -> None:
        """Before Locust chooses the exit status. A run with a planned end that is still open here was interrupted."""
        self._is_interrupted = self._is_open and bool(self._planned_s())
        self._close()
        if not isinstance(self._runner, WorkerRunner):
            self._environment.process_exit_code = self.outcome.judgement.exit_status if self.outcome is not None else EXIT_VOID

    # -------------------------------------------------------------------------------- messages

    def _on_deal(self, msg: Any, **_: Any) -> None:
        """To a worker: its part of the devices, and the options of all."""
        self.plan = self.plan.agreed(msg.data["plan"])
        self.crew = Crew(self.plan, self.platform, Deal(**msg.data["deal"]), self._tell, self._announce)
        self._is_open = True

    def _announce(self, record: tuple[str, str, str, float]) -> None:
        self._runner.send_message(SENT, {"record": list(record)})

    def _on_sent(self, msg: Any, **_: Any) -> None:
        correlation, device_id, command, at_s = msg.data["record"]
        self._accounts.announced(msg.node_id, (correlation, device_id, command, at_s))

    def _on_close(self, **_: Any) -> None:
        self._close()

    def _on_ledger(self, msg: Any, **_: Any) -> None:
        self._accounts.handed_in(msg.node_id, **msg.data)

    # -------------------------------------------------------------------------------- the end

    def _planned_s(self) -> float:
        """How long the run is to last; 0: until somebody ends it."""
        options: Any = self._environment.parsed_options
        return run_time_s(self.plan) if self.plan.shape != STEADY else float(options.run_time or 0)

    def _close(self) -> None:
        """Ends the run, once, whichever way it came to its end. Locust ends a shape that is interrupted like one that is complete."""
        if not self._is_open:
            return
        self._is_open = False
        if not isinstance(self._runner, WorkerRunner):
            log.info("ending: what is on its way may still arrive, for %g s at most", DRAIN_S_MAX + self.plan.settle_s)
        ran_s = self._clock.monotonic_s() - self._began_s
        self._is_interrupted = self._is_interrupted or ran_s < self._planned_s() - PUNCTUAL_S
        if isinstance(self._runner, MasterRunner):
            self._collect()
        elif self.crew is not None:
            self.crew.close()
            if isinstance(self._runner, WorkerRunner):
                self._hand_in(self.crew)
            else:
                self._accounts.handed_in(ALONE, **self.crew.account())
        if not isinstance(self._runner, WorkerRunner):
            self._judge()

    def _hand_in(self, crew: Crew) -> None:
        """A worker's last words; what Locust has counted goes first, so that the master judges all of it."""
        self._runner._send_stats()
        self._runner.send_message(LEDGER, crew.account())

    def _collect(self) -> None:
        """Asks all workers for their ledgers, and waits for those that live."""
        self._runner.send_message(CLOSE)
        deadline_s = self._clock.monotonic_s() + DRAIN_S_MAX + self.plan.settle_s + HAND_IN_S_MAX
        while self._awaited() and self._clock.monotonic_s() < deadline_s:
            gevent.sleep(LOOK_S)

    def _awaited(self) -> bool:
        clients = self._runner.clients
        living = {client.id for client in clients.all if client.state != "missing"}
        return any(worker_id in living for worker_id in self._accounts.missing())

    def _judge(self) -> None:
        ledger = self._accounts.merged()
        self.outcome = judge(
            ledger.totals(),
            figures_of(self._environment.stats),
            self._accounts.circumstances(),
            self.thresholds,
            dead_workers=self._accounts.missing(),
            mishaps=self._mishaps,
            is_cut_short=self._is_interrupted,
        )
        directory = Path(self.plan.out or f"reports/load-{rfc3339(SystemClock().utc_s()).replace(':', '')}")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ledger.json").write_text(json.dumps(ledger.to_json()))
        (directory / OUTCOME_FILE).write_text(json.dumps(self.outcome.to_json(), indent=2))
        for reason in (*self.outcome.judgement.breaks, *self.outcome.judgement.voids):
            outcome_log.warning("%s", reason)
        outcome_log.info("ledger: %s", directory / "ledger.json")

    # -------------------------------------------------------------------------------- beside the run

    def _slipped(self, user_instance: Any, exception: Exception, **_: Any) -> None:
        """A user's own program has a defect: Locust logs it and goes on, and the run proves less than it seems."""
        if self.crew is not None:
            self.crew.fleet.books.slipped(f"a user, {type(user_instance).__name__}", exception)

    def _tell(self, kind: str, name: str, duration_s: float, problem: str) -> None:
        """One request entry."""
        self._environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=duration_s * 1000,
            response_length=0,
            exception=RuntimeError(problem) if problem else None,
            context={},
        )

    def _restart_target(self) -> None:
        """Runs the target's own hook; without it this shape was refused."""
        hook = self.platform.hooks.restart
        if not self._is_open or hook is None:
            return
        log.info("restarting the target")
        done = subprocess.run(hook, shell=True, capture_output=True, text=True, check=False, cwd=self.platform.hooks.directory_of(hook))
        if done.returncode:
            self._mishaps.append(f"the hook `restart` ended with status {done.returncode}: {' '.join(done.stderr.split())[-300:]}")

    def _say_progress(self) -> None:
        while True:
            gevent.sleep(PROGRESS_S)
            if self._is_open:
                entries = [f"{name} {found.count} ({found.failures} failed)" for name, found in figures_of(self._environment.stats).items()]
                log.info("%s", ", ".join(entries) or "nothing yet")


def run_time_s(plan: LoadPlan) -> float:
    """The plan's run time, or that of its shape."""
    return plan.run_time_s or SHAPES[plan.shape].run_time_s


def load_shape(plan: LoadPlan) -> type[locust.LoadTestShape]:
    """A shape class for Locust that follows the plan's table."""
    shape, duration_s = SHAPES[plan.shape], run_time_s(plan)

    class PlannedShape(locust.LoadTestShape):
        """Operators are there all the time; the table counts devices."""

        def tick(self) -> tuple[int, float] | None:
            users = users_at(shape, self.get_run_time(), run_time_s=duration_s, users=plan.users)
            return None if users is None else (users + plan.operators, plan.rate)

    return PlannedShape
