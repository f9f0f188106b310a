"""The family DLD: the bytes of a download, its headers, and who may have them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks import transfers
from harness.checks.admission import TargetView
from harness.checks.command_calls import REFUSALS, answered_or_hung_up, has_whole_body, shown_status
from harness.checks.key_life import KeyLife, is_token_taken, key_lives, moved_bounds_s, use_policy
from harness.checks.registry import Observation, broken, check, kept
from harness.checks.transfers import TRANSFER_TOLERANCE_S
from harness.history.events import API_KEY, FULL_API_KEY
from harness.history.timeline import Exchange, History
from harness.wire.commands import DOWNLOADS, FIRST_USE, KEY_LIFETIME_S, TRANSFER_TIME_S_MAX
from harness.wire.files import is_plain_name
from harness.wire.responses import error_body_problem, missing_error_members

# Importing this module registers the whole family (entry point `hil.checks`).
__all__ = ["transfers"]


def _first_uses(history: History) -> Iterator[tuple[KeyLife, Exchange]]:
    """Undisturbed first uses of young keys: a plain GET of the key's device, before which nothing was tried, and that nobody had to cut."""
    for life in key_lives(history):
        for attempt in life.own_attempts()[:1]:
            if attempt.ended is None or not answered_or_hung_up(attempt):
                continue
            is_cut = attempt.was_ended_by_us or _has_run_out_of_time(attempt)
            is_moved = moved_bounds_s(history, attempt.asked.line, attempt.ended.line)[1] > 0
            is_alone = not life.before(attempt) and not life.is_beside_others(attempt)
            is_young = life.age_bounds_s(history, attempt)[1] < KEY_LIFETIME_S / 2
            if is_alone and is_young and not is_moved and not is_cut:
                yield life, attempt


def _has_run_out_of_time(attempt: Exchange) -> bool:
    """Whether a transfer was cut at the end of the fifteen minutes: DLD-05 speaks of these."""
    ended = attempt.ended
    return ended is not None and not ended.fact.complete and ended.at_s - attempt.asked.at_s > TRANSFER_TIME_S_MAX - TRANSFER_TOLERANCE_S


@check(
    "DLD-01",
    unseen="no download was tried with a fresh key by its device",
    hint="a compressing or chunking layer in front, a file that is replaced meanwhile, a temporary copy that another download deletes",
)
def download_delivers_the_file(history: History) -> Iterator[Observation]:
    """A download is the file's exact bytes, with type, length and file name in the headers."""
    for life, attempt in _first_uses(history):
        if attempt.status == 401 or (attempt.status != 200 and _was_deleted(history, life, attempt)):
            continue  # DLD-02, KEY-01 and DLD-04 speak of these.
        if attempt.status != 200:
            problem = f"a fresh key was answered {shown_status(attempt)} to its device, allowed: 200"
        else:
            problem = _header_problem(attempt, life.file_name) or _body_problem(attempt, _bytes_of(history, life))
        yield broken(problem, attempt) if problem else kept(attempt)


def _bytes_of(history: History, life: KeyLife) -> Mapping[str, Any] | None:
    """Size and hash of what a key's file should hold: what was uploaded last under its name before the command, or else what is stored.

    None where the bytes are not known.
    """
    uploads = [seen.fact.facts for seen in history.stimuli("file uploaded") if seen.line < life.call.asked.line]
    stored = [*TargetView.of(history).files(life.project_id, life.file_type), *uploads]
    place = (life.project_id, life.file_type, life.file_name)
    named = [file for file in stored if (file["project_id"], file["type"], file["name"]) == place]
    return named[-1] if named and named[-1].get("sha256") else None


def _was_deleted(history: History, life: KeyLife, attempt: Exchange) -> bool:
    return any(
        seen.fact.facts["name"] == life.file_name and life.delivery.line < seen.line < attempt.asked.line
        for seen in history.stimuli("file deleted")
    )


