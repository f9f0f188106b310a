"""DEV-11 to DEV-14, DEV-17, DEV-18, DEV-22, DEV-23: what a device asks for, what it installs, and when it gives up."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise

from harness.checks.device_fetches import Fetch, fetches, reported_sha256, spoilt_fetches
from harness.checks.device_view import Result, declares, requires_results, results_of
from harness.checks.registry import Evidence, Observation, broken, check, kept
from harness.history.events import DeviceStarted, HttpRequest, MqttClosed, SerialLine
from harness.history.timeline import Exchange, History, Seen
from harness.wire.commands import KEY_LIFETIME_S, parse_download_offer
from harness.wire.urls import host_and_target

ATTEMPTS_MAX = 3  # DEV-14
_WAIT_S_MIN = 0.2  # less is no wait
_GROWTH_MIN = 1.1

_NOT_BASIC = (
    "`Basic {token}` is the raw token, not RFC 7617: libraries that take user and password encode them in base64 (ESP8266 HTTPClient "
    "setAuthorization); set the header yourself"
)
_CALLS_TWICE = "your HTTP client asks more than once; the key is good for one request (ESP-IDF's partial download asks HEAD, then parts)"
_LENGTH = "compare what came with Content-Length before the image is marked bootable, and take an early end of the connection as a failure"
_STATUS = "the status is not looked at: the body of the error was written to flash"
_REDIRECT = "your HTTP client keeps Authorization over redirects (esp_http_client does); take it off when the host changes, or refuse"
_CLOCK = "the device's own clock says nothing about a key (many boot at 1970): the platform decides, by 401"

_SPELLING = (
    "the command is the same JSON spelled otherwise: members of any order and number, blanks, `\\/` for a slash; read it with a JSON parser"
)

_METHODS = {"single": ("GET",), "head-get": ("HEAD", "GET"), "range": ("HEAD", "GET")}


@check("DEV-11", unseen="the device was not told to download", hint=_NOT_BASIC)
def download_uses_the_url_and_the_raw_token(history: History) -> Iterator[Observation]:
    """A download uses the URL verbatim with the raw token, in the way that the device declares."""
    style = str(declares(history).get("download", "single"))
    found = fetches(history)
    # Who refuses every command in words, and never asks, breaks no rule of asking: it misjudges the key (DEV-22).
    refuses_all = not any(fetch.attempts for fetch in found) and all(fetch.is_failure for fetch in found)
    for fetch in found:
        offer = parse_download_offer((fetch.message.first.fact.payload or "").encode())
        if offer is None:
            continue
        was_served = fetch.message.completed is not None and not fetch.message.lost_connection
        if not fetch.attempts and was_served and not refuses_all:
            hint = _SPELLING if fetch.altered and fetch.altered.fact.facts.get("spelled_otherwise") else _CLOCK
            yield broken("the download command was acknowledged, and no request came for its URL", *fetch.evidence, hint=hint)
        for attempt in fetch.attempts:
            if problem := _request_problem(attempt, offer.url, fetch.message.device_id) or _port_problem(fetch, attempt):
                yield broken(problem, fetch.message.first, attempt)
            else:
                yield kept(fetch.message.first, attempt)
        if odd := _undeclared_request(history, fetch, style):
            yield broken(f"it declares {style!r} and sends {odd}", fetch.message.first, *fetch.attempts, hint=_CALLS_TWICE)


def _request_problem(attempt: Exchange, url: str, device_id: str) -> str:
    # To the last character: path, query, and a fragment, which no request may carry (R 7.1).
    wanted, asked = host_and_target(url)[1], host_and_target(attempt.request.url)[1]
    if asked != wanted:
        return f"it asks for {asked!r}, allowed: {wanted!r} verbatim"
    authorization = attempt.sent_header("Authorization")
    allowed = f"Basic <token:{device_id}>"
    if authorization != allowed:
        return f"Authorization is {authorization!r}, allowed: {allowed!r}, the raw token"
    # A label stands for every form of a secret; in which form it travelled shows in what the platform made of it.
    if attempt.status == 401 and attempt.request.credential == "unknown":
        return f"Authorization holds the token, but not raw (base64, say): the platform knows only {allowed!r}"
    return ""


def _port_problem(fetch: Fetch, attempt: Exchange) -> str:
    """Whether a request came to the API's port where the URL named another one. A Host header without a port tells nothing."""
    wanted = fetch.altered.fact.facts.get("port") if fetch.altered else None
    _, colon, asked = (attempt.sent_header("Host") or "").rpartition(":")
    if wanted is None or not colon or not asked.isdigit() or int(asked) == wanted:
        return ""
    return f"it asks at port {asked}, allowed: {wanted}, as its URL says"


