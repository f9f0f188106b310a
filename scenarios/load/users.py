"""The users of a load run: a device that connects and lives, and an operator who sends commands over REST.

A device's life is the fleet's; its Locust user only stands for it, so that ramps, shapes and the web page count devices.
"""

from typing import ClassVar

import gevent
from locust import FastHttpUser, User, constant, constant_pacing, task
from locust.exception import StopUser

from harness.bench.target import TargetDevice
from harness.bench.tls import ssl_context
from harness.wire.responses import command_path
from scenarios.load.play import Play
from simulators.fleet.operators import ANSWER_S_MAX, Order, answer_of

FOR_EVER_S = 10.0**9
UNREACHABLE_PAUSE_S = 0.5
NOBODY_PAUSE_S = 0.1


class DeviceUser(User):
    """One device."""

    abstract = True
    play: ClassVar[Play]
    wait_time = constant(FOR_EVER_S)
    _device: TargetDevice | None = None

    def on_start(self) -> None:
        crew = self.play.crew
        self._device = crew.admit() if crew is not None else None
        if self._device is None:
            raise StopUser

    @task
    def live(self) -> None:
        """What a device does, it does when it is told to."""

    def on_stop(self) -> None:
        if self._device is not None and self.play.crew is not None:
            self.play.crew.dismiss(self._device)


class OperatorUser(FastHttpUser):
    """Somebody who sends commands to the devices of this process, at the pace of the plan."""

    abstract = True
    play: ClassVar[Play]
    max_retries = 0
    connection_timeout = ANSWER_S_MAX
    network_timeout = ANSWER_S_MAX

    def __init__(self, environment: object) -> None:
        platform = self.play.platform
        self.host = self.host or platform.api_url
        self.insecure = platform.tls.insecure
        self.ssl_context_factory = lambda: ssl_context(platform.tls)
        super().__init__(environment)
        self._headers = {"Authorization": f"Bearer {platform.api_keys.full}", **platform.http.headers}

    def wait_time(self) -> float:
        """Each operator's part of the command rate, whatever an answer takes."""
        plan = self.play.plan
        return float(constant_pacing(plan.operators / plan.command_rate_per_s())(self))

    @task
    def command(self) -> None:
        crew = self.play.crew
        order = crew.next_order() if crew is not None else None
        if crew is None or order is None:
            gevent.sleep(NOBODY_PAUSE_S)
            return
        status = 0
        try:
            crew.leaving(order)
            status = self._send(order)
        finally:
            crew.answered(order, answer_of(status))
        if not status:
            gevent.sleep(UNREACHABLE_PAUSE_S)

    def _send(self, order: Order) -> int:
        """The HTTP status; 0 where no answer came."""
        path = command_path(order.project_id, order.device_id)
        body = {"command": order.command, "data": order.data}
        with self.client.post(
            path, json=body, headers=self._headers, name=f"command {order.command}", catch_response=True, allow_redirects=False
        ) as response:
            status = int(response.status_code or 0)
            if status == 200:
                response.success()
            else:
                response.failure(f"HTTP status {status}" if status else f"no answer: {response.error}")
            return status
