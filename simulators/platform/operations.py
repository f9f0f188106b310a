"""What an operator needs: health, metrics, one log line per request; and the edge where nothing that goes wrong leaves as a traceback."""

import asyncio
import logging
import math
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from harness.clock import Clock
from harness.wire.responses import ErrorBody
from simulators.platform.answers import json_answer, trace_of
from simulators.platform.login_limit import LoginLimit

log = logging.getLogger("hil.platform.requests")

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ROUTE_OF_STRANGERS = "other"


class Metrics:
    """The platform's numbers, each platform its own registry."""

    def __init__(self, *, open_downloads: Callable[[], float], live_keys: Callable[[], float], connected: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("hil_requests", "Answered requests", ["route", "status"], registry=self.registry)
        self.duration = Histogram(
            "hil_command_seconds", "Time from a command's request to its answer", registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
        )  # fmt: skip
        for name, text, value in (
            ("hil_open_downloads", "Downloads that run now", open_downloads),
            ("hil_live_keys", "Download keys that can still be used", live_keys),
            ("hil_connected_devices", "Clients that are connected to the broker; -1 where it does not tell", connected),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": METRICS_TYPE})


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while requests are served."""
    return json_answer(200, {"status": "ok"})


class Edge:
    """The outermost layer: refuses peers that fail to log in too often, counts, logs, and turns every error into a `main.ErrorResponse`."""

    def __init__(self, clock: Clock, metrics: Metrics, login_limit: LoginLimit | None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._login_limit = login_limit

    def middleware(self) -> Middleware:
        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            began_s = asyncio.get_running_loop().time()
            wait_s = self._must_wait_s(request)
            answer = _too_many_failures(wait_s) if wait_s else await self._answer(request, handler)
            self._note(request, answer, asyncio.get_running_loop().time() - began_s)
            return answer

        return edge

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            return json_answer(error.status, ErrorBody(error.reason, request.method).body(), headers=headers)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("a request was not served")
            return json_answer(500, ErrorBody("Internal error", request.method).body())

    def _must_wait_s(self, request: web.Request) -> float:
        if self._login_limit is None or _is_local(request.remote):
            return 0.0
        return self._login_limit.wait_s(request.remote or "", self._clock.monotonic_s())

    def _note(self, request: web.Request, answer: web.StreamResponse, duration_s: float) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else _ROUTE_OF_STRANGERS
        self._metrics.requests.labels(route, str(answer.status)).inc()
        if request.method == "POST" and route.endswith("/command"):
            self._metrics.duration.observe(duration_s)
        if answer.status == 401 and self._login_limit is not None and not _is_local(request.remote):
            self._login_limit.failed(request.remote or "", self._clock.monotonic_s())
        if log.isEnabledFor(logging.INFO):
            fields = {"method": request.method, "path": request.path, "status": answer.status, "peer": request.remote}
            extra = {**fields, "trace": trace_of(request) or None, "duration_s": round(duration_s, 6)}
            log.info("%s %s: %d", request.method, request.rel_url.raw_path, answer.status, extra=extra)


def _too_many_failures(wait_s: float) -> web.Response:
    body = ErrorBody("Too many failed logins", "log in", "too_many_failures").body()
    return json_answer(429, body, headers={"Retry-After": str(math.ceil(wait_s))})


def _is_local(peer: str | None) -> bool:
    """Whether a peer is this machine: the harness itself, which must be able to fail as often as it wants."""
    try:
        return peer is None or ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
