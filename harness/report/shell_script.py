"""A finding as a script that shows it again without hil: curl, mosquitto_sub and mosquitto_pub, secrets to be filled in.

The script says what the requirement demands and what the run saw, does the steps of the finding's recipe, and prints what comes back; a
reader compares. Whatever a script cannot do as our own core does (withhold a PUBREC, send sixteen last bytes in one go), it does as
nearly as it can.
"""

import base64
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

from harness.checks.verdict import CheckResult
from harness.history import events as ev
from harness.history.timeline import Exchange, History
from harness.report.recipe import Ask, HangUp, Listen, MoveClock, Run, Say, Step, recipe
from harness.requirements import CATALOGUE
from harness.wire.topics import control_filter

_LABEL = re.compile(r"<(?P<kind>api-key|token|key|header|proxy):(?P<name>[^<>]+?)(?P<form>-cut|-case-changed)?>")
_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}
_WAITED_FOR_S_MIN = 20.0  # a shorter pause in the run was only the wait for a message
_SLOW_S_MIN, _SLOW_BYTES_MIN = 2.0, 16 * 1024  # a transfer that took so long was read slowly
_LASTING_S = 4.0  # and one during which the clock was moved must last so long here


def shell_script(check: CheckResult, history: History) -> str | None:
    """The script for a check's worst finding; None where nothing of it can be done from outside."""
    steps = recipe(history, check.example or check.evidence)
    if not steps:
        return None
    writer = _Writer(history)
    body = list(writer.body(steps))
    lines = [*_head(check, history), *writer.settings(), _functions(), "", *body, *writer.end(check)]
    return "\n".join(lines) + "\n"


@cache
def _functions() -> str:
    """What the steps are written in: functions of the shell."""
    return resources.files("harness.report").joinpath("templates/steps.sh").read_text(encoding="utf-8").rstrip()


def _head(check: CheckResult, history: History) -> Iterator[str]:
    yield "#!/usr/bin/env bash"
    yield f"# {check.id}: {check.title}"
    yield f"# {check.verdict.value}: {_one_line(check.detail)}"
    for requirement in (CATALOGUE[id_] for id_ in check.requirements if id_ in CATALOGUE):
        reading = f" (our reading: {requirement.reading})" if requirement.reading else ""
        yield f"# {requirement.id} {requirement.level.value}, source {requirement.source}: {requirement.statement}{reading}"
    if check.hint:
        yield f"# likely cause: {_one_line(check.hint)}"
    yield f"# Made by hil from the history of run {history.start.run_id}."
    yield "# It needs bash, curl, mosquitto_sub and mosquitto_pub, and not hil; what it prints is to be compared with the lines above."
    yield "set -u"
    yield ""


