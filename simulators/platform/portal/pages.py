"""The pages: HTML by jinja2, live lines by server-sent events. Every change is a POST of the same site, under a session's API key."""

import asyncio
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import jinja2
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from harness.entropy import Entropy
from harness.wire.commands import STANDARD_COMMANDS, DeviceKind, command_names
from harness.wire.files import EXTENSIONS, FileType
from simulators.broker.port import BrokerPort
from simulators.platform.access import Caller, Device
from simulators.platform.answers import COMMAND_BODY_BYTES_MAX, QUERY_FIELDS_MAX, read_body
from simulators.platform.contents import Incoming
from simulators.platform.files import file_name_problem
from simulators.platform.portal.timeline import Line, Timeline, Watcher, line_of
from simulators.platform.refusals import Refusal
from simulators.platform.service import CommandRequest, Service
from simulators.platform.store import Store

HERE = Path(__file__).parent
COOKIE = "hil_session"
SESSIONS_MAX = 1_000
UPLOAD_BYTES_MAX = 256 * 1024 * 1024
FORM_BYTES_MAX = 256 * 1024
LINES_BACK = 40
KEEP_STREAM_ALIVE_S = 15.0
STRANGE_FORM = "The form is not one that this page sends."
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Portal:
    """The portal of one platform."""

    def __init__(self, service: Service, store: Store, broker: BrokerPort, timeline: Timeline, entropy: Entropy) -> None:
        self._service = service
        self._store = store
        self._broker = broker
        self._timeline = timeline
        self._entropy = entropy
        self._sessions: dict[str, str] = {}  # session -> Authorization header; gone when the platform stops
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
        )

    def add_routes(self, app: web.Application) -> None:
        add = app.router
        add.add_get("/", self.home)
        add.add_static("/portal/static", HERE / "static")
        add.add_get("/portal/login", self.login_page)
        add.add_post("/portal/login", self.login)
        add.add_post("/portal/logout", self.logout)
        add.add_get("/portal", self.overview)
        add.add_get("/portal/state.json", self.state)
        add.add_get("/portal/projects/{project_id}", self.project)
        add.add_post("/portal/projects/{project_id}/files", self.upload)
        add.add_post("/portal/projects/{project_id}/files/delete", self.delete)
        add.add_get("/portal/devices/{device_id}", self.device)
        add.add_post("/portal/devices/{device_id}/commands", self.command)
        add.add_get("/portal/devices/{device_id}/events", self.events)

    # --- who is there ---

    async def home(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/portal")

    async def login_page(self, request: web.Request) -> web.StreamResponse:
        return self._page("login.html", None, problem="")

    async def login(self, request: web.Request) -> web.StreamResponse:
        _require_same_site(request)
        fields = await _form(request)
        authorization = f"Bearer {fields.get('api_key', '').strip()}"
        if self._service.caller([authorization]) is None:
            return self._page("login.html", None, status=401, problem="This API key is not known here.")
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        session = self._entropy.random_bytes(24).hex()
        self._sessions[session] = authorization
        answer = web.HTTPSeeOther("/portal")
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Strict", secure=request.secure, path="/portal")
        raise answer

    async def logout(self, request: web.Request) -> web.StreamResponse:
        _require_same_site(request)
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        raise web.HTTPSeeOther("/portal/login")

    def _authorization(self, request: web.Request) -> str:
        """The session's header. Raises a redirect to the login page."""
        given = request.cookies.get(COOKIE, "").encode("utf-8", "surrogateescape")
        # Compared one by one in constant time: the session's name is a secret.
        held = [header for session, header in self._sessions.items() if hmac.compare_digest(session.encode(), given)]
        if not held:
            raise web.HTTPSeeOther("/portal/login")
        return held[0]

    def _caller(self, request: web.Request) -> Caller:
        caller = self._service.caller([self._authorization(request)])
        if caller is None:
            raise web.HTTPSeeOther("/portal/login")
        return caller

    # --- pages ---

    async def overview(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        projects = self._store.projects(caller.organisation.id)
        counted = [(project, list(self._store.devices(project.id))) for project in projects]
        return self._page("overview.html", caller, projects=counted, online=self._online())

    async def project(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        project_id = self._own_project(caller, request.match_info["project_id"])
        return self._page(
            "project.html",
            caller,
            project=self._store.project(project_id),
            devices=list(self._store.devices(project_id)),
            files=[file for file_type in FileType for file in self._store.project_files(project_id, file_type)],
            extensions={file_type.value: EXTENSIONS[file_type] for file_type in FileType},
            online=self._online(),
            problem=request.query.get("problem", ""),
        )

    async def device(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        device = self._own_device(caller, request.match_info["device_id"])
        allowed = command_names(device.allowed_commands)
        files = {file_type.value: [file.name for file in self._store.project_files(device.project_id, file_type)] for file_type in FileType}
        return self._page(
            "device.html",
            caller,
            device=device,
            project=self._store.project(device.project_id),
            commands=[name for name in STANDARD_COMMANDS if not allowed or name in allowed],
            customs=sorted(allowed - set(STANDARD_COMMANDS)),
            is_restricted=bool(allowed),
            takes_commands=device.kind is not DeviceKind.HTTP,
            files=files,
            online=self._online(),
        )

    async def state(self, request: web.Request) -> web.StreamResponse:
        """Which of the caller's devices are connected; null where the broker does not tell."""
        caller = self._caller(request)
        online = self._online()
        own = [device.id for project in self._store.projects(caller.organisation.id) for device in self._store.devices(project.id)]
        return web.json_response({"online": None if online is None else [device_id for device_id in own if device_id in online]})

    # --- what a user does ---

    async def upload(self, request: web.Request) -> web.StreamResponse:
        _require_same_site(request)
        caller = self._caller(request)
        project_id = self._own_project(caller, request.match_info["project_id"])
        problem = await self._store_upload(request, project_id)
        raise web.HTTPSeeOther(f"/portal/projects/{quote(project_id)}" + (f"?problem={quote(problem)}" if problem else ""))

    async def _store_upload(self, request: web.Request, project_id: str) -> str:
        """Takes one file, which stands behind the other fields; returns what is wrong with it, or ""."""
        fields: dict[str, str] = {}
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    return STRANGE_FORM
                if part.filename is not None:
                    return await self._store_part(part, part.filename, project_id, fields)
                fields[part.name or ""] = (await part.read())[:1_000].decode("utf-8", "replace")
        except (ValueError, AssertionError, HttpProcessingError):  # what aiohttp raises for broken multipart bodies
            return STRANGE_FORM
        return "No file was chosen."

    async def _store_part(self, part: BodyPartReader, path: str, project_id: str, fields: Mapping[str, str]) -> str:
        file_type = next((known for known in FileType if known.value == fields.get("type")), None)
        name = path.replace("\\", "/").rpartition("/")[2]
        if file_type is None:
            return "The type must be firmware or logo."
        if problem := file_name_problem(file_type, name):
            return f"{name}: {problem}."
        with self._service.storage.receive() as incoming:
            if not await _receive(part, incoming):
                return f"{name} is larger than {UPLOAD_BYTES_MAX // 2**20} MiB."
            self._service.storage.keep(incoming, project_id, file_type, name, fields.get("description", ""))
        return ""

    async def delete(self, request: web.Request) -> web.StreamResponse:
        _require_same_site(request)
        caller = self._caller(request)
        project_id = self._own_project(caller, request.match_info["project_id"])
        fields = await _form(request)
        for file_type in FileType:
            if file_type.value == fields.get("type"):
                self._service.storage.delete(project_id, file_type, fields.get("name", ""))
        raise web.HTTPSeeOther(f"/portal/projects/{quote(project_id)}")

    async def command(self, request: web.Request) -> web.StreamResponse:
        """Sends a command as the REST side would, and answers what it would."""
        _require_same_site(request)
        device = self._own_device(self._caller(request), request.match_info["device_id"])
        body = await read_body(request, COMMAND_BODY_BYTES_MAX)
        if isinstance(body, Refusal):
            return web.json_response({"success": False, "message": body.message}, status=body.status)
        sent = CommandRequest([self._authorization(request)], device.project_id, device.id, body)
        refusal = await self._service.send_command(sent)
        if refusal is None:
            return web.json_response({"success": True, "message": "The broker has the command."})
        return web.json_response({"success": False, "message": refusal.message}, status=refusal.status)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The device's last lines, then each new one."""
        device = self._own_device(self._caller(request), request.match_info["device_id"])
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        with self._timeline.watch(device.id) as watcher:
            last_id = self._store.last_audit_id(device.id, lines_back=LINES_BACK)
            past = [line_of(entry) for entry in self._store.audit(device_id=device.id, after_id=last_id)]
            await stream.prepare(request)
            for line in past:
                await stream.write(_event(line))
            while (news := await _news(watcher)) is not None:
                await stream.write(news)
        return stream

    # --- what they share ---

    def _online(self) -> frozenset[str] | None:
        return self._broker.connected_clients()

    def _own_project(self, caller: Caller, project_id: str) -> str:
        project = self._store.project(project_id)
        if project is None or project.organisation_id != caller.organisation.id:
            raise web.HTTPNotFound
        return project.id

    def _own_device(self, caller: Caller, device_id: str) -> Device:
        device = self._store.device(device_id)
        if device is None or device.organisation_id != caller.organisation.id:
            raise web.HTTPNotFound
        return device

    def _page(self, template: str, caller: Caller | None, *, status: int = 200, **values: Any) -> web.Response:
        text = self._templates.get_template(template).render(caller=caller, **values)
        return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)


async def _news(watcher: Watcher) -> bytes | None:
    """The next line as an event, or a comment where there was none for a while; None when there will be no more."""
    try:
        async with asyncio.timeout(KEEP_STREAM_ALIVE_S):
            line = await watcher.lines.get()
    except TimeoutError:
        return b": still here\n\n"
    return None if line is None else _event(line)


def _event(line: Line) -> bytes:
    return f"data: {line.json()}\n\n".encode()


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a small form."""
    body = await read_body(request, FORM_BYTES_MAX)
    if request.content_type != "application/x-www-form-urlencoded" or isinstance(body, Refusal):
        raise web.HTTPBadRequest
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX))
    except ValueError as error:
        raise web.HTTPBadRequest from error


async def _receive(part: BodyPartReader, incoming: Incoming) -> bool:
    """Takes the part's bytes; False where there are too many."""
    while chunk := await part.read_chunk(256 * 1024):
        incoming.write(chunk)
        if incoming.size_bytes > UPLOAD_BYTES_MAX:
            return False
    return True


def _require_same_site(request: web.Request) -> None:
    """Raises 403 where the request was made by a page of another origin; the cookie's SameSite is the other lock."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden
