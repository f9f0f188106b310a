"""Tells hand-written histories of a device under test, event by event.

The golden stories stand in the `golden_device_*.py` beside this file, as (check id, verdict, what happens): the plain ones of a family in
the module of its name, what lies at the limits of a check in its `_edges`.
"""

import json

from harness.checks.judgement import judge
from harness.checks.registry import all_checks
from harness.history.events import (
    SCHEMA,
    DeviceExited,
    DeviceStarted,
    Event,
    HttpEnded,
    HttpRequest,
    HttpResponse,
    MqttClosed,
    MqttMalformed,
    MqttPacket,
    Observed,
    PlannedCheck,
    RunStarted,
    ScenarioEnded,
    ScenarioStarted,
    SerialLine,
    Stimulus,
)
from harness.history.timeline import History

DEV = "dddddddd-0000-4000-8000-000000000001"
TOKEN = f"<token:{DEV}>"
SHA, OTHER_SHA = "5e" * 32, "0d" * 32
URL = "/v2/device/download?key=<key:1>"
DECLARES = {
    "commands": ["configuration", "send_configuration", "download_firmware", "reboot", "reset"],
    "results": "required",
    "qos": 2,
    "persistent_session": True,
    "download": "single",
    "keep_alive_s": 5,
    "result_s": 5,
}