def _body_problem(attempt: Exchange, file: Mapping[str, Any] | None) -> str:
    assert attempt.ended is not None
    ended = attempt.ended.fact
    announced = attempt.header("content-length")
    if not ended.complete:
        return f"the body ended after {ended.received_bytes} bytes ({ended.problem}), announced: {announced}"
    if announced != str(ended.received_bytes):
        return f"Content-Length is {announced}, the body has {ended.received_bytes} bytes"
    if file is not None and ended.sha256 != file["sha256"]:
        is_of, should_be = ended.sha256[:16], file["sha256"][:16]
        return f"the body of {ended.received_bytes} bytes has sha256 {is_of}…, the file of {file['size']} bytes {should_be}…"
    return ""


def _header_problem(attempt: Exchange, name: str) -> str:
    if attempt.media_type != "application/octet-stream":
        return f"Content-Type is {attempt.media_type!r}, allowed: application/octet-stream"
    disposition = attempt.header("content-disposition") or ""
    if not re.match(r"attachment\s*;", disposition, re.IGNORECASE):
        return f"Content-Disposition is {disposition!r}, allowed: attachment; filename={name}"
    if is_plain_name(name) and not _names(disposition, name):
        return f"Content-Disposition is {disposition!r}, allowed: filename={name}"
    return ""


def _names(disposition: str, name: str) -> bool:
    """Whether a header names the file: by `filename`, quoted or not, or else by `filename*` alone (RFC 6266, 4.3)."""
    plain = re.search(r"""filename\s*=\s*("[^"]*"|[^\s;]*)\s*(;|\Z)""", disposition, re.IGNORECASE)
    if plain is not None:
        return plain.group(1).strip('"') == name
    return re.search(rf"""filename\*\s*=\s*UTF-8'[^']*'{re.escape(name)}\s*(;|\Z)""", disposition, re.IGNORECASE) is not None


@check(
    "DLD-02",
    unseen="no download was tried without a valid device token",
    hint="Basic credentials are decoded as base64 by many frameworks, which the raw token of this protocol is not",
)
def download_needs_the_raw_device_token(history: History) -> Iterator[Observation]:
    """`Authorization: Basic {device_token}` is accepted raw; absent, malformed or unknown answers 401."""
    for life, attempt in _first_uses(history):
        if attempt.status == 200:
            yield kept(attempt)
        elif attempt.status == 401 and not is_token_taken(history, life.owner_credential):
            yield broken(f"the raw token of {life.device_id} with a fresh key of its own was answered 401, allowed: 200", attempt)
    for life in key_lives(history):
        for attempt in life.attempts:
            if attempt.request.credential not in ("none", "unknown") or not answered_or_hung_up(attempt):
                continue
            if attempt.status == 401:
                yield kept(attempt)
            else:
                yield broken(
                    f"Authorization {attempt.sent_header('Authorization')!r} was answered {shown_status(attempt)}, allowed: 401", attempt
                )


@check("DLD-03", unseen="no download was tried with an API key")
def api_key_is_no_device_token(history: History) -> Iterator[Observation]:
    """A user's API key answers 401 at the download."""
    for attempt in history.downloads():
        if not attempt.request.credential.startswith(API_KEY) or not answered_or_hung_up(attempt):
            continue
        if attempt.status == 401:
            yield kept(attempt)
        else:
            yield broken(
                f"an API key ({attempt.sent_header('Authorization')!r}) was answered {shown_status(attempt)}, allowed: 401", attempt
            )


@check("DLD-04", unseen="no file was deleted between its command and its download")
def deleted_file_is_not_found(history: History) -> Iterator[Observation]:
    """A file that was deleted after the command answers 404."""
    for life in key_lives(history):
        for attempt in life.own_attempts()[:1]:
            if not _was_deleted(history, life, attempt) or life.before(attempt) or not answered_or_hung_up(attempt):
                continue
            if attempt.status == 404:
                yield kept(attempt)
            else:
                yield broken(f"a file that was deleted after its command was answered {shown_status(attempt)}, allowed: 404", attempt)


