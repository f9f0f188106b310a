"""The family CMD: what a platform does with a command, from the REST call to the device."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from harness.checks.admission import STATUS_OF, Defect, TargetView, defects
from harness.checks.command_calls import accepted, deliveries_of, described, refused_and_silent, unexplained, with_only
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import DOWNLOADS, KEY_LIFETIME_S
from harness.wire.responses import COMMAND_SENT, SEND_COMMAND, error_body_problem, missing_error_members
from harness.wire.topics import control_topic

_RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
_EXPIRY_TOLERANCE_S = 2.0  # CMD-07
_SMALL_BUFFER_BYTES = 256  # CMD-24


@check("CMD-01a", unseen="no well-formed command was sent")
def well_formed_command_is_accepted(history: History) -> Iterator[Observation]:
    """A well-formed command answers 200 with success, message and action."""
    target = TargetView.of(history)
    for call in history.commands():
        if call.status is None or defects(target, call):
            continue
        body = call.body_json
        if call.status != 200:
            yield broken(f"{described(call)} was answered {call.status}, allowed: 200", call)
        elif not isinstance(body, dict) or body.get("success") is not True:
            yield broken(f"the 200's body is {call.body[:120]!r}, allowed: an object with success true", call)
        elif not all(isinstance(body.get(member), str) for member in ("message", "action")):
            yield broken(f"the 200's body is {call.body[:120]!r}, allowed: message and action are strings", call)
        else:
            yield kept(call)


@check("CMD-01b", unseen="no command was accepted")
def accepted_command_answers_the_documented_texts(history: History) -> Iterator[Observation]:
    """The texts of a 200 are those of the documentation."""
    for call in accepted(history):
        body = call.body_json if isinstance(call.body_json, dict) else {}
        texts = (body.get("message"), body.get("action"))
        if texts == (COMMAND_SENT, SEND_COMMAND):
            yield kept(call)
        else:
            yield broken(f"message and action are {texts}, our reading: {(COMMAND_SENT, SEND_COMMAND)}", call)


@check("CMD-02", "CMD-20", unseen="no accepted command to a device that was watched")
def command_arrives_on_its_topic(history: History) -> Iterator[Observation]:
    """An accepted command arrives at its device on {device_id}/control/{command}, and nowhere else."""
    stray = list(unexplained(history))
    for delivery in stray:
        yield broken(
            f"device {delivery.message.device_id} got a message on {delivery.message.topic!r} that no command to it explains",
            delivery,
            requirement="CMD-02",
        )
    for call in _watched(history):
        found = deliveries_of(history, call)
        if found:
            yield kept(call, found[0])
        else:
            yield broken(
                f"{described(call)} was answered 200 and never came on {control_topic(call.request.device_id, call.command or '')!r}",
                call,
                requirement="CMD-02",
            )


def _watched(history: History) -> Iterator[Exchange]:
    """Accepted commands whose scenario waited for them at the device: it announced so."""
    watched = {(seen.event.scope, seen.fact.facts["device_id"]) for seen in history.stimuli("watching")}
    return (call for call in accepted(history) if (call.scope, call.request.device_id) in watched)


@check("CMD-03", unseen="no command reached a device that was granted QoS 2")
def command_arrives_with_qos_2_exactly_once(history: History) -> Iterator[Observation]:
    """A command is published with QoS 2 and is released to the device exactly once, over a dropped connection too."""
    for delivery in _control_deliveries(history):
        if delivery.message.qos != 2:
            yield broken(f"{delivery.message.topic} came with QoS {delivery.message.qos}, allowed: 2", delivery)
        else:
            yield kept(delivery)
    for (device_id, command, payload), copies in _copies(history).items():
        sent = _sends_with(history, device_id, command, copies[0])
        if sent and len(copies) > len(sent):
            yield broken(f"device {device_id} got {command!r} {payload[:60]!r} {len(copies)} times, sent {len(sent)} times", *sent, *copies)


def _control_deliveries(history: History) -> Iterator[Delivery]:
    """Commands that came in by an ordinary QoS 2 subscription."""
    for delivery in history.deliveries:
        if delivery.topic is not None and delivery.topic.role == "control":
            yield delivery


def _copies(history: History) -> dict[tuple[str, str, str], list[Delivery]]:
    copies: dict[tuple[str, str, str], list[Delivery]] = defaultdict(list)
    for delivery in _control_deliveries(history):
        topic = delivery.topic
        assert topic is not None
        copies[(topic.device_id, topic.command, delivery.message.payload)].append(delivery)
    return copies


def _sends_with(history: History, device_id: str, command: str, delivery: Delivery) -> list[Exchange]:
    """The commands that may have caused a payload: those with the same data, or (downloads) any of that name."""
    return [
        call
        for call in history.commands()
        if call.status in (None, 200)
        and call.request.device_id == device_id
        and call.command == command
        and (command in DOWNLOADS or call.sent_json.get("data", {}) == delivery.payload_json)
    ]


@check("CMD-04", unseen="no command reached a device")
def command_is_not_retained(history: History) -> Iterator[Observation]:
    """A command is delivered with RETAIN 0, and nothing is stored for a later subscriber."""
    for delivery in _control_deliveries(history):
        if delivery.message.retain:
            yield broken(f"{delivery.message.topic} was delivered with RETAIN=1, allowed: 0", delivery)
        else:
            yield kept(delivery)


@check("CMD-05b", unseen="no command other than a download reached a device")
def payload_carries_the_data(history: History) -> Iterator[Observation]:
    """The payload of a command that is no download carries the JSON value of its data."""
    for call in _watched(history):
        if call.command in DOWNLOADS:
            continue
        data = call.sent_json.get("data", {})
        found = deliveries_of(history, call)
        if any(delivery.payload_json == data for delivery in found) or any(_contains(delivery.payload_json, data) for delivery in found):
            yield kept(call)
        elif found:
            shown = found[0].message.payload[:80]
            yield broken(f"data {data!r} arrived as {shown!r}, allowed: the same JSON value", call, *found)


def _contains(value: object, wanted: object) -> bool:
    return isinstance(value, dict) and wanted in value.values()


@check("CMD-05a", unseen="no command other than a download reached a device")
def payload_is_the_data_itself(history: History) -> Iterator[Observation]:
    """The payload is the data object itself, not wrapped in another."""
    for call in _watched(history):
        if call.command in DOWNLOADS:
            continue
        data = call.sent_json.get("data", {})
        found = deliveries_of(history, call)
        if any(delivery.payload_json == data for delivery in found):
            yield kept(call)
        elif any(_contains(delivery.payload_json, data) for delivery in found):
            yield broken(f"data {data!r} came wrapped: {found[0].message.payload[:80]!r}, our reading: the object itself", call, *found)


def _offers(history: History) -> Iterator[Delivery]:
    for delivery in _control_deliveries(history):
        if delivery.topic is not None and delivery.topic.command in DOWNLOADS:
            yield delivery


@check("CMD-06", unseen="no download command reached a device")
def download_command_carries_url_and_expiry(history: History) -> Iterator[Observation]:
    """A download command carries `url` and `expires_at`."""
    for delivery in _offers(history):
        offer = delivery.offer
        shown = delivery.message.payload[:160]
        if offer is None:
            yield broken(f"the payload is {shown!r}, allowed: an object with the strings url and expires_at", delivery)
        elif re.fullmatch(r"https?://[^/?#]+(/[^?#]*)?/v2/device/download\?key=[^&#\s]+(&\S*)?", offer.url) is None:
            yield broken(f"url is {offer.url!r}, allowed: <base>/v2/device/download?key=…", delivery)
        elif not _RFC3339_UTC.match(offer.expires_at):
            yield broken(f"expires_at is {offer.expires_at!r}, allowed: RFC 3339 in UTC with Z", delivery)
        else:
            yield kept(delivery)


@check("CMD-07a", "CMD-07b", unseen="no download command with a readable expires_at reached a device")
def expiry_is_thirty_minutes_ahead(history: History) -> Iterator[Observation]:
    """`expires_at` is the time of issue plus thirty minutes."""
    calls = [call for call in accepted(history) if call.command in DOWNLOADS]
    for delivery in _offers(history):
        offer, call = delivery.offer, _call_before(calls, delivery)
        if offer is None or call is None or not _RFC3339_UTC.match(offer.expires_at):
            continue
        expires_s = datetime.fromisoformat(offer.expires_at).timestamp()
        ahead_s = history.advanced_s(0, call.asked.line)
        earliest_s = call.asked.event.utc_s + ahead_s + KEY_LIFETIME_S - _EXPIRY_TOLERANCE_S
        latest_s = delivery.seen.event.utc_s + ahead_s + KEY_LIFETIME_S + _EXPIRY_TOLERANCE_S
        if earliest_s <= expires_s <= latest_s:
            yield kept(call, delivery)
            continue
        life_s = expires_s - call.asked.event.utc_s - ahead_s
        yield broken(
            f"expires_at {offer.expires_at} is {life_s:.0f} s after the command, allowed: 1800 s ± 2 s",
            call,
            delivery,
            hint="compare the clocks of target and harness first: a skewed clock looks the same",
        )


def _call_before(calls: list[Exchange], delivery: Delivery) -> Exchange | None:
    """The last call of that command to that device before its delivery."""
    topic = delivery.topic
    found = [
        call
        for call in calls
        if call.asked.line < delivery.line
        and call.scope == delivery.seen.event.scope
        and call.request.device_id == delivery.message.device_id
        and topic is not None
        and call.command == topic.command
    ]
    return found[-1] if found else None


@check("CMD-08", unseen="fewer than two download commands reached devices")
def every_download_command_has_its_own_key(history: History) -> Iterator[Observation]:
    """Every download command carries a fresh key."""
    by_url: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in _offers(history):
        if delivery.offer is not None:
            by_url[delivery.offer.url].append(delivery)
    shared = {url: found for url, found in by_url.items() if len(found) > 1}
    for url, found in shared.items():
        yield broken(f"{len(found)} download commands share the URL {url}", *found)
    if len(by_url) > 1:
        yield kept(*(found[0] for found in by_url.values()))


def _refusal_check(history: History, defect: Defect) -> Iterator[Observation]:
    for call in with_only(history, defect):
        yield refused_and_silent(history, call, allowed=(STATUS_OF[defect],))


@check("CMD-10", unseen="no malformed command was sent")
def malformed_command_is_refused(history: History) -> Iterator[Observation]:
    """A malformed command body answers 400, and nothing is published."""
    yield from _refusal_check(history, Defect.BODY)
    for call in with_only(history, Defect.DATA):
        if call.command in DOWNLOADS:
            yield refused_and_silent(history, call, allowed=(400,))


@check("CMD-09", unseen="no send_configuration with malformed keys was sent")
def malformed_keys_are_refused(history: History) -> Iterator[Observation]:
    """`keys` of another type than a list of strings answers 400."""
    for call in with_only(history, Defect.DATA):
        if call.command not in DOWNLOADS:
            yield refused_and_silent(history, call, allowed=(400,))


@check("CMD-11a", "CMD-11b", unseen="no download of a file of the wrong type was asked for")
def file_of_another_type_is_refused(history: History) -> Iterator[Observation]:
    """A file whose extension is not the command's is refused, and nothing is published."""
    for call in with_only(history, Defect.FILE_TYPE):
        observation = refused_and_silent(history, call, allowed=(400, 403, 404))
        if observation.detail or call.status == 400:
            yield observation
        else:
            yield broken(f"{described(call)} was answered {call.status}, our reading: 400", call, requirement="CMD-11b")