class DeviceStory:
    """Every sentence takes a tenth of a second, unless `wait` says otherwise."""

    def __init__(self):
        self.declares = dict(DECLARES)
        self.factory = None
        self.connection = 1
        self.scene = "scene"
        self._facts = []
        self._now_s = 0.0
        self._exchange = 0

    def add(self, fact, scope=None):
        self._now_s += 0.1
        self._facts.append((self._now_s, fact, self.scene if scope is None else scope))

    def wait(self, seconds):
        self._now_s += seconds

    def judged(self, check_id):
        """What the judge says of one check about this story."""
        return judge(self.history(check_id), all_checks())[0]

    def history(self, check_id):
        """The story as the record of a run that asked this check."""
        declaration = {"declares": self.declares} | ({"factory": {"configuration": self.factory}} if self.factory else {})
        plan = (PlannedCheck(check_id, "planned"),)
        start = RunStarted(SCHEMA, "r", "0", "c", 1, "quick", "device", "story", "should", {}, declaration, plan)
        events = [Event(1, 0.0, 0.0, "", start)]
        scenes = [scene for scene in dict.fromkeys(scope for _, _, scope in self._facts) if scene] or ["scene"]
        begun = [(0.0, ScenarioStarted(scene, "device", (check_id,), {"device": DEV}), scene) for scene in scenes]
        ended = [(self._now_s, ScenarioEnded(scene), scene) for scene in scenes]
        facts = [*begun, *self._facts, *ended]
        events += [Event(line, at_s, at_s, scope, fact) for line, (at_s, fact, scope) in enumerate(facts, 2)]
        return History(tuple(events))

    # --- MQTT ---

    def packet(self, sent_by, packet_type, *, scope=None, **fields):
        self.add(MqttPacket(self.connection, DEV, sent_by, packet_type, 10, **fields), scope)

    def connects(self, *, client_id=DEV, username=DEV, password=TOKEN, clean=False, keep_alive_s=5, present=False, code=0):
        login = {"client_id": client_id, "username": username, "password": password, "clean_session": clean, "keep_alive_s": keep_alive_s}
        self.packet("client", "CONNECT", **login)
        self.packet("server", "CONNACK", session_present=present, return_codes=(code,))

    def subscribes(self, *filters):
        self.packet("client", "SUBSCRIBE", packet_id=1, filters=filters)
        self.packet("server", "SUBACK", packet_id=1, return_codes=(2,))

    def lost(self, by="fault"):
        self.add(MqttClosed(self.connection, DEV, by))
        self.connection += 1

    def sends_nonsense(self):
        self.add(MqttMalformed(self.connection, DEV, "flags of PUBREC", "MQTT-2.2.2-2", ""))

    def sent(self, command, data=None, *, packet_id=7, qos=2, dup=False, retain=False):
        """A command's PUBLISH, without what follows."""
        payload = data if isinstance(data, str) else json.dumps(data or {})
        fields = {"packet_id": packet_id, "qos": qos, "dup": dup, "retain": retain}
        self.packet("server", "PUBLISH", topic=f"{DEV}/control/{command}", payload=payload, **fields)

    def received(self, packet_id=7):
        self.packet("client", "PUBREC", packet_id=packet_id)

    def released(self, packet_id=7):
        self.packet("server", "PUBREL", packet_id=packet_id)

    def completed(self, packet_id=7):
        self.packet("client", "PUBCOMP", packet_id=packet_id)

    def acknowledged(self, packet_id=7):
        """All that follows a command's PUBLISH."""
        self.received(packet_id)
        self.released(packet_id)
        self.completed(packet_id)

    def command(self, command, data=None, *, packet_id=7, **more):
        """A command with its whole exchange."""
        self.sent(command, data, packet_id=packet_id, **more)
        self.acknowledged(packet_id)

    def result(self, command, success=True, **members):
        payload = json.dumps({"success": success, **members})
        self.packet("client", "PUBLISH", packet_id=900, topic=f"{DEV}/control/{command}/result", payload=payload, qos=1)

    def publishes(self, path, payload, **fields):
        """A PUBLISH of the device below its id, as it goes over the wire."""
        self.packet("client", "PUBLISH", topic=f"{DEV}/{path}", payload=payload, **fields)

    def configured(self, data, packet_id=7):
        self.command("configuration", data, packet_id=packet_id)

    def reports(self, configuration, *, packet_id=8, **question):
        """A question for the configuration, and its answer."""
        self.command("send_configuration", question, packet_id=packet_id)
        self.result("send_configuration", configuration=configuration)

    # --- what scenarios say, HTTP, the bench ---

    def says(self, what, /, scope=None, **facts):
        self.add(Stimulus(what, {"device_id": DEV, **facts}), scope)

    def stores(self, *, sha256=SHA, is_valid=True):
        self.says("stored", name="fw.bin", size_bytes=100, sha256=sha256, is_valid=is_valid)

    def offers(self, *, key=1, packet_id=7, command="download_firmware"):
        url = f"http://h/v2/device/download?key=<key:{key}>"
        self.command(command, {"url": url, "expires_at": "2026-01-01T00:00:00Z"}, packet_id=packet_id)

    def asks(self, path=URL, *, method="GET", authorization=f"Basic {TOKEN}", credential=f"token:{DEV}", extra=(), endpoint="download"):
        self._exchange += 1
        headers = (("Authorization", authorization), *extra)
        self.add(HttpRequest(self._exchange, endpoint, method, path, credential, headers, device_id=DEV))
        return self._exchange

    def asks_for_a_slow_one(self, *, key=1, packet_id=7, **request):
        """A download command, and the request for its file, which the platform sends slowly. Returns the exchange."""
        self.says("download spoilt", kind="trickle")
        self.offers(key=key, packet_id=packet_id)
        return self.asks(**request)

    def gets(self, status=200, *, exchange=None, sent_bytes=100, complete=True, body="", headers=(("Content-Length", "100"),)):
        exchange = self._exchange if exchange is None else exchange
        self.add(HttpResponse(exchange, status, headers))
        problem, closed_by = ("", "") if complete else ("fault", "peer")
        self.add(HttpEnded(exchange, sent_bytes, complete, body=body, problem=problem, closed_by=closed_by))

    def downloads(self, status=200, *, complete=True, body="", **request):
        self.asks(**request)
        self.gets(status, complete=complete, body=body)

    def installed(self, sha256=SHA):
        self.result("download_firmware", sha256=sha256)

    def failed(self):
        self.result("download_firmware", success=False)

    def observes(self, value, name="image_sha256"):
        self.add(Observed(DEV, name, value))

    def boots(self):
        self.add(DeviceStarted(DEV, 1))

    def exits(self, status=0, *, by_us=False):
        self.add(DeviceExited(DEV, status, by_us))

    def prints(self, text):
        self.add(SerialLine(DEV, "board", text))


class GoldenStories(list):
    """The golden stories of a module, each registered where it is told."""

    def golden(self, check_id, verdict):
        def register(tell):
            self.append((check_id, verdict, tell))
            return tell

        return register

    def both(self, check_id, finding="fail"):
        """A story with one word that decides: `wrong` is False for the device that passes."""

        def register(tell):
            self.append((check_id, "pass", lambda story: tell(story, wrong=False)))
            self.append((check_id, finding, lambda story: tell(story, wrong=True)))
            return tell

        return register
