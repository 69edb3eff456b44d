"""Charts as inline SVG, drawn without any library, coloured by the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from kfp_hallmark.reports.page import Markup, number

WIDTH = 720
ROW = 24
LABEL = 230
SERIES = 6
"""How many series a line chart tells apart by colour."""


def _nice(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Return round tick positions that cover a range, of whole numbers alone if asked for."""
    span = (high - low) or abs(high) or 1.0
    raw = max(span / count, 1.0) if whole else span / count
    power = 10 ** math.floor(math.log10(raw))
    steps = [factor * power for factor in (1, 2, 2.5, 5, 10)]
    step = next(step for step in steps if step >= raw and (step % 1 == 0 or not whole))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _svg(width: float, height: float, title: str, body: list[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def _short(label: str, length: int = 30) -> str:
    """Return a label that fits beside a chart, escaped; of a longer one the middle is left out."""
    half = length // 2
    return escape(label if len(label) <= length else f"{label[: half - 1].rstrip()}…{label[-half:].lstrip()}")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (min(max(value, low), high) - low) / span * (end - start)


def _ticks(ticks: Sequence[float], place: Callable[[float], float], top: float, bottom: float) -> list[str]:
    body = []
    for tick in ticks:
        x = place(tick)
        body.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        body.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(tick, 3)}</text>')
    return body


def bars(
    title: str, items: Sequence[tuple[str, float] | tuple[str, float, str]], limits: Sequence[float] = ()
) -> Markup:
    """Return horizontal bars from zero, in the order given.

    Args:
        title: What the chart shows, for those who cannot see it.
        items: Label and value, and, as a third, the status whose colour the bar takes.
        limits: Values to mark with a dashed line.
    """
    values = [item[1] for item in items if math.isfinite(item[1])] or [0.0]
    ticks = _nice(min(0.0, *values), max(0.0, *values, *limits))
    place = _scale(ticks[0], ticks[-1], LABEL, WIDTH - 70)
    bottom = ROW * len(items) + 6
    body, values_shown = _ticks(ticks, place, 0, bottom), []
    for index, item in enumerate(items):
        y = ROW * index + 4
        body.append(f'<text x="{LABEL - 10}" y="{y + 13}" text-anchor="end">{_short(item[0])}</text>')
        if not math.isfinite(item[1]):
            body.append(f'<text class="soft" x="{LABEL + 6}" y="{y + 13}">n/a</text>')
            continue
        zero, end = place(0.0), place(item[1])
        colour = item[2] if len(item) > 2 else ""
        body.append(
            f'<rect class="mark {colour}" x="{min(zero, end):.1f}" y="{y}" rx="2" '
            f'width="{max(abs(end - zero), 1):.1f}" height="{ROW - 8}"/>'
        )
        x = max(zero, end) + 6
        values_shown.append(f'<text class="soft" x="{x:.1f}" y="{y + 13}">{number(item[1], 3)}</text>')
    for limit in limits:
        body.append(f'<line class="limit" x1="{place(limit):.1f}" x2="{place(limit):.1f}" y1="0" y2="{bottom}"/>')
    return _svg(WIDTH, bottom + 24, title, body + values_shown)


def sparkline(title: str, counts: Sequence[float]) -> Markup:
    """Return bars without axes that fit into a line of a table.

    Args:
        title: What the chart shows, for those who cannot see it.
        counts: How high each bar is, 0 or above, from left to right.
    """
    width, height = 120, 20
    step, top = width / max(len(counts), 1), max(counts, default=0) or 1
    body = [
        f'<rect class="mark" x="{step * index:.1f}" y="{height * (1 - count / top):.1f}" '
        f'width="{max(step - 1, 1):.1f}" height="{height * count / top:.1f}"/>'
        for index, count in enumerate(counts)
    ]
    return _svg(width, height, title, body)


def intervals(
    title: str,
    items: Sequence[tuple[str, float | None, tuple[float | None, float | None] | None, str]],
    limits: Sequence[float] = (),
    item_limits: Sequence[float] = (),
) -> Markup:
    """Return a point with its confidence interval for each item, and the limits as dashed lines.

    Args:
        title: What the chart shows, for those who cannot see it.
        items: Label, value, interval (None when there is none), status whose colour it takes (or "").
        limits: Values to mark with a dashed line through all items.
        item_limits: For each item, in order, a value to mark in its row alone; empty when there is none.
    """
    shown = [value for _, value, _, _ in items if value is not None and math.isfinite(value)]
    ends = [end for _, _, span, _ in items if span for end in span if end is not None and math.isfinite(end)]
    known = [*shown, *ends, *limits, *item_limits] or [0.0, 1.0]
    ticks = _nice(min(known), max(known))
    place = _scale(ticks[0], ticks[-1], LABEL, WIDTH - 70)
    bottom = ROW * len(items) + 6
    body = _ticks(ticks, place, 0, bottom)
    for limit in limits:
        body.append(f'<line class="limit" x1="{place(limit):.1f}" x2="{place(limit):.1f}" y1="0" y2="{bottom}"/>')
    for index, limit in enumerate(item_limits):
        body.append(
            f'<line class="limit" x1="{place(limit):.1f}" x2="{place(limit):.1f}" '
            f'y1="{ROW * index + 2}" y2="{ROW * (index + 1) - 2}"/>'
        )
    for index, (label, value, span, status) in enumerate(items):
        y = ROW * index + ROW / 2
        body.append(f'<text x="{LABEL - 10}" y="{y + 4}" text-anchor="end">{_short(label)}</text>')
        if value is None or not math.isfinite(value):
            body.append(f'<text class="soft" x="{LABEL + 6}" y="{y + 4}">n/a</text>')
            continue
        right = place(value)
        if span and span[0] is not None and span[1] is not None and not math.isnan(span[0] + span[1]):
            right = max(right, place(span[1]))
            body.append(
                f'<line class="whisker {status}" x1="{place(span[0]):.1f}" x2="{place(span[1]):.1f}" '
                f'y1="{y}" y2="{y}"/>'
            )
        body.append(f'<circle class="mark {status}" cx="{place(value):.1f}" cy="{y}" r="4.5"/>')
        for limit in [*limits, *item_limits[index : index + 1]]:
            right = place(limit) if right < place(limit) < right + 50 else right
        body.append(f'<text class="soft" x="{right + 9:.1f}" y="{y + 4}">{number(value, 3)}</text>')
    return _svg(WIDTH, bottom + 24, title, body)


def lines(
    title: str,
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    diagonal: bool = False,
    dots: bool = False,
    spans: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Return curves over one pair of axes, which begin at zero or below and end at one or the greatest value.

    Args:
        title: What the chart shows, for those who cannot see it.
        series: Name, x values and y values of each curve; at most six are told apart by colour.
        x_label: What the horizontal axis measures.
        y_label: What the vertical axis measures.
        diagonal: Whether to draw the line from (0, 0) to (1, 1).
        dots: Whether to mark every point.
        spans: For each point of the first curve, in order, its interval; empty when there is none.
    """
    size, top = 360, 10
    xs = [x for _, values, _ in series for x in values] or [0.0, 1.0]
    ys = [y for _, _, values in series for y in values] + [end for span in spans for end in span] or [0.0, 1.0]
    whole = all(isinstance(x, int) for x in xs)
    x_ticks = _nice(min(0.0, *xs), max(xs), whole=whole) if max(xs) > 0 else [0.0, 1.0]
    y_ticks = _nice(min(0.0, *ys), max(ys)) if max(ys) > 0 else [0.0, 1.0]
    left = 32 + 7 * max(4, *(len(number(tick, 3)) for tick in y_ticks))
    across = _scale(x_ticks[0], x_ticks[-1], left, left + size)
    down = _scale(y_ticks[0], y_ticks[-1], top + size, top)
    body = []
    for tick in x_ticks:
        x = across(tick)
        body.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + size}"/>')
        body.append(
            f'<text class="soft" x="{x:.1f}" y="{top + size + 17}" text-anchor="middle">{number(tick, 3)}</text>'
        )
    for tick in y_ticks:
        y = down(tick)
        body.append(f'<line class="axis" x1="{left}" x2="{left + size}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="soft" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick, 3)}</text>')
    if diagonal:
        end = min(1.0, x_ticks[-1], y_ticks[-1])
        body.append(f'<line class="diagonal" x1="{across(0)}" y1="{down(0)}" x2="{across(end)}" y2="{down(end)}"/>')
    for x, span in zip(series[0][1] if spans else (), spans, strict=True):
        low, high = (down(end) for end in span)
        body.append(f'<line class="whisker" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
    for index, (name, x_values, y_values) in enumerate(series):
        colour = index % SERIES
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(x_values, y_values, strict=True))
        body.append(f'<polyline class="line s{colour}" points="{path}"/>')
        if dots:
            body += [
                f'<circle class="f{colour}" cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.5"/>'
                for x, y in zip(x_values, y_values, strict=True)
            ]
        y = top + 16 + 20 * index
        body.append(f'<line class="line s{colour}" x1="{left + size + 22}" x2="{left + size + 44}" y1="{y}" y2="{y}"/>')
        body.append(f'<text x="{left + size + 52}" y="{y + 4}">{_short(name, 34)}</text>')
    body.append(
        f'<text class="soft" x="{left + size / 2}" y="{top + size + 38}" text-anchor="middle">{escape(x_label)}</text>'
    )
    body.append(
        f'<text class="soft" transform="translate(14 {top + size / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return _svg(WIDTH, top + size + 48, title, body)


def points(title: str, items: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_label: str) -> Markup:
    """Return one row of dots an item (a beeswarm), each dot coloured from low to high.

    Args:
        title: What the chart shows, for those who cannot see it.
        items: Label, and for every dot its position and its colour value between 0 (low) and 1 (high).
        x_label: What the horizontal axis measures.
    """
    row = 30
    known = [x for _, dots in items for x, _ in dots] or [0.0]
    ticks = _nice(min(0.0, *known), max(0.0, *known))
    place = _scale(ticks[0], ticks[-1], LABEL, WIDTH - 20)
    bottom = row * len(items) + 6
    body = _ticks(ticks, place, 0, bottom)
    for index, (label, dots) in enumerate(items):
        y = row * index + row / 2
        body.append(f'<text x="{LABEL - 10}" y="{y + 4}" text-anchor="end">{_short(label)}</text>')
        stacked: dict[int, int] = {}
        for x, value in dots:
            column = round(place(x) / 4)
            height = stacked.get(column, 0)
            stacked[column] = height + 1
            wanted = ((height + 1) // 2) * (3 if height % 2 else -3)
            offset = max(-row / 2 + 3, min(row / 2 - 3, wanted))
            mix = f"color-mix(in oklab, var(--fail) {100 * value:.0f}%, var(--accent))"
            body.append(
                f'<circle cx="{place(x):.1f}" cy="{y + offset:.1f}" r="2" style="fill:{mix}" fill-opacity="0.75"/>'
            )
    body.append(
        f'<text class="soft" x="{(LABEL + WIDTH) / 2}" y="{bottom + 34}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return _svg(WIDTH, bottom + 42, title, body)