@check("CMD-12a", "CMD-12b", unseen="no download of a file that is not stored was asked for")
def missing_file_is_refused(history: History) -> Iterator[Observation]:
    """A file that is not in the project's storage is refused, and nothing is published."""
    for call in with_only(history, Defect.FILE_MISSING):
        observation = refused_and_silent(history, call, allowed=(400, 403, 404))
        if observation.detail or call.status == 404:
            yield observation
        else:
            yield broken(f"{described(call)} was answered {call.status}, our reading: 404", call, requirement="CMD-12b")


@check("CMD-13", unseen="no command without a valid API key was sent")
def command_without_valid_key_is_unauthorized(history: History) -> Iterator[Observation]:
    """A missing, malformed or unknown API key answers 401; a device token is no API key."""
    yield from _refusal_check(history, Defect.API_KEY)


@check("CMD-14", unseen="no command was sent with a key that lacks the scope")
def command_without_scope_is_forbidden(history: History) -> Iterator[Observation]:
    """An API key without the scope send-commands answers 403, and nothing is published."""
    yield from _refusal_check(history, Defect.SCOPE)


@check("CMD-15a", "CMD-15b", unseen="no command was sent that the device's list leaves out")
def unlisted_command_is_forbidden(history: History) -> Iterator[Observation]:
    """A command that allowed_commands does not list answers 403, and nothing is published."""
    yield from _refusal_check(history, Defect.NOT_ALLOWED)


