"""The picture of a finding: the timeline around its evidence, drawn as one SVG that needs nothing else.

Time runs down, one event a row; each lane is a column, so that it reads as a sequence and not as a chart whose one thirty-minute wait
squeezes everything else into a line. Faults cross all lanes. Exchanges and connections are bars from their first to their last event.
"""

import re
from dataclasses import dataclass
from html import escape

from harness.history import events as ev
from harness.history.timeline import History
from harness.report.wording import Lane, lane_of, words

ROWS_MAX = 44
_BEFORE_LINES = 6
_AFTER_LINES = 3
_GAP_S = 1.0
_LABEL_CHARS = 98

_ROW_PX = 21
_HEAD_PX = 28
_LANE_PX = 46
_LANES_AT_PX = 124
_CHAR_PX = 7.6  # of the labels' font at its size; a wider picture would not fit beside the page's margins
_LANES = tuple(Lane)
_WORDS_AT_PX = _LANES_AT_PX + len(_LANES) * _LANE_PX + 8
_WIDTH_PX = round(_WORDS_AT_PX + _LABEL_CHARS * _CHAR_PX)

# Ids are long and alike: eight digits tell them apart on a picture; the whole text is the label's tooltip.
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_NOT_DRAWN = (ev.SecretSeen, ev.RunStarted, ev.HttpProgress)


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the picture. `after_s` is the time since the row above; `left_out` how many events between both are not shown."""

    event: ev.Event
    lane: Lane
    is_evidence: bool
    after_s: float
    left_out: int


def rows_of(history: History, evidence: tuple[int, ...]) -> tuple[Row, ...]:
    """The events to draw: the evidence, and what its scenarios did around it, ROWS_MAX at most; those nearest to evidence come first."""
    lines = [line for line in evidence if 0 < line <= len(history.events)]
    if not lines:
        return ()
    scopes = {history.events[line - 1].scope for line in lines}
    around = range(max(1, min(lines) - _BEFORE_LINES), min(len(history.events), max(lines) + _AFTER_LINES) + 1)
    candidates = [line for line in around if _is_drawn(history.events[line - 1], scopes) or line in lines]
    chosen = sorted(sorted(candidates, key=lambda line: min(abs(line - seen) for seen in lines))[:ROWS_MAX])
    rest = frozenset(exchange.request.exchange for exchange in history.exchanges if exchange.request.endpoint in ("command", "files"))
    return tuple(_rows(history, chosen, candidates, frozenset(lines), rest))


def _is_drawn(event: ev.Event, scopes: set[str]) -> bool:
    return event.scope in scopes and not isinstance(event.fact, _NOT_DRAWN)


def _rows(history: History, chosen: list[int], candidates: list[int], evidence: frozenset[int], rest: frozenset[int]) -> list[Row]:
    rows: list[Row] = []
    for line in chosen:
        event = history.events[line - 1]
        above = rows[-1].event if rows else event
        left_out = sum(above.line < candidate < line for candidate in candidates)
        rows.append(Row(event, lane_of(event.fact, rest), line in evidence, event.at_s - above.at_s, left_out))
    return rows


def picture(history: History, evidence: tuple[int, ...]) -> str:
    """An `<svg>` element, or the empty string where there is nothing to draw."""
    rows = rows_of(history, evidence)
    if not rows:
        return ""
    places = _places(rows)
    height = places[-1] + _ROW_PX
    start_s = history.events[0].at_s
    parts = [
        f'<svg class="timeline" style="--lanes: {_WORDS_AT_PX - _LANES_AT_PX}px" '
        f'viewBox="0 0 {_WIDTH_PX} {height}" width="{_WIDTH_PX}" height="{height}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg"><title>The timeline around the evidence</title>',
        *_columns(rows, height),
        *_bars(rows, places),
    ]
    for row, y in zip(rows, places, strict=True):
        parts.extend(_drawn_row(row, y, start_s))
    return "".join([*parts, "</svg>"])


def _places(rows: tuple[Row, ...]) -> list[int]:
    """The middle of each row, in pixels from the top; a gap in time or in the events takes half a row more."""
    places, y = [], _HEAD_PX
    for row in rows:
        y += _ROW_PX + (_ROW_PX if _gap_words(row) else 0)
        places.append(y)
    return places


def _gap_words(row: Row) -> str:
    said = []
    if row.left_out:
        said.append(f"{row.left_out} event{'s' if row.left_out > 1 else ''} not shown")
    if row.after_s >= _GAP_S:
        said.append(f"{_duration(row.after_s)} later")
    return ", ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def _columns(rows: tuple[Row, ...], height: int) -> list[str]:
    used = {row.lane for row in rows}
    drawn = []
    for lane in _LANES:
        x, name = _x(lane), "lane" if lane in used else "lane unused"
        drawn.append(f'<text class="{name}" x="{x}" y="16" text-anchor="middle">{lane.value}</text>')
        drawn.append(f'<line class="{name}" x1="{x}" x2="{x}" y1="{_HEAD_PX - 4}" y2="{height - 6}"/>')
    return drawn


def _bars(rows: tuple[Row, ...], places: list[int]) -> list[str]:
    """A bar for each exchange and each connection of which more than one event is shown, side by side where they overlap."""
    spans: dict[tuple[str, int], list[int]] = {}
    lanes: dict[tuple[str, int], Lane] = {}
    for row, y in zip(rows, places, strict=True):
        fact = row.event.fact
        for kind in ("exchange", "connection"):
            number = getattr(fact, kind, None)
            if number is not None:
                spans.setdefault((kind, number), []).append(y)
                lanes[kind, number] = row.lane
    drawn = []
    for order, (key, ys) in enumerate((key, ys) for key, ys in spans.items() if len(ys) > 1):
        x = _x(lanes[key]) - 3 + (order % 3 - 1) * 9
        label = f"{key[0]} {key[1]}"
        drawn.append(
            f'<rect class="bar" x="{x}" y="{ys[0] - 6}" width="6" height="{ys[-1] - ys[0] + 12}" rx="3"><title>{label}</title></rect>'
        )
    return drawn


def _drawn_row(row: Row, y: int, start_s: float) -> list[str]:
    text = words(row.event.fact)
    shown = _ID.sub(r"\1…", text)
    shown = shown if len(shown) <= _LABEL_CHARS else shown[: _LABEL_CHARS - 1] + "…"
    is_fault = isinstance(row.event.fact, ev.FaultInjected) or getattr(row.event.fact, "closed_by", "") == "fault"
    kind = "fault" if is_fault else "evidence" if row.is_evidence else "event"
    gap = _gap_words(row)
    drawn = [f'<text class="gap" x="{_WORDS_AT_PX}" y="{y - _ROW_PX + 4}">⋮ {gap}</text>'] if gap else []
    if kind != "event":
        drawn.append(f'<rect class="band {kind}" x="0" y="{y - _ROW_PX // 2}" width="{_WIDTH_PX}" height="{_ROW_PX}"/>')
    x = _x(row.lane)
    mark = (
        f'<path class="mark {kind}" d="M{x - 6} {y - 6}l12 12m0 -12l-12 12"/>'
        if is_fault
        else f'<circle class="mark {kind}" cx="{x}" cy="{y}" r="5"/>'
    )
    drawn += [
        f'<text class="place" x="4" y="{y + 4}">{row.event.line}</text>',
        f'<text class="time" x="{_LANES_AT_PX - 8}" y="{y + 4}" text-anchor="end">+{row.event.at_s - start_s:.3f} s</text>',
        mark,
        f'<text class="words {kind}" x="{_WORDS_AT_PX}" y="{y + 4}">{_xml(shown)}<title>{_xml(text)}</title></text>',
    ]
    return drawn


def _x(lane: Lane) -> int:
    return _LANES_AT_PX + _LANES.index(lane) * _LANE_PX + _LANE_PX // 2


def _xml(text: str) -> str:
    return escape("".join(character if character.isprintable() else "·" for character in text))