def _undeclared_request(history: History, fetch: Fetch, style: str) -> str:
    """What a downloader of the declared style may not send."""
    for attempt in fetch.attempts:
        if attempt.request.method not in _METHODS[style]:
            return f"{attempt.request.method}, allowed: {' and '.join(_METHODS[style])}"
        if style != "range" and attempt.sent_header("Range") is not None:
            return "a Range, allowed: whole files"
    gets = [attempt for attempt in fetch.attempts if attempt.request.method == "GET"]
    whole = [attempt for attempt in gets if attempt.is_delivered_whole]
    if style != "range" and whole and gets[-1].asked.line > whole[0].asked.line:
        return "another GET after a whole delivery"
    if style != "range" and not fetch.kind and any(_ends_and_asks_again(history, *pair) for pair in pairwise(gets)):
        return "another GET after one that nothing disturbed"
    return ""


def _ends_and_asks_again(history: History, before: Exchange, after: Exchange) -> bool:
    """Whether the device closed a transfer that nothing disturbed, and asked again; one that rebooted in between starts anew, rightly."""
    if before.status != 200 or before.ended is None or before.ended.fact.closed_by != "peer":
        return False
    device_id = before.request.device_id
    interrupted = [seen.line for seen in history.of(MqttClosed) if seen.fact.device_id == device_id]
    return not any(before.asked.line < line < after.asked.line for line in interrupted)


@check(
    "DEV-12a",
    unseen="no undisturbed download came to an end whose image can be seen (a result with its hash at image_sha256_pointer, an observer)",
)
def stored_file_is_installed_byte_for_byte(history: History) -> Iterator[Observation]:
    """The file that the device installs is byte for byte the stored one."""
    for fetch in fetches(history):
        if fetch.kind or fetch.stored is None:
            continue
        if fetch.installed_sha256 is not None:
            yield _same_image(fetch)
        elif fetch.is_failure and fetch.was_delivered_whole and fetch.ended_with_bytes:
            # Who asked again after it had the file, and was refused, asked once too often (DEV-11).
            yield broken(f"the whole file was delivered and not installed: {fetch.said}", *fetch.evidence)
        elif fetch.result is None and requires_results(history) and fetch.attempts:
            yield broken("the file was asked for, and no result tells what became of it", *fetch.evidence)


def _same_image(fetch: Fetch) -> Observation:
    if fetch.installed_sha256 == fetch.wanted_sha256:
        return kept(*fetch.evidence)
    return broken(f"the installed image has sha256 {fetch.installed_sha256}, the stored file {fetch.wanted_sha256}", *fetch.evidence)


@check("DEV-12a", unseen="no spoilt download came to an end that a result or an observer shows", hint=_LENGTH)
def broken_off_download_is_not_installed(history: History) -> Iterator[Observation]:
    """A body that is cut off or shorter than its Content-Length is never installed."""
    for fetch in spoilt_fetches(history, "cut", "short", "stall", "long", "chunked"):
        how = _how(fetch)
        if fetch.has_changed_the_image and fetch.seen_after != fetch.wanted_sha256:
            yield broken(f"after {how} another image is in use: {fetch.seen_after}", *fetch.evidence)
        elif fetch.is_success and _installed_an_error(fetch):
            continue  # It asked again, and took the refusal for the file: that is DEV-13's business.
        elif fetch.is_success and fetch.installed_sha256 not in (None, fetch.wanted_sha256):
            yield broken(f"after {how} it installed an image with sha256 {fetch.installed_sha256}, not the stored one", *fetch.evidence)
        elif fetch.is_success and fetch.installed_sha256 is None and fetch.kind in ("cut", "short") and not fetch.may_have_every_byte:
            yield broken(f"after {how} it reports success", *fetch.evidence)
        elif fetch.result is not None or fetch.seen_after is not None:
            yield kept(*fetch.evidence)


def _installed_an_error(fetch: Fetch) -> bool:
    refusals = [attempt for attempt in fetch.attempts if attempt.status is not None and attempt.status >= 400]
    return any(sha256(attempt.body.encode()).hexdigest() == fetch.installed_sha256 for attempt in refusals)


def _how(fetch: Fetch) -> str:
    facts = fetch.spoilt.fact.facts if fetch.spoilt else {}
    size = fetch.stored.fact.facts["size_bytes"] if fetch.stored else "?"
    match fetch.kind:
        case "cut":
            return f"a connection cut after {facts.get('at_byte')} of {size} bytes"
        case "short" if facts.get("is_chunked"):
            return f"a chunked body that ends {facts.get('amount_bytes')} bytes early, without its last chunk"
        case "short":
            return f"a body {facts.get('amount_bytes')} bytes shorter than its Content-Length of {size}"
        case "long":
            return f"a body {facts.get('amount_bytes')} bytes longer than its Content-Length of {size}"
        case "stall":
            return f"a stall of {facts.get('pause_s')} s"
        case "chunked":
            return "a chunked body without Content-Length"
    return f"status {facts.get('status')}"


