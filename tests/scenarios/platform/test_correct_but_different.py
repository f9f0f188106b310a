"""A platform that keeps every promise in another way than ours is accused of nothing: other headers, bodies, forms, times, orders."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import web

from simulators.platform.personalities import REFERENCE
from simulators.platform.personality import Meddler, is_command, is_download, is_list
from simulators.platform.rules import files_ruled, http_ruled, keys_ruled


class OtherWords(Meddler):
    """Messages with blanks, escapes, more members, a percent-encoded key, fractions of a second; after a while."""

    async def publish(self, topic, payload, *, qos=2, retain=False):
        await asyncio.sleep(0.02)
        data = json.loads(payload)
        if "/control/download_" in topic:
            key = data["url"].rpartition("=")[2]
            written = "".join(f"%{ord(letter):02x}" if letter in "-_Aa" else letter for letter in key)
            url = data["url"].replace(f"?key={key}", f"?key={written}&file=firmware")
            data = {"expires_at": data["expires_at"].replace("Z", ".000Z"), "url": url, "v": 1}
        text = json.dumps(data, indent=1 if len(payload) < 40 else None, sort_keys=True).replace("/", r"\/")
        await self._broker.publish(topic, text.encode(), qos=qos, retain=retain)


@web.middleware
async def other_answers(request, handler):
    """Other headers in other case, bodies with more members and blanks, times with an offset; a moment after the message."""
    given = await handler(request)
    if not isinstance(given, web.Response) or not (is_command(request) or is_list(request) or is_download(request)):
        return given
    await asyncio.sleep(0.03)
    body = json.loads(given.body) if given.body else None
    if isinstance(body, dict) and "files" in body:
        body["total"] = len(body["files"])
        for entry in body["files"]:
            entry |= {"time": entry["time"].replace("Z", ".123456+00:00"), "description": entry.get("description", ""), "id": 7}
    elif isinstance(body, dict):
        body |= {"request_id": "4711", "code": "E1", "details": ""} if given.status >= 400 else {"request_id": "4711"}
    headers = {"x-request-id": "4711", "SERVER": "other", "cache-control": "no-store"}
    headers |= {"www-authenticate": 'Device realm="x"'} if given.status == 401 else {}
    return web.json_response(body, status=given.status, headers=headers) if body is not None else given


def quoted(name):
    ascii_name = "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "_" for letter in name)
    extended = "".join(f"%{byte:02X}" for byte in name.encode())
    return f"attachment;filename=\"{ascii_name}\";filename*=UTF-8''{extended}"


OTHER = replace(
    REFERENCE,
    publisher=OtherWords,
    answers=other_answers,
    rules=lambda rules: http_ruled(download_error_type="application/json")(
        keys_ruled(mint=lambda entropy: "-_Aa" + entropy.random_bytes(24).hex())(
            files_ruled(content_disposition=quoted, foreign_project_status=404)(rules)
        )
    ),
)
# The URL is longer than 256 bytes allow: what is different here is more than one thing.
LONG = {"download_command_fits_in_a_small_buffer"}


@pytest.mark.slow
def test_a_correct_platform_that_differs_is_not_accused(certify):
    outcome = certify(OTHER)
    accusations = [
        (result.id, result.verdict.value, result.detail)
        for result in outcome.results
        if result.verdict.value not in ("pass", "not-applicable") and result.id not in LONG
    ]
    assert accusations == []