@check("CMD-16a", unseen="no command was sent to an unknown or HTTP-only device")
def unknown_device_is_not_found(history: History) -> Iterator[Observation]:
    """An unknown or HTTP-only device answers 404, and nothing is published."""
    yield from _refusal_check(history, Defect.DEVICE)


@check("CMD-17a", "CMD-17b", unseen="no command was refused")
def error_bodies_follow_the_contract(history: History) -> Iterator[Observation]:
    """Error bodies of the command and list endpoints are main.ErrorResponse."""
    for exchange in (*history.commands(), *history.lists()):
        if exchange.status is None or exchange.status < 400 or exchange.request.method == "HEAD":
            continue
        problem = error_body_problem(exchange.body_json)
        if problem is not None:
            yield broken(f"the body of a {exchange.status} is {exchange.body[:120]!r}: {problem}", exchange, requirement="CMD-17a")
        elif missing := missing_error_members(exchange.body_json):
            yield broken(f"the body of a {exchange.status} lacks {', '.join(missing)}", exchange, requirement="CMD-17b")
        else:
            yield kept(exchange)


@check("CMD-22a", "CMD-22b", unseen="no call was made for an organisation without the feature")
def organisation_without_feature_is_refused(history: History) -> Iterator[Observation]:
    """An organisation without the feature is refused on every endpoint."""
    for call in (*history.commands(), *history.lists()):
        if call.request.credential != "api-key:disabled" or call.status is None:
            continue
        if 400 <= call.status < 500:
            yield kept(call)
        else:
            yield broken(f"{call.request.method} {call.request.url} was answered {call.status}, allowed: 403", call)


