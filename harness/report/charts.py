"""Two small charts as SVG text: stacked bars and a line. Colours are the page's, by class name."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

_WIDTH_PX, _HEIGHT_PX = 720, 200
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 44, 8, 10, 34
_LABELS_MAX = 8
_BAR_PX_MAX = 48
_STEPS = (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """One column: its label, and (class name, value, tooltip) from the bottom up."""

    label: str
    parts: tuple[tuple[str, float, str], ...]

    @property
    def height(self) -> float:
        return sum(value for _, value, _ in self.parts)


def stacked_bars(title: str, bars: Sequence[Bar]) -> str:
    """A column for each bar, oldest left."""
    highest = _top(max((bar.height for bar in bars), default=0))
    width = min(_BAR_PX_MAX, 0.8 * _plot_width() / max(1, len(bars)))
    drawn = []
    for number, bar in enumerate(bars):
        y = _y(0, highest)
        for name, value, tip in bar.parts:
            height = _y(0, highest) - _y(value, highest)
            y -= height
            place = f'x="{_x(number, len(bars)) - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            drawn.append(f'<rect class="{escape(name)}" {place}><title>{escape(tip)}</title></rect>')
    return _chart(title, highest, [bar.label for bar in bars], drawn)


def line(title: str, points: Sequence[tuple[str, float, str]]) -> str:
    """A line through (label, value, tooltip), oldest left; the scale starts at zero."""
    highest = _top(max((value for _, value, _ in points), default=0))
    places = [(_x(number, len(points)), _y(value, highest)) for number, (_, value, _) in enumerate(points)]
    drawn = [f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>']
    for (x, y), (_, _, tip) in zip(places, points, strict=True):
        drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(tip)}</title></circle>')
    return _chart(title, highest, [label for label, _, _ in points], drawn)


def _chart(title: str, highest: float, labels: Sequence[str], drawn: list[str]) -> str:
    grid = []
    for share in (0, 0.5, 1):
        y = _y(share * highest, highest)
        grid.append(f'<line class="grid" x1="{_LEFT_PX}" x2="{_WIDTH_PX - _RIGHT_PX}" y1="{y:.1f}" y2="{y:.1f}"/>')
        grid.append(f'<text x="{_LEFT_PX - 6}" y="{y + 4:.1f}" text-anchor="end">{share * highest:g}</text>')
    step = -(-len(labels) // _LABELS_MAX) or 1
    names = [
        f'<text x="{_x(number, len(labels)):.1f}" y="{_HEIGHT_PX - 12}" text-anchor="middle">{escape(labels[number])}</text>'
        for number in range(0, len(labels), step)
    ]
    opening = f'<svg class="chart" viewBox="0 0 {_WIDTH_PX} {_HEIGHT_PX}" width="{_WIDTH_PX}" height="{_HEIGHT_PX}" role="img" '
    return "".join([opening, f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>', *grid, *drawn, *names, "</svg>"])


def _top(highest: float) -> float:
    """Where a scale ends: the next number above that reads well, and so does its half."""
    if highest <= 0:
        return 1
    power: float = 10.0 ** floor(log10(highest))
    return next(step * power for step in _STEPS if step * power >= highest)


def _plot_width() -> float:
    return _WIDTH_PX - _LEFT_PX - _RIGHT_PX


def _x(number: int, count: int) -> float:
    return _LEFT_PX + _plot_width() * (number + 0.5) / max(1, count)


def _y(value: float, highest: float) -> float:
    return _HEIGHT_PX - _BOTTOM_PX - (_HEIGHT_PX - _TOP_PX - _BOTTOM_PX) * value / highest
