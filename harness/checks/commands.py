"""The family CMD, first part: what a platform answers to a command request."""

from collections.abc import Iterator

from harness.checks import command_delivery, command_offers, mqtt_access
from harness.checks.admission import STATUS_OF, Defect, TargetView, defects
from harness.checks.command_calls import (
    REFUSALS,
    accepted,
    answered_or_hung_up,
    described,
    has_whole_body,
    is_oddly_named,
    is_read_liberally,
    refused_and_silent,
    shown_status,
    with_only,
)
from harness.checks.key_life import key_lives
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import DISABLED_API_KEY, bytes_of
from harness.history.timeline import Exchange, History
from harness.wire.commands import DOWNLOADS, STANDARD_COMMANDS, DeviceKind, command_names
from harness.wire.files import EXTENSIONS, is_plain_name
from harness.wire.json_values import is_lenient_json
from harness.wire.responses import COMMAND_SENT, SEND_COMMAND, error_body_problem, missing_error_members

# Importing this module registers the whole family (entry point `hil.checks`).
__all__ = ["command_delivery", "command_offers", "mqtt_access"]


def _well_formed(history: History) -> Iterator[Exchange]:
    """Commands without a defect that were answered, or hung up on, while the target had a broker: without one, nobody owes a 200."""
    target, absences = TargetView.of(history), _broker_absences(history)
    answered = (call for call in history.commands() if answered_or_hung_up(call) and not defects(target, call))
    return (call for call in answered if not any(call.asked.line in absence for absence in absences))


def _broker_absences(history: History) -> list[range]:
    """The lines between each stop of the target's broker and its next start."""
    starts = [seen.line for seen in history.stimuli("broker started")]
    return [
        range(stopped.line, next((line for line in starts if line > stopped.line), history.end_line))
        for stopped in history.stimuli("broker stopped")
    ]


def _device(history: History, call: Exchange) -> dict[str, str]:
    return TargetView.of(history).devices[call.request.device_id]


def _allowed(history: History, call: Exchange) -> str:
    return TargetView.of(history).allowed_commands(call.request.device_id, call.asked.line)


def _success_problem(call: Exchange) -> str:
    """What is wrong with the answer to a command that must be accepted, or nothing."""
    body = call.body_json
    if call.status != 200:
        return f"{described(call)} was answered {shown_status(call)}, allowed: 200"
    if not isinstance(body, dict) or body.get("success") is not True:
        return f"the 200's body is {call.body[:120]!r}, allowed: an object with success true"
    if not all(isinstance(body.get(member), str) for member in ("message", "action")):
        return f"the 200's body is {call.body[:120]!r}, allowed: message and action are strings"
    return ""


@check("CMD-01a", unseen="no well-formed command of the documentation's table was sent to an unrestricted MQTT device")
def well_formed_command_is_accepted(history: History) -> Iterator[Observation]:
    """A well-formed command answers 200 with success, message and action."""
    for call in _well_formed(history):
        if call.status != 200 and not _is_plain(history, call):
            continue
        problem = _success_problem(call)
        yield broken(problem, call) if problem else kept(call)


def _is_refused_for_its_kind(history: History, call: Exchange) -> bool:
    """Whether a device of another kind than MQTT was refused what an MQTT device was granted, both without a list: CMD-19's question."""
    if call.status == 200 or _device(history, call)["kind"] == DeviceKind.MQTT.value or _allowed(history, call):
        return False
    granted = (other for other in _well_formed(history) if other.status == 200 and other.command == call.command)
    return any(_device(history, other)["kind"] == DeviceKind.MQTT.value and not _allowed(history, other) for other in granted)


def _is_of_an_unknown_kind(history: History, call: Exchange) -> bool:
    """Whether devices of a kind other than MQTT are answered alike whatever they are sent: that is CMD-19's question alone."""
    kind = _device(history, call)["kind"]
    alike = (other for other in _well_formed(history) if other.status == call.status != 200)
    return kind != DeviceKind.MQTT.value and any(_device(history, other)["kind"] == kind for other in alike)


