"""Stories: hand-written histories of a few events, told in the words of the protocol; and the golden ones of all checks.

A golden story stands in a `golden_*.py` beside this file, as (check id, verdict, what happens): the judge must say that verdict. Those of
devices (`golden_device_*.py`) are told by a story of their own, in `device_stories.py`.
"""

import json

import pytest

from harness.checks.judgement import judge
from harness.checks.registry import all_checks
from harness.history.events import (
    SCHEMA,
    ClockAdvanced,
    Event,
    HttpEnded,
    HttpRequest,
    HttpResponse,
    MqttClosed,
    MqttDelivered,
    MqttMalformed,
    MqttOpened,
    MqttPacket,
    PlannedCheck,
    RunStarted,
    ScenarioEnded,
    ScenarioStarted,
    SecretSeen,
    Stimulus,
)
from harness.history.timeline import History
from tests.harness.checks.golden import golden_stories

PROJECT, OTHER_PROJECT = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
DEV, OTHER, LISTED, WIFI, HTTP = (f"dddddddd-0000-4000-8000-00000000000{number}" for number in range(1, 6))
NOBODY = "eeeeeeee-0000-4000-8000-000000000009"
API = "https://api.example.test"
START_UTC_S = 1_700_000_000.0  # 2023-11-14T22:13:20Z
SHA = "5e" * 32

TARGET = {
    "name": "story",
    "api_url": API,
    "mqtt_url": "mqtt://broker.example.test",
    "projects": [{"id": PROJECT}, {"id": OTHER_PROJECT}],
    "devices": [
        {"id": DEV, "project_id": PROJECT, "kind": "mqtt", "allowed_commands": ""},
        {"id": OTHER, "project_id": PROJECT, "kind": "mqtt", "allowed_commands": ""},
        {"id": LISTED, "project_id": PROJECT, "kind": "mqtt", "allowed_commands": "configuration; blink_led ;reboot"},
        {"id": WIFI, "project_id": PROJECT, "kind": "intemo-wifi", "allowed_commands": ""},
        {"id": HTTP, "project_id": PROJECT, "kind": "http", "allowed_commands": ""},
    ],
    "files": [
        {"project_id": PROJECT, "type": "firmware", "name": "fw.bin", "size": 100, "sha256": SHA},
        {"project_id": PROJECT, "type": "firmware", "name": "odd name.BIN", "size": 100, "sha256": SHA},
        {"project_id": PROJECT, "type": "logo", "name": "logo.png", "size": 100, "sha256": SHA},
        {"project_id": OTHER_PROJECT, "type": "firmware", "name": "elsewhere.bin", "size": 100, "sha256": SHA},
    ],
}
ERROR = {"success": False, "message": "no", "action": "refused"}
SUCCESS = {"success": True, "message": "Command sent successfully", "action": "send command"}