@check("DLD-06", unseen="no hook told of the temporary copies after a download")
def temporary_copy_is_removed(history: History) -> Iterator[Observation]:
    """The temporary copy is gone after the download, and after the end of a key that nobody used."""
    for seen in history.stimuli("temporary copies"):
        facts = seen.fact.facts
        downloads, expired = int(facts.get("downloads", 0)), int(facts.get("expired", 0))
        # The copy of a key that was not used may stay until the key's end.
        left, allowed = int(facts["after"]) - int(facts["before"]), int(facts.get("unfetched", 0))
        if left > allowed:
            words = "the end of a key that nobody used" if expired else f"{downloads} downloads"
            yield broken(f"{left} temporary copies are left after {words}, allowed: {allowed}", seen)
        elif downloads or expired:
            yield kept(seen)


@check("DLD-08a", "DLD-08b", "CMD-17b", unseen="no download was refused")
def download_errors_follow_the_contract(history: History) -> Iterator[Observation]:
    """Error bodies of the download endpoint are main.ErrorResponse."""
    for exchange in history.downloads():
        if exchange.status not in REFUSALS or exchange.request.method == "HEAD" or not has_whole_body(exchange):
            continue
        problem = error_body_problem(exchange.body_json)
        if problem is not None:
            yield broken(f"the body of a {exchange.status} is {exchange.body[:120]!r}: {problem}", exchange, requirement="DLD-08a")
        elif missing := missing_error_members(exchange.body_json):
            yield broken(f"the body of a {exchange.status} lacks {', '.join(missing)}", exchange, requirement="CMD-17b")
        elif exchange.media_type not in ("application/octet-stream", "application/json"):
            detail = (
                f"Content-Type of a {exchange.status} is {exchange.media_type!r}, our reading: application/octet-stream or application/json"
            )
            yield broken(detail, exchange, requirement="DLD-08b")
        else:
            yield kept(exchange)


@check("DLD-10", unseen="no HEAD or Range request was sent")
def head_and_range_follow_the_reading(history: History) -> Iterator[Observation]:
    """HEAD is answered like GET without a body; Range is ignored under first-use."""
    for life in key_lives(history):
        for attempt in life.attempts:
            is_own = attempt.request.credential == life.owner_credential and attempt.status is not None
            is_usable = not life.before(attempt) and not life.is_beside_others(attempt)
            if not is_own or not is_usable or life.age_bounds_s(history, attempt)[1] > KEY_LIFETIME_S:
                continue
            if attempt.request.method == "HEAD":
                yield _head(history, life, attempt)
            elif attempt.sent_header("Range"):
                yield _range(history, attempt)
            elif (attempt.header("accept-ranges") or "none").lower() != "none" and use_policy(history) == FIRST_USE:
                yield broken("Accept-Ranges is offered, and a part would use the key up; our reading: none", attempt)


def _head(history: History, life: KeyLife, attempt: Exchange) -> Observation:
    wanted = TargetView.of(history).status_read("DLD-10", 200)
    if attempt.status != wanted:
        return broken(f"HEAD was answered {attempt.status}, our reading: {wanted} as for GET", attempt)
    length, file = attempt.header("content-length"), _bytes_of(history, life)
    if attempt.status == 200 and file is not None and length not in (None, str(file["size"])):
        return broken(f"HEAD announces {length} bytes, the file has {file['size']}; our reading: as for GET", attempt)
    return kept(attempt)


def _range(history: History, attempt: Exchange) -> Observation:
    wanted = 200 if use_policy(history) == FIRST_USE else 206
    ranges = attempt.sent_header("Range") or ""
    # Several ranges may be refused; they and one that is the whole file may be answered with it under any policy (RFC 9110, 14.2).
    is_plain_part = re.fullmatch(r"bytes=\d+-\d+", ranges) is not None
    is_free = (attempt.status == 200 and not is_plain_part) or (attempt.status == 416 and "," in ranges)
    if attempt.status in (wanted, 401, 403, 404) or is_free:  # Why a key, a device or a file is refused is another question.
        return kept(attempt)
    return broken(f"a Range request was answered {attempt.status}, our reading under {use_policy(history)}: {wanted}", attempt)