def _is_plain(history: History, call: Exchange) -> bool:
    """Whether only CMD-01 speaks of this command: a standard one without a file, to an unrestricted MQTT device, read strictly."""
    device = _device(history, call)
    is_standard = call.command in STANDARD_COMMANDS and call.command not in DOWNLOADS
    is_unrestricted = device["kind"] == DeviceKind.MQTT.value and not _allowed(history, call)
    return is_standard and is_unrestricted and not is_read_liberally(call)


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


@check(
    "CMD-10a",
    "CMD-10b",
    unseen="no malformed command was sent",
    hint="an exception of the JSON or validation layer that is answered by the framework: 422 or 500 instead of 400",
)
def malformed_command_is_refused(history: History) -> Iterator[Observation]:
    """A malformed command body answers 400, and nothing is published."""
    for call in with_only(history, Defect.BODY):
        if call.request.body:
            is_leniently_read = call.status == 200 and is_lenient_json(bytes_of(call.request.body))
            yield refused_and_silent(history, call, allowed=(400,), requirement="CMD-10b" if is_leniently_read else "CMD-10a")
    for call in with_only(history, Defect.DATA):
        if call.command in DOWNLOADS:
            yield refused_and_silent(history, call, allowed=(400,), requirement="CMD-10a")


@check("CMD-32", unseen="no command with an empty body was sent")
def empty_body_is_refused(history: History) -> Iterator[Observation]:
    """A command request with an empty body answers 400."""
    for call in with_only(history, Defect.BODY):
        if not call.request.body:
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
        yield refused_and_silent(history, call, allowed=REFUSALS, reading=("CMD-11b", 400))


@check("CMD-11a", "CMD-11b", unseen="no stored file was commanded")
def stored_file_of_the_type_is_accepted(history: History) -> Iterator[Observation]:
    """Every stored file with one of the command's extensions can be commanded; the extension's case does not matter."""
    for call in _well_formed(history):
        if call.command not in DOWNLOADS or _may_be_gone(history, call) or _is_refused_for_its_kind(history, call):
            continue
        if call.status in (400, 404) and _may_be_stored_under_another_name(history, call):
            continue
        if call.status == 200:
            yield kept(call)
            continue
        is_lower = (call.file_name or "").endswith(EXTENSIONS[DOWNLOADS[call.command]])
        detail = f"{described(call)} was answered {shown_status(call)}, allowed: 200"
        yield broken(detail, call, requirement="CMD-11a" if is_lower else "CMD-11b")


def _may_be_stored_under_another_name(history: History, call: Exchange) -> bool:
    """Whether a download's file was uploaded in the run under an unusual name, which a target may tidy when it stores the file."""
    name = call.file_name or ""
    stored = TargetView.of(history).files(call.request.project_id, DOWNLOADS[call.command or ""].value)
    return not is_plain_name(name) and name not in [file["name"] for file in stored]


def _may_be_gone(history: History, call: Exchange) -> bool:
    """Whether a download's file may have been lost by a download before this call: DLD-12's question."""
    if call.command not in DOWNLOADS or call.status != 404:
        return False
    return any(life.file_name == call.file_name and life.was_delivered_before(call.asked.line) for life in key_lives(history))


@check("CMD-12a", "CMD-12b", unseen="no download of a file that is not stored was asked for")
def missing_file_is_refused(history: History) -> Iterator[Observation]:
    """A file that is not in the project's storage is refused, and nothing is published."""
    for call in with_only(history, Defect.FILE_MISSING):
        is_plain = is_plain_name(call.file_name or "")
        yield refused_and_silent(history, call, allowed=REFUSALS, reading=("CMD-12b", 404) if is_plain else None)


@check("CMD-13", unseen="no command without a valid API key was sent")
def command_without_valid_key_is_unauthorized(history: History) -> Iterator[Observation]:
    """A missing, malformed or unknown API key answers 401; a device token is no API key."""
    for call in with_only(history, Defect.API_KEY):
        yield refused_and_silent(history, call, allowed=(401,))