class Story:
    """Tells a history event by event. Every sentence takes a second, unless `takes_s` says otherwise."""

    dev, other, listed, wifi, http, nobody = DEV, OTHER, LISTED, WIFI, HTTP, NOBODY
    project, other_project, sha = PROJECT, OTHER_PROJECT, SHA
    error, success = ERROR, SUCCESS

    def __init__(self):
        self.target = json.loads(json.dumps(TARGET))
        self.hardening = "should"
        self.scope = "scene"
        self._facts = []
        self._now_s = 0.0
        self._number = 0
        self._moved_s = 0.0

    # --- the frame ---

    def add(self, fact, *, takes_s=1.0):
        self._now_s += takes_s
        self._facts.append((self._now_s, self.scope, fact))

    def wait(self, seconds):
        self._now_s += seconds

    def declare(self, requirement, value):
        self.target.setdefault("declares", {})[requirement] = value

    def history(self, *check_ids, status="planned"):
        plan = tuple(PlannedCheck(check_id, status, "because" if status != "planned" else "") for check_id in check_ids)
        start = RunStarted(SCHEMA, "r", "0", "c", 1, "quick", "platform", "story", self.hardening, self.target, {}, plan)
        facts = [(0.0, "", start), *self._facts, *self._endings()]
        events = [Event(line, at_s, START_UTC_S + at_s, scope, fact) for line, (at_s, scope, fact) in enumerate(facts, 1)]
        return History(tuple(events))

    def _endings(self):
        """The scenarios that the story has begun and not ended: they end well."""
        ended = {fact.name for _, _, fact in self._facts if isinstance(fact, ScenarioEnded)}
        begun = [fact.name for _, _, fact in self._facts if isinstance(fact, ScenarioStarted)]
        return [(self._now_s, name, ScenarioEnded(name)) for name in begun if name not in ended]

    def judged(self, check_id):
        """What the judge says of one check."""
        return judge(self.history(check_id), all_checks())[0]

    def scenario(self, *serves, problem=None, name="scene"):
        self.scope = name
        self.add(ScenarioStarted(name, "platform", serves, {}))
        if problem is not None:
            self.add(ScenarioEnded(name, problem))

    def says(self, what, /, **facts):
        self.add(Stimulus(what, facts))

    def watching(self, device=DEV):
        self.says("watching", device_id=device)

    def move_clock(self, seconds, now=""):
        self._moved_s += seconds
        self.add(ClockAdvanced(float(seconds), now), takes_s=0.01)

    # --- HTTP ---

    def exchange(
        self,
        endpoint,
        method,
        path,
        status,
        *,
        credential,
        headers=(),
        body="",
        answer=None,
        answer_headers=(),
        received_bytes=0,
        complete=True,
        sha256="",
        closed_by="",
        project_id="",
        device_id="",
        takes_s=0.1,
        content_type="application/json",
    ):
        """A request with its answer; status None is no answer."""
        number = self.ask(
            endpoint, method, path, credential=credential, headers=headers, body=body, project_id=project_id, device_id=device_id
        )
        self.answer(
            number, status, answer, answer_headers, received_bytes, complete, sha256, closed_by, takes_s=takes_s, content_type=content_type
        )

    def ask(self, endpoint, method, path, *, credential, headers=(), body="", project_id="", device_id=""):
        self._number += 1
        request = HttpRequest(self._number, endpoint, method, API + path, credential, tuple(headers), body, project_id, device_id)
        self.add(request)
        return self._number

    def answer(
        self,
        number,
        status,
        answer=None,
        headers=(),
        received_bytes=0,
        complete=True,
        sha256="",
        closed_by="",
        *,
        takes_s=0.1,
        content_type="application/json",
    ):
        text = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
        if status is not None:
            self.add(HttpResponse(number, status, (("content-type", content_type), *headers)), takes_s=takes_s)
        self.add(HttpEnded(number, received_bytes or len(text), complete, sha256, text, "" if complete else "cut", closed_by), takes_s=0.01)

    def command(
        self, command="configuration", data=None, status=200, *, device=DEV, project=PROJECT, credential="api-key:full", raw=None, **more
    ):
        """A command request; `raw` is the whole body."""
        data = ({"a": 1} if command == "configuration" else {}) if data is None else data
        body = json.dumps({"command": command, "data": data}) if raw is None else raw
        more.setdefault("answer", SUCCESS if status == 200 else ERROR)
        path = f"/v2/projects/{project}/devices/{device}/communication/command"
        self.exchange("command", "POST", path, status, credential=credential, body=body, project_id=project, device_id=device, **more)

    def ask_command(self, data, *, command="configuration"):
        """A command request whose answer is still to come."""
        body = json.dumps({"command": command, "data": data})
        return self.ask("command", "POST", "/v2/…", credential="api-key:full", body=body, project_id=PROJECT, device_id=DEV)

    def list(
        self, file_type="firmware", status=200, *, project=PROJECT, credential="api-key:full", names=None, files=None, query=None, **more
    ):
        """A file list; `names` makes ordinary entries."""
        path = f"/v2/projects/{project}/files" if project else "/v2/files"
        entries = [{"name": name, "time": "2023-11-14T22:13:20Z", "size": 100} for name in names or ()] if files is None else files
        more.setdefault("answer", {"files": entries} if status == 200 else ERROR)
        query = f"?type={file_type}" if query is None else query
        self.exchange("files", "GET", path + query, status, credential=credential, project_id=project, **more)

    def fetch(
        self,
        key=1,
        status=200,
        *,
        device=DEV,
        method="GET",
        credential=None,
        authorization=None,
        extra=(),
        query=None,
        name="fw.bin",
        **more,
    ):
        """A download; a 200 comes whole and proper unless it says otherwise."""
        credential = f"token:{device}" if credential is None else credential
        value = f"Basic <{credential}>" if authorization is None else authorization
        headers = ((("Authorization", value),) if value else ()) + tuple(extra)
        query = f"?key=<key:{key}>" if query is None else query
        if status in (200, 206):
            is_head = method == "HEAD"
            more.setdefault("answer_headers", (("content-length", "100"), ("Content-Disposition", f"attachment; filename={name}")))
            more.setdefault("content_type", "application/octet-stream")
            more.setdefault("received_bytes", 0 if is_head else 100)
            more.setdefault("sha256", SHA)
        else:
            more.setdefault("answer", "" if method == "HEAD" else ERROR)
            more.setdefault("content_type", "application/octet-stream")
            more.setdefault("answer_headers", (("WWW-Authenticate", "Basic"),) if status == 401 else ())
        self.exchange(
            "download", method, "/v2/device/download" + query, status, credential=credential, headers=headers, device_id=device, **more
        )

    # --- MQTT ---

    def comes(self, topic, payload, *, device=DEV, qos=2, retain=False, connection=1):
        """A message is released to a device's application."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.add(MqttDelivered(connection, device, topic, text, qos, retain, False, 7), takes_s=0.05)

    def sent(self, command="configuration", data=None, *, device=DEV, times=1, **more):
        """An accepted command, and its message."""
        data = {} if data is None else data
        self.command(command, data, device=device, **more)
        for _ in range(times):
            self.comes(f"{device}/control/{command}", data, device=device)

    def offer(self, key=1, name="fw.bin", command="download_firmware", *, device=DEV, expires="2023-11-14T22:43:22Z", times=1):
        """An accepted download command, and its message with the key."""
        self.command(command, {"file_name": name}, device=device)
        payload = {"url": f"{API}/v2/device/download?key=<key:{key}>", "expires_at": expires}
        for _ in range(times):
            self.comes(f"{device}/control/{command}", payload, device=device)

    def packet(self, kind, sent_by="server", *, device=DEV, connection=1, size=60, **fields):
        self.add(MqttPacket(connection, device, sent_by, kind, size, **fields), takes_s=0.01)

    def login(self, code=0, *, device=DEV, password=None, connection=1):
        """A CONNECT with its CONNACK; code None is a closed connection."""
        self.add(MqttOpened(connection, device))
        password = f"<token:{device}>" if password is None else password
        self.packet("CONNECT", "client", device=device, connection=connection, client_id=device, username=device, password=password)
        if code is None:
            self.closed(connection=connection, device=device)
        else:
            self.packet("CONNACK", device=device, connection=connection, return_codes=(code,), session_present=False)

    def subscribes(self, name, code, *, device=DEV, qos=2, connection=1):
        self.packet("SUBSCRIBE", "client", device=device, connection=connection, packet_id=3, filters=((name, qos),))
        self.packet("SUBACK", device=device, connection=connection, packet_id=3, return_codes=(code,))

    def publishes(self, topic, payload="{}", *, device=DEV, qos=2, connection=1):
        self.packet("PUBLISH", "client", device=device, connection=connection, topic=topic, payload=payload, qos=qos, packet_id=9)

    def closed(self, closed_by="peer", *, device=DEV, connection=1):
        self.add(MqttClosed(connection, device, closed_by))

    def malformed(self, statement, problem="a wildcard in a topic name"):
        self.add(MqttMalformed(1, DEV, problem, statement, ""))

    def secret(self, key=1, *, length=43, alphabet="base64url", bits=258.0):
        self.add(SecretSeen(f"<key:{key}>", "download key", length, alphabet, bits))


GOLDEN = golden_stories(of_devices=False)


def pytest_generate_tests(metafunc):
    if "golden" in metafunc.fixturenames:
        numbers = {}
        names = []
        for check_id, verdict, _ in GOLDEN:
            numbers[(check_id, verdict)] = numbers.get((check_id, verdict), 0) + 1
            names.append(f"{check_id}-{verdict}-{numbers[(check_id, verdict)]}")
        metafunc.parametrize("golden", GOLDEN, ids=names)


@pytest.fixture
def story():
    return Story()


@pytest.fixture(scope="session")
def all_golden():
    return GOLDEN
