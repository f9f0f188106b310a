"""The REST side as aiohttp routes: asks the service, and streams or dresses its answer. Decides nothing about the protocol.

Every answer of the API is a `main.SuccessResponse` or `main.ErrorResponse`, whatever went wrong; nothing a client sends may cause a 5xx.
"""

from collections.abc import Callable

from aiohttp import web

from harness.clock import AdvanceableClock
from harness.wire.responses import (
    COMMAND_PATH,
    COMMAND_SENT,
    DOWNLOAD_PATH,
    ORGANISATION_FILES_PATH,
    PROJECT_FILES_PATH,
    SEND_COMMAND,
    ErrorBody,
    SuccessBody,
)
from simulators.platform.answers import (
    COMMAND_BODY_BYTES_MAX,
    answer_expectation,
    authorization_of,
    error_answer,
    json_answer,
    parameter_values,
    read_body,
    trace_of,
)
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind, DownloadFaultPlan, FaultedDownload
from simulators.platform.downloads import TIME_IS_UP, WRITE_BUFFER_BYTES, Transfer, bounded
from simulators.platform.observation import Endpoint, HttpObserver, SeenRequest
from simulators.platform.refusals import Refusal
from simulators.platform.rules import OCTET_STREAM
from simulators.platform.service import CommandRequest, Download, DownloadRequest, Service
from simulators.platform.shaping import Shaper

LIST_FILES = "list files"
DOWNLOAD_FILE = "download file"