@check("CMD-14", unseen="no command was sent with a key that lacks the scope")
def command_without_scope_is_forbidden(history: History) -> Iterator[Observation]:
    """An API key without the scope send-commands answers 403, and nothing is published."""
    for call in with_only(history, Defect.SCOPE):
        yield refused_and_silent(history, call, allowed=(403,))


@check("CMD-15a", "CMD-15b", unseen="no command was sent that the device's list leaves out")
def unlisted_command_is_forbidden(history: History) -> Iterator[Observation]:
    """A command that allowed_commands does not list answers 403, and nothing is published."""
    for call in with_only(history, Defect.NOT_ALLOWED):
        if (call.status == 400 and is_oddly_named(call)) or _is_of_an_unknown_kind(history, call):
            continue
        listed = {name.lower() for name in command_names(_allowed(history, call))}
        differs_in_case = (call.command or "").strip().lower() in listed
        yield refused_and_silent(history, call, allowed=(403,), requirement="CMD-15b" if differs_in_case else "CMD-15a")


@check("CMD-15a", "CMD-15b", unseen="no command was sent that the device's list permits")
def permitted_command_is_accepted(history: History) -> Iterator[Observation]:
    """An empty list permits every command, custom ones too; another list permits the commands on it."""
    for call in _well_formed(history):
        names = command_names(_allowed(history, call))
        is_custom = call.command not in STANDARD_COMMANDS
        if is_read_liberally(call) or call.command in DOWNLOADS or not (names or is_custom) or _is_refused_for_its_kind(history, call):
            continue
        if call.status == 200:
            yield kept(call)
        elif call.status != 400 or not is_oddly_named(call):
            exact = _allowed(history, call).split(";")
            is_plain = not _allowed(history, call) or call.command in exact
            requirement = "CMD-15a" if is_plain else "CMD-15b"
            yield broken(f"{described(call)} was answered {shown_status(call)}, allowed: 200", call, requirement=requirement)


@check("CMD-16a", "CMD-16b", unseen="no command was sent to an unknown or HTTP-only device")
def unknown_device_is_not_found(history: History) -> Iterator[Observation]:
    """An unknown or HTTP-only device answers 404, and nothing is published; one of another project or organisation likewise."""
    for call in with_only(history, Defect.DEVICE):
        yield refused_and_silent(history, call, allowed=(404,), requirement="CMD-16a")
    for call in with_only(history, Defect.FOREIGN_DEVICE):
        wanted = TargetView.of(history).status_read("CMD-16b", 404)
        yield refused_and_silent(history, call, allowed=(wanted,), requirement="CMD-16b")


@check("CMD-17a", "CMD-17b", unseen="no command or list was refused")
def error_bodies_follow_the_contract(history: History) -> Iterator[Observation]:
    """Error bodies of the command and list endpoints are main.ErrorResponse."""
    for exchange in documented_refusals(history):
        problem = error_body_problem(exchange.body_json)
        if problem is not None:
            yield broken(f"the body of a {exchange.status} is {exchange.body[:120]!r}: {problem}", exchange, requirement="CMD-17a")
        elif missing := missing_error_members(exchange.body_json):
            yield broken(f"the body of a {exchange.status} lacks {', '.join(missing)}", exchange, requirement="CMD-17b")
        else:
            yield kept(exchange)


def documented_refusals(history: History) -> Iterator[Exchange]:
    """Refusals of the command and list endpoints with a status of the contract; a router's own 404 to a strange id is left out."""
    target = TargetView.of(history)
    for exchange in (*history.commands(), *history.lists()):
        is_routed = exchange.request.endpoint != "command" or Defect.ID not in defects(target, exchange)
        if exchange.status in REFUSALS and has_whole_body(exchange) and is_routed:
            yield exchange


@check(
    "CMD-32", unseen="no call of the command or list endpoints was answered", hint="an error page of the framework or of a gateway in front"
)
def answers_are_json(history: History) -> Iterator[Observation]:
    """Answers of the command and list endpoints are application/json."""
    answered = [exchange for exchange in (*history.commands(), *history.lists()) if exchange.status == 200]
    for exchange in (*answered, *documented_refusals(history)):
        if exchange.media_type == "application/json":
            yield kept(exchange)
        else:
            yield broken(f"Content-Type of a {exchange.status} is {exchange.media_type!r}, allowed: application/json", exchange)


