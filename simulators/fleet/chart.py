"""Draws the fleet's benchmark: one SVG out of the JSON that the bench wrote, for README. Bars beside peers, and growth of our own.

Text and boxes only, so that any viewer shows it; colours follow the reader's light or dark theme.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

WIDTH, PANEL_WIDTH, ROW, BAR = 900, 430, 20, 12
NAME_WIDTH, VALUE_WIDTH = 90, 60
TOP, HEAD = 40, 26
OURS = "hil"

Entry: TypeAlias = dict[str, Any]
"""One of the figures, as the JSON has it."""

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px } .head { font-weight: 600 } .value { text-anchor: end }
  .ours { fill: #1a7f37 } .peer { fill: #8c959f }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #3fb950 } .peer { fill: #6e7681 } }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One bar."""

    name: str
    value: float
    shown: str
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of one quantity."""

    head: str
    rows: Sequence[Row]


def chart(document: dict[str, Any], *, broker: str = "mosquitto") -> str:
    """The SVG of a `fleet.json`."""
    figures = [one for one in document["clients"] if one["broker"] == broker]
    devices = common_count(figures)
    beside = [one for one in figures if one["devices"] == devices]
    ours = [one for one in figures if one["client"] == OURS]
    title = f"Devices in one process, {devices:,} of each client, against {broker}; right of it ours as it grows"
    panels = [
        (_bars("memory per connected device, KiB", beside, _client, _kib, "{:.1f}"), _bars("", ours, _count, _kib, "{:.1f}")),
        (_bars("connects per second", beside, _client, _connects, "{:,.0f}"), _bars("", ours, _count, _connects, "{:,.0f}")),
        (_bars("QoS 2 commands per second", beside, _client, _commands, "{:,.0f}"), _bars("", ours, _count, _commands, "{:,.0f}")),
    ]
    return svg(title, panels)


def common_count(figures: Iterable[Entry]) -> int:
    """The largest number of devices that all clients carried. Raises ValueError where there is none."""
    carried: dict[str, set[int]] = {}
    for one in figures:
        carried.setdefault(one["client"], set()).add(one["devices"])
    return max(set.intersection(*carried.values()) if carried else set())


def svg(title: str, rows: Sequence[tuple[Panel, Panel]]) -> str:
    """Panels, two to a row, under a title."""
    drawn, y = [f'<text class="title" x="8" y="24">{escape(title)}</text>'], TOP
    for left, right in rows:
        drawn += [*_panel(left, 8, y), *_panel(right, 8 + PANEL_WIDTH + 20, y)]
        y += HEAD + ROW * max(len(left.rows), len(right.rows)) + 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", *drawn, "</svg>\n"])


def _panel(panel: Panel, x: int, y: int) -> Iterable[str]:
    yield f'<text class="head" x="{x}" y="{y + 16}">{escape(panel.head)}</text>'
    most = max((row.value for row in panel.rows), default=0.0) or 1.0
    room = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH
    for number, row in enumerate(panel.rows):
        base = y + HEAD + ROW * number
        width = max(1.0, room * row.value / most)
        yield f'<text x="{x}" y="{base + 11}">{escape(row.name)}</text>'
        yield f'<rect class="{"ours" if row.is_ours else "peer"}" x="{x + NAME_WIDTH}" y="{base}" width="{width:.1f}" height="{BAR}"/>'
        yield f'<text class="value" x="{x + PANEL_WIDTH}" y="{base + 11}">{escape(row.shown)}</text>'


def _bars(
    head: str,
    figures: Iterable[Entry],
    name: Callable[[Entry], str],
    value: Callable[[Entry], float],
    shown: str,
) -> Panel:
    rows = tuple(Row(name(one), value(one), shown.format(value(one)), one["client"] == OURS) for one in figures)
    return Panel(head, rows)


def _client(one: Entry) -> str:
    return str(one["client"])


def _count(one: Entry) -> str:
    return f"{one['devices']:,}"


def _kib(one: Entry) -> float:
    return float(one["memory_per_device_bytes"]) / 1_024


def _connects(one: Entry) -> float:
    return float(one["connects_per_s"])


def _commands(one: Entry) -> float:
    return float(one["commands_per_s"])