class Api:
    """The protocol's endpoints."""

    def __init__(
        self,
        service: Service,
        clock: AdvanceableClock,
        *,
        observer: HttpObserver | None = None,
        faults: DownloadFaultPlan | None = None,
        progressed: Callable[[str, int, int, int], None] | None = None,
        shape_bytes_per_s: float | None = None,
    ) -> None:
        self._service = service
        self._clock = clock
        self.observer = observer
        self.faults = faults
        self._progressed = progressed  # device, key, bytes sent, bytes in all
        self._shape_bytes_per_s = shape_bytes_per_s
        self._shapers: dict[str, Shaper] = {}
        self._attempts: dict[str, int] = {}
        self._exchanges = 0
        self.open_downloads = 0

    def add_routes(self, app: web.Application) -> None:
        add, expect = app.router, answer_expectation
        add.add_post(COMMAND_PATH, self.send_command, expect_handler=expect)
        add.add_get(PROJECT_FILES_PATH, self.list_project_files, expect_handler=expect)
        add.add_get(ORGANISATION_FILES_PATH, self.list_organisation_files, expect_handler=expect)
        add.add_get(DOWNLOAD_PATH, self.download, expect_handler=expect)

    # --- commands and lists ---

    async def send_command(self, request: web.Request) -> web.StreamResponse:
        project_id, device_id = request.match_info["project_id"], request.match_info["device_id"]
        body = await read_body(request, COMMAND_BODY_BYTES_MAX)
        exchange = self._seen(request, "command", b"" if isinstance(body, Refusal) else body, project_id, device_id)
        if isinstance(body, Refusal):
            outcome: Refusal | None = body
        else:
            outcome = await self._service.send_command(
                CommandRequest(authorization_of(request), project_id, device_id, body, trace_of(request))
            )
        answer = (
            error_answer(outcome, SEND_COMMAND, scheme="Bearer", rules=self._service.rules)
            if outcome
            else json_answer(200, SuccessBody(COMMAND_SENT, SEND_COMMAND).body())
        )
        return self._answered(exchange, answer)

    async def list_project_files(self, request: web.Request) -> web.StreamResponse:
        return self._list(request, request.match_info["project_id"])

    async def list_organisation_files(self, request: web.Request) -> web.StreamResponse:
        return self._list(request, None)

    def _list(self, request: web.Request, project_id: str | None) -> web.Response:
        exchange = self._seen(request, "files", b"", project_id or "")
        types = parameter_values(request.rel_url.raw_query_string, "type")
        outcome = self._service.list_files(authorization_of(request), types, project_id)
        answer = (
            error_answer(outcome, LIST_FILES, scheme="Bearer", rules=self._service.rules)
            if isinstance(outcome, Refusal)
            else json_answer(200, self._service.rules.files.list_body(outcome))
        )
        return self._answered(exchange, answer)

    # --- downloads ---

    async def download(self, request: web.Request) -> web.StreamResponse:
        exchange = self._seen(request, "download")
        rules = self._service.rules
        is_head = request.method == "HEAD"
        if is_head and rules.http.head_status == 405:
            return self._answered(exchange, json_answer(405, ErrorBody("Use GET", DOWNLOAD_FILE).body(), headers={"Allow": "GET"}))
        outcome = self._service.open_download(
            DownloadRequest(
                authorization_of(request),
                parameter_values(request.rel_url.raw_query_string, "key"),
                request.headers.getall("Range", []),
                is_head,
                trace_of(request),
            )
        )
        if isinstance(outcome, Refusal):
            error_type = rules.http.download_error_type
            answer = error_answer(outcome, DOWNLOAD_FILE, scheme="Basic", rules=rules, content_type=error_type)
            return self._answered(exchange, answer)
        return await self._serve(request, exchange, outcome)

    async def _serve(self, request: web.Request, exchange: int, download: Download) -> web.StreamResponse:
        fault = self._fault_for(download) if download.copy is not None else None
        if fault and fault.kind in (DownloadFaultKind.ERROR, DownloadFaultKind.REDIRECT):
            return self._answered(exchange, self._faulted_answer(download, fault))
        response = web.StreamResponse(status=206 if download.is_part else 200, headers=self._download_headers(download))
        if fault and (fault.kind is DownloadFaultKind.CHUNKED or fault.is_chunked):
            response.enable_chunked_encoding()
        else:
            response.content_length = download.end - download.first
        if download.copy is None:
            await response.prepare(request)
            self._report(exchange, response, b"")
            return response
        await self._transfer(request, exchange, response, download, fault)
        return response

    async def _transfer(
        self, request: web.Request, exchange: int, response: web.StreamResponse, download: Download, fault: DownloadFault | None
    ) -> None:
        transport = request.transport
        observer = self.observer
        if transport is None:
            self._service.release_copy(download)
            return
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._service.download_started(download)
        self.open_downloads += 1
        sent_bytes, problem = 0, ""
        try:
            async with bounded(transport, self._clock, self._service.rules.keys.transfer_time_s_max) as bound:
                shaper = self._shaper(download)
                transfer = Transfer(response, transport, download, self._service, shaper, fault, self._progress(exchange, download), bound)
                await response.prepare(request)
                if observer:
                    observer.response(exchange, response.status, list(response.headers.items()))
                await transfer.run()
            sent_bytes, problem = transfer.sent_bytes, TIME_IS_UP if bound.is_over else transfer.problem
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            self.open_downloads -= 1
            self._service.download_ended(download, sent_bytes, problem)
            if observer:
                observer.ended(exchange, sent_bytes, complete=not problem, body=b"", problem=problem)

    def _progress(self, exchange: int, download: Download) -> Callable[[int], None]:
        observer, progressed = self.observer, self._progressed
        key, size_bytes = download.key, download.end - download.first

        def progress(sent_bytes: int) -> None:
            if observer:
                observer.progress(exchange, sent_bytes)
            if progressed:
                progressed(key.device_id, key.id, sent_bytes, size_bytes)

        return progress

    def _download_headers(self, download: Download) -> dict[str, str]:
        """Source: DLD-01, DLD-10."""
        headers = {
            "Content-Type": OCTET_STREAM,
            "Content-Disposition": self._service.rules.files.content_disposition(download.key.file_name),
            "Accept-Ranges": self._service.accept_ranges,
            "Cache-Control": "no-store",
        }
        if download.is_part:
            headers["Content-Range"] = f"bytes {download.first}-{download.end - 1}/{download.key.size_bytes}"
        return headers

    def _shaper(self, download: Download) -> Shaper | None:
        if self._shape_bytes_per_s is None:
            return None
        return self._shapers.setdefault(download.key.device_id, Shaper(self._shape_bytes_per_s))

    def _fault_for(self, download: Download) -> DownloadFault | None:
        if self.faults is None:
            return None
        key = download.key
        self._attempts[key.device_id] = number = self._attempts.get(key.device_id, 0) + 1
        return self.faults(FaultedDownload(key.device_id, key.id, key.file_name, key.size_bytes, number, download.first, download.end))

    def _faulted_answer(self, download: Download, fault: DownloadFault) -> web.Response:
        if not fault.consumes_key:
            self._service.unclaim(download)
        self._service.release_copy(download)
        headers = {"Location": fault.location} if fault.kind is DownloadFaultKind.REDIRECT else None
        return web.Response(status=fault.status, body=fault.body, content_type=fault.content_type, headers=headers)

    # --- the observer ---

    def _seen(self, request: web.Request, endpoint: Endpoint, body: bytes = b"", project_id: str = "", device_id: str = "") -> int:
        self._exchanges += 1
        if self.observer:
            seen = SeenRequest(
                endpoint,
                request.method,
                request.raw_path,
                list(request.headers.items()),
                body,
                project_id,
                device_id or (self._service.device_id_of(authorization_of(request)) if endpoint == "download" else ""),
                request.remote or "",
            )
            self.observer.request(self._exchanges, seen)
        return self._exchanges

    def _answered(self, exchange: int, answer: web.Response) -> web.Response:
        body = answer.body
        self._report(exchange, answer, body if isinstance(body, bytes) else b"")
        return answer

    def _report(self, exchange: int, answer: web.StreamResponse, body: bytes) -> None:
        if self.observer:
            self.observer.response(exchange, answer.status, list(answer.headers.items()))
            self.observer.ended(exchange, len(body), complete=True, body=body, problem="")