@check("DEV-12b", unseen="no invalid image was offered, or nothing shows what became of it")
def invalid_image_is_refused(history: History) -> Iterator[Observation]:
    """An image that its vendor calls invalid is refused."""
    for fetch in fetches(history):
        if fetch.stored is None or fetch.stored.fact.facts["is_valid"]:
            continue
        if fetch.is_success or fetch.seen_after == fetch.wanted_sha256:
            yield broken(f"it installed {fetch.stored.fact.facts['name']}, which the device file calls invalid", *fetch.evidence)
        elif fetch.result is not None or fetch.seen_after is not None:
            yield kept(*fetch.evidence)


@check("DEV-13", unseen="no download was answered by an error, or nothing shows what became of it", hint=_STATUS)
def error_body_is_not_installed(history: History) -> Iterator[Observation]:
    """An error status is never installed as a file, whatever its body; nor is a redirect's."""
    for fetch in spoilt_fetches(history, "error", "redirect"):
        if fetch.was_delivered_whole:
            continue  # It asked again and was served.
        if fetch.is_success:
            yield broken(f"{_how(fetch)} was answered, and it reports an installed file", *fetch.evidence)
        elif fetch.has_changed_the_image:
            yield broken(f"after {_how(fetch)} another image is in use: {fetch.seen_after}", *fetch.evidence)
        elif fetch.result is not None or fetch.seen_after is not None:
            yield kept(*fetch.evidence)


@check("DEV-14", unseen="no download was refused with 401")
def refused_download_is_not_hammered(history: History) -> Iterator[Observation]:
    """After a 401 there are at most 3 requests with growing waits, then a failure result."""
    for fetch in spoilt_fetches(history, "error"):
        refused = [attempt for attempt in fetch.attempts if attempt.status == 401]
        if not refused:
            continue
        waits_s = _waits_s(refused)
        shown = ", ".join(f"{wait_s:.1f}" for wait_s in waits_s[:5])
        if len(refused) > ATTEMPTS_MAX:
            yield broken(f"{len(refused)} requests with one key after 401, allowed: {ATTEMPTS_MAX} (waits {shown} … s)", *fetch.evidence)
        elif any(wait_s < _WAIT_S_MIN for wait_s in waits_s):
            yield broken(f"it asks again after {shown} s, allowed: growing waits", *fetch.evidence)
        elif len(waits_s) > 1 and waits_s[-1] < waits_s[0] * _GROWTH_MIN:
            yield broken(f"its waits after 401 do not grow: {shown} s", *fetch.evidence)
        elif requires_results(history) and not fetch.is_failure:
            yield broken(f"401 was answered, and its result is {_outcome(fetch)}, allowed: a failure", *fetch.evidence)
        else:
            yield kept(*fetch.evidence)


@check("DEV-14", unseen="no download was answered by an error other than 401")
def failing_download_is_not_hammered(history: History) -> Iterator[Observation]:
    """No other error is hammered either: more than 3 requests with one key have growing waits."""
    for fetch in spoilt_fetches(history, "error"):
        failed = [attempt for attempt in fetch.attempts if attempt.status is not None and attempt.status >= 400 and attempt.status != 401]
        waits_s = _waits_s(failed)
        if len(failed) > ATTEMPTS_MAX and (min(waits_s) < _WAIT_S_MIN or waits_s[-1] < waits_s[0] * _GROWTH_MIN):
            shown = ", ".join(f"{wait_s:.1f}" for wait_s in waits_s[:5])
            detail = f"{len(failed)} requests with one key after {failed[0].status}, and waits that do not grow ({shown} … s)"
            yield broken(detail, *fetch.evidence)
        elif failed:
            yield kept(*fetch.evidence)


def _waits_s(attempts: Sequence[Exchange]) -> list[float]:
    return [later.asked.at_s - before.asked.at_s for before, later in pairwise(attempts)]


def _outcome(fetch: Fetch) -> str:
    return "missing" if fetch.result is None else "success" if fetch.is_success else "failure"