@check("CMD-22a", "CMD-22b", unseen="no call was made for an organisation without the feature")
def organisation_without_feature_is_refused(history: History) -> Iterator[Observation]:
    """An organisation without the feature is refused on every endpoint."""
    wanted = TargetView.of(history).status_read("CMD-22b", 403)
    for call in (*history.commands(), *history.lists()):
        if call.request.credential != DISABLED_API_KEY or not answered_or_hung_up(call):
            continue
        asked = f"{call.request.method} {call.request.url}"
        if call.status not in REFUSALS:
            yield broken(f"{asked} was answered {shown_status(call)}, allowed: {wanted}", call, requirement="CMD-22a")
        elif call.status != wanted:
            yield broken(f"{asked} was answered {call.status}, our reading: {wanted}", call, requirement="CMD-22b")
        else:
            yield kept(call)


@check("CMD-19", unseen="no command was sent to a device of each kind that takes commands")
def every_commandable_kind_takes_commands(history: History) -> Iterator[Observation]:
    """Devices of kind MQTT, Intemo WiFi and Intemo Cellular take commands: the standard ones, and all that an MQTT device is granted."""
    for call in _well_formed(history):
        if is_read_liberally(call) or _allowed(history, call) or _may_be_gone(history, call):
            continue
        kind = _device(history, call)["kind"]
        is_plain = call.command in STANDARD_COMMANDS and call.command not in DOWNLOADS
        if call.status == 200 and is_plain:
            yield kept(call)
        elif kind != DeviceKind.MQTT.value and (is_plain or _is_refused_for_its_kind(history, call)):
            yield broken(f"{call.command} to a device of kind {kind} was answered {shown_status(call)}, allowed: 200", call)


@check("CMD-25", unseen="no command with several defects was sent")
def several_defects_are_answered_in_order(history: History) -> Iterator[Observation]:
    """A request with several defects is answered for the first of them: 401, 403, 400, 404, 403, 400, 404."""
    target = TargetView.of(history)
    for call in history.commands():
        found = defects(target, call)
        if call.status is None or len(found) < 2 or Defect.FEATURE in found or Defect.ID in found:
            continue
        if call.status == STATUS_OF[found[0]]:
            yield kept(call)
        else:
            names = " and ".join(defect.value for defect in found)
            yield broken(f"{names} together were answered {call.status}, our reading: {STATUS_OF[found[0]]} for the first", call)


@check("CMD-29", unseen="no command with absent or unusual data was sent")
def unusual_data_is_accepted(history: History) -> Iterator[Observation]:
    """Absent data, data for reboot and reset, and an empty configuration are accepted."""
    for call in _well_formed(history):
        if not is_read_liberally(call):
            continue
        if call.status == 200:
            yield kept(call)
        else:
            yield broken(f"{described(call)} was answered {shown_status(call)}, our reading: 200", call)


@check("CMD-30", unseen="no command with ids that are no UUID was sent")
def ids_of_another_form_are_refused(history: History) -> Iterator[Observation]:
    """Project or device ids that are no UUID answer 400 or 404."""
    for call in with_only(history, Defect.ID):
        if call.status in (400, 404):
            yield kept(call)
        else:
            ids = f"project {call.request.project_id!r}, device {call.request.device_id!r}"
            yield broken(f"{ids} were answered {shown_status(call)}, our reading: 400 or 404", call)


@check("CMD-31", unseen="no command was sent while the broker was down")
def command_without_broker_is_not_accepted(history: History) -> Iterator[Observation]:
    """While the broker is unreachable a command answers a 5xx, never 200."""
    absences = _broker_absences(history)
    for call in history.commands():
        if call.status is None or not any(call.asked.line in absence for absence in absences):
            continue
        if call.status >= 500:
            yield kept(call)
        else:
            yield broken(f"a command without a broker was answered {call.status}, our reading: a 5xx", call)
