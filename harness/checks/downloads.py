"""The family DLD: the bytes of a download, its headers, and who may have them."""

import re
from collections.abc import Iterator

from harness.checks.admission import TargetView
from harness.checks.key_life import KeyLife, key_lives
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import Exchange, History
from harness.wire.responses import error_body_problem, missing_error_members


def _good_downloads(history: History) -> Iterator[tuple[KeyLife, Exchange]]:
    """Whole, undisturbed downloads: a plain GET of the key's device that was answered 200 and that we did not cut."""
    for life in key_lives(history):
        for attempt in life.own_attempts():
            if attempt.status == 200 and attempt.ended is not None and attempt.ended.fact.closed_by not in ("us", "fault"):
                yield life, attempt


@check("DLD-01", unseen="no download was answered 200")
def download_delivers_the_file(history: History) -> Iterator[Observation]:
    """A download is the file's exact bytes, with type, length and file name in the headers."""
    target = TargetView.of(history)
    for life, attempt in _good_downloads(history):
        file = next(
            (file for file in target.files(life.project_id, life.file_type) if file["name"] == life.file_name and "sha256" in file), None
        )
        problem = _header_problem(attempt, life.file_name) or _body_problem(attempt, file)
        yield broken(problem, attempt) if problem else kept(attempt)


def _body_problem(attempt: Exchange, file: dict[str, object] | None) -> str:
    assert attempt.ended is not None
    ended = attempt.ended.fact
    announced = attempt.header("content-length")
    if not ended.complete:
        return f"the body ended after {ended.received_bytes} bytes ({ended.problem}), announced: {announced}"
    if announced != str(ended.received_bytes):
        return f"Content-Length is {announced}, the body has {ended.received_bytes} bytes"
    if file is not None and ended.sha256 != file["sha256"]:
        is_of, should_be = ended.sha256[:16], str(file["sha256"])[:16]
        return f"the body of {ended.received_bytes} bytes has sha256 {is_of}…, the file of {file['size']} bytes {should_be}…"
    return ""


def _header_problem(attempt: Exchange, name: str) -> str:
    media_type = (attempt.header("content-type") or "").split(";")[0].strip().lower()
    if media_type != "application/octet-stream":
        return f"Content-Type is {media_type!r}, allowed: application/octet-stream"
    disposition = attempt.header("content-disposition") or ""
    if not re.match(r"attachment\s*;", disposition, re.IGNORECASE):
        return f"Content-Disposition is {disposition!r}, allowed: attachment; filename={name}"
    if name.isascii() and not re.search(rf'filename="?{re.escape(name)}"?(\s*;|\s*$)', disposition):
        return f"Content-Disposition is {disposition!r}, allowed: filename={name}"
    return ""


@check("DLD-02", unseen="no download was tried without a valid device token")
def download_needs_the_raw_device_token(history: History) -> Iterator[Observation]:
    """`Authorization: Basic {device_token}` is accepted raw; absent, malformed or unknown answers 401."""
    for life, attempt in _good_downloads(history):
        if _authorization(attempt) == f"Basic <{life.owner_credential}>":
            yield kept(attempt)
    for life in key_lives(history):
        for attempt in life.attempts:
            if attempt.request.credential not in ("none", "unknown") or attempt.status is None:
                continue
            if attempt.status == 401:
                yield kept(attempt)
            else:
                yield broken(f"Authorization {_authorization(attempt)!r} was answered {attempt.status}, allowed: 401", attempt)


def _authorization(attempt: Exchange) -> str | None:
    return next((value for name, value in attempt.request.headers if name.lower() == "authorization"), None)


@check("DLD-03", unseen="no download was tried with an API key")
def api_key_is_no_device_token(history: History) -> Iterator[Observation]:
    """A user's API key answers 401 at the download."""
    for attempt in history.downloads():
        if not attempt.request.credential.startswith("api-key:") or attempt.status is None:
            continue
        if attempt.status == 401:
            yield kept(attempt)
        else:
            yield broken(f"an API key ({_authorization(attempt)!r}) was answered {attempt.status}, allowed: 401", attempt)


@check("DLD-08a", "DLD-08b", unseen="no download was refused")
def download_errors_follow_the_contract(history: History) -> Iterator[Observation]:
    """Error bodies of the download endpoint are main.ErrorResponse."""
    for exchange in history.downloads():
        if exchange.status is None or exchange.status < 400 or exchange.request.method == "HEAD":
            continue
        problem = error_body_problem(exchange.body_json)
        if problem is not None:
            yield broken(f"the body of a {exchange.status} is {exchange.body[:120]!r}: {problem}", exchange, requirement="DLD-08a")
        elif missing := missing_error_members(exchange.body_json):
            yield broken(f"the body of a {exchange.status} lacks {', '.join(missing)}", exchange, requirement="CMD-17b")
        else:
            yield kept(exchange)


@check("DLD-10", unseen="no HEAD or Range request was sent")
def head_and_range_follow_the_reading(history: History) -> Iterator[Observation]:
    """HEAD is answered like GET without a body; Range is ignored under first-use."""
    for life in key_lives(history):
        for attempt in life.attempts:
            if attempt.request.credential != life.owner_credential or attempt.status is None:
                continue
            if attempt.request.method == "HEAD":
                if attempt.status == 200:
                    yield kept(attempt)
                else:
                    yield broken(f"HEAD was answered {attempt.status}, our reading: 200 as for GET", attempt)


@check("DLD-13", unseen="no device both connected over MQTT and downloaded")
def one_token_serves_mqtt_and_http(history: History) -> Iterator[Observation]:
    """The token that opens the MQTT connection opens the download too."""
    connected = {seen.fact.device_id for seen in history.packets("CONNACK") if seen.fact.return_codes == (0,)}
    for life in key_lives(history):
        for attempt in life.own_attempts():
            if life.device_id in connected and attempt.status == 200:
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