@check("DLD-12", unseen="no file was downloaded, and then listed or commanded again")
def stored_file_outlives_its_download(history: History) -> Iterator[Observation]:
    """After a download the stored file stays listed and can be commanded again."""
    done = [(life, attempt) for life in key_lives(history) for attempt in life.attempts if attempt.is_delivered_whole and attempt.ended]
    for life, attempt in done:
        for exchange in (*history.commands(), *history.lists()):
            if exchange.scope != attempt.scope or attempt.ended is None or exchange.asked.line < attempt.ended.line:
                continue
            gone = _is_gone(life, exchange)
            if gone is not None and not _was_deleted_by(history, life, exchange):
                detail = f"{life.file_name!r} is gone after its download: {exchange.request.method} was answered {exchange.status}"
                yield broken(detail, attempt, exchange) if gone else kept(attempt, exchange)


def _is_gone(life: KeyLife, exchange: Exchange) -> bool | None:
    """Whether a later call shows that the file is gone; None where it says nothing about it."""
    if exchange.request.project_id != life.project_id or exchange.request.credential != FULL_API_KEY:
        return None
    if exchange.request.endpoint == "command" and exchange.command in DOWNLOADS and exchange.status in (200, 404):
        is_of_type = DOWNLOADS[exchange.command].value == life.file_type
        return exchange.status == 404 if exchange.file_name == life.file_name and is_of_type else None
    if exchange.request.endpoint == "files" and exchange.status == 200 and f"type={life.file_type}" in exchange.request.url:
        files = exchange.body_json.get("files") if isinstance(exchange.body_json, dict) else None
        if isinstance(files, list) and all(isinstance(file, dict) for file in files):
            return life.file_name not in [file.get("name") for file in files]
    return None


def _was_deleted_by(history: History, life: KeyLife, exchange: Exchange) -> bool:
    return any(seen.fact.facts["name"] == life.file_name and seen.line < exchange.asked.line for seen in history.stimuli("file deleted"))


@check("DLD-13", unseen="no device both connected over MQTT and downloaded")
def one_token_serves_mqtt_and_http(history: History) -> Iterator[Observation]:
    """The token that opens the MQTT connection opens the download too."""
    connected = {seen.fact.device_id for seen in history.packets("CONNACK") if seen.fact.return_codes == (0,)}
    encoded = any(attempt.status == 200 and _is_base64(attempt) for attempt in history.downloads())
    for life, attempt in _first_uses(history):
        if life.device_id not in connected:
            continue
        if attempt.status == 200:
            yield kept(attempt)
        elif attempt.status == 401 and not encoded and not is_token_taken(history, life.owner_credential):
            yield broken(f"the token of {life.device_id} opened its MQTT connection and was answered 401 here, allowed: 200", attempt)


def _is_base64(attempt: Exchange) -> bool:
    return attempt.request.credential.startswith("base64-token:")


@check(
    "DLD-14",
    unseen="no download was tried with the base64 form of the token",
    hint="a framework that decodes Basic credentials beside the raw comparison",
)
def token_is_taken_raw_only(history: History) -> Iterator[Observation]:
    """The base64 form of HTTP Basic is not taken for the token."""
    for attempt in history.downloads():
        if not _is_base64(attempt) or attempt.status is None:
            continue
        if attempt.status == 200:
            yield broken("the token in base64, as RFC 7617 writes it, was accepted too, our reading: raw only", attempt)
        else:
            yield kept(attempt)


@check("DLD-15", unseen="no download was answered 401")
def unauthorized_names_its_scheme(history: History) -> Iterator[Observation]:
    """A 401 carries WWW-Authenticate."""
    for attempt in history.downloads():
        if attempt.status == 401:
            if attempt.header("www-authenticate"):
                yield kept(attempt)
            else:
                yield broken("a 401 came without WWW-Authenticate (RFC 9110, 11.6.1)", attempt)
