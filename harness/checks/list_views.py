"""Views of the file lists that a history holds: whose they are, what was asked, and what stands in them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.checks.admission import TargetView
from harness.checks.command_calls import answered_or_hung_up
from harness.history.events import FULL_API_KEY, Stimulus
from harness.history.timeline import Exchange, History, Seen
from harness.wire.files import FileType

VALID_TYPES = tuple([file_type.value] for file_type in FileType)


def asked_types(exchange: Exchange) -> list[str]:
    """The values of the parameter `type`."""
    return parse_qs(urlsplit(exchange.request.url).query, keep_blank_values=True).get("type", [])


def well_asked(history: History, credential: str = FULL_API_KEY) -> Iterator[tuple[Exchange, str]]:
    """List calls with a valid key and type, with the type."""
    for exchange in history.lists():
        types = asked_types(exchange)
        if exchange.request.credential == credential and answered_or_hung_up(exchange) and types in VALID_TYPES:
            yield exchange, types[0]


def own_lists(history: History) -> Iterator[tuple[Exchange, str]]:
    """Lists of the full key's own projects, or of its organisation."""
    for exchange, file_type in well_asked(history):
        if not exchange.request.project_id or exchange.request.project_id in TargetView.of(history).project_ids:
            yield exchange, file_type


def entries(exchange: Exchange) -> list[Any]:
    """What stands in a list's `files`, whatever it is."""
    files = exchange.body_json.get("files") if isinstance(exchange.body_json, dict) else None
    return files if isinstance(files, list) else []


def entry_objects(exchange: Exchange) -> list[dict[str, Any]]:
    """The entries that are objects, as all should be (LST-03)."""
    return [entry for entry in entries(exchange) if isinstance(entry, dict)]


def list_path(exchange: Exchange) -> str:
    """The path of a list's URL, which names its project."""
    return urlsplit(exchange.request.url).path


def lists_after(history: History, change: Seen[Stimulus]) -> list[Exchange]:
    """The lists of a file's project and of the organisation that came after its upload or deletion, in its scenario."""
    facts = change.fact.facts
    return [
        exchange
        for exchange, file_type in own_lists(history)
        if exchange.scope == change.event.scope and exchange.asked.line > change.line and file_type == facts["type"]
        if exchange.request.project_id in (facts["project_id"], "") and exchange.status == 200
    ]