@check("DEV-17", unseen="no stale download command reached the device")
def stale_download_is_tried_once_at_most(history: History) -> Iterator[Observation]:
    """A command whose expires_at has passed is tried once at most, then a failure result follows."""
    for fetch in fetches(history):
        expires_in_s = fetch.altered.fact.facts["expires_in_s"] if fetch.altered else None
        if expires_in_s is None or expires_in_s > 0:
            continue
        asked = [attempt for attempt in fetch.attempts if attempt.request.method == "GET"]
        if len(asked) > 1:
            yield broken(f"{len(asked)} requests for a command that expired {-expires_in_s / 60:.0f} min ago, allowed: 1", *fetch.evidence)
        elif requires_results(history) and not fetch.is_failure:
            yield broken(f"a command that expired has the result {_outcome(fetch)}, allowed: a failure", *fetch.evidence)
        else:
            yield kept(*fetch.evidence)


@check("DEV-18", unseen="no redirect to another host was sent to a device that had asked", hint=_REDIRECT)
def token_stays_with_its_host(history: History) -> Iterator[Observation]:
    """The token never goes to another host."""
    for fetch in spoilt_fetches(history, "redirect"):
        if not fetch.attempts or all(attempt.status not in (301, 302, 303, 307, 308) for attempt in fetch.attempts):
            continue
        label = f"<token:{fetch.message.device_id}>"
        followed = [seen for seen in history.of(HttpRequest) if seen.fact.endpoint == "other" and seen.line > fetch.message.first.line]
        told = [seen for seen in followed if label in f"{seen.fact.url} {seen.fact.headers} {seen.fact.body}"]
        if told:
            yield broken(f"the token went to {told[0].fact.url}", *fetch.evidence, told[0])
        else:
            yield kept(*fetch.evidence, *followed[:1])


@check("DEV-18", unseen="the console was not seen while the device booted", everywhere=True)
def token_is_not_on_the_console(history: History) -> Iterator[Observation]:
    """The token is never printed on the console."""
    lines: list[Seen[SerialLine]] = [seen for seen in history.of(SerialLine) if seen.fact.sent_by == "board"]
    told = [seen for seen in lines if f"<token:{seen.fact.device_id}>" in seen.fact.text]
    for seen in told[:1]:
        yield broken(f"the console shows the token: {seen.fact.text!r}", seen)
    if not told:
        yield from (kept(seen) for seen in history.of(DeviceStarted))


@check("DEV-22", unseen="no download command came", hint=_CLOCK)
def fresh_key_is_used_whatever_the_clock_says(history: History) -> Iterator[Observation]:
    """A fresh key is not refused because the device's clock is behind."""
    for fetch in fetches(history):
        expires_in_s = fetch.altered.fact.facts["expires_in_s"] if fetch.altered else KEY_LIFETIME_S
        if expires_in_s is None or expires_in_s < 0:
            continue
        ahead = f"{expires_in_s / 86_400:.0f} days" if expires_in_s > 86_400 else f"{expires_in_s / 60:.0f} min"
        if not any(attempt.request.method == "GET" for attempt in fetch.attempts):
            yield broken(f"it does not ask for a file whose fresh key expires {ahead} from now: {fetch.said}", *fetch.evidence)
        elif fetch.is_failure and fetch.was_delivered_whole and fetch.ended_with_bytes:
            yield broken(f"it refuses a whole file whose fresh key expires {ahead} from now: {fetch.said}", *fetch.evidence)
        else:
            yield kept(*fetch.evidence)


@check("DEV-23", unseen="no second download command came during a download")
def second_download_leaves_one_image(history: History) -> Iterator[Observation]:
    """A second download command during a download leads to one final image and one result per command."""
    for first, second in pairwise(fetches(history)):
        ends = [attempt.ended.line for attempt in first.attempts if attempt.ended]
        if first.kind != "trickle" or first.message.command != second.message.command or (ends and max(ends) < second.message.first.line):
            continue
        found = results_of(history, first.message, history.end_line)
        evidence: tuple[Evidence, ...] = (
            first.message.first,
            second.message.first,
            *first.attempts,
            *second.attempts,
            *(result.seen for result in found),
        )
        good = {first.wanted_sha256, second.wanted_sha256}
        hashes = {fetch.installed_sha256 for fetch in (first, second)} - {None}
        if requires_results(history) and len(found) != 2:
            yield broken(f"two download commands got {len(found)} results, allowed: one each", *evidence)
        elif hashes - good:
            yield broken(f"an image is in use that is neither of the two files: {sorted(map(str, hashes - good))}", *evidence)
        elif silent := _successes_without_a_hash(history, found):
            yield broken("a result says success without the hash that the other one has: of what?", *evidence, silent[0].seen)
        elif found and not any(result.is_success for result in found):
            yield broken("neither of two files was installed", *evidence)
        else:
            yield kept(*evidence)


def _successes_without_a_hash(history: History, found: list[Result]) -> list[Result]:
    """The successes that name no image, where others of the same device do."""
    successes = [result for result in found if result.is_success]
    silent = [result for result in successes if reported_sha256(history, result) is None]
    return silent if len(silent) < len(successes) else []
