"""The family DEV: how a device takes commands, acknowledges them, and what it does with a download. Effects count, not packets."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from harness.checks import device_exchange, device_states
from harness.checks.device_view import (
    ReceivedMessage,
    Result,
    commands_received,
    declares,
    downloads_with,
    is_download,
    pointed_at,
    results,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import History
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION, parse_download_offer

__all__ = ["device_exchange", "device_states"]  # importing this module registers the whole family


@check("DEV-01", unseen="the device did not subscribe")
def device_subscribes_to_its_own_topics(history: History) -> Iterator[Observation]:
    """The device subscribes to its own control topics and to nothing outside its id."""
    for seen in history.packets("SUBSCRIBE"):
        device_id = seen.fact.device_id
        foreign = [name for name, _ in seen.fact.filters or () if name != device_id and not name.startswith(device_id + "/")]
        if foreign:
            yield broken(f"it subscribes to {', '.join(map(repr, foreign))}, allowed: {device_id!r} and below", seen)
        else:
            yield kept(seen)


@check("DEV-02", unseen="the device did not subscribe to a control topic")
def device_asks_for_qos_2(history: History) -> Iterator[Observation]:
    """The device asks for QoS 2 on its control topics."""
    wanted = declares(history).get("qos", 2)
    for seen in history.packets("SUBSCRIBE"):
        for name, qos in seen.fact.filters or ():
            if "/control/" not in name and not name.endswith("/#"):
                continue
            if qos == wanted:
                yield kept(seen)
            else:
                yield broken(f"it asks for QoS {qos} on {name!r}, allowed: {wanted}", seen)


@check("DEV-08a", "DEV-08b", unseen="no configuration was sent and then asked for, or its result cannot be read")
def configuration_is_applied_and_reported(history: History) -> Iterator[Observation]:
    """A configuration is applied, and send_configuration reports it."""
    pointer = str(declares(history).get("configuration_pointer", "/configuration"))
    for asked, answer in _reports(history):
        sent = _last_configuration(history, asked)
        if sent is None:
            continue
        reported = pointed_at(answer.body, pointer)
        keys = asked.payload_json.get("keys") if isinstance(asked.payload_json, dict) else None
        wanted = sent.payload_json if keys is None else {key: sent.payload_json[key] for key in keys if key in sent.payload_json}
        if not isinstance(reported, dict):
            yield broken(f"the result holds {reported!r} at {pointer}, allowed: the configuration", answer.seen, requirement="DEV-08b")
        elif wrong := [key for key, value in wanted.items() if reported.get(key) != value]:
            shown = {key: reported.get(key) for key in wrong}
            detail = f"it reports {shown!r} after { ({key: wanted[key] for key in wrong})!r} was sent"
            yield broken(detail, sent.first, asked.first, answer.seen, requirement="DEV-08a")
        else:
            yield kept(sent.first, asked.first, answer.seen)


def _reports(history: History) -> Iterator[tuple[ReceivedMessage, Result]]:
    """Every send_configuration with its result."""
    for asked in commands_received(history):
        if asked.command != SEND_CONFIGURATION:
            continue
        for answer in results(history, asked.device_id):
            if answer.command == SEND_CONFIGURATION and answer.line > asked.first.line:
                yield asked, answer
                break


def _last_configuration(history: History, asked: ReceivedMessage) -> ReceivedMessage | None:
    """The last legal configuration before a question, where no reset came between."""
    earlier = [
        message for message in commands_received(history) if message.device_id == asked.device_id and message.first.line < asked.first.line
    ]
    relevant = [message for message in earlier if message.command in (CONFIGURATION, "reset") and isinstance(message.payload_json, dict)]
    return relevant[-1] if relevant and relevant[-1].command == CONFIGURATION else None


@check("DEV-11", unseen="the device did not try to download")
def download_uses_the_url_and_the_raw_token(history: History) -> Iterator[Observation]:
    """A download uses the URL verbatim with the raw token, with one GET where the device declares `single`."""
    single = declares(history).get("download", "single") == "single"
    for message in commands_received(history):
        if not is_download(message):
            continue
        offer = parse_download_offer((message.first.fact.payload or "").encode())
        attempts = downloads_with(history, message)
        if offer is None or not attempts:
            continue
        wanted = urlsplit(offer.url)
        for attempt in attempts:
            problem = _request_problem(attempt.request.url, wanted.path + "?" + wanted.query, dict(attempt.request.headers), message)
            yield broken(problem, message.first, attempt) if problem else kept(message.first, attempt)
        if single and (odd := _odd_request(attempts)):
            yield broken(f"it declares single and sends {odd}, allowed: one GET", message.first, *attempts)


def _request_problem(url: str, wanted: str, headers: dict[str, str], message: ReceivedMessage) -> str:
    parts = urlsplit(url)
    asked = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if asked != wanted:
        return f"it asks for {asked!r}, allowed: {wanted!r} verbatim"
    authorization = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
    allowed = f"Basic <token:{message.device_id}>"
    if authorization != allowed:
        return f"Authorization is {authorization!r}, allowed: {allowed!r}, the raw token"
    return ""


def _odd_request(attempts: list[Any]) -> str:
    """What a downloader that declares `single` may not send."""
    for attempt in attempts:
        if attempt.request.method != "GET":
            return str(attempt.request.method)
        if any(name.lower() == "range" for name, _ in attempt.request.headers):
            return "a Range"
    whole = [attempt for attempt in attempts if attempt.is_delivered_whole]
    return "another GET after a whole delivery" if whole and attempts[-1].asked.line > whole[0].asked.line else ""
