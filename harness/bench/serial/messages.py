"""What the link carries: the messages of LINK.md as values, and their JSON both ways.

Payloads are bytes: as `text` where they are UTF-8 and that is the shorter form, as base64 in `bytes` otherwise.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.bench.serial.framing import encode_body
from harness.errors import RemoteWireError


@dataclass(frozen=True, slots=True)
class Result:
    """The board's result of command `number`."""

    number: int
    command: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """The board wants this URL, for command `number`."""

    number: int
    url: str


@dataclass(frozen=True, slots=True)
class More:
    """The board has the first `at` bytes and takes `size_bytes` more at most."""

    number: int
    at: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The board does not want the rest."""

    number: int


@dataclass(frozen=True, slots=True)
class ClockWanted:
    """The board asks for the time."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that this version does not know: recorded, ignored."""

    message: Mapping[str, Any]


FromBoard = Result | Fetch | More | Stop | ClockWanted | Unknown


def command(number: int, name: str, payload: bytes) -> dict[str, Any]:
    return {"t": "command", "n": number, "name": name, **_payload(payload)}


def body(number: int, *, status: int, size_bytes: int | None) -> dict[str, Any]:
    return {"t": "body", "n": number, "status": status, "size": -1 if size_bytes is None else size_bytes}


def part(number: int, *, at: int, data: bytes) -> dict[str, Any]:
    return {"t": "part", "n": number, "at": at, "bytes": base64.b64encode(data).decode()}


def end(number: int, *, at: int, is_complete: bool) -> dict[str, Any]:
    return {"t": "end", "n": number, "at": at, "complete": is_complete}


def time_message(utc_s: float) -> dict[str, Any]:
    return {"t": "time", "utc_s": int(utc_s)}


def result(number: int, name: str, payload: bytes) -> dict[str, Any]:
    return {"t": "result", "n": number, "name": name, **_payload(payload)}


def read_from_board(message: Mapping[str, Any]) -> FromBoard:
    """A message of the board as a value. Raises RemoteWireError where a known type lacks a member or has a wrong one."""
    match message.get("t"):
        case "result":
            return Result(_number(message, "n"), _text(message, "name"), payload_of(message))
        case "fetch":
            return Fetch(_number(message, "n"), _text(message, "url"))
        case "more":
            return More(_number(message, "n"), _number(message, "at"), _number(message, "len"))
        case "stop":
            return Stop(_number(message, "n"))
        case "clock":
            return ClockWanted()
        case _:
            return Unknown(message)


def payload_of(message: Mapping[str, Any]) -> bytes:
    """The payload of a command or result. Raises RemoteWireError."""
    if "text" in message:
        return _text(message, "text").encode("utf-8", errors="surrogatepass")
    try:
        return base64.b64decode(_text(message, "bytes"), validate=True)
    except ValueError as error:  # binascii.Error is one; characters outside of ASCII raise another
        raise _broken(message, "bytes", "base64") from error


def _payload(payload: bytes) -> dict[str, str]:
    packed = {"bytes": base64.b64encode(payload).decode()}
    try:
        text = {"text": payload.decode()}
    except UnicodeDecodeError:
        return packed
    if "\0" in text["text"]:  # ends a text in C
        return packed
    return text if len(payload) < 64 or len(encode_body(text)) <= len(encode_body(packed)) else packed


def _number(message: Mapping[str, Any], key: str) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _broken(message, key, "whole number")
    return value


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise _broken(message, key, "text")
    return value


def _broken(message: Mapping[str, Any], key: str, wanted: str) -> RemoteWireError:
    raw = encode_body(message)
    return RemoteWireError(f"the board's message {message.get('t')!r}: {key!r} is no {wanted}", raw=raw)
