"""Reading requests strictly and dressing answers: what every endpoint shares."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from harness.wire.responses import ErrorBody
from simulators.platform.refusals import Refusal
from simulators.platform.rules import JSON, Rules
from simulators.platform.trail import trace_id

QUERY_FIELDS_MAX = 100
COMMAND_BODY_BYTES_MAX = 256 * 1024


def parameter_values(raw_query: str, name: str) -> list[str]:
    """Every value of a query parameter; none where the query has too many parameters to be honest."""
    try:
        fields = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="surrogateescape")
    except ValueError:
        return []
    return [value for field_name, value in fields if field_name == name]


def json_answer(status: int, body: dict[str, Any], *, content_type: str = JSON, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type=content_type, headers=headers)


def error_answer(refusal: Refusal, action: str, *, scheme: str, rules: Rules, content_type: str = JSON) -> web.Response:
    """A refusal as `main.ErrorResponse`.   Source: CMD-17, DLD-08, DLD-15."""
    is_challenged = refusal.status == 401 and rules.http.announces_challenge
    headers = {"WWW-Authenticate": f'{scheme} realm="Device Communication"'} if is_challenged else None
    body = ErrorBody(refusal.message, action, refusal.code).body()
    return json_answer(refusal.status, body, content_type=content_type, headers=headers)


def authorization_of(request: web.BaseRequest) -> Sequence[str]:
    return request.headers.getall("Authorization", [])


def trace_of(request: web.BaseRequest) -> str:
    return trace_id(request.headers.get("traceparent", ""))


async def read_body(request: web.Request, limit_bytes: int) -> bytes | Refusal:
    """The whole body; refused where it is longer than `limit_bytes`, or cannot be read as its headers promise."""
    too_large = Refusal(413, "body_too_large", f"The body is longer than {limit_bytes} bytes")
    if (request.content_length or 0) > limit_bytes:
        return too_large
    body = bytearray()
    try:
        async for chunk in request.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > limit_bytes:
                return too_large
    except (web.RequestPayloadError, HttpProcessingError, ValueError):
        return Refusal(400, "unreadable_body", "The body cannot be read")
    return bytes(body)


async def answer_expectation(request: web.Request) -> None:
    """`100 Continue` to who asks for it; any other expectation is ignored, as the error for it is no answer of the API.

    Source: RFC 9110 10.1.1.
    """
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it was not the answer yet