class _Writer:
    """Writes steps as shell lines, and remembers which secrets they need and who listens."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._target = history.start.target
        self._api_url = str(self._target.get("api_url", ""))
        self._variables: dict[str, tuple[str, str]] = {}  # label -> name of its variable, and what it is
        self._devices: dict[str, int] = {}
        self._listeners: dict[int, int] = {}  # connection -> number of the device
        self._kept: dict[int, str] = {}  # number of a device that left a session -> its login

    # --- what comes before the steps ---

    def settings(self) -> Iterator[str]:
        """Addresses, options of the tools, and the secrets that the steps turned out to need."""
        broker = urlsplit(str(self._target.get("mqtt_url", "")))
        yield f"API_URL=${{API_URL:-{shlex.quote(self._api_url)}}}"
        if broker.scheme not in _BROKER_PORTS:
            yield f"# {broker.geturl()} is a WebSocket, which mosquitto_sub does not speak: name a listener for MQTT over TCP here."
        yield f"MQTT_HOST=${{MQTT_HOST:-{shlex.quote(broker.hostname or '')}}}"
        yield f"MQTT_PORT=${{MQTT_PORT:-{broker.port or _BROKER_PORTS.get(broker.scheme, 1883)}}}"
        curl, mqtt = self._options(is_tls=broker.scheme in ("mqtts", "wss"))
        yield f"CURL=({' '.join(['--max-time', '1000', *curl])})"
        yield f"MQTT=({' '.join(mqtt)})"
        if self._variables:
            yield "# Secrets, to be filled in here or given in the environment:"
        for name, what in self._variables.values():
            yield f"{name}=${{{name}:?{what}}}"
        yield "WORK=$(mktemp -d)"
        yield "trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf \"$WORK\"' EXIT"

    def _options(self, *, is_tls: bool) -> tuple[list[str], list[str]]:
        """What curl and the mosquitto clients must be told of [platform.tls] and [platform.http]."""
        tls, http = self._target.get("tls", {}), self._target.get("http", {})
        words = {"ca": ("--cacert", "--cafile"), "client_cert": ("--cert", "--cert"), "client_key": ("--key", "--key")}
        curl = [part for name, (option, _) in words.items() if tls.get(name) for part in (option, shlex.quote(tls[name]))]
        mqtt = [part for name, (_, option) in words.items() if tls.get(name) for part in (option, shlex.quote(tls[name]))]
        if is_tls and not tls.get("ca"):
            mqtt += ["--capath", "/etc/ssl/certs"]
        if tls.get("insecure"):
            curl, mqtt = [*curl, "--insecure"], [*mqtt, "--insecure"]
        if http.get("proxy"):
            curl += ["--proxy", self._word(http["proxy"])]
        return curl, mqtt if is_tls else []

    # --- the steps ---

    def body(self, steps: Iterable[Step]) -> Iterator[str]:
        """The steps in their order, with the long pauses that the run made between them."""
        done_at_s: float | None = None
        for together in _groups(steps):
            began_s = self._history.events[together[0].line - 1].at_s
            if done_at_s is not None and began_s - done_at_s >= _WAITED_FOR_S_MIN:
                yield f"say 'waiting {began_s - done_at_s:.0f} s'; sleep {began_s - done_at_s:.0f}"
            done_at_s = self._history.events[_end_of(together) - 1].at_s
            if len(together) > 1:
                yield from self._side_by_side(together)
            else:
                yield from self._step(together[0])

    def _step(self, step: Step) -> Iterator[str]:
        match step:
            case Ask():
                yield f"say {shlex.quote(_shown(step.exchange))}"
                yield self._call(step.exchange)
                yield from self._taken_keys(step)
            case Listen():
                yield from self._listen(step)
            case HangUp(connection=connection, abruptly=abruptly):
                yield f"hang_up {self._listeners[connection]} {'KILL' if abruptly else 'TERM'}"
            case Say(device_id=device_id):
                yield f"say {shlex.quote(f'device {device_id} publishes to {step.topic}')}"
                token = self._expression(f"<token:{device_id}>")
                login = f'-i {shlex.quote(device_id)} -u {shlex.quote(device_id)} -P "{token}"'
                message = f"-q {step.qos} -t {self._word(step.topic)} -m {self._word(step.payload)}"
                yield f'mosquitto_pub -d -V mqttv311 -h "$MQTT_HOST" -p "$MQTT_PORT" "${{MQTT[@]}}" {login} {message}'
            case MoveClock(seconds=seconds):
                url = str(self._target.get("clock", {}).get("advance_url", ""))
                yield f"say 'the test clock is moved by {seconds:g} s'"
                yield f"call -H 'Content-Type: application/json' --data-raw '{{\"seconds\": {seconds:g}}}' {self._url(url)}"
            case Run(command=command):
                yield f"say {shlex.quote('a hook of the target file')}"
                yield _LABEL.sub(lambda match: f'"{self._expression(match.group())}"', command)

    def _listen(self, step: Listen) -> Iterator[str]:
        number = self._devices.setdefault(step.device_id, len(self._devices) + 1)
        self._listeners[step.connection] = number
        options = [] if step.clean_session else ["-c"]
        qos = max((each for _, each in step.filters), default=2)
        options += ["-q", str(qos), *(part for name, _ in step.filters for part in ("-t", shlex.quote(name)))]
        if not step.filters:  # a resumed session keeps its filters, but mosquitto_sub wants one
            options += ["-t", shlex.quote(control_filter(step.device_id))]
        login = " ".join(self._word(text) for text in (step.client_id, step.username, step.password))
        if not step.clean_session:
            self._kept[number] = login
        yield f"say {shlex.quote(f'device {number} ({step.device_id}) listens')}"
        yield f"listen {number} {login} {' '.join(options)}"

    def _taken_keys(self, step: Ask) -> Iterator[str]:
        number = self._devices.get(step.exchange.request.device_id)
        for label in step.keys:
            name = _variable(label)
            yield f"next_key {number}; {name}=$KEY" if number is not None else f"{name}=$KEY"

    def _side_by_side(self, steps: list[Step]) -> Iterator[str]:
        asks = [step for step in steps if isinstance(step, Ask)]
        moves = [step for step in steps if isinstance(step, MoveClock)]
        yield f"say '{len(asks)} requests side by side'" if len(asks) > 1 else "say 'a request, and meanwhile:'"
        for number, ask in enumerate(asks):
            call = self._call(ask.exchange, lasts=bool(moves))
            yield f'{{ say {shlex.quote(_shown(ask.exchange))}; {call}; }} > "$WORK/answer-{number}" & CALLS+=($!)'
        for move in moves:
            yield "sleep 1  # they are under way"
            yield from self._step(move)
        yield 'wait "${CALLS[@]}"; CALLS=()'
        yield 'cat "$WORK"/answer-*; rm "$WORK"/answer-*'
        for ask in asks:
            yield from self._taken_keys(ask)

    def _call(self, exchange: Exchange, *, lasts: bool = False) -> str:
        """The request. One that `lasts` is read so slowly that something can happen meanwhile."""
        request = exchange.request
        words = ["-I"] if request.method == "HEAD" else ["-X", shlex.quote(request.method)]
        for name, value in request.headers:
            if name.lower() != "traceparent":
                words += ["-H", self._header(name, value, request)]
        before = ""
        if request.body or request.method == "POST":
            if "content-type" not in {name.lower() for name, _ in request.headers}:
                words += ["-H", "'Content-Type:'"]
            if request.body.startswith(ev.BASE64_PREFIX) or "\0" in request.body:
                before = f"echo {base64.b64encode(ev.bytes_of(request.body)).decode()} | base64 -d | "
                words += ["--data-binary", "@-"]
            else:
                words += ["--data-raw", self._word(request.body)]
        rate = _read_bytes_per_s(exchange, at_least_s=_LASTING_S if lasts else 0.0)
        if rate:
            before += f"BYTES_PER_S={rate} "
        ended = exchange.ended.fact if exchange.ended else None
        if ended is not None and ended.closed_by == "us" and ended.received_bytes:
            before += f"ABORT_AFTER={ended.received_bytes} "
        return f"{before}call {' '.join(words)} {self._url(request.url)}"

    def _header(self, name: str, value: str, request: ev.HttpRequest) -> str:
        if request.credential.startswith("base64-token:") and name.lower() == "authorization":
            scheme, _, rest = value.partition(" ")
            label = _LABEL.search(rest)
            user = _user_in_base64(rest[: label.start()], request.device_id) if label else ""
            if label:
                expression = self._expression(label.group())
                return f'"{name}: {scheme} $(printf %s {shlex.quote(user)}"{expression}" | base64 -w 0)"'
        return self._word(f"{name}: {value}" if value else f"{name};")

    def end(self, check: CheckResult) -> Iterator[str]:
        """What each device heard, the sessions that are given up, and what the run of hil saw, to be compared."""
        if self._devices:
            yield "sleep 2  # what is still on its way"
        for number in self._devices.values():
            yield f"heard {number}"
            if number in self._kept:
                yield f"hang_up {number} TERM; forget {self._kept[number]}"
        yield f"say {shlex.quote('In the run of hil: ' + _one_line(check.detail))}"

    # --- words of the shell ---

    def _url(self, url: str) -> str:
        return f'"$API_URL"{self._word(url[len(self._api_url) :])}' if url.startswith(self._api_url + "/") else self._word(url)

    def _word(self, text: str) -> str:
        """`text` as one word of the shell, its labels as variables."""
        pieces, at = [], 0
        for match in _LABEL.finditer(text):
            pieces.append(shlex.quote(text[at : match.start()]) if match.start() > at else "")
            pieces.append(f'"{self._expression(match.group())}"')
            at = match.end()
        pieces.append(shlex.quote(text[at:]) if at < len(text) or not pieces else "")
        return "".join(pieces)

    def _expression(self, label: str) -> str:
        """What stands for a label between double quotes."""
        match = _LABEL.fullmatch(label)
        assert match is not None
        name = self._name(f"<{match['kind']}:{match['name']}>", match["kind"], match["name"])
        if match["form"] == "-case-changed":
            return f"$(printf %s \"${name}\" | tr 'A-Za-z' 'a-zA-Z')"
        return f"${{{name}%?}}" if match["form"] == "-cut" else f"${{{name}}}"

    def _name(self, label: str, kind: str, name: str) -> str:
        if kind == "key":
            return _variable(label)
        if label not in self._variables:
            number = 1 + sum(known.startswith("<token:") for known in self._variables)
            variable = f"TOKEN_{number}" if kind == "token" else _variable(label)
            self._variables[label] = (variable, _WHAT[kind].format(name))
        return self._variables[label][0]


_WHAT = {
    "api-key": "[platform.api_keys] {}",
    "token": "the token of device {}",
    "header": "the value of the header {}",
    "proxy": "the {} of the proxy",
}


def _variable(label: str) -> str:
    return re.sub(r"\W", "_", label.strip("<>")).upper()


def _groups(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """The steps, in one group what happened at the same time: requests, and steps of the clock while they were under way."""
    group: list[Step] = []
    for step in steps:
        joins = isinstance(step, Ask | MoveClock) and group and isinstance(group[0], Ask) and step.line < _end_of(group)
        if group and not joins:
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _end_of(group: list[Step]) -> int:
    return max(step.ends_at if isinstance(step, Ask) else step.line for step in group)


def _shown(exchange: Exchange) -> str:
    """A request and what came of it in the run, in one line."""
    request, ended = exchange.request, exchange.ended
    came = f"{exchange.status}" if exchange.status is not None else "no answer"
    size = f", {ended.fact.received_bytes} bytes" if ended is not None else ""
    problem = f", {ended.fact.problem}" if ended is not None and ended.fact.problem else ""
    name = f" {exchange.command!r}" if exchange.command else ""
    return f"{request.method} {request.endpoint}{name} as {request.credential}; in the run of hil: {came}{size}{problem}"


def _read_bytes_per_s(exchange: Exchange, *, at_least_s: float) -> int:
    """How fast a body was read, where it was read slowly or is to take `at_least_s`; 0 otherwise."""
    if exchange.answered is None or exchange.ended is None or exchange.ended.fact.received_bytes < _SLOW_BYTES_MIN:
        return 0
    taken_s = max(exchange.ended.at_s - exchange.answered.at_s, at_least_s)
    return int(exchange.ended.fact.received_bytes / taken_s) if taken_s >= _SLOW_S_MIN else 0


def _user_in_base64(beginning: str, device_id: str) -> str:
    """What stood before the token inside a base64 text of which this beginning is known: a colon, the device's id with one, or nothing.

    The last character is left out of the comparison: it holds bits of the token, too.
    """
    users = [user for user in (":", f"{device_id}:") if base64.b64encode(user.encode()).decode().startswith(beginning[:-1])]
    return users[0] if beginning and users else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
