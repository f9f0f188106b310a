"""A server on another host, where a redirect leads: it writes down what arrives and asks for credentials, as a thief would."""

from types import TracebackType
from typing import Self

from aiohttp import web

from harness.errors import BenchError
from harness.history.events import HttpEnded, HttpRequest, HttpResponse, text_of
from harness.history.recorder import Recorder
from simulators.counterpart.power import ScopeOf

HOST = "127.0.0.2"
_HEADERS = {"WWW-Authenticate": 'Basic realm="files"'}


class TrapServer:
    """Listens on a loopback address of its own. Use as an async context manager; `url` is known inside."""

    def __init__(self, recorder: Recorder, device_id: str, scope_of: ScopeOf) -> None:
        self._recorder, self._device_id, self._scope_of = recorder, device_id, scope_of

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._record)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, 0).start()
        except OSError as error:
            await self._runner.cleanup()
            raise BenchError(f"the second host of the redirect checks cannot listen on {HOST}: {error}") from error
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/file"
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._runner.cleanup()

    async def _record(self, request: web.Request) -> web.Response:
        number, scope = self._recorder.next_number(), self._scope_of(self._device_id)
        body = await request.read()
        fact = HttpRequest(
            exchange=number,
            endpoint="other",
            method=request.method,
            url=str(request.url),
            credential="unknown",
            headers=tuple(request.headers.items()),
            body=text_of(body),
            device_id=self._device_id,
        )
        self._recorder.record(fact, in_scope=scope)
        self._recorder.record(HttpResponse(number, 401, tuple(_HEADERS.items())), in_scope=scope)
        self._recorder.record(HttpEnded(number, 0, complete=True), in_scope=scope)
        return web.Response(status=401, headers=_HEADERS)