@check("CMD-24", unseen="no download command reached a device")
def download_command_fits_in_a_small_buffer(history: History) -> Iterator[Observation]:
    """The whole PUBLISH of a download command fits in 256 bytes."""
    offers = {delivery.message.topic for delivery in _offers(history)}
    for seen in history.packets("PUBLISH"):
        if seen.fact.topic in offers and seen.fact.sent_by == "server":
            if seen.fact.size_bytes <= _SMALL_BUFFER_BYTES:
                yield kept(seen)
            else:
                yield broken(f"the PUBLISH has {seen.fact.size_bytes} bytes, allowed: {_SMALL_BUFFER_BYTES}", seen)


@check("CMD-32", unseen="no call of the command or list endpoints was answered")
def answers_are_json(history: History) -> Iterator[Observation]:
    """Answers of the command and list endpoints are application/json."""
    for exchange in (*history.commands(), *history.lists()):
        if exchange.status is None or exchange.request.method == "HEAD":
            continue
        media_type = (exchange.header("content-type") or "").split(";")[0].strip().lower()
        if media_type == "application/json":
            yield kept(exchange)
        else:
            yield broken(f"Content-Type of a {exchange.status} is {media_type!r}, allowed: application/json", exchange)


@check("CMD-19", unseen="no command was sent to a device of each kind that takes commands")
def every_commandable_kind_takes_commands(history: History) -> Iterator[Observation]:
    """Devices of kind MQTT, Intemo WiFi and Intemo Cellular take commands."""
    target = TargetView.of(history)
    kinds: Counter[str] = Counter()
    for call in history.commands():
        if call.status is None or defects(target, call):
            continue
        kind = target.devices[call.request.device_id]["kind"]
        kinds[kind] += 1
        if call.status == 200:
            yield kept(call)
        else:
            yield broken(f"a command to a device of kind {kind} was answered {call.status}, allowed: 200", call)
