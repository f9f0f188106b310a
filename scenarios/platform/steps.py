"""The sentences of which the platform scenarios are made: send a command, watch a device, fetch a file.

Each is a sub-generator, used with `yield from`; none of them judges.
"""

import base64
import json
from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from harness.bench.target import Platform, TargetDevice, TargetFile
from harness.history.events import Headers, MqttDelivered
from harness.operations import Announce, Answer, Call, Connect, Connected, Disconnect, Receive
from harness.wire.commands import DOWNLOAD_FIRMWARE, parse_download_offer
from harness.wire.responses import command_path
from harness.wire.topics import control_filter

T = TypeVar("T")
Step: TypeAlias = Generator[Any, Any, T]

JSON_TYPE = ("Content-Type", "application/json")
# A name that no platform knows: it ends a watch, as what was sent before it must have come before it (CMD-21).
SENTINEL = "hil_sentinel"


def bearer(platform: Platform, name: str = "full") -> Headers:
    """The header that carries one of the target's API keys."""
    return (("Authorization", f"Bearer {getattr(platform.api_keys, name)}"),)


def basic(device: TargetDevice) -> Headers:
    """The header that carries a device's raw token. Source: DLD-02."""
    return (("Authorization", f"Basic {device.token}"),)


def base64_basic(device: TargetDevice) -> Headers:
    """The device's token as RFC 7617 would write it, which the protocol does not. Source: DLD-14."""
    return (("Authorization", "Basic " + base64.b64encode(device.token.encode()).decode()),)


def command_call(
    platform: Platform,
    device: TargetDevice,
    command: Any,
    data: Any = None,
    *,
    key: str = "full",
    body: bytes | None = None,
    project_id: str | None = None,
    device_id: str | None = None,
    headers: Headers | None = None,
    credential: str | None = None,
) -> Call:
    """A call of the command endpoint; what is not given is well-formed. `body` replaces the body as a whole."""
    project_id = device.project_id if project_id is None else project_id
    device_id = device.id if device_id is None else device_id
    return Call(
        method="POST",
        path=command_path(project_id, device_id),
        endpoint="command",
        credential=f"api-key:{key}" if credential is None else credential,
        headers=((*bearer(platform, key), JSON_TYPE) if headers is None else headers),
        body=json.dumps({"command": command, "data": {} if data is None else data}).encode() if body is None else body,
        project_id=project_id,
        device_id=device_id,
    )


def send(platform: Platform, device: TargetDevice, command: str, data: Any = None) -> Step[Answer]:
    """Sends one well-formed command."""
    answer: Answer = yield command_call(platform, device, command, data)
    return answer


def watch(device: TargetDevice, *, clean_session: bool = True, qos: int = 2) -> Step[Connected]:
    """Connects as the device and subscribes to its control topics; from here on its commands are expected to arrive."""
    connected: Connected = yield Connect(device.id, clean_session=clean_session, filters=((control_filter(device.id), qos),))
    if connected.is_accepted:
        yield Announce("watching", {"device_id": device.id})
    return connected


def watch_end(platform: Platform, device: TargetDevice) -> Step[list[MqttDelivered]]:
    """Sends a last command and waits until it has come: what has not come by then was not published. Returns all that came."""
    came: list[MqttDelivered] = []
    answer = yield from send(platform, device, SENTINEL, {"end": len(came)})
    if answer.status != 200:
        return came
    while True:
        message = yield Receive(device.id, count=1, within_s=5.0)
        came += message
        if not message or message[0].topic.endswith(SENTINEL):
            return came


def offered(platform: Platform, device: TargetDevice, file: TargetFile, command: str = DOWNLOAD_FIRMWARE) -> Step[str | None]:
    """Sends a download command to a watched device and returns the URL that arrives; None where none does."""
    answer = yield from send(platform, device, command, {"file_name": file.name})
    if answer.status != 200:
        return None
    for message in (yield Receive(device.id, count=1, within_s=5.0)):
        offer = parse_download_offer(message.payload.encode())
        return offer.url if offer else None
    return None


def fetch_call(
    url: str,
    device: TargetDevice,
    *,
    method: str = "GET",
    headers: Headers | None = None,
    credential: str | None = None,
    **options: Any,
) -> Call:
    """A call of the download endpoint with the URL's path and query verbatim; by default as the device itself would make it."""
    parts = urlsplit(url)
    return Call(
        method=method,
        path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        endpoint="download",
        credential=f"token:{device.id}" if credential is None else credential,
        headers=basic(device) if headers is None else headers,
        device_id=device.id,
        **options,
    )


def hang_up(device: TargetDevice) -> Step[None]:
    """Ends the device's connection properly."""
    yield Disconnect(device.id)
